"""Situations of an Atari game (breakout.py) and what its expert does in each. Needs the extra `atari` and no file.

In each episode the expert is disturbed: at times something else is done for a while, so that it shows the way back from
where a network that errs will be (Laskey et al. 2017, DART). Pictures wait in a file, beside the set, until all
labels are known, since they may be many gigabytes.
"""

import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.data.breakout import ACTIONS, DECISIONS, Machine, require
from pipeline.data.config import Data
from pipeline.data.progress import progress
from pipeline.data.raw import Raw
from pipeline.data.roots import no_files
from pipeline.errors import one_of

KNOWN = {"breakout": (1, len(ACTIONS))}
EVERY = 10  # decisions, of which one is a situation of the set
BLOCK = 256  # situations that are read back at a time
CALM, DISTURBED = 20, 6  # decisions at most until the expert is disturbed, and for which it then is


def find(config: Data) -> list[Path]:
    """No files. InputError for a game that is not known, and where the emulator is not installed."""
    one_of("data.name", config.name, KNOWN)
    require()
    return no_files(config)


def read(config: Data, files: list[Path]) -> Raw:
    """Up to DECISIONS / EVERY situations of each of data.episodes episodes, and the expert's action in it."""
    place = Path(config.prepared_dir).absolute()
    place = next(one for one in (place, *place.parents) if one.is_dir())  # the same disk
    spool = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 - _blocks reads it back and closes it
    # Copies would tie episodes together that have nothing else in common, and no split could divide these.
    met: set[bytes] = set()
    labels, episodes = [], []
    with progress(config.name, config.episodes, "playing") as show:
        for number in range(config.episodes):
            for seen, action in _episode(config, number):
                digest = blake2b(seen.tobytes(), digest_size=16).digest()
                if digest not in met:
                    met.add(digest)
                    spool.write(seen.tobytes())
                    labels.append(action)
                    episodes.append(number)
            show(number + 1)
    width = len(str(config.episodes - 1))
    return Raw(
        blocks=_blocks(config, spool, len(labels)),
        channels=config.frames,
        labels=np.array(labels),
        classes=list(ACTIONS),
        columns={"episode": [f"{number:0{width}}" for number in episodes]},
    )


def _blocks(config: Data, spool: BinaryIO, n: int) -> Iterator[np.ndarray]:
    shape = (config.size, config.size, config.frames)
    with spool:
        spool.seek(0)
        for start in range(0, n, BLOCK):
            count = min(BLOCK, n - start)
            content = spool.read(count * int(np.prod(shape)))
            yield np.frombuffer(content, np.uint8).reshape(count, *shape)


def _episode(config: Data, number: int) -> Iterator[tuple[np.ndarray, int]]:
    """The situations of an episode, and what is right in each."""
    machine = Machine(2 * number + 1, config.size, config.frames)  # odd; what networks play is even
    draws = iter(np.random.PCG64([number]).random_raw(3 * DECISIONS).tolist())
    calm, disturbed, instead = next(draws) % CALM, 0, 0
    picked = next(draws) % EVERY
    for decision in range(DECISIONS):
        if machine.over:
            return
        right = machine.expert()
        if decision % EVERY == picked:
            yield machine.seen, right
        if disturbed == 0 and calm == 0:
            calm, disturbed, instead = 1 + next(draws) % CALM, 1 + next(draws) % DISTURBED, next(draws) % len(ACTIONS)
        if disturbed:
            disturbed -= 1
            machine.act(instead)
        else:
            calm -= 1
            machine.act(right)
