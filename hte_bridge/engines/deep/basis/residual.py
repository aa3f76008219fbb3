"""What the blocks leave: residuals, and the variance of the effect that no block explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.regression import Regression


@dataclass(frozen=True)
class ResidualRule:
    """How the variance that no block explains is found, and when it is much."""

    # in which the weights are renewed
    rounds: int = 4
    # of the noise: what an unexplained part of the effect adds to the outcome's variance, before the data
    expected: float = 0.1
    # variance of T^2 over its mean square, below which all T are alike in size
    alike: float = 1e-9
    # of tau's sd: where the nugget's sd is a larger share, networks and random slopes may enter
    unexplained: float = 0.05
    # standard errors that two accounts of the same variance may differ by, so that they count as one
    apart: float = 2.0


RESIDUAL = ResidualRule()


def residuals(model: Regression, mean: Array) -> Array:
    """Outcome (n,) less the fitted features, slopes and effects."""
    rows, columns, system = model.made.rows, model.columns, model.system
    tau, mu = model.made.surfaces(mean[: len(columns)], columns)
    effect = tau[rows.point] + (rows.slopes() @ mean[len(columns) :] if model.slopes else 0.0)
    fixed = system.project_target[:, 0] - system.project @ mean
    return np.asarray(rows.outcome - effect * rows.treatment - mu[rows.point] - rows.dummies() @ fixed)


def nugget(
    residual: Array, treatment: Array, weight: Array, arm: Codes | None = None, point: Codes | None = None
) -> tuple[float, float]:
    """Variance of tau that no block explains, and of the noise: squared residuals on T^2 and a constant.

    The square of T is not centred: on the square of T within the effects the same regression sees nothing. Weights
    are 1 / (noise + nugget T^2)^2, renewed four times. What is found, f with standard error s, is shrunk to
    ``f (1 - s^2 / f^2)``, none below s (James & Stein, 1961, one at a time), and by more where it is larger than was to be expected:
    to ``f - s^2 / v``, the posterior mode under an exponential prior with mean v, ``RESIDUAL.expected`` of the noise. s is the larger of that of normal errors and White's
    (1980, Econometrica 48(4)), for a few wild errors at large T^2 look like a nugget to the former. Where T^2 hardly varies s is
    large, and there is no nugget; where it does not vary none can be told from noise. Noise whose variance grows with T looks like a nugget,
    and only lengthens the interval.

    Parameters
    ----------
    residual, treatment, weight : array (n,)
    arm : array (n,), optional
        Of a binary treatment less its propensity: treated units differ in their own effects, so that each arm has a noise of its own. A
        nugget is then what goes with (T - e)^2 inside an arm.
    point : array (n,), optional
        Codes of covariates that are the same: what rows of a point have in common tells the nugget too, without their noise (``in_common``).

    Returns
    -------
    nugget, noise : float

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> t = rng.normal(size=20_000)
    >>> made = rng.normal(size=20_000) + 0.5 * t * rng.normal(size=20_000)
    >>> bool(abs(nugget(made, t, np.ones(20_000))[0] - 0.25) < 0.03)
    True
    >>> nugget(made, np.where(t > 0, 0.5, -0.5), np.ones(20_000))[0]
    0.0
    """
    square, lever = residual**2, treatment**2
    if not square.any():  # every outcome is fitted exactly
        return 0.0, 0.0
    arm = np.zeros(len(square), dtype=np.int64) if arm is None else arm
    noise, found, error = _means(square, weight, arm), 0.0, np.inf
    for _ in range(RESIDUAL.rounds):
        by = weight / np.maximum(noise + found * lever, 1e-150) ** 2
        by = by / by.mean()
        off = lever - _means(lever, by, arm)
        moved = float(by @ off**2)
        if moved <= RESIDUAL.alike * float(by @ lever**2):
            return 0.0, float(np.average(square, weights=weight))
        slope = float(by @ (off * square)) / moved
        found = max(slope, 0.0)
        fresh = _means(square - slope * lever, by, arm)
        noise = np.where(fresh > 0, fresh, noise)
        fitted, pull = noise + found * lever, (by * off) ** 2
        # of a squared normal residual and, where tails are long, as it is seen (White, 1980)
        error = max(float(pull @ (2 * fitted**2)), float(pull @ (square - fitted) ** 2)) ** 0.5 / moved
    if point is not None:
        slope, error = together((slope, error), in_common(residual, treatment, weight, point))
        found = max(slope, 0.0)
    common = float(np.average(noise, weights=weight))
    expected = RESIDUAL.expected * common / float(np.average(lever, weights=weight))
    shrunk = found - error**2 / min(found, expected) if found > error else 0.0
    return max(shrunk, 0.0), common


def in_common(residual: Array, treatment: Array, weight: Array, point: Codes) -> tuple[float, float]:
    """Variance of tau between points (n,) that no block explains, and its standard error, from products of two rows of a point.

    Where a point has m rows, products of their residuals on products of their T say what squares on T^2 say, with a noise whose variance is smaller by m - 1: that
    of a row is in no product of two. Sums over the pairs of a point are those over its rows, squared, less their squares; errors by point.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> point, t = np.repeat(np.arange(1_000), 20), rng.normal(1.0, 1.0, 20_000)
    >>> made = rng.normal(size=20_000) + 0.2 * t * rng.normal(size=1_000)[point]
    >>> variance, error = in_common(made, t, np.ones(20_000), point)
    >>> abs(variance - 0.04) < 2 * error < 0.01, in_common(made, t, np.ones(20_000), np.arange(20_000))
    (True, (0.0, inf))
    """
    pairs = lambda column: np.bincount(point, column) ** 2 - np.bincount(point, column**2)
    one, lever, square = pairs(weight), pairs(weight * treatment), pairs(weight * residual)
    of_lever, both = pairs(weight * treatment**2), pairs(weight * treatment * residual)
    count = float(one.sum())
    mean = float(lever.sum()) / count if count > 0 else 0.0
    moved = float(of_lever.sum()) - mean * float(lever.sum())
    if moved <= RESIDUAL.alike * max(float(of_lever.sum()), 1e-300):
        return 0.0, np.inf
    slope = (float(both.sum()) - mean * float(square.sum())) / moved
    level = (float(square.sum()) - slope * float(lever.sum())) / count
    score = both - mean * square - slope * (of_lever - mean * lever) - level * (lever - mean * one)
    return slope, float(score @ score) ** 0.5 / moved


def together(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Two estimates with their standard errors as one, weighed by precision; the first where they are far apart: what varies from row to row is in squares alone.

    Examples
    --------
    >>> together((1.0, 1.0), (2.0, 1.0)), together((1.0, 0.1), (0.0, 0.1))
    ((1.5, 0.7071067811865476), (1.0, 0.1))
    """
    (first, its), (second, error) = one, other
    if not np.isfinite(error) or abs(first - second) > RESIDUAL.apart * float(np.hypot(its, error)):
        return one
    share = its**2 / max(its**2 + error**2, 1e-300)
    return first + share * (second - first), its * float(1.0 - share) ** 0.5


def _means(values: Array, weight: Array, arm: Codes) -> Array:
    """Weighted mean (n,) of each unit's arm."""
    return np.asarray((np.bincount(arm, weight * values) / np.bincount(arm, weight))[arm])
