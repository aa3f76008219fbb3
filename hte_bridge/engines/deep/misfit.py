"""What the blocks leave: the nugget, and errors that move together within a cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.design import Design
from hte_bridge.engines.deep.evidence import LastLayer
from hte_bridge.engines.deep.sums import System
from hte_bridge.lost import nested

ROUNDS = 4
CHUNK_POINTS = 8_192
EXPECTED = 0.1  # of the noise: what an unexplained part of the effect adds to the outcome's variance, before the data
ALIKE = 1e-9  # variance of T^2 over its mean square, below which all T are alike in size


def residuals(made: Design, system: System, mean: Array, columns: Codes, slopes: bool) -> Array:
    """Outcome (n,) less the fitted features, slopes and effects."""
    rows, width = made.rows, made.basis.size
    full = np.zeros(width + int(made.drift.sum()))
    full[columns] = mean[: len(columns)]
    tau, mu = np.empty(len(rows.points)), np.empty(len(rows.points))
    for start in range(0, len(tau), CHUNK_POINTS):
        here = slice(start, start + CHUNK_POINTS)
        f = made.basis.features(rows.points[here]).astype(np.float64)
        tau[here], mu[here] = f @ full[:width], f[:, made.drift] @ full[width:]
    effect = tau[rows.point] + (rows.slopes() @ mean[len(columns) :] if slopes else 0.0)
    fixed = system.project_target[:, 0] - system.project @ mean
    return np.asarray(rows.outcome - effect * rows.treatment - mu[rows.point] - rows.dummies() @ fixed)


def nugget(residual: Array, treatment: Array, weight: Array, arm: Codes | None = None) -> tuple[float, float]:
    """Variance of tau that no block explains, and of the noise: squared residuals on T^2 and a constant.

    The square of T is not centred: on the square of T within the effects the same regression sees nothing. Weights
    are 1 / (noise + nugget T^2)^2, renewed four times. What is found, f with standard error s, is shrunk to
    ``f (1 - s^2 / f^2)``, none below s (James & Stein, 1961, one at a time), and by more where it is larger than was to be expected:
    to ``f - s^2 / v``, the posterior mode under an exponential prior with mean v, ``EXPECTED`` of the noise. s is the larger of that of normal errors and White's
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
    for _ in range(ROUNDS):
        by = weight / np.maximum(noise + found * lever, 1e-150) ** 2
        by = by / by.mean()
        off = lever - _means(lever, by, arm)
        moved = float(by @ off**2)
        if moved <= ALIKE * float(by @ lever**2):
            return 0.0, float(np.average(square, weights=weight))
        slope = float(by @ (off * square)) / moved
        found = max(slope, 0.0)
        fresh = _means(square - slope * lever, by, arm)
        noise = np.where(fresh > 0, fresh, noise)
        fitted, pull = noise + found * lever, (by * off) ** 2
        # of a squared normal residual and, where tails are long, as it is seen (White, 1980)
        error = max(float(pull @ (2 * fitted**2)), float(pull @ (square - fitted) ** 2)) ** 0.5 / moved
    common = float(np.average(noise, weights=weight))
    expected = EXPECTED * common / float(np.average(lever, weights=weight))
    shrunk = found - error**2 / min(found, expected) if found > error else 0.0
    return max(shrunk, 0.0), common


def _means(values: Array, weight: Array, arm: Codes) -> Array:
    """Weighted mean (n,) of each unit's arm."""
    return np.asarray((np.bincount(arm, weight * values) / np.bincount(arm, weight))[arm])


def of_effect(made: Design, layer: LastLayer, columns: Codes) -> npt.NDArray[np.bool_]:
    """Which live columns (live,) belong to tau."""
    live = layer.live
    return (live >= len(columns)) | (columns[np.minimum(live, len(columns) - 1)] < made.basis.size)


@dataclass(frozen=True, eq=False)
class Clustered:
    """Covariance of the coefficients where errors move together within clusters.

    Parameters
    ----------
    covariance : array (live, live)
    ratio : float
        Mean variance of tau's noise part over that which the posterior gives it.
    """

    covariance: Array
    ratio: float


