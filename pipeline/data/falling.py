"""A small game: bright things fall and are to be caught, dim ones to be let pass, by a paddle on the lowest row.

On a field of `size` x `size` cells. What falls drifts sideways and comes back from the walls; where it lands follows
from how it moves, which a single picture of it does not tell, and it may drift as fast as the paddle goes. Nothing that
the paddle does changes what falls, so an episode is known from its number. Whole numbers and numpy's bit generator
alone: the same on every machine. Many episodes are played at once, [E] of them.
"""

from dataclasses import dataclass

import numpy as np

LEFT, STAY, RIGHT = range(3)
ACTIONS = ("left", "stay", "right")  # of a cell each
STEPS = 80  # of an episode
AT_FIRST, EVERY = 3, 5  # so many things at its beginning, and another after each so many steps
QUARTERS = 4  # of a cell: what places and speeds are counted in
SLOWEST, FASTEST = 2, 4  # down, quarters a step
DRIFT = 4  # at most, sideways, either way
HALF = 1  # cells of the paddle to each side of its middle one
BRIGHT, DIM, PADDLE = 255, 110, 180  # brightness


@dataclass(frozen=True)
class Episodes:
    """What falls in each of some episodes: int64 [E, K], K things in the order in which they appear."""

    size: int
    start: np.ndarray  # [E]: where the paddle's middle cell is at first
    born: np.ndarray  # the step of its first picture
    x: np.ndarray  # then, in quarters
    y: np.ndarray
    across: np.ndarray  # quarters a step
    down: np.ndarray
    worth: np.ndarray  # 1 bright, -1 dim

    def columns(self, step: np.ndarray | int) -> np.ndarray:
        """[E, K]: the column of each thing's cell at a step."""
        wall = QUARTERS * self.size - 1
        there = (self.x + self.across * (step - self.born)) % (2 * wall)
        return np.minimum(there, 2 * wall - there) // QUARTERS

    def rows(self, step: int) -> np.ndarray:
        """[E, K]: its row, which may lie outside the field."""
        return (self.y + self.down * (step - self.born)) // QUARTERS

    @property
    def landing(self) -> np.ndarray:
        """[E, K]: the step at which it reaches the lowest row."""
        return self.born - (self.y - QUARTERS * (self.size - 1)) // self.down


def episodes(size: int, numbers: np.ndarray, stream: int) -> Episodes:
    """The episodes of these numbers; those of two streams have nothing in common."""
    born = np.array([0] * AT_FIRST + list(range(EVERY, STEPS, EVERY)))
    draws = np.stack([np.random.PCG64([stream, int(n)]).random_raw(1 + 5 * len(born)) for n in numbers])
    start = (draws[:, 0] % np.uint64(size - 2 * HALF)).astype(np.int64) + HALF

    def drawn(which: int, low: int, high: int) -> np.ndarray:
        return (draws[:, 1 + which :: 5] % np.uint64(high - low + 1)).astype(np.int64) + low

    y = np.where(np.arange(len(born)) < AT_FIRST, drawn(1, 0, QUARTERS * size // 2), 0)
    return Episodes(
        size=size,
        start=start,
        born=np.broadcast_to(born, y.shape),
        x=drawn(0, 0, QUARTERS * size - 1),
        y=y,
        across=drawn(2, -DRIFT, DRIFT),
        down=drawn(3, SLOWEST, FASTEST),
        worth=2 * drawn(4, 0, 1) - 1,
    )


def picture(game: Episodes, paddle: np.ndarray, step: int) -> np.ndarray:
    """uint8 [E, size, size] of the fields at a step, with the paddle's middle cell at `paddle` [E]."""
    field = np.zeros((len(paddle), game.size, game.size), np.uint8)
    for worth, brightness in ((-1, DIM), (1, BRIGHT)):  # the bright one where two are in a cell
        episode, thing = np.nonzero((game.born <= step) & (step < game.landing) & (game.worth == worth))
        field[episode, game.rows(step)[episode, thing], game.columns(step)[episode, thing]] = brightness
    field[:, -1][np.abs(np.arange(game.size) - paddle[:, None]) <= HALF] = PADDLE
    return field


def moved(game: Episodes, paddle: np.ndarray, action: np.ndarray) -> np.ndarray:
    """[E]: where the paddle is after an action."""
    return np.clip(paddle + action - STAY, HALF, game.size - 1 - HALF)


def gained(game: Episodes, paddle: np.ndarray, step: int) -> np.ndarray:
    """[E]: what the paddle catches at a step: bright things less dim ones."""
    caught = (game.landing == step) & (np.abs(game.columns(step) - paddle[:, None]) <= HALF)
    return (caught * game.worth).sum(axis=1)


# What the expert weighs: a catch above all, then one by the paddle's middle cell, then to move little, and early.
_CATCH, _MIDDLE, _MOVE = 1_000_000, 10_000, 100


def expert(game: Episodes, paddle: np.ndarray, step: int) -> np.ndarray:
    """[E] actions: the best there are for all that is on the field, found backwards from the last landing."""
    landing, known = game.landing, game.born <= step
    cells = np.arange(game.size)
    columns = game.columns(landing)
    last = int((landing - step)[known].max(initial=0))
    value = np.zeros((len(paddle), game.size), np.int64)  # by where the paddle is
    best = np.full(value.shape, STAY)
    for ahead in range(last, 0, -1):
        value = value.copy()
        for thing in np.flatnonzero((known & (landing == step + ahead)).any(axis=0)):
            lands = known[:, thing] & (landing[:, thing] == step + ahead)
            apart = np.abs(cells - columns[:, thing, None])
            worth = game.worth[:, thing, None] * _CATCH * (apart <= HALF)
            value += lands[:, None] * (worth + np.where(worth > 0, _MIDDLE * (HALF - apart), 0))
        cost = _MOVE + ahead
        left = np.full_like(value, -(1 << 60))
        left[:, HALF + 1 :] = value[:, HALF:-1] - cost
        right = np.full_like(value, -(1 << 60))
        right[:, : -HALF - 1] = value[:, 1 : game.size - HALF] - cost
        choices = np.stack([value, left, right])  # the first of equals
        best = np.array([STAY, LEFT, RIGHT])[choices.argmax(axis=0)]
        value = choices.max(axis=0)
    return best[np.arange(len(paddle)), paddle]
