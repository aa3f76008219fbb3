"""Least squares on more rows than memory holds columns of: part by part, with influence values on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import NotIdentified
from hte_bridge.estimate import Estimate
from hte_bridge.stream import Store, parts_of
from hte_bridge.stream.standard import standard_of, triangle
from hte_bridge.stream.store import mapped_for_reading, new_name, release

LARGE = 20_000_000  # numbers in the columns of a regression from which on it goes part by part
BLOCK = 65_536  # rows of whole clusters at once
ALONE = 1e-9  # share of a direction that other clusters must hold, so that it can be told without one of them


def with_one(design: Array) -> Array:
    """The columns (n, k) behind a constant (n, 1 + k); on disk where they are large."""
    n, k = design.shape
    if n * (k + 1) <= LARGE:
        return np.column_stack([np.ones(n), design])
    return on_disk(n, k + 1, lambda rows: np.column_stack([np.ones(rows.stop - rows.start), design[rows]]))


def on_disk(n: int, k: int, make: Callable[[slice], Array]) -> Array:
    """Columns (n, k) that a function makes of slices of rows, row after row in a file that goes with them."""
    store, name = Store.temporary(), new_name()
    with store.writing(name, (k, n), float) as out:
        for part in parts_of(n):
            out[:, part.rows] = make(part.rows).T
    found = store.read(name).T
    store.drop(name)  # open, it stays; and goes when it is not
    return found


def on_disk_by_column(n: int, k: int, make: Callable[[slice], Array]) -> Array:
    """The same, column after column: each is read alone."""
    store, name = Store.temporary(), new_name()
    with store.writing(name, (n, k), float) as out:
        for part in parts_of(n):
            out[part.rows] = make(part.rows)
    found = store.read(name)
    store.drop(name)
    return found


def spilled(row: Estimate, like: Array | None) -> Estimate:
    """A row whose arrays (n,) lie on disk where ``like`` does: fifty rows of ten million units would take 4 GB."""
    if not mapped_for_reading(like):
        return row
    arrays = {name: getattr(row, name) for name in ("influence", "share")}
    kept = {
        name: on_disk_by_column(len(values), 1, partial(_column, values))[:, 0]
        for name, values in arrays.items()
        if values is not None and not mapped_for_reading(values)
    }
    release(*arrays.values())
    return row.with_(**kept) if kept else row


def _column(values: Array, rows: slice) -> Array:
    return values[rows, None]


class Parts:
    """Orthonormal columns q (n, k) of a weighted regression, read part by part, and the map ``back`` (k, k) to coefficients on the columns."""

    def __init__(self, x: Array, weight: Array) -> None:
        """From columns (n, k) and weights (n,).

        Raises
        ------
        NotIdentified
            If the columns are collinear.
        """
        n, k = x.shape
        first = np.asarray(x[0])
        same = np.all([(x[part.rows] == first).all(axis=0) for part in parts_of(n)], axis=0)
        constant = np.flatnonzero(same & (first != 0))
        standard, _ = standard_of(lambda rows: np.asarray(x[rows]), weight)
        scale = standard.scale.copy()
        if len(constant):
            scale[constant[0]] = first[constant[0]]
        mean = float(weight.mean())

        def columns(rows: slice) -> Array:
            out = standard(np.asarray(x[rows]))
            if len(constant):
                out[:, constant[0]] = 1.0
            return np.asarray(out * np.sqrt(np.asarray(weight[rows]) / mean)[:, None])

        r = triangle(columns, n)
        values = np.linalg.svd(r, compute_uv=False)
        if not len(constant) or (scale == 0).any() or not values.min() > standard.tolerance * values.max():
            raise NotIdentified(
                "The columns of a regression must not repeat each other. The ones given are collinear in the rows used. "
                "Leave one of them out."
            )
        inverse = np.linalg.inv(r)
        self.back = inverse / scale[:, None] / mean**0.5
        others = np.delete(np.arange(k), constant[0])
        self.back[constant[0]] -= standard.centre[others] @ self.back[others] / first[constant[0]]
        self.q = on_disk(n, k, lambda rows: columns(rows) @ inverse)


def jackknife_squares(
    q: Array, residual: Array, root: Array, cluster: npt.NDArray[np.int64], n_clusters: int
) -> tuple[Array, Array]:
    """``regression._jackknife_totals``, many clusters at once: what leaving each out takes from the coefficients on q, squared and summed (k, k),
    and the directions (a, k) that one cluster alone tells."""
    k, even = q.shape[1], bool((root == root[0]).all())
    squares, alone = np.zeros((k, k)), [np.empty((0, k))]
    for rows, starts in _blocks(cluster, n_clusters):
        own, left, weigh = np.asarray(q[rows]), residual[rows], root[rows]
        score = np.add.reduceat(left[:, None] * own, starts, axis=0)
        inner = _inner(own, starts)
        if even:
            bare, weighted = inner / root[0] ** 2, root[0] ** 2 * score
        else:
            bare = _inner(own / np.where(weigh > 0, weigh, 1.0)[:, None], starts)
            weighted = np.add.reduceat((weigh**2 * left)[:, None] * own, starts, axis=0)
        near = np.trace(inner, axis1=1, axis2=2) > 0.999  # else no eigenvalue is one
        told, totals = np.zeros(len(inner), dtype=bool), np.zeros((len(inner), k))
        for g in np.flatnonzero(near).tolist():
            values, vectors = np.linalg.eigh(inner[g])
            lost = 1 - values < ALONE
            if lost.any():
                told[g] = True
                part = np.where(lost, 0.0, vectors.T @ score[g]) / np.where(lost, 1.0, 1 - values)
                totals[g] = vectors @ part
                alone.append(vectors[:, lost].T)
        free = np.flatnonzero(~told)
        moved = np.linalg.solve(np.eye(k) - inner[free], weighted[free][:, :, None])
        totals[free] = score[free] + (bare[free] @ moved)[:, :, 0]
        squares += totals.T @ totals
    return squares, np.vstack(alone)


def cluster_squares(
    moved: Array, x: Array, weight: Array, cluster: npt.NDArray[np.int64]
) -> tuple[Array, Array, int]:
    """Of totals by cluster of ``moved`` (n,) times the standardised columns x (n, k): their sum (k,), their squares' (k, k), and how many clusters have
    weight."""
    standard, _ = standard_of(lambda rows: np.asarray(x[rows]), weight)
    there = np.bincount(cluster) > 0
    code, k, count = (np.cumsum(there) - 1)[cluster], x.shape[1], 0
    total, squares = np.zeros(k), np.zeros((k, k))
    for rows, starts in _blocks(code, int(there.sum())):
        sums = np.add.reduceat(moved[rows, None] * standard(np.asarray(x[rows])), starts, axis=0)
        live = np.add.reduceat(np.asarray(weight[rows]), starts) > 0
        total, squares = total + sums[live].sum(axis=0), squares + sums[live].T @ sums[live]
        count += int(live.sum())
    return total, squares, count


def _inner(columns: Array, starts: Codes) -> Array:
    """Cross products (g, k, k) of the columns (m, k) within runs of rows that begin at ``starts``."""
    k = columns.shape[1]
    out = np.empty((len(starts), k, k))
    for j in range(k):
        out[:, j] = np.add.reduceat(columns[:, j, None] * columns, starts, axis=0)
    return out


def _blocks(cluster: npt.NDArray[np.int64], n_clusters: int) -> Iterator[tuple[Codes, Codes]]:
    """Whole clusters, some rows at once: rows sorted by cluster, and where each cluster begins among them."""
    order = np.argsort(cluster, kind="stable")
    begin = np.concatenate([[0], np.cumsum(np.bincount(cluster, minlength=n_clusters))])
    first = 0
    while first < n_clusters:
        last = max(int(np.searchsorted(begin, begin[first] + BLOCK, side="right")) - 1, first + 1)
        yield order[begin[first] : begin[last]], begin[first:last] - begin[first]
        first = last
