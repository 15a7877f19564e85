"""Show runs and sweeps on MLflow while they are under way, and after.

Nothing here stops a run, or holds up its end for longer than `tracking.wait_s` when a server does not answer.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline import rundir, terminal
from pipeline.bounded import within
from pipeline.config.tracking import Tracking
from pipeline.tracking import unsent
from pipeline.tracking.connect import is_away, is_busy, reason, set_up
from pipeline.tracking.send import send
from pipeline.tracking.state import (
    End,
    Findings,
    find_end,
    is_behind,
    is_held,
    load_state,
    lock,
    read_state,
    tracking_of,
)

log = logging.getLogger(__name__)

# A database on this machine does not go away; with others at it, it takes its time.
LOCAL_WAIT_S = 60.0
STOP_WAIT_S = 5.0  # whoever stopped it may kill it soon
SWEEP_WAIT_S = 60.0  # for all runs of a sweep that missed something; a server that does not answer ends it earlier
HANGING_WAIT_S = 0.5  # for one that did not answer at the end of the run before

LOOK_S = 0.5  # how often the command of a sweep looks for runs that have begun or ended

# Servers that did not answer at the end of the last run: two hundred short runs would otherwise wait for each.
_hanging: set[str] = set()

_left_to_command = False


def leave_to_command() -> None:
    """From now on, the command that started this process shows what is trained here: it calls `show_runs`.

    Such a process never imports MLflow, which takes three seconds.
    """
    global _left_to_command
    _left_to_command = True


@contextlib.contextmanager
def show_run(run: Path, tracking: Tracking) -> Iterator[None]:
    """Show the run on MLflow while the body trains it, and its end when it has ended."""
    if tracking.uri is None:
        yield
        return
    record = rundir.read_run(run)
    unsent.add(run, record.uid, Path(record.config["runs_dir"]), tracking.uri)
    if _left_to_command:
        yield
        return
    set_up(tracking)
    ended, enough = threading.Event(), threading.Event()
    problem: list[Exception] = []

    def push() -> None:
        while not enough.is_set():
            last = ended.is_set()
            try:
                send(run, tracking, mine=True, still_wanted=lambda: not enough.is_set())
                problem.clear()
            except Exception as error:  # whatever it is, it is no reason to stop training
                problem[:] = [error]
            # At the end a database that is busy is tried again; a server that does not answer now is not.
            if last and not (problem and not tracking.remote and is_busy(problem[0])):
                return
            enough.wait(0.3) if last else ended.wait(tracking.push_every_s)

    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    wait_s = HANGING_WAIT_S if tracking.remote and tracking.uri in _hanging else _patience_s(tracking)
    try:
        yield
    except BaseException:
        wait_s = min(wait_s, STOP_WAIT_S)
        raise
    finally:
        ended.set()
        thread.join(wait_s)
        enough.set()
        if thread.is_alive():
            _hanging.add(tracking.uri)
        elif not problem:
            _hanging.discard(tracking.uri)
        # The end of a sweep sends what its runs missed, and speaks for all of them.
        if (thread.is_alive() or problem) and not (run.parent / "sweep.json").exists():
            _warn(run, tracking, "the run", problem[0] if problem else TimeoutError("no answer in time"))


@contextlib.contextmanager
def show_runs(runs: Sequence[Path], tracking: Tracking) -> Iterator[None]:
    """Show runs of a sweep while other processes train them. What is left at the end, `end_sweep` sends."""
    if tracking.uri is None:
        yield
        return
    set_up(tracking)
    over = threading.Event()
    thread = threading.Thread(target=_show_until, args=(over, runs, tracking), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(STOP_WAIT_S)


def _show_until(over: threading.Event, runs: Sequence[Path], tracking: Tracking) -> None:
    sent: dict[Path, float] = {}  # when, on the monotonic clock
    shown: dict[Path, End] = {}  # the ends that are there: what failed is looked at as often, and sent no more
    while not over.wait(LOOK_S):
        for run in [one for one in runs if (one / "run.json").exists()]:
            if over.is_set():
                return
            try:
                ended = find_end(run)
                if ended and shown.get(run) == ended:
                    continue
                if ended or time.monotonic() - sent.get(run, -math.inf) > tracking.push_every_s:
                    sent[run] = time.monotonic()
                    send(run, tracking, still_wanted=lambda: not over.is_set())
                if ended:
                    shown[run] = ended
            except Exception:  # the next round tries again
                over.wait(tracking.push_every_s)
                break


def begin_sweep(sweep: Path, tracking: Tracking, runs_dir: Path) -> None:
    """Note that the sweep has to be shown; its first run makes the parent."""
    if tracking.uri is not None:
        with lock(sweep):
            if state := read_state(sweep):  # it goes on, maybe with more levels than its tags say
                state.begun = False
                state.save(sweep)
        unsent.add(sweep, rundir.uid(sweep / "sweep.json"), runs_dir, tracking.uri)


def attach(
    sweep: Path, artifacts: list[Path], metrics: dict[str, float], sentences: list[str], decided: dict[str, str]
) -> None:
    """Show what the sweep found on its parent run, where it is tracked; at its end while it is still under way."""
    tracking = tracking_of(sweep)
    if tracking.uri is None:
        return
    named = {f"verdict/{k}": v for k, v in metrics.items()}
    files = [str(f.relative_to(sweep)) if f.is_relative_to(sweep) else str(f.absolute()) for f in artifacts]
    try:
        with lock(sweep):
            state = load_state(sweep, tracking)
            before = state.attached or Findings([], {})
            # Later than the verdict before it, whatever the clock says: MLflow shows the latest.
            when = max(int(time.time() * 1000), before.time_ms + 1)
            if before.metrics == named:
                when = before.time_ms or when
            state.attached = Findings(files, named, when, sentences, decided)
            state.ended = None
            state.save(sweep)
    except TimeoutError as error:  # a server that hangs holds up who sends the sweep to it
        _warn(sweep, tracking, "the verdict", error)
        return
    if find_end(sweep):
        _send_within(_patience_s(tracking), [sweep], tracking, sweep, "the verdict")


def show_again(run: Path, tracking: Tracking) -> None:
    """Show what was written into the directory of a run after its end, where MLflow has the run."""
    with lock(run):
        state = read_state(run)
        if state is None:
            return
        state.ended = None
        state.save(run)
    _send_within(_patience_s(tracking), [run], tracking, run, run.name)


def end_sweep(sweep: Path, tracking: Tracking, status: str) -> None:
    """Send the end of the sweep, and what its runs have missed."""
    if tracking.uri is None:
        return
    dirs = [sweep / job.dir for job in rundir.read_sweep(sweep).jobs]
    runs = [run for run in dirs if (run / "run.json").exists() and not run.is_symlink()]
    seconds = STOP_WAIT_S if status == "interrupted" else max(SWEEP_WAIT_S, _patience_s(tracking))
    _send_within(seconds, [*runs, sweep], tracking, sweep, "the sweep")


def _patience_s(tracking: Tracking) -> float:
    return tracking.wait_s if tracking.remote else LOCAL_WAIT_S


def _send_within(seconds: float, dirs: list[Path], tracking: Tracking, path: Path, what: str) -> None:
    """Send what MLflow lacks of `dirs`, for so long and no longer; one warning, of `path`, where that was not all."""
    set_up(tracking)
    deadline = time.monotonic() + seconds

    def send_all() -> bool:
        for one in dirs:
            while is_behind(one, tracking):
                try:
                    send(one, tracking, still_wanted=lambda: time.monotonic() < deadline)
                except Exception as error:
                    # A directory that is being sent, by who showed it while it was trained, is no server's fault.
                    again = is_held(error) or (not tracking.remote and is_busy(error))
                    if not again or time.monotonic() > deadline:
                        raise
                    time.sleep(0.3)
        return True

    try:
        within(seconds, send_all)
    except Exception as error:
        _warn(path, tracking, what, error)


def _warn(path: Path, tracking: Tracking, what: str, error: BaseException) -> None:
    log.warning(
        "tracking: %s could not be shown on MLflow whole (%s: %s). Nothing is lost: "
        "`python -m pipeline.sync runs_dir=%s` sends what is missing.",
        what,
        tracking.uri,
        reason(error),
        path,
    )


def send_missed(runs_dir: Path, tracking: Tracking, seconds: float = 10.0) -> None:
    """Send what earlier runs under `runs_dir` missed to the same MLflow, for so long and no longer."""
    deadline = time.monotonic() + seconds
    done: list[Path] = []

    def send_all() -> bool:
        for path, uid in unsent.find(runs_dir, tracking.uri):
            if time.monotonic() > deadline:
                break
            try:
                if not find_end(path):
                    continue
                if is_behind(path, tracking):
                    send(path, tracking, still_wanted=lambda: time.monotonic() < deadline)
                    done.append(path)
                unsent.remove(path, uid)
            except Exception as error:
                if tracking.remote and is_away(error):
                    break
                log.warning("tracking: %s could not be shown on MLflow: %s", path, reason(error))
        return True

    with contextlib.suppress(TimeoutError):
        within(seconds + tracking.wait_s / 2, send_all)
    if done:
        terminal.say(f"tracking: sent what {len(done)} earlier runs under {runs_dir} had missed")
