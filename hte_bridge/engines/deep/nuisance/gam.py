"""A sum of functions of one covariate each, as a candidate for a nuisance: where rows are many, what a line misses and a network may not find.

Each covariate has a variance of its own, so that those that do not matter cost nothing (automatic relevance determination: MacKay, 1992; Tipping,
2001, JMLR 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hte_bridge.arrays import Array, slices
from hte_bridge.engines.deep.basis.features import Basis, Block, knots
from hte_bridge.engines.deep.basis.problem import Problem
from hte_bridge.engines.deep.basis.variance_components import variance_components
from hte_bridge.engines.deep.nuisance.networks import Predict
from hte_bridge.engines.deep.nuisance.scaler import Scaler


@dataclass(frozen=True)
class CurveOptions:
    """How fine curves of one covariate are."""

    # of a covariate with many values
    bins: int = 12
    # steps of arithmetic above which bins are fewer: some ten seconds on one core
    most_work: float = 3e11


CURVES = CurveOptions()

CHUNK = 8_192  # rows at a time, so that memory does not grow with them


def bins(n: int, p: int) -> int:
    """Bins of each of p covariates for which n rows take no more than ``CURVES.most_work``; two at least, less would be a line.

    Examples
    --------
    >>> bins(5_000, 10), bins(1_000_000, 60)
    (12, 8)
    """
    return int(np.clip(np.sqrt(CURVES.most_work / n) / p - 1, 2, CURVES.bins))


def gam(x: Array, y: Array, weight: Array, seed: int, before: Mapping[str, Predict]) -> Predict:
    """Lines and piecewise-linear curves of each covariate, one variance for the lines and one for each curve, by the marginal likelihood.

    Examples
    --------
    >>> x = np.random.default_rng(1).uniform(-1, 1, size=(4_000, 3))
    >>> curve = gam(x, x[:, 0] ** 2, np.ones(4_000), 1, {})
    >>> bool(np.abs(curve(x) - x[:, 0] ** 2).max() < 0.02)
    True
    """
    standard = Scaler.of(x, weight)
    few = standard(x[:: max(1, len(x) // 100_000)])
    own = [knots(few[:, j], bins(*x.shape)) for j in range(x.shape[1])]
    blocks = [Block("linear", "linear", tuple(range(x.shape[1])))]
    blocks += [Block(f"ramp {j}", "ramp", (j,), {"knots": at}) for j, at in enumerate(own) if len(at) > 2]
    basis = Basis.fit(blocks, few, np.zeros(x.shape[1]), np.ones(x.shape[1]))

    def features(rows: Array) -> Array:
        return basis.features(standard(rows)).astype(np.float64)

    total = float(weight.sum())
    centre = np.zeros(basis.size)
    for here in slices(len(x), CHUNK):
        centre += weight[here] @ features(x[here]) / total
    mean = float(np.average(y, weights=weight))
    gram, target = np.zeros((basis.size, basis.size)), np.zeros(basis.size)
    for here in slices(len(x), CHUNK):
        f, w = features(x[here]) - centre, (weight[here] / weight.mean())[:, None]
        gram += f.T @ (w * f)
        target += f.T @ (w[:, 0] * (y[here] - mean))
    second = float(np.sum(weight / weight.mean() * (y - mean) ** 2))
    slopes = variance_components(Problem(gram, target, max(second, 1e-300), len(x) - 1, basis.owner)).mean

    def predict(new: Array) -> Array:
        found = np.empty(len(new))
        for here in slices(len(new), CHUNK):
            found[here] = mean + (features(new[here]) - centre) @ slopes
        return found

    return predict
