"""seeds=auto: seeds are added to what is open, until all is settled or there are no more to be had."""

import json

import pytest
from running import TINY, refused

from pipeline import rundir

SWEEP = f"-m {TINY} architecture.kernel_size=3,5 seeds=auto output=json"


def jobs(workdir, document):
    return rundir.read_sweep(workdir / document["sweep"]).jobs


def test_it_ends_at_the_first_look_where_all_is_settled(command, workdir):
    done = command("train", f"{SWEEP} experiment.smallest_effect=0.9 experiment.max_seeds=8")
    assert done.code == 0, done.err
    verdict = done.document["verdict"]
    assert len(done.document["runs"]) == 8
    assert verdict["rule"]["looks"] == [4, 6, 8]
    assert (verdict["rule"]["sequential"], verdict["rule"]["open"], verdict["rule"]["ended"]) == (True, 0, True)
    assert verdict["factors"]["architecture.kernel_size"]["conclusion"] == "no difference shown"
    report = (workdir / done.document["sweep"] / "report.html").read_text()
    assert "looked at when there were 4, 6, 8" in " ".join(report.split())


def test_it_goes_on_to_the_cap_with_what_is_open(command, workdir):
    line = f"{SWEEP} experiment.smallest_effect=0.000001 experiment.max_seeds=6"
    done = command("train", line)
    assert sorted(job.seed for job in jobs(workdir, done.document)) == sorted([*range(6)] * 2)
    assert "look at 4 seeds: 0 of 1 differences are settled; 2 of 2 arms go on to 6 seeds" in done.err
    assert "finished before" not in done.err
    assert done.document["verdict"]["rule"]["ended"]
    again = command("train", line)  # nothing is left to do
    assert again.document["sweep"] == done.document["sweep"]
    assert again.document["verdict"] == done.document["verdict"]
    assert again.err.count("finished before") == 12


def test_interrupted_between_its_looks_it_goes_on(command, workdir, stopped_once):
    line = f"{SWEEP} experiment.smallest_effect=0.000001 experiment.max_seeds=6"
    undisturbed = command("train", f"{line} dir=undisturbed").document["verdict"]
    stopped_once("seed-5")
    assert command("train", f"{line} resume=true runs_dir=other").code == 75
    done = command("train", f"{line} runs_dir=other")
    assert done.code == 0, done.err
    levels = [[one["values"] for one in found["factors"]["architecture.kernel_size"]["levels"]]
              for found in (undisturbed, done.document["verdict"])]  # fmt: skip
    assert levels[0] == levels[1]
    assert len(list((workdir / "other/train").glob("*/sweep.json"))) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds=auto seed=0,1", "seeds=auto takes seeds 0, 1, 2 and so on by itself"),
        ("seeds=all seed=0,1", "seeds=all: must be one of auto"),
        ("seeds=auto experiment.max_seeds=1", "experiment.max_seeds=1: must be a whole number from 2 to 1000"),
    ],
)
def test_what_is_no_sequential_design_is_refused(command, line, message):
    refused(command("train", f"-m {TINY} architecture.kernel_size=3,5 {line}"), message)


def test_the_plan_says_what_it_may_take(command):
    found = command("plan", SWEEP).document
    assert found["looks"] == [4, 6, 8, 10, 13, 17, 22, 30]
    assert found["runs"] == 60
    assert "at most 30 seeds" in command("plan", SWEEP.replace("output=json", "")).out


