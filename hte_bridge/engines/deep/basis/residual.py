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


RESIDUAL = ResidualRule()


def residuals(model: Regression, mean: Array) -> Array:
    """Outcome (n,) less the fitted features, slopes and effects."""
    rows, columns, system = model.made.rows, model.columns, model.system
    tau, mu = model.made.surfaces(mean[: len(columns)], columns)
    effect = tau[rows.point] + (rows.slopes() @ mean[len(columns) :] if model.slopes else 0.0)
    fixed = system.project_target[:, 0] - system.project @ mean
    return np.asarray(rows.outcome - effect * rows.treatment - mu[rows.point] - rows.dummies() @ fixed)


def nugget(residual: Array, treatment: Array, weight: Array, arm: Codes | None = None) -> tuple[float, float]:
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
    common = float(np.average(noise, weights=weight))
    expected = RESIDUAL.expected * common / float(np.average(lever, weights=weight))
    shrunk = found - error**2 / min(found, expected) if found > error else 0.0
    return max(shrunk, 0.0), common


def _means(values: Array, weight: Array, arm: Codes) -> Array:
    """Weighted mean (n,) of each unit's arm."""
    return np.asarray((np.bincount(arm, weight * values) / np.bincount(arm, weight))[arm])
