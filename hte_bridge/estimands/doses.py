"""Curve of the outcome in a continuous treatment: beyond the average slope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.interpolate import BSpline

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidOption, NotIdentified
from hte_bridge.estimands.bands import with_joint_band
from hte_bridge.estimands.moments import joint_test
from hte_bridge.estimands.regression import LeastSquares, least_squares
from hte_bridge.scaling import Line
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate

Shape = Literal["bins", "spline"]
DEGREE = 3


def dose_curve(
    scores: Scores,
    x: Array,
    fold: Codes,
    *,
    at: Sequence[float] | None = None,
    shape: Shape = "spline",
    pieces: int = 4,
    level: float = 0.95,
) -> list[Estimate]:
    """Mean outcome at each dose less that at the first, given the covariates, with a band that holds for the curve.

    Y - m(x) is regressed on b(T) - E[b(T) | x] for a spline or bins b of the dose: Robinson's (1988, Econometrica
    56(4)) partially linear model with the dose nonlinear; m(x) is the engine's, E[b(T) | x] linear in x and
    cross-fitted. The effect of a dose is taken to be alike for all x.

    Parameters
    ----------
    scores : Scores
        With outcome, treatment (a dose without fixed effects) and nuisances.
    x : array (n, p)
        Covariates without gaps.
    fold : array (n,)
    at : sequence of float, optional
        Doses of the curve, the first being the reference; by default five quantiles, or the bins.
    shape : {"spline", "bins"}
        Cubic B-spline with ``pieces`` segments, or a step for each of ``pieces`` bins of equal share.

    Returns
    -------
    list of Estimate
        ``dose = D`` (or the bin) for each, against the reference, then ``linear``: F test that the curve is a line
        (spline), or ``equal``: that there is no effect (bins).

    Raises
    ------
    NotIdentified
        If the treatment has fewer values than pieces, or fixed effects.
    """
    y_residual, _ = scores.residuals
    dose = scores.treatment
    assert dose is not None
    if shape not in ("spline", "bins"):
        raise InvalidOption(f"`shape` must be 'spline' or 'bins'. {shape!r} was given.")
    if len(np.unique(dose)) < max(pieces, 3):
        raise NotIdentified(
            f"A dose curve needs at least {max(pieces, 3)} doses. {len(np.unique(dose))} occur. Read `ate` or `ape`, or "
            "lower `pieces`."
        )
    if shape == "bins":
        return _binned(scores, y_residual, dose, x, fold, pieces, level)
    return _splined(scores, y_residual, dose, x, fold, pieces, at, level)


def _splined(
    scores: Scores,
    y_residual: Array,
    dose: Array,
    x: Array,
    fold: Codes,
    pieces: int,
    at: Sequence[float] | None,
    level: float,
) -> list[Estimate]:
    knots = _knots(dose, pieces)
    fit = _fit(scores, y_residual, _spline(dose, knots), x, fold)
    points = _points(dose, (0.05, 0.25, 0.5, 0.75, 0.95), at)
    basis, names = _spline(points, knots), _written(points)
    terms = [f"dose = {name}, against {names[0]}" for name in names[1:]]
    rows = _rows(fit, basis[1:] - basis[0], terms, scores, level)
    # dose - least dose is in the span of the spline: what is left of the coefficients beyond it must be zero
    values = np.unique(dose)
    line = np.linalg.lstsq(_spline(values, knots), (values - values[0]) / np.ptp(values), rcond=None)[0]
    beyond = np.eye(len(line)) - np.outer(line, line) / (line @ line)
    spread = scores.inflation**2 * beyond @ fit.covariance @ beyond.T
    f, p = joint_test(beyond @ fit.coefficients, spread, fit.n_clusters - 1)
    return [*rows, _test_row("linear", "F test that the curve is a straight line", (f, p), rows[0])]


def local_slopes(
    scores: Scores,
    x: Array,
    fold: Codes,
    *,
    at: Sequence[float] | None = None,
    pieces: int = 4,
    level: float = 0.95,
) -> list[Estimate]:
    """Slope of the dose curve at each dose: the effect of a little more, there. See ``dose_curve``."""
    y_residual, _ = scores.residuals
    dose = scores.treatment
    assert dose is not None
    knots = _knots(dose, pieces)
    fit = _fit(scores, y_residual, _spline(dose, knots), x, fold)
    points = _points(dose, (0.1, 0.25, 0.5, 0.75, 0.9), at)
    terms = [f"slope at dose = {name}" for name in _written(points)]
    return _rows(fit, _spline(points, knots, derivative=True), terms, scores, level)


def _binned(
    scores: Scores, y_residual: Array, dose: Array, x: Array, fold: Codes, pieces: int, level: float
) -> list[Estimate]:
    borders = np.unique(np.quantile(dose, np.linspace(0, 1, pieces + 1)[1:-1]))
    place = np.searchsorted(borders, dose, side="right")
    used = np.unique(place)
    member = (place[:, None] == used[1:]).astype(np.float64)
    fit = _fit(scores, y_residual, member, x, fold)
    ends = _written(np.array([dose.min(), *borders, dose.max()]))
    names = [f"{ends[j]} to {ends[j + 1]}" for j in used]
    terms = [f"dose {name}, against {names[0]}" for name in names[1:]]
    rows = _rows(fit, np.eye(len(terms)), terms, scores, level)
    test = joint_test(fit.coefficients, scores.inflation**2 * fit.covariance, fit.n_clusters - 1)
    return [*rows, _test_row("equal", "F test that no dose has an effect", test, rows[0])]


def _fit(scores: Scores, y_residual: Array, basis: Array, x: Array, fold: Codes) -> LeastSquares:
    """Regression of Y - m on the basis less its cross-fitted linear prediction."""
    residual = basis - _predicted(basis, x, fold, scores.weight)
    return least_squares(y_residual, residual, scores.weight, scores.cluster, "HC1")


def _predicted(values: Array, x: Array, fold: Codes, weight: Array) -> Array:
    """Held-out linear predictions (n, k) of the columns of ``values``."""
    out = np.empty_like(values)
    for each in np.unique(fold):
        train, test = fold != each, fold == each
        out[test] = Line.fit(x[train], values[train], weight[train]).predict(x[test])
    return out


def _knots(dose: Array, pieces: int) -> Array:
    """Knots of a cubic B-spline: inner ones at quantiles, ends repeated."""
    inner = np.unique(np.quantile(dose, np.linspace(0, 1, pieces + 1)[1:-1]))
    low, high = float(dose.min()), float(dose.max())
    inner = inner[(inner > low) & (inner < high)]
    return np.concatenate([[low] * (DEGREE + 1), inner, [high] * (DEGREE + 1)])


def _spline(points: Array, knots: Array, derivative: bool = False) -> Array:
    """B-spline basis (m, k), or its slope, without the first function: a constant is in m(x)."""
    count = len(knots) - DEGREE - 1
    spline = BSpline(knots, np.eye(count), DEGREE)
    values = (spline.derivative() if derivative else spline)(points)
    return np.asarray(values[:, 1:], dtype=np.float64)


def _points(dose: Array, shares: Sequence[float], at: Sequence[float] | None) -> Array:
    """Doses at which a curve is read, each once: those given, or quantiles; of the doses that occur, where most units have one."""
    if at is not None:
        points = np.array(list(dict.fromkeys(np.asarray(at, dtype=np.float64).tolist())))
        _inside(points, dose)
        if len(points):
            return points
        raise InvalidOption("`at` must hold doses. It is empty. Leave it out for quantiles of the dose.")
    points = np.unique(np.quantile(dose, shares))
    return points if len(points) >= 3 else np.unique(np.quantile(np.unique(dose), shares))


def _written(points: Array) -> list[str]:
    """Doses as text, with as many digits as tell them apart.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.doses import _written
    >>> _written(np.array([0.5, 10001.0, 10002.0]))
    ['0.5', '10001', '10002']
    """
    distinct = len(np.unique(points))
    for digits in range(4, 18):
        names = [f"{point:.{digits}g}" for point in points]
        if len(set(names)) == distinct:
            break
    return names


def _inside(points: Array, dose: Array) -> None:
    outside = points[(points < dose.min()) | (points > dose.max())]
    if len(outside):
        raise NotIdentified(
            f"Doses of a curve must lie between {dose.min():g} and {dose.max():g}, those observed. {outside[0]:g} does "
            "not: no unit tells of it."
        )


def _rows(
    fit: LeastSquares, weights: Array, terms: Sequence[str], scores: Scores, level: float
) -> list[Estimate]:
    """Linear combinations (k, b) of the coefficients, with a joint band."""
    cov = weights @ fit.covariance @ weights.T
    rows = [
        Estimate(
            "dose",
            float(weights[j] @ fit.coefficients),
            float(cov[j, j] ** 0.5),
            term=term,
            df=fit.n_clusters - 1,
            level=level,
            vcov=scores.vcov,
            n_obs=scores.n,
            n_clusters=fit.n_clusters,
            influence=fit.influence @ weights[j],
        )
        for j, term in enumerate(terms)
    ]
    return with_joint_band(rows, cov)


def _test_row(term: str, note: str, test: tuple[float, float], like: Estimate) -> Estimate:
    return Estimate.missing(
        "dose",
        note,
        term=term,
        test=test,
        level=like.level,
        df=like.df,
        n_obs=like.n_obs,
        n_clusters=like.n_clusters,
    )
