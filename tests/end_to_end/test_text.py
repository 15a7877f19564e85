"""Text by the same commands: prepared, swept, evaluated, predicted, exported; stacked, resumed, by two processes."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from running import TINY, refused

from pipeline.data.sentences import sentences
from pipeline.serving.opened import of_run

SHORT = TINY.replace("data.limit_train=64", "data.limit_train=96")
LINE = (
    f"{SHORT} data=sentences data.batch_size=16 architecture.block=CNAP architecture.embedding=8 "
    "architecture.head=gap architecture.head_dropout=0.3 augmentation=word_dropout trainer.max_epochs=2"
)


@pytest.fixture(scope="module")
def texts():
    return list(sentences())


def test_a_sweep_its_evaluation_and_its_report(command, workdir):
    done = command("train", f"-m {LINE} architecture.kernel_size=1,3 seed=0,1 dir=sweep output=json")
    assert done.code == 0, done.err
    levels = done.document["verdict"]["factors"]["architecture.kernel_size"]["levels"]
    assert [one["n"] for one in levels] == [2, 2]
    assert (workdir / "sweep/report.html").is_file()
    run = Path(done.document["runs"][0]["run"])
    found = command("evaluate", f"run={run} output=json")
    assert found.code == 0, found.err
    assert found.document["metrics"]["test/acc"] == done.document["runs"][0]["metrics"]["test/acc"]
    page = (run / "diagnosis.html").read_text()
    assert "<figure><p>" in page  # the sentences that were mistaken
    assert not (run / "invariance.json").exists()


@pytest.mark.parametrize("more", ["", "architecture=text_cnn ~architecture.block"])
def test_predict_reads_what_the_run_read_without_its_data(more, command, workdir, texts):
    line = LINE if not more else f"{SHORT} data=sentences architecture=text_cnn architecture.filters=8"
    line = line.replace("architecture.filters=[4,8] ", "") if more else line
    assert command("train", f"{line} dir=run").code == 0
    with np.load("run/predictions.npz") as saved:
        index, logits = saved["index"][:20], saved["logits"][:20]
    Path("lines.txt").write_text("\n".join(texts[i] for i in index) + "\n\n" + "zzz qqq\n")
    Path("documents").mkdir()
    for k, i in enumerate(index):
        Path(f"documents/{k:02}.txt").write_text(texts[i])
    for folder in Path("prepared").iterdir():
        folder.rename("elsewhere")
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for asked in ("images=lines.txt lines=true", "images=documents"):
        done = command("predict", f"run=run {asked} out=out.csv output=json")
        assert done.code == 0, done.err
        with open("out.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        found = np.array([[float(row["p_disliked"]), float(row["p_liked"])] for row in rows[:20]])
        assert np.abs(found - shares).max() < 1e-5
        os.unlink("out.csv")
    assert done.document["images"] == 20


def test_what_is_no_text_is_skipped_by_name(command, workdir):
    assert command("train", f"{LINE} dir=run").code == 0
    Path("mixed").mkdir()
    Path("mixed/a.txt").write_text("the food was not good .")
    Path("mixed/b.txt").write_bytes(b"\xff\xfe\x00")
    Path("mixed/c.txt").write_text("   ")
    done = command("predict", "run=run images=mixed output=json")
    assert done.code == 0
    assert {one["path"]: one["reason"].partition(" (")[0] for one in done.document["skipped"]} == {
        "mixed/b.txt": "no text in UTF-8",
        "mixed/c.txt": "no word in it",
    }
    refused(command("predict", "run=run images=mixed maps=drawn"), "maps=drawn", "texts")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("data=sentences augmentation=rotate", ["augmentation.transforms=rotate", "texts", "word_dropout"]),
        ("data=sentences experiment.invariance=true", ["experiment.invariance=true", "texts"]),
        ("data=sentences transfer=head_only transfer.source=run", ["transfer=head_only", "another word"]),
        ("data=sentences architecture=timm", ["architecture"]),
        ("data=sentences data.root=.", ["data.root=.", "embedded"]),
        ("architecture=text_cnn", ["architecture"]),
        ("architecture.embedding=8", ["architecture.embedding=8"]),
        ("augmentation=swap", ["augmentation.transforms=swap", "images"]),
        ("data=text_folder", ["data.root=null"]),
    ],
)
def test_what_cannot_be_asked_of_texts(line, said, command, workdir):
    refused(command("train", line), *said)
    assert os.listdir() == []


def test_rows_of_a_table_are_texts_with_labels(command, workdir, texts):
    assert command("train", f"{LINE} dir=run").code == 0
    with np.load("run/predictions.npz") as saved:
        index, logits, labels = saved["index"][:20], saved["logits"][:20], saved["label"][:20]
    with open("said.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("text", "label"), *((texts[i], "liked") for i in index), ("x" * 1_200_000, "liked")]
        )
    done = command("predict", "run=run images=said.csv output=json")
    assert done.code == 0, done.err
    probability = [one["probability"] for one in done.document["predictions"]]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.abs(np.array(probability) - shares.max(1)).max() < 1e-5
    assert done.document["accuracy"]["n"] == len(labels)
    assert [one["path"] for one in done.document["skipped"]] == ["said.csv:22"]
    Path("other.csv").write_text("review\na\n")
    refused(command("predict", "run=run images=other.csv"), "lacks the column text", "columns={text: NAME}")


def test_prepare_tells_of_sentences_and_draws_none(command, workdir):
    done = command("prepare", "data=sentences")
    assert done.code == 0, done.err
    assert "liked" in done.out
    refused(command("prepare", "data=sentences preview=sheet.png"), "preview=sheet.png", "texts")


@pytest.mark.slow
def test_stacked_runs_keep_their_own_words(command, workdir, texts):
    assert command("train", f"-m {LINE} seed=0,1,2 trainer.stack=3 dir=sweep").code == 0
    words = set()
    for run in sorted(Path("sweep").glob("00*")):
        with np.load(run / "predictions.npz") as saved:
            index, logits = saved["index"][:20], saved["logits"][:20]
        words.add(tuple(of_run(run, "it").words or ()))
        Path("lines.txt").write_text("\n".join(texts[i] for i in index) + "\n")
        done = command("predict", f"run={run} images=lines.txt lines=true output=json")
        assert done.code == 0, done.err
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        found = [one["probability"] for one in done.document["predictions"]]
        assert np.abs(np.array(found) - shares.max(1)).max() < 1e-5
    assert len(words) == 3
