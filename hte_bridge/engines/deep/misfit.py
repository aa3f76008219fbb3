"""What the blocks leave: the nugget, and errors that move together within a cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hte_bridge.engines.deep.design import Design
from hte_bridge.engines.deep.evidence import STEPS, LastLayer, fit
from hte_bridge.engines.deep.sums import System

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

ROUNDS = 4
CHUNK_POINTS = 8_192
EXPECTED = 0.1  # of the noise: what an unexplained part of the effect adds to the outcome's variance, before the data
TEMPERED, GROWN = (
    8,
    1.05,
)  # rounds in which the design effect is asked at most, and growth below which it is found
CLEARLY = 0.9  # of the squared error that another model makes in clusters left out
MOST_LEFT_OUT = 2e10  # products, up to which clusters are left out of the model that their residuals are from
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
    arm = np.zeros(len(square), dtype=np.int64) if arm is None else arm
    noise, found, error = _means(square, weight, arm), 0.0, np.inf
    for _ in range(ROUNDS):
        by = weight / np.maximum(noise + found * lever, 1e-300) ** 2
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


@dataclass(frozen=True, eq=False)
class Tried:
    """A fit at one temper, the residuals (n,), and what they are to be scaled by for the degrees of freedom spent."""

    layer: LastLayer
    residual: Array
    scale: float


def settled(
    made: Design,
    system: System,
    columns: Codes,
    owner: Codes,
    *,
    slopes: bool = False,
    cluster: Codes | None = None,
    temper: float = 1.0,
    max_steps: int = STEPS,
) -> tuple[LastLayer, Array]:
    """Variances from the marginal likelihood, and the residuals (n,), scaled up for the degrees of freedom that were spent.

    Where errors move together within clusters, as those of a unit do from year to year, a likelihood of independent errors takes what a
    unit has in common for an effect of its own, wherever a function of the unit's covariates can follow it; a treatment that comes and stays goes with it
    most. So the likelihood is taken to the power of one over the design effect: how much more the scores of tau's coefficients vary, by clusters, than
    independent errors would let them (a composite likelihood with its magnitude adjusted: Pauli, Racugno and Ventura, 2011, Statistica Sinica 21;
    Ribatet, Cooley and Davison, 2012, Statistica Sinica 22). It is asked again of the model found with it, until it moves no more.

    A model that follows units hides their errors, and one that misses an effect takes it for errors: there may be two such points. The first is sought
    from independent errors upwards. Where the model there does not predict clusters that it has not seen clearly better than lines do, the second is
    sought from the lines' design effect, with the residuals of each cluster from a model of the others; of two that predict alike it is the cautious one.

    Parameters
    ----------
    made : Design
        Whose rows are those of ``system``.
    system : System
    columns, owner : array
        Of ``Design.columns`` and ``Design.owner``.
    slopes : bool
        Whether slopes are in the model.
    cluster : array (n,), optional
        Codes; without, the temper stays what it is.
    temper : float
        Where it begins.
    max_steps : int
    """

    def at(power: float) -> Tried:
        return one_fit(made, system, columns, owner, slopes, power, max_steps)

    if cluster is None:
        only = at(temper)
        return only.layer, only.scale * only.residual
    best = at(temper)
    for _ in range(TEMPERED):
        ratio = design_ratio(made, system, best.layer, columns, best.scale * best.residual, cluster, slopes)
        if ratio < GROWN:
            break
        best = at(best.layer.temper * ratio)
    if not slopes and made.rows.n * len(best.layer.live) ** 2 <= MOST_LEFT_OUT:
        best = unhidden(made, system, columns, owner, cluster, best, max_steps)
    return best.layer, best.scale * best.residual


def unhidden(
    made: Design,
    system: System,
    columns: Codes,
    owner: Codes,
    cluster: Codes,
    first: Tried,
    max_steps: int,
) -> Tried:
    """The fit found from below if it predicts clusters left out clearly better than lines, and than the fit found from the lines' design effect."""
    weight = made.rows.weight

    def judged(fit: Tried, own: System, its: Codes) -> tuple[float, float]:
        """Squared error in clusters left out, and the design effect that their residuals show."""
        others = left_out(made, own, fit.layer, its, fit.residual, cluster)
        ratio = design_ratio(made, own, fit.layer, its, others, cluster, False)
        return float(weight @ others**2), max(fit.layer.temper * ratio, 1.0)

    lines = simplest(made, columns)
    few, numbered = narrowed(system, lines), np.unique(owner[lines], return_inverse=True)[1].reshape(-1)
    simple = one_fit(made, few, columns[lines], numbered, False, 1.0, max_steps)
    of_lines, temper = judged(simple, few, columns[lines])
    loss = judged(first, system, columns)[0]
    if loss < CLEARLY * of_lines:
        return first
    for _ in range(TEMPERED):
        other = one_fit(made, system, columns, owner, False, temper, max_steps)
        its_loss, found = judged(other, system, columns)
        if max(found / temper, temper / found) < GROWN:
            break
        temper = found
    return first if loss < CLEARLY * its_loss else other