def test_seeds_that_are_added_to_a_list_are_not_judged_with_it(command, workdir):
    line = f"-m {TINY} architecture.kernel_size=3,5 output=json"
    first = command("train", f"{line} seed=0,1,2").document
    done = command("train", f"{line} seed=0,1,2,3,4")
    assert done.document["sweep"] == first["sweep"]
    assert len(done.document["runs"]) == 10
    before, after = first["verdict"], done.document["verdict"]
    assert after["factors"] == before["factors"]
    assert after["seeds"] == [0, 1, 2]
    said = "Not judged: 4 runs of seeds that were added after the verdict of the fixed list 0 to 2 had been read."
    assert any(one.startswith(said) for one in after["warnings"])
    assert "mind: 4 runs are of seeds that were added after the verdict on 0 to 2" in done.err
    again = after["origin"]["command"]  # which gives this verdict
    assert " seed=0,1,2 " in again
    assert "output" not in again
    third = command("train", f"{line} seed=0,1,2,3,4,5").document["verdict"]  # nor by asking a third time
    assert third["factors"] == before["factors"]
    # The very same seeds, asked for at once, are a list of five.
    whole = command("train", f"{line} seed=0,1,2,3,4 resume=false").document["verdict"]
    assert whole["seeds"] == [0, 1, 2, 3, 4]


def test_a_sweep_of_other_looks_is_another(command, workdir):
    line = f"{SWEEP} experiment.smallest_effect=0.9"
    first = command("train", f"{line} experiment.max_seeds=4").document
    second = command("train", f"{line} experiment.max_seeds=6").document
    assert first["sweep"] != second["sweep"]
    assert json.loads((workdir / second["sweep"] / "sweep.json").read_text())["looks"] == [4, 6]


def test_what_is_judged_is_written_down_before_the_first_run(command, workdir):
    line = f"-m {TINY} architecture.kernel_size=3,5 seed=0,1 output=json"
    first = command("train", line).document
    design = first["verdict"]["design"]
    assert design == rundir.read_sweep(workdir / first["sweep"]).design
    assert (
        f"planned before the first run as <code>{design}</code>"
        in (workdir / first["sweep"] / "report.html").read_text()
    )
    other = command("train", f"{line} experiment.smallest_effect=0.03").document["verdict"]["design"]
    assert other != design
    grown = command("train", line.replace("3,5", "2,3,5")).document
    assert grown["sweep"] == first["sweep"]
    assert grown["verdict"]["design"] == design
    assert any(one.startswith("What was to be judged is not what was planned") for one in grown["verdict"]["warnings"])


def test_each_of_several_sweeps_is_gone_on_with_as_it_was(command, workdir, stopped_once):
    """They differ by a rate, and so by how far they went: one in which chance alone is seen, one that is settled."""
    line = f"-m {TINY} architecture.kernel_size=3,5 seeds=auto output=json experiment.max_seeds=6"
    settled = f"{line} optimizer.lr=0.002 experiment.smallest_effect=0.9"
    longer = f"{line} optimizer.lr=0.001 experiment.smallest_effect=0.9 trainer.max_epochs=2"
    first = command("train", settled).document
    stopped_once("seed-2")
    assert command("train", longer).code == 75  # within its first look
    assert command("train", settled).document["sweep"] == first["sweep"]
    done = command("train", longer)
    assert len(done.document["runs"]) == 8
    assert len(list((workdir / "runs/train").glob("*/sweep.json"))) == 2
    again = command("train", settled)
    assert (again.document["sweep"], again.document["verdict"]) == (first["sweep"], first["verdict"])
    assert again.err.count("finished before") == 8


def test_a_sweep_takes_no_seeds_from_one_that_went_further(command, workdir):
    line = f"-m {TINY} architecture.kernel_size=3,5 seeds=auto output=json experiment.max_seeds=6"
    open_ = f"{line} optimizer.lr=0.001 experiment.smallest_effect=0.000001"
    settled = f"{line} optimizer.lr=0.001 experiment.smallest_effect=0.9"
    first = command("train", settled).document
    assert len(first["runs"]) == 8
    further = command("train", open_).document
    assert len(further["runs"]) == 12
    again = command("train", settled).document
    assert (again["sweep"], len(again["runs"]), again["verdict"]) == (first["sweep"], 8, first["verdict"])
    other = command("train", f"{settled} seeds=auto optimizer.lr=0.002").document
    assert len(other["runs"]) == 8
    assert command("train", open_).document["sweep"] == further["sweep"]
