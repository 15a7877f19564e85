"""`python -m pipeline.compare table=FILE`: any table of results, by the rule of sweeps."""

import csv
from pathlib import Path

import numpy as np
import pytest


def write(path: Path, effect: float = 0.05, seeds: int = 12, sets: tuple[str, ...] = ("",)) -> None:
    """A table of kernels 3 and 5, of which 5 is ahead by `effect` with a spread of 0.01; a column for several sets."""
    rng = np.random.default_rng(1)
    lines = [",".join(["set"] * (sets != ("",)) + ["kernel", "seed", "accuracy"])]
    for name in sets:
        for seed in range(seeds):
            for kernel in (3, 5):
                value = 0.9 + effect * (kernel == 5) + 0.01 * rng.normal()
                lines.append(",".join([name] * bool(name) + [str(kernel), str(seed), f"{value:.5f}"]))
    path.write_text("\n".join(lines) + "\n")


def test_a_table_gets_a_verdict(command, workdir):
    write(workdir / "t.csv")
    done = command("compare", "table=t.csv metric=accuracy output=json")
    assert done.code == 0, done.err
    kernel = done.document["factors"]["kernel"]
    assert (kernel["best"], kernel["conclusion"]) == (5, "better")
    said = done.document["rule"]
    assert [said["one_look"]] == said["levels"]
    assert said | {"levels": 0, "one_look": 0} == {
        "sequential": False, "looks": [12], "levels": 0, "one_look": 0, "contrasts": 1, "overlap": 0.0, "open": 0,
        "open_arms": [], "ended": True, "futile": False,
    }  # fmt: skip
    assert not list(workdir.glob("runs"))


def test_less_may_be_better_and_a_missing_number_is_told(command, workdir):
    (workdir / "t.csv").write_text("kernel,seed,loss\n3,0,0.5\n5,0,0.4\n3,1,0.52\n5,1,\n3,2,0.51\n5,2,0.41\n")
    found = command("compare", "table=t.csv metric=loss mode=min output=json").document
    assert found["factors"]["kernel"]["best"] == 5
    assert found["runs"]["excluded"][0]["reason"] == "loss is nan"


def test_a_sequential_design_is_judged_as_it_would_have_been(command, workdir):
    write(workdir / "t.csv")
    line = "table=t.csv metric=accuracy looks=[3,5,8,12]"
    found = command("compare", f"{line} output=json").document
    looks = found["looks"]
    assert [one["seeds"] for one in looks] == [3, 5, 8, 12][: len(looks)]
    assert looks[-1]["open"] == 0
    assert found["stopped_at"] == looks[-1]["seeds"] < 12
    level = found["factors"]["kernel"]["levels"][0]
    assert level["pairs"] == found["stopped_at"]  # judged then, and not again
    assert level["n"] == 12  # described by all that there is
    assert f"It would have stopped at {found['stopped_at']} seeds." in command("compare", line).out


def test_looking_each_time_settles_no_more_than_it_may(command, workdir):
    write(workdir / "t.csv", effect=0.0, seeds=20)
    found = command("compare", "table=t.csv metric=accuracy looks=each output=json").document
    assert found["rule"]["looks"] == list(range(3, 21))
    assert found["factors"]["kernel"]["conclusion"] != "better"


def test_each_value_of_a_column_gets_its_own(command, workdir):
    write(workdir / "t.csv", sets=("mnist", "cifar"))
    found = command("compare", "table=t.csv metric=accuracy by=set output=json").document
    assert found["by"] == "set"
    assert list(found["verdicts"]) == ["mnist", "cifar"]
    assert all(one["factors"]["kernel"]["best"] == 5 for one in found["verdicts"].values())
    shown = command("compare", "table=t.csv metric=accuracy by=set").out
    assert "t, set=mnist" in shown
    assert "t, set=cifar" in shown
    assert "mean ± sd" in shown
    assert not any(cost in shown for cost in ("params", "MACs", "s/run"))  # which nobody told


def test_a_claim_of_a_table(command, workdir):
    write(workdir / "t.csv")
    claim = "contrasts=[{compare: {kernel: [5, 3]}, claim: Larger is better, expects: better}]"
    found = command("compare", f"table=t.csv metric=accuracy output=json '{claim}'").document
    assert found["contrasts"][0]["outcome"] == "supported"
    assert found["sentences"][0].startswith("Larger is better: supported: 5 less 3 is +0.0")