def one_fit(
    made: Design,
    system: System,
    columns: Codes,
    owner: Codes,
    slopes: bool,
    temper: float,
    max_steps: int,
) -> Tried:
    """Variances at one temper."""
    target, second = system.target[:, 0], system.second[0, 0]
    layer = fit(system.gram, target, second, system.freedom, owner, (0,), max_steps, made.device, temper)
    spent = layer.freedom[layer.variance > 0].sum()
    residual = residuals(made, system, layer.mean, columns, slopes)
    return Tried(layer, residual, float(np.sqrt(made.rows.n / max(system.freedom - spent, 1))))


def design_ratio(
    made: Design,
    system: System,
    layer: LastLayer,
    columns: Codes,
    residual: Array,
    cluster: Codes,
    slopes: bool,
) -> float:
    """How much more the scores of tau vary by clusters than the layer thinks."""
    scores = cluster_scores(made, system, layer, columns, residual, cluster, slopes)
    return clustered(system, layer, scores, of_effect(made, layer, columns)).ratio


def left_out(
    made: Design, system: System, layer: LastLayer, columns: Codes, residual: Array, cluster: Codes
) -> Array:
    """Residuals (n,) of each cluster from a model of the others: a model that follows a cluster hides what its errors have in common.

    ``(I - H)^-1 r`` with H the cluster's part of the hat matrix (Bell and McCaffrey, 2002, Survey Methodology 28(2), on the jackknife), the
    features net of the effects.
    """
    rows, width = made.rows, made.basis.size
    position = columns[layer.live]
    f = made.basis.features(rows.points).astype(np.float64)
    at_mu = np.flatnonzero(made.drift)[position[position >= width] - width]
    net = np.empty((rows.n, len(position)))
    net[:, position < width] = f[:, position[position < width]][rows.point] * rows.treatment[:, None]
    net[:, position >= width] = f[:, at_mu][rows.point]
    net -= rows.dummies() @ system.project[:, layer.live]
    root = np.sqrt(rows.weight)
    net *= root[:, None]
    hat = net @ (layer.covariance / layer.noise)
    out = root * residual
    order = np.argsort(cluster, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1):
        inside = np.eye(len(own)) - hat[own] @ net[own].T
        out[own] = np.linalg.solve(inside, out[own])
    return np.asarray(out / root)


def simplest(made: Design, columns: Codes) -> Codes:
    """Places of the columns that make the effect and mu lines."""
    kinds = np.array([block.kind for block in made.basis.blocks])[made.basis.owner]
    kinds = np.concatenate([kinds, kinds[made.drift]])[columns]
    return np.flatnonzero((kinds == "constant") | (kinds == "linear"))


def narrowed(system: System, kept: Codes) -> System:
    """The system of some of its columns."""
    return replace(
        system,
        gram=system.gram[np.ix_(kept, kept)],
        target=system.target[kept],
        project=system.project[:, kept],
    )


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
