"""Cross-sectional designs with a known effect, each from its paper.

Every function draws covariates, treatment and outcome from one generator seeded by ``seed``; the errors are
standard normal unless said. ``sigma`` scales them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import stats

from hte_bridge.arrays import Array
from hte_bridge.simulate.sample import CrossSection, draw


def steep(u: Array) -> Array:
    """1 + 1 / (1 + exp(-20 (u - 1/3))): the steep rise of Wager and Athey (2018), JASA 113(523), eq. 28."""
    return 1.0 + 1.0 / (1.0 + np.exp(-20.0 * (u - 1.0 / 3.0)))


def logistic(u: Array) -> Array:
    """1 / (1 + exp(-u))."""
    return 1.0 / (1.0 + np.exp(-u))


def wager_athey_28(n: int, *, seed: int, d: int = 6) -> CrossSection:
    """Steep effect in two of d uniform covariates, randomised, nothing else in the outcome.

    Wager and Athey (2018), JASA 113(523), eq. 28: tau = s(x1) s(x2), e = 1/2, m = 0.

    Examples
    --------
    >>> from hte_bridge.simulate import wager_athey_28
    >>> wager_athey_28(4, seed=1).covariates.shape
    (4, 6)
    """
    rng = np.random.default_rng(seed)
    x = rng.random((n, d))
    half = np.full(n, 0.5)
    tau = steep(x[:, 0]) * steep(x[:, 1])
    return draw("wager_athey_28", rng, x, base=np.zeros(n), cate=tau, propensity=half, centre=0.5)


def grf_table1(
    n: int, *, seed: int, p: int = 10, confounded: bool = True, heterogeneous: bool = True
) -> CrossSection:
    """Four cells, confounding by heterogeneity, of Athey, Tibshirani and Wager (2019), Annals 47(2), table 1.

    e = (1 + dbeta(x3; 2, 4)) / 4 and m = 2 x3 - 1 where confounded, else 1/2 and 0; tau = s(x1) s(x2) or 0.

    Examples
    --------
    >>> from hte_bridge.simulate import grf_table1
    >>> float(grf_table1(5, seed=1, heterogeneous=False).cate.sum())
    0.0
    """
    rng = np.random.default_rng(seed)
    x = rng.random((n, p))
    propensity = (1 + stats.beta.pdf(x[:, 2], 2, 4)) / 4 if confounded else np.full(n, 0.5)
    base = 2 * x[:, 2] - 1 if confounded else np.zeros(n)
    tau = steep(x[:, 0]) * steep(x[:, 1]) if heterogeneous else np.zeros(n)
    name = f"grf_table1_{'confounded' if confounded else 'random'}_{'het' if heterogeneous else 'zero'}"
    # m is the outcome's mean given x, so that the treatment enters centred at e
    return draw(name, rng, x, base=base, cate=tau, propensity=propensity, centre=propensity)


def grf_table3(n: int, *, seed: int, k: int = 4, p: int = 12, additive: bool = True) -> CrossSection:
    """Hinges in k normal covariates, randomised, with a nuisance in the next two.

    Athey, Tibshirani and Wager (2019), Annals 47(2), table 3, without its instrument: tau is the sum of max(0, xj) over j <= k
    (``additive``) or max(0, sum of xj); mu the same shape in the next two covariates.

    Examples
    --------
    >>> from hte_bridge.simulate import grf_table3
    >>> grf_table3(3, seed=1, p=6).covariates.shape
    (3, 6)
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))

    def shape(columns: Array) -> Array:
        hinged = np.maximum(0, columns).sum(1) if additive else np.maximum(0, columns.sum(1))
        return np.asarray(hinged, dtype=np.float64)

    name = f"grf_table3_{'additive' if additive else 'joint'}"
    half = np.full(n, 0.5)
    return draw(name, rng, x, base=shape(x[:, k : k + 2]), cate=shape(x[:, :k]), propensity=half, centre=0.5)


