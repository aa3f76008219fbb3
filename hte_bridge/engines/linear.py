"""Linear nuisances and the interacted linear effect of a cross-section, by weighted least squares."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import GammaRegressor, LogisticRegression

from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.errors import NotIdentified
from hte_bridge.scaling import Line, Standard, White, directions, independent, power
from hte_bridge.study import Folds, Study

UNTOLD = 1e-6  # share of a row that lies along columns' collinear directions, beyond rounding
RIDGE = 1e-7  # on squared coefficients of the logit, beside its mean log likelihood: rows twice at half the weight are the same rows
TOLERANCE = 1e-11  # gradient of a mean loss at which Newton's steps end: the same rows in memory and in files then give the same table to 1e-8
GAMMA_RIDGE = 1e-3  # on squared coefficients of a dose's log variance
LEAST = 1e-12  # of a dose's variance: squared residuals below are rounding
FLOOR = 0.01  # of the mean variance: a unit whose dose hardly varies must not carry the average alone
CLIP = 0.01  # held-out probabilities stay this far from 0 and 1, so that no score divides by zero


def nuisances(study: Study, folds: Folds) -> HeldOut:
    """Held-out tau, E[Y | x] and E[T | x] of outcome ~ treatment * covariates, fold by fold.

    A binary treatment's propensity is a logit, a dose's mean is linear with a log-linear variance.

    Raises
    ------
    NotIdentified
        If the rows outside a fold are no more than the columns, or hold one arm alone.
    """
    cate, mean, propensity, variance = (np.empty(study.n) for _ in range(4))
    both = study.adjusted.filled
    for train, test in folds:
        x, weight, treatment = both[train], study.weight[train], study.treatment[train]
        learnable(study, len(x), x.shape[1], study.filled.shape[1], treatment)
        model = Interacted.fit(x, study.filled[train], treatment, study.outcome[train], weight)
        new = both[test]
        if study.propensity is not None:
            e = study.propensity[test]
        elif study.binary:
            e = _logit(x, treatment, weight, new)
        else:
            e, variance[test] = _dose(x, treatment, weight, new)
        cate[test], propensity[test] = model.effect(study.filled[test]), e
        mean[test] = model.outcome(new, study.filled[test], e)
    return HeldOut(cate, mean, propensity, None if study.binary else variance)


def learnable(study: Study, rows: int, beside: int, moves: int, treatment: Array) -> None:
    """So many rows outside a fold, with this treatment (rows,), tell a line in ``beside`` covariates and controls and ``moves`` products.

    Raises
    ------
    NotIdentified
        If they do not.
    """
    columns = 2 + beside + moves
    if rows <= columns:
        raise NotIdentified(
            f"A linear effect must be learned from more rows than it has coefficients. {rows:,} rows outside a fold meet {columns:,} "
            "coefficients (the treatment times each covariate). Name fewer covariates, or read another engine."
        )
    if np.ptp(treatment) == 0:
        raise NotIdentified(
            f"The rows outside each fold must hold different values of the treatment. One fold, with the clusters in it, holds all others of "
            f"`{study.names.treatment}`: an effect cannot be learned without it. Use more clusters, or finer ones."
        )


@dataclass(frozen=True, eq=False)
class Interacted:
    """The line of the outcome on treatment, covariates and controls, and products of treatment and covariates, all standardised before they are
    multiplied. ``x`` holds covariates and controls, ``along`` the covariates."""

    line: Line
    x: Standard
    along: Standard
    treatment: Standard

    @classmethod
    def fit(cls, x: Array, along: Array, treatment: Array, outcome: Array, weight: Array) -> Interacted:
        """Weighted least squares."""
        standard, moves = Standard.of(x, weight), Standard.of(along, weight)
        dose = Standard.of(treatment[:, None], weight)
        columns = columns_of(standard(x), moves(along), dose(treatment[:, None]))
        return cls(Line.fit(columns, outcome[:, None], weight), standard, moves, dose)

    def effect(self, along: Array) -> Array:
        """Slope of the outcome in the treatment (m,)."""
        step, none = np.ones((len(along), 1)), np.zeros((len(along), len(self.x.scale)))
        gone = self.line.standard.scale > 0
        by_unit = np.where(gone, 1 / np.where(gone, self.line.standard.scale, 1.0), 0.0)
        moved = np.column_stack([step, none, self.along(along)]) * by_unit
        return np.asarray((moved @ self.line.slope)[:, 0] / self.treatment.scale[0])

    def outcome(self, x: Array, along: Array, treatment: Array) -> Array:
        """Outcome (m,) at a treatment (m,)."""
        columns = columns_of(self.x(x), self.along(along), self.treatment(treatment[:, None]))
        return np.asarray(self.line.predict(columns)[:, 0])


def columns_of(x: Array, along: Array, treatment: Array) -> Array:
    """Treatment (m, 1), covariates and controls, and products of the treatment with the covariates, side by side."""
    return np.column_stack([treatment, x, treatment * along])


@dataclass(frozen=True, eq=False)
class Surface:
    """tau(x) as a line in standardised covariates: coefficients (k + 1,) on (1, x), their covariance, df, and the directions (k + 1, u) along
    which the data tell no effect."""

    x: Standard
    coefficients: Array
    covariance: Array
    df: float
    untold: Array

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Effect and standard error (m,) each; not a number where the data tell none, as where columns that were collinear part."""
        design = np.column_stack([np.ones(len(x)), self.x(x)])
        spread = np.einsum("ij,jk,ik->i", design, self.covariance, design)
        off = np.linalg.norm(design @ self.untold, axis=1) > UNTOLD * np.linalg.norm(design, axis=1)
        effect = np.where(off, np.nan, design @ self.coefficients)
        return effect, np.where(off, np.nan, np.sqrt(np.maximum(spread, 0.0)))


