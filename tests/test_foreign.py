"""What is not what it says: files of other runs, sources that were swapped, directories of somebody else's."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from running import REPOSITORY, TINY, left_in, refused

from pipeline import data, environment, key, rundir
from pipeline.errors import InputError
from pipeline.rundir.documents import write_checked
from pipeline.transfer import Transfer

LINE = f"-m {TINY} architecture.kernel_size=1,3 seed=0,1 output=json"


@pytest.fixture
def sweep(command, workdir):
    """A finished sweep of four runs, in sweep/."""
    done = command("train", f"{LINE} dir=sweep")
    assert done.code == 0, done.err
    return [Path(run["run"]) for run in done.document["runs"]]


@pytest.mark.parametrize("name", ["status.json", "metrics.jsonl", "predictions.npz"])
def test_a_file_of_another_run_takes_this_one_out_of_the_verdict(name, sweep, command):
    shutil.copy(sweep[1] / name, sweep[0] / name)
    found = command("compare", "sweep=sweep output=json").document
    levels = found["factors"]["architecture.kernel_size"]["levels"]
    assert [level["n"] for level in levels] == [1, 2]
    assert next(level["pairs"] for level in levels if level["pairs"] is not None) == 1
    assert name in json.dumps(found["warnings"]) + json.dumps(found["arms"])


def test_a_metric_that_was_changed_is_noticed(sweep, command):
    rows = (sweep[0] / "metrics.jsonl").read_text()
    assert '"val/acc": 0.' in rows
    (sweep[0] / "metrics.jsonl").write_text(rows.replace('"val/acc": 0.', '"val/acc": 0.9', 1))
    assert "metrics.jsonl, line 1: is no row of metrics: its checksum is another" in (rundir.damage(sweep[0]) or "")


def test_weights_of_another_run_are_not_evaluated(sweep, command):
    shutil.copy(sweep[1] / "checkpoints/best.ckpt", sweep[0] / "checkpoints/best.ckpt")
    refused(command("evaluate", f"run={sweep[0]} invariance=false"), "best.ckpt: is a checkpoint of another run")


@pytest.mark.parametrize("name", ["run.json", "checkpoints/last.ckpt"])
def test_a_run_is_evaluated_by_what_is_its_own(name, sweep, command):
    shutil.copy(sweep[1] / name, sweep[0] / name)
    done = command("evaluate", f"run={sweep[0]} checkpoint=last invariance=false")
    refused(done, f"{name}: is ", "of another run")


def test_a_finished_run_that_lost_its_status_is_not_trained_again_without_a_word(sweep, command):
    (sweep[0] / "status.json").unlink()
    done = command("train", f"{LINE} dir=sweep")
    assert (done.code, done.document["runs"][0]["status"]) == (1, "damaged")
    assert "status.json: no such file" in done.document["runs"][0]["error"]


def test_damaged_weights_are_trained_again_with_retry(sweep, command):
    weights = sweep[0] / "checkpoints/best.ckpt"
    before = weights.read_bytes()
    weights.unlink()  # copies that serve other sweeps are linked to it
    weights.write_bytes(before[:-9] + bytes(9))
    assert command("train", f"{LINE} dir=sweep").document["runs"][0]["status"] == "finished"  # nobody uses them
    done = command("train", f"{LINE} dir=sweep retry=true")
    assert (done.code, weights.read_bytes() != before[:-9] + bytes(9)) == (0, True)
    assert rundir.damage(sweep[0], weights=True) is None


def test_other_code_does_not_evaluate_into_a_finished_run(sweep, command, monkeypatch):
    (sweep[0] / "predictions.npz").unlink()
    before = (sweep[0] / "status.json").read_bytes()
    monkeypatch.setattr(torch.nn, "ReLU", torch.nn.Softplus)
    refused(command("evaluate", f"run={sweep[0]}"), "its weights give", "and it reported", "Nothing was written")
    assert not (sweep[0] / "predictions.npz").exists()
    assert (sweep[0] / "status.json").read_bytes() == before


def test_a_sweep_that_other_code_began_is_said_so(sweep, command, monkeypatch):
    monkeypatch.setattr(key, "code", lambda package=None: {"training/fit.py": "changed"})
    key.code_digest.cache_clear()
    refused(command("train", f"{LINE} dir=sweep"), "holds another sweep: code that computes numbers has changed")
    key.code_digest.cache_clear()


def test_weights_of_another_run_are_not_started_from(sweep, command):
    shutil.copy(sweep[1] / "checkpoints/best.ckpt", sweep[0] / "checkpoints/best.ckpt")
    line = f"{TINY} transfer=head_only transfer.source={sweep[0]} data=photo_patches data.size=8 dir=run"
    line = line.replace("architecture.filters=[4,8]", "")  # the source's own
    refused(command("train", line), "best.ckpt: is not what the run ended with")
    assert not Path("run").exists()


def test_tests_on_what_the_source_was_trained_on_are_said(command, workdir):
    """README's own line, on one data set: each seed has a split of its own."""
    line = TINY.replace("architecture.filters=[4,8]", "")
    assert command("train", f"{TINY} seed=0 dir=source").code == 0
    strategies = f"-m {line} transfer=head_only,retrain transfer.source=source output=json"
    done = command("train", f"{strategies} seed=1,2 dir=seen")
    said = "2 of 4 runs are tested on images that their source was trained on (up to "
    assert said in " ".join(done.err.split())
    assert any(said in warning for warning in done.document["verdict"]["warnings"])
    seen = rundir.read_run(Path(done.document["runs"][0]["run"])).transfer["source"]["seen"]
    source, mine = (_split(seed) for seed in (0, 1))
    assert seen["test"] == len(set(mine["test"]) & {*source["train"], *source["val"]}) > 0
    larger = command("train", f"{line} transfer=head_only transfer.source=source data.size=16 seed=1 dir=larger")
    assert "1 of 1 runs are tested on images" in " ".join(larger.err.split())
    done = command("train", f"{strategies} seed=1,2 data.split_seed=0 dir=new")
    assert "was trained on (" not in done.err
    assert [one for one in done.document["verdict"]["warnings"] if "nothing was learnt" not in one] == []


