"""What a sweep is judged by besides what its runs measured: by hand, by scikit-learn, and by the real command."""

import numpy as np
import pytest
from running import TINY, refused
from sklearn import metrics as sk

from pipeline import rundir
from pipeline.config import Experiment
from pipeline.config.metrics import METRICS
from pipeline.diagnosis import calibration
from pipeline.diagnosis.predicted import Asked, Predictions, figures, of_run


def drawn(seed, classes=3, count=300):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    return Predictions(labels, random.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels])


def test_the_means_over_classes_are_scikit_learns():
    test = drawn(0)
    p, predicted = calibration.probabilities(test.logits), test.logits.argmax(1)
    found = figures(test, None, Asked())
    assert found == pytest.approx(
        {
            "test/balanced_acc": sk.balanced_accuracy_score(test.labels, predicted),
            "test/f1": sk.f1_score(test.labels, predicted, average="macro"),
            "test/auroc": sk.roc_auc_score(test.labels, p, multi_class="ovr"),
            "test/ap": sk.average_precision_score(test.labels, p),
            "test/ece": calibration.calibration_error(p.max(1), (predicted == test.labels).astype(float)),
        }
    )


def test_a_positive_class_is_judged_alone():
    test = drawn(0)
    p = calibration.probabilities(test.logits)[:, 2]
    found = figures(test, None, Asked(positive=2))
    assert found["test/auroc"] == pytest.approx(sk.roc_auc_score(test.labels == 2, p))
    assert found["test/ap"] == pytest.approx(sk.average_precision_score(test.labels == 2, p))
    predicted = test.logits.argmax(1) == 2
    assert found["test/f1"] == pytest.approx(sk.f1_score(test.labels == 2, predicted))


def test_thresholds_come_from_validation():
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    logits = np.stack([np.zeros(4), scores], axis=1)
    val, test = Predictions(np.array([0, 0, 1, 1]), logits), Predictions(np.array([0, 1, 0, 1]), logits)
    found = figures(test, val, Asked(positive=1, specificity=1.0, sensitivity=1.0))
    # By validation what scores 2.5 and more is positive: of the test split's two, one, and of its others one.
    assert (found["test/sensitivity"], found["test/specificity"]) == (0.5, 0.5)
    assert "test/sensitivity" not in figures(test, None, Asked())


def test_what_cannot_be_said_is_left_out():
    test = drawn(1)
    same = Predictions(np.zeros(300, int), test.logits)
    assert set(figures(same, same, Asked())) == {"test/balanced_acc", "test/ece", "test/f1"}
    assert figures(Predictions(test.labels, test.logits * np.inf), None, Asked()) == {}


def test_every_such_metric_is_known_before_and_had_by_each_run(command, workdir):
    assert command("train", f"{TINY} dir=run").code == 0
    found = of_run(workdir / "run", Asked())
    assert set(found) == {name for name, metric in METRICS.items() if metric.predicted}
    saved = rundir.read_predictions(workdir / "run")
    assert found["test/balanced_acc"] == pytest.approx(
        sk.balanced_accuracy_score(saved["label"], saved["logits"].argmax(1))
    )
    # Runs of earlier versions left no predictions of validation.
    np.savez(workdir / "run/predictions.npz", **{name: saved[name] for name in ("index", "label", "logits")})
    assert set(found) - set(of_run(workdir / "run", Asked())) == {"test/sensitivity", "test/specificity"}
    (workdir / "run/predictions.npz").unlink()
    assert of_run(workdir / "run", Asked()) == {}


