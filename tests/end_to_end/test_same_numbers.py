"""Training gives the same numbers as before, to the last bit: 20 configurations against same_numbers.json.

They cover every group of conf/: each architecture, augmentation, strategy, optimizer, format of data and CPU trainer,
and two experiments with their verdicts. After a change that is meant to change numbers, record them again, all of
them, and say in the commit why they changed:

    python -m pytest -m slow tests/end_to_end/test_same_numbers.py --record

Bits depend on the processor and on the libraries that compute. On another kind of machine than the one the file was
recorded on, final metrics are compared to a tolerance. One thread computes, so the number of cores does not matter.
"""

import hashlib
import json
import math
import platform
from importlib.metadata import version
from pathlib import Path

import made_sets
import numpy as np
import pytest
import torch
from running import REPOSITORY
from threadpoolctl import threadpool_limits

pytestmark = pytest.mark.slow

FILE = Path(__file__).with_name("same_numbers.json")

BASE = "trainer.threads=1 trainer.max_epochs=2 tracking=none"
FULL = "trainer.precision=32-true"  # the same on machines with and without bfloat16
FEW = f"data.limit_train=64 {BASE}"
SMALL = "architecture.filters=[4,8]"
SOURCE = f"{FEW} {FULL} {SMALL} architecture.block=CNAP dir=source"
AROUND = ("version", "key", "checksum")  # of the format, which run, and that no byte was changed: no numbers
ON_A = "data.class_half=b data@transfer.pretrain=digits transfer.pretrain.class_half=a transfer.pretrain.limit_train=64"

# Name -> the lines of `train`, one after the other in one folder; every run and verdict that they leave is compared.
CONFIGURATIONS = {
    # ---- architectures and formats of data, one augmentation each
    "cnn": [
        f"{FEW} architecture=cnn {SMALL} optimizer=adam trainer=cpu augmentation=none experiment.invariance=true "
        "dir=run"
    ],
    "all_conv": [
        f"{FEW} architecture=all_conv data=photo_patches augmentation=flip trainer.precision=bf16-mixed dir=run"
    ],
    "lenet5": [
        f"{BASE} {FULL} architecture=lenet5 data=mnist data.root=made/idx optimizer=sgd augmentation=rotate dir=run"
    ],
    "locally_connected": [
        f"{BASE} {FULL} architecture=locally_connected {SMALL} data=idx data.size=16 data.root=made/idx "
        "augmentation=translate optimizer=adamw dir=run"
    ],
    "mlp": [
        f"{BASE} {FULL} architecture=mlp architecture.hidden=[32,16] architecture.norm=true architecture.dropout=0.2 "
        "data=npz data.root=made/npz augmentation=scale dir=run"
    ],
    "vgg_small": [
        f"{BASE} {FULL} architecture=vgg_small architecture.filters=[4,8,16] data=image_folder data.size=32 "
        "data.root=made/image_folder augmentation=colour trainer.gradient_clip_val=1.0 dir=run"
    ],
    "timm": [
        f"{BASE} {FULL} architecture=timm architecture.name=test_resnet data=manifest data.size=32 data.group=patient "
        "data.root=made/manifest augmentation=all dir=run"
    ],
    "messy": [
        f"{BASE} {FULL} {SMALL} architecture.block=CNAPD architecture.dropout=0.2 architecture.activation=gelu "
        "data=cifar10 data.root=made/cifar10 data.messy=0.5 augmentation=cutout dir=run"
    ],
    "matched": [
        f"{BASE} {FULL} {SMALL} architecture.pool=conv architecture.match=params "
        "architecture.match_reference={pool:max} data=fashion_mnist data.size=16 data.root=made/idx "
        "augmentation=affine dir=run"
    ],
    "stopped_early": [
        f"{BASE} {FULL} {SMALL} architecture.head=gap architecture.pool=avg data=cifar100 data.size=16 "
        "data.root=made/cifar100 data.num_workers=2 optimizer.schedule=cosine optimizer.warmup_epochs=1 "
        "trainer.max_epochs=4 trainer.early_stopping_patience=1 trainer.monitor=val/loss dir=run"
    ],
    "two_processes": [f"{FEW} {FULL} {SMALL} architecture.block=CNAP trainer=ddp_cpu augmentation=affine dir=run"],
    # ---- transfer: from a run, from a file for timm, from a source that is trained first
    "head_only": [
        SOURCE,
        f"{FEW} {FULL} transfer=head_only transfer.source=source dir=run",
        f"{BASE} {FULL} transfer=head_only transfer.source=timm transfer.weights=weights.pth architecture=timm "
        "architecture.name=test_resnet data=image_folder data.size=32 data.root=made/image_folder dir=timm",
    ],
    "early_layers": [SOURCE, f"{FEW} {FULL} transfer=early_layers transfer.source=source transfer.depth=1 dir=run"],
    "fine_tune": [
        SOURCE,
        f"{FEW} {FULL} transfer=fine_tune transfer.source=source transfer.unfreeze_every=1 trainer.max_epochs=4 "
        "augmentation=rotate dir=run",
    ],
    "first_layers": [
        f"{FEW} {FULL} {SMALL} transfer=first_layers transfer.network=AnB+ transfer.depth=1 data.class_half=b dir=run"
    ],
    "random_features": [f"{FEW} {FULL} {SMALL} transfer=random_features {ON_A} dir=run"],
    "retrain": [SOURCE, f"{FEW} {FULL} transfer=retrain transfer.source=source seed=1 dir=run"],
    "auto": [f"{FEW} {FULL} {SMALL} transfer=auto {ON_A} dir=run"],
    # ---- experiments, in small
    "kernel_size": [
        f"-m experiment=kernel_size protocol=fair architecture.kernel_size=3,5 seed=0,1 data.size=8 {SMALL} {FEW} "
        f"{FULL} optimizer.lr=0.001 trainer.max_epochs=1 dir=sweep"
    ],
    "transfer": [
        "-m experiment=transfer transfer=head_only,auto data.limit_train=32,64 transfer.pretrain.limit_train=64 "
        f"architecture.filters=[4,8,8] seed=0 {BASE} {FULL} trainer.max_epochs=1 dir=sweep"
    ],
}

