"""Normal equations net of one effect, whose levels' rows are all at hand: of it nothing is kept, however many levels it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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

MOST_LEVELS = 512  # of the swept effect at once: each has a row of sums as wide as the basis
FEW_POINTS = 4_096  # distinct points of all rows, up to which groups are bounded by levels alone
MANY_PAIRS = 1_000_000  # of levels of other effects, from which on they are added up


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
    raw, pairs = np.zeros(width + narrow), LevelPairs(edge)
    for some in groups(rows.point, swept):
        before = products.diagonal()
        here, met = of_levels_met(rows.at(some))
        part, wide = one_group(here, swept[some], basis, drift, products)
        raw += products.diagonal() - before
        products.subtract(wide)
        pairs.add(part.levels, met)
        found = put(found, part, met)
    assert found.size is not None
    levels, size = pairs.whole(), np.concatenate([raw, found.size])
    return replace(found, dense=products.whole(), levels=levels, size=size)


def of_levels_met(rows: Rows) -> tuple[Rows, Codes]:
    """The rows with the levels that they meet alone, and the places of these among all."""
    shift, met, codes = 0, [], []
    for column, size in zip(rows.effects.T, rows.sizes, strict=True):
        seen, code = np.unique(column, return_inverse=True)
        met.append(shift + seen)
        codes.append(code.reshape(-1))
        shift += size
    sizes = tuple(len(each) for each in met)
    return replace(rows, effects=np.column_stack(codes), sizes=sizes), np.concatenate(met)


def put(found: NormalEquations, part: NormalEquations, met: Codes) -> NormalEquations:
    """``found`` with the sums of some levels in it, in its own memory; products of features and pairs of levels are kept elsewhere."""
    assert found.size is not None
    for name in ("cross", "level_target", "size"):
        getattr(found, name)[met] += getattr(part, name)
    for name in ("target", "second"):
        mine = getattr(found, name)
        mine += getattr(part, name)
    return replace(found, n=found.n + part.n, swept=found.swept + part.swept)


@dataclass(eq=False)
class LevelPairs:
    """Weight that pairs of levels (L, L) share, added up group by group: what is there is not copied for each."""

    levels: int
    held: list[sparse.coo_array] = field(default_factory=list)
    count: int = 0
    merge_at: int = MANY_PAIRS

    def add(self, part: sparse.csr_array, met: Codes) -> None:
        """Those of some levels."""
        own = sparse.coo_array(part)
        row, column = met[own.coords[0]], met[own.coords[1]]
        self.held.append(sparse.coo_array((own.data, (row, column)), shape=(self.levels, self.levels)))
        self.count += own.nnz
        if self.count > self.merge_at:
            whole = self.whole()
            self.held, self.count = [sparse.coo_array(whole)], whole.nnz
            self.merge_at = max(MANY_PAIRS, 2 * whole.nnz)

    def whole(self) -> sparse.csr_array:
        """All of them."""
        shape = (self.levels, self.levels)
        if not self.held:
            return sparse.csr_array(shape)
        row, column = (np.concatenate([each.coords[k] for each in self.held]) for k in range(2))
        return sparse.csr_array(
            sparse.coo_array((np.concatenate([each.data for each in self.held]), (row, column)), shape=shape)
        )


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
    most = np.inf if point.max(initial=0) < FEW_POINTS else CHUNK_POINTS
    cuts, begun = [0], 0
    for number, stop in enumerate([*first[1:].tolist(), len(swept)], start=1):
        met = pairs[stop - 1] - (pairs[cuts[-1] - 1] if cuts[-1] else 0)
        if number - begun >= MOST_LEVELS or met >= most or stop == len(swept):
            begun = number
            cuts.append(stop)
    return (np.arange(a, b) for a, b in pairwise(cuts))
