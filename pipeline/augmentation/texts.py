"""Words for text: int32 token numbers [B, 1, T, 1], where 0, no token, stays where it is."""

import numpy as np

from pipeline.augmentation.draws import Where, uniform_each

NONE, UNKNOWN = 0, 1  # data.vocabulary's, and a test holds them to that
CHANCE = 0.1  # for each token, at strength 1


def word_dropout(x_B1T1: np.ndarray, strength: float, where: Where) -> np.ndarray:
    """Some tokens become unknown (Iyyer et al. 2015), so that no single one may decide."""
    hit_BT = uniform_each(*where, "word_dropout", x_B1T1.shape[2]) < CHANCE * strength
    hit = hit_BT[:, None, :, None] & (x_B1T1 != NONE)
    return np.where(hit, np.int32(UNKNOWN), x_B1T1)


def swap(x_B1T1: np.ndarray, strength: float, where: Where) -> np.ndarray:
    """Some tokens change places with the next one (Wei and Zou 2019), each with one at most."""
    out = x_B1T1.copy()
    places = out[:, 0, :, 0]
    wanted_BT = uniform_each(*where, "swap", places.shape[1]) < CHANCE * strength
    free = np.ones(len(places), bool)  # whether the token here has not moved yet
    for t in range(places.shape[1] - 1):
        moved = wanted_BT[:, t] & free & (places[:, t + 1] != NONE)
        places[moved, t], places[moved, t + 1] = places[moved, t + 1], places[moved, t]
        free = ~moved
    return out
