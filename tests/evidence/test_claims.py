"""`python -m pipeline.claims`: one index of what became of every claim, over many sweeps."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from a_run import DATASET, a_run
from running import left_in, refused

from pipeline import rundir
from pipeline.config import Contrast
from pipeline.evidence import Run, verdict
from pipeline.records import JobRecord, SweepRecord

KERNEL = "architecture.kernel_size"
LARGER = Contrast(compare={KERNEL: [5, 3]}, claim="Larger is better", expects="better")
NASTY = "<script>alert(1)</script> [x](https://evil.invalid) | *b* $a_1$ www.evil.invalid\n# h"
WHERE = {"processor": "Some CPU", "cores": 2, "python": "3.11", "packages": {"torch": "2.9"}}


def made(folder, name="padding", day=1, *, lead=0.05, data="digits", claims=(LARGER,), tuned_in="", metric="test/acc",
         question="Which?", seconds=2.0, looks=None, failed=False):  # fmt: skip
    """A finished sweep of two kernel sizes and three seeds, as `train -m` leaves it: 5 is ahead by `lead`."""
    sweep = Path(folder) / name / f"2026-01-{day:02d}"
    runs = [
        Run({KERNEL: k}, seed, {metric: 0.9 + 0.002 * ((seed * k) % 3) + lead * (k == 5)}, 10, 10, seconds,
            dir=f"{k}-{seed}")
        for seed in range(3) for k in (3, 5)
    ]  # fmt: skip
    found = verdict(runs, [KERNEL], metric, smallest_effect=0.01, experiment=name, question=question,
                    contrasts=list(claims), looks=looks)  # fmt: skip
    found.about = f"{data} (8 training images), 1 epochs"
    asked = {"name": name, "question": question, "metric": metric, "mode": "max", "smallest_effect": 0.01}
    jobs = [JobRecord(run.levels, run.seed, run.dir, "k") for run in runs]
    record = SweepRecord(asked, [KERNEL], jobs, started=1767225600.0 + 86400 * (day - 1), git_sha="0123456789abcdef",
                         tuned_in=tuned_in)  # fmt: skip
    sweep.mkdir(parents=True)
    rundir.write_record(sweep / "sweep.json", record)
    rundir.write_json(sweep / "verdict.json", found.to_json())
    (sweep / "report.html").write_text("a report")
    for run in runs:
        (sweep / run.dir).mkdir()
        rundir.write_record(
            sweep / run.dir / "run.json",
            a_run(dataset=DATASET.__class__(**{**DATASET.__dict__, "name": data}), environment=WHERE),
        )
        if failed and run is runs[0]:
            rundir.set_status(sweep / run.dir, "failed")
        else:
            rundir.set_status(sweep / run.dir, "finished", seconds=seconds)
    return sweep


@pytest.fixture
def index(command):
    """The document of the command, and what was said beside it: index() -> (document, said)."""

    def of(line=""):
        done = command("claims", f"output=json {line}")
        assert done.code == 0, done.err
        return done.document, done.err

    return of


def test_what_became_of_a_claim_and_what_it_took(index, workdir):
    made("runs/deep/below")
    found, said = index()
    (one,) = found["experiments"]
    assert said == ""
    assert (one["experiment"], one["data"], one["question"]) == ("padding", ["digits"], "Which?")
    assert one["about"].startswith("digits (8 training images)")
    (claim,) = one["claims"]
    assert (claim["claim"], claim["outcome"], claim["n"], claim["margin"]) == ("Larger is better", "supported", 3, 0.01)
    assert claim["low"] < claim["difference"] < claim["high"]
    assert one["factors"][KERNEL]["sentence"].startswith(f"{KERNEL}: 5 beats 3 by 0.05")
    assert (one["seeds"], one["sequential"], one["settled"]) == (3, False, True)
    assert one["cost"] == {"runs": 6, "seconds": 12.0, "untimed": 0}
    assert (one["when"], one["git_sha"], one["tuning"]) == ("2026-01-01 00:00 UTC", "0123456789abcdef", None)
    assert one["machines"] == ["Some CPU, cores: 2, Python 3.11, torch 2.9"]
    assert found["outcomes"] == {"supported": 1}


@pytest.mark.parametrize(("lead", "outcome"), [(0.05, "supported"), (-0.05, "refuted"), (0.002, "refuted")])
def test_each_outcome_is_the_verdicts(lead, outcome, index, workdir):
    made("runs", lead=lead)
    assert index()[0]["experiments"][0]["claims"][0]["outcome"] == outcome


def test_the_newest_on_the_same_data_counts(index, workdir):
    made("runs", day=3, lead=0.05)
    made("runs/again", day=9, lead=-0.05)
    made("runs", day=5, lead=0.05, data="mnist")
    shown = {(one["data"][0], one["claims"][0]["outcome"]) for one in index()[0]["experiments"]}
    assert shown == {("digits", "refuted"), ("mnist", "supported")}


def test_one_that_has_no_verdict_yet_hides_none_that_has(index, workdir):
    made("runs", day=1)
    (made("runs", day=2) / "verdict.json").unlink()
    found, said = index()
    assert found["experiments"][0]["when"].startswith("2026-01-01")
    assert said.startswith("left out: runs/padding/2026-01-02: has no verdict yet")


def test_what_tuning_cost_is_added_and_it_claims_nothing(index, command, workdir):
    made("old", "padding-tuning", 1, seconds=5.0)
    made("old", "padding", 2, tuned_in="elsewhere/then/padding-tuning/2026-01-01")
    made("old", "padding-tuning", 3, seconds=100.0)  # of no sweep that is shown
    Path("old").rename("runs")
    found, _ = index()
    (one,) = found["experiments"]
    assert one["tuning"] == {"runs": 6, "seconds": 30.0, "untimed": 0}
    assert found["cost"]["seconds"] == 42.0
    assert "6 runs, 12 s; to tune the learning rates before, 6 runs, 30 s" in command("claims", "output=markdown").out


@pytest.mark.parametrize("said", ["runs/padding-tuning/2026-01-01", "../../etc", "/", "runs/other/2026-01-01"])
def test_tuning_that_is_not_there_is_told(said, index, workdir):
    made("runs", "other", 1)
    made("runs", "padding", 2, tuned_in=said)
    one = index()[0]["experiments"][1]
    assert (one["tuning"], one["note"]) == (None, "What its tuning cost is not known here.")


def test_a_failed_run_has_no_seconds(index, workdir):
    made("runs", failed=True)
    assert index()[0]["experiments"][0]["cost"] == {"runs": 6, "seconds": 10.0, "untimed": 1}


def changed(change):
    """A verdict.json as `change` leaves its document."""

    def damage(sweep):
        document = json.loads((sweep / "verdict.json").read_text())
        change(document)
        (sweep / "verdict.json").write_text(json.dumps(document))

    return damage


DAMAGE = {
    "no sweep": lambda sweep: (sweep / "sweep.json").write_text("{"),
    "sweep gone": lambda sweep: (sweep / "sweep.json").unlink(),
    "folder": lambda sweep: ((sweep / "sweep.json").unlink(), (sweep / "sweep.json").mkdir()),
    "sweep changed": lambda sweep: (sweep / "sweep.json").write_text(
        (sweep / "sweep.json").read_text().replace("padding", "paddinh")
    ),
    "half a verdict": lambda sweep: (sweep / "verdict.json").write_text(
        (sweep / "verdict.json").read_text()[:200]
    ),
    "empty": lambda sweep: (sweep / "verdict.json").write_bytes(b""),
    "a list": lambda sweep: (sweep / "verdict.json").write_text("[]"),
    "binary": lambda sweep: (sweep / "verdict.json").write_bytes(b"\xff\xfe\x00"),
    "deep": lambda sweep: (sweep / "verdict.json").write_text("[" * 100_000),
    "nan": lambda sweep: (sweep / "verdict.json").write_text('{"margin": NaN}'),
    "other types": changed(lambda d: d["contrasts"][0].update(difference="much")),
    "no number of a metric": changed(lambda d: d["contrasts"][0].update(high=10**400)),
    "no effect": changed(lambda d: d.update(smallest_effect=5e-324)),
    "no margin": changed(lambda d: d["contrasts"][0].update(margin=-1)),
    "no interval": changed(lambda d: d["contrasts"][0].update(low=None)),
    "analysis": changed(lambda d: d.update(layers={"sentences": [{"not": "said"}]})),
    "of another": changed(lambda d: d.update(experiment="other")),
    "of fewer runs": changed(lambda d: d["runs"].update(total=4)),
    "newer": changed(lambda d: d.update(version=99)),
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_sweep_is_named_in_a_line_and_left_out(how, index, workdir):
    made("runs", "stride")
    sweep = made("runs", "padding")
    DAMAGE[how](sweep)
    found, said = index()
    assert [one["experiment"] for one in found["experiments"]] == ["stride"]
    assert said.count("\n") == 1
    assert said.startswith("left out: ")
    assert str(sweep) in said
    assert found["left_out"] == [said.removeprefix("left out: ").rstrip("\n")]


def test_a_damaged_run_costs_nothing_and_hides_nothing(index, workdir):
    sweep = made("runs")
    (sweep / "3-0" / "run.json").write_text("{")
    (sweep / "5-0" / "status.json").write_text("{")
    one = index()[0]["experiments"][0]
    assert one["cost"] == {"runs": 6, "seconds": 10.0, "untimed": 1}
    assert one["machines"] == ["Some CPU, cores: 2, Python 3.11, torch 2.9"]


class Links(HTMLParser):
    """What a page refers to, and its tags."""

    def __init__(self):
        super().__init__()
        self.links, self.tags = [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]


def links(text):
    page = Links()
    page.feed(text)
    return page


def test_the_page_needs_nothing_but_itself_and_its_reports(command, workdir):
    sweep = made("runs", "two words & more", 2)
    made("runs", "stride", 1)
    assert command("claims", "out=shown/here").code == 0
    assert left_in(workdir / "shown") == ["here", "here/evidence.md", "here/evidence.png", "here/index.html"]
    page = links((workdir / "shown/here/index.html").read_text())
    outside = sorted({link for link in page.links if not link.startswith("#")})
    assert outside == [
        "./../../runs/stride/2026-01-01/report.html", "./../../runs/two%20words%20%26%20more/2026-01-02/report.html"
    ]  # fmt: skip
    assert "script" not in page.tags
    assert (workdir / "shown/here" / "../../runs/stride/2026-01-01/report.html").exists()
    shown = (workdir / "shown/here/evidence.md").read_text()
    assert "(./../../runs/stride/2026-01-01/report.html)" in shown
    assert "](evidence.png)" in shown
    assert str(workdir) not in shown + (workdir / "shown/here/index.html").read_text()
    assert (workdir / "shown/here/evidence.png").read_bytes().startswith(b"\x89PNG")
    assert sweep.exists()


def test_a_page_does_not_tell_where_this_machine_keeps_its_runs(command, workdir):
    made("runs", "stride")
    (made("runs", "padding") / "verdict.json").unlink()
    done = command("claims", f"runs_dir={workdir}/runs out=shown")
    assert f"left out: {workdir}/runs/padding/2026-01-01: has no verdict yet" in done.err
    for name in ("index.html", "evidence.md"):
        text = (workdir / "shown" / name).read_text()
        assert "padding/2026-01-01: has no verdict yet" in text
        assert str(workdir) not in text


def test_a_report_that_is_not_the_sweeps_own_is_not_linked(command, workdir):
    sweep = made("runs")
    (sweep / "report.html").unlink()
    (workdir / "secret.html").write_text("secret")
    (sweep / "report.html").symlink_to(workdir / "secret.html")
    assert command("claims", "out=shown").code == 0
    assert "report.html" not in (workdir / "shown/index.html").read_text() + (workdir / "shown/evidence.md").read_text()


def test_names_are_shown_and_do_nothing(command, workdir):
    claim = Contrast(compare={KERNEL: [5, 3]}, claim=NASTY, expects="better")
    made("runs", claims=[claim], question=NASTY, data=NASTY)
    sweep = next(Path("runs/padding").iterdir())
    for file in ("sweep.json", "verdict.json"):
        document = rundir.read_json(sweep / file)
        if file == "sweep.json":
            document["experiment"]["name"] = NASTY
            rundir.documents.write_checked(sweep / file, document)
        else:
            rundir.write_json(sweep / file, document | {"experiment": NASTY})
    done = command("claims", "out=shown")
    assert done.code == 0, done.err
    text = (workdir / "shown/index.html").read_text()
    page = links(text)
    assert "script" not in page.tags
    assert [link for link in page.links if not link.startswith("#")] == ["./../runs/padding/2026-01-01/report.html"]
    assert "&lt;script&gt;alert(1)" in text
    shown = (workdir / "shown/evidence.md").read_text()
    bare = re.sub(r"\\.", "", shown)  # what is left without what is escaped
    for word in ("<script", "[x]", "https:", "*b*", "www.evil", "$a"):
        assert word in NASTY
        assert word not in bare
    assert all(line.count("|") == lines[0].count("|") for lines in tables(bare) for line in lines)
    assert re.findall(r"^#+ .*", bare, re.M)[1:] == [line for line in bare.splitlines() if line.startswith("## ")]


def tables(text):
    """The tables of Markdown, by their lines."""
    return [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]


def test_the_same_sweeps_give_the_same_bytes(command, workdir):
    made("runs", "stride", 1, lead=0.5)
    made("runs", "padding", 2, metric="val/acc", lead=0.004)
    for out in ("one", "two"):
        assert command("claims", f"out={out}").code == 0
    for name in ("index.html", "evidence.md", "evidence.png"):
        assert (workdir / "one" / name).read_bytes() == (workdir / "two" / name).read_bytes()


def test_claims_by_other_metrics_are_told_apart(command, workdir):
    sweep = made("runs")
    changed(lambda d: d["contrasts"].append(d["contrasts"][0] | {"metric": "gap/acc", "claim": "It fits less"}))(sweep)
    assert command("claims", "out=shown").code == 0
    assert "| It fits less (by gap/acc) | supported |" in (workdir / "shown/evidence.md").read_text()
    page = (workdir / "shown/index.html").read_text()
    assert [f'aria-label="padding on digits: difference in {name}"' in page for name in ("test/acc", "gap/acc")] == [
        True, True
    ]  # fmt: skip


@pytest.mark.parametrize(
    "numbers",
    [
        {"difference": 0.0, "low": 0.0, "high": 0.0, "margin": 0.0, "values": [0.0, 0.0]},
        {"difference": 0.1, "low": None, "high": None, "values": [0.1], "n": 1, "outcome": "", "state": "open"},
        {"difference": None, "low": None, "high": None, "values": [], "n": 0, "outcome": "unheard of"},
        {"difference": 700.0, "low": -2e6, "high": 3e6, "margin": 1e-6},
        {"claim": "", "sentence": "x" * 3000},
    ],
)
def test_whatever_the_numbers_are_they_are_drawn(numbers, command, workdir):
    changed(lambda d: d["contrasts"][0].update(numbers))(made("runs"))
    done = command("claims", "out=shown")
    assert (done.code, done.err) == (0, "")
    assert (workdir / "shown/evidence.png").stat().st_size > 1000


def test_a_sweep_that_claims_nothing_is_told_by_its_factors(command, workdir):
    made("runs", claims=())
    assert f"{KERNEL}: 5 beats 3" in command("claims", "out=shown").out
    assert not (workdir / "shown/evidence.png").exists()
    assert "evidence.png" not in (workdir / "shown/evidence.md").read_text()
    assert "better" in (workdir / "shown/index.html").read_text()


def test_looks_and_what_is_open_are_told(command, workdir):
    made("runs", looks=[3, 5], lead=0.005)
    out = command("claims", "output=markdown").out
    assert "3 seeds, added until settled, with looks at 3 and 5; " in out
    assert "differences are open" in out


def test_the_table_names_each_claim(command, workdir):
    made("runs")
    made("runs", "stride", lead=-0.05)
    out = command("claims").out
    assert "padding on digits" in out
    assert re.search(r"Larger is better +supported +\+0\.0\d+ +\+0\.0\d+ to \+0\.0\d+ +0\.010 +3", out)
    assert "2 claims of 2 experiments on digits: 1 supported and 1 refuted; 12 runs, 24 s." in out


@pytest.mark.parametrize("make", [lambda: None, lambda: (made("runs") / "verdict.json").unlink()])
def test_without_a_verdict_it_says_what_to_do(make, command, workdir):
    Path("runs").mkdir()
    make()
    done = command("claims", "out=shown")
    assert done.code == 2
    assert "error: runs_dir=runs: no sweep with a verdict below it. Run `python -m pipeline.train -m" in done.err
    assert not Path("shown").exists()


def test_out_that_is_a_file_is_refused(command, workdir):
    made("runs")
    Path("shown").write_text("mine")
    refused(command("claims", "out=shown"), "out=shown: is a file; it must be a folder.")
    assert Path("shown").read_text() == "mine"