def nie_wager(
    n: int, *, seed: int, setup: Literal["A", "B", "C", "D"] = "A", d: int = 12, sigma: float = 1.0
) -> CrossSection:
    """Set-ups A to D of Nie and Wager (2021), Biometrika 108(2), section 6: Y = b + (W - 1/2) tau + sigma error.

    A has a hard baseline and an easy effect, B is randomised, C has confounding and a constant effect, D unrelated arms.

    Examples
    --------
    >>> from hte_bridge.simulate import nie_wager
    >>> nie_wager(2, seed=1, setup="C").cate.tolist()
    [1.0, 1.0]
    """
    rng = np.random.default_rng(seed)
    x = rng.random((n, d)) if setup == "A" else rng.normal(size=(n, d))
    x1, x2, x3, x4, x5 = x.T[:5]
    three, two = x1 + x2 + x3, x4 + x5
    if setup == "A":
        wave = np.sin(np.pi * x1 * x2)
        base, e, tau = wave + 2 * (x3 - 0.5) ** 2 + x4 + 0.5 * x5, np.clip(wave, 0.1, 0.9), (x1 + x2) / 2
    elif setup == "B":
        base = np.maximum(np.maximum(0, x1 + x2), x3) + np.maximum(0, two)
        e, tau = np.full(n, 0.5), x1 + np.log1p(np.exp(x2))
    elif setup == "C":
        base, e, tau = 2 * np.log1p(np.exp(three)), logistic(-(x2 + x3)), np.ones(n)
    else:
        base, e = (np.maximum(three, 0) + np.maximum(two, 0)) / 2, 1 / (1 + np.exp(-x1) + np.exp(-x2))
        tau = np.maximum(three, 0) - np.maximum(two, 0)
    return draw(f"nie_wager_{setup}", rng, x, base=base, cate=tau, propensity=e, centre=0.5, noise=sigma)


def hahn_murray_carvalho(
    n: int, *, seed: int, nonlinear: bool = True, heterogeneous: bool = True
) -> CrossSection:
    """Targeted selection, three normal covariates, one binary and one of three levels, handed over as 1, 2, 3.

    Hahn, Murray and Carvalho (2020), Bayesian Analysis 15(3), section 6: tau = 3 or 1 + 2 x2 b; mu = 1 + g + x1 x3
    or -6 + g + 6 abs(x3 - 1); e = .8 Phi(3 mu / sd(mu) - .5 x1) + .05 + U / 10, U uniform.

    Examples
    --------
    >>> from hte_bridge.simulate import hahn_murray_carvalho
    >>> hahn_murray_carvalho(4, seed=1).covariates.shape
    (4, 5)
    """
    rng = np.random.default_rng(seed)
    x, binary, level = rng.normal(size=(n, 3)), (rng.random(n) < 0.5) * 1.0, rng.integers(0, 3, size=n)
    group = np.array([2.0, -1.0, -4.0])[level]
    mu = -6 + group + 6 * np.abs(x[:, 2] - 1) if nonlinear else 1 + group + x[:, 0] * x[:, 2]
    tau = 1 + 2 * x[:, 1] * binary if heterogeneous else np.full(n, 3.0)
    sd = _hahn_sd(nonlinear)
    e = 0.8 * stats.norm.cdf(3 * mu / sd - 0.5 * x[:, 0]) + 0.05 + rng.random(n) / 10
    covariates = np.column_stack([x, binary, level + 1.0])
    name = f"hahn_{'nonlinear' if nonlinear else 'linear'}_{'het' if heterogeneous else 'constant'}"
    return draw(name, rng, covariates, base=mu, cate=tau, propensity=e, centre=0.0)


def _hahn_sd(nonlinear: bool) -> float:
    """sd of mu in the population: the group's variance plus that of 6 abs(x3 - 1), or of x1 x3."""
    group = np.var([2.0, -1.0, -4.0])
    folded = 1 + 1 - (2 * stats.norm.pdf(1) + (2 * stats.norm.cdf(1) - 1)) ** 2  # Var |N(1, 1)|
    return float(np.sqrt(group + (36 * folded if nonlinear else 1.0)))