# Groups that say where a run is shown or by whom it is started, which is none of its numbers' business.
NO_NUMBERS = {"tracking", "hydra/launcher"}

# Of metrics, where bits may differ: of the four to forty examples that an accuracy here is a share of, a few may.
LOSS, ACCURACY = 0.05, 0.1


def machine():
    """What bits depend on: the processor, as far as kernels are chosen by it, and the libraries that compute."""
    numerical = ("torch", "numpy", "opencv-python-headless", "pillow", "pytorch-lightning", "scikit-learn", "timm")
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return {
        "processor": model[0] if model else platform.processor(),
        "architecture": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "native_bf16": torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(),
        "packages": {name: version(name) for name in numerical},
    }


def numbers(folder):
    """What all runs and verdicts below `folder` found; read as files, so that it holds whatever code wrote them."""
    runs = sorted(path.parents[1] for path in folder.rglob("checkpoints/last.ckpt"))
    # A source's folder is named by its key, which other code changes.
    by_age = sorted(
        (run for run in runs if run.parent.name == "sources"), key=lambda run: (run / "run.json").stat().st_mtime_ns
    )
    named = {run: f"source {by_age.index(run)}" if run in by_age else str(run.relative_to(folder)) for run in runs}
    return {
        "runs": {named[run]: of_run(run) for run in sorted(runs, key=named.__getitem__)},
        "verdicts": {
            str(file.parent.relative_to(folder)): dict(flat(json.loads(file.read_text())))
            for file in sorted(folder.rglob("verdict.json"))
        },
    }


def of_run(run):
    """Digests of the last weights and of the test logits; the numbers of metrics.jsonl and status.json."""
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    weights = hashlib.sha256()
    for name in sorted(state):
        weights.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}\0".encode())
        weights.update(state[name].contiguous().numpy().tobytes())
    with np.load(run / "predictions.npz", allow_pickle=False) as saved:
        logits = hashlib.sha256(saved["index"].tobytes() + saved["label"].tobytes() + saved["logits"].tobytes())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = {
        "weights": weights.hexdigest(),
        "logits": logits.hexdigest(),
        "rows": [
            [row["step"], {k: v for k, v in sorted(row["metrics"].items()) if not k.startswith(("time/", "system/"))}]
            for row in rows
            if not all(k.startswith(("time/", "system/")) for k in row["metrics"])
        ],
        "metrics": json.loads((run / "status.json").read_text())["metrics"],
    }
    if (run / "invariance.json").exists():
        measured = json.loads((run / "invariance.json").read_text())
        found["invariance"] = {name: value for name, value in measured.items() if name not in AROUND}
    return found


