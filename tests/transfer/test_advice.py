"""transfer=auto: what is measured, what is made of it, and that it is done once, on the training split alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from running import call, refused
from sklearn.datasets import load_digits

from pipeline import rundir
from pipeline.transfer import probe
from pipeline.transfer.advise import amount, conclude, sample
from pipeline.transfer.config import Transfer
from pipeline.transfer.record import Similarity

pytestmark = pytest.mark.slow  # each trains networks, sources first

ALWAYS = "tracking=none trainer.threads=1 trainer.precision=32-true output=json"
# Parameters on 8x8 grey images: block1 8*(9+1) + 16 = 96, block2 16*(9*8+1) + 32 = 1200, head 10*(2*2*16+1) = 650.
NETWORK = "architecture.block=CNAP architecture.filters=[8,16]"


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A run trained on digits until it knows them."""
    folder = tmp_path_factory.mktemp("taught")
    done = call(folder, "train", f"{NETWORK} trainer.max_epochs=6 {ALWAYS} dir=source")
    assert done.code == 0, done.err
    assert done.document["metrics"]["test/acc"] > 0.9
    return folder / "source"


def digits():
    """The scans one pixel to the right."""
    scans, labels = load_digits(return_X_y=True)
    images = (scans.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    return np.roll(images, 1, axis=2), labels


def stripes(n=1800, seed=0):
    """Ten classes of bright stripes, two directions by five phases, in strong noise: nothing like a digit."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    rows, columns = np.mgrid[:8, :8]
    place = np.where(labels[:, None, None] % 2, rows, columns) + labels[:, None, None] // 2
    images = 127 + 60 * np.sin(2 * np.pi * place / 5) + rng.normal(0, 70, (n, 8, 8))
    return images.clip(0, 255).astype(np.uint8), labels


def saved(folder, name, images, labels, spoilt=False):
    """An npz set with a test split of 200; `spoilt` makes that one noise."""
    x_test, y_test = images[:200], labels[:200]
    if spoilt:
        x_test, y_test = np.random.default_rng(1).integers(0, 256, x_test.shape, dtype=np.uint8), y_test[::-1]
    np.savez(folder / f"{name}.npz", x_train=images[200:], y_train=labels[200:], x_test=x_test, y_test=y_test)
    return f"data=npz data.name={name} data.root={folder / name}.npz data.size=8"


@pytest.fixture
def advice(command, workdir, taught):
    """The advice of `plan` for a set: advice(line) -> document."""

    def ask(line):
        done = command("plan", f"transfer=auto transfer.source={taught} {line} output=json")
        assert done.code == 0, done.err
        return done.document["transfer"]["advice"]

    return ask


@pytest.mark.parametrize(
    ("images", "limit", "quadrant", "strategy"),
    [
        (digits, 100, "small, similar", "head_only"),
        (digits, "null", "large, similar", "fine_tune"),
        (stripes, 100, "small, dissimilar", "early_layers"),
        (stripes, "null", "large, dissimilar", "retrain"),
    ],
)
def test_the_four_quadrants(advice, workdir, images, limit, quadrant, strategy):
    found = advice(f"{saved(workdir, 'made', *images())} data.limit_train={limit}")
    assert (found["quadrant"], found["strategy"]) == (quadrant, strategy), found["reasons"]
    assert found["size"]["parameters"] == 1946
    assert (found["depth"] in (1, 2)) == (strategy == "early_layers")
    assert len(found["similarity"]["by_depth"]) == 2


def places(n=600):
    """Nine classes by where a bright square lies: the mean of a map does not tell them, what lies where does."""
    labels = np.arange(n) % 9
    images = np.random.default_rng(0).integers(0, 60, (n, 8, 8))
    for image, label in zip(images, labels, strict=True):
        image[1 + 2 * (label // 3) :, 1 + 2 * (label % 3) :][:2, :2] += 190
    return images.astype(np.uint8), labels


def test_the_depth_is_chosen_by_what_the_new_head_will_see(advice, workdir):
    line = f"{saved(workdir, 'made', *places())} data.limit_train=200"
    first = {head: advice(f"{line} transfer.head={head}")["similarity"]["by_depth"][0] for head in ("pool4", "gap")}
    assert first["pool4"]["accuracy"] > 0.98
    assert first["gap"]["accuracy"] < 0.9


def test_the_test_split_is_never_read(advice, workdir):
    found = [advice(saved(workdir, name, *digits(), spoilt=name == "b") + " data.limit_train=60") for name in "ab"]
    assert found[0] == found[1]


def test_same_seed_same_advice_and_another_seed_another_sample(advice, workdir):
    line = saved(workdir, "made", *digits()) + " data.limit_train=60"
    first, again, other = advice(line), advice(line), advice(f"{line} seed=1")
    assert first == again
    assert first["similarity"] != other["similarity"]


def test_trains_as_advised_and_goes_on_with_the_same_advice(command, workdir, taught):
    line = f"transfer=auto transfer.source={taught} {saved(workdir, 'made', *stripes())} data.limit_train=60 {ALWAYS}"
    line += " trainer.max_epochs=1 dir=run"
    done = command("train", line)
    assert done.code == 0, done.err
    run = workdir / "run"
    asked = rundir.read_json(run / "run.json")
    begun = asked["transfer"]
    assert begun["advice"]["quadrant"] == "small, dissimilar"
    assert begun["strategy"] == "early_layers"
    assert begun["network"]["depth"] == begun["advice"]["depth"]
    assert asked["config"]["transfer"]["strategy"] == "auto"
    assert done.err.count("transfer=auto: small, dissimilar: transfer=early_layers transfer.depth=") == 1
    assert next(rundir.metric_rows(run)).metrics["advice/size_ratio"] == pytest.approx(0.06)

    written = (run / "run.json").read_bytes()
    rundir.set_status(run, "interrupted")
    done = command("train", line)
    assert done.code == 0, done.err
    assert "goes on" in done.err
    assert "transfer=auto:" not in done.err
    assert (run / "run.json").read_bytes() == written


@pytest.mark.slow
def test_two_processes_have_the_advice_of_one(process, workdir, taught):
    line = f"transfer=auto transfer.source={taught} {saved(workdir, 'made', *digits())} data.limit_train=100 {ALWAYS}"
    found = []
    for trainer in ("cpu", "ddp_cpu"):
        done = process("train", f"{line} trainer.max_epochs=1 trainer={trainer} dir={trainer}")
        assert done.code == 0, done.err
        found.append(rundir.read_json(workdir / trainer / "run.json")["transfer"]["advice"])
    assert found[0] == found[1]


def test_a_table_for_people(command, workdir, taught):
    done = command("plan", f"transfer=auto transfer.source={taught} data.limit_train=100")
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    assert "transfer=auto: small, similar: transfer=head_only" in said
    assert "small: 100 training images of 10 classes" in said
    assert "errors are avoided" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("transfer=auto", "transfer.source=None: transfer=auto needs a network to start from"),
        (
            "transfer.strategy=outo",
            "must be one of none, head_only, early_layers, fine_tune, retrain, random_features, first_layers, auto.",
        ),
        ("transfer=auto transfer.source=nowhere", "transfer.source=nowhere: no such run"),
        ("transfer=auto transfer.source={s} data.size=16 architecture.filters=[2]", "architecture: is another one"),
    ],
)
def test_refused(command, workdir, taught, line, said):
    done = command("train", f"{line.format(s=taught)} {ALWAYS}")
    refused(done, said)
    assert not (workdir / "runs").exists()


def refits(x, labels):
    """The probe by its definition: for each penalty, one ridge regression for each example that is left out."""
    x = (x - x.mean(0)) / x.std(0)
    n, d = x.shape
    y = np.eye(labels.max() + 1)[labels]
    best = (0.0, -np.inf)
    for penalty in probe.PENALTIES:
        left, guess = np.zeros_like(y), np.zeros_like(y)
        for i in range(n):
            rest = np.arange(n) != i
            # The intercept is not penalised; the whole sample's mean is 0, the rest's is not.
            a = np.hstack([x[rest], np.ones((n - 1, 1))])
            ridge = np.diag([penalty * n * d] * d + [0.0])
            w = np.linalg.solve(a.T @ a + ridge, a.T @ y[rest])
            guess[i] = np.append(x[i], 1) @ w
            left[i] = y[rest].mean(0)
        explained = 1 - ((y - guess) ** 2).sum() / ((y - left) ** 2).sum()
        if explained > best[1]:
            best = ((guess.argmax(1) == labels).mean(), explained)
    return best


@pytest.mark.parametrize(("n", "d"), [(30, 4), (12, 20)])  # fewer features than examples, and more
def test_probe_is_ridge_regression_left_out_one_by_one(n, d):
    rng = np.random.default_rng(n)
    labels = np.arange(n) % 3
    x = rng.normal(size=(n, d)) + labels[:, None] * rng.normal(size=d)
    found = probe.probe(x.astype(np.float64), labels)
    accuracy, explained = refits(x, labels)
    assert found.accuracy == pytest.approx(accuracy)
    assert found.explained == pytest.approx(explained, abs=1e-9)


def test_probe_by_hand():
    # One feature, -1 -1 1 1, two classes: with a penalty of p the fit is y * s, s = 1 / (1 + p), and 1 - h is
    # 3/4 - s/4. The least penalty, 1e-4, leaves least: 1 - (9/16) * ((1 - s) / (3/4 - s/4))**2.
    s = 1 / 1.0001
    found = probe.probe(np.array([[-1.0], [-1], [1], [1]]), np.array([0, 0, 1, 1]))
    assert found.accuracy == 1
    assert found.explained == pytest.approx(1 - 9 / 16 * ((1 - s) / (0.75 - s / 4)) ** 2, abs=1e-12)


def test_probe_of_nothing():
    assert probe.probe(np.ones((4, 3)), np.array([0, 0, 0, 1])) == probe.Probe(0.75, 0.0)


def test_distance_by_hand():
    # Two maps: one of mean 3 and deviation 2 against the norm's 0 and 1, one as the norm knows it, and one between.
    norm = torch.nn.BatchNorm2d(3, eps=0).eval()
    x = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 1, 1)
    x = x * torch.tensor([2.0, 1, 1]).reshape(3, 1, 1) + torch.tensor([3.0, 0, 1]).reshape(3, 1, 1)
    found = []
    with probe.distances(torch.nn.Sequential(norm), found):
        norm(x)
    assert found == pytest.approx([1])  # the median of 3**2 + 1, 0 and 1


@pytest.mark.parametrize(
    ("counts", "parameters", "needed", "ratio"),
    [
        ([50, 50], 10**6, 1000, 0.1),
        ([1000, 1000], 10**6, 1000, 2),
        ([50] * 100, 10**6, 10_000, 0.5),
        ([300, 300], 500, 500, 1.2),  # fewer parameters than images
        ([10, 2000, 2000], 10**6, 1000, 4.01),  # one rare class
        ([10, 10, 2000], 10**6, 1000, 0.03),  # one frequent class
    ],
)
def test_size_by_hand(counts, parameters, needed, ratio):
    found = amount(np.repeat(np.arange(len(counts)), counts), parameters)
    assert found.needed == needed
    assert found.ratio == pytest.approx(ratio)
    assert found.word == ("large" if ratio >= 1 else "small")


def concluded(avoided, distance, ratio=0.1):
    size = replace(amount(np.repeat([0, 1], 50), 10**6), ratio=ratio)
    stages = tuple(probe.Probe(accuracy=0.9, explained=e) for e in (0.2, 0.5, 0.4))
    found = Similarity(100, accuracy=0.9, accuracy_at_random=0.8, avoided=avoided, doubt=0.05, distance=distance,
                       by_depth=stages)  # fmt: skip
    return conclude(size, found)


def test_conclusions():
    assert concluded(0.5, 0.1).quadrant == "small, similar"
    assert concluded(0.5, 0.1, ratio=5).strategy == "fine_tune"
    assert concluded(0.1, 0.5, ratio=5).strategy == "retrain"
    found = concluded(0.1, 0.5)
    assert (found.strategy, found.depth) == ("early_layers", 2)  # where the probe explains most
    assert concluded(-0.5, 0.01).quadrant == "small, similar"  # the source's own kind of images
    assert concluded(0.3, None).quadrant == "small, similar"  # without batch norm: more than a quarter
    assert concluded(0.2, None).quadrant == "small, dissimilar"
    assert concluded(0.5, 0.1).near == ()
    assert [one.split(":")[0] for one in concluded(0.5, 0.47, ratio=1.5).near] == ["size", "similarity"]


def test_sample_is_bounded_balanced_and_of_the_training_split():
    labels = np.repeat([0, 1], [5000, 100])
    train = np.arange(0, 5100, 2)
    found = sample(labels, train, macs=1, seed=0)
    assert np.isin(found, train).all()
    assert np.bincount(labels[found]).tolist() == [500, 50]
    assert len(sample(labels, train, macs=10**12, seed=0)) == 100
    assert (sample(labels, train, 1, seed=0) != sample(labels, train, 1, seed=1)).any()


def test_what_a_strategy_has_no_use_for_is_left_out():
    asked = Transfer("auto", source="x", lr_decay=0.5, warmup_epochs=1, depth=3)
    assert asked.with_strategy("head_only") == Transfer("head_only", source="x")
    assert asked.with_strategy("retrain", 1) == Transfer("retrain", source="x")
    assert asked.with_strategy("fine_tune") == Transfer("fine_tune", source="x", lr_decay=0.5, warmup_epochs=1)
    assert asked.with_strategy("early_layers", 1).depth == 3  # what the user says, where it matters


@pytest.mark.parametrize(("name", "normed"), [("test_resnet", True), ("test_convnext", False)])
def test_a_file_of_weights_for_timm(command, workdir, name, normed):
    import timm

    torch.manual_seed(0)
    torch.save(timm.create_model(name).state_dict(), workdir / "weights.pth")
    line = f"transfer=auto transfer.source=timm transfer.weights=weights.pth architecture=timm architecture.name={name}"
    done = command("plan", f"{line} architecture.small_input=false data.size=32 data.limit_train=60 output=json")
    assert done.code == 0, done.err
    found = done.document["transfer"]["advice"]
    assert found["size"]["word"] == "small"
    assert (found["similarity"]["distance"] is not None) == normed
    assert len(found["similarity"]["by_depth"]) >= 4
    # Weights that nobody trained are worth what other such weights are.
    assert found["quadrant"] == "small, dissimilar", found["reasons"]


def test_weights_without_finite_features(command, workdir):
    import timm

    weights = {
        k: v * float("nan") if v.is_floating_point() else v
        for k, v in timm.create_model("test_resnet").state_dict().items()
    }
    torch.save(weights, workdir / "weights.pth")
    line = "transfer=auto transfer.source=timm transfer.weights=weights.pth architecture=timm"
    refused(command("plan", f"{line} architecture.name=test_resnet data.size=32"), "make no finite numbers")


def test_shown_on_mlflow(command, workdir, taught):
    from mlflow import MlflowClient

    done = command(
        "train",
        f"transfer=auto transfer.source={taught} data.limit_train=60 trainer.max_epochs=1 output=json",
    )
    assert done.code == 0, done.err
    shown = (
        MlflowClient(f"sqlite:///{next((workdir / 'mlruns').glob('*.db'))}")
        .get_run(done.document["mlflow_run_id"])
        .data
    )
    assert shown.tags["transfer_quadrant"] == "small, similar"
    assert shown.tags["transfer_strategy"] == "head_only"
    assert "60 training images of 10 classes" in shown.tags["transfer_reasons"]
    assert shown.params["transfer.strategy"] == "auto"
    assert shown.metrics["advice/size_ratio"] == pytest.approx(0.06)
