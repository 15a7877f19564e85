"""What people see: the terminal table, the page, the plots."""

import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.config import Contrast
from pipeline.evidence import Run, figures, print_table, verdict, write_page
from pipeline.evidence.document import Origin, Verdict
from pipeline.evidence.sentence import count, join, number, text
from pipeline.records import Tuned

Sweep = Callable[..., list[Run]]
Example = tuple[Verdict, list[Run]]
NASTY = "<script>alert('$x_1$ & \"y\"')</script>"


def printed(doc: Verdict, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_table(doc, console)
    return console.file.getvalue()


@pytest.fixture
def example(crossed: Sweep) -> Example:
    runs = crossed(lambda k, p, s: 0.9 + 0.001 * ((k * s + len(p)) % 3) + 0.02 * (k == 5))
    doc = verdict(
        runs,
        ["kernel", "padding"],
        "test/acc",
        smallest_effect=0.005,
        experiment="demo",
        question="Which wins?",
        n_test=360,
    )
    return doc, runs


@pytest.mark.parametrize("width", [72, 80, 100, 140])
def test_the_table_fits_the_terminal(example: Example, width: int):
    out = printed(example[0], width)
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    for word in ("kernel", "mean ± sd", "difference [95 %]", "best", "worse"):
        assert word in out
    if width >= 80:
        for word in ("params", "MACs", "s/run"):
            assert word in out


def test_what_leads_is_not_coloured_as_if_it_were_best(one_factor: Sweep, tmp_path: Path):
    doc = verdict(one_factor({3: [0.95, 0.96], 5: [0.97, 0.95]}, "k"), ["k"], "test/acc", smallest_effect=0.005)
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    print_table(doc, console)
    out = console.file.getvalue()
    assert re.search(r"\x1b\[1mleads *\x1b\[0m", out)
    assert "\x1b[1;32m" not in out  # bold green
    assert "seconds by the clock" in out
    write_page(doc, [], tmp_path / "v.html", {})
    page = (tmp_path / "v.html").read_text()
    assert "class=best" not in page
    assert "seconds by the clock" in page


def test_a_heading_says_of_how_many_combinations_a_seed_is_the_mean(crossed: Sweep):
    runs = crossed(lambda k, p, s: 0.9 + 0.001 * ((k * s + len(p)) % 3))
    told = printed(verdict(runs, ["kernel", "padding"], "test/acc", smallest_effect=0.01), 100)
    assert "3 seeds, each the mean of 2 combinations" in told
    lost = [run for run in runs if (run.levels, run.seed) != ({"kernel": 5, "padding": "valid"}, 2)]
    told = printed(verdict(lost, ["kernel", "padding"], "test/acc", smallest_effect=0.01), 100)
    assert "3 seeds, each the mean of 1 to 2 of 2 combinations" in told
    left = [run for run in runs if (run.levels["kernel"], run.levels["padding"]) != (5, "valid")]
    told = printed(verdict(left, ["kernel", "padding"], "test/acc", smallest_effect=0.01), 100)
    assert "3 seeds, each the mean of 1 of 2 combinations" in told


def test_long_levels_stay_apart_wherever_they_differ(tmp_path: Path):
    layers = [[{"conv": {"filters": 8}}] * 60 + [{"dense": {"units": n}}] for n in (10, 11)]
    runs = [Run({"layers": one}, s, {"test/acc": 0.9 + s / 100}, 1, 1, 1.0) for one in layers for s in (1, 2)]
    doc = verdict(runs, ["layers"], "test/acc", smallest_effect=0.005)
    for width in (72, 80, 120):
        out = printed(doc, width)
        assert max(map(len, out.splitlines())) <= width
        named = re.findall(r"^\[.*?…([0-9a-f]{8}) ", out.partition("layers:")[0], re.M)
        assert len(set(named)) == 2, out
    assert len(doc.sentences[0]) < 400
    write_page(doc, runs, tmp_path / "v.html")
    page = (tmp_path / "v.html").read_text()
    assert page.count(f"<code>{text(layers[0], 10_000)}</code>") == 1
    assert doc.factors["layers"].levels[0].level == layers[0]


def test_brackets_in_levels_are_not_markup():
    runs = [Run({"filters": [bold, 64]}, s, {"test/acc": 0.9 + s / 100}, 1, 1, 1.0) for bold in (1, 2) for s in (1, 2)]
    runs += [Run({"filters": "[red]"}, s, {"test/acc": 0.8 + s / 90}, 1, 1, 1.0) for s in (1, 2)]
    out = printed(verdict(runs, ["filters"], "test/acc", smallest_effect=0.01), 100)
    assert "[1, 64]" in out
    assert "[red]" in out


def test_every_odd_sweep_can_be_printed_and_drawn(one_factor: Sweep, tmp_path: Path):
    nothing = [Run({"k": 3}, 1, status="failed"), Run({"k": 5}, 1, status="failed")]
    alone = [Run({}, seed, {"test/acc": 0.9}, curves={"val/acc": [(0, 0.5)]}) for seed in (1, 2)]
    one_seed = one_factor({3: [0.9], 5: [0.8]}, "k")
    many = one_factor({f"a very long level name {i}": [0.9 + i / 1000, 0.9, 0.91] for i in range(11)}, "k")
    for i, (runs, factors) in enumerate([(nothing, ["k"]), (alone, []), (one_seed, ["k"]), (many, ["k"])]):
        doc = verdict(runs, factors, "test/acc", smallest_effect=0.0)
        assert max(map(len, printed(doc, 80).splitlines())) <= 80
        write_page(doc, runs, tmp_path / f"{i}.html")
        assert doc.sentences[0].split(":")[0] in (tmp_path / f"{i}.html").read_text()


class Outline(HTMLParser):
    """Collects ids and what a browser would fetch, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)
        self.note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note(tag, attrs)

    def note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("src", "srcset", "data") or (name.endswith("href") and tag != "a"):
                self.fetched.append(value or "")
            elif name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(example: Example, tmp_path: Path):
    doc, runs = example
    path = tmp_path / "page" / "verdict.html"
    runs[0].dir = str(tmp_path / "page" / "runs" / "a b")
    write_page(doc, runs, path)
    page = path.read_text()
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert all(target.startswith("#p") for target in outline.fetched)
    assert {target[1:] for target in outline.fetched} <= set(outline.ids)
    assert len(set(outline.ids)) == len(outline.ids)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "./runs/a%20b/" in outline.links
    assert "./runs/5-valid-3/" in outline.links
    assert page.index("Which wins?") < page.index(doc.sentences[0][:20]) < page.index("<svg")
    assert [left.name for left in path.parent.iterdir()] == ["verdict.html"]


def test_the_page_is_the_same_each_time(example: Example, tmp_path: Path):
    doc, runs = example
    write_page(doc, runs, tmp_path / "a.html")
    write_page(doc, runs, tmp_path / "b.html", figures(doc, runs))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_everything_is_escaped(tmp_path: Path):
    runs = [
        Run(
            {NASTY: level},
            seed,
            {"test/acc": 0.9 + seed / 100, NASTY: 1.0},
            1,
            1,
            1.0,
            "finished",
            f"{NASTY}{seed}",
        )
        for level in (NASTY, "$\\frac$")
        for seed in (1, 2)
    ]
    runs.append(Run({NASTY: NASTY}, 3, {}, status=NASTY))
    doc = verdict(runs, [NASTY], "test/acc", smallest_effect=0.01, experiment=NASTY, question=NASTY)
    write_page(doc, runs, tmp_path / "v.html")
    outline = Outline()
    outline.feed((tmp_path / "v.html").read_text())
    assert "script" not in outline.tags
    assert outline.open == []


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    doc, runs = example
    path = tmp_path / "v.html"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_page(doc, runs, path, {})
    assert path.read_text() == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["v.html"]


def test_columns_stand_under_their_heads(example: Example, tmp_path: Path):
    write_page(*example, tmp_path / "v.html", {})
    page = re.sub(r"<(t[dh])\b[^>]*>", r"<\1>", (tmp_path / "v.html").read_text())
    tables = re.findall(r"<table>(.*?)</table>", page)
    head, three, five = (re.findall(r"<t[dh]>(.*?)</t[dh]>", row) for row in tables[0].split("</tr>")[:3])
    rows = [dict(zip(head, row, strict=True)) for row in (three, five)]
    assert [(row["level"], row["n"], row["params"], row["MACs"]) for row in rows] == [
        ("3", "3", "9", "30"),
        ("5", "3", "25", "50"),
    ]
    assert "worse" in rows[0]["verdict"]
    for table in tables:
        heads, *body = table.split("</tr>")[:-1]
        assert {row.count("<td>") for row in body} == {heads.count("<th>")}


def test_figures_are_named_and_saved_as_png(example: Example, tmp_path: Path):
    made = figures(*example)
    assert {"kernel.seeds", "kernel.difference", "kernel.curve.val_acc", "padding.seeds", "cost.macs"} <= set(made)
    for name, figure in made.items():
        figure.savefig(tmp_path / f"{name}.png")


def test_numbers_in_words():
    assert [number(0.0123, 0.005), number(0.0123, 0.01), number(0.5, 0), number(None, 1)] == [
        "0.012",
        "0.012",
        "0.5000",
        "–",
    ]
    assert number(-0.0001, 0.005) == "-0.0001"
    assert number(0.0, 0.005, sign=True) == "+0.000"
    assert [count(v) for v in (940, 999.9, 1000, 12_345, 1_250_000, 2.5e9, None)] == [
        "940",
        "1.00k",
        "1.00k",
        "12.3k",
        "1.25M",
        "2.50G",
        "–",
    ]
    assert [join(x) for x in (["a"], ["a", "b"], ["a", "b", "c"], [])] == ["a", "a and b", "a, b and c", ""]
    assert [text(x) for x in (True, None, 1e-4, [1, [2.0]], {"a": 1})] == [
        "true",
        "null",
        "0.0001",
        "[1, [2.0]]",
        "{a: 1}",
    ]


def test_claims_and_learning_rates_have_their_tables(example: Example, tmp_path: Path):
    _, runs = example
    claim = Contrast({"kernel": [5, 3]}, claim="Larger is <better>", expects="better")
    doc = verdict(runs, ["kernel", "padding"], "test/acc", smallest_effect=0.005, contrasts=[claim])
    doc.about = "digits (1,258 training images), 20 epochs, adam at 0.0003 to 0.01"
    doc.tuned = [
        Tuned({"kernel": 3}, 0.01, {"0.0003": 0.91, "0.01": 0.95}), Tuned({"kernel": 5}, 0.0003, {"0.0003": 0.9})
    ]  # fmt: skip
    write_page(doc, runs, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Larger is &lt;better&gt;: supported" in page
    assert "<h2>Claims</h2>" in page
    assert "<h2>Learning rates</h2>" in page
    assert "0.0003 to 0.01" in page
    assert page.index("Larger is") < page.index("<h2>Claims")
    shown = printed(doc, 100)
    assert "Larger is <better>: supported" in shown
    assert doc.about in shown


def test_what_must_hold_and_what_winning_costs_have_their_tables(crossed: Sweep, tmp_path: Path):
    runs = crossed(lambda k, p, s: 0.9 + 0.001 * ((k * s + len(p)) % 3) + 0.02 * (k == 5))
    for run in runs:
        run.metrics["gap/acc"] = 0.01 * (run.levels["kernel"] == 5) + 0.001 * run.seed
    doc = verdict(runs, ["kernel", "padding"], "test/acc", smallest_effect=0.005, n_test=360)
    write_page(doc, runs, tmp_path / "v.html", {})
    page = (tmp_path / "v.html").read_text()
    assert page.index("<h2>What winning costs") < page.index("<h2>What must hold") < page.index("<h2>Every run")
    # 5 less 3 is 0.01 at every seed; 25 parameters to 9 are 2.78 times as many, 50 MACs to 30 are 1.67.
    row = re.search(r"<td class=l>kernel</td><td class=l>5</td><td class=l>3</td>(.*?)</tr>", page)
    assert row
    assert re.findall(r"<td>(.*?)</td>", row[1]) == [
        "+0.010 [+0.010, +0.010]",
        "not shown",
        "2.78×",
        "1.67×",
        "1.00×",
    ]
    assert "12 of 12: none is missing" in page
    assert "How to run this again" not in page  # nothing is known of it


def test_what_is_open_has_its_chance_and_its_cost(crossed: Sweep, tmp_path: Path):
    runs = crossed(lambda k, p, s: 0.9 + 0.004 * ((k * s + len(p)) % 3))
    doc = verdict(runs, ["kernel", "padding"], "test/acc", smallest_effect=0.001)
    write_page(doc, runs, tmp_path / "v.html", {})
    page = (tmp_path / "v.html").read_text()
    assert "<h2>What is open</h2>" in page
    assert "As many seeds again for all that is open are 12 runs (12 s)" in page
    settled = verdict(runs, ["kernel", "padding"], "test/acc", smallest_effect=0.5)
    write_page(settled, runs, tmp_path / "s.html", {})
    assert "What is open" not in (tmp_path / "s.html").read_text()


def test_a_sequential_design_says_what_it_saved(one_factor: Sweep, tmp_path: Path):
    runs = one_factor({3: [0.90, 0.91, 0.90, 0.91], 5: [0.95, 0.96, 0.96, 0.95]}, "k")
    doc = verdict(runs, ["k"], "test/acc", smallest_effect=0.01, looks=[4, 6, 8, 10])
    said = "8 runs were trained, where all arms at 10 seeds would be 20: 60% were saved."
    assert said in printed(doc, 100)
    write_page(doc, runs, tmp_path / "v.html", {})
    assert said in (tmp_path / "v.html").read_text()
    for looks in (None, [2, 4], [4, 200]):  # a fixed list; at the cap
        doc = verdict(one_factor({3: [0.9, 0.95] * 2, 5: [0.95, 0.9] * 2}), ["architecture.kernel_size"], "test/acc",
                      smallest_effect=0.001, looks=looks)  # fmt: skip
        assert "were saved" not in printed(doc, 100)


def test_how_to_run_it_again(example: Example, tmp_path: Path):
    doc, runs = example
    doc.origin = Origin(
        "python -m pipeline.train -m 'a=<b>' seed=0,1",
        ["0123abc"],
        "2026-01-02 03:04:05",
        ["a <processor>, 2 cores"],
        ["python 3.11.7", "torch 2.9"],
        12,
        7200.0,
    )
    write_page(doc, runs, tmp_path / "v.html", {})
    page = (tmp_path / "v.html").read_text()
    assert "python -m pipeline.train -m &#x27;a=&lt;b&gt;&#x27; seed=0,1" in page
    for said in ("0123abc", "2026-01-02 03:04:05 UTC", "python 3.11.7, torch 2.9", "12 runs, 2.0 h of training in all"):
        assert said in page
    assert "<processor>" not in page
