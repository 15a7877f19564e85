"""Two classifiers on the same examples: how often each alone is right, and whether that is chance."""

import math
from typing import NamedTuple

import numpy as np

from pipeline.diagnosis.estimate import UNKNOWN, Estimate, wilson
from pipeline.diagnosis.ranking import Bools


class Paired(NamedTuple):
    """Counts of examples."""

    both: int  # are right
    first: int  # alone
    second: int  # alone
    neither: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)

    @property
    def accuracies(self) -> tuple[Estimate, Estimate]:
        """Of the first and of the second, each by itself (Wilson 1927)."""
        return wilson(self.both + self.first, self.total), wilson(self.both + self.second, self.total)

    @property
    def p(self) -> float:
        """McNemar's exact test: two-sided, of the examples on which one alone is right, each as likely to be either."""
        one_alone = self.first + self.second
        # log C(n, i) for i from 0 on, as numbers of thousands of digits take too long
        i = np.arange(1, min(self.first, self.second) + 1)
        logs = np.concatenate([[0.0], np.log((one_alone - i + 1) / i)]).cumsum()
        return min(1.0, 2 * math.exp(float(np.logaddexp.reduce(logs)) - one_alone * math.log(2)))

    @property
    def difference(self) -> Estimate:
        """Accuracy of the first less that of the second, by the same examples (Newcombe 1998, his method 10)."""
        if not self.total:
            return UNKNOWN
        (one, one_low, one_high), (other, other_low, other_high) = self.accuracies
        phi = self._phi()
        away = [
            math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))
            for a, b in ((one - one_low, other_high - other), (one_high - one, other - other_low))
        ]
        return Estimate(one - other, one - other - away[0], one - other + away[1])

    def _phi(self) -> float:
        """The correlation of both being right, with his correction for continuity."""
        sides = (self.both + self.first, self.second + self.neither, self.both + self.second, self.first + self.neither)
        if not all(sides):
            return 0.0
        more = self.both * self.neither - self.first * self.second
        return (max(more - self.total / 2, 0.0) if more > 0 else more) / math.sqrt(math.prod(sides))


def paired(first_N: Bools, second_N: Bools) -> Paired:
    """Of whether each is right, example by example."""
    return Paired(
        int((first_N & second_N).sum()),
        int((first_N & ~second_N).sum()),
        int((~first_N & second_N).sum()),
        int((~first_N & ~second_N).sum()),
    )
