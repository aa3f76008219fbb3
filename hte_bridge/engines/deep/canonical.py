"""A study as the engine sees it: covariates and units in one order, read off what they hold, and covariates in units of their own spread.

Networks begin at random weights for the first covariate, the second, and so on; a chain of scales draws its momenta, random features their
frequencies, mini-batches their rows likewise. So covariates and units are sorted before a fit, by colours: those of a unit are made of the ranks of
its values, whatever the order of the columns, those of a column of its units' colours, whatever their order (Weisfeiler and Leman, 1968, on the graph
of units and columns). Ranks do not change with names, units of measurement or location, and are told from the end that makes the lesser colour, so that
a covariate with its sign turned is turned back. No outcome and no treatment decides, but for units that are alike in all covariates, their
weight and their fold.

A chain of scales carries a difference in the last digit into the third. So standardised numbers are rounded, to ``GRID`` of a standard deviation:
in cents as in euros they are the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes, at
from hte_bridge.encode import Encoder
from hte_bridge.engine import HeldOut
from hte_bridge.keys import mixed
from hte_bridge.scaling import Standard
from hte_bridge.study import Folds, Study

Colours = npt.NDArray[np.uint64]
GAP = 1  # of the number that stands for a rank: that of a missing value; ranks from below and above begin at two
GRID = 2.0**-28  # of a standard deviation
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
    sign : array (p,)
        Minus one for columns that are to be turned round, else one.
    """

    rows: Codes
    covariates: tuple[int, ...]
    columns: Codes
    sign: Array

    @classmethod
    def of(cls, study: Study, folds: Folds) -> Order:
        """Sort a study by the values of its covariates."""
        unit, column, sign = colours(study.covariates)
        owner = np.array([place for place, code in enumerate(study.encoder.columns) for _ in code.names])
        with np.errstate(over="ignore"):  # colours are numbers modulo 2^64
            own = [int(mixed(column[owner == place]).sum()) for place in range(len(study.encoder.columns))]
        covariates = tuple(sorted(range(len(own)), key=own.__getitem__))
        columns = np.concatenate([np.flatnonzero(owner == place) for place in covariates])
        ties = (study.cluster, *study.fixed_effects.T, study.outcome, study.treatment, study.weight)
        rows = np.lexsort((*ties, folds.fold, unit))
        return cls(rows, covariates, columns, sign[columns])

    def study(self, study: Study) -> Study:
        """The study so sorted."""
        codes = tuple(study.encoder.columns[place] for place in self.covariates)
        encoder = Encoder(codes, study.encoder.recipes)
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
        return at(heldout, place, "cate", "outcome_mean", "propensity", "treatment_variance")


def colours(values: Array) -> tuple[Colours, Colours, Array]:
    """A number for each unit (n,) and for each column (p,) of some values (n, p), by what they hold and not by where they stand.

    Beside them the sign (p,) of each column that makes it the same as its negative.

    Examples
    --------
    >>> values = np.random.default_rng(1).normal(size=(20, 3))
    >>> unit, column, sign = colours(values)
    >>> moved = 7.0 - 0.1 * values[::-1, [2, 0, 1]]
    >>> other_unit, other_column, other_sign = colours(moved)
    >>> bool((other_unit == unit[::-1]).all()), bool((other_column == column[[2, 0, 1]]).all())
    (True, True)
    >>> bool((other_sign == -sign[[2, 0, 1]]).all())
    True
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
        turned = [totals(up, down, unit)[1] < totals(up, down, unit)[0] for up, down in ends]
    return unit, column, np.where(turned, -1.0, 1.0)


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
    first, second = totals(up, down, unit)
    if first == second:
        return up + down
    return up if first < second else down


def totals(up: Colours, down: Colours, unit: Colours) -> tuple[int, int]:
    """The total of either end's numbers with the units' colours."""
    return int(mixed(up ^ mixed(unit)).sum()), int(mixed(down ^ mixed(unit)).sum())


@dataclass(frozen=True, eq=False)
class Seen:
    """What the engine is shown of a study.

    Parameters
    ----------
    order : Order
    plain : Encoder
        Of the sorted covariates, without normal scores.
    centre, scale : array (p,)
        Of its columns, sign included; zero and one for those of categories and yes or no. A scale of zero: the column is one number.
    study : Study
        Sorted, in standard units, with normal scores behind covariates with long tails.
    """

    order: Order
    plain: Encoder
    centre: Array
    scale: Array
    study: Study

    @classmethod
    def of(cls, study: Study, folds: Folds) -> Seen:
        """Sort and standardise a study."""
        order = Order.of(study, folds)
        own = order.study(study)
        centre, scale = np.zeros(len(order.sign)), np.ones(len(order.sign))
        kinds = [code.kind for code in own.encoder.columns for _ in code.names]
        for j, kind in enumerate(kinds):
            there = own.covariates[~np.isnan(own.covariates[:, j]), j]
            if kind in ("number", "ordered") and len(there):
                standard = Standard.of(there[:, None])
                centre[j], scale[j] = standard.centre[0], order.sign[j] * standard.scale[0]
        shown = own.with_(covariates=standardised(own.covariates, centre, scale))
        return cls(order, own.encoder, centre, scale, shown.scored)

    def encode(self, new: Any) -> Array:
        """Filled covariates (m, q) of new rows, as the engine sees them."""
        return self._shown(self.plain.transform(new))

    def encode_columns(self, covariates: Array) -> Array:
        """The same of raw covariates (m, p) in the order of the study's own columns."""
        return self._shown(covariates[:, self.order.columns])

    def _shown(self, covariates: Array) -> Array:
        values = standardised(covariates, self.centre, self.scale)
        start, widened = 0, []
        for code, own in zip(self.study.encoder.columns, self.plain.columns, strict=True):
            widened.append(code.with_score(values[:, start : start + len(own.names)]))
            start += len(own.names)
        return self.study.fill(np.asfortranarray(np.hstack(widened)))


def standardised(values: Array, centre: Array, scale: Array) -> Array:
    """Columns (n, p) less their centre over their scale, zero where that is zero, to the nearest multiple of ``GRID``; gaps stay.

    Examples
    --------
    >>> standardised(np.array([[0.1 + 1e-16, 7.0], [0.1, np.nan]]), np.zeros(2), np.array([1.0, 0.0]))[:, 1]
    array([ 0., nan])
    """
    spread = np.where(scale == 0, np.inf, scale)
    found = np.asfortranarray(np.round((values - centre) / spread / GRID) * GRID + 0.0)
    found[np.isnan(values)] = np.nan
    return found
