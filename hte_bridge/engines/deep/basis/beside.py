"""Beside a jump: the variance of the effect that blocks leave in the few cells where it steps, over what they leave elsewhere.

Knots follow a jump to within a cell. What they miss there is a hundred times what they miss on average, in a thousandth of the points: one variance for all
points would be far too small there, and too large everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.features import Basis
from hte_bridge.engines.deep.basis.jumps import MEAN, Jump


@dataclass(frozen=True)
class BesideRule:
    """When a cell counts as one where a jump is missed."""

    # standard errors, at least, by which it must stand out from the middle cell around the jump: of a thousand cells without a jump one does
    clear: float = 3.0
    # cells whose middle one says what is usual there: a jump is missed in few of them, and noise that varies along the covariate hardly does so among them
    around: int = 13
    # of the largest variance about a step: where less is left, all is as elsewhere
    little: float = 0.01
    # places in a cell at which a step is tried
    places: int = 16


BESIDE = BesideRule()


@dataclass(frozen=True, eq=False)
class Beside:
    """Variance of tau in cells beside a jump, over that elsewhere.

    Parameters
    ----------
    along : int
        Covariate along which it jumps.
    scaling : int
        Covariate whose square the variance goes with, as the jump is a multiple of it; ``EFFECT`` for none.
    borders : array (k + 1,)
        Of the cells, standardised.
    variance : array (k,)
    """

    along: int
    scaling: int
    borders: Array
    variance: Array

    def at(self, z: Array) -> Array:
        """Variance (m,) at standardised covariates (m, q).

        Examples
        --------
        >>> from hte_bridge.engines.deep.basis.jumps import EFFECT
        >>> found = Beside(0, EFFECT, np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0]))
        >>> found.at(np.array([[-1.0], [0.5], [1.5], [2.0]])).tolist()
        [0.0, 0.0, 3.0, 0.0]
        """
        cell = cells_of(z[:, self.along], self.borders)
        return np.asarray(np.append(self.variance, 0.0)[cell] * multiple(z, self.scaling) ** 2)

    def times(self, factor: float) -> Beside:
        """The same with another unit of tau's square."""
        return replace(self, variance=factor * self.variance)


def cells_of(column: Array, borders: Array) -> Codes:
    """Cell (m,) of each value; -1 for one that lies in none."""
    cell = np.searchsorted(borders, column, side="right") - 1
    return np.where((cell >= 0) & (cell < len(borders) - 1), cell, -1)


def multiple(z: Array, scaling: int) -> Array:
    """What a jump scales, at standardised covariates (m, q)."""
    return z[:, scaling] if scaling >= 0 else np.ones(len(z))


@dataclass(frozen=True, eq=False)
class Place:
    """Jumps of all kinds about one place of a covariate: the cells around them, and what they scale."""

    along: int
    borders: Array
    scaling: tuple[int, ...]

    @classmethod
    def of(cls, jumps: Sequence[Jump]) -> list[Place]:
        """The places of some jumps: those whose cells overlap are one; where the mean alone jumps is none.

        Examples
        --------
        >>> from hte_bridge.engines.deep.basis.jumps import EFFECT
        >>> few = [Jump(0, EFFECT, (0.0, 1.0, 2.0), (0.0, 2.0)), Jump(0, 3, (1.0, 2.0, 3.0, 9.0), (1.0, 3.0)), Jump(1, MEAN, (0.0, 1.0), (0.0, 1.0))]
        >>> [(each.along, each.borders.tolist(), each.scaling) for each in Place.of(few)]
        [(0, [0.0, 1.0, 2.0, 3.0], (-1, 3))]
        """
        found: list[list[Jump]] = []
        for each in sorted(jumps, key=lambda jump: (jump.along, jump.around, jump.scaling)):
            last = found[-1] if found else []
            if last and last[0].along == each.along and each.around[0] < max(one.around[1] for one in last):
                last.append(each)
            else:
                found.append([each])
        made = [
            cls(
                few[0].along,
                np.unique(np.concatenate([one.cells for one in few])),
                tuple(sorted({one.scaling for one in few})),
            )
            for few in found
        ]
        return [each for each in made if any(scaling != MEAN for scaling in each.scaling)]