def test_tables_for_a_paper(command, workdir):
    write(workdir / "t.csv")
    line = "table=t.csv metric=accuracy output="
    said = {kind: command("compare", f"{line}{kind}").out for kind in ("markdown", "latex", "csv")}
    assert said["markdown"].startswith("t: accuracy; more is better. Mean and standard deviation")
    assert said["markdown"].endswith(" best |\n")
    assert said["latex"].startswith("% needs")
    assert said["latex"].endswith("\\end{table}\n")
    rows = list(csv.DictReader(said["csv"].splitlines()))
    found = command("compare", f"{line}json").document["factors"]["kernel"]["levels"]
    assert [(row["level"], float(row["mean"]), row["verdict"]) for row in rows] == [
        (str(one["level"]), one["mean"], one["verdict"]) for one in found
    ]


def test_each_value_of_a_column_gets_its_own_table_for_a_paper(command, workdir):
    write(workdir / "t.csv", sets=("mnist", "cifar"))
    line = "table=t.csv metric=accuracy by=set output="
    rows = list(csv.DictReader(command("compare", f"{line}csv").out.splitlines()))
    assert [(row["set"], row["level"]) for row in rows] == [(s, k) for s in ("mnist", "cifar") for k in ("3", "5")]
    said = command("compare", f"{line}latex").out
    assert said.count("\\begin{table}") == 2
    assert "t, set=cifar: accuracy" in said


@pytest.mark.parametrize(
    ("table", "line", "message"),
    [
        ("kernel,seed,acc\n3,0,0.5\n", "metric=ac", "metric=ac: it has no such column. Did you mean 'acc'?"),
        ("kernel,acc\n3,0.5\n", "metric=acc", "it has no column seed"),
        ("kernel,seed,acc\n3,0,0.5\n", "metric=acc by=st", "by=st: it has no such column"),
        ("kernel,seed,acc\n3,x,0.5\n", "metric=acc", "line 2: seed=x: must be a whole number"),
        ("kernel,seed,acc\n3,0,good\n", "metric=acc", "line 2: acc=good: must be a number"),
        ("kernel,seed,acc\n3,0\n", "metric=acc", "line 2: 2 values for 3 columns"),
        ("kernel,seed,acc\n", "metric=acc", "has no rows"),
        ("kernel,seed,seed\n", "metric=acc", "two columns have one name"),
        ("", "metric=acc", "it has no column seed"),
        ("kernel,seed,acc\n3,0,0.5\n", "", "say by metric=COLUMN"),
        ("kernel,seed,acc\n3,0,0.5\n", "metric=acc looks=[5,3]", "ascending from 2"),
        ("kernel,seed,acc\n3,0,0.5\n", "metric=acc looks=often", "must be numbers of seeds"),
        ("kernel,seed,acc\n3,0,0.5\n", "metric=acc output=word", "must be one of table, json, markdown, latex, csv"),
        ("kernel,seed,acc\n3,0,0.5\n", "metric=acc out=here", "out=here: is for a sweep"),
    ],
)
def test_what_is_no_table_of_results_is_refused(command, workdir, table: str, line: str, message: str):
    (workdir / "t.csv").write_text(table)
    done = command("compare", f"table=t.csv {line}")
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_sweep_says_its_own_metric(command, workdir):
    done = command("compare", "metric=acc")
    assert done.code == 2
    assert "metric=acc: is for table=FILE" in done.err


def test_ten_thousand_runs(command, workdir):
    rng = np.random.default_rng(0)
    lines = ["kernel,padding,seed,acc"]
    for kernel in range(10):
        for padding in range(10):
            lines += [f"{kernel},{padding},{seed},{0.9 + 0.01 * rng.normal():.5f}" for seed in range(100)]
    (workdir / "t.csv").write_text("\n".join(lines) + "\n")
    found = command("compare", "table=t.csv metric=acc output=json").document
    assert found["runs"]["compared"] == 10_000
    assert found["rule"]["contrasts"] == 90
