"""The verdict as tables for a paper."""

import csv
import io
import re
import shutil
import subprocess

import pytest
from markdown_it import MarkdownIt

from pipeline.config import Contrast
from pipeline.evidence import Run, tables, verdict

AWKWARD = ["a & b", "100 %", "$x_1$", "#1", "{[0, 1]}", "~^\\", "a|b", "`code`"]
TYPESET = [
    *AWKWARD, r"\input{x}", r"\end{tabular}", "^^41", "--- '' ``", "µ ≥ 3", "naïve", "−α→β", "日本", "\u202e😀",
    "-1", "1e-3", "[1, 2]", "* x", "%", "}", "{", "W" * 70, "a_very.long/and_structured-name_of_a_level",
]  # fmt: skip
HOSTILE = [*AWKWARD, 'x,"y"\nz', "*", "[b]", "<b>", "\x1b[31m"]
VALUES = {3: [0.90, 0.91, 0.92], 5: [0.95, 0.97, 0.96]}


def judge(values, **asked):
    runs = [
        Run({"k": level}, seed, {"test/acc": value}) for level, row in values.items() for seed, value in enumerate(row)
    ]
    return verdict(runs, ["k"], "test/acc", smallest_effect=0.01, experiment="demo", **asked)


@pytest.fixture
def doc():
    claim = Contrast({"k": [5, 3]}, claim="Larger is better", expects="better", margin=0.02)
    return judge(VALUES, contrasts=[claim])


@pytest.fixture
def hostile():
    runs = [Run({"k": level}, seed, {"test/acc": 0.9 + 0.01 * seed}) for level in HOSTILE for seed in range(2)]
    claim = Contrast({"k": HOSTILE[:2]}, claim=" & ".join(HOSTILE), expects="equal")
    return verdict(runs, ["k"], "test/acc", smallest_effect=0.01, experiment="a_b", contrasts=[claim])


def test_csv_has_every_level_and_claim_in_full_precision(doc):
    found = list(csv.DictReader(io.StringIO(tables.as_csv({"": doc}), newline="")))
    assert [(row["kind"], row["factor"], row["level"], row["verdict"]) for row in found] == [
        ("level", "k", "3", "worse"),
        ("level", "k", "5", "best"),
        ("contrast", "k", "5 less 3", "supported"),
    ]
    three, five, claim = found
    assert float(three["difference"]) == doc.factors["k"].levels[0].difference == pytest.approx(-0.05)
    assert float(three["low"]) == doc.factors["k"].levels[0].low
    assert (three["n"], float(three["mean"]), float(three["sd"])) == ("3", pytest.approx(0.91), pytest.approx(0.01))
    assert (five["p"], five["p_adjusted"], claim["mean"]) == ("", "", "")
    assert (float(claim["margin"]), float(five["margin"]), claim["claim"]) == (0.02, 0.01, "Larger is better")


def test_markdown_has_a_table_for_each_factor_and_one_of_the_claims(doc):
    # The differences are -0.05, -0.06 and -0.04: sd 0.01. Of a single contrast the interval is Student's:
    # 0.05 -+ 4.3027 * 0.01 / sqrt(3) = 0.0252 to 0.0748; t = 8.660 with 2 degrees, p = 0.0131.
    said = tables.markdown({"": judge(VALUES)})
    assert "\n| 3 | 3 | 0.910 | 0.010 | -0.050 | [-0.075, -0.025] | 0.013 | 0.013 | worse |\n" in said
    assert "\n| 5 | 3 | 0.960 | 0.010 | – | – | – | – | best |\n" in said
    assert said.count("\n| --- |") == 1
    said = tables.markdown({"": doc})  # of two contrasts it is wider
    assert said.endswith(
        "| Larger is better (5 less 3) | 3 | +0.050 | [+0.024, +0.076] | 0.020 | 0.013 | 0.014 | supported |\n"
    )
    assert said.count("\n| --- |") == 2


