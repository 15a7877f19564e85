"""Is the advice of transfer=auto right? Its quadrant against labels given before, its regret against all strategies.

    python -m benchmarks.advice quadrants DATA WORK [PAIR ...]    # seconds for each pair, 5 minutes for the sources
    python -m benchmarks.advice regret DATA WORK [PAIR ...]       # minutes for each pair

DATA holds mnist, fashion_mnist, cifar10_subset/*.npz, tinyimagenet10, hymenoptera, malaria50_subset/*.npz, ham10000_64
and weights/mobilenetv2_100-*.pth; WORK is a folder to write to, in which what was trained before is found again. The
pairs and their labels are those of docs/lab-notes.md, where what came out stands as well. Pairs are named by number.

The regret of an arm is by how much its test accuracy, mean over the seeds, falls short of the best of the four
strategies. Intervals are over pairs (Student's t): they say what to expect on another pair of this kind.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.evidence.paired import half_width
from pipeline.transfer.strategies import QUADRANTS

SEEDS = "0,1,2"
# What the notes' table says for a quadrant, early_layers with its own default depth.
TABLE = {", ".join(quadrant): strategy for quadrant, strategy in QUADRANTS.items()}
STRATEGIES = tuple(TABLE.values())


@dataclass(frozen=True)
class Pair:
    """A source, a target, the label given before anything was measured, and how long its regret is trained."""

    source: str
    target: str
    label: str
    data: str = ""  # more about the target
    epochs: int = 4
    regret_data: str = ""  # where the regret is measured on less than the quadrant


# Small sets in batches of 16, and little spent on validation: steps count, not epochs.
FEW = "data.batch_size=16 data.val_fraction=0.02"
PAIRS = (
    Pair("imagenet", "hymenoptera", "small, similar", "data.size=128", 6, "data.size=64 data.batch_size=16"),
    Pair("imagenet", "malaria", "small, dissimilar", "data.size=64 data.limit_train=60", 12, FEW),
    Pair("imagenet", "ham", "large, dissimilar", "data.size=64", 2),
    Pair("imagenet", "tiny", "large, similar", "data.size=64", 2),
    Pair("fashion", "mnist", "small, dissimilar", "data.limit_train=200", 15, FEW),
    Pair("cifar", "tiny", "small, similar", "data.limit_train=200", 15, FEW),
    Pair("cifar", "tiny", "large, similar", "", 3),
    Pair("mnist", "fashion", "large, dissimilar", "", 2, f"{FEW} data.batch_size=64 data.limit_train=10000"),
)

SETS = {
    "mnist": "data=mnist data.root={0}/mnist",
    "fashion": "data=fashion_mnist data.root={0}/fashion_mnist",
    "cifar": "data=npz data.name=cifar10_subset data.root={0}/cifar10_subset",
    "tiny": "data=image_folder data.name=tiny data.root={0}/tinyimagenet10",
    "hymenoptera": "data=image_folder data.name=hymenoptera data.root={0}/hymenoptera",
    "malaria": "data=npz data.name=malaria data.root={0}/malaria50_subset",
    "ham": "data=manifest data.name=ham data.root={0}/ham10000_64",
}
TRAINED = {
    "cifar": "trainer.max_epochs=10",
    "mnist": "data.limit_train=10000 trainer.max_epochs=3",
    "fashion": "data.limit_train=20000 trainer.max_epochs=4",
}
ALWAYS = "tracking=none output=json trainer.threads=1"


def command(module: str, line: str) -> dict[str, Any]:
    """The document of `python -m pipeline.<module> <line>`."""
    done = subprocess.run(
        [sys.executable, "-m", f"pipeline.{module}", *line.split()], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"pipeline.{module} {line}\n{done.stderr}")
    return json.loads(done.stdout)


def images(name: str, data: Path, work: Path) -> str:
    return f"{SETS[name].format(data)} data.size=32 data.batch_size=64 data.prepared_dir={work}/prepared"


def source(name: str, data: Path, work: Path) -> str:
    """What names a source on the command line; it is trained first where it is not here."""
    if name == "imagenet":
        (file,) = (data / "weights").glob("mobilenetv2_100-*.pth")
        return f"transfer.source=timm transfer.weights={file} architecture=timm architecture.name=mobilenetv2_100"
    if not (work / name / "run.json").exists():
        network = "architecture.block=CNAP architecture.filters=[16,32,64,128]"
        command("train", f"{images(name, data, work)} {network} {TRAINED[name]} {ALWAYS} dir={work / name}")
    return f"transfer.source={work / name}"


def arguments(pair: Pair, data: Path, work: Path) -> str:
    return f"{source(pair.source, data, work)} {images(pair.target, data, work)} {pair.data} {ALWAYS}"


def quadrant(pair: Pair, data: Path, work: Path) -> dict[str, Any]:
    """The advice, with seed 0."""
    return command("plan", f"{arguments(pair, data, work)} transfer=auto")["transfer"]["advice"]


def accuracies(pair: Pair, number: int, data: Path, work: Path) -> dict[str, list[float]]:
    """{arm: test accuracy by seed} of the four strategies and auto."""
    file = work / f"pair{number}.json"
    if not file.exists():
        line = (
            f"{arguments(pair, data, work)} {pair.regret_data} trainer.max_epochs={pair.epochs} dir={work}/pair{number}"
        )
        sweep = command("train", f"-m {line} retry=true transfer={','.join((*STRATEGIES, 'auto'))} seed={SEEDS}")
        found: dict[str, list[float]] = {}
        for run in sweep["runs"]:
            strategy = json.loads((Path(run["run"]) / "run.json").read_text())["config"]["transfer"]["strategy"]
            found.setdefault(strategy, []).append(run["metrics"]["test/acc"])
        file.write_text(json.dumps(found))
    return json.loads(file.read_text())


def interval(values: list[float]) -> str:
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.3f} (one pair)"
    half = half_width(len(values), statistics.stdev(values))
    return f"{mean:.3f} ({mean - half:.3f} to {mean + half:.3f}, n={len(values)})"


def main() -> None:
    what, data, work = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
    numbers = [int(n) for n in sys.argv[4:]] or list(range(1, len(PAIRS) + 1))
    work.mkdir(parents=True, exist_ok=True)
    right, regrets = 0, {"auto": [], "table": [], **{name: [] for name in STRATEGIES}}  # type: dict[str, list[float]]
    for number in numbers:
        pair = PAIRS[number - 1]
        name = f"{number} {pair.source} -> {pair.target}"
        if what == "quadrants":
            advice = quadrant(pair, data, work)
            right += advice["quadrant"] == pair.label
            size, like = advice["size"], advice["similarity"]
            print(f"{name}: label {pair.label}; advice {advice['quadrant']} ({advice['strategy']}, depth "
                  f"{advice['depth']}); size {size['ratio']:.2f}; probe {like['accuracy']:.3f}, random "
                  f"{like['accuracy_at_random']:.3f}, avoided {like['avoided']:.2f}, distance {like['distance']:.2f}, "
                  f"near {advice['near']}", flush=True)  # fmt: skip
            continue
        found = {arm: statistics.mean(values) for arm, values in accuracies(pair, number, data, work).items()}
        best = max(found[name] for name in STRATEGIES)
        found["table"] = found[TABLE[pair.label]]
        for arm, accuracy in found.items():
            regrets[arm].append(best - accuracy)
        print(name, " ".join(f"{arm} {accuracy:.3f}" for arm, accuracy in found.items()), flush=True)
    if what == "quadrants":
        print(f"{right} of {len(numbers)} right")
    else:
        for arm, values in regrets.items():
            print(f"regret of {arm}: {interval(values)}")


if __name__ == "__main__":
    main()
