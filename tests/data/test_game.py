"""The game: its rules by hand, its expert, the set that is made of it, and what a network gains that plays it."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pipeline import data
from pipeline.config.metrics import METRICS
from pipeline.data import Data, describe, falling, grouping, prepare, split
from pipeline.data.falling import BRIGHT, DIM, LEFT, PADDLE, RIGHT, STAY, Episodes
from pipeline.errors import InputError


def one_thing(x, across, worth=1, start=3, y=0):
    """An episode in which a single thing falls from column x."""
    of = {"born": 0, "x": x, "y": y, "across": across, "worth": worth}
    return Episodes(start=np.array([start]), **{name: np.array([[value]]) for name, value in of.items()})


def test_a_thing_falls_a_cell_a_step_and_comes_back_from_the_wall():
    straight, drifting = one_thing(2, 0), one_thing(5, 1)
    assert [int(straight.columns(step)[0, 0]) for step in range(8)] == [2] * 8
    assert [int(drifting.columns(step)[0, 0]) for step in range(8)] == [5, 6, 7, 6, 5, 4, 3, 2]
    assert [int(one_thing(1, -1).columns(step)[0, 0]) for step in range(4)] == [1, 0, 1, 2]
    assert [int(drifting.rows(step)[0, 0]) for step in range(3)] == [0, 1, 2]
    assert int(drifting.landing[0, 0]) == 7
    assert int(one_thing(5, 1, y=4).landing[0, 0]) == 3


@pytest.mark.parametrize(("paddle", "gain"), [(0, 0), (1, 1), (2, 1), (3, 1), (4, 0)])
def test_it_is_caught_where_the_paddle_is_when_it_lands(paddle, gain):
    for worth in (1, -1):
        game = one_thing(5, 1, worth)  # lands in column 2 at step 7
        assert int(falling.gained(game, np.array([paddle]), 7)[0]) == gain * worth
        assert int(falling.gained(game, np.array([paddle]), 6)[0]) == 0


def test_the_paddle_goes_a_cell_a_step_and_stays_in_the_field():
    assert [int(falling.moved(np.array([3]), one)[0]) for one in (LEFT, STAY, RIGHT)] == [2, 3, 4]
    assert [int(falling.moved(np.array([at]), one)[0]) for at, one in ((1, LEFT), (6, RIGHT))] == [1, 6]


def test_a_situation_shows_the_newest_pictures_and_the_paddle_in_the_last():
    seen = falling.situation(one_thing(5, 1), np.array([3]), 2, frames=3, cell=2)
    assert seen.shape == (1, 16, 16, 3)
    for frame, (row, column) in enumerate([(0, 5), (1, 6), (2, 7)]):
        field = seen[0, ::2, ::2, frame]
        assert field[row, column] == BRIGHT
        assert (field[:-1] > 0).sum() == 1
        assert field[-1].tolist() == ([0, 0, PADDLE, PADDLE, PADDLE, 0, 0, 0] if frame == 2 else [0] * 8)
    assert falling.situation(one_thing(5, 1, worth=-1), np.array([3]), 0, 1, 1).max(axis=(1, 2, 3)) == PADDLE
    assert falling.picture(one_thing(5, 1, worth=-1), 0).max() == DIM


def test_the_expert_waits_where_things_land_and_makes_way_for_dim_ones():
    plays = lambda game, paddle, step=0: int(falling.expert(game, np.array([paddle]), step)[0])  # noqa: E731
    assert plays(one_thing(5, 1), 2) == STAY  # it is at the right now, and comes down in column 2
    assert plays(one_thing(5, 1), 4) == LEFT
    assert plays(one_thing(2, 0), 1) == RIGHT
    assert plays(one_thing(4, 0, worth=-1), 1) == STAY
    assert plays(one_thing(4, 0, worth=-1, y=6), 5) == RIGHT  # the last moment
    assert plays(one_thing(4, 0), 1, step=8) == STAY  # it is gone


def test_the_expert_catches_nearly_all_and_chance_little():
    game = falling.episodes(np.arange(falling.TEST_EPISODES), falling.PLAYED)
    bright = ((game.landing <= falling.STEPS) & (game.worth > 0)).sum(axis=1).mean()
    random = np.random.default_rng(0)
    by_chance = falling.returns(lambda game, paddle, step: random.integers(0, 3, len(paddle)))
    assert 0.95 * bright < falling.expert_return() <= bright
    assert falling.expert_return() > 3 * by_chance.mean()


@pytest.fixture
def config(tmp_path):
    return Data(source="game", name="game", size=16, frames=2, episodes=60, prepared_dir=str(tmp_path))


def test_the_set_is_the_same_in_every_process(config):
    code = (
        "from pipeline.data import Data, prepare; "
        "print(prepare(Data(source='game', name='game', size=16, frames=2, episodes=60, prepared_dir='{}'), 0).digest)"
    )
    there = subprocess.run(
        [sys.executable, "-c", code.format(config.prepared_dir + "/other")], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == prepare(config, 0).digest


def test_no_episode_is_divided_and_no_situation_comes_twice(config):
    prepared = prepare(config, 0)
    assert (prepared.same == np.arange(len(prepared.labels))).all()
    assert grouping.column_of(prepared, config) == "episode"
    for seed in (0, 1):
        parts = [prepared.columns["episode"][one] for one in split(prepared, config, seed).values()]
        assert sum(len(set(part.tolist())) for part in parts) == 60
    assert prepared.input_shape == data.declared(config)[0] == (2, 16, 16)
    card = describe(prepared, config, 0).card.read_text()
    assert "situations in 3 classes, 2 frames of 16x16." in card
    assert "no situation lies in two splits, no group of episode" in card


def test_labels_are_what_the_expert_does(config):
    """By the pictures alone, where nothing but one bright thing is on the field and lands at the next step."""
    prepared = prepare(replace(config, episodes=400), 0)
    fields = prepared.images[:, ::2, ::2]
    alone = ((fields[:, :-1, :, 1] > 0).sum(axis=(1, 2)) == 1) & (fields[:, 6, :, 1] == BRIGHT).any(axis=1)
    checked = 0
    for before, now, label in zip(fields[alone, 5, :, 0], fields[alone, 6:, :, 1], prepared.labels[alone], strict=True):
        column, paddle = int(now[0].argmax()), int(np.flatnonzero(now[1]).mean())
        lands = 2 * column - int((before == BRIGHT).argmax())
        if 0 <= lands < 8:  # not back from a wall
            toward = STAY + int(np.sign(lands - paddle))
            assert label == (toward if 1 <= paddle + toward - STAY <= 6 else STAY)
            checked += 1
    assert checked > 8


def test_episodes_that_are_played_are_none_of_the_set():
    learned, played = (falling.episodes(np.arange(50), stream) for stream in (falling.LEARNED, falling.PLAYED))
    rows = {tuple(row) for row in np.concatenate([learned.x, learned.across, learned.worth], axis=1).tolist()}
    others = {tuple(row) for row in np.concatenate([played.x, played.across, played.worth], axis=1).tolist()}
    assert len(rows) == len(others) == 50
    assert not rows & others


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"size": 12}, r"data\.size=12: must be a multiple of 8 for data\.source=game\.$"),
        ({"frames": 0}, r"data\.frames=0: must lie between 1 and 16"),
        ({"episodes": 2}, r"data\.episodes=2: must lie between 3 and 10000"),
        ({"messy": 0.5}, r"data\.messy=0\.5: is of images, and data\.source=game gives situations"),
    ],
)
def test_what_no_game_can_be_is_refused(changed, said):
    with pytest.raises(InputError, match=said):
        Data(**{"source": "game", "name": "game", "size": 16} | changed)


def test_images_have_no_frames():
    with pytest.raises(InputError, match=r"data\.frames=2: is of situations, and data\.source=digits gives images"):
        Data(frames=2)


def test_a_root_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"data\.root=.*: data\.source=game is embedded and reads no folder"):
        prepare(Data(source="game", name="game", size=16, root=str(tmp_path), prepared_dir=str(tmp_path / "p")), 0)


def test_only_games_are_judged_by_what_is_gained():
    assert {name for name, one in METRICS.items() if one.kind == "game"} == {"test/return", "test/return_share"}
