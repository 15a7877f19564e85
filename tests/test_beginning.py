"""What a command meets that is not in its command line: signals at any time, terminals, outputs, folders, the umask."""

import contextlib
import os
import pty
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time

import psutil
import pytest
from running import TINY, Done, left_in, refused

from pipeline import rundir
from pipeline.__main__ import COMMANDS

LONG = f"{TINY} trainer.max_epochs=4000"


@pytest.fixture
def importing(workdir):
    """Start a command and wait until it imports, which takes for ever here: importing("train", "nohup")."""
    (workdir / "omegaconf.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    started = []

    def start(module, *before):
        started.append(
            subprocess.Popen(
                [*before, sys.executable, "-m", f"pipeline.{module}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        assert started[-1].stdout.readline() == "importing\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("module", COMMANDS)
def test_a_signal_in_the_first_moments(module, number, importing, workdir):
    process = importing(module)
    process.send_signal(number)
    assert process.communicate(timeout=20) == ("", "Interrupted.\n")
    assert process.returncode == 75
    assert left_in(workdir) == ["omegaconf.py"]


def test_nohup_is_heeded(importing):
    process = importing("train", "nohup")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 75


@pytest.mark.parametrize(
    ("line", "after_s", "code"),
    [("seed=0,1", 0.3, 75), ("seed=0,1", 1.5, 75), ("seed=0,1 nosuch=1", None, 2)],
    ids=["at-once", "while-imports-go-on", "a-typing-error"],
)
def test_what_imports_for_a_sweep_is_silent_and_ends_with_it(line, after_s, code, workdir):
    """Ctrl-C reaches all processes of a terminal: the server of the workers, too."""
    command = [sys.executable, "-m", "pipeline.train", "-m", *shlex.split(f"{TINY} {line}")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "TMPDIR": str(workdir)}
    )
    if after_s:
        time.sleep(after_s)
        os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code, said
    assert "Traceback" not in said
    limit = time.monotonic() + 3  # its own imports take longer
    while left := [one for one in psutil.process_iter() if group_of(one.pid) == process.pid]:
        assert time.monotonic() < limit, left
        time.sleep(0.05)
    assert [name for name in left_in(workdir) if name.startswith("pymp")] == []


def group_of(pid):
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)


def on_terminal(folder, line):
    """Start `python -m pipeline.train <line>` on a terminal of its own; its process and the terminal's other end."""
    pid, end = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "pipeline.train", *shlex.split(line)])
    threading.Thread(target=read_all, args=(end,), daemon=True).start()  # who prints would wait for it
    return pid, end


def read_all(end):
    with contextlib.suppress(OSError):
        while os.read(end, 65536):
            pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "runs"),
    [
        ("dir=sweep/run", 1),
        ("dir=sweep/run trainer=ddp_cpu", 1),
        ("-m seed=0,1 dir=sweep", 2),
        ("-m seed=0,1 dir=sweep hydra/launcher=joblib hydra.launcher.n_jobs=3", 2),
    ],
    ids=["one-process", "ranks", "workers", "joblib"],
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_closed_terminal_is_a_request_to_stop(line, runs, workdir):
    pid, end = on_terminal(workdir, f"{line} {LONG}")
    limit = time.monotonic() + 120
    while len(list((workdir / "sweep").glob("*/checkpoints/last.ckpt"))) < runs:
        assert time.monotonic() < limit
        time.sleep(0.1)
    os.close(end)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 75
    found = [rundir.get_status(run).status for run in sorted((workdir / "sweep").glob("*")) if run.is_dir()]
    assert found == ["interrupted"] * runs


# ---- outputs


@pytest.fixture
def shell(workdir):
    """Run `python -m pipeline.<module> <rest>`, where the shell's own words may stand: exit code, stdout, stderr."""

    def run(module, rest="", encoding="utf-8", **env):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {sys.executable} -m pipeline.{module} {rest}"],
            capture_output=True, timeout=100, env={**os.environ, **env},
        )  # fmt: skip
        return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)

    return run


@pytest.fixture
def other_script(workdir):
    """The options for a set of photos whose classes are named in Greek and Chinese."""
    from PIL import Image

    for name in ("άλφα", "中文"):
        (workdir / "photos" / name).mkdir(parents=True)
        for n in range(8):
            Image.new("L", (8, 8), 10 * n).save(workdir / "photos" / name / f"{n}.png")
    return "data=image_folder data.root=photos data.size=8"


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_a_terminal_that_knows_few_letters(shell, other_script):
    code, out, err = shell("prepare", other_script, "ascii", **ASCII)
    assert (code, r"\u4e2d\u6587" in out) == (0, True), err