@dataclass(frozen=True, eq=False)
class RowsAbout:
    """Rows about a place: which, in which cell, at which value of the covariate that jumps, the variance there that is known, and the multiples (m, s) of
    what jumps scale."""

    rows: Codes
    cell: Codes
    value: Array
    known: Array
    multiples: Array


def seen_at(
    places: Sequence[Place], blocks: Iterable[tuple[int, Array]], known: Sequence[Beside] = ()
) -> list[RowsAbout]:
    """Rows about each place, from blocks of standardised covariates (m, q) with the row that each begins at."""
    held: list[list[tuple[Any, ...]]] = [[] for _ in places]
    for start, z in blocks:
        for place, own in zip(places, held, strict=True):
            cell = cells_of(z[:, place.along], place.borders)
            here = np.flatnonzero(cell >= 0)
            columns = np.column_stack([multiple(z[here], each) for each in place.scaling])
            places_there = (start + here).astype(np.int64), cell[here].astype(np.int16)
            value = z[here, place.along].astype(np.float32)
            there = sum((each.at(z[here]) for each in known), np.zeros(len(here)))
            own.append((*places_there, value, there.astype(np.float32), columns.astype(np.float32)))
    return [RowsAbout(*(np.concatenate(part) for part in zip(*own, strict=True))) for own in held]


def beside(
    places: Sequence[Place],
    seen: Sequence[RowsAbout],
    residual: Array,
    treatment: Array,
    weight: Array,
    effects: Codes,
    nugget: float,
    noise: float,
) -> list[Beside]:
    """Cells where squared residuals say that the effect varies by more than blocks, and than it does in the middle cell around the jump.

    In each cell squared residuals, less what ``noise`` and ``nugget`` say, are regressed on the squares of what jumps scale, (T u)^2, without a constant: how large
    squares are tells of a cell what their slope on T^2 cannot of so few rows. What the cells around have of it (the running median of each coefficient) is
    taken off first, so that noise which varies, or goes with T or u, is no jump. Of what is missed alike at all rows of a level a fixed effect takes the mean, and so it
    does here of T u. Errors are the larger of those of normal errors and White's (1980).

    Parameters
    ----------
    places, seen : sequence
        As by ``Place.of`` and ``seen_at``.
    residual, treatment, weight : array (n,)
        The residual net of the effects.
    effects : array (n, F)
        Codes of the levels of fixed effects.
    nugget, noise : float
        Of all rows (``residual.nugget``).

    Examples
    --------
    >>> from hte_bridge.engines.deep.basis.jumps import EFFECT
    >>> rng = np.random.default_rng(1)
    >>> x, t = rng.uniform(size=(40_000, 1)), rng.normal(1.0, 1.0, 40_000)
    >>> place = Place(0, np.linspace(0, 1, 21), (EFFECT,))
    >>> near = (x[:, 0] > 0.5) & (x[:, 0] < 0.55)
    >>> left = rng.normal(size=40_000) + near * t * rng.choice([-0.5, 0.5], 40_000)
    >>> (found,) = beside([place], seen_at([place], [(0, x)]), left, t, np.ones(40_000), np.zeros((40_000, 0)), 0.0, 1.0)
    >>> np.flatnonzero(found.variance).tolist(), bool(abs(found.variance[10] - 0.25) < 0.06)
    ([10], True)
    """
    found: list[Beside] = []
    for place, own in zip(places, seen, strict=True):
        r, t, w = residual[own.rows], treatment[own.rows], weight[own.rows]
        u = own.multiples.astype(np.float64) * t[:, None]
        u[:, [scaling == MEAN for scaling in place.scaling]] = 1.0
        u = net_of_levels(u, own.value, w, np.asarray(effects[own.rows]))
        expected = noise + (nugget + own.known) * t**2
        variance = variances(u**2, r**2 - expected, expected, w, own.cell, place)
        for k, scaling in enumerate(place.scaling):
            if scaling != MEAN and variance[:, k].any():
                found.append(Beside(place.along, scaling, place.borders, variance[:, k]))
    return found


