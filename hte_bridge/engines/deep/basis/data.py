"""Rows and the distinct covariate points that they share: features are needed once per point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hte_bridge.arrays import Array, Codes, at
from hte_bridge.engines.deep.basis.fixed_effects import ELIMINATION, Elimination, dummies
from hte_bridge.study import Folds, Study


def rows_of(
    study: Study, folds: Folds, treatment: Array, beside: Array | None = None
) -> tuple[Rows, SlopeGroups, list[int]]:
    """Rows with one point per distinct covariates and fold, slope groups, and the covariates that effects absorb."""
    x = study.filled
    first, place = unique_rows(x)
    sizes = tuple(len(levels) for levels in study.effect_levels)
    fixed = [
        constant_columns(x, codes, size) for codes, size in zip(study.fixed_effects.T, sizes, strict=True)
    ]
    pair, point = np.unique(place * folds.n_folds + folds.fold, return_inverse=True)
    points = x[first][pair // folds.n_folds]
    slopes, groups = SlopeGroups.of(points, [each for each in fixed if len(each)])
    if sum(len(key) for key in slopes.keys) > ELIMINATION.most_slopes:
        slopes, groups = SlopeGroups((), ()), ()
    rows = Rows(
        study.outcome,
        treatment,
        study.weight / study.weight.mean(),
        study.fixed_effects,
        sizes,
        folds.fold,
        point.reshape(-1),
        points,
        groups,
        beside,
        study.treatment.astype(np.int64) if study.binary else None,
    )
    return rows, slopes, sorted({int(j) for each in fixed for j in each} | idle(study))


def idle(study: Study) -> set[int]:
    """Covariates of a panel that move under treatment alone, such as the periods since it began: where T is 0 they have one value.

    A function of them is the same column with and without the treatment, so that the data cannot part it between mu and the effect; it is the
    effect's.
    """
    if not (study.binary and study.fixed_effects.shape[1]):
        return set()
    x = study.filled
    alone = np.ptp(x[study.treatment == 0], axis=0) == 0
    return set(np.flatnonzero(alone & (np.ptp(x, axis=0) > 0)).tolist())


def unique_rows(covariates: Array) -> tuple[Codes, Codes]:
    """First row of each distinct point, and the point of each row; exact, by way of a hash that is verified.

    Examples
    --------
    >>> first, place = unique_rows(np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]))
    >>> len(first), bool(place[0] == place[2])
    (2, True)
    """
    direction = np.random.default_rng(0).normal(size=covariates.shape[1])
    _, first, place = np.unique(covariates @ direction, return_index=True, return_inverse=True)
    if not np.array_equal(covariates[first][place], covariates):
        _, first, place = np.unique(covariates, axis=0, return_index=True, return_inverse=True)
    return first.astype(np.int64), place.reshape(-1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a study as the last layer sees them.

    Parameters
    ----------
    outcome, treatment, weight : array (n,)
        Y; T, or T - e(X) without effects; weights with mean one.
    effects : array (n, F)
        Codes of the fixed effects.
    sizes : tuple of int
        Number of levels of each effect.
    fold : array (n,)
    point : array (n,)
        Row of ``points`` that holds the covariates.
    points : array (m, c)
        Distinct covariates.
    groups : tuple of array (m,)
        For each random slope, the group of each point.
    beside : array (n,), optional
        Without effects: a column whose coefficient, like the constant, has no prior.
    arm : array (n,), optional
        Of a binary treatment: one for treated units, zero for controls.
    precise : bool
        Whether ``weight`` is one over the variance of each row's error, and not how many units it stands for.
    """

    outcome: Array
    treatment: Array
    weight: Array
    effects: Codes
    sizes: tuple[int, ...]
    fold: Codes
    point: Codes
    points: Array
    groups: tuple[Codes, ...] = ()
    beside: Array | None = None
    arm: Codes | None = None
    precise: bool = False

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.outcome)

    @property
    def events(self) -> bool:
        """Whether the outcome has two values, so that its variance follows from its mean."""
        return bool(np.isin(self.outcome, [self.outcome.min(), self.outcome.max()]).all())

    @property
    def levels(self) -> int:
        """Number of dummies: all levels, or without effects the constant and what is beside it."""
        return int(sum(self.sizes)) if self.sizes else 1 + (self.beside is not None)

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Number of groups of each random slope."""
        return tuple(int(group.max()) + 1 for group in self.groups)

    def dummies(self) -> sparse.csr_array:
        """Dummies of the effects (n, L), or without effects the constant and what is beside it."""
        found = dummies(self.effects, self.sizes)
        if self.beside is None:
            return found
        return sparse.csr_array(sparse.hstack([found, self.beside[:, None]], format="csr"))

    def slopes(self) -> sparse.csr_array:
        """Dummies of the random slopes (n, S), not yet times the treatment."""
        return group_dummies(self.groups, self.group_sizes, self.point)

    def at(self, chosen: npt.NDArray[np.bool_] | Codes) -> Rows:
        """Some of the rows; points and levels keep their numbers."""
        return at(self, chosen, "outcome", "treatment", "weight", "effects", "fold", "point", "beside", "arm")


def group_dummies(groups: Sequence[Codes], sizes: Sequence[int], point: Codes) -> sparse.csr_array:
    """Dummies (n, S) of the group of each row's point; a group of -1 has none."""
    if not len(groups):
        return sparse.csr_array((len(point), 0))
    parts = []
    for group, size in zip(groups, sizes, strict=True):
        code = group[point]
        seen = np.flatnonzero(code >= 0)
        parts.append(sparse.csr_array((np.ones(len(seen)), (seen, code[seen])), shape=(len(point), size)))
    return sparse.csr_array(sparse.hstack(parts, format="csr"))


