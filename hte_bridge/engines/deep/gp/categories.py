"""Categories as the kernel sees them: one covariate each, whose levels are all as far from one another.

A study has an indicator for each level but the first. With a length for each, a kernel must learn ten numbers of a category with
eleven levels, each from the few units of one level; and the first level, which has none, is nearer to all others than they are to one another.
Here the indicators are turned so that levels are the corners of a regular simplex, and share one length, or one weight: which level comes first
changes nothing, and the effects of levels are thought to be alike (exchangeable, as random effects are: Gelman and Hill, 2007, *Data Analysis Using
Regression and Multilevel/Hierarchical Models*, ch. 12).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.study import Study


def groups_of(study: Study, columns: Codes | None = None) -> tuple[int, ...]:
    """Of each of the study's filled columns, or of some: the covariate that it belongs to. Only columns of one category share theirs."""
    codes, owner = study.encoder.columns, study.covariate_of
    several = [place for place, code in enumerate(codes) if code.kind == "category"]
    keys = [(place, 0) if place in several else (place, 1 + j) for j, place in enumerate(owner)]
    chosen = keys if columns is None else [keys[j] for j in columns.tolist()]
    number = {key: k for k, key in enumerate(dict.fromkeys(chosen))}
    return tuple(number[key] for key in chosen)


@dataclass(frozen=True, eq=False)
class Categories:
    """What is done to standardised columns where some are indicators of one category's levels.

    Parameters
    ----------
    groups : tuple of int
        Of each column: which covariate it belongs to. Empty where no covariate has two columns.
    turn : array (q, q), optional
        Takes standardised columns to corners of a simplex; ``None`` where there is nothing to turn.
    """

    groups: tuple[int, ...] = ()
    turn: Array | None = None

    @classmethod
    def of(cls, groups: tuple[int, ...], centre: Array, spread: Array) -> Categories:
        """From the covariate of each column, the shares of ones (q,) and what columns were divided by (q,).

        Two units drawn at random are as far apart along a category, in the mean of squares, as along a number: by a square of two. A category of
        two levels is a standardised indicator, and stays what it is.

        Examples
        --------
        >>> share = np.array([0.25, 0.25, 0.25])  # of levels b, c, d; the rest are a
        >>> made = Categories.of((0, 0, 0), share, np.ones(3))
        >>> corners = made(np.vstack([np.zeros(3), np.eye(3)]) - share)
        >>> (np.square(corners[:, None] - corners[None]).sum(-1)).round(6)[0].tolist()
        [0.0, 2.666667, 2.666667, 2.666667]
        """
        several = [each for each in sorted(set(groups)) if groups.count(each) > 1]
        if not several:
            return cls()
        turn = np.eye(len(groups))
        for each in several:
            own = np.flatnonzero(np.array(groups) == each)
            k = len(own)
            first = 1.0 - centre[own].sum()
            apart = 1.0 - float(np.square(np.append(centre[own], first)).sum())  # that two units differ
            tilt = (np.sqrt(1.0 + k) - 1.0) / k
            corners = (np.eye(k) + tilt) * max(apart, 1e-6) ** -0.5
            turn[np.ix_(own, own)] = spread[own][:, None] * corners
        return cls(tuple(groups), turn)

    def __call__(self, x: Array) -> Array:
        """Standardised columns (m, q), turned."""
        return x if self.turn is None else np.asarray(x @ self.turn)
