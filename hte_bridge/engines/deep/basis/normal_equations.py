"""Normal equations of the last layer as sums over rows: one pass, float64, merged by addition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from hte_bridge.arrays import Array, Codes, slices
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.features import Basis
from hte_bridge.engines.deep.basis.fixed_effects import Elimination
from hte_bridge.engines.deep.store.arrays import State, under
from hte_bridge.engines.deep.store.checkpoint import Format
from hte_bridge.engines.deep.store.linear_algebra import product, with_room
from hte_bridge.progress import steps

CHUNK_POINTS = 2_048  # features of a chunk in double precision stay under 64 MB
COUNTS = ("n", "n_levels", "swept")
ABSORBED = 1e-10  # of a column's sum of squares: what the effects leave of a column in their span is rounding


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Cross-products of the columns [T f, f drift | dummies, T groups] and of the targets [Y, T].

    Parameters
    ----------
    dense : array (K, K)
        Between features: first those of tau times T, then those of mu.
    cross : array (L + S, K)
        Between dummies and slopes, and features.
    levels : sparse array (L + S, L + S)
        Between dummies and slopes.
    target : array (K, 2)
        Between features and targets.
    level_target : array (L + S, 2)
    second : array (2, 2)
        Between targets.
    n : int
        Rows.
    n_levels : int
        L: dummies come before slopes.
    swept : int
        Levels of one more effect, whose part every sum is net of already (``passes/swept_sums.py``).
    size : array (K + L,), optional
        Where an effect was swept: sums of squares of features and dummies before.
    """

    dense: Array
    cross: Array
    levels: sparse.csr_array
    target: Array
    level_target: Array
    second: Array
    n: int
    n_levels: int
    swept: int = 0
    size: Array | None = None

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return self.copied().take(other)

    def copied(self) -> NormalEquations:
        """The same in memory of its own, but for ``levels``, which ``take`` makes anew."""
        own: dict[str, Any] = {name: each.copy() for name, each in self.arrays().items()}
        return replace(self, **own)

    def take(self, other: NormalEquations) -> NormalEquations:
        """``self + other`` in the memory of ``self``, which is not to be used again: the large arrays are not copied."""
        for mine, its in zip(self.arrays().values(), other.arrays().values(), strict=True):
            mine += its
        levels = sparse.csr_array(self.levels + other.levels)
        return replace(self, levels=levels, n=self.n + other.n, swept=self.swept + other.swept)

    def arrays(self) -> dict[str, Array]:
        """The sums by name, but for ``levels``."""
        names = ("dense", "cross", "target", "level_target", "second", "size")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def normal_equations(
    rows: Rows,
    basis: Basis,
    drift: npt.NDArray[np.bool_],
    device: str = "cpu",
) -> NormalEquations:
    """Sums over rows; features are evaluated once per distinct point.

    Parameters
    ----------
    rows : Rows
    basis : Basis
        K features of tau.
    drift : array (K,)
        Which of them belong to mu as well.
    device : str
        Where products of features with features are summed.
    """
    width, narrow = basis.size, int(drift.sum())
    products = Products.on(with_room(device, width + narrow, 2), width, narrow)
    cross, target = sums_by_point(rows, basis, drift, products)
    return NormalEquations(products.whole(), cross, *level_sums(rows, target), rows.n, rows.levels)


def sums_by_point(
    rows: Rows, basis: Basis, drift: npt.NDArray[np.bool_], products: Products
) -> tuple[Array, Array]:
    """``cross`` and ``target`` of the rows; what features have with features is added to ``products``."""
    used, place = np.unique(rows.point, return_inverse=True)
    moments = _point_moments(rows, place, len(used))
    side_t, side_one = _sides(rows, place, len(used))
    width, narrow = basis.size, int(drift.sum())
    cross = np.zeros((side_t.shape[0], width + narrow))
    target = np.zeros((width + narrow, 2))
    for here in steps(list(slices(len(used), CHUNK_POINTS)), "deep: sums over rows"):
        f = basis.features(rows.points[used[here]]).astype(np.float64)
        g = np.ascontiguousarray(f[:, drift])
        one, t, tt, y, ty = (column[here] for column in moments)
        products.add(f, g, one, t, tt)
        _add_product(cross[:, :width], side_t[:, here], f)
        _add_product(cross[:, width:], side_one[:, here], g)
        target[:width] += f.T @ np.column_stack([ty, tt])
        target[width:] += g.T @ np.column_stack([y, t])
    return cross, target


