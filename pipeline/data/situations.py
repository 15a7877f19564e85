"""Situations of a game as input: uint8 [N, size, size, frames], the newest pictures of its field.

Stacked as channels, the newest last; a network that learns what to do in each plays the game. It is judged by what it
gains in episodes of its own: the same for all networks, and none of a set's.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from pipeline.data import breakout, falling, images
from pipeline.data.sheet import chosen, contact_sheet, embedded, named_rows

Data = Any  # data.config.Data and prepared.Prepared, which look their kind up in a table of such modules
Prepared = Any


class Game(Protocol):
    """A module of rules. Actions are numbers, by the place of their name."""

    @property
    def ACTIONS(self) -> tuple[str, ...]:  # noqa: N802
        """What may be done."""

    def played(self, look: Callable[[np.ndarray], np.ndarray], size: int, frames: int) -> np.ndarray:
        """[E]: what is gained in each episode by who acts by what is seen: uint8 [E, size, size, frames] -> [E]."""

    def expert_return(self) -> float:
        """The mean of what the expert gains in these."""


GAMES: dict[str, Game] = {"game": falling, "atari": breakout}  # by data.source


def scores(module: Any, prepared: Prepared, config: Data, seed: int) -> dict[str, float]:
    """The mean return of a network that always does what it finds likeliest, and its share of the expert's.

    On one thread of the CPU, whatever it was trained on, so that it is the same wherever it is asked for again.
    """
    import torch

    game = GAMES[config.source]
    _, size, _, frames = prepared.images.shape
    actions = np.array([game.ACTIONS.index(name) for name in prepared.classes])

    def look(seen: np.ndarray) -> np.ndarray:
        return actions[module(images.to_batch(seen)).argmax(1).numpy()]

    device, threads = module.device, torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.no_grad():
            module.cpu()
            mean = float(game.played(look, size, frames).mean())
    finally:
        torch.set_num_threads(threads)
        module.to(device)
    return {"test/return": mean, "test/return_share": mean / game.expert_return()}


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
