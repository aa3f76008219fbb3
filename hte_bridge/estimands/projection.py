"""Best linear projection of the CATE on covariates, with its joint test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hte_bridge.estimands.moments import joint_test, row_from_influence
from hte_bridge.estimands.regression import HC, least_squares
from hte_bridge.scores import Scores, variance_of_treatment
from hte_bridge.table import Estimate

Array = npt.NDArray[np.float64]


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
        ``(Intercept)``, each column, and ``joint``: F test that all slopes are zero. An effect that is constant has no slopes
        under any weights, so the test weighs units by Var(T | x) as ``overlap`` does: with equal weights it leans on the
        few units with a propensity near 0 or 1, and rejects too often (Nie and Wager's set-up C in docs/benchmarks.md).

    Raises
    ------
    NotIdentified
        If the columns are collinear.
    """
    spread = np.ones(scores.n) if scores.heldout is None else variance_of_treatment(scores.heldout)
    x = np.column_stack([np.ones(scores.n), design])
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
            std_error=float(fit.covariance[j, j] ** 0.5),
            term=name,
            df=df,
            vcov=label,
        )
        for j, name in enumerate(["(Intercept)", *names])
    ]
    even = overlap or bool(np.ptp(spread) <= 1e-12 * spread.max())
    tested = fit if even else least_squares(scores.gamma, x, scores.weight * spread, scores.cluster, vcov)
    zero = f"all {len(names)} slopes are zero" if len(names) > 1 else "the slope is zero"
    joint = Estimate.missing(
        "projection",
        f"F test that {zero}" + ("" if even else ", units weighted by Var(T | x)"),
        term="joint",
        level=level,
        df=df,
        vcov=label,
        n_obs=scores.n,
        n_clusters=fit.n_clusters,
        test=joint_test(tested.coefficients[1:], tested.covariance[1:, 1:], df),
    )
    return [*rows, joint]