def test_what_a_source_of_the_source_or_its_clean_images_taught_is_said_too(command, workdir):
    line = TINY.replace("architecture.filters=[4,8]", "")
    assert command("train", f"{TINY} seed=0 dir=first").code == 0
    patches = "data=photo_patches data.size=8"
    assert command("train", f"{line} {patches} transfer=fine_tune transfer.source=first seed=0 dir=second").code == 0
    told = "1 of 1 runs are tested on images that their source was trained on"
    done = command("train", f"{line} transfer=fine_tune transfer.source=second seed=1 dir=third")
    assert told in " ".join(done.err.split())
    done = command("train", f"{line} transfer=fine_tune transfer.source=first data.messy=0.3 seed=1 dir=messy")
    assert told in " ".join(done.err.split())
    shutil.rmtree(workdir / "first")  # and another run trained in its place
    assert command("train", f"{TINY} seed=5 dir=first").code == 0
    done = command("train", f"{line} transfer=fine_tune transfer.source=second seed=1 dir=fourth")
    assert "/first holds another run than the one that first named" in " ".join(done.err.split())


def test_a_source_whose_data_is_gone_cannot_be_judged_and_that_is_said(command, workdir):
    line = TINY.replace("architecture.filters=[4,8]", "")
    assert command("train", f"{TINY} data.prepared_dir=elsewhere seed=0 dir=source").code == 0
    shutil.rmtree(workdir / "elsewhere")
    done = command("train", f"-m {line} transfer=head_only transfer.source=source seed=1 dir=sweep output=json")
    said = f"their source was trained on cannot be told: the data of {workdir}/source is not at elsewhere/"
    assert said in " ".join(done.err.split())
    assert any(said in warning for warning in done.document["verdict"]["warnings"])