def total(parts: list[NormalEquations]) -> NormalEquations:
    """Sum of the parts, in their order; only the first is copied."""
    first, *rest = parts
    return reduce(NormalEquations.take, rest, first.copied()) if rest else first


def _add_product(total: Array, side: sparse.csc_array, f: Array) -> None:
    """Add ``side @ f`` in place, in the rows that have entries: a chunk of points meets few of many levels."""
    rows = sparse.csr_array(side)
    used = np.flatnonzero(np.diff(rows.indptr))
    total[used] += rows[used] @ f


@dataclass(frozen=True, eq=False)
class Products:
    """Products of features with features on their way: an array, or a tensor on a device, for which the same is written.

    Parameters
    ----------
    total : array or tensor (K, K)
    width : int
        Features of tau; those of mu come after.
    device : str
    """

    total: Any
    width: int
    device: str

    @classmethod
    def on(cls, device: str, width: int, narrow: int) -> Products:
        """Nothing summed yet."""
        shape = (width + narrow, width + narrow)
        if device == "cpu":
            return cls(np.zeros(shape), width, device)
        return cls(torch.zeros(shape, dtype=torch.float64, device=device), width, device)

    def add(self, f: Array, g: Array, one: Array, t: Array, tt: Array) -> None:
        """Features of tau (m, width) and of mu (m, narrow) at some points, and the sums of w, w T and w T^2 there (m,)."""
        parts: tuple[Any, ...] = (f, g, one, t, tt)
        if self.device != "cpu":
            parts = tuple(torch.as_tensor(each, device=self.device) for each in parts)
        f, g, one, t, tt = parts
        edge, total = self.width, self.total
        total[:edge, :edge] += _square(f, tt)
        total[edge:, edge:] += _square(g, one)
        total[:edge, edge:] += f.T @ (t[:, None] * g)

    def diagonal(self) -> Array:
        """What is summed so far of each feature with itself."""
        found = self.total.diagonal()
        return np.array(found if self.device == "cpu" else found.cpu().numpy())

    def subtract(self, wide: Array) -> None:
        """Take ``wide.T @ wide`` off, for wide (m, K)."""
        given: Any = wide if self.device == "cpu" else torch.as_tensor(wide, device=self.device)
        edge, total = self.width, self.total
        f, g = given[:, :edge], given[:, edge:]
        total[:edge, :edge] -= f.T @ f
        total[edge:, edge:] -= g.T @ g
        total[:edge, edge:] -= f.T @ g

    def whole(self) -> Array:
        """All of it, on the CPU."""
        found = self.total if self.device == "cpu" else self.total.cpu().numpy()
        found[self.width :, : self.width] = found[: self.width, self.width :].T
        return np.asarray(found)


def _square(f: Any, weight: Any) -> Any:
    scaled = f * weight[:, None] ** 0.5
    return scaled.T @ scaled


def _point_moments(rows: Rows, place: Codes, m: int) -> tuple[Array, ...]:
    w, t, y = rows.weight, rows.treatment, rows.outcome
    values = (np.ones(rows.n), t, t * t, y, t * y)
    return tuple(np.bincount(place, weights=w * v, minlength=m).astype(np.float64) for v in values)


def _sides(rows: Rows, place: Codes, m: int) -> tuple[sparse.csc_array, sparse.csc_array]:
    """Sums by level (or slope) and point of w T and w (for dummies), of w T^2 and w T (for slopes)."""
    w, t = rows.weight, rows.treatment
    spread = sparse.csr_array((np.ones(rows.n), (np.arange(rows.n), place)), shape=(rows.n, m))
    d, s = rows.dummies().T, rows.slopes().T
    parts = []
    for first, second in ((w * t, w * t * t), (w, w * t)):
        upper = d @ sparse.diags_array(first) @ spread
        lower = s @ sparse.diags_array(second) @ spread
        parts.append(sparse.csc_array(sparse.vstack([upper, lower])))
    return parts[0], parts[1]