def constant_columns(covariates: Array, codes: Codes, size: int) -> Codes:
    """Columns that do not vary within the levels of an effect."""
    fixed = []
    for j in range(covariates.shape[1]):
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        np.minimum.at(low, codes, covariates[:, j])
        np.maximum.at(high, codes, covariates[:, j])
        if (high <= low).all():
            fixed.append(j)
    return np.array(fixed, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class SlopeGroups:
    """Groups of points that share the covariates of one effect, so that new rows find theirs.

    Parameters
    ----------
    columns : tuple of array
        Covariates that are fixed within the levels of each effect that has slopes.
    keys : tuple of array (L, c)
        Their distinct values, one per group.
    """

    columns: tuple[Codes, ...]
    keys: tuple[Array, ...]

    @classmethod
    def of(cls, points: Array, columns: Sequence[Codes]) -> tuple[SlopeGroups, tuple[Codes, ...]]:
        """Groups of ``points`` (m, q), and the group of each point."""
        keys, groups = [], []
        for chosen in columns:
            first, place = unique_rows(points[:, chosen])
            keys.append(points[first][:, chosen])
            groups.append(place)
        return cls(tuple(columns), tuple(keys)), tuple(groups)

    def find(self, points: Array) -> tuple[Codes, ...]:
        """Group of each of ``points`` (m, q); -1 where the covariates were never seen."""
        found = []
        for chosen, keys in zip(self.columns, self.keys, strict=True):
            first, place = unique_rows(points[:, chosen])
            _, both = unique_rows(np.vstack([keys, points[first][:, chosen]]))
            home = np.full(both.max() + 1, -1, dtype=np.int64)
            home[both[: len(keys)]] = np.arange(len(keys))
            found.append(home[both[len(keys) :]][place])
        return tuple(found)


def sweeper(rows: Rows) -> Callable[[Array], Array]:
    """Function that takes the fixed effects out of columns (n,) or (n, k)."""
    design = rows.dummies()
    weighted = sparse.csr_array(design.T @ sparse.diags_array(rows.weight))
    elimination = Elimination.of(sparse.csr_array(weighted @ design), rows.sizes)
    return lambda values: values - design @ elimination.solve(weighted @ values)
