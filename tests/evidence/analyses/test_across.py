"""The same comparisons at several levels of a factor, from runs whose numbers are made up."""

import itertools
import re
from dataclasses import replace

import pytest

from pipeline.config import Experiment
from pipeline.config.experiment import Contrast
from pipeline.evidence import Run, verdict, write_page
from pipeline.evidence.analyses import across

KERNEL, PADDING = "architecture.kernel_size", "architecture.padding"
KINDS = ["digits", "tones", "sentences"]


def accuracy(data, kernel, padding, seed):
    """On all kinds 3 is better than 1; same padding helps digits, costs on tones, and does nothing to sentences."""
    helps = {"digits": 0.05, "tones": -0.06, "sentences": 0.0}[data]
    noise = 0.001 * ((seed * 7 + kernel + len(padding) + len(data)) % 3)
    return 0.8 + 0.04 * (kernel == 3) + helps * (padding == "same") + noise + 0.01 * seed


def judged(kinds=KINDS, columns=((KERNEL, [3, 1]), (PADDING, ["same", "valid"])), more=()):
    runs = [
        Run({"data": d, KERNEL: k, PADDING: p}, seed, {"test/acc": accuracy(d, k, p, seed)})
        for d, k, p, seed in itertools.product(KINDS, (1, 3), ("same", "valid"), range(8))
    ]
    contrasts = [
        Contrast(compare={factor: pair}, at={"data": data}, claim=f"{factor} on {data}", expects="better")
        for factor, pair in columns
        for data in kinds
    ]
    contrasts += more
    doc = verdict(runs, ["data", KERNEL, PADDING], "test/acc", smallest_effect=0.02, contrasts=contrasts)
    if found := across.find(doc, runs, Experiment()):
        doc.analyses["across"] = found
    return doc, runs, found


def test_each_cell_is_a_contrast_of_the_verdict():
    doc, _, found = judged()
    assert (found.factor, found.levels) == ("data", KINDS)
    assert found.columns == [{KERNEL: [3, 1]}, {PADDING: ["same", "valid"]}]
    for row, level in enumerate(found.levels):
        for column, compare in enumerate(found.columns):
            one = doc.contrasts[found.cells[row][column]]
            assert (one.at, one.compare) == ({"data": level}, compare)


def test_the_sentences_say_where_an_answer_holds():
    _, _, found = judged()
    assert found.sentences == [
        "kernel_size 3 against 1: better on digits, tones, sentences. It carries over.",
        "padding same against valid: better on digits; worse on tones; the same on sentences.",
    ]


def test_what_was_asked_of_one_level_alone_does_not_carry_over():
    one = Contrast(compare={KERNEL: [1, 3]}, at={"data": "digits"}, claim="1 on digits", expects="better")
    assert judged(more=[one])[2].sentences[-1] == "kernel_size 1 against 3: worse on digits."


def test_what_is_shown_to_be_not_worse_is_not_open():
    doc, runs, _ = judged()
    ends = {"low": -0.01, "high": 0.05, "state": "not worse", "outcome": "supported", "expects": "not_worse"}
    doc.contrasts[:3] = [replace(one, **ends) for one in doc.contrasts[:3]]
    doc.contrasts[0] = replace(doc.contrasts[0], high=0.01, state="equivalent")  # the same, which is not worse either
    kernel, padding = across.find(doc, runs, Experiment()).sentences
    assert kernel == "kernel_size 3 against 1: the same on digits; not worse on tones, sentences. It carries over."
    assert padding.startswith("padding same against valid: better on digits;")


@pytest.mark.parametrize(("kinds", "columns"), [(KINDS[:1], 2), (KINDS, 1)])
def test_one_row_or_one_column_is_no_table(kinds, columns):
    pairs = ((KERNEL, [3, 1]), (PADDING, ["same", "valid"]))[:columns]
    assert judged(kinds, pairs)[2] is None


def test_the_page_has_a_row_for_each_level(tmp_path):
    doc, runs, _ = judged()
    write_page(doc, runs, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Does the answer carry over?" in page
    part = page[page.index("Does the answer carry over?") :]
    rows = re.findall(r"<tr><td class=l>(\w+)</td>(.*?)</tr>", part)[:3]
    assert [name for name, _ in rows] == KINDS
    assert ["v-best" in cells for _, cells in rows] == [True, True, True]
    assert ["v-worse" in cells for _, cells in rows] == [False, True, False]
    assert re.search(r"\+0\.04\d", rows[0][1])
    assert "<svg" in part
    assert doc.to_json()["across"]["levels"] == KINDS
