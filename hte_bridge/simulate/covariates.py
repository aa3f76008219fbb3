"""Cross-sections whose covariates are not drawn from one continuous distribution; ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hte_bridge.simulate.cross_section import logistic
from hte_bridge.simulate.sample import CrossSection, draw


def survey(n: int = 500, *, seed: int) -> CrossSection:
    """Covariates as a household survey has them, whole numbers all: three dummies, a five-point scale, a count and an age; ours.

    tau(x) = 1/2 + 3/2 x1 x2, for those who have both of two traits; e = logistic(.6 (x1 - 1/2) + .02 (age - 42)),
    Y = x4 / 2 + .8 x3 - .001 (age - 42)^2 + W tau + error.

    Examples
    --------
    >>> from hte_bridge.simulate import survey
    >>> survey(3, seed=1).covariates[0].tolist()
    [0.0, 0.0, 1.0, 1.0, 1.0, 54.0]
    """
    rng = np.random.default_rng(seed)
    dummies = rng.random((n, 3)) < np.array([0.5, 0.4, 0.2])
    scale, count, age = rng.integers(1, 6, n), rng.poisson(1.5, n), rng.integers(18, 66, n)
    x = np.column_stack([dummies, scale, count, age]).astype(np.float64)
    years = x[:, 5] - 42.0
    tau, e = 0.5 + 1.5 * x[:, 0] * x[:, 1], logistic(0.6 * (x[:, 0] - 0.5) + 0.02 * years)
    base = 0.5 * x[:, 3] + 0.8 * x[:, 2] - 0.001 * years**2
    return draw("survey", rng, x, base=base, cate=tau, propensity=e, centre=0.0)


def regions(n: int = 500, *, seed: int, n_levels: int = 12) -> CrossSection:
    """A category whose levels differ in outcome, treated share and effect, as regions, industries and occupations do.

    x1 is the level, x2 to x5 are normal. With a_l ~ N(0, 1) and b_l ~ N(0, .8^2), drawn once and the same from draw to draw: tau(x) = 1 + b_l +
    .4 x3, e = logistic(.4 x2 + .4 a_l), Y = x2 + a_l + W tau + error.

    Examples
    --------
    >>> from hte_bridge.simulate import regions
    >>> regions(3, seed=1).frame()["x1"].tolist()
    ['level 5', 'level 6', 'level 9']
    """
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(2026)
    level, x = rng.integers(0, n_levels, size=n), rng.normal(size=(n, 4))
    own, effect = fixed.normal(size=n_levels), 0.8 * fixed.normal(size=n_levels)
    tau, e = 1 + effect[level] + 0.4 * x[:, 1], logistic(0.4 * x[:, 0] + 0.4 * own[level])
    columns = np.column_stack([level, x])
    made = draw("regions", rng, columns, base=x[:, 0] + own[level], cate=tau, propensity=e, centre=0.0)
    return replace(made, categories=(0,))


def incomes(n: int = 500, *, seed: int) -> CrossSection:
    """Three covariates with long tails, as incomes have, whose logarithms count.

    x1, x2, x3 = exp(5 + 1.2 z) with z1, ..., z6 ~ N(0, 1), x4 to x6 = z4 to z6: tau = 1 + .7 z1, e = logistic(z1 / 2), Y = z2 + W tau + error.

    Examples
    --------
    >>> from hte_bridge.simulate import incomes
    >>> incomes(1_000, seed=1).covariates[:, 0].max().round()
    np.float64(6439.0)
    """
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 6))
    x = np.column_stack([np.exp(5 + 1.2 * z[:, :3]), z[:, 3:]])
    tau, e = 1 + 0.7 * z[:, 0], logistic(0.5 * z[:, 0])
    return draw("incomes", rng, x, base=z[:, 1], cate=tau, propensity=e, centre=0.0)
