"""How the processes of one run agree in each step: those of one machine's CPUs by memory that they share.

gloo's sum of 104,000 gradients takes 0.5 ms in a loop of its own and 3 ms after a step: several threads wake each
other in turn, and a core of a virtual machine that slept is slow to wake. Written to memory that all see, and waited
for awake, it takes 0.4; of 16 million, 21 in place of 41 (two processes on two cores; docs/lab-notes.md).
"""

import fcntl
import mmap
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy

MOST_BYTES = 512 << 20  # of memory, for all: 32 million weights of two processes
# Two processes with a core each come within a millisecond of each other.
AWAKE_S = 0.02
NAP_S = 0.0005
LOOK_EVERY_S = 1.0
LINE = 64  # bytes of a cache line


class Shared:
    """Memory of `world` processes on one machine: what each gives, all get.

    A process writes what it gives, and after that the number of its turn. That all see it in this order is a promise
    of x86's alone. Each has two places, in turns: who gives for the nth time has seen that all gave n - 1 times, and so
    are done with n - 2.

    The memory has no name in any folder, and is gone with the last process that has it.
    """

    def __init__(self, file: int, rank: int, world: int, most_bytes: int, timeout_s: float) -> None:
        self.file, self.rank, self.world, self.timeout_s = file, rank, world, timeout_s
        place = -(-most_bytes // LINE) * LINE
        size = world * LINE + 2 * world * place
        os.ftruncate(file, size)
        memory = mmap.mmap(file, size)
        self.turns = memoryview(memory)[: world * LINE].cast("q")[:: LINE // 8]
        self.places = torch.frombuffer(memory, dtype=torch.uint8, offset=world * LINE).view(2, world, place)
        self.turn = 0
        fcntl.lockf(file, fcntl.LOCK_EX, 1, rank)  # until this process ends, however it does

    def gather(self, given: torch.Tensor) -> list[torch.Tensor]:
        """What each process gives in this turn, in the order of their ranks, all of one shape and type.

        It stays as it is until this process gives again.
        Raises RuntimeError where another process is gone, or does not come within the timeout.
        """
        self.turn += 1
        places = self.places[self.turn % 2, :, : given.nbytes].view(given.dtype)
        places[self.rank].copy_(given.flatten())
        self.turns[self.rank] = self.turn
        for rank in range(self.world):
            if self.turns[rank] < self.turn:
                self._wait_for(rank)
        return [place.view_as(given) for place in places]

    def _wait_for(self, rank: int) -> None:
        began = looked = time.monotonic()
        while self.turns[rank] < self.turn:
            now = time.monotonic()
            if now - began < AWAKE_S:
                os.sched_yield()  # to a process that has no core of its own
                continue
            time.sleep(NAP_S)
            if now - began > self.timeout_s:
                raise RuntimeError(f"process {rank} did not come within {self.timeout_s:g} s (trainer.sync_timeout_s)")
            if now - looked > LOOK_EVERY_S:
                looked = now
                self._alive(rank)

    def _alive(self, rank: int) -> None:
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, rank)
        except OSError:  # it has it
            return
        fcntl.lockf(self.file, fcntl.LOCK_UN, 1, rank)
        if self.turns[rank] < self.turn:
            raise RuntimeError(f"process {rank} is gone")


def open_shared(most_bytes: int, timeout_s: float) -> Shared | None:
    """Of all processes that train together, called by each: all must be on this machine.

    None where memory cannot be shared, for all of them.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    if sys.platform != "linux" or platform.machine() != "x86_64" or 2 * world * most_bytes > MOST_BYTES:
        return None
    where = [_made() if rank == 0 else (0, 0)]
    dist.broadcast_object_list(where)
    pid, file = where[0]
    try:
        file = file if rank == 0 else os.open(f"/proc/{pid}/fd/{file}", os.O_RDWR)
        shared = Shared(file, rank, world, most_bytes, timeout_s)
    except OSError:
        shared = None
    everyones: list[bool] = [False] * world
    dist.all_gather_object(everyones, shared is not None)
    return shared if all(everyones) else None


def _made() -> tuple[int, int]:
    """This process, and a new file in memory that only its number leads to, -1 where there can be none."""
    try:
        return os.getpid(), os.memfd_create("gradients")
    except OSError:
        return os.getpid(), -1


def mean_of_all(shared: Shared, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """DDP's hook: the gradients of a bucket, their mean over all processes, summed in the order of their ranks."""
    gradients = bucket.buffer()
    first, *others = shared.gather(gradients.div_(shared.world))
    torch.add(first, others[0], out=gradients)
    for other in others[1:]:
        gradients += other
    done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    done.set_result(gradients)
    return done


class Together(DDPStrategy):
    """DDP, by shared memory where `one_machine` says that all processes compute on this one's CPUs."""

    def __init__(self, backend: str, timeout_s: float, one_machine: bool) -> None:
        super().__init__(
            process_group_backend=backend,
            timeout=timedelta(seconds=timeout_s),
            gradient_as_bucket_view=True,  # one copy of the gradients, not two
            broadcast_buffers=False,  # before each batch; see on_validation_start
        )
        self.timeout_s, self.one_machine = timeout_s, one_machine
        self.shared: Shared | None = None

    def configure_ddp(self) -> None:
        """Wrap the network, and share memory for its gradients."""
        super().configure_ddp()
        if self.one_machine:
            assert self.model is not None
            learning = [weights for weights in self.model.parameters() if weights.requires_grad]
            self.shared = open_shared(max(LINE, sum(weights.nbytes for weights in learning)), self.timeout_s)
        if self.shared:
            self.model.register_comm_hook(self.shared, mean_of_all)  # type: ignore[operator, union-attr]

    def on_validation_start(self) -> None:
        """All processes evaluate with what batch norm saw in the first: elsewhere it says nothing."""
        assert self.lightning_module is not None
        buffers = [one for one in self.lightning_module.network.buffers() if one.is_floating_point()]  # type: ignore
        if not buffers:
            return
        flat = torch.cat([one.flatten() for one in buffers])
        dist.broadcast(flat, 0)
        for one, of_first in zip(buffers, flat.split([one.numel() for one in buffers]), strict=True):
            one.copy_(of_first.view_as(one))

    def anyone(self, flags: list[bool]) -> Callable[[], list[bool]]:
        """Of each flag, whether any process has it: asked now, and answered when what is returned is called."""
        mine = torch.tensor(flags, dtype=torch.float32, device=self.root_device)
        if shared := self.shared:
            return lambda: torch.stack(shared.gather(mine)).amax(0).bool().tolist()
        reduction = dist.all_reduce(mine, dist.ReduceOp.MAX, async_op=True)

        def answer() -> list[bool]:
            assert reduction is not None
            reduction.wait()
            return mine.bool().tolist()

        return answer
