"""A SLURM of one's own on the loopback: two nodes of one core each, in a temporary folder, which ends with the test."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
SBIN = f"/usr/sbin{os.pathsep}/usr/local/sbin"  # often not on the path
NODES = ("n1", "n2")

# As a cluster's, but what it waits for is short: schedulers are patient. {slack} are seconds.
CONF = """ClusterName=convtrial
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2
MailProg=/bin/true
ReturnToService=2
SlurmdTimeout=4
KillWait=30
MinJobAge=20
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return door.getsockname()[1]


def why_not():
    """Why there can be none here; nothing where it can be."""
    if os.geteuid() != 0:
        return "SLURM is started by root alone here"
    missing = [name for name in PROGRAMS if not _found(name)]
    return f"no {', '.join(missing)} here: apt-get install slurmctld slurmd slurm-client munge" if missing else ""


def _found(name):
    return shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}{SBIN}")


class Cluster:
    """What a test can do with it."""

    def __init__(self, folder):
        self.folder, self.conf = folder, folder / "slurm.conf"
        self.daemons = {}

    def begin(self, name, program, *words):
        """Start a daemon that stays in the foreground."""
        with open(self.folder / f"{name}.log", "a") as log:
            self.daemons[name] = subprocess.Popen(
                [_found(program), *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "SLURM_CONF": str(self.conf)},
                start_new_session=True,
            )

    def begin_node(self, name):
        """Switch a node on."""
        self.begin(name, "slurmd", "-D", "-N", name, "-f", self.conf)

    def kill_node(self, name):
        """Cut a node's power: nothing of it is left to say goodbye."""
        steps = [one for one in self.ours() if one.environ().get("SLURMD_NODENAME") == name]
        parents = [one.parent() for one in steps]
        _kill([*(p for p in parents if p and p.name() == "slurmstepd"), *steps, psutil.Process(self.daemons[name].pid)])
        self.daemons[name].wait()

    def ours(self):
        """All processes of its, and of its jobs."""
        found = []
        for one in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                ended = one.status() == psutil.STATUS_ZOMBIE
                if not ended and one.environ().get("SLURM_CONF") == str(self.conf) and one.pid != os.getpid():
                    found.append(one)
        return found

    def says(self, *command, timeout_s=60):
        """What a command of SLURM's prints: says("squeue", "-h")."""
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "SLURM_CONF": str(self.conf)}, timeout=timeout_s
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states(self):
        """The state of each node by its name."""
        return dict(line.split() for line in self.says("sinfo", "-N", "-h", "-o", "%N %T").splitlines())

    def log(self):
        """What its daemons said."""
        return "".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))


def _kill(processes):
    for one in processes:
        with contextlib.suppress(psutil.Error):
            one.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)


def wait_for(true, why, timeout_s=60):
    """Until `true()`; fails with what `why()` says."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, why()
        time.sleep(0.1)


@contextlib.contextmanager
def slurm():
    """Two nodes that are idle -> Cluster. All of it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # under pytest's the socket's name would be too long
    folder.chmod(0o755)  # as munge wants it
    cluster = Cluster(folder)
    with contextlib.ExitStack() as held:
        doors = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [door.getsockname()[1] for door in doors]
    try:
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        cluster.conf.write_text(CONF.format(host=socket.gethostname(), folder=folder, ports=ports, nodes=NODES))
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        places = ("socket", "pid", "seed", "key")
        files = [f"--{name}{'' if name == 'socket' else '-file'}={folder}/munge.{name}" for name in places]
        cluster.begin("munge", "munged", "--foreground", *files)
        wait_for((folder / "munge.socket").exists, cluster.log)
        cluster.begin("ctld", "slurmctld", "-D", "-f", cluster.conf)
        for name in NODES:
            cluster.begin_node(name)
        wait_for(lambda: _all_idle(cluster), cluster.log)
        yield cluster
    finally:
        for one in cluster.daemons.values():  # first, so that nothing begins any more
            one.kill()
        while left := cluster.ours():
            _kill(left)
        for one in cluster.daemons.values():
            one.wait()
        shutil.rmtree(folder)


def _all_idle(cluster):
    try:
        return cluster.states() == dict.fromkeys(NODES, "idle")
    except (AssertionError, ValueError):  # the controller does not answer yet
        return False
