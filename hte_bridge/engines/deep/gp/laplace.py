"""The mode of the hyperparameters' posterior, and the normal approximation there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import optimize

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.covariance import Data
from hte_bridge.engines.deep.gp.hyperparameters import Hyperparameters
from hte_bridge.engines.deep.gp.likelihood import LogPosterior
from hte_bridge.engines.deep.gp.priors import PRIORS


@dataclass(frozen=True)
class ModeOptions:
    """How a mode is found and its curvature read."""

    # of the differences of gradients, in log scales
    difference_step: float = 1e-3
    # evaluations from a mode on fewer rows: at most
    most_steps: int = 8
    # and at most, with many rows, where each takes a second
    few_steps: int = 3
    # which are more than so many
    many_rows: int = 1_000
    # and gain in log posterior below which it is there
    close: float = 0.4
    # no step is longer, in log scales: a curvature from few rows may say too little
    longest_step: float = 2.0
    # log scales of a mode are multiples of this: a search multiplies the rounding of its inputs by millions, and so it ends with it
    grain: float = 2.0**-17


MODE = ModeOptions()

FLOOR = PRIORS.long_sd**-2  # of the Hessian's eigenvalues: nothing is wider than the widest prior


@dataclass(frozen=True, eq=False)
class Mode:
    """Most probable log scales.

    Parameters
    ----------
    theta : array (size,)
    value : float
        Log posterior there.
    converged : bool
    evaluations : int
    curved : array (size, size)
        Minus the Hessian of the log posterior, as the steps of the search saw it.
    n : int
        Units on which it was found.
    """

    theta: Array
    value: float
    converged: bool
    evaluations: int
    curved: Array
    n: int


def find_mode(
    rows: Data,
    scales: Hyperparameters,
    start: Array | None = None,
    max_steps: int = 200,
    tolerance: float = 1e-9,
) -> Mode:
    """Climb the log posterior by L-BFGS-B with analytic gradients."""

    density = LogPosterior(rows, scales)

    def objective(theta: Array) -> tuple[float, Array]:
        value, gradient = density(theta)
        return (-value, -gradient) if np.isfinite(value) else (1e10, np.zeros_like(theta))

    found: Any = optimize.minimize(
        objective,
        scales.start() if start is None else start,
        jac=True,
        method="L-BFGS-B",
        bounds=scales.bounds(),
        options={"maxiter": max_steps, "ftol": tolerance, "gtol": 1e-4, "maxcor": 20},
    )
    finite = bool(np.isfinite(found.fun) and found.fun < 1e9)
    curved = np.linalg.inv(found.hess_inv.todense())
    theta, converged = grained(found.x), finite and found.status in (0, 1)
    return Mode(theta, -float(found.fun), converged, int(found.nfev), curved, rows.n)


def on_more_rows(mode: Mode, rows: Data, scales: Hyperparameters, standing_for: int | None = None) -> Mode:
    """The mode given ``rows``, more of the same kind than the mode was found on: they tell as many times as much beside the prior.

    Where the rows are ``standing_for`` more of their kind, they tell as many times as much again. Newton steps with that curvature, which takes up what each new gradient says of it (BFGS: Nocedal and Wright, 2006, Numerical
    Optimization, eq. 6.19); a step that does not climb is cut to a third.
    """
    prior = np.diag(scales.prior_curvature(mode.theta))
    n = standing_for or rows.n
    curved = prior + (n / mode.n) * (mode.curved - prior)
    return replace(climb(mode.theta, curved, LogPosterior(rows, scales, n / rows.n)), n=n)


def climb(theta: Array, curved: Array, density: LogPosterior) -> Mode:
    """A few Newton steps from ``theta`` (size,) with a curvature that is only about right."""
    value, gradient = density(theta)
    curved, evaluations, share = positive(curved), 1, 1.0
    most = MODE.few_steps if density.n > MODE.many_rows else MODE.most_steps
    while evaluations < most:
        step = np.linalg.solve(curved, gradient)
        if step @ gradient < MODE.close:
            break
        share = min(share, MODE.longest_step / float(np.abs(step).max()))
        new = np.clip(theta + share * step, PRIORS.lowest, PRIORS.highest)
        new_value, new_gradient = density(new)
        evaluations += 1
        if np.isfinite(new_value):
            curved = updated(curved, new - theta, gradient - new_gradient)
        if new_value > value:
            theta, value, gradient, share = new, new_value, new_gradient, 1.0
        else:
            share /= 3.0
    return Mode(grained(theta), value, bool(np.isfinite(value)), evaluations, curved, density.n)


def grained(theta: Array) -> Array:
    """Log scales at the nearest multiples of the grain, far below what the data say of them.

    Examples
    --------
    >>> grained(np.array([0.5 + 1e-9])).tolist()
    [0.5]
    """
    return np.asarray(np.round(np.asarray(theta) / MODE.grain) * MODE.grain)


def positive(curved: Array) -> Array:
    """The curvature with its eigenvalues floored."""
    values, vectors = np.linalg.eigh((curved + curved.T) / 2.0)
    return np.asarray((vectors * np.maximum(values, FLOOR)) @ vectors.T)


def updated(curved: Array, step: Array, change: Array) -> Array:
    """A curvature that agrees with the change of the slope along a step, where the function is concave there.

    Examples
    --------
    >>> updated(np.eye(2), np.array([1.0, 0.0]), np.array([3.0, 0.0])).tolist()
    [[3.0, 0.0], [0.0, 1.0]]
    """
    along = float(step @ change)
    if along < 1e-10 * float(step @ step):
        return curved
    own = curved @ step
    return curved - np.outer(own, own) / float(step @ own) + np.outer(change, change) / along


def curvature(mode: Array, rows: Data, scales: Hyperparameters) -> Array:
    """Minus the Hessian of the log posterior at ``mode``, by differences of gradients, symmetric."""
    density = LogPosterior(rows, scales)
    here = density(mode)[1]
    hessian = (
        np.array([here - density(mode + MODE.difference_step * each)[1] for each in np.eye(len(mode))])
        / MODE.difference_step
    )
    return np.asarray((hessian + hessian.T) / 2)


@dataclass(frozen=True, eq=False)
class Laplace:
    """Normal approximation of the scales' posterior: ``theta = mode + root @ z``, z standard normal.

    Parameters
    ----------
    mode : Mode
    curved : array (size, size)
        Minus the Hessian of the log posterior.
    root : array (size, size)
        Root of its inverse, the eigenvalues floored.
    log_evidence : float
        Log marginal likelihood of the outcomes with the scales integrated out, by this approximation (Tierney and Kadane, 1986, JASA
        81(393)).
    """

    mode: Mode
    curved: Array
    root: Array
    log_evidence: float

    @classmethod
    def of(cls, mode: Mode, curved: Array) -> Laplace:
        """From a mode and the curvature there."""
        values, vectors = np.linalg.eigh(curved)
        floored = np.maximum(values, FLOOR)
        volume = 0.5 * (len(floored) * np.log(2 * np.pi) - np.log(floored).sum())
        root = (vectors / np.sqrt(floored)) @ vectors.T  # symmetric: it moves smoothly with the curvature
        return cls(mode, curved, root, mode.value + float(volume))

    @classmethod
    def at(cls, mode: Mode, rows: Data, scales: Hyperparameters) -> Laplace:
        """At a mode of the posterior given ``rows``."""
        return cls.of(mode, curvature(mode.theta, rows, scales))

    def on_more(self, rows: Data, scales: Hyperparameters, standing_for: int | None = None) -> Laplace:
        """On ``rows``, more of the same kind: they tell as many times as much beside the prior."""
        mode = on_more_rows(replace(self.mode, curved=self.curved), rows, scales, standing_for)
        return Laplace.of(mode, mode.curved)

    def at_normal(self, z: Array) -> Array:
        """Scales at standard normal coordinates."""
        return np.asarray(np.clip(self.mode.theta + self.root @ z, PRIORS.lowest, PRIORS.highest))

    def draw(self, n_draws: int, seed: int) -> tuple[Array, Array]:
        """Antithetic draws (n_draws, size) and their log density up to a constant (n_draws,)."""
        half = np.random.default_rng(seed).normal(size=((n_draws + 1) // 2, len(self.root)))
        normal = np.concatenate([half, -half])[:n_draws]
        return np.array([self.at_normal(z) for z in normal]), -0.5 * (normal**2).sum(1)


def importance_weights(log_target: Array, log_proposal: Array) -> Array:
    """Weights proportional to target over proposal, capped at sqrt(draws) times their mean, summing to one.

    Truncation: Ionides (2008), J. Computational and Graphical Statistics 17(2).

    Examples
    --------
    >>> importance_weights(np.zeros(4), np.zeros(4))
    array([0.25, 0.25, 0.25, 0.25])
    """
    ratio = log_target - log_proposal
    raw = np.exp(ratio - ratio.max())
    capped = np.minimum(raw, np.sqrt(len(raw)) * raw.mean())
    return np.asarray(capped / capped.sum())