def within_cells(basis: Basis, mean: Array, root: Array, jumps: Sequence[Jump]) -> list[Beside]:
    """What finer knots leave of a step that lies anywhere within its cell: there, and in the cells beside it, where lines fitted to a step swing.

    A cell across which the fit rises by more than chance, beside the slope of the middle cell, holds the step with a chance that goes with its rise; of one near a
    border the cell beyond has a part, which counts with it. The step's height is what they rise together. So what is smooth, and rises alike from cell to cell, has no variance.

    Parameters
    ----------
    basis : Basis
    mean : array (P,)
        Of the coefficients; ``root @ root.T`` is their covariance.
    root : array (P, r)
    jumps : sequence of Jump
        Those with a block of finer knots count.
    """
    found = []
    for k, block in enumerate(basis.blocks):
        jump = next((each for each in jumps if each.is_of(block)), None)
        if jump is None:
            continue
        knots, own = np.array(jump.knots), basis.owner == k
        z = np.zeros((len(knots), len(basis.centre)))
        z[:, jump.along] = knots
        if jump.scaling >= 0:
            z[:, jump.scaling] = 1.0
        change = np.diff(basis.features(z * basis.scale + basis.centre)[:, own].astype(np.float64), axis=0)
        here = np.append(own, np.zeros(len(mean) - len(own), dtype=np.bool_))
        rise, error = change @ mean[here], np.linalg.norm(change @ root[here], axis=1)
        inside = (knots[:-1] >= jump.around[0]) & (knots[1:] <= jump.around[1])
        rise, error, wide = rise[inside], error[inside], np.diff(knots)[inside]
        rise = rise - wide * np.median(rise / wide)
        sure = np.sign(rise) * (np.abs(rise) > BESIDE.clear * error)
        around = np.pad(sure, 1)
        rise = np.where((sure != 0) | ((around[:-2] + around[2:]) * rise > 0), rise, 0.0)
        if rise.any():
            borders, left = left_of_steps(np.array(jump.cells))
            share = np.abs(rise) / np.abs(rise).sum()
            left = left @ share
            variance = np.where(left > BESIDE.little * left.max(), float(rise.sum()) ** 2 * left, 0.0)
            found.append(Beside(jump.along, jump.scaling, borders, variance))
    return found


def left_of_steps(knots: Array) -> tuple[Array, Array]:
    """What a line with these knots (k + 1,), fitted by least squares, leaves of steps of height one, squared: at places (k s) between knots, whose borders come first, on
    average over the places of each cell (k s, k) at which the step may be; cells weigh alike, as each has as many rows.

    Examples
    --------
    >>> borders, left = left_of_steps(np.arange(6.0))
    >>> middle = left[:, 2].reshape(5, -1).mean(axis=1)
    >>> len(borders) - 1 == len(left), middle.round(3).tolist()
    (True, [0.001, 0.011, 0.069, 0.011, 0.001])
    """
    cells, each = len(knots) - 1, BESIDE.places
    at = np.arange(cells * each)
    middles = (at + 0.5) / each
    hats = np.maximum(1 - np.abs(middles[:, None] - np.arange(cells + 1)), 0.0)
    steps = (at[:, None] > at) + 0.5 * (at[:, None] == at)
    left = steps - hats @ np.linalg.lstsq(hats, steps, rcond=None)[0]
    borders = np.interp(np.arange(cells * each + 1) / each, np.arange(cells + 1), knots)
    return borders, (left**2).reshape(len(at), cells, each).mean(axis=2)


