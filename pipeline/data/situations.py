"""Situations of the game falling.py as input: uint8 [N, size, size, frames], the newest pictures of a field.

Stacked as channels, the newest last; a network that learns what to do in each plays the game. It is judged by what it
gains in episodes of its own: the same for all networks, and none of a set's.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.data import falling, images
from pipeline.data.falling import ACTIONS, SIDE, STEPS, Episodes
from pipeline.data.sheet import chosen, contact_sheet, embedded, named_rows

Data = Any  # data.config.Data and prepared.Prepared, which look their kind up in a table of such modules
Prepared = Any

LEARNED, PLAYED, SITUATIONS = range(3)  # streams of random numbers: a set's episodes, those played, a set's steps
TEST_EPISODES = 100  # played at once

Player = Callable[[Episodes, np.ndarray, int], np.ndarray]
"""Episodes, where each one's paddle is [E], the step -> actions [E]."""


def returns(player: Player) -> np.ndarray:
    """[TEST_EPISODES]: what a player gains in each of the episodes that all are judged by."""
    game = falling.episodes(np.arange(TEST_EPISODES), PLAYED)
    paddle, gain = game.start, np.zeros(TEST_EPISODES, np.int64)
    for step in range(STEPS):
        paddle = falling.moved(paddle, player(game, paddle, step))
        gain += falling.gained(game, paddle, step + 1)
    return gain


@functools.cache
def expert_return() -> float:
    """The expert's mean return over the same episodes."""
    return float(returns(falling.expert).mean())


def scores(module: Any, prepared: Prepared, config: Data, seed: int) -> dict[str, float]:
    """The mean return of a network that always does what it finds likeliest, and its share of the expert's.

    On one thread of the CPU, whatever it was trained on, so that it is the same wherever it is asked for again.
    """
    import torch

    _, size, _, frames = prepared.images.shape
    actions = np.array([ACTIONS.index(name) for name in prepared.classes])

    def player(game: Episodes, paddle: np.ndarray, step: int) -> np.ndarray:
        seen = falling.situation(game, paddle, step, frames, size // SIDE)
        return actions[module(images.to_batch(seen)).argmax(1).numpy()]

    device, threads = module.device, torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.no_grad():
            module.cpu()
            mean = float(returns(player).mean())
    finally:
        torch.set_num_threads(threads)
        module.to(device)
    return {"test/return": mean, "test/return_share": mean / expert_return()}


def declared_shape(config: Data, channels: int) -> tuple[int, int, int]:
    """(C, H, W): frames are channels."""
    return config.frames, config.size, config.size


def fitted(block_NHWC: np.ndarray, config: Data) -> np.ndarray:
    """Situations have the size that is asked for."""
    return block_NHWC


def sheet(prepared: Prepared) -> str:
    """HTML: a row of situations for each action."""
    some = np.concatenate([chosen(prepared.labels, label) for label in range(len(prepared.classes))])
    picture = contact_sheet(_trails(prepared.images[some]), prepared.labels[some], len(prepared.classes))
    what = '<p class="sub">The pictures of a situation one over the other, the older the darker.</p>'
    return embedded(picture, "situations of each class", "sheet") + what + named_rows(prepared.classes)


def one(prepared: Prepared, index: int) -> str:
    """HTML: one situation."""
    row = contact_sheet(_trails(prepared.images[index : index + 1]), np.zeros(1, np.intp), 1)
    return embedded(np.ascontiguousarray(row[:, : len(row)]), "an example")


def _trails(situations: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, 1]: all pictures of each in one, which shows where things come from."""
    frames = situations.shape[3]
    return (situations * (np.arange(1, frames + 1) / frames)).max(axis=3, keepdims=True).astype(np.uint8)


def shape_in_words(shape: tuple[int, int, int]) -> str:
    """Of (C, H, W)."""
    frames, height, width = shape
    return f"{frames} frame{'' if frames == 1 else 's'} of {height}x{width}"
