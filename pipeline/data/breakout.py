"""Breakout on an emulated Atari 2600, and an expert that reads the machine's memory.

The emulator is ale-py (Bellemare et al. 2013), which brings the game and is an extra of its own licence, the GPL. An
action holds for four frames, and as Machado et al. (2018) advise the machine does the last one again instead in a
quarter of all frames, so that no sequence of actions can be learned by heart. Where no ball is in play one is served.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.data.resize import fit
from pipeline.errors import InputError

LEFT, STAY, RIGHT = range(3)
ACTIONS = ("left", "stay", "right")
DECISIONS = 500  # of an episode, of four frames each; it ends earlier where all five balls are lost
FRAMES, STICKY = 4, 0.25
WAITS = 30  # decisions at most before the first ball is served, so that episodes do not begin alike
TEST_EPISODES = 20  # played at once
FIELD = slice(34, 194)  # rows of the screen with wall, ball and paddle: 160, as many as columns
# Where the memory has them, as found by Anand et al. (2019); positions are columns and rows plus a constant.
PADDLE_X, BALL_X, BALL_Y = 72, 99, 101
LOWEST_X, HIGHEST_X, CAUGHT_Y = 55, 199, 189  # between the walls, and where the paddle meets a ball
JUMP = 40  # between two decisions: more is another ball

Look = Callable[[np.ndarray], np.ndarray]


def require() -> None:
    """Raise InputError where the emulator is not installed."""
    try:
        import ale_py  # noqa: F401
    except ImportError:
        raise InputError(
            "data.source=atari: needs ale_py, which is not installed: pip install 'convtrial[atari]', "
            "or pip install ale-py."
        ) from None


class Machine:
    """An episode in progress: what is seen of it, size x size pixels, and what its expert would do."""

    def __init__(self, seed: int, size: int, frames: int) -> None:
        require()
        import ale_py
        from ale_py import roms

        game = roms.get_rom_path("breakout")
        assert game is not None
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale = ale_py.ALEInterface()
        self._ale.setInt("random_seed", seed)
        self._ale.setFloat("repeat_action_probability", STICKY)
        self._ale.loadROM(game)
        self._does = (ale_py.Action.LEFT, ale_py.Action.NOOP, ale_py.Action.RIGHT)
        self._serve = ale_py.Action.FIRE
        for _ in range(int(np.random.PCG64(seed).random_raw()) % WAITS):
            self._frames(self._does[STAY])
        self._size = size
        self._before = self._now = self._ale.getRAM().astype(np.int64)
        self._screens = [self._screen()] * frames

    def act(self, action: int) -> int:
        """The points that an action brings."""
        points = self._frames(self._does[action] if self._now[BALL_Y] else self._serve)
        self._before, self._now = self._now, self._ale.getRAM().astype(np.int64)
        self._screens = [*self._screens[1:], self._screen()]
        return points

    @property
    def over(self) -> bool:
        """Whether all balls are lost."""
        return bool(self._ale.game_over())

    @property
    def seen(self) -> np.ndarray:
        """uint8 [size, size, frames]: the newest pictures. Before its beginning a game was as it is then."""
        return fit(np.stack(self._screens, axis=-1)[None], self._size, "stretch")[0]

    def expert(self) -> int:
        """What brings the paddle under the ball, or where a ball that comes down will be when it is caught.

        It catches a ball with the paddle's left part, and allows for half of how far the paddle slides on: of six such
        rules the one that scored most in four episodes.
        """
        ball, paddle = self._now[BALL_X], self._now[PADDLE_X]
        across, down = ball - self._before[BALL_X], self._now[BALL_Y] - self._before[BALL_Y]
        if 0 < down < JUMP and abs(across) < JUMP and self._now[BALL_Y] < CAUGHT_Y:
            width = HIGHEST_X - LOWEST_X
            there = (ball + across * (CAUGHT_Y - self._now[BALL_Y]) / down - LOWEST_X) % (2 * width)
            ball = LOWEST_X + min(there, 2 * width - there)
        error = ball - 8 - (paddle + 0.5 * (paddle - self._before[PADDLE_X]))
        return STAY if abs(error) <= 4 else RIGHT if error > 0 else LEFT

    def _frames(self, action: Any) -> int:
        return sum(int(self._ale.act(action)) for _ in range(FRAMES))

    def _screen(self) -> np.ndarray:
        return self._ale.getScreenGrayscale()[FIELD]


def returns(player: Callable[[list[Machine]], np.ndarray], size: int, frames: int) -> np.ndarray:
    """[TEST_EPISODES]: what a player, machines -> actions, gains in each of the episodes that all are judged by."""
    machines = [Machine(2 * number, size, frames) for number in range(TEST_EPISODES)]
    gain = np.zeros(TEST_EPISODES, np.int64)
    for _ in range(DECISIONS):
        on = [i for i, machine in enumerate(machines) if not machine.over]
        if not on:
            break
        for i, action in zip(on, player([machines[i] for i in on]), strict=True):
            gain[i] += machines[i].act(int(action))
    return gain


def played(look: Look, size: int, frames: int) -> np.ndarray:
    """What is gained by who acts by what is seen: uint8 [E, size, size, frames] -> actions [E]."""
    return returns(lambda machines: look(np.stack([machine.seen for machine in machines])), size, frames)


@functools.cache
def expert_return() -> float:
    """The expert's mean return over the same episodes."""
    return float(returns(lambda machines: np.array([one.expert() for one in machines]), 1, 1).mean())
