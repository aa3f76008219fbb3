"""Normal equations net of one effect, whose levels' rows are all at hand: of it nothing is kept, however many levels it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hte_bridge.arrays import Codes
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.features import Basis
from hte_bridge.engines.deep.basis.normal_equations import (
    CHUNK_POINTS,
    NormalEquations,
    Products,
    level_sums,
    sums_by_point,
)
from hte_bridge.engines.deep.store.linear_algebra import with_room


@dataclass(frozen=True)
class GroupRule:
    """How many levels of the swept effect are taken at once."""

    # levels, at most: each has a row of sums as wide as the basis
    levels: int = 512
    # distinct points of all rows, up to which they are few: groups are then bounded by levels alone
    few_points: int = 4_096


GROUPS = GroupRule()


def swept_sums(
    rows: Rows,
    swept: Codes,
    basis: Basis,
    drift: npt.NDArray[np.bool_],
    device: str = "cpu",
) -> NormalEquations:
    """``normal_equations`` of the rows, less all that the levels ``swept`` (n,) explain.

    With S the sums of the columns over each level and W its weight, F'F - S' W^-1 S, a group of levels at a time: the diagonal
    block of Frisch and Waugh (1933), which needs no other rows than the level's own. Memory is that of one group and of the result.

    Parameters
    ----------
    rows : Rows
        All rows of each level among them, sorted by level, then by point; ``effects`` (n, F - 1) are the others, ``sizes`` theirs. Where there are
        none, one level for all.
    swept : array (n,)
        Codes in any numbers.
    basis : Basis
    drift : array (K,)
    device : str
    """
    width, narrow, edge = basis.size, int(drift.sum()), rows.levels
    products = Products.on(with_room(device, width + narrow, 2), width, narrow)
    nothing = np.zeros((0, 0))
    found = NormalEquations(
        nothing,
        np.zeros((edge, width + narrow)),
        sparse.csr_array((edge, edge)),
        np.zeros((width + narrow, 2)),
        np.zeros((edge, 2)),
        np.zeros((2, 2)),
        0,
        edge,
        0,
        np.zeros(edge),
    )
    raw = np.zeros(width + narrow)
    for some in groups(rows.point, swept):
        before = products.diagonal()
        part, wide = one_group(rows.at(some), swept[some], basis, drift, products)
        raw += products.diagonal() - before
        products.subtract(wide)
        found = found.take(replace(part, dense=nothing))
    assert found.size is not None
    return replace(found, dense=products.whole(), size=np.concatenate([raw, found.size]))


def one_group(
    rows: Rows, swept: Codes, basis: Basis, drift: npt.NDArray[np.bool_], products: Products
) -> tuple[NormalEquations, npt.NDArray[np.float64]]:
    """All but ``dense`` of the sums of whole levels, and the matrix (levels, K) whose square is to come off ``dense``."""
    level = np.unique(swept, return_inverse=True)[1].reshape(-1)
    count = int(level.max()) + 1
    every = replace(rows, effects=np.column_stack([level, rows.effects]), sizes=(count, *rows.sizes))
    cross, target = sums_by_point(every, basis, drift, products)
    levels, target, level_target, second = level_sums(every, target)
    weight = levels.diagonal()[:count]
    mean, mean_target = cross[:count] / weight[:, None], level_target[:count] / weight[:, None]
    border = sparse.csr_array(levels[count:, :count])
    inner = sparse.csr_array(levels[count:, count:])
    shared = border @ sparse.diags_array(1 / weight)
    part = NormalEquations(
        products.total,
        cross[count:] - border @ mean,
        sparse.csr_array(inner - shared @ border.T),
        target - cross[:count].T @ mean_target,
        level_target[count:] - border @ mean_target,
        second - level_target[:count].T @ mean_target,
        rows.n,
        rows.levels,
        count,
        inner.diagonal(),
    )
    return part, np.sqrt(weight)[:, None] * mean


def groups(point: Codes, swept: Codes) -> Iterator[Codes]:
    """Rows, whole levels at a time: few levels, and where points are many about a chunk of them.

    Examples
    --------
    >>> [rows.tolist() for rows in groups(np.array([0, 1, 0]), np.array([7, 7, 3]))]
    [[0, 1, 2]]
    """
    first = np.flatnonzero(np.diff(swept, prepend=swept[0] - 1))
    pairs = np.cumsum((np.diff(point, prepend=-1) != 0) | (np.diff(swept, prepend=swept[0] - 1) != 0))
    most = np.inf if point.max(initial=0) < GROUPS.few_points else CHUNK_POINTS
    cuts, begun = [0], 0
    for number, stop in enumerate([*first[1:].tolist(), len(swept)], start=1):
        met = pairs[stop - 1] - (pairs[cuts[-1] - 1] if cuts[-1] else 0)
        if number - begun >= GROUPS.levels or met >= most or stop == len(swept):
            begun = number
            cuts.append(stop)
    return (np.arange(a, b) for a, b in pairwise(cuts))
