"""The second pass: each row predicted by the models of the other folds, effects swept out within its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.fixed_effects import Elimination, dummies
from hte_bridge.engines.deep.basis.heldout import FOLDS, variance_columns
from hte_bridge.engines.deep.passes.models import FoldModel
from hte_bridge.engines.deep.passes.ordered import Ordered, RowBlock, net_of_levels
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.stream import Runner

SWEPT = ("deep", "dose", "linear", "constant effect", "whole")  # columns that effects are taken out of
COLUMNS = (*SWEPT, "beta", "variance")  # of a block's file


@dataclass(frozen=True, eq=False)
class PredictionsOf:
    """Predictions of a block: what a worker is sent.

    Parameters
    ----------
    ordered : Ordered
    made : Design
        Without rows and networks.
    models : sequence of FoldModel
    whole : array (K, 1)
        Coefficients of all features in the model of all rows.
    base : float
        And its constant.
    """

    ordered: Ordered
    made: Design
    models: Sequence[FoldModel]
    whole: Array
    base: float

    def __call__(self, block: RowBlock) -> Array:
        """Write a block's columns; what they add to the right-hand side (L, 5) of the effects comes back."""
        with threads(1):
            rows, unit = self.ordered.read(block)
            found = self.columns_of(rows, self.models[block.fold])
            self.ordered.store.put(f"predicted {block.start}", found)
            if not rows.sizes:
                return np.zeros((0, len(SWEPT)))
            left = found[:, : len(SWEPT)]
            if self.ordered.swept:
                left = net_of_levels(left, rows.weight, unit)
            return np.asarray(rows.dummies().T @ (rows.weight[:, None] * left))

    def columns_of(self, rows: Rows, model: FoldModel) -> Array:
        """What each model leaves of the outcome or treatment, the effect, and the treatment's variance up to scale: (n, 7), as ``COLUMNS``."""
        made = self.made
        tau, mu = made.surfaces(np.hstack([model.coefficients, self.whole]), points=rows.points)
        mu += np.append(model.base, self.base)
        fitted = np.exp(np.clip(variance_columns(made, rows.points[:, : made.q]) @ model.variance, -30, 30))
        y, t, place = rows.outcome, rows.treatment, rows.point
        return np.column_stack(
            [
                y - mu[place, 0] - tau[place, 0] * t,
                t - mu[place, 2],
                y - mu[place, 1] - tau[place, 1] * t,
                y - mu[place, 0] - model.constant * t,
                y - mu[place, 3] - tau[place, 3] * t,
                tau[place, 0],
                fitted[place],
            ]
        )


@dataclass(frozen=True, eq=False)
class PredictedRows:
    """Held-out predictions of all rows, in the study's order, and the sums of squares that each model missed.

    Parameters
    ----------
    cate, outcome_mean, propensity, variance : array (n,)
    left : array (n,)
        What the model of all rows leaves of the outcome.
    loss : dict
        Mean squared held-out residual of this model, the linear one and a constant effect.
    """

    cate: Array
    outcome_mean: Array
    propensity: Array
    variance: Array
    left: Array
    loss: dict[str, float]

    @classmethod
    def empty(cls, n: int) -> PredictedRows:
        """Room for n rows."""
        cate, mean, propensity, variance, left = np.empty((5, n))
        return cls(cate, mean, propensity, variance, left, dict.fromkeys(LOSSES, 0.0))


def predictions(
    work: PredictionsOf,
    runner: Runner,
    own: Elimination | None,
    between: tuple[float, float] | None,
    known: Array | None,
) -> PredictedRows:
    """Predict all rows; effects are swept out of all together (``crossfit.within_effects``).

    Parameters
    ----------
    work : PredictionsOf
    runner : Runner
    own : Elimination, optional
        Of the effects of all rows, but for the swept one.
    between : tuple of float, optional
        Of a binary treatment without effects: where the treatment's mean must lie.
    known : array (n,), optional
        The treatment's mean, in the study's order, where it is known.
    """
    ordered = work.ordered
    right = np.zeros((sum(ordered.sizes), len(SWEPT)))
    for found in runner.map(work, ordered.blocks):
        right += found
    free = None if own is None else own.solve(right)
    n, mean_variance = ordered.blocks[-1].stop, _mean_variance(ordered)
    out = PredictedRows.empty(n)
    size = 0.0
    for block in ordered.blocks:
        left = _net(ordered, block, free)
        size += _settle(ordered, block, left, mean_variance[block.fold], out, between, known)
        ordered.store.drop(f"predicted {block.start}")
    out.variance[:] *= size / n
    return out


LOSSES = ("deep", "linear", "constant effect")


def _mean_variance(ordered: Ordered) -> dict[int, float]:
    """Weighted mean, by fold, of the fitted variance of the treatment."""
    total: dict[int, Array] = {}
    for block in ordered.blocks:
        w, fitted = ordered.column("weight", block), _columns(ordered, block)[:, -1]
        total[block.fold] = total.get(block.fold, np.zeros(2)) + np.array([w @ fitted, w.sum()])
    return {fold: float(each[0] / each[1]) for fold, each in total.items()}


def _columns(ordered: Ordered, block: RowBlock) -> Array:
    return np.array(ordered.store.read(f"predicted {block.start}"))


def _net(ordered: Ordered, block: RowBlock, free: Array | None) -> Array:
    """A block's columns with the effects taken out of those that are left."""
    columns, weight = _columns(ordered, block), ordered.column("weight", block)
    left = columns[:, : len(SWEPT)]
    if free is not None:
        left -= dummies(ordered.column("effects", block).astype(np.int64), ordered.sizes) @ free
        if ordered.swept:
            left[:] = net_of_levels(left, weight, ordered.column("unit", block).astype(np.int64))
    return columns


def _settle(
    ordered: Ordered,
    block: RowBlock,
    columns: Array,
    mean_variance: float,
    out: PredictedRows,
    between: tuple[float, float] | None,
    known: Array | None,
) -> float:
    """Fill in a block's rows; the sum of squares of what is left of the treatment over its variance comes back."""
    weight = ordered.column("weight", block)
    place = ordered.column("place", block).astype(np.int64)
    y, t = ordered.column("outcome", block), ordered.column("treatment", block)
    residual, moved, line, constant, out.left[place], beta, fitted = columns.T
    if known is not None:
        moved = t - known[place]
    elif between is not None:
        moved = t - np.clip(t - moved, *between)
    fitted = np.maximum(fitted, FOLDS.least_variance * mean_variance)
    out.cate[place], out.propensity[place] = beta, t - moved
    out.outcome_mean[place] = y - moved * beta - residual
    out.variance[place] = fitted
    n = ordered.blocks[-1].stop
    for name, miss in zip(LOSSES, (residual, line, constant), strict=True):
        out.loss[name] += float(weight @ miss**2) / n
    return float(weight @ (moved**2 / fitted))
