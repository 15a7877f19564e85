"""A signal that comes within an import."""

import importlib
import signal
import sys
import threading
import time

import pytest

from pipeline import stopping


@pytest.fixture
def slow_module(tmp_path, monkeypatch):
    """The name of a module that takes its time to import, and is stopped on its way."""
    (tmp_path / "takes_its_time.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.3)\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "takes_its_time"
    sys.modules.pop("takes_its_time", None)


def test_an_import_is_not_torn(slow_module):
    def work():
        importlib.import_module(slow_module)
        time.sleep(10)

    began = time.monotonic()
    with pytest.raises(stopping.Stopped, match="SIGTERM"), stopping.interruptible():
        work()
    assert time.monotonic() - began < 2
    assert sys.modules[slow_module].whole
    sys.modules.pop("colorsys", None)
    other = threading.Thread(target=importlib.import_module, args=["colorsys"])  # the import lock is free
    other.start()
    other.join(5)
    assert not other.is_alive()


def test_an_import_without_end_is_given_up(slow_module, monkeypatch):
    monkeypatch.setattr(stopping, "GRACE_S", 0.1)
    with pytest.raises(stopping.Stopped, match="SIGTERM"), stopping.interruptible():
        importlib.import_module(slow_module)
    assert slow_module not in sys.modules


def test_no_alarm_is_left(slow_module):
    with stopping.interruptible():
        importlib.import_module(slow_module)  # over before the signal is looked at again
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
