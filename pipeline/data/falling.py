"""A small game: bright things fall and are to be caught, dim ones to be let pass, by a paddle on the lowest row.

The field is SIDE x SIDE cells. All falls a cell a step; some of it drifts sideways as fast, and comes back from the
walls. A single picture does not tell which, nor where to wait. Nothing that the paddle does changes what falls, so an
episode is known from its number. Whole numbers and numpy's bit generator alone: the same on every machine. Many
episodes are played at once, [E] of them.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

LEFT, STAY, RIGHT = range(3)
ACTIONS = ("left", "stay", "right")  # by a cell
STEPS = 80  # of an episode
EVERY = 5  # another thing after so many
SIDE = 8  # cells of the field
HALF = 1  # cells of the paddle to each side of its middle one
FIRST, LAST = HALF, SIDE - 1 - HALF  # where that may be
DIM_IN = 3  # of so many things one is dim
BRIGHT, DIM, PADDLE = 255, 100, 180  # brightness
LEARNED, PLAYED, SITUATIONS = range(3)  # streams of random numbers: a set's episodes, those played, a set's steps
TEST_EPISODES = 100  # played at once


@dataclass(frozen=True)
class Episodes:
    """What falls in each of some episodes: int64 [E, K], K things in the order in which they appear."""

    start: np.ndarray  # [E]: where the paddle's middle is at first
    born: np.ndarray  # the step of its first picture
    x: np.ndarray  # its column then
    y: np.ndarray  # its row
    across: np.ndarray  # -1, 0 or 1 cells a step
    worth: np.ndarray  # 1 bright, -1 dim

    def of(self, which: np.ndarray) -> "Episodes":
        """Those at these places, which may be named more than once."""
        return Episodes(**{one.name: getattr(self, one.name)[which] for one in fields(self)})

    def columns(self, step: np.ndarray | int) -> np.ndarray:
        """[E, K]: the column of each at a step."""
        wall = SIDE - 1
        there = (self.x + self.across * (step - self.born)) % (2 * wall)
        return np.minimum(there, 2 * wall - there)

    def rows(self, step: int) -> np.ndarray:
        """[E, K]: the row, which may lie outside the field."""
        return self.y + step - self.born

    @property
    def landing(self) -> np.ndarray:
        """[E, K]: the step at which it reaches the paddle's row."""
        return self.born + SIDE - 1 - self.y