def flat(value, prefix=""):
    """(dotted path, value) of every number and verdict in a document, without what the clock had to do with."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif "seconds" not in prefix and (
        isinstance(value, float | int) or prefix.rpartition(".")[2] in ("verdict", "best")
    ):
        yield prefix, value


def differences(recorded, found, path=""):
    """Where two documents differ. A verdict may say more than it did: what was recorded counts."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        more = [] if path.startswith("verdicts/") else sorted(found.keys() - recorded.keys())
        lines = [f"{path}/{key}: was not there" for key in more]
        for key, value in recorded.items():
            lines += differences(value, found.get(key), f"{path}/{key}".lstrip("/"))
        return lines
    return [] if recorded == found else [f"{path}: {recorded} -> {found}"]


def far(recorded, found):
    """Where the final metrics of runs differ by more than another machine's arithmetic explains."""
    lines = []
    for name, run in recorded["runs"].items():
        for metric, old in run["metrics"].items():
            new = found["runs"].get(name, {}).get("metrics", {}).get(metric, math.nan)
            allowed = LOSS * max(1, abs(old)) if metric.endswith("loss") else ACCURACY
            if not abs(new - old) <= allowed:
                lines.append(f"{name}/{metric}: {old} -> {new}")
    return lines


def learn(name, command, process, workdir):
    """Run the lines of a configuration in `workdir`."""
    run = process if name == "two_processes" else command  # torchrun's agent forgets to close its processes' logs
    for line in CONFIGURATIONS[name]:
        for word in line.split():
            if "=made/" in word and not (root := workdir / word.partition("=")[2]).exists():
                made_sets.MAKERS[root.name](root)
        if "weights.pth" in line:
            weights_of_timm(workdir / "weights.pth")
        done = run("train", line)
        assert done.code == 0, done.err


def weights_of_timm(file):
    """A file of weights as timm publishes them, drawn from a seed."""
    import timm

    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(timm.create_model("test_resnet").state_dict(), file)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_same_numbers(name, command, process, workdir, request):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            learn(name, command, process, workdir)
    finally:
        torch.set_num_threads(before)
    found, here = numbers(workdir), machine()
    if request.config.getoption("--record"):
        assert not hasattr(request.config, "workerinput"), "record without -n: every test adds to one file"
        record(name, found, here)
        return
    document = json.loads(FILE.read_text())
    recorded = document["configurations"][name]
    assert recorded["lines"] == CONFIGURATIONS[name], "the configuration changed: record it again"
    if document["machine"] == here:
        assert differences({k: recorded[k] for k in found}, found) == []
    elif name == "cnn" and document["machine"]["native_bf16"] != here["native_bf16"]:
        pytest.skip("trainer.precision=auto is another one on this machine than on the one these were recorded on")
    else:
        assert far(recorded, found) == []


def record(name, found, here):
    """Write what one configuration found. Those of another machine go: all of a file are of one."""
    document = json.loads(FILE.read_text()) if FILE.exists() else {}
    if document.get("machine") != here:
        document = {"machine": here, "configurations": {}}
    known = document["configurations"] | {name: {"lines": CONFIGURATIONS[name]} | found}
    document["configurations"] = {one: known[one] for one in CONFIGURATIONS if one in known}
    FILE.write_text(json.dumps(document, indent=1) + "\n")


def test_every_group_is_covered():
    """By one of its files at least: whoever adds a file to a group need not record anything."""
    said = {
        word.partition("=")[0].partition("@")[0]
        for lines in CONFIGURATIONS.values()
        for word in " ".join(lines).split()
    }
    groups = {str(path.parent.relative_to(REPOSITORY / "conf")) for path in REPOSITORY.glob("conf/*/**/*.yaml")}
    assert groups - NO_NUMBERS - said == set()
