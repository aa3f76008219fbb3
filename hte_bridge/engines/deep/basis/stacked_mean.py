"""The outcome's mean of a large cross-section, stacked from the blocks and from regressions on squares and products; no fold's shares have seen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from joblib import Parallel, delayed

from hte_bridge.arrays import Array, Codes, at
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.nuisance.crossfit import stack
from hte_bridge.engines.deep.nuisance.quadratic_ridge import RIDGE, QuadraticRidge

LeftOut = tuple[int, int | None]  # a fold, and the part that is left out beside it


@dataclass(frozen=True, eq=False)
class Said:
    """Effect and mu (m,) by one model, at the points asked for; without effects mu holds the constant, and ``beside`` is the coefficient of what is beside it."""

    beta: Array
    drift: Array
    beside: float = 0.0

    def at(self, points: Codes) -> Said:
        """At some of the points."""
        return at(self, points, "beta", "drift")


@dataclass(frozen=True, eq=False)
class Functions:
    """What models of the other folds say at a fold's points.

    Parameters
    ----------
    deep, linear : Said
        By the blocks, and by lines.
    dose : array (m,)
        E[T | x].
    constant : float
        Effect under the model in which it does not vary.
    inside : mapping of int to Said
        By blocks that have not seen a part of the other folds either.
    """

    deep: Said
    linear: Said
    dose: Array
    constant: float
    inside: Mapping[int, Said] = field(default_factory=dict)


def with_products(
    seen: Sequence[Rows],
    part: Codes,
    fitted: Sequence[Functions],
    products: QuadraticRidge,
    n_jobs: int | None,
) -> list[Functions]:
    """Functions at the points of their folds, mu stacked with regressions on squares and products by the loss in parts left out.

    The regressions see, of the other folds, the outcome less what those folds' own model gives to the treatment. Shares of a fold are learned
    from the others' rows, each predicted without its part.

    Parameters
    ----------
    seen : sequence of Rows
        For each fold, the rows as its model sees them.
    part : array (n,)
        Codes of the parts that are left out beside a fold.
    fitted : sequence of Functions
        Of each fold, at all points.
    products : QuadraticRidge
    n_jobs : int, optional
    """
    jobs: list[LeftOut] = [(k, None) for k in range(len(fitted))]
    jobs += [(k, each) for k, found in enumerate(fitted) for each in found.inside]
    less = {job: less_effect(seen[job[0]], fitted[job[0]], job[1]) for job in jobs}
    said = predictions(seen[0].fold, part, less, products, n_jobs)
    return [
        stacked(own, part, found, k, {job: (less[job], said[job]) for job in jobs if job[0] == k})
        for k, (own, found) in enumerate(zip(seen, fitted, strict=True))
    ]


def less_effect(rows: Rows, found: Functions, part: int | None) -> Array:
    """Outcome (n,) less what a fold's model, or that without a part too, gives to the treatment."""
    own = found.deep if part is None else found.inside[part]
    beside = np.zeros(rows.n) if rows.beside is None else rows.beside
    return np.asarray(rows.outcome - own.beta[rows.point] * rows.treatment - own.beside * beside)


def predictions(
    fold: Codes, part: Codes, less: dict[LeftOut, Array], products: QuadraticRidge, n_jobs: int | None
) -> dict[LeftOut, Array]:
    """Of each job the regressions' predictions (n, penalties), at the rows that were left out; those that leave out the same share their factors."""
    alike: list[tuple[Array, list[LeftOut]]] = []
    for k, own in less:
        left = fold == k if own is None else (fold == k) | (part == own)
        same = next((jobs for rows, jobs in alike if np.array_equal(rows, left)), None)
        if same is None:
            alike.append((left, same := []))
        same.append((k, own))

    def predict(left: Array, own: list[LeftOut]) -> list[Array]:
        found = products.several(np.flatnonzero(left), np.column_stack([less[job] for job in own]))
        every = np.full((len(own), len(fold), len(RIDGE.noise_to_signal)), np.nan)
        every[:, left] = found
        return list(every)

    made = Parallel(n_jobs=n_jobs, backend="threading")(delayed(predict)(*each) for each in alike)
    said = zip(alike, made, strict=True)
    return {job: each for (_, own), found in said for job, each in zip(own, found, strict=True)}


def stacked(
    rows: Rows, part: Codes, found: Functions, fold: int, by_job: dict[LeftOut, tuple[Array, Array]]
) -> Functions:
    """One fold's functions at its own points, mu stacked."""
    columns, target = np.full((rows.n, 1 + len(RIDGE.noise_to_signal)), np.nan), np.full(rows.n, np.nan)
    for own, inside in found.inside.items():
        here = np.flatnonzero((part == own) & (rows.fold != fold))
        less, said = by_job[fold, own]
        columns[here] = np.column_stack([inside.drift[rows.point[here]], said[here]])
        target[here] = less[here]
    rest = np.flatnonzero(~np.isnan(target))
    alone = np.eye(1, columns.shape[1])[0]  # nothing to learn shares from: the blocks
    share = stack(columns[rest], target[rest], rows.weight[rest]) if len(rest) else alone
    test = np.flatnonzero(rows.fold == fold)
    mean = np.column_stack([found.deep.drift[rows.point[test]], by_job[fold, None][1][test]]) @ share
    points, place = np.unique(rows.point[test], return_inverse=True)
    drift = np.empty(len(points))
    drift[place] = mean  # rows with the same covariates have the same mean
    deep, linear = replace(found.deep.at(points), drift=drift), found.linear.at(points)
    return replace(found, deep=deep, linear=linear, inside={})
