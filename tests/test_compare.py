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


def verdicts(command, workdir, text, more=""):
    (workdir / "t.csv").write_text(text)
    return command("compare", f"table=t.csv metric=acc {more}")


CLAIM = "'contrasts=[{claim: five beats three, compare: {k: [5,3]}, expects: better}]'"


def test_differences_without_any_spread_support_nothing(command, workdir):
    text = "k,seed,acc\n" + "".join(f"{k},{seed},{acc}\n" for seed in range(3) for k, acc in ((3, 0.9), (5, 0.92)))
    found = verdicts(command, workdir, text, f"output=json {CLAIM}").document
    assert found["contrasts"][0]["outcome"] == "open"
    assert found["factors"]["k"]["conclusion"] == "too few seeds"


def test_nothing_is_judged_before_the_first_look(command, workdir):
    """Read as often as one likes, at a level that is meant for one look, chance alone would be called a difference."""
    write(workdir / "t.csv", seeds=5)
    line = f"table=t.csv metric=accuracy looks=[12] {CLAIM.replace('k:', 'kernel:')}"
    found = command("compare", f"{line} output=json").document
    assert not found["rule"]["ended"]
    assert (found["contrasts"][0]["outcome"], found["contrasts"][0]["low"]) == ("open", None)
    assert [level["verdict"] for level in found["factors"]["kernel"]["levels"]] == ["too few seeds", "leads"]
    shown = " ".join(command("compare", line).out.split())
    assert "and the first look is at 12 seeds." in shown
    assert "before the first look at 12" in shown
    assert "saved" not in shown


def test_factors_that_never_meet_have_no_looks(command, workdir):
    text = "model,layers,seed,acc\n" + "".join(
        f"{m},{n},{s},0.{7 + s}\n" for s in (0, 1, 2) for m, n in (("a", 3), ("b", 5))
    )
    done = verdicts(command, workdir, text, "looks=[2,4]")
    assert done.code == 0
    assert "model: not compared: no seed has a result for every level." in done.out


def test_more_than_a_thousand_seeds(command, workdir):
    rng = np.random.default_rng(0)
    text = "k,seed,acc\n" + "".join(f"{k},{s},{rng.normal(0.9, 0.1):.4f}\n" for s in range(1100) for k in (3, 5))
    done = verdicts(command, workdir, text, "smallest_effect=0.001")
    assert done.code == 0
    assert "more than 1000 seeds would settle it" in " ".join(done.out.split())


def test_levels_that_met_the_leader_nowhere(command, workdir):
    text = "seed,l,c,acc\n0,B,y,0.8\n0,B,z,0.8\n1,A,y,0.7\n2,A,z,0.7\n"
    done = verdicts(command, workdir, text, "looks=[2,3]")
    assert done.code == 0
    assert "l: not compared: no seed has a result for " in done.out


@pytest.mark.parametrize(("first", "second"), [("1_0", "10"), ("1.1", "1.10"), ("007", "7")])
def test_levels_that_are_written_otherwise_stay_apart(first, second, command, workdir):
    lines = "".join(
        f"{k},{seed},0.{acc}{seed}\n" for seed in range(3) for k, acc in ((first, 8), (second, 6), ("2", 4))
    )
    found = verdicts(command, workdir, "k,seed,acc\n" + lines, "output=json").document
    assert [str(level["level"]) for level in found["factors"]["k"]["levels"]] == [first, second, "2"]
    assert not found["warnings"]


@pytest.mark.parametrize("seeds", [8, 60])
def test_a_measurement_is_no_factor(seeds, command, workdir):
    rng = np.random.default_rng(0)
    rows = "".join(f"{k},{s},{rng.normal(0.9, 0.01):.4f},{rng.random()}\n" for s in range(seeds) for k in (3, 5))
    text = "k,seed,acc,seconds\n" + rows
    assert "seconds has another value in each row" in verdicts(command, workdir, text).err
    done = verdicts(command, workdir, text, "factors=[k] output=json")
    assert list(done.document["factors"]) == ["k"]
    assert "factors=kk: it has no such column" in verdicts(command, workdir, text, "factors=[kk]").err


def test_seeds_alone_are_described(command, workdir):
    text = "seed,acc\n0,0.90\n1,0.91\n2,0.92\n"
    assert "| acc | 3 | 0.910 | 0.010 |" in verdicts(command, workdir, text, "output=markdown looks=[2,3]").out
    assert "differences" not in verdicts(command, workdir, text, "output=markdown").out
    (row,) = csv.DictReader(verdicts(command, workdir, text, "output=csv").out.splitlines())
    assert (row["kind"], row["n"], float(row["mean"])) == ("arm", "3", pytest.approx(0.91))
    assert "stopped" not in verdicts(command, workdir, text, "looks=[2,3]").out


def test_looks_at_each_seed_of_parts_one_of_which_has_a_single_seed(command, workdir):
    write(workdir / "t.csv", seeds=4, sets=("mnist", "cifar"))
    lines = [
        line for line in (workdir / "t.csv").read_text().splitlines() if not line.startswith("cifar") or ",0," in line
    ]
    (workdir / "t.csv").write_text("\n".join(lines) + "\n")
    found = command("compare", "table=t.csv metric=accuracy looks=each by=set output=json").document["verdicts"]
    assert found["mnist"]["rule"]["looks"] == [3, 4]
    assert [level["n"] for level in found["cifar"]["factors"]["kernel"]["levels"]] == [1, 1]


def test_models_of_one_seed_are_described_beside_a_column_that_says_nothing(command, workdir):
    text = "k,note,seed,acc\n1,x,0,0.7\n3,x,0,0.8\n5,x,0,0.9\n"
    assert "that is one seed" in " ".join(verdicts(command, workdir, text).out.split())