@pytest.mark.slow
def test_a_verdict_in_few_letters(shell, other_script):
    line = f"-m {TINY} {other_script} data.limit_train=null seed=0,1 dir=sweep"
    code, out, err = shell("train", line, "latin-1", PYTHONIOENCODING="latin-1")
    assert (code, "±" in out) == (0, True), err
    assert "Traceback" not in err
    code, out, err = shell("compare", "sweep=sweep", "ascii", **ASCII)
    assert (code, r"\xb1" in out) == (0, True), err


@pytest.mark.parametrize("more", ["", "output=json"])
def test_a_reader_that_leaves(more, shell, workdir):
    code, _, err = shell("prepare", f"{more} | true")
    assert (code, err) == (0, "")


@pytest.mark.parametrize("more", ["", "output=json"])
def test_a_full_disk_behind_standard_output(more, shell):
    code, _, err = shell("plan", f"{more} > /dev/full")
    assert (code, err) == (1, "error: standard output cannot be written (No space left on device).\n")


@pytest.mark.slow
def test_a_full_disk_behind_standard_error(shell, workdir):
    code, out, _ = shell("train", f"-m {TINY} seed=0,1 dir=sweep output=json 2> /dev/full")
    assert (code, out[0], out[-2:]) == (0, "{", "}\n")
    assert rundir.get_status(workdir / "sweep").status == "finished"


@pytest.mark.slow
def test_a_long_name_of_the_folder_for_temporary_files(process, tmp_path):
    """The name of a socket in it has 107 letters at most."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    done = process("train", f"-m {TINY} seed=0,1 dir=sweep output=json", TMPDIR=str(folder))
    assert done.code == 0, done.err
    assert [run["status"] for run in done.document["runs"]] == ["finished"] * 2


def test_outputs_that_are_closed(shell):
    assert shell("plan", "<&- >&- 2>&-") == (0, "", "")
    code, out, _ = shell("prepare", "data.nosuch=1 output=json 2>&-")
    assert (code, out) == (2, "")  # what stderr is for does not come in its place


@pytest.mark.slow
def test_training_with_outputs_that_are_closed(shell, workdir):
    assert shell("train", f"{TINY} dir=run <&- >&- 2>&-") == (0, "", "")
    assert rundir.get_status(workdir / "run").status == "finished"
    code, out, _ = shell("train", f"{TINY} dir=again output=json 2>&-")
    assert (code, out[0], out[-2:]) == (0, "{", "}\n")  # nothing but the document


def test_neither_home_nor_terminal_nor_width(shell):
    code, out, err = shell("plan", COLUMNS="20", TERM="", HOME="")
    assert (code, err) == (0, "")
    assert "93,962 parameters" in out


@pytest.mark.parametrize("module", COMMANDS)
def test_a_folder_that_is_gone(module, workdir):
    (workdir / "gone").mkdir()
    line = f"cd gone; rmdir ../gone; {sys.executable} -m pipeline.{module}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    refused(Done(done.returncode, done.stdout, done.stderr), "the folder that this is run from is gone")


# ---- the umask


@pytest.fixture(params=[0o077, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def too_open_or_too_closed(folder, umask):
    """What in `folder` is not as the umask makes new files and folders, by its path from there."""
    found = {}
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        wanted = (0o777 if path.is_dir() else 0o644 if path.suffix == ".db" else 0o666) & ~umask  # 0644 is SQLite's own
        if mode != wanted and not path.is_symlink():
            found[str(path.relative_to(folder))] = oct(mode)
    return found


def test_what_is_written_is_as_open_as_the_user_says(umask, command, workdir):
    assert command("train", f"{TINY} dir=run").code == 0
    assert (workdir / "run" / "status.json").exists()
    assert too_open_or_too_closed(workdir, umask) == {}


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("variable", ["OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true", "OMP_MAX_ACTIVE_LEVELS=0"])
def test_threads_are_not_taken_away_by_the_environment(variable, process, monkeypatch):
    """oneDNN waited for the missing one of two for ever."""
    monkeypatch.setenv(*variable.split("="))
    done = process("train", f"{TINY} trainer.threads=2 tracking=none dir=run", timeout_s=120)
    assert done.code == 0, done.err


def test_so_is_what_a_sweep_of_several_processes_writes(umask, process, workdir):
    line = f"-m {TINY.replace('tracking=none', 'tracking=local')} seed=0 dir=sweep trainer=ddp_cpu"
    done = process("train", line)  # in one of its own: torch's agent leaves its files open
    assert done.code == 0, done.err
    assert any(path.is_dir() for path in (workdir / "sweep" / "000_seed-0" / "ranks").iterdir())
    assert too_open_or_too_closed(workdir, umask) == {}
