"""One bad file takes one run: it is named, left out with its reason, and what mends it is said and works."""

import json
import os
import random
import shutil

import pytest
from running import TINY, call, refused, strict_json

from pipeline import rundir

SWEEP = f"-m {TINY} experiment.invariance=true architecture.kernel_size=3,5 seed=0,1 dir=sweep"
HURT = "000_kernel_size-3_seed-0"
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished sweep of two arms and two seeds, and the document of it."""
    folder = tmp_path_factory.mktemp("trained")
    done = call(folder, "train", f"{SWEEP} output=json")
    assert done.code == 0, done.err
    return folder, done.document


@pytest.fixture
def sweep(trained, workdir):
    shutil.copytree(trained[0] / "sweep", workdir / "sweep")
    shutil.copytree(trained[0] / "prepared", workdir / "prepared")
    return workdir / "sweep"


# ---- what can happen to a file


def flipped(content, dice):
    content = bytearray(content)
    for _ in range(dice.choice([1, 1, 3])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return bytes(content)


BYTES = {
    "truncated": lambda content, dice: content[: dice.randrange(len(content))],
    "flipped": flipped,
    "empty": lambda content, dice: b"",
    "object": lambda content, dice: b"{}",
    "list": lambda content, dice: b"[]",
    "null": lambda content, dice: b"null\n",
    "number": lambda content, dice: b"1e999\n",
    "nan": lambda content, dice: content.replace(b": 0", b": NaN", 1),
    "huge": lambda content, dice: content.replace(b": 0", b": 1e999", 1),
    "other types": lambda content, dice: content.replace(b": 0.", b': "x', 1).replace(b"[", b"{}, [", 1),
    "deep": lambda content, dice: b"[" * 100_000 + b"\n",
    "deep objects": lambda content, dice: b'{"status":' * 50_000 + b"\n",
    "binary": lambda content, dice: dice.randbytes(500) + b"\n",
}


def hurt(path, how, dice):
    content = path.read_bytes()
    if how in BYTES:
        path.write_bytes(BYTES[how](content, dice))
        return path.read_bytes() != content
    path.unlink()
    if how == "folder":
        path.mkdir()
    if how == "dangling":
        path.symlink_to("nowhere/at/all")
    return True


HOW = (*BYTES, "missing", "folder", "dangling")
RECORDS = ("run.json", "status.json", "metrics.jsonl", "predictions.npz", "invariance.json")


def without_trace(done, *codes):
    assert "Traceback" not in done.err, done.err
    assert done.code in codes, (done.code, done.err)


def right(verdict, known):
    """Whether all numbers of the runs that were compared are those of the undamaged sweep."""
    arms = {json.dumps(arm["levels"]): arm for arm in known["arms"]}
    for arm in verdict["arms"]:
        if arm["n"] == 2:
            assert arm["mean"] == arms[json.dumps(arm["levels"])]["mean"]
            assert arm["parameters"] == arms[json.dumps(arm["levels"])]["parameters"]
    compared = verdict["runs"]["compared"]
    assert compared + len(verdict["runs"]["excluded"]) == 4
    assert compared >= 3
    return compared == 4


def lost_or_right(sweep, name, verdict, known):
    """Either the file is no matter to the verdict, or its run is named with the reason."""
    if right(verdict, known):
        return
    (excluded,) = verdict["runs"]["excluded"]
    assert excluded["dir"] == HURT
    if excluded["status"] == "damaged":
        assert name in excluded["reason"]
        assert any(HURT in warning and name in warning for warning in verdict["warnings"])
        assert ("retry=true" in excluded["reason"]) != ("pipeline.evaluate" in excluded["reason"])
        assert name in (sweep / "report.html").read_text()
    else:
        assert (name, excluded["status"]) == ("status.json", "missing")


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.timeout(300)
def test_compare_leaves_out_a_run_with_a_bad_file(name, trained, sweep, command, monkeypatch):
    monkeypatch.setattr("pipeline.evidence.conclude.figures", lambda doc, runs: {})
    dice = random.Random(name)
    path = sweep / HURT / name
    whole = path.read_bytes()
    for how in HOW:
        changed = hurt(path, how, dice)
        done = command("compare", "sweep=sweep output=json")
        without_trace(done, 0)
        lost_or_right(sweep, name, done.document, trained[1]["verdict"])
        certain = name != "metrics.jsonl" or how != "truncated"  # a cut between two rows shows nowhere
        if changed and certain and how in ("truncated", "empty", "object", "binary", "deep", "folder"):
            assert done.document["runs"]["compared"] == 3, how
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)


@SLOW
@pytest.mark.parametrize("name", ["sweep.json", "status.json", "tracking.json", "verdict.json", "lock"])
def test_a_bad_file_of_the_sweep_itself_is_named(name, trained, sweep, command, monkeypatch):
    monkeypatch.setattr("pipeline.evidence.conclude.figures", lambda doc, runs: {})
    dice = random.Random(name)
    path = sweep / name
    path.touch()
    whole = path.read_bytes() or b'{"a": 0.5}'
    path.write_bytes(whole)
    for how in HOW:
        hurt(path, how, dice)
        for done in (command("compare", "sweep=sweep output=json"), command("train", f"{SWEEP} output=json")):
            without_trace(done, 0, 2)
            if done.code == 0:
                verdict = done.document.get("verdict", done.document)
                assert right(verdict, trained[1]["verdict"])
            else:
                assert str(sweep.name) in done.err
        without_trace(command("sync", "runs_dir=sweep"), 0, 1)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)


@SLOW
@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.timeout(600)
def test_the_same_command_sync_and_evaluate_bear_a_bad_file(name, trained, sweep, command, monkeypatch):
    monkeypatch.setattr("pipeline.evidence.conclude.figures", lambda doc, runs: {})
    dice = random.Random(name)
    shutil.copytree(sweep, "whole")
    for how in HOW:
        hurt(sweep / HURT / name, how, dice)
        alone = sweep.parent / "alone"
        shutil.copytree(sweep / HURT, alone, symlinks=True)
        done = command("train", f"{SWEEP} output=json")
        without_trace(done, 0, 1)
        lost_or_right(sweep, name, done.document["verdict"], trained[1]["verdict"])
        if done.code == 1:
            (bad,) = (run for run in done.document["runs"] if run["status"] != "finished")
            assert (bad["run"], bad["status"]) == (f"sweep/{HURT}", "damaged")
        without_trace(command("sync", "runs_dir=sweep"), 0, 1)
        without_trace(command("evaluate", f"run={sweep / HURT} invariance=false"), 0, 2)
        line = f"{TINY} experiment.invariance=true architecture.kernel_size=3 seed=0 dir=alone output=json"
        done = command("train", line)
        without_trace(done, 0, 1, 2)
        if done.code == 0:
            known = next(run for run in trained[1]["runs"] if run["run"].endswith(HURT))
            assert done.document["metrics"] == known["metrics"]
        for folder in (sweep, alone):
            shutil.rmtree(folder)
        shutil.copytree("whole", sweep)


# ---- through the real command: what is said, and that it helps


@SLOW
@pytest.mark.parametrize("name", ["run.json", "status.json", "metrics.jsonl"])
def test_retry_trains_a_damaged_run_again(name, trained, sweep, process):
    path = sweep / HURT / name
    path.write_bytes(path.read_bytes()[:100] + b"\n")
    done = process("train", SWEEP)
    without_trace(done, 1)
    assert f"sweep/{HURT}/{name}" in done.err
    assert "damaged before and left out; retry=true trains it again" in done.err
    assert f"warning: {HURT} is damaged" in " ".join(done.out.split())
    done = process("train", f"{SWEEP} retry=true output=json")
    without_trace(done, 0)
    assert "damaged before, is trained again" in done.err
    runs = [{k: v for k, v in run.items() if k != "seconds"} for run in done.document["runs"]]
    assert runs == [{k: v for k, v in run.items() if k != "seconds"} for run in trained[1]["runs"]]
    assert done.document["verdict"]["runs"]["compared"] == 4


@SLOW
def test_evaluate_writes_predictions_and_invariance_anew(trained, sweep, process):
    before = rundir.read_predictions(sweep / HURT)
    curves = rundir.read_invariance(sweep / HURT)
    for name in ("predictions.npz", "invariance.json"):
        (sweep / HURT / name).write_bytes(b"no such thing")
    done = process("compare", "sweep=sweep output=json")
    without_trace(done, 0)
    (excluded,) = done.document["runs"]["excluded"]
    assert f"python -m pipeline.evaluate run=sweep/{HURT}" in excluded["reason"]
    without_trace(process("evaluate", f"run=sweep/{HURT}"), 0)
    after = rundir.read_predictions(sweep / HURT)
    assert {name: array.tolist() for name, array in after.items()} == {n: a.tolist() for n, a in before.items()}
    assert rundir.read_invariance(sweep / HURT) == curves
    done = process("compare", "sweep=sweep output=json")
    assert done.document["runs"] == trained[1]["verdict"]["runs"]
    assert done.document["factors"] == trained[1]["verdict"]["factors"]


@SLOW
def test_a_sweep_whose_own_file_is_gone_is_written_down_again_by_its_command(trained, sweep, process):
    (sweep / "sweep.json").write_bytes(b"{}")
    refused(process("compare", "sweep=sweep"), "sweep/sweep.json", "it lacks experiment")
    refused(process("train", SWEEP), "sweep/sweep.json", "it lacks experiment")
    (sweep / "sweep.json").unlink()
    done = process("train", f"{SWEEP} output=json")
    without_trace(done, 0)
    assert done.err.count("finished before") == 4
    assert done.document["verdict"] == trained[1]["verdict"]


@SLOW
def test_another_run_in_a_runs_place_is_not_counted_as_it(sweep, process):
    shutil.rmtree(sweep / HURT)
    shutil.copytree(sweep / "001_kernel_size-3_seed-1", sweep / HURT)
    done = process("compare", "sweep=sweep output=json")
    without_trace(done, 0)
    (excluded,) = done.document["runs"]["excluded"]
    assert "is of another run" in excluded["reason"]


def test_a_number_that_was_changed_by_a_bit_is_found_out(tmp_path):
    rundir.set_status(tmp_path, "finished", seconds=2.5, metrics={"test/acc": 0.75})
    text = (tmp_path / "status.json").read_text()
    (tmp_path / "status.json").write_text(text.replace("0.75", "0.95"))
    assert rundir.get_status(tmp_path).status == "damaged"
    lines = text.splitlines()
    unchecked = [line for line in lines if "checksum" not in line]
    (tmp_path / "status.json").write_text("\n".join(unchecked).replace(",\n}", "\n}"))
    assert "its checksum is gone" in rundir.get_status(tmp_path).error
    (tmp_path / "status.json").write_text(" " + text)
    assert rundir.get_status(tmp_path).metrics == {"test/acc": 0.75}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_may_not_be_read_is_named(sweep, command):
    (sweep / HURT / "run.json").chmod(0)
    done = command("compare", "sweep=sweep output=json")
    assert strict_json(done.out)["runs"]["excluded"][0]["dir"] == HURT


def test_retry_takes_nothing_from_another_run(trained, sweep, command):
    shutil.copytree(sweep / HURT, "alone")
    (sweep.parent / "alone" / "metrics.jsonl").write_bytes(b"null\n")
    done = command("train", f"{TINY} experiment.invariance=true architecture.kernel_size=5 dir=alone retry=true")
    refused(done, "dir=alone: holds another run")
    refused(
        command("train", f"{TINY} experiment.invariance=true dir=alone"), "alone/metrics.jsonl, line 1", "retry=true"
    )
