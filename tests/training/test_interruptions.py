"""One sweep, interrupted at random ten or a hundred times, ends with the numbers of the one that was left alone."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter

import psutil
import pytest
from run_state import ledger, states, tracked
from running import TINY, Done, begin, call

# All that could go astray between two attempts: dropout draws, batch norm's statistics, Adam's moments, a schedule,
# augmentation, the shuffle, a loader's workers.
LINE = (
    f"-m {TINY.replace('tracking=none', 'tracking=local')} data.batch_size=16 architecture.block=CNAP "
    "architecture.head_dropout=0.3 optimizer.schedule=cosine augmentation=affine output=json"
)
BOUND_S = 60  # for a command that was signalled to be gone


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    ("times", "epochs", "more"),
    [(70, 60, "seed=0,1,2"), (30, 40, "trainer=ddp_cpu seed=0,1"), (30, 120, "trainer.stack=3 seed=0,1,2")],
    ids=["one-process", "two-processes", "stacked"],
)
def test_interrupted_at_random_until_done(times, epochs, more, endurance, workdir):
    line = f"{LINE} {more} architecture.kernel_size=3,5 trainer.max_epochs={max(10, epochs // endurance)}"
    undisturbed = f"{line} dir=undisturbed experiment.name=undisturbed"
    expected = call(workdir, "train", undisturbed, 900)
    assert expected.code == 0, expected.err
    # Of two runs at a time, where each is one process.
    trained_s = sum(run["seconds"] for run in expected.document["runs"]) / (1 if "ddp" in more else 2)
    began = time.monotonic()
    again = call(workdir, "train", undisturbed)
    start_s = time.monotonic() - began
    assert (again.code, again.err.count("finished before")) == (0, len(expected.document["runs"]))
    line = f"{line} dir=sweep experiment.name=disturbed"
    done = interrupted(workdir, line, times // endurance, trained_s, start_s, random.Random(0))
    assert [run["status"] for run in done["runs"]] == ["finished"] * len(ledger(workdir / "undisturbed"))
    assert states(workdir / "sweep") == states(workdir / "undisturbed")
    shown = tracked(workdir, "disturbed")
    assert {status for _, status in shown["runs"]} == {"FINISHED"}
    assert shown["parents"] == ["FINISHED"]
    assert shown == tracked(workdir, "undisturbed")


def interrupted(folder, line, times, trained_s, start_s, chance):
    """Run `python -m pipeline.train <line>` in `folder` again and again; returns the document of the last time.

    Each attempt gets SIGKILL or SIGTERM, in its whole group, its first process or one of a run's own processes, at
    a random moment: half of the time anywhere, from the start of the interpreter on, else while a run trains. Of the
    `trained_s` seconds of training in it, all attempts together get less than there is: none ends by itself. Of the
    `start_s` of a command that trains nothing, half goes by before one that does begins to.
    """
    codes, strikes, most_s = [], [], trained_s / times
    for _ in range(times):
        process = start(folder, line)
        if chance.random() < 0.5:
            wait_for_training(folder, process)
            time.sleep(chance.uniform(0, most_s))
        else:
            time.sleep(chance.uniform(0, start_s / 2 + most_s))
        strikes.append(strike(process, most_s, chance))
        try:
            _, err = process.communicate(timeout=BOUND_S)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGABRT)  # faulthandler says where it stands
            _, err = process.communicate(timeout=BOUND_S)
            raise AssertionError(f"still there {BOUND_S} s after {strikes[-1]}: {codes}\n{err}") from None
        codes.append(process.returncode)
        # 75: stopped; -15: before Python had its handlers. Nothing fails, and nothing ends, by itself.
        assert codes[-1] in (75, -signal.SIGKILL, -signal.SIGTERM), (codes, strikes, err)
    print(f"{times} attempts, exit codes {Counter(codes)}, then {ledger(folder / 'sweep')}")
    assert {75, -signal.SIGKILL} <= set(codes), codes
    process = start(folder, line)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return Done(0, out, err).document


def start(folder, line):
    return begin(folder, line, PYTHONFAULTHANDLER="1")


def wait_for_training(folder, process):
    """Until a run of the sweep writes something new, or the command ends."""
    before = written(folder)
    end = time.monotonic() + 60
    while process.poll() is None and written(folder) == before and time.monotonic() < end:
        time.sleep(0.05)


def written(folder):
    found = [*folder.glob("sweep/*/status.json"), *folder.glob("sweep/*/checkpoints/last.ckpt")]
    times = []
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # being replaced just now
            times.append(path.stat().st_mtime_ns)
    return max(times, default=0)


def strike(process, most_s, chance):
    """Signal the command, its group, or one of its run's processes; says what was done."""
    number = chance.choice((signal.SIGKILL, signal.SIGTERM))
    target = chance.choice(("group", "first", "one"))
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        below = psutil.Process(process.pid).children(recursive=True)
        servers = {one.pid for one in below if any("forkserver" in word for word in one.cmdline())}
        own = [one for one in below if "pipeline.run" in one.cmdline() or one.ppid() in servers]
        if target == "one" and own:
            chance.choice(own).send_signal(number)
            # The sweep goes on with the next run; then the command is asked to stop.
            time.sleep(chance.uniform(0, most_s))
            os.kill(process.pid, signal.SIGTERM)
        elif target == "group":
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    return f"{number.name} to {target}"