def interacted(study: Study) -> Surface:
    """tau(x) from all rows, with errors by cluster (CRV1) or HC1.

    Raises
    ------
    NotIdentified
        If there are no more rows than coefficients: a line through all points tells nothing of its error.
    """
    both, along, n = study.adjusted.filled, study.filled, study.n
    q, k = both.shape[1], along.shape[1]
    standard, dose = Standard.of(along, study.weight), Standard.of(study.treatment[:, None], study.weight)
    beside = Standard.of(both, study.weight)(both)
    _spare(study, standard(along), beside)
    columns = columns_of(beside, standard(along), dose(study.treatment[:, None]))
    last = Standard.of(columns, study.weight)
    root = np.sqrt(study.weight / study.weight.mean())
    design = np.column_stack([root, root[:, None] * last(columns)])
    left, values, right = np.linalg.svd(design, full_matrices=False)
    kept = values > last.tolerance * values.max()
    rank = int(kept.sum())
    aim = Standard.of(study.outcome[:, None], study.weight)
    target = root * aim(study.outcome[:, None])[:, 0]
    along = left[:, kept].T @ target
    score = (target - left[:, kept] @ along)[:, None] * left[:, kept]
    own = [0, *range(1 + q, 1 + q + k)]  # the treatment and its products
    scale = np.where(last.scale > 0, last.scale, 1.0)[own, None]
    turn = right[:, 1:][:, own].T / scale
    back = aim.scale[0] / dose.scale[0] * turn[:, kept] / values[kept]
    spread, groups = _by_clusters(score @ back.T, study)
    factor = groups / (groups - 1) * (n - 1) / (n - rank)
    df = groups - 1 if study.clustered else n - rank
    return Surface(standard, back @ along, factor * spread, float(df), directions(turn[:, ~kept]))


def _by_clusters(score: Array, study: Study) -> tuple[Array, int]:
    """Sum of squared cluster totals (k, k) of scores (n, k), and the number of clusters; of two ways both less their cells, and the fewer."""

    def squared(codes: Codes) -> Array:
        totals = np.column_stack([np.bincount(codes, weights=column) for column in score.T])
        return np.asarray(totals.T @ totals)

    first, second = study.cluster, study.second_cluster
    if second is None:
        return squared(first), study.n_clusters
    size = int(second.max()) + 1
    cell = np.unique(first * size + second, return_inverse=True)[1].reshape(-1)
    return squared(first) + squared(second) - squared(cell), min(study.n_clusters, size)


def _spare(study: Study, x: Array, both: Array) -> None:
    """Each arm has more rows than its line has coefficients: one through all points tells nothing of its error; so have all rows."""
    arms = [study.treatment == arm for arm in (0, 1)] if study.binary else [np.ones(study.n, dtype=bool)]
    for arm in arms:
        with_one = np.column_stack([np.ones(int(arm.sum())), x[arm]])
        coefficients = int(independent(with_one).sum()) * (1 if study.binary else 2)
        if arm.sum() <= coefficients:
            which = f" of one arm of `{study.names.treatment}`" if study.binary else ""
            raise NotIdentified(
                f"An effect along covariates must be learned from more rows than it has coefficients. {int(arm.sum()):,} rows{which} meet "
                f"{coefficients:,} coefficients or more. Name fewer covariates, or read another engine."
            )
    rank = int(independent(np.column_stack([np.ones(study.n), both])).sum())
    whole = rank + int(independent(np.column_stack([np.ones(study.n), x])).sum())
    if study.n <= whole:
        raise NotIdentified(
            f"An effect along covariates must be learned from more rows than it has coefficients. {study.n:,} rows meet {whole:,} "
            "coefficients (covariates, controls, and the treatment times each covariate). Name fewer of them, or read another engine."
        )


@contextmanager
def _one_way_or_another() -> Iterator[None]:
    """Without what scikit-learn's Newton steps say before they leave a fit to L-BFGS; that this one fails would be said.

    They do where they begin at the answer, as where arms are balanced exactly and no step goes up, or where the curvature has no sign.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"[\s\S]*resorts? to lbfgs")
        yield


def _logit(x: Array, treatment: Array, weight: Array, new: Array) -> Array:
    white = White.of(x, weight)
    if not white.turn.shape[1]:
        return np.full(len(new), np.clip(np.average(treatment, weights=weight), CLIP, 1 - CLIP))
    model = LogisticRegression(
        C=1 / (RIDGE * weight.sum()), max_iter=1000, solver="newton-cholesky", tol=TOLERANCE
    )
    with _one_way_or_another():
        model.fit(white(x), treatment, sample_weight=weight)
    return np.clip(model.predict_proba(white(new))[:, 1], CLIP, 1 - CLIP)


def _dose(x: Array, treatment: Array, weight: Array, new: Array) -> tuple[Array, Array]:
    line = Line.fit(x, treatment[:, None], weight)
    unit = float(power(Standard.of(treatment[:, None], weight).scale)[0])
    residual = (treatment - line.predict(x)[:, 0]) / unit
    squared = np.maximum(residual**2, LEAST * float(np.var(treatment / unit)))
    mean, white = squared.mean(), White.of(x, weight)
    if not white.turn.shape[1]:
        return line.predict(new)[:, 0], np.full(len(new), np.average(squared, weights=weight) * unit**2)
    spread = GammaRegressor(alpha=GAMMA_RIDGE, max_iter=1000, solver="newton-cholesky", tol=TOLERANCE)
    with _one_way_or_another():
        spread.fit(white(x), squared / mean, sample_weight=weight)
    variance = np.maximum(spread.predict(white(new)), FLOOR) * mean * unit**2
    return line.predict(new)[:, 0], variance