def net_of_levels(columns: Array, value: Array, weight: Array, effects: Codes) -> Array:
    """Columns (m, s) less their means in the levels of each effect (m, F) in whose levels ``value`` (m,) is one: of them such an effect takes the mean.

    Examples
    --------
    >>> two = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> net_of_levels(np.array([[1.0], [3.0], [4.0], [4.0]]), np.array([7.0, 7.0, 8.0, 8.0]), np.ones(4), two).ravel().tolist()
    [-1.0, 1.0, 0.0, 0.0]
    """
    for codes in effects.T:
        level = np.unique(codes, return_inverse=True)[1].reshape(-1)
        first = np.zeros(level.max(initial=-1) + 1, dtype=value.dtype)
        first[level] = value
        if np.array_equal(first[level], value):
            total = np.maximum(np.bincount(level, weight), np.finfo(float).tiny)
            mean = [np.bincount(level, weight * column) / total for column in columns.T]
            columns = columns - np.column_stack(mean)[level]
    return columns


def elsewhere(cells: Sequence[Beside], blocks: Iterable[tuple[int, Array]], n: int) -> Array:
    """One for each of n rows that lies in no cell beside a jump, else zero."""
    outside = np.ones(n)
    for start, z in blocks:
        for each in cells:
            outside[start : start + len(z)][each.at(z) > 0] = 0.0
    return outside


def variances(lever: Array, left: Array, fitted: Array, weight: Array, cell: Codes, place: Place) -> Array:
    """Variance (cells, s) of what jumps scale: coefficients of what is left (m,) of squared residuals on ``lever`` (m, s) that stand out."""
    order = np.argsort(cell, kind="stable")
    edges = np.searchsorted(cell[order], np.arange(len(place.borders)))
    parts = [order[a:b] for a, b in pairwise(edges.tolist())]
    parts = [rows for rows in parts if len(rows) > lever.shape[1]]
    first = np.array([coefficients(lever[rows], left[rows], weight[rows]) for rows in parts])
    found = np.zeros((len(place.borders) - 1, lever.shape[1]))
    if not parts:
        return found
    middle = median_filter(first, size=(BESIDE.around, 1), mode="nearest")
    mean = np.array([scaling == MEAN for scaling in place.scaling])
    for rows, usual in zip(parts, middle, strict=True):
        own = lever[rows]
        found[cell[rows[0]]] = clear(
            own, left[rows] - own @ usual, fitted[rows] + own @ usual, weight[rows], mean
        )
    return found


def coefficients(lever: Array, left: Array, weight: Array) -> Array:
    """Least squares (s,), of least norm where columns go together."""
    root = np.sqrt(weight)
    return np.asarray(np.linalg.lstsq(root[:, None] * lever, root * left, rcond=None)[0])


def clear(lever: Array, left: Array, fitted: Array, weight: Array, mean: Array) -> Array:
    """Coefficients (s,) that are each clear of zero, the others zero: the least clear one is left out, and all are found anew.

    Where none is clear, as where T^2 does not vary and a jump of the mean cannot be told from one of the effect, it is the mean's that goes.
    """
    found, kept = np.zeros(lever.shape[1]), np.arange(lever.shape[1])
    while len(kept):
        columns = lever[:, kept]
        some = coefficients(columns, left, weight)
        bread = np.linalg.pinv((weight[:, None] * columns).T @ columns, hermitian=True)
        pull = (weight[:, None] * columns) @ bread
        normal = 2 * np.maximum(fitted + columns @ some, 0.0) ** 2
        squares = np.maximum((pull**2).T @ normal, (pull**2).T @ (left - columns @ some) ** 2)
        clarity = some / np.sqrt(np.maximum(squares, np.finfo(float).tiny))
        if (clarity >= BESIDE.clear).all():
            found[kept] = np.maximum(some - squares / some, 0.0)
            return found
        none = (clarity < BESIDE.clear).all()
        worst = int(np.argmax(mean[kept])) if none and mean[kept].any() else int(np.argmin(clarity))
        kept = np.delete(kept, worst)
    return found