@pytest.mark.slow
def test_a_sweep_is_judged_by_one_and_its_claim_by_another(command, workdir):
    claim = "{compare:{optimizer.lr:[0.01,0.0001]},expects:better,claim:faster,metric:test/ece,margin:0.5}"
    line = f"-m {TINY} experiment.metric=test/auroc optimizer.lr=0.0001,0.01 seed=0,1 dir=sweep output=json"
    done = command("train", f"{line} experiment.positive=3 'experiment.contrasts=[{claim}]'")
    assert done.code == 0, done.err
    verdict = done.document["verdict"]
    assert (verdict["metric"], verdict["mode"], verdict["n_test"]) == ("test/auroc", "max", None)
    (factor,) = verdict["factors"].values()
    for level, runs in zip(factor["levels"], (done.document["runs"][:2], done.document["runs"][2:]), strict=True):
        asked = Experiment(positive="3").asked(list("0123456789"))
        values = [of_run(workdir / one["run"], asked)["test/auroc"] for one in runs]
        assert level["values"] == values
    assert verdict["contrasts"][-1]["metric"] == "test/ece"
    # Asked otherwise, the same runs answer.
    again = command("train", line.replace("test/auroc", "test/sensitivity").replace("dir=sweep ", "") + " runs_dir=.")
    assert again.code == 0, again.err
    assert again.document["verdict"]["metric"] == "test/sensitivity"
    assert again.document["verdict"]["runs"]["finished"] == 4


def test_a_class_that_the_set_lacks(command, workdir):
    refused(command("train", f"{TINY} experiment.positive=cat"), "experiment.positive=cat: no such class.", "0, 1, 2")
    refused(command("train", f"-m {TINY} seed=0,1 experiment.positive=cat"), "experiment.positive=cat")
    assert not (workdir / "runs").exists()
    refused(command("plan", "experiment.specificity=90"), "experiment.specificity=90.0: must lie between 0 and 1")


# ---- fine classes are trained and coarse ones judged


def test_a_coarse_class_has_the_probabilities_of_its_parts():
    test = drawn(2, classes=4)
    p, merged = calibration.probabilities(test.logits), ((0, 3), (1, 2))
    found = figures(test, test, Asked(positive=1, merged=merged))
    positive, share = np.isin(test.labels, (1, 2)), p[:, 1] + p[:, 2]
    assert found["test/auroc"] == pytest.approx(sk.roc_auc_score(positive, share))
    assert found["test/acc"] == pytest.approx(((share > 0.5) == positive).mean())
    assert found["test/loss"] == pytest.approx(sk.log_loss(positive, share))


@pytest.mark.slow
def test_a_sweep_and_a_page_of_coarse_classes(command, workdir):
    # Of ints and of names: as they are typed.
    coarse = "experiment.class_map={low:[0,1,2,3,4],high:[5,6,7,8,9]} experiment.positive=high"
    line = f"-m {TINY} optimizer.lr=0.0001,0.01 seed=0,1 dir=sweep output=json"
    done = command("train", f"{line} {coarse}")
    assert done.code == 0, done.err
    first = workdir / done.document["runs"][0]["run"]
    saved = rundir.read_predictions(first)
    p = calibration.probabilities(saved["logits"])
    right = (p[:, 5:].sum(1) > 0.5) == (saved["label"] >= 5)
    (factor,) = done.document["verdict"]["factors"].values()
    assert factor["levels"][0]["mean"] != pytest.approx(rundir.get_status(first).metrics["test/acc"])
    assert right.mean() in [pytest.approx(one) for one in factor["levels"][0]["values"]]
    page = command("evaluate", f"run={first} invariance=false output=json").document["diagnosis"]
    assert list(page["classes"]) == ["low", "high"]
    assert page["overall"]["acc"][0] == pytest.approx(right.mean())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("experiment.class_map={low:[0,1],high:[5]}", "must name each class of the set, and lacks 2."),
        ("experiment.class_map={low:[0,1,cat],high:[5]}", "cat is no class of the set."),
        ("experiment.class_map={low:[0,1],high:[1]}", "1 is named twice."),
        ("experiment.class_map={low:[0,1]}", "must name the classes of two and more"),
        (
            "experiment.class_map={a:[0],b:[1]} experiment.metric=val/acc",
            "metric=val/acc: is of the classes",
        ),
    ],
)
def test_a_class_map_that_does_not_fit(options, said, command):
    refused(command("train", f"{TINY} {options}"), said)
