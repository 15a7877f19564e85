"""Breakout on the emulator: its expert, the set that is made of it, and what a player gains."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pipeline import data
from pipeline.data import Data, breakout, describe, grouping, prepare, split
from pipeline.data.breakout import ACTIONS, LEFT, RIGHT, STAY, Machine
from pipeline.errors import InputError


@pytest.fixture
def config(tmp_path):
    return Data(source="atari", name="breakout", size=40, frames=2, episodes=4, prepared_dir=str(tmp_path))


@pytest.fixture
def few(monkeypatch):
    """Four short episodes to be judged by."""
    monkeypatch.setattr(breakout, "TEST_EPISODES", 4)
    monkeypatch.setattr(breakout, "DECISIONS", 150)


def paddle_at(picture):
    """The middle of what is bright in the paddle's row, between the walls."""
    row = picture[-2, 2:-2].astype(float)
    return (row * np.arange(len(row))).sum() / row.sum()


def test_a_paddle_goes_where_it_is_told():
    for action, way in ((LEFT, -1), (RIGHT, 1)):
        machine = Machine(3, 80, 2)
        before = paddle_at(machine.seen[..., -1])
        for _ in range(6):
            machine.act(action)
        assert (paddle_at(machine.seen[..., -1]) - before) * way > 5
    machine = Machine(3, 80, 2)
    before = paddle_at(machine.seen[..., -1])
    machine.act(STAY)
    assert paddle_at(machine.seen[..., -1]) == before


def test_the_newest_picture_is_the_last():
    machine = Machine(1, 40, 3)
    assert machine.seen.shape == (40, 40, 3)
    assert (machine.seen[..., 0] == machine.seen[..., 2]).all()  # before its beginning it was as it is then
    shown = []
    for _ in range(3):
        machine.act(RIGHT)
        shown.append(machine.seen[..., -1])
    assert (machine.seen == np.stack(shown, axis=-1)).all()


def test_the_expert_gains_more_than_chance_and_than_who_stays(few):
    random = np.random.default_rng(0)
    expert = breakout.returns(lambda machines: np.array([one.expert() for one in machines]), 1, 1).mean()
    by_chance = breakout.returns(lambda machines: random.integers(0, 3, len(machines)), 1, 1).mean()
    still = breakout.played(lambda seen: np.full(len(seen), STAY), 40, 2).mean()
    assert expert > 2
    assert expert > 2 * by_chance
    assert expert > 2 * still


def test_who_plays_sees_what_is_there(few):
    shapes = []

    def look(seen):
        shapes.append(seen.shape)
        return np.full(len(seen), LEFT)

    gain = breakout.played(look, 40, 3)
    assert gain.shape == (4,)
    assert shapes[0] == (4, 40, 40, 3)
    assert (breakout.played(lambda seen: np.full(len(seen), LEFT), 40, 3) == gain).all()


def test_the_set_is_the_same_in_every_process(config):
    code = (
        "from pipeline.data import Data, prepare; print(prepare(Data(source='atari', name='breakout', size=40, "
        "frames=2, episodes=4, prepared_dir='{}'), 0).digest)"
    )
    there = subprocess.run(
        [sys.executable, "-c", code.format(config.prepared_dir + "/other")], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == prepare(config, 0).digest


def test_no_episode_is_divided_and_no_situation_comes_twice(config):
    prepared = prepare(config, 0)
    assert 150 < len(prepared.labels) <= 200
    assert set(prepared.classes) == set(ACTIONS)
    assert (prepared.same == np.arange(len(prepared.labels))).all()
    assert grouping.column_of(prepared, config) == "episode"
    parts = [prepared.columns["episode"][one] for one in split(prepared, config, 0).values()]
    assert sum(len(set(part.tolist())) for part in parts) == 4
    assert prepared.input_shape == data.declared(config)[0] == (2, 40, 40)
    assert "2 frames of 40x40." in describe(prepared, config, 0).card.read_text()


def test_another_game_is_not_known(config):
    with pytest.raises(InputError, match=r"data\.name=brekout: .*breakout"):
        prepare(replace(config, name="brekout"), 0)


def test_a_root_is_refused(config, tmp_path):
    with pytest.raises(InputError, match=r"data\.source=atari is embedded and reads no folder"):
        prepare(replace(config, root=str(tmp_path)), 0)


def test_without_the_emulator_one_is_told_what_to_install(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(InputError, match=r"data\.source=atari: needs ale_py, .* pip install 'convtrial\[atari\]'"):
        prepare(config, 0)
