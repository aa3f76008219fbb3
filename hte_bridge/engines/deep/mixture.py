"""The scales' posterior: its mode, and weighted draws about it over which the fit is mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import optimize

from hte_bridge.engines.deep.kernel import Rows, log_posterior
from hte_bridge.engines.deep.scales import HIGHEST, LOWEST, Array, Scales

STEP = 1e-3  # of the differences of gradients, in log scales
FLOOR = 0.25  # of the Hessian's eigenvalues: a draw's sd is at most 2 in log scale


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
    """

    theta: Array
    value: float
    converged: bool
    evaluations: int


def find_mode(rows: Rows, scales: Scales, start: Array | None = None, max_steps: int = 200) -> Mode:
    """Climb the log posterior by L-BFGS-B with analytic gradients."""

    def objective(theta: Array) -> tuple[float, Array]:
        value, gradient = log_posterior(torch.as_tensor(theta, device=rows.x.device), rows, scales)
        if not np.isfinite(value):
            return 1e10, np.zeros_like(theta)
        return -value, -gradient.cpu().numpy()

    found: Any = optimize.minimize(
        objective,
        scales.start() if start is None else start,
        jac=True,
        method="L-BFGS-B",
        bounds=scales.bounds(),
        options={"maxiter": max_steps, "ftol": 1e-9, "gtol": 1e-4, "maxcor": 20},
    )
    finite = bool(np.isfinite(found.fun) and found.fun < 1e9)
    return Mode(np.asarray(found.x), -float(found.fun), finite and found.status in (0, 1), int(found.nfev))


def curvature(mode: Array, rows: Rows, scales: Scales) -> Array:
    """Minus the Hessian of the log posterior at ``mode``, by central differences of gradients, symmetric."""
    columns = []
    for j in range(len(mode)):
        ends = []
        for sign in (1.0, -1.0):
            theta = torch.as_tensor(mode.copy(), device=rows.x.device)
            theta[j] += sign * STEP
            ends.append(log_posterior(theta, rows, scales)[1].cpu().numpy())
        columns.append((ends[1] - ends[0]) / (2 * STEP))
    hessian = np.array(columns)
    return np.asarray((hessian + hessian.T) / 2)


@dataclass(frozen=True, eq=False)
class Laplace:
    """Normal approximation of the scales' posterior: ``theta = mode + root @ z``, z standard normal."""

    mode: Array
    root: Array  # (size, size)

    @classmethod
    def at(cls, mode: Array, rows: Rows, scales: Scales) -> Laplace:
        """From the curvature at the mode, its eigenvalues floored."""
        values, vectors = np.linalg.eigh(curvature(mode, rows, scales))
        return cls(mode, vectors / np.sqrt(np.maximum(values, FLOOR)))

    def draw(self, n_draws: int, seed: int) -> tuple[Array, Array]:
        """Antithetic draws (n_draws, size) and their log density up to a constant (n_draws,)."""
        half = np.random.default_rng(seed).normal(size=((n_draws + 1) // 2, len(self.mode)))
        normal = np.concatenate([half, -half])[:n_draws]
        draws = self.mode + normal @ self.root.T
        return np.clip(draws, LOWEST, HIGHEST), -0.5 * (normal**2).sum(1)


def importance(log_target: Array, log_proposal: Array) -> Array:
    """Weights proportional to target over proposal, capped at sqrt(draws) times their mean, summing to one.

    Truncation: Ionides (2008), J. Computational and Graphical Statistics 17(2).

    Examples
    --------
    >>> importance(np.zeros(4), np.zeros(4))
    array([0.25, 0.25, 0.25, 0.25])
    """
    ratio = log_target - log_proposal
    raw = np.exp(ratio - ratio.max())
    capped = np.minimum(raw, np.sqrt(len(raw)) * raw.mean())
    return np.asarray(capped / capped.sum())


def effective(weights: Array) -> float:
    """Effective number of draws behind normalised weights (Kong, 1992)."""
    return float(1.0 / (weights**2).sum())
