"""The page of a run says what its predictions say, and shows what it took for something else."""

import re

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from running import TINY, call, refused

from pipeline import rundir
from pipeline.diagnosis import confusion, ranking
from pipeline.diagnosis.operating import at_specificity, at_threshold


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The folder of a run that is evaluated, and what that said."""
    folder = tmp_path_factory.mktemp("diagnosis")
    assert call(folder, "train", f"{TINY} experiment.positive=8 dir=run").code == 0
    done = call(folder, "evaluate", "run=run invariance=false output=json")
    assert done.code == 0, done.err
    return folder, done.document["diagnosis"]


@pytest.fixture(scope="module")
def saved(evaluated):
    return rundir.read_predictions(evaluated[0] / "run")


@pytest.fixture(scope="module")
def page(evaluated):
    return (evaluated[0] / evaluated[1]["page"]).read_text()


def test_the_document_says_what_the_predictions_say(evaluated, saved):
    document = evaluated[1]
    counts = confusion.counts(saved["label"], saved["logits"].argmax(1), 10)
    assert document["confusions"] == counts.tolist()
    assert document["overall"]["acc"][0] == rundir.get_status(evaluated[0] / "run").metrics["test/acc"]
    recall = confusion.per_class(counts)[3].recall
    assert document["classes"]["3"]["recall"] == pytest.approx(recall)
    margins = ranking.margins(saved["logits"])
    assert document["classes"]["3"]["auroc"] == pytest.approx(ranking.auroc(margins[:, 3], saved["label"] == 3))
    # Of the class that is asked about, chosen on validation and reported on the test split.
    first = document["operating_points"][0]
    threshold = at_specificity(ranking.margins(saved["val_logits"])[:, 8], saved["val_label"] == 8, 0.8)
    assert (first["class"], first["least_specificity"]) == ("8", 0.8)
    assert first["threshold"] == pytest.approx(1 / (1 + np.exp(-threshold)))
    expected = at_threshold(margins[:, 8], saved["label"] == 8, threshold)
    assert first["sensitivity"] == pytest.approx(expected.sensitivity)
    assert document["calibration"]["temperature"] > 0


def test_the_page_needs_nothing_else_and_shows_the_surest_mistakes(page, saved):
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []
    assert page.count("<svg") == 3
    wrong = np.flatnonzero(saved["logits"].argmax(1) != saved["label"])
    sure = ranking.margins(saved["logits"]).max(1)
    first = saved["index"][wrong[np.argmax(sure[wrong])]]
    shown = re.findall(r"example (\d+)<", page)
    assert len(shown) == page.count('<img alt="an example" src="data:image/png') == 24
    assert int(shown[0]) == first
    assert f"24 of {len(wrong):,}." in page
    assert "Operating points of 8" in page


def test_the_page_looks_inside(page):
    """Maps of the mistakes, the first filters, what excites the last ones, and an image layer by layer."""
    assert len(re.findall(r'<img alt="[^"]*(?:mistakes|filters|layer)[^"]*" src="data:image/png', page)) == 4
    assert "Rank correlation of the maps with what covering says" in page
    assert "boxes" not in page  # the digits have none


def test_each_class_has_its_row(page, saved):
    for name in range(10):
        assert f"<td class=l>{name}</td><td>{int((saved['label'] == name).sum()):,}</td>" in page


def test_a_run_without_mistakes_of_names_that_are_html(command, workdir):
    """And an earlier version's, whose predictions lack validation's."""
    random, y = np.random.default_rng(0), np.arange(120) % 2
    x = (random.integers(0, 60, (120, 8, 8)) + 180 * y[:, None, None]).astype(np.uint8)
    np.savez("set.npz", x=x, y=y, classes=np.array(["<b>dark", "light & $x$"]))
    line = TINY.replace("data.limit_train=64 ", "").replace("max_epochs=1", "max_epochs=10")
    assert command("train", f"{line} data=npz data.root=set.npz data.size=8 optimizer.lr=0.01 dir=run").code == 0
    saved = rundir.read_predictions(workdir / "run")
    np.savez(workdir / "run/predictions.npz", **{name: saved[name] for name in ("index", "label", "logits")})
    rundir.set_status(workdir / "run", "finished", files=rundir.seals(workdir / "run"))
    done = command("evaluate", "run=run invariance=false")
    assert "predictions.npz lacks those of validation, and is written again" in done.err
    assert "diagnosis  run/diagnosis.html" in done.out
    page = (workdir / "run/diagnosis.html").read_text()
    assert "all test examples are called what they are" in page
    assert "&lt;b&gt;dark" in page
    assert "<b>dark" not in page


def test_none_of_another_checkpoint_or_where_it_is_not_wanted(evaluated, command, workdir):
    run = evaluated[0] / "run"
    for more in ("checkpoint=last", "diagnosis=false"):
        found = command("evaluate", f"run={run} invariance=false output=json {more}").document
        assert "diagnosis" not in found


def squares(folder):
    """A manifest of light squares on dark ground, of two sizes that are the classes, each with its box."""
    random = np.random.default_rng(0)
    rows = ["path,label,xmin,ymin,xmax,ymax"]
    for i in range(60):
        image = random.integers(0, 40, (16, 16), dtype=np.uint8)
        side = 4 + 4 * (i % 2)
        top, left = random.integers(0, 17 - side, 2)
        image[top : top + side, left : left + side] = 250
        Image.fromarray(image).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{'large' if i % 2 else 'small'},{left},{top},{left + side},{top + side}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    line = TINY.replace("data.limit_train=64 ", "").replace("max_epochs=1", "max_epochs=3")
    return f"{line} data=manifest data.root=. data.manifest=manifest.csv data.size=16 optimizer.lr=0.01"


def test_maps_find_boxes_or_not_as_the_page_says(command, workdir):
    asked = f"{squares(workdir)} architecture.head=gap experiment.localization=true dir=run"
    metrics = command("train", f"{asked} output=json").document["metrics"]
    assert command("evaluate", "run=run invariance=false").code == 0
    page = (workdir / "run/diagnosis.html").read_text()
    assert "Do the maps find what the boxes show?" in page
    table = page.split("maps of the true class by")[1]
    names = re.findall(r"<td class=l>([^<]*)</td>", table)
    assert names[:4] == ["network", "shuffled weights", "the middle", "edges"]
    figures = [float(one) for one in re.findall(r"<td>([0-9.]+)</td>", table)[:4]]
    found = [metrics[f"localization/{name}"] for name in ("pointing", "box", "best_box", "pixels")]
    assert figures == pytest.approx(found, abs=0.0006)
    assert "12 test images with a box." in page


def test_what_cannot_be_localized_is_refused(command, workdir):
    done = command("train", f"{TINY} experiment.localization=true")
    refused(done, "experiment.localization=true: digits has no boxes. data=manifest reads them")
    done = command("train", f"{TINY} data=placed_digits data.messy=0.5 experiment.localization=true")
    refused(done, "data.messy=0.5: moves what the boxes of placed_digits are about")
    done = command("train", f"{TINY} experiment.metric=localization/box")
    refused(done, "experiment.metric=localization/box: runs have it with experiment.localization=true")


@pytest.mark.slow
def test_localization_is_a_metric_of_a_sweep(command, workdir):
    asked = f"{squares(workdir)} architecture.head=gap,flatten seed=0,1,2 experiment.localization=true output=json"
    done = command("train", f"-m {asked} experiment.metric=localization/pointing")
    assert done.code == 0, done.err
    assert done.document["verdict"]["metric"] == "localization/pointing"
    assert {one["n"] for one in done.document["verdict"]["factors"]["architecture.head"]["levels"]} == {3}


@pytest.mark.slow
def test_mlflow_shows_it(command, workdir):
    line = TINY.replace("tracking=none", "tracking=local")
    shown_by = command("train", f"{line} dir=run output=json").document["mlflow_run_id"]
    assert command("evaluate", "run=run invariance=false").code == 0
    client = MlflowClient(f"sqlite:///{workdir}/mlruns/mlflow.db")
    assert "diagnosis.html" in {one.path for one in client.list_artifacts(shown_by)}
    assert client.get_run(shown_by).info.status == "FINISHED"
