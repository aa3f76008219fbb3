"""Normal scores of a covariate with long tails, as incomes, firm sizes and populations have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hte_bridge.arrays import Array

LONG = 6.0  # kurtosis, that of a normal covariate being three, from which tails are long
FEWEST_VALUES = 10  # of a covariate that is asked
KNOTS = 9
OUTERMOST = 2.25  # normal score of the last knot, at most
BEYOND = 5.0  # units beyond it


@dataclass(frozen=True)
class NormalScore:
    """A monotone curve that takes a covariate to the quantiles of a standard normal variable at its ranks (van der Waerden, 1952).

    It goes through a few quantiles (Fritsch and Carlson, 1980, SIAM J. Numerical Analysis 17(2)) and is straight beyond the outermost, so that a
    value outside the data is still far from them.

    Parameters
    ----------
    values, scores : tuple of float
        Of the knots, both rising.

    Examples
    --------
    >>> income = np.exp(np.random.default_rng(1).normal(size=1_000))
    >>> score = NormalScore.of(income)
    >>> score(np.quantile(income, [0.05, 0.5, 0.95])).round(2).tolist()
    [-1.65, 0.0, 1.62]
    """

    values: tuple[float, ...]
    scores: tuple[float, ...]

    @classmethod
    def of(cls, covariate: Array) -> NormalScore | None:
        """Learn from values (n,), in which missing is NaN; ``None`` where tails are not long. Tied values share the mean of their scores."""
        from scipy import stats

        seen = covariate[~np.isnan(covariate)]
        if len(np.unique(seen)) < FEWEST_VALUES or not stats.kurtosis(seen, fisher=False) >= LONG:
            return None
        last = min(OUTERMOST, float(stats.norm.isf(BEYOND / len(seen))))
        scores = np.linspace(-last, last, KNOTS)
        at, place = np.unique(np.quantile(seen, stats.norm.cdf(scores)), return_inverse=True)
        if len(at) < 3:
            return None
        return cls(tuple(at.tolist()), tuple((np.bincount(place, scores) / np.bincount(place)).tolist()))

    def __call__(self, covariate: Array) -> Array:
        """Scores (m,) of values (m,); missing stays NaN."""
        at, score = self.values, self.scores
        first, last = ((score[k + 1] - score[k]) / (at[k + 1] - at[k]) for k in (0, len(at) - 2))
        low, high = np.minimum(covariate - at[0], 0.0), np.maximum(covariate - at[-1], 0.0)
        return np.asarray(self._inside(np.clip(covariate, at[0], at[-1])) + first * low + last * high)

    @cached_property
    def _inside(self) -> Callable[[Array], Array]:
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator(self.values, self.scores)
