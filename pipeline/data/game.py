"""Situations of a small game (falling.py) and what its expert does in each. Made up: it needs no file.

The expert slips now and then while the set is made, so that it shows how to come back from where it would never be
itself, and where a network that errs will be (as in DART, Laskey et al. 2017; DAgger, Ross et al. 2011, asks the expert
about the network's own mistakes). An episode's situations belong together: the column `episode`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.data import falling
from pipeline.data.config import Data
from pipeline.data.falling import ACTIONS, STEPS, Episodes
from pipeline.data.raw import Raw
from pipeline.data.roots import existing_root
from pipeline.data.situations import LEARNED, SLIPS
from pipeline.errors import InputError

KNOWN = {"game": (1, len(ACTIONS))}
SLIP = 6  # one step in so many, while the set is made, is at random
BLOCK = 50  # episodes whose pictures are in memory at once, while the set is made


def find(config: Data) -> list[Path]:
    """No files. InputError for a root, which would have no effect."""
    if existing_root(config) is not None:
        raise InputError(f"data.root={config.root}: data=game is made up and reads no folder; leave it null.")
    return []


def read(config: Data, files: list[Path]) -> Raw:
    """Each step of data.episodes episodes: uint8 [size, size, frames]."""
    numbers = np.arange(config.episodes)
    played = [_expert_plays(config, numbers[i : i + BLOCK]) for i in range(0, len(numbers), BLOCK)]

    def blocks() -> Iterator[np.ndarray]:
        for game, paddles, _ in played:
            pictures = np.stack([falling.picture(game, paddles[:, step], step) for step in range(STEPS)], axis=1)
            newest = np.arange(STEPS)[:, None] + np.arange(1 - config.frames, 1)
            yield np.moveaxis(pictures[:, newest.clip(0)], 2, -1).reshape(-1, config.size, config.size, config.frames)

    width = len(str(len(numbers) - 1))
    return Raw(
        blocks=blocks(),
        channels=config.frames,
        labels=np.concatenate([actions.ravel() for _, _, actions in played]),
        classes=list(ACTIONS),
        columns={"episode": [f"{n:0{width}}" for n in numbers for _ in range(STEPS)]},
    )


def _expert_plays(config: Data, numbers: np.ndarray) -> tuple[Episodes, np.ndarray, np.ndarray]:
    """Episodes, where the paddle is at each step [E, STEPS], and what the expert would do there."""
    game = falling.episodes(config.size, numbers, LEARNED)
    draws = np.stack([np.random.PCG64([SLIPS, int(n)]).random_raw(2 * STEPS) for n in numbers])
    slips, random = draws[:, :STEPS] % np.uint64(SLIP) == 0, (draws[:, STEPS:] % np.uint64(3)).astype(np.int64)
    paddles, actions = np.empty((2, len(numbers), STEPS), np.int64)
    paddle = game.start
    for step in range(STEPS):
        paddles[:, step], actions[:, step] = paddle, falling.expert(game, paddle, step)
        paddle = falling.moved(game, paddle, np.where(slips[:, step], random[:, step], actions[:, step]))
    return game, paddles, actions