def cluster_scores(
    made: Design,
    system: System,
    layer: LastLayer,
    columns: Codes,
    residual: Array,
    cluster: Codes,
    slopes: bool,
) -> Array:
    """Sums (C, live) by cluster of the live columns, net of the effects, times the residual."""
    rows, width = made.rows, made.basis.size
    count = int(cluster.max()) + 1
    error = rows.weight * residual
    feature = layer.live[layer.live < len(columns)]
    position = columns[feature]
    in_tau, in_mu = position[position < width], position[position >= width] - width
    out = np.zeros((count, len(layer.live)))
    drifting = np.flatnonzero(made.drift)[in_mu]
    tau_at, mu_at = np.flatnonzero(position < width), np.flatnonzero(position >= width)
    shape = (count, len(rows.points))
    by_t = sparse.csc_array(sparse.coo_array((error * rows.treatment, (cluster, rows.point)), shape=shape))
    by_one = sparse.csc_array(sparse.coo_array((error, (cluster, rows.point)), shape=shape))
    for start in range(0, len(rows.points), CHUNK_POINTS):
        here = slice(start, start + CHUNK_POINTS)
        f = made.basis.features(rows.points[here]).astype(np.float64)
        out[:, tau_at] += by_t[:, here] @ f[:, in_tau]
        out[:, mu_at] += by_one[:, here] @ f[:, drifting]
    pick = sparse.csr_array((error, (cluster, np.arange(rows.n))), shape=(count, rows.n))
    if slopes:
        own = pick @ (sparse.diags_array(rows.treatment) @ rows.slopes())
        out[:, len(feature) :] = own[:, layer.live[len(feature) :] - len(columns)].toarray()
    return np.asarray(out - (pick @ rows.dummies()) @ system.project[:, layer.live])


def within_clusters(system: System, layer: LastLayer, effects: Codes, cluster: Codes) -> float:
    """What residuals scaled for all degrees of freedom are multiplied by before they are summed by cluster.

    Columns net of an effect whose levels each lie in one cluster are orthogonal to it within the cluster, so that its
    levels cost the sums nothing (Cameron and Miller, 2015, Journal of Human Resources 50(2), section III.B). With two
    periods and units as clusters a sum of scaled residuals would have twice the variance of the errors' own.
    """
    levels = max((np.unique(codes).size for codes in effects.T if nested(codes, cluster)), default=0)
    left = max(system.freedom - float(layer.freedom[layer.variance > 0].sum()), 1.0)
    return float((left / (left + levels)) ** 0.5)


def clustered(system: System, layer: LastLayer, scores: Array, tau: npt.NDArray[np.bool_]) -> Clustered:
    """Replace the noise in the posterior's covariance by cluster sums of scores; the prior's part stays.

    With A the posterior precision and S the scores, the covariance is ``inv(A) (S'S / s^4 + P) inv(A)`` where P is
    the prior's precision. S'S is drawn towards a multiple of its independent counterpart, the more so the fewer
    clusters there are for each degree of freedom, as its directions are then few and noisy (Liang & Zeger, 1986;
    Ledoit & Wolf, 2004, for the shrinkage).

    Parameters
    ----------
    system : System
    layer : LastLayer
    scores : array (C, live)
    tau : array (live,)
        Which live columns belong to tau: the multiple is that of their mean variance.
    """
    live = layer.live
    gram = system.gram[np.ix_(live, live)]
    inverse, noise = layer.covariance, layer.noise
    independent = inverse @ (gram / noise) @ inverse
    count = int((np.abs(scores).sum(axis=1) > 0).sum())
    used = float(layer.freedom[layer.variance > 0].sum())
    correction = count / max(count - 1, 1)
    half = (scores / noise) @ inverse
    own = correction * (half.T @ half)
    inside = np.ix_(tau, tau)
    trace = float((own[inside] * gram[inside]).sum()), float((independent[inside] * gram[inside]).sum())
    ratio = trace[0] / max(trace[1], 1e-300)
    drawn = min(1.0, used / max(count, 1))
    mixed = (1 - drawn) * own + drawn * max(ratio, 1.0) * independent
    prior = inverse - independent
    return Clustered((mixed + prior + (mixed + prior).T) / 2, ratio)
