"""A/A sweeps: levels that do not differ, judged by the code that judges real ones.

Each figure is the share of simulated sweeps with an error of the kind named. A correct share of 5 % shows at
most 5 % plus the Monte Carlo error, of which four standard errors are allowed for: 27 settings are looked at.
"""

import numpy as np
import pytest

from pipeline.evidence.paired import compare, quantisation

SWEEPS = 4000
ALLOWED = 0.05 + 4 * np.sqrt(0.05 * 0.95 / SWEEPS)


def false_alarms(values: np.ndarray, floor: float = 0.0) -> tuple[float, float]:
    """Share of sweeps [sweeps, L, S] with a level called worse; the same by the plain interval."""
    found = compare(values, values.mean(axis=-1).argmax(axis=-1), floor)
    return float((found.p_adjusted < 0.05).any(axis=-1).mean()), float((found.p < 0.05).any(axis=-1).mean())


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_equal_levels_rarely_yield_a_winner(levels: int, seeds: int):
    rng = np.random.default_rng([levels, seeds])
    common = rng.normal(size=(SWEEPS, 1, seeds)) * 3  # a seed's own luck, which pairing removes
    share, plain = false_alarms(rng.normal(size=(SWEEPS, levels, seeds)) + common)
    assert share <= ALLOWED
    if levels >= 4:
        assert plain > 0.10  # why the plain interval does not decide


@pytest.mark.parametrize("levels", [2, 4])
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("n_test", [100, 360, 10_000])
def test_rounded_accuracies_do_not_fake_certainty(levels: int, seeds: int, n_test: int):
    rng = np.random.default_rng([levels, seeds, n_test])
    right = rng.binomial(n_test, 0.98, size=(SWEEPS, levels, seeds)) / n_test
    share, _ = false_alarms(right, quantisation(n_test, np.ones(seeds, dtype=np.intp)))
    assert share <= ALLOWED


@pytest.mark.parametrize("seeds", [3, 10])
def test_a_difference_that_matters_is_rarely_called_none(seeds: int):
    # truly one smallest effect apart, the worst case; spreads from clear to hopeless
    rng = np.random.default_rng(seeds)
    for spread in (0.1, 0.3, 1.0):
        values = rng.normal(size=(SWEEPS, 2, seeds)) * spread
        values[:, 1] += 1.0
        found = compare(values, values.mean(axis=-1).argmax(axis=-1))
        none = (found.low >= -1) & (found.high <= 1) & (found.p_adjusted >= 0.05) & (found.difference != 0)
        assert none.any(axis=-1).mean() <= 0.025 + 4 * np.sqrt(0.025 * 0.975 / SWEEPS)


def test_a_clear_difference_is_found():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(SWEEPS, 3, 5))
    values[:, 2] += 6.0
    found = compare(values, values.mean(axis=-1).argmax(axis=-1))
    assert (found.p_adjusted[:, :2] < 0.05).all(axis=-1).mean() > 0.9