def dense(n: int, *, seed: int, p: int = 10, constant: bool = False) -> CrossSection:
    """Effect along one direction in which every covariate has the same weight; ours, made to defeat sparsity.

    u = sum_j (-1)^j xj / sqrt(p) (j from 0), e = logistic(x1 / 2), tau = 1 + u + sin(2u) / 2 (or 1),
    Y = x1 + cos(x2) x3 + (W - e) tau + error, X ~ N(0, I).

    Examples
    --------
    >>> from hte_bridge.simulate import dense
    >>> dense(4, seed=1, p=3).covariates.shape
    (4, 3)
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    u = x @ ((-1.0) ** np.arange(p)) / np.sqrt(p)
    e = logistic(0.5 * x[:, 0])
    tau = np.ones(n) if constant else 1 + u + 0.5 * np.sin(2 * u)
    base = x[:, 0] + np.cos(x[:, 1 % p]) * x[:, 2 % p]
    name = "dense_constant" if constant else "dense"
    return draw(name, rng, x, base=base, cate=tau, propensity=e, centre=e)


def farrell_liang_misra(
    n: int = 10_000,
    *,
    seed: int,
    d: int = 100,
    nonlinear: bool = True,
    observational: bool = True,
    coefficients: int = 2021,
) -> CrossSection:
    """Many uniform covariates, linear or quadratic in all pairs; the ATE is the target.

    Farrell, Liang and Misra (2021), Econometrica 89(1), section 6: 20 slopes U(-.55, .55) in a logistic propensity; linear coefficients
    mu ~ N(.3, .7), tau ~ U(.1, .22); quadratic ones mu ~ N(.01, .3), tau ~ U(-.05, .06), over all pairs. They are drawn once, from the seed
    ``coefficients``, and stay the same from draw to draw.

    Examples
    --------
    >>> from hte_bridge.simulate import farrell_liang_misra
    >>> farrell_liang_misra(5, seed=1, d=20).covariates.shape
    (5, 20)
    """
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(coefficients)
    x = rng.random((n, d))
    slopes = fixed.uniform(-0.55, 0.55, size=20)
    mu1, tau1 = fixed.normal(0.3, 0.7, size=d), fixed.uniform(0.1, 0.22, size=d)
    base, tau = x @ mu1, x @ tau1
    e = logistic(x[:, :20] @ slopes) if observational else np.full(n, 0.5)
    if nonlinear:
        pairs = d * (d + 1) // 2
        upper = np.triu_indices(d)
        for surface, weights in (
            (base, fixed.normal(0.01, 0.3, size=pairs)),
            (tau, fixed.uniform(-0.05, 0.06, size=pairs)),
        ):
            form = np.zeros((d, d))
            form[upper] = weights
            surface += np.einsum("ij,jk,ik->i", x, form, x, optimize=True)
    name = f"farrell_{'nonlinear' if nonlinear else 'linear'}_d{d}"
    return draw(name, rng, x, base=base, cate=tau, propensity=e, centre=0.0, experiment=not observational)


def doubleml_heterogeneous(n: int = 500, *, seed: int) -> CrossSection:
    """One covariate carries the effect exp(2 x1) + 3 sin(4 x1); five others the outcome and the propensity.

    ``make_heterogeneous_data`` of DoubleML (Bach et al., 2024, J. Statistical Software 108(3)), after EconML's notebooks: X ~ U[0, 1]^10,
    errors U[-1, 1], treatment where a linear index passes a uniform threshold.

    Examples
    --------
    >>> from hte_bridge.simulate import doubleml_heterogeneous
    >>> doubleml_heterogeneous(4, seed=1).covariates.shape
    (4, 10)
    """
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(2024)
    x = rng.random((n, 10))
    active = fixed.choice(10, size=5, replace=False)
    outcome_slopes, treatment_slopes = fixed.random(5), fixed.random(5)
    index = x[:, active] @ treatment_slopes
    tau = np.exp(2 * x[:, 0]) + 3 * np.sin(4 * x[:, 0])
    # T = 1(index >= U[-1, 1] + mean index): with probability (index - mean + 1) / 2
    e = np.clip((index - treatment_slopes.sum() / 2 + 1) / 2, 0.0, 1.0)
    errors = rng.uniform(-1, 1, size=n)
    base = x[:, active] @ outcome_slopes
    return draw("doubleml_heterogeneous", rng, x, base=base, cate=tau, propensity=e, centre=0.0, noise=errors)


def athey_imbens(n: int = 500, *, seed: int, design: Literal[1, 2, 3] = 1) -> CrossSection:
    """Randomised, with 2, 10 or 20 normal covariates; the effect is linear or hinged.

    Athey and Imbens (2016), PNAS 113(27), section on simulations: Y = eta + (2W - 1) kappa / 2 + .1 error. Design 1: eta = x1 / 2 + x2,
    kappa = x1 / 2. Design 2: eta = (x1 + x2) / 2 + sum of x3..x6, kappa = sum of max(0, xk) over k = 1, 2. Design 3: eta = sum of
    x1..x4 / 2 + sum of x5..x8, kappa = sum of max(0, xk) over k = 1..4.

    Examples
    --------
    >>> from hte_bridge.simulate import athey_imbens
    >>> athey_imbens(4, seed=1, design=2).covariates.shape
    (4, 10)
    """
    rng = np.random.default_rng(seed)
    p, modifiers, predictors = {1: (2, 1, 1), 2: (10, 2, 4), 3: (20, 4, 4)}[design]
    x = rng.normal(size=(n, p))
    head = x[:, :modifiers]
    base = head.sum(1) / 2 + x[:, modifiers : modifiers + predictors].sum(1)
    tau = head[:, 0] / 2 if design == 1 else np.maximum(0, head).sum(1)
    half = np.full(n, 0.5)
    name = f"athey_imbens_{design}"
    return draw(name, rng, x, base=base, cate=tau, propensity=half, centre=0.5, noise=0.1, experiment=True)


def clustered(
    n: int = 800, *, seed: int, n_clusters: int = 40, intra: float = 0.2, p: int = 5, constant: bool = False
) -> CrossSection:
    """Errors that share a part within each cluster; ours, in the manner of the cluster examples of Athey and Wager (2019).

    Athey and Wager (2019), Observational Studies 5(2), treat schools as clusters of correlated errors. Here
    tau = 1 + x1 + max(0, x2) (or 1), x1 constant within clusters, e = logistic(x3 / 2), Y = x1 + x3 + (W - 1/2) tau +
    sqrt(intra) shared + sqrt(1 - intra) own error.

    Examples
    --------
    >>> from hte_bridge.simulate import clustered
    >>> len(set(clustered(80, seed=1).cluster))
    40
    """
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) % n_clusters
    x = rng.normal(size=(n, p))
    x[:, 0] = rng.normal(size=n_clusters)[cluster]
    errors = np.sqrt(intra) * rng.normal(size=n_clusters)[cluster] + np.sqrt(1 - intra) * rng.normal(size=n)
    tau = np.ones(n) if constant else 1 + x[:, 0] + np.maximum(0, x[:, 1])
    name = "clustered_constant" if constant else "clustered"
    base, e = x[:, 0] + x[:, 2], logistic(0.5 * x[:, 2])
    return draw(
        name,
        rng,
        x,
        base=base,
        cate=tau,
        propensity=e,
        centre=0.5,
        noise=errors,
        cluster=cluster.astype(np.int64),
    )


def villages(
    n: int = 800, *, seed: int, n_clusters: int = 40, intra: float = 0.2, p: int = 5
) -> CrossSection:
    """An experiment that treats half of the villages, whose people have something in common; ours.

    x1 is constant within a village, tau = 1/2 + x2 / 2 + .4 x1, Y = x1 + x3 + W tau + sqrt(intra) shared + sqrt(1 - intra) own error.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.simulate import villages
    >>> draw = villages(80, seed=1)
    >>> [float(np.ptp(draw.treatment[draw.cluster == k])) for k in range(3)]
    [0.0, 0.0, 0.0]
    """
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) % n_clusters
    x = rng.normal(size=(n, p))
    x[:, 0] = rng.normal(size=n_clusters)[cluster]
    treated = (rng.permutation(n_clusters) < n_clusters // 2)[cluster]
    errors = np.sqrt(intra) * rng.normal(size=n_clusters)[cluster] + np.sqrt(1 - intra) * rng.normal(size=n)
    tau, base = 0.5 + 0.5 * x[:, 1] + 0.4 * x[:, 0], x[:, 0] + x[:, 2]
    return CrossSection(
        name="villages",
        covariates=x,
        treatment=treated.astype(np.float64),
        outcome=base + treated * tau + errors,
        cate=tau,
        propensity=np.full(n, 0.5),
        outcome_mean=base + 0.5 * tau,
        cluster=cluster.astype(np.int64),
        experiment=True,
    )


def uneven_errors(
    n: int = 500, *, seed: int, by: Literal["treatment", "covariate"] = "treatment", p: int = 6
) -> CrossSection:
    """Units whose outcomes vary more than others'; ours, as in most data on incomes, spending or sales.

    tau(x) = (1 + x1 + 1{x2 > 0}) / 2, e = logistic(x1 / 2), Y = x1 + |x2| + W (tau + own effect) + error. By treatment: own effects have sd
    3/2 and errors sd one, so that treated units vary more. By covariate: no own effects, and errors of sd exp(.7 x3), scaled to one.

    Examples
    --------
    >>> from hte_bridge.simulate import uneven_errors
    >>> uneven_errors(80, seed=1).covariates.shape
    (80, 6)
    """
    rng = np.random.default_rng(seed)
    x, own, errors = rng.normal(size=(n, p)), rng.normal(size=n), rng.normal(size=n)
    tau, e = 0.5 * (1 + x[:, 0] + (x[:, 1] > 0)), logistic(0.5 * x[:, 0])
    treated = rng.random(n) < e
    if by == "treatment":
        errors = errors + 1.5 * treated * own
    else:
        errors = errors * np.exp(0.7 * x[:, 2] - 0.49)  # E exp(1.4 x) = exp(.98)
    base = x[:, 0] + np.abs(x[:, 1])
    return CrossSection(
        name=f"uneven_{by}",
        covariates=x,
        treatment=treated.astype(np.float64),
        outcome=base + treated * tau + errors,
        cate=tau,
        propensity=e,
        outcome_mean=base + e * tau,
    )


def long_tails(
    n: int = 500, *, seed: int, errors: Literal["few", "student"] = "few", p: int = 6
) -> CrossSection:
    """Outcomes far from all others, as single firms, estates or hospital bills are; ours.

    tau(x) = 1 + x1, e = logistic(x1 / 2), Y = x2 + W tau + error. Few: one error in a hundred has an sd of 20, the others of one. Student:
    errors have Student's t with three degrees of freedom.

    Examples
    --------
    >>> from hte_bridge.simulate import long_tails
    >>> long_tails(80, seed=1).covariates.shape
    (80, 6)
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    if errors == "few":
        noise = np.where(rng.random(n) < 0.01, 20.0, 1.0) * rng.normal(size=n)
    else:
        noise = rng.standard_t(3, size=n)
    tau, e, name = 1.0 + x[:, 0], logistic(0.5 * x[:, 0]), f"long_tails_{errors}"
    return draw(name, rng, x, base=x[:, 1], cate=tau, propensity=e, centre=0.0, noise=noise)