def level_sums(rows: Rows, target: Array) -> tuple[sparse.csr_array, Array, Array, Array]:
    """``levels``, the target handed over, ``level_target`` and ``second`` of the rows."""
    w, t, y = rows.weight, rows.treatment, rows.outcome
    columns = sparse.csr_array(sparse.hstack([rows.dummies(), sparse.diags_array(t) @ rows.slopes()]))
    weighted = sparse.csr_array(sparse.diags_array(w) @ columns)
    targets = np.column_stack([y, t])
    return (
        sparse.csr_array(columns.T @ weighted),
        target,
        np.asarray(weighted.T @ targets),
        targets.T @ (w[:, None] * targets),
    )


@dataclass(frozen=True, eq=False)
class System:
    """Normal equations without the fixed effects.

    Parameters
    ----------
    gram : array (P, P)
        Of the chosen features, then the slopes, net of the effects.
    target : array (P, 2)
        With Y and T, net of the effects.
    second : array (2, 2)
        Of Y and T, net of the effects.
    freedom : int
        Rows minus the rank of the effects.
    n : int
        Rows.
    elimination : Elimination
    project : array (L, P)
        Coefficients of the columns on the dummies.
    project_target : array (L, 2)
        Coefficients of Y and T on the dummies.
    """

    gram: Array
    target: Array
    second: Array
    freedom: int
    n: int
    elimination: Elimination
    project: Array
    project_target: Array


def eliminate(
    part: NormalEquations,
    sizes: tuple[int, ...],
    columns: Codes,
    slopes: bool = True,
    device: str = "cpu",
) -> System:
    """Take the effects out: G - (D'F)' pinv(D'D) (D'F), for the features ``columns`` and, if asked, the slopes.

    Frisch & Waugh (1933), Lovell (1963), for all columns at once. Columns that the effects absorb are exactly zero.
    """
    edge = part.n_levels
    count = part.cross.shape[0] if slopes else edge
    own = part.levels[:edge][:, :edge]
    if part.size is None:
        elimination = Elimination.of(own, sizes)
    else:
        elimination = Elimination.net_of_another(own, sizes, part.size[len(part.dense) :], part.swept)
    between = np.hstack([part.cross[:edge][:, columns], part.levels[:edge, edge:count].toarray()])
    corner = part.cross[edge:count][:, columns]
    gram = np.block(
        [
            [part.dense[np.ix_(columns, columns)], corner.T],
            [corner, part.levels[edge:count, edge:count].toarray()],
        ]
    )
    target = np.vstack([part.target[columns], part.level_target[edge:count]])
    project = elimination.solve(between, None if part.size is None or slopes else part.size[columns])
    project_target = elimination.solve(part.level_target[:edge])
    size = gram.diagonal().copy()
    if part.size is not None:
        size[: len(columns)] = part.size[columns]
    gram -= product(between.T, project, device)
    gram, target = (gram + gram.T) / 2, target - between.T @ project_target
    absorbed = gram.diagonal() <= ABSORBED * size
    gram[absorbed], gram[:, absorbed], target[absorbed] = 0.0, 0.0, 0.0
    return System(
        gram,
        target,
        part.second - part.level_target[:edge].T @ project_target,
        part.n - elimination.rank,
        part.n,
        elimination,
        project,
        project_target,
    )


def sums_state(made: NormalEquations) -> State:
    """Sums as arrays and JSON values."""
    levels = {f"levels/{name}": getattr(made.levels, name) for name in ("data", "indices", "indptr")}
    values = {name: getattr(made, name) for name in COUNTS}
    return made.arrays() | levels, values | {"shape": made.levels.shape}


def sums_restored(arrays: Mapping[str, Any], values: Mapping[str, Any]) -> NormalEquations:
    """Rebuild what ``sums_state`` took apart."""
    parts, counts = under(dict(arrays), "levels"), {name: values[name] for name in COUNTS}
    levels = sparse.csr_array((parts["data"], parts["indices"], parts["indptr"]), shape=values["shape"])
    return NormalEquations(**{k: v for k, v in arrays.items() if "/" not in k}, levels=levels, **counts)


SUMS = Format(sums_state, sums_restored)
