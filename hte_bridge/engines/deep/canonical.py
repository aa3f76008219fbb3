"""One order of covariates and of units, read off the covariates' values: where a column or a row stands in a frame decides no draw.

Networks begin at random weights for the first covariate, the second, and so on; a chain of scales draws its momenta, random features their
frequencies, mini-batches their rows likewise. So covariates and units are sorted before a fit, by colours: those of a unit are made of the ranks of
its values, whatever the order of the columns, those of a column of its units' colours, whatever their order (Weisfeiler and Leman, 1968, on the graph
of units and columns). Ranks do not change with names, units of measurement or location, and may be told from both ends, so that a covariate with its
sign turned has the colour that it had. No outcome and no treatment decides, but for units that are alike in all covariates, their weight and their fold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hte_bridge.encode import Encoder
from hte_bridge.engine import HeldOut
from hte_bridge.study import Codes, Folds, Study

Array = npt.NDArray[np.float64]
Colours = npt.NDArray[np.uint64]

GAP = 1  # of the number that stands for a rank: that of a missing value; ranks from below and above begin at two
ROUNDS = 2  # in which units are told apart by their columns, and columns by their units


@dataclass(frozen=True, eq=False)
class Order:
    """Where the sorted rows and covariates of a study stood.

    Parameters
    ----------
    rows : array (n,)
        Place in the study of each sorted unit.
    covariates : tuple of int
        Place in the study of each sorted covariate; a category is one.
    columns : array (p,)
        Place of each sorted column of the encoded covariates.
    """

    rows: Codes
    covariates: tuple[int, ...]
    columns: Codes

    @classmethod
    def of(cls, study: Study, folds: Folds) -> Order:
        """Sort a study by the values of its covariates."""
        unit, column = colours(study.covariates)
        owner = np.array([place for place, code in enumerate(study.encoder.columns) for _ in code.names])
        with np.errstate(over="ignore"):  # colours are numbers modulo 2^64
            own = [int(mixed(column[owner == place]).sum()) for place in range(len(study.encoder.columns))]
        covariates = tuple(sorted(range(len(own)), key=own.__getitem__))
        columns = np.concatenate([np.flatnonzero(owner == place) for place in covariates])
        ties = (study.cluster, *study.fixed_effects.T, study.outcome, study.treatment, study.weight)
        return cls(np.lexsort((*ties, folds.fold, unit)), covariates, columns)

    def study(self, study: Study) -> Study:
        """The study so sorted."""
        codes = tuple(study.encoder.columns[place] for place in self.covariates)
        encoder = Encoder(codes)
        names = replace(study.names, covariates=encoder.names)
        covariates = np.asfortranarray(study.covariates[:, self.columns])
        own = study.with_(covariates=covariates, encoder=encoder, names=names, frame=None)
        return own.subset(self.rows)

    def folds(self, folds: Folds) -> Folds:
        """The folds of the sorted units."""
        return replace(folds, fold=folds.fold[self.rows])

    def back(self, heldout: HeldOut) -> HeldOut:
        """Held-out predictions of the sorted units, in the order of the study."""
        place = np.empty_like(self.rows)
        place[self.rows] = np.arange(len(place))
        variance = heldout.treatment_variance
        return replace(
            heldout,
            cate=heldout.cate[place],
            outcome_mean=heldout.outcome_mean[place],
            propensity=heldout.propensity[place],
            treatment_variance=None if variance is None else variance[place],
        )


def colours(values: Array) -> tuple[Colours, Colours]:
    """A number for each unit (n,) and for each column (p,) of some values (n, p), by what they hold and not by where they stand.

    Examples
    --------
    >>> values = np.random.default_rng(1).normal(size=(20, 3))
    >>> unit, column = colours(values)
    >>> moved = 7.0 - 0.1 * values[::-1, [2, 0, 1]]
    >>> other_unit, other_column = colours(moved)
    >>> bool((other_unit == unit[::-1]).all()), bool((other_column == column[[2, 0, 1]]).all())
    (True, True)
    """
    ends = [from_both_ends(column) for column in values.T]
    unit = np.zeros(len(values), dtype=np.uint64)
    column = np.zeros(len(ends), dtype=np.uint64)
    with np.errstate(over="ignore"):  # numbers modulo 2^64: sums are the same in any order
        for _ in range(ROUNDS):
            before, unit = unit, np.zeros(len(values), dtype=np.uint64)
            for j, (up, down) in enumerate(ends):
                unit += mixed(oriented(up, down, before) ^ mixed(column[j]))
            for j, (up, down) in enumerate(ends):
                column[j] = mixed(oriented(up, down, unit) ^ mixed(unit)).sum()
    return unit, column


def from_both_ends(column: Array) -> tuple[Colours, Colours]:
    """Numbers for the rank of each value (n,), counted from the lowest and from the highest; tied values share theirs."""
    seen = ~np.isnan(column)
    up, down = np.full(len(column), GAP, dtype=np.uint64), np.full(len(column), GAP, dtype=np.uint64)
    rank = np.unique(column[seen], return_inverse=True)[1].reshape(-1).astype(np.uint64)
    up[seen] = rank + np.uint64(GAP + 1)
    down[seen] = rank.max(initial=0) - rank + np.uint64(GAP + 1)
    return mixed(up), mixed(down)


def oriented(up: Colours, down: Colours, unit: Colours) -> Colours:
    """The numbers (n,) from the end that gives the lesser total with the units' colours, or, where both give the same, from both."""
    total = [int(mixed(each ^ mixed(unit)).sum()) for each in (up, down)]
    if total[0] == total[1]:
        return up + down
    return up if total[0] < total[1] else down


def mixed(number: Colours) -> Colours:
    """Scatter numbers over 64 bits (splitmix64: Steele, Lea and Flood, 2014, OOPSLA)."""
    found = number + np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(found ^ (found >> np.uint64(31)))
