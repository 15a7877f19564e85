"""Situations of a small game (falling.py) and what its expert does in each. Made up: it needs no file.

The paddle is put anywhere, so that the expert shows what to do also where it would never be itself, and where a network
that errs will be (what DAgger, Ross et al. 2011, gets by asking the expert about the network's own mistakes). Few of
an episode's situations are taken, since those of neighbouring steps say nearly the same, and they belong together: the
column `episode`.
"""

from pathlib import Path

import numpy as np

from pipeline.data import falling
from pipeline.data.config import Data
from pipeline.data.falling import ACTIONS, FIRST, LAST, LEARNED, SIDE, SITUATIONS, STEPS
from pipeline.data.raw import Raw
from pipeline.data.roots import no_files

KNOWN = {"game": (1, len(ACTIONS))}
SHARE = 8  # situations of an episode, one within each tenth step
find = no_files


def read(config: Data, files: list[Path]) -> Raw:
    """SHARE situations of each of data.episodes episodes: uint8 [size, size, frames], and the expert's action in it."""
    n = config.episodes
    game = falling.episodes(np.arange(n), LEARNED)
    draws = np.stack([np.random.PCG64([SITUATIONS, i]).random_raw((2, SHARE)) for i in range(n)])
    steps = (draws[:, 0] % np.uint64(STEPS // SHARE)).astype(np.int64) + np.arange(0, STEPS, STEPS // SHARE)
    paddles = (draws[:, 1] % np.uint64(LAST - FIRST + 1)).astype(np.int64) + FIRST
    episode, step = np.repeat(np.arange(n), SHARE), steps.ravel()
    pictures = np.empty((n * SHARE, config.size, config.size, config.frames), np.uint8)
    actions = np.empty(n * SHARE, np.int64)
    for one in range(STEPS):
        mine = np.flatnonzero(step == one)
        if len(mine):
            some, paddle = game.of(episode[mine]), paddles.ravel()[mine]
            pictures[mine] = falling.situation(some, paddle, one, config.frames, config.size // SIDE)
            actions[mine] = falling.expert(some, paddle, one)
    # Copies would tie episodes together that have nothing else in common, and no split could divide these.
    _, first = np.unique(pictures.reshape(len(pictures), -1), axis=0, return_index=True)
    kept, width = np.sort(first), len(str(n - 1))
    return Raw(
        blocks=iter([pictures[kept]]),
        channels=config.frames,
        labels=actions[kept],
        classes=list(ACTIONS),
        columns={"episode": [f"{i:0{width}}" for i in episode[kept].tolist()]},
    )
