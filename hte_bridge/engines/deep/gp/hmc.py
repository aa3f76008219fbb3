"""Draws from the hyperparameters' posterior by Hamiltonian Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable
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
    leap: float = 0.5
    # drawn for each trajectory: where the posterior is narrow a chain with one leap would be stuck
    share_of_leap: tuple[float, float] = (0.4, 1.1)
    # of a trajectory: the posterior has directions several times as wide as at its mode
    leaps: int = 4
    # trajectories
    warm_up: int = 4
    # share of trajectories taken, towards which the leap is adapted in the warm-up
    wanted_acceptance: float = 0.8
    # on which trajectories run, where there are more
    rows: int = 500
    # and at least this share of them
    share_of_rows: float = 0.125
    # nats per scale below the mode at which a chain does not begin
    furthest_start: float = 3.0


HMC = HmcOptions()


@dataclass(frozen=True, eq=False)
class Chain:
    """Where a chain stands.

    Parameters
    ----------
    z : array (size,)
        In standard normal coordinates of the approximation.
    value, gradient : float, array (size,)
        Log posterior there, and its slope.
    """

    z: Array
    value: float
    gradient: Array


def hamiltonian(
    laplace: Laplace,
    rows: Data,
    scales: Hyperparameters,
    n_draws: int,
    seed: int,
    exact: Callable[[Array], float] | None = None,
    standing_for: int | None = None,
) -> Array:
    """Draws (n_draws, size) from the scales' posterior by Hamiltonian Monte Carlo in the coordinates of the normal approximation.

    It begins at a draw from that approximation, not at the mode, of which a short chain would keep the memory: the mode is at lengths that
    fit, and most of the posterior at longer ones. Trajectories are long enough to reach them (Neal, 2011, Handbook of Markov Chain Monte
    Carlo, ch. 5); the end of each is a draw.

    With many rows trajectories run on few of them, whose likelihood counts as many times as there are more; a point there is as many
    standard deviations from their mode as the scales that it stands for are from that on all rows. Where one ends is then taken or not by
    the posterior on all rows, one factor each, so that what is drawn is that (surrogate transitions: Liu, 2001, Monte Carlo Strategies in
    Scientific Computing, section 9.4.3).

    Parameters
    ----------
    exact : callable, optional
        Log posterior on all rows, up to a constant, of scales; by default it is evaluated.
    standing_for : int, optional
        How many rows there are, where ``rows`` are some of them.
    """
    few, n = few_rows(rows, seed), standing_for or rows.n
    density, around, on_all = LogPosterior(few, scales, n / few.n), laplace, None
    if few.n < n:
        mode = climb(laplace.mode.theta, laplace.curved, density)
        around = Laplace.of(mode, mode.curved)
        on_all = exact or LogPosterior(rows, scales).value
    rng = np.random.default_rng(seed)
    at = begun(around, density, rng)
    at, leap, _ = walked(at, around, density, HMC.warm_up, HMC.leap, rng, adapt=True)
    draws, whole = [], 0.0 if on_all is None else on_all(laplace.at_normal(at.z))
    for _ in range(n_draws):
        new, leap, moved = walked(at, around, density, 1, leap, rng)
        if moved and on_all is not None:
            there = on_all(laplace.at_normal(new.z))
            moved = taken(there - whole - new.value + at.value, rng)
            whole = there if moved else whole
        at = new if moved else at
        draws.append(laplace.at_normal(at.z))
    return np.array(draws)


def few_rows(rows: Data, seed: int) -> Data:
    """The rows of the trajectories: all, or an even subset of ``HMC.rows`` or, of more than eight times as many, an eighth."""
    most = max(HMC.rows, round(rows.n * HMC.share_of_rows))
    return rows if rows.n <= most else rows.take(torch.as_tensor(even_subset(rows.n, most, seed)))


def begun(laplace: Laplace, density: LogPosterior, rng: np.random.Generator) -> Chain:
    """A draw from the normal approximation, drawn in where the posterior has none of it."""
    z = rng.normal(size=len(laplace.root))
    at = seen(z, laplace, density)
    while (
        not at.value > laplace.mode.value - HMC.furthest_start * len(z)
        and np.abs(at.z).max() > MODE.difference_step
    ):
        at = seen(0.7 * at.z, laplace, density)
    return at


def seen(z: Array, laplace: Laplace, density: LogPosterior) -> Chain:
    """The log posterior and its slope at standard normal coordinates."""
    value, gradient = density(laplace.at_normal(z))
    return Chain(z, value, laplace.root.T @ gradient)


def taken(gain: float, rng: np.random.Generator) -> bool:
    """Whether a step that gains so many nats is taken (Metropolis et al., 1953)."""
    return bool(rng.random() < (np.exp(min(gain, 0.0)) if np.isfinite(gain) else 0.0))


def walked(
    at: Chain,
    laplace: Laplace,
    density: LogPosterior,
    count: int,
    leap: float,
    rng: np.random.Generator,
    *,
    adapt: bool = False,
) -> tuple[Chain, float, bool]:
    """Where the chain stands after some trajectories, the leap then, and whether the last was taken."""
    moved = False
    for _ in range(count):
        momentum = rng.normal(size=len(at.z))
        own = leap * rng.uniform(*HMC.share_of_leap)
        new, speed = at, momentum
        for _ in range(HMC.leaps):
            speed = speed + 0.5 * own * new.gradient
            new = seen(new.z + own * speed, laplace, density)
            speed = speed + 0.5 * own * new.gradient
        gain = float(new.value - 0.5 * speed @ speed - at.value + 0.5 * momentum @ momentum)
        if adapt:
            chance = float(np.exp(min(gain, 0.0))) if np.isfinite(gain) else 0.0
            leap = min(leap * float(np.exp(0.5 * (chance - HMC.wanted_acceptance))), HMC.leap)
        moved = taken(gain, rng)
        at = new if moved else at
    return at, leap, moved