def episodes(numbers: np.ndarray, stream: int) -> Episodes:
    """The episodes of these numbers; those of two streams have nothing in common."""
    born = np.arange(0, STEPS, EVERY)
    draws = np.stack([np.random.PCG64([stream, int(n)]).random_raw(2 + 3 * len(born)) for n in numbers])

    def drawn(columns: slice, low: int, high: int) -> np.ndarray:
        return (draws[:, columns] % np.uint64(high - low + 1)).astype(np.int64) + low

    x = drawn(slice(2, None, 3), 0, SIDE - 1)
    y = np.zeros_like(x)
    y[:, 0] = drawn(slice(1, 2), 0, SIDE // 2)[:, 0]  # so that episodes do not begin alike
    return Episodes(
        start=drawn(slice(0, 1), FIRST, LAST)[:, 0],
        born=np.broadcast_to(born, x.shape),
        x=x,
        y=y,
        across=drawn(slice(3, None, 3), -1, 1),
        worth=np.where(drawn(slice(4, None, 3), 1, DIM_IN) > 1, 1, -1),
    )


def moved(paddle: np.ndarray, action: np.ndarray | int) -> np.ndarray:
    """Where the paddle is after an action."""
    return np.clip(paddle + action - STAY, FIRST, LAST)


def gained(game: Episodes, paddle: np.ndarray, step: int) -> np.ndarray:
    """[E]: what the paddle catches at a step: bright things less dim ones."""
    caught = (game.landing == step) & (np.abs(game.columns(step) - paddle[:, None]) <= HALF)
    return (caught * game.worth).sum(axis=1)


# What the expert weighs: catches above all, then how near what it wants comes, then to move little, and early.
_CATCH, _NEAR, _MOVE = 1_000_000, 10_000, 100


def expert(game: Episodes, paddle: np.ndarray, step: int) -> np.ndarray:
    """[E] actions: the best there are for all that is on the field, found backwards from the last landing."""
    landing, known = game.landing, game.born <= step
    lands_at = game.columns(landing)
    place = np.arange(SIDE)  # of the paddle
    to = np.stack([moved(place, action) for action in (STAY, LEFT, RIGHT)])
    value, best = np.zeros((len(paddle), SIDE), np.int64), np.zeros((len(paddle), SIDE), np.int64)
    for ahead in range(int((landing - step)[known].max(initial=0)), 0, -1):
        for thing in np.flatnonzero((known & (landing == step + ahead)).any(axis=0)):
            lands = (known & (landing == step + ahead))[:, thing]
            worth, apart = game.worth[lands, thing, None], np.abs(place - lands_at[lands, thing, None])
            value[lands] += worth * _CATCH * (apart <= HALF) - (worth > 0) * _NEAR * apart
        choices = value[:, to] - np.array([0, _MOVE + ahead, _MOVE + ahead])[:, None]
        best, value = choices.argmax(axis=1), choices.max(axis=1)  # the first of equals
    return np.array([STAY, LEFT, RIGHT])[best[np.arange(len(paddle)), paddle]]


def picture(game: Episodes, step: int, paddle: np.ndarray | None = None) -> np.ndarray:
    """uint8 [E, SIDE, SIDE] of the fields at a step, the paddle's middle at `paddle` [E], or without it."""
    field = np.zeros((len(game.start), SIDE, SIDE), np.uint8)
    for worth, brightness in ((-1, DIM), (1, BRIGHT)):  # the bright one where two meet
        episode, thing = np.nonzero((game.born <= step) & (step < game.landing) & (game.worth == worth))
        field[episode, game.rows(step)[episode, thing], game.columns(step)[episode, thing]] = brightness
    if paddle is not None:
        field[:, -1][np.abs(np.arange(SIDE) - paddle[:, None]) <= HALF] = PADDLE
    return field


def situation(game: Episodes, paddle: np.ndarray, step: int, frames: int, cell: int) -> np.ndarray:
    """uint8 [E, SIDE * cell, SIDE * cell, frames]: the newest pictures, the last one with the paddle; cells in pixels.

    Not the earlier ones: a network that sees what it did learns to do it again, since experts mostly do, and then never
    begins to move (de Haan et al. 2019, causal confusion). Before its beginning a game was as it is then.
    """
    earlier = [picture(game, max(0, step - ago)) for ago in range(frames - 1, 0, -1)]
    seen = np.stack([*earlier, picture(game, step, paddle)], axis=-1)
    return seen.repeat(cell, axis=1).repeat(cell, axis=2)


Player = Callable[[Episodes, np.ndarray, int], np.ndarray]
"""Episodes, where each one's paddle is [E], the step -> actions [E]."""


def returns(player: Player) -> np.ndarray:
    """[TEST_EPISODES]: what a player gains in each of the episodes that all are judged by."""
    game = episodes(np.arange(TEST_EPISODES), PLAYED)
    paddle, gain = game.start, np.zeros(TEST_EPISODES, np.int64)
    for step in range(STEPS):
        paddle = moved(paddle, player(game, paddle, step))
        gain += gained(game, paddle, step + 1)
    return gain


def played(look: Callable[[np.ndarray], np.ndarray], size: int, frames: int) -> np.ndarray:
    """What is gained by who acts by what is seen: uint8 [E, size, size, frames] -> actions [E]."""
    return returns(lambda game, paddle, step: look(situation(game, paddle, step, frames, size // SIDE)))


@functools.cache
def expert_return() -> float:
    """The expert's mean return over the same episodes."""
    return float(returns(expert).mean())
