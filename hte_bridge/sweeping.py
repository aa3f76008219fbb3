"""Fixed effects swept out of columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hte_bridge.arrays import Array
from hte_bridge.errors import NotIdentified
from hte_bridge.scaling import Standard, power

MOST_SWEEPS = 10_000
ABSORBED = 1e-7  # of a column's standard deviation: what is left of one that effects determine


def within(
    values: Array,
    effects: npt.NDArray[np.int64],
    weight: Array,
    tolerance: float = 1e-13,
) -> Array:
    """Residual of ``values`` (n,) or (n, k) on the effects, by conjugate gradients on sweeps forth and back.

    A sweep takes out the weighted mean of each level in turn (Guimaraes and Portugal, 2010, Stata Journal 10(4)); conjugate gradients need
    the root of the sweeps where few rows tie the levels together (Correia, 2017, "Linear models with high-dimensional fixed effects").
    Columns are centred and scaled first, and until a sweep moves less than ``tolerance`` of what is left of each. A column that the
    effects determine is zero, not rounding, which a regression would take for a regressor.

    Raises
    ------
    NotIdentified
        If the effects hang together by so few rows that the sweeps do not come to rest.

    Examples
    --------
    >>> within(np.array([1.0, 3.0, 5.0, 9.0]), np.array([[0], [0], [1], [1]]), np.ones(4))
    array([-1.,  1., -2.,  2.])
    """
    given = np.asarray(values, dtype=np.float64)
    table = given[:, None] if given.ndim == 1 else given
    if not len(table):
        return given.copy()
    standard = Standard.of(table, weight)
    unit = power(standard.scale)
    left = np.where(standard.scale > 0, (table - standard.centre) / unit, 0.0)
    size = np.sqrt((left**2).mean(axis=0))
    averages = [_average(codes, weight, table.shape[1]) for codes in effects.T]
    order = [*range(len(averages)), *range(len(averages) - 2, -1, -1)]  # forth and back: self-adjoint

    def moved(columns: Array) -> Array:
        swept = columns.copy()
        for each in order:
            swept -= averages[each](swept)[effects[:, each]]
        return columns - swept

    left -= moved(left)
    if len(averages) > 1:
        left = _conjugate(left, moved, weight, tolerance, size)
    left[:, np.sqrt((left**2).mean(axis=0)) <= ABSORBED * size] = 0.0
    return (left * unit).reshape(given.shape)


def _conjugate(
    left: Array, moved: Callable[[Array], Array], weight: Array, tolerance: float, begun: Array
) -> Array:
    """Columns (n, k) less all that sweeps would move in the end: ``moved`` is self-adjoint under the weights, and its null space the answer.

    A column of which only rounding of its size (k,) at the beginning is left has arrived: steps along rounding would lead anywhere.
    """
    rounding = weight.sum() * (ABSORBED * begun) ** 2
    off = moved(left)
    way, length = off.copy(), weight @ off**2
    for _ in range(MOST_SWEEPS):
        size = weight @ left**2
        going = (length > tolerance**2 * size) & (size > rounding)
        if not going.any():
            return left
        step = moved(way)
        bend = np.einsum("i,ij,ij->j", weight, way, step)
        reach = np.where(going & (bend > 0), length / np.where(bend > 0, bend, 1.0), 0.0)
        left = left - reach * way
        off = off - reach * step
        before, length = length, weight @ off**2
        way = off + np.where(before > 0, length / np.where(before > 0, before, 1.0), 0.0) * way
    if ((length > max(tolerance, ABSORBED**2) ** 2 * size) & (size > rounding)).any():
        raise NotIdentified(
            f"Fixed effects must hang together by enough rows to be swept out. After {MOST_SWEEPS:,} sweeps what is left of a column still "
            "moves. Leave out an effect, or the levels that few rows tie to the others."
        )
    return left


def _average(codes: npt.NDArray[np.int64], weight: Array, n_columns: int) -> Callable[[Array], Array]:
    """Function (n, k) -> (levels, k): weighted means by level; a sparse product pays off for several columns."""
    total = np.maximum(np.bincount(codes, weights=weight), np.finfo(float).tiny)
    if n_columns == 1:
        return lambda flat: (np.bincount(codes, weights=weight * flat[:, 0]) / total)[:, None]
    share = sparse.csr_array(
        (weight / total[codes], (codes, np.arange(len(codes)))), shape=(len(total), len(codes))
    )
    return lambda flat: share @ flat