@pytest.mark.parametrize("status", ["interrupted", "running", "failed"])
def test_a_source_that_has_not_finished_is_refused(status, command, workdir):
    assert command("train", f"{TINY} seed=0 dir=source").code == 0
    rundir.set_status(workdir / "source", status)
    line = TINY.replace("architecture.filters=[4,8]", "")
    done = command("train", f"{line} transfer=head_only transfer.source=source seed=1 dir=run")
    refused(done, f"transfer.source=source: its status is {status}", "has finished")


def test_a_fetched_source_with_the_checkpoint_of_another_run_is_refused(command, workdir):
    """What comes from MLflow has no status.json, which seals the checkpoint; the checkpoint names its run itself."""
    from pipeline import architecture, transfer
    from pipeline.transfer.network import read_source

    for seed in (0, 1):
        assert command("train", f"{TINY} seed={seed} dir=run{seed}").code == 0
    (workdir / "run0/status.json").unlink()
    (workdir / "run0/checkpoints/best.ckpt").unlink()
    shutil.copy(workdir / "run1/checkpoints/best.ckpt", workdir / "run0/checkpoints/best.ckpt")
    source = transfer.of_run(Path("run0"), "models:/m@a", fetched=True)
    outlined = transfer.outline(
        architecture.Cnn(), Transfer(strategy="head_only", source="run0"), (1, 8, 8), 10, source
    )
    with pytest.raises(InputError, match="is a checkpoint of another run"):
        read_source(outlined, source)


def test_files_of_ones_own_in_the_folder_of_a_run_are_not_written_over(command, workdir):
    for name in ("report.html", "status.json", "curves.png"):
        folder = workdir / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("my thesis")
        for sweep in ("", "-m "):
            done = command("train", f"{sweep}{TINY} seed=0 dir={folder.name}")
            refused(done, f"dir={folder.name}: holds {name} of no run or sweep")
        assert left_in(folder) == [name]


def test_a_file_of_ours_cannot_be_replaced_by_one_of_its_name(command, workdir):
    (workdir / "mine/experiment").mkdir(parents=True)
    (workdir / "mine/experiment/padding.yaml").write_text("# @package _global_\nexperiment: {name: padding}\n")
    line = "--config-dir mine -m experiment=padding"
    refused(command("plan", line), "mine/experiment/padding.yaml: has the name of a file of ours", "Rename it")
    shutil.copy(REPOSITORY / "conf/experiment/padding.yaml", workdir / "mine/experiment/padding.yaml")
    assert command("plan", f"{line} seed=0").code == 0


def _split(seed):
    settings = data.Data(limit_train=64)
    return {name: part.tolist() for name, part in data.split(data.prepare(settings, seed), settings, seed).items()}


def test_the_last_checkpoint_does_not_replace_the_curves_of_the_best(command, workdir):
    assert command("train", f"{TINY} experiment.invariance=true dir=run").code == 0
    before = (workdir / "run/invariance.json").read_bytes()
    assert command("evaluate", "run=run checkpoint=last output=json").code == 0
    assert (workdir / "run/invariance.json").read_bytes() == before


def test_a_run_of_a_sweep_is_not_trained_by_itself(sweep, command):
    line = f"{TINY} architecture.kernel_size=7 data.size=16 seed=9 dir={sweep[0]}"
    refused(command("train", line), "is a run of a sweep")


