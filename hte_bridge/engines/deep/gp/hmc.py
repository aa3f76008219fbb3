"""Draws from the hyperparameters' posterior by Hamiltonian Monte Carlo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.covariance import Data
from hte_bridge.engines.deep.gp.hyperparameters import Hyperparameters
from hte_bridge.engines.deep.gp.laplace import MODE, Laplace, climb
from hte_bridge.engines.deep.gp.likelihood import LogPosterior
from hte_bridge.engines.deep.gp.sample import even_subset


@dataclass(frozen=True)
class HmcOptions:
    """The chain."""

    # in standard deviations of the normal approximation
    leap: float = 0.55
    # drawn for each trajectory: where the posterior is narrow a chain with one leap would be stuck
    share_of_leap: tuple[float, float] = (0.4, 1.1)
    # of a trajectory: the posterior has directions several times as wide as at its mode
    leaps: int = 5
    # trajectories
    warm_up: int = 6
    # share of trajectories taken, towards which the leap is adapted in the warm-up
    wanted_acceptance: float = 0.8
    # on which the chain runs, where there are more
    rows: int = 250
    # and at least this share of them
    share_of_rows: float = 0.125
    # nats per scale below the mode at which a chain does not begin
    furthest_start: float = 3.0


HMC = HmcOptions()


def hamiltonian(
    laplace: Laplace, rows: Data, scales: Hyperparameters, n_draws: int, seed: int
) -> tuple[Array, Array, float]:
    """Draws from the scales' posterior by Hamiltonian Monte Carlo in the coordinates of the normal approximation.

    It begins at a draw from that approximation, not at the mode, of which a short chain would keep the memory: the mode is at lengths that
    fit, and most of the posterior at longer ones. Trajectories are long enough to reach them (Neal, 2011, Handbook of Markov Chain Monte
    Carlo, ch. 5); the end of each is a draw.

    With many rows the chain runs on few of them, whose likelihood counts as many times as there are more (``few_rows``). What it
    says is the shape: a draw is as many of its standard deviations from its mode as the draw handed back is of those on all rows.

    Returns
    -------
    draws : array (n_draws, size)
    values : array (n_draws,)
        Log posterior there; that of the few rows where the chain ran on them.
    accepted : float
        Share of trajectories taken.
    """
    few = few_rows(rows, seed)
    density = LogPosterior(few, scales, rows.n / few.n)
    around = laplace
    if few.n < rows.n:
        mode = climb(laplace.mode.theta, laplace.curved, density)
        around = Laplace.of(mode, mode.curved)
    normal, values, accepted = chain(around, density, n_draws, seed)
    return np.array([laplace.at_normal(z) for z in normal]), values, accepted


def few_rows(rows: Data, seed: int) -> Data:
    """The rows of the chain: all, or an even subset of ``HMC.rows`` or, of more than eight times as many, an eighth."""
    most = max(HMC.rows, round(rows.n * HMC.share_of_rows))
    return rows if rows.n <= most else rows.take(torch.as_tensor(even_subset(rows.n, most, seed)))


def chain(
    laplace: Laplace, density: LogPosterior, n_draws: int, seed: int
) -> tuple[Array, Array, float]:
    """Draws (n_draws, size) in standard normal coordinates of the approximation, the log density there, and the share of trajectories taken."""
    rng = np.random.default_rng(seed)

    def at(z: Array) -> tuple[float, Array]:
        value, gradient = density(laplace.at_normal(z))
        return value, laplace.root.T @ gradient

    z = rng.normal(size=len(laplace.root))
    value, gradient = at(z)
    while (
        not value > laplace.mode.value - HMC.furthest_start * len(z)
        and np.abs(z).max() > MODE.difference_step
    ):
        z = 0.7 * z
        value, gradient = at(z)
    draws, values, accepted, size = [], [], 0, HMC.leap
    for k in range(HMC.warm_up + n_draws):
        momentum = rng.normal(size=len(z))
        leap = size * rng.uniform(*HMC.share_of_leap)
        new, new_value, new_gradient, speed = z, value, gradient, momentum
        for _ in range(HMC.leaps):
            speed = speed + 0.5 * leap * new_gradient
            new = new + leap * speed
            new_value, new_gradient = at(new)
            speed = speed + 0.5 * leap * new_gradient
        gain = float(new_value - 0.5 * speed @ speed - value + 0.5 * momentum @ momentum)
        chance = float(np.exp(min(gain, 0.0))) if np.isfinite(gain) else 0.0
        if k < HMC.warm_up:
            size = min(size * float(np.exp(0.5 * (chance - HMC.wanted_acceptance))), HMC.leap)
        if rng.random() < chance:
            z, value, gradient = new, new_value, new_gradient
            accepted += k >= HMC.warm_up
        if k >= HMC.warm_up:
            draws.append(z)
            values.append(value)
    return np.array(draws), np.array(values), accepted / n_draws