def test_latex_has_signs_and_rules(doc):
    said = tables.latex({"": doc})
    assert "    3 & 3 & 0.910 & 0.010 & $-0.050$ & [$-0.076$, $-0.024$] & 0.014 & worse \\\\\n" in said
    assert "    5 & 3 & 0.960 & 0.010 & -- & -- & -- & best \\\\\n" in said
    assert [said.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [2, 2, 2]
    assert said.isascii()


def test_the_caption_says_what_the_numbers_are(doc):
    doc.about = "digits (1,258 training images), 20 epochs, adam at 0.001"
    said = tables.caption(doc)
    assert said.startswith(
        "demo: test/acc of digits (1,258 training images), 20 epochs, adam at 0.001; more is better."
    )
    assert "3 seeds (0 to 2)" in said
    assert "The 95 % intervals of all 2 differences hold at once, and" in said
    assert "Smallest effect of interest: 0.01." in said
    several = judge(VALUES, looks=[3, 5])
    assert "hold at once, whichever look ended them (3, 5 seeds)" in tables.caption(several)


def test_what_numbers_cannot_say_stands_below_them():
    runs = [
        Run({"k": k, "p": p}, s, {"test/acc": 0.5 + 0.1 * (k == p) + 0.001 * (s * (k + 2 * p) % 5)}, status="finished")
        for k in (1, 2)
        for p in (1, 2)
        for s in range(4)
    ]
    runs[0].status = "failed"
    doc = verdict(runs, ["k", "p"], "test/acc", smallest_effect=0.01)
    for said in (tables.markdown({"": doc}), tables.latex({"": doc})):
        assert "Not compared: 1 of 16 runs (1 failed)." in said
        assert "An interaction is shown" in said


def test_pairs_have_a_column_where_they_are_fewer():
    doc = judge({3: [0.90, 0.91, 0.92], 5: [0.95, 0.97, float("nan")]})
    said = tables.markdown({"": doc})
    assert "| k | n | mean | sd | pairs | difference |" in said
    assert "\n| 3 | 3 | 0.910 | 0.010 | 2 | -0.055 |" in said
    assert [row["pairs"] for row in csv.DictReader(io.StringIO(tables.as_csv({"": doc}), newline=""))] == ["2", "2"]


def test_a_small_p_and_a_small_number_stay_readable():
    doc = judge({3: [0.9, 0.91, 0.92], 5: [0.900001, 0.910001, 0.920001], 7: [0.1, 0.11001, 0.12]})
    assert "<0.001" in tables.markdown({"": doc})
    assert "$<0.001$" in (said := tables.latex({"": doc}))
    assert r"$-1 \cdot 10^{-6}$" in said


def test_hostile_levels_come_back_from_csv(hostile):
    found = list(csv.DictReader(io.StringIO(tables.as_csv({"": hostile}), newline="")))
    assert [row["level"] for row in found[:-1]] == HOSTILE
    assert found[-1]["claim"] == " & ".join(HOSTILE)


def test_hostile_levels_stay_one_cell_of_markdown(hostile):
    lines = [line for line in tables.markdown({"": hostile}).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(HOSTILE) + 2 + 1
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [10] * (2 + len(HOSTILE)) + [9] * 3
    assert r"| a\|b |" in lines[2 + HOSTILE.index("a|b")]
    assert r"| \`code\` |" in lines[2 + HOSTILE.index("`code`")]
    assert "\x1b" not in "".join(lines)


def test_hostile_levels_stay_one_cell_of_latex(hostile):
    said = tables.latex({"": hostile})
    rows = [line for line in said.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [7] * (1 + len(HOSTILE)) + [6] * 2
    bare = re.sub(r"\\[&%$#_{}]", "", said)  # what is left commands
    assert bare.count("{") == bare.count("}")
    assert "%" not in bare.removeprefix("%")
    assert not set("#_~^<>|") & set(re.sub(r"10\^|\$<|>\{\\raggedright", "", bare))
    firsts = [row.strip().partition(" & ")[0] for row in rows]
    assert firsts[1:4] == [r"a \& b", r"100\,\%", r"\$x\_1\$"]
    assert not [one for one in firsts if one.startswith(("[", "*"))]  # an option of the line before
    assert {r"\textasciitilde{}\textasciicircum{}\textbackslash{}", r"{[}b{]}", r"a\textbar{}b"} <= set(firsts)


def test_each_value_of_a_column_has_its_table(doc):
    found = {"mnist": doc, "cifar": judge({3: [0.5, 0.6], 5: [0.6, 0.5]})}
    parsed = list(csv.reader(io.StringIO(tables.written("csv", found, "set"), newline="")))
    assert parsed[0][:3] == ["set", "kind", "factor"]
    assert [row[0] for row in parsed[1:]] == ["mnist"] * 3 + ["cifar"] * 2
    assert tables.written("latex", found, "set").count(r"\begin{table}") == 2
    assert tables.written("markdown", found, "set").count("Smallest effect of interest") == 2


def test_what_has_no_result_and_what_was_not_varied_can_be_written():
    failed = [Run({"k": 3}, 0, status="failed"), Run({"k": 5}, 0, {"test/acc": 0.9})]
    doc = verdict(failed, ["k"], "test/acc", smallest_effect=0.01)
    assert "| 3 | 0 | – | – | – | – | – | – | no result |" in tables.markdown({"": doc})
    alone = verdict([Run({}, s, {"test/acc": 0.9}) for s in (0, 1)], [], "test/acc", smallest_effect=0.01)
    assert tables.markdown({"": alone}).startswith("Verdict: test/acc; more is better.")
    assert tables.as_csv({"": alone}).count("\n") == 2


def test_markdown_and_latex_say_the_numbers_of_json(doc):
    found = doc.to_json()
    rendered = MarkdownIt("commonmark").enable("table").render(tables.markdown({"": doc}))
    shown = [re.findall(r"<td.*?>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", rendered, re.DOTALL)]
    typeset = [line.strip().removesuffix(r" \\").split(" & ") for line in tables.latex({"": doc}).splitlines()]
    names = ["n", "mean", "sd", "difference", "low", "high", "p", "p_adjusted"]
    levels = found["factors"]["k"]["levels"]
    wanted = {str(one["level"]): (one["verdict"], [one[name] for name in names]) for one in levels}
    names = ["n", "difference", "low", "high", "margin", "p", "p_adjusted"]
    wanted["Larger is better (5 less 3)"] = ("supported", [found["contrasts"][0][name] for name in names])
    for name, (word, numbers) in wanted.items():
        if word == "best":  # is compared with none
            numbers = numbers[:3]
        plain_p = {numbers[-2]} if word != "best" else set()
        for rows, left_out in ((shown, set()), (typeset, plain_p)):
            (cells,) = [row for row in rows if len(row) > 2 and row[0] == name]
            assert cells[-1] == word
            read = [float(one) for cell in cells[1:-1] for one in re.findall(r"[-+]?\d+\.?\d*", cell)]
            assert read == [pytest.approx(one, abs=0.0005) for one in numbers if one not in left_out]


def test_hostile_levels_are_rendered_as_they_are(hostile):
    rendered = MarkdownIt("commonmark").enable("table").render(tables.markdown({"": hostile}))
    cells = re.findall(r"<tr>\n<td>(.*?)</td>", rendered)
    said = [cell.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">") for cell in cells]
    assert said[: len(AWKWARD)] == [one.replace("&quot;", '"') for one in AWKWARD]
    assert rendered.count("<table>") == 2
    assert "<code>" not in rendered
    assert "<b>" not in rendered


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX is installed")
@pytest.mark.parametrize("effect", [0.01, 0.001])
def test_latex_is_typeset_within_the_margins_whatever_levels_are_called(effect, tmp_path):
    runs = [
        Run({"my.long_key.of_a_factor": level}, seed, {"test/acc": 0.8 + 0.01 * seed + 0.001 * i})
        for i, level in enumerate(TYPESET)
        for seed in range(3)
    ]
    claim = Contrast({"my.long_key.of_a_factor": TYPESET[-2:]}, claim=" & ".join(AWKWARD), expects="not_worse")
    question = "Is 100 % of `it`_1 ≥ 50 µm & {ε}?"
    doc = verdict(
        runs, ["my.long_key.of_a_factor"], "test/acc", smallest_effect=effect, experiment="a_b", question=question,
        contrasts=[claim],
    )  # fmt: skip
    (tmp_path / "x.tex").write_text(r"\errmessage{a level was read as a command}")
    (tmp_path / "paper.tex").write_text(
        "\n".join([r"\documentclass{article}\usepackage{array,booktabs}\begin{document}", tables.latex({"": doc})])
        + r"\listoftables\end{document}"
    )
    for _ in range(2):  # the list of tables is of the first pass
        line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
        assert done.returncode == 0, done.stdout
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert not re.findall(r"^!.*|^Overfull.*|^Missing character.*|^LaTeX Warning.*", log, re.MULTILINE)
