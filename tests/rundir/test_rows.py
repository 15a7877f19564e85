import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import rundir


def test_rows_come_back_in_order(tmp_path):
    rundir.append_metrics(tmp_path, 1, {"val/acc": 0.5})
    rundir.append_metrics(tmp_path, 2, {"val/acc": 0.75, "val/loss": 1.5})
    rows = list(rundir.metric_rows(tmp_path))
    assert [(row.step, row.metrics) for row in rows] == [
        (1, {"val/acc": 0.5}),
        (2, {"val/acc": 0.75, "val/loss": 1.5}),
    ]
    assert list(rundir.metric_rows(tmp_path, skip=1)) == rows[1:]
    assert list(rundir.metric_rows(tmp_path, skip=2)) == []


def test_no_rows_where_nothing_was_recorded(tmp_path):
    assert list(rundir.metric_rows(tmp_path)) == []


def test_every_torn_last_line_is_left_out(tmp_path):
    rundir.append_metrics(tmp_path, 1, {"val/acc": 0.5})
    rundir.append_metrics(tmp_path, 2, {"val/acc": 0.75})
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        (tmp_path / "metrics.jsonl").write_bytes(whole[:end])
        assert [row.step for row in rundir.metric_rows(tmp_path)] == [1], whole[first:end]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["train/loss", "val/acc"]), st.floats(allow_nan=False, allow_infinity=False), min_size=1
        ),
        max_size=4,
    )
)
def test_numbers_survive_to_the_last_bit(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("run")
    for step, metrics in enumerate(rows):
        rundir.append_metrics(path, step, metrics)
    assert [row.metrics for row in rundir.metric_rows(path)] == rows


def test_a_row_that_was_changed_is_found_out(tmp_path):
    rundir.append_metrics(tmp_path, 1, {"val/acc": 0.75})
    file = tmp_path / "metrics.jsonl"
    file.write_text(file.read_text().replace("0.75", "0.95"))
    with pytest.raises(rundir.DamagedError, match=r"line 1: is no row of metrics: its checksum is another"):
        list(rundir.metric_rows(tmp_path))


# ---- heartbeat


@pytest.mark.parametrize(("content", "far"), [(None, 0), ("", 0), ("3", 0), ("3/", 0), ("0/0", 0), ("3/4", 0.75)])
def test_progress_is_a_hint(content, far, tmp_path):
    if content is not None:
        (tmp_path / "heartbeat").write_text(content)
    assert rundir.progress(tmp_path) == far


def test_a_beat_is_read_as_a_fraction(tmp_path):
    rundir.beat(tmp_path, 1, 8)
    assert rundir.progress(tmp_path) == 0.125
