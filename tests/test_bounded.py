"""What hangs is given up."""

import time

import pytest

from pipeline.bounded import within


def test_what_does_not_answer_is_not_waited_for():
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        within(0.1, lambda: time.sleep(3))
    assert time.monotonic() - began < 2


def test_what_answers_or_fails_in_time_does_so_here():
    assert within(5, lambda: "answer") == "answer"
    with pytest.raises(KeyError, match="gone"):
        within(5, lambda: {}["gone"])