def test_sources_that_were_swapped_are_not_started_from(command, workdir):
    line = (
        f"-m {TINY} data=photo_patches data.size=8 transfer=head_only data@transfer.pretrain=digits "
        "transfer.pretrain.limit_train=64 seed=0,1 output=json"
    )
    assert command("train", line).code == 0
    first, second = sorted((workdir / "runs/train/sources").iterdir())
    first.rename(workdir / "kept")
    second.rename(first)
    (workdir / "kept").rename(second)
    for path in (workdir / "runs/train").glob("2*"):
        shutil.rmtree(path)
    done = command("train", line)
    assert done.code == 1
    assert done.document["runs"][0]["error"].count("is of another run than belongs there") == 1
    assert "retry=true" in done.document["runs"][0]["error"]
    mended = command("train", f"{line} retry=true")
    assert mended.code == 0, mended.err


def test_another_precision_is_another_run_and_said(command, workdir, monkeypatch):
    monkeypatch.setattr(environment, "native_bf16", lambda accelerator: True)
    first = command("train", LINE.replace("seed=0,1", "seed=0"))
    assert first.code == 0, first.err
    monkeypatch.setattr(environment, "native_bf16", lambda accelerator: False)
    done = command("train", LINE)
    assert done.code == 0, done.err
    assert ": finished before" not in done.err
    assert "the configuration has changed (trainer.precision: bf16-mixed -> 32-true)" in done.err
    told = {rundir.read_run(Path(run["run"])).config["trainer"]["precision"] for run in done.document["runs"]}
    assert told == {"32-true"}


@pytest.mark.parametrize("place", ["../victim", "/tmp", "..", ".", "a/b"])
def test_a_sweep_whose_runs_lie_elsewhere_is_put_aside(place, sweep, command, workdir):
    victim = workdir / "victim"
    (victim / "checkpoints").mkdir(parents=True)
    (victim / "checkpoints/thesis.ckpt").write_text("mine")
    (victim / "run.json").write_text("{}")
    (victim / "status.json").write_text("{}")
    record = rundir.read_json(workdir / "sweep/sweep.json")
    record["jobs"][0]["dir"] = place
    write_checked(workdir / "sweep/sweep.json", record)
    refused(command("compare", "sweep=sweep"), "sweep.json: is damaged", "is no folder of its own")
    refused(command("train", f"{LINE} retry=true dir=sweep"), "is no folder of its own")
    assert (victim / "checkpoints/thesis.ckpt").read_text() == "mine"
    assert sorted(path.name for path in victim.iterdir()) == ["checkpoints", "run.json", "status.json"]


def test_a_linked_run_takes_itself_alone_out_of_the_verdict_and_is_not_written_through(sweep, command, workdir):
    shutil.move(sweep[0], workdir / "elsewhere")
    sweep[0].symlink_to(workdir / "elsewhere")
    before = {path: path.stat().st_mtime_ns for path in (workdir / "elsewhere").rglob("*")}
    found = command("compare", "sweep=sweep output=json").document
    assert "is a link" in found["runs"]["excluded"][0]["reason"]
    done = command("train", f"{LINE} dir=sweep retry=true")
    assert [run["status"] for run in done.document["runs"]] == ["damaged", "finished", "finished", "finished"]
    assert {path: path.stat().st_mtime_ns for path in (workdir / "elsewhere").rglob("*")} == before


def test_comparing_a_sweep_tells_no_stranger_a_password(sweep, command, workdir, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    record = rundir.read_json(workdir / "sweep/sweep.json")
    record["tracking"] = {"uri": "http://stranger.invalid", "artifacts": None}
    write_checked(workdir / "sweep/sweep.json", record)
    done = command("compare", "sweep=sweep output=json")
    assert done.code == 0
    assert "not shown on MLflow: http://stranger.invalid: would be told your MLflow user name" in done.err


def test_plots_are_not_drawn_through_a_link(sweep, command, workdir):
    (workdir / "victim").mkdir()
    shutil.rmtree(workdir / "sweep/plots")
    (workdir / "sweep/plots").symlink_to(workdir / "victim")
    refused(command("compare", "sweep=sweep"), "plots: is a link")
    assert list((workdir / "victim").iterdir()) == []
