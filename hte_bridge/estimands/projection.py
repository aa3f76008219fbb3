"""Best linear projection of the CATE on covariates, with its joint test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from hte_bridge.arrays import Array
from hte_bridge.estimands.large import LARGE, cluster_squares, with_one
from hte_bridge.estimands.moments import cluster_totals, row_from_influence
from hte_bridge.estimands.regression import HC, least_squares
from hte_bridge.scaling import RANK, Standard, wald
from hte_bridge.scores import Scores, variance_of_treatment
from hte_bridge.table import Estimate


def projection(
    scores: Scores,
    design: Array,
    names: Sequence[str],
    *,
    level: float = 0.95,
    vcov: HC = "HC3",
    overlap: bool = False,
) -> list[Estimate]:
    """Coefficients of the regression of doubly robust scores on an intercept and ``design``, and their joint test.

    Semenova and Chernozhukov (2021), Econometrics Journal 24(2); errors as ``grf::best_linear_projection``.

    Parameters
    ----------
    scores : Scores
    design : array (n, k)
        Columns without gaps; an intercept is added.
    names : sequence of str
        Names of the k columns.
    vcov : {"HC0", "HC1", "HC3"}, default "HC3"
    overlap : bool, default False
        Weigh units by e(1 - e).

    Returns
    -------
    list of Estimate
        ``(Intercept)``, each column, and ``joint``: the test of ``score_test`` that all slopes are zero, of scores under one effect
        (``Scores.under_one_effect``), with units weighted by Var(T | x). An effect that is constant has no slopes under any weights, and
        with equal ones the test leans on the few units with a propensity near 0 or 1 and rejects too often (Nie and Wager's set-up C in
        docs/benchmarks.md).

    Raises
    ------
    NotIdentified
        If the columns are collinear.
    """
    spread = np.ones(scores.n) if scores.heldout is None else variance_of_treatment(scores.heldout)
    x = with_one(design)
    weight = scores.weight * spread if overlap else scores.weight
    fit = least_squares(scores.gamma, x, weight, scores.cluster, vcov)
    clustered = scores.cluster_name is not None or fit.n_clusters < scores.n
    df = fit.n_clusters - 1 if clustered else scores.n - x.shape[1]
    label = f"{vcov} ({scores.cluster_name})" if scores.cluster_name else vcov
    rows = [
        row_from_influence(
            "projection",
            fit.coefficients[j],
            fit.influence[:, j],
            scores,
            level=level,
            std_error=fit.std_error(j),
            term=name,
            df=df,
            vcov=label,
            note=fit.reasons[j],
            share=fit.shares[:, j],
        )
        for j, name in enumerate(["(Intercept)", *names])
    ]
    statistic, p_value, left = score_test(
        scores.under_one_effect(), design, scores.weight * spread, scores.cluster, scores.inflation
    )
    zero = f"all {len(names)} slopes are zero" if len(names) > 1 else "the slope is zero"
    even = bool(np.ptp(spread) <= 1e-12 * spread.max())
    said = f"Score test (F, {len(names)} and {left} df) that {zero}" + (
        "" if even else ", units weighted by Var(T | x)"
    )
    if left <= 0:
        said = f"no joint test: it needs more than {len(names)} clusters, and there are {left + len(names)}"
    elif np.isnan(statistic):
        said = "no joint test: some of the columns vary in so few clusters that the scores along them have no variance of their own"
    joint = Estimate.missing(
        "projection",
        said,
        term="joint",
        level=level,
        n_obs=scores.n,
        n_clusters=fit.n_clusters,
        test=(statistic, p_value),
    )
    return [*rows, joint]


def score_test(
    y: Array, x: Array, weight: Array, cluster: npt.NDArray[np.int64], inflation: float = 1.0
) -> tuple[float, float, int]:
    """F test that all slopes of ``y`` (n,) on ``x`` (n, k) are zero, with the variance under that hypothesis.

    The robust score test (Wooldridge 1991, Journal of Econometrics 47(1)) of the cluster totals of ``weight * (y - mean) * (x - mean)``, as
    Hotelling's F: exact where G totals are normal and alike. Its size holds where many slopes or few clusters make Wald tests with
    sandwich errors reject too often.

    Parameters
    ----------
    y, x, weight : arrays (n,), (n, k), (n,)
    cluster : array (n,)
        Codes 0..G-1.
    inflation : float
        Factor of the totals' standard deviation (``Scores.inflation``).

    Returns
    -------
    statistic, p_value : float
        Not a number where there are no more clusters than slopes.
    df : int
        Of the denominator: clusters with weight, less k.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.projection import score_test
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=(200, 2))
    >>> _, p_value, df = score_test(x[:, 0] + rng.normal(size=200), x, np.ones(200), np.arange(200))
    >>> bool(p_value < 0.001), df
    (True, 198)
    """
    share = weight / weight.sum()
    moved = share * (y - share @ y)
    k = x.shape[1]
    total, squares, count = (cluster_squares if x.size > LARGE else _squares)(moved, x, weight, cluster)
    if count <= k:
        return np.nan, np.nan, count - k
    raw, rank = wald(total, squares)
    raw /= inflation**2
    if rank < k or raw >= count * (1 - RANK):  # totals on a plane: no variance to judge some of the slopes by
        return np.nan, np.nan, count - k
    statistic = (count - k) / k * raw / (count - raw)
    return statistic, float(stats.f.sf(statistic, k, count - k)), count - k


def _squares(
    moved: Array, x: Array, weight: Array, cluster: npt.NDArray[np.int64]
) -> tuple[Array, Array, int]:
    """``large.cluster_squares`` of columns in memory."""
    off = (Standard.of(column[:, None], weight)(column[:, None])[:, 0] for column in x.T)
    sums = np.column_stack([cluster_totals(moved * column, cluster) for column in off])
    totals = sums[np.bincount(cluster, weights=weight) > 0]
    return totals.sum(axis=0), totals.T @ totals, len(totals)
