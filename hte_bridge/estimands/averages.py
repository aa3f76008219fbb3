"""Average effects: over all, the treated, the controls, the overlap, and the slope in a dose."""

from __future__ import annotations

import numpy as np

from hte_bridge.errors import NotIdentified
from hte_bridge.estimands.moments import cluster_totals, live_clusters, mean_of, row_from_influence
from hte_bridge.estimands.regression import least_squares
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate


def ate(scores: Scores, *, level: float = 0.95, estimand: str = "ate") -> Estimate:
    """Average treatment effect: the weighted mean of doubly robust scores.

    The variance sums squared cluster totals of the centred scores, times G / (G - 1) for G clusters; a unit
    without a cluster is its own. Scores: Robins and Rotnitzky (1995), JASA 90(429). Variance: Liang and Zeger
    (1986), Biometrika 73(1).

    Parameters
    ----------
    scores : Scores
        ``gamma`` (n,), held-out, in units of the outcome.
    level : float, default 0.95
        Coverage of the interval, by Student's t with G - 1 df.

    Raises
    ------
    TooFewClusters
        If fewer than two clusters carry weight.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.averages import ate
    >>> from hte_bridge.scores import Scores
    >>> row = ate(Scores(gamma=np.array([1.0, 3.0, 2.0, 2.0])))
    >>> row.estimate, round(row.std_error, 4)
    (2.0, 0.4082)
    """
    live_clusters(scores)
    share = scores.weight / scores.weight.sum()
    return row_from_influence(estimand, *mean_of(scores.gamma, share), scores, level=level)


def ape(scores: Scores, *, level: float = 0.95) -> Estimate:
    """Average partial effect E[beta(X)] of a dose, or of any treatment with fixed effects: the mean score.

    Graham and Pinto (2022), Journal of Econometrics 226(1).
    """
    return ate(scores, level=level, estimand="ape")


def att(scores: Scores, *, level: float = 0.95, heterogeneity: str = "clustered") -> Estimate:
    """Average effect on the treated, by augmented inverse propensity weights normalised to one.

    Estimate and error are those of ``grf::average_treatment_effect(target.sample="treated")``: the variance of
    the treated units' CATE and of the correction are added. With clusters grf sums the first over units as if
    they were independent; here it is summed by cluster, with G / (G - 1) as the other, unless
    ``heterogeneity="independent"``: wider than grf's where the CATEs of a cluster move together, a little narrower where
    they happen to lie apart.

    Raises
    ------
    NotIdentified
        If the treatment is not binary or an arm is empty.
    """
    return _on_arm("att", scores, 1.0, level, heterogeneity)


def atc(scores: Scores, *, level: float = 0.95, heterogeneity: str = "clustered") -> Estimate:
    """Average effect on the controls; see ``att``."""
    return _on_arm("atc", scores, 0.0, level, heterogeneity)


def _on_arm(estimand: str, scores: Scores, arm: float, level: float, heterogeneity: str) -> Estimate:
    y_residual, w_residual = scores.residuals
    held, w, weight = scores.heldout, scores.treatment, scores.weight
    assert held is not None
    assert w is not None
    if not scores.binary:
        raise NotIdentified(
            f"`{estimand}` needs a treatment of 0 and 1 without fixed effects. This one is a dose or has effects. "
            "Ask for `ape`."
        )
    inside = w == arm
    if not inside.any() or inside.all():
        raise NotIdentified(
            f"`{estimand}` needs treated and control units in the rows chosen. "
            f"{'None is' if not inside.any() else 'All are'} in the arm {arm:g}. Widen the subset."
        )
    e = held.propensity
    odds = np.where(w == 1, 1.0, e / (1 - e)) if arm == 1 else np.where(w == 1, (1 - e) / e, 1.0)
    total = weight.sum()
    balance = (
        np.where(w == 1, odds / (weight * odds)[w == 1].sum(), odds / (weight * odds)[w == 0].sum()) * total
    )
    residual = y_residual - w_residual * held.cate  # Y less the surface of its own arm
    correction = (2 * w - 1) * balance * residual
    share = np.where(inside, weight, 0.0) / weight[inside].sum()
    plain = float(share @ held.cate)
    estimate = plain + float(weight @ correction) / total
    surface, doubly = share * (held.cate - plain), weight * correction / total
    n_clusters = live_clusters(scores)
    together = heterogeneity == "clustered" and int(scores.cluster.max()) + 1 < scores.n
    first = cluster_totals(surface, scores.cluster) if together else surface
    second, factor = cluster_totals(doubly, scores.cluster), n_clusters / (n_clusters - 1)
    variance = float((factor if together else 1.0) * (first @ first) + factor * (second @ second))
    influence = surface + doubly - weight / total * float(weight @ correction) / total
    return row_from_influence(estimand, estimate, influence, scores, level=level, std_error=variance**0.5)


def ato(scores: Scores, *, level: float = 0.95) -> Estimate:
    """Effect on the overlap, weights e(1 - e): the regression of Y - m on W - e.

    Li, Morgan and Zaslavsky (2018), JASA 113(521). Errors as grf's: HC3, or by cluster with R's usual factors
    (``sandwich::vcovCL``). For a dose this is Robinson's (1988) partially linear coefficient.
    """
    y_residual, w_residual = scores.residuals
    live_clusters(scores)
    x = np.column_stack([np.ones(scores.n), w_residual])
    clustered = scores.cluster_name is not None or scores.cluster.max() + 1 < scores.n
    fit = least_squares(y_residual, x, scores.weight, scores.cluster, "HC1" if clustered else "HC3")
    return row_from_influence(
        "ato",
        fit.coefficients[1],
        fit.influence[:, 1],
        scores,
        level=level,
        std_error=fit.std_error(1),
        note=fit.reasons[1],
        share=fit.shares[:, 1],
    )
