"""Words for text: by chance, the same chance each time, and never where there is no token."""

import numpy as np
import pytest

from pipeline.augmentation import Augmentation, build, texts
from pipeline.data import vocabulary

assert (texts.NONE, texts.UNKNOWN) == (vocabulary.NONE, vocabulary.UNKNOWN)

TEXTS = np.zeros((200, 1, 30, 1), np.int32)
TEXTS[:, 0, :20, 0] = 2 + np.arange(20) + 20 * (np.arange(200)[:, None] % 3)
ALL = np.arange(200)


def changed(word, strength=1.0, epoch=0, some=ALL, seed=0):
    augment = build(Augmentation(transforms=[word], strength=strength), seed)
    assert augment is not None
    return augment(TEXTS[some], epoch, some)


@pytest.mark.parametrize("word", ["word_dropout", "swap"])
def test_what_happens_to_a_text_is_fixed_by_seed_epoch_and_index_alone(word):
    whole = changed(word, epoch=3)
    few = changed(word, epoch=3, some=np.array([7, 150, 7]))
    assert (few == whole[[7, 150, 7]]).all()
    assert (whole != changed(word, epoch=4)).any()
    assert (whole != changed(word, epoch=3, seed=1)).any()
    assert (whole[:, 0, 20:] == 0).all()
    assert whole.dtype == np.int32


def test_a_tenth_of_the_tokens_becomes_unknown():
    hit = changed("word_dropout") != TEXTS
    assert (changed("word_dropout")[hit] == 1).all()
    assert hit[:, 0, :20].mean() == pytest.approx(0.1, abs=0.01)
    assert (changed("word_dropout", strength=3.0) != TEXTS)[:, 0, :20].mean() == pytest.approx(0.3, abs=0.02)


def test_swapped_texts_have_the_same_tokens_none_of_which_goes_far():
    out = changed("swap")
    assert (np.sort(out, axis=2) == np.sort(TEXTS, axis=2)).all()
    moved = out[:, 0, :20, 0].astype(int) - TEXTS[:, 0, :20, 0]
    assert set(np.unique(moved)) == {-1, 0, 1}
    assert (moved != 0).mean() == pytest.approx(2 * 0.1 / 1.1, abs=0.02)
