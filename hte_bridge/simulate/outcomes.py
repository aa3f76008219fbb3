"""Cross-sections whose outcome is not a mean plus a normal error, and one whose treatment is a dose; ours."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hte_bridge.simulate.cross_section import logistic
from hte_bridge.simulate.sample import CrossSection

RARE, COMMON = -3.0, -0.5  # log odds of an event at x = 0 without treatment
AMOUNT_SD = 0.6  # of the log of an amount, given covariates and treatment


def limited(
    n: int = 500, *, seed: int, outcome: Literal["rare", "common", "count", "amount"] = "rare", p: int = 6
) -> CrossSection:
    """Events, counts and amounts: outcomes whose errors vary with their level, and whose effect is a shift in odds or of so many per cent.

    e = logistic(x1 / 2 - x4 / 4). Events: log odds -3 (rare, one unit in ten) or -1/2 (common) + .8 x1 + x2 / 2 + W (1/2 + .6 x3). Counts:
    Poisson, log mean .3 + .4 x1 + W (.3 + .3 x2). Amounts: log-normal, log mean 1 + x1 / 2 + .3 x2 + W (1 + tanh x3) / 5, sd of logs .6.
    The effect tau(x) is that on the outcome's mean, not on odds or logs.

    Examples
    --------
    >>> from hte_bridge.simulate import limited
    >>> limited(1_000, seed=1).outcome.mean().round(2), limited(4, seed=1, outcome="count").outcome.tolist()
    (np.float64(0.1), [0.0, 2.0, 2.0, 1.0])
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    e = logistic(0.5 * x[:, 0] - 0.25 * x[:, 3])
    treated = rng.random(n) < e
    if outcome in ("rare", "common"):
        line = (RARE if outcome == "rare" else COMMON) + 0.8 * x[:, 0] + 0.5 * x[:, 1]
        without, treated_mean = logistic(line), logistic(line + 0.5 + 0.6 * x[:, 2])
    elif outcome == "count":
        without = np.exp(0.3 + 0.4 * x[:, 0])
        treated_mean = without * np.exp(0.3 + 0.3 * x[:, 1])
    else:
        without = np.exp(1.0 + 0.5 * x[:, 0] + 0.3 * x[:, 1])
        treated_mean = without * np.exp(0.2 + 0.2 * np.tanh(x[:, 2]))
    mean = np.where(treated, treated_mean, without)
    if outcome == "count":
        y = rng.poisson(mean).astype(np.float64)
    elif outcome == "amount":
        y = mean * np.exp(AMOUNT_SD * rng.normal(size=n) - AMOUNT_SD**2 / 2.0)
    else:
        y = (rng.random(n) < mean).astype(np.float64)
    tau = treated_mean - without
    return CrossSection(f"limited_{outcome}", x, treated.astype(np.float64), y, tau, e, without + e * tau)


def dose(n: int = 500, *, seed: int, p: int = 6) -> CrossSection:
    """A continuous treatment, confounded, whose effect per unit varies.

    E[T | x] = .7 x1 + sin(2 x4) / 2, T normal about it with sd one; tau(x) = 1/2 + tanh(2 x1) / 2 + .3 x2,
    Y = sin(2 x1) + x3 / 2 + T tau + error.

    Examples
    --------
    >>> from hte_bridge.simulate import dose
    >>> dose(3, seed=1).treatment.round(1).tolist()
    [-0.3, 1.2, 1.0]
    """
    rng = np.random.default_rng(seed)
    x, errors, moved = rng.normal(size=(n, p)), rng.normal(size=n), rng.normal(size=n)
    e = 0.7 * x[:, 0] + 0.5 * np.sin(2.0 * x[:, 3])
    tau = 0.5 + 0.5 * np.tanh(2.0 * x[:, 0]) + 0.3 * x[:, 1]
    base = np.sin(2.0 * x[:, 0]) + 0.5 * x[:, 2]
    return CrossSection("dose", x, e + moved, base + (e + moved) * tau + errors, tau, e, base + e * tau)
