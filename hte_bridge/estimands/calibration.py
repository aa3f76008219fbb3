"""Is the predicted effect the effect? grf's calibration test, and the best linear predictor of generic ML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import NotIdentified
from hte_bridge.estimands.groups import group_names
from hte_bridge.estimands.moments import placed
from hte_bridge.estimands.regression import LeastSquares, least_squares
from hte_bridge.estimands.sequential import Ranking
from hte_bridge.estimands.ties import FLAT, group_shares, within_folds
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate

Vcov = Literal["iid", "HC0", "HC1", "HC3"]
SAME = (
    "A calibration test needs predictions that differ. The held-out effect is the same for all units. "
    "There is nothing to calibrate: read `ate`."
)


def calibration(
    scores: Scores,
    ranking: Ranking | None = None,
    *,
    fold: Codes | None = None,
    level: float = 0.95,
    vcov: Vcov = "HC3",
) -> list[Estimate]:
    """Regression of Y - m on (W - e) times the mean predicted effect, and on (W - e) times its deviations.

    Both coefficients are 1 where the predictions are calibrated. p-values are one-sided against 0: a large
    ``differential prediction`` says that effects differ and that the predictions find them. Without a ranking the
    held-out CATE is used and the figures are those of ``grf::test_calibration``. With a sequential ranking, the
    predictions of a fold come from earlier folds and are centred within it, so that the p-value holds when no effect
    differs. What one fold's predictions have over another's is the difference of two models, and no effect that differs:
    predictions made fold by fold are centred within ``fold``. Chernozhukov, Demirer, Duflo and Fernandez-Val (2025), Econometrica 93(4).

    Parameters
    ----------
    scores : Scores
        With outcome, treatment and nuisances.
    ranking : Ranking, optional
    fold : array (n,), optional
        Folds by which the held-out CATE was made; none for predictions out-of-bag, as grf's.
    vcov : {"HC3", "HC1", "HC0", "iid"}
        By cluster where there is one.

    Returns
    -------
    list of Estimate
        ``mean prediction`` and ``differential prediction``.

    Raises
    ------
    NotIdentified
        If the predicted effect does not vary.
    """
    cate = _heldout_cate(scores) if ranking is None else ranking.priority
    if ranking is not None:
        fold = ranking.fold
    whole = fold is None
    fold = np.zeros(scores.n, dtype=np.int64) if fold is None else fold
    usable = np.isfinite(cate)
    live, cate = scores.where(usable), cate[usable]
    deviation = within_folds(cate, fold[usable], live.weight)
    if not deviation.any():
        raise NotIdentified(SAME if whole else f"A calibration test needs predictions that differ: {FLAT}")
    y_residual, w_residual = live.residuals
    design = np.column_stack([w_residual * (cate - deviation), w_residual * deviation])
    fit = least_squares(y_residual, design, live.weight, live.cluster, "HC3" if vcov == "iid" else vcov)
    cov = _iid(y_residual, design, live.weight, fit) if vcov == "iid" else fit.covariance
    rows = _coefficients(
        "calibration", ["mean prediction", "differential prediction"], fit, cov, live, level, vcov
    )
    out = []
    for row in rows:
        one_sided = float(stats.t.sf(row.statistic, row.df))
        note = "one-sided p-value" + (f"; {ranking.note}" if ranking is not None else "")
        if ranking is None:
            note += "; too small where no effect differs, since held-out predictions share outcomes: `rate` is the test"
        note = row.note or note
        out.append(placed(row, usable).with_(test=(row.statistic, one_sided), note=note))
    return out


def best_linear_predictor(
    scores: Scores,
    *,
    fold: Codes | None = None,
    baseline: Array | None = None,
    cate: Array | None = None,
    horvitz_thompson: bool = False,
    vcov: Vcov = "HC1",
    level: float = 0.95,
) -> list[Estimate]:
    """Best linear predictor of the effect given a proxy of it: average effect, and loading on the proxy.

    Chernozhukov et al. (2025), Econometrica 93(4): the weighted regression of strategy A, or Horvitz-Thompson's of
    strategy B. Figures are those of R's GenericML given the same proxies and propensity.

    Parameters
    ----------
    fold : array (n,), optional
        Folds by which the CATE was made: its deviations are then those within folds.
    baseline, cate : array (n,), optional
        Proxies of E[Y | control, x] and of the effect; by default those of the held-out predictions.
    vcov : {"HC1", "HC3", "HC0", "iid"}
        By cluster where there is one.

    Returns
    -------
    list of Estimate
        ``average effect (beta 1)`` and ``heterogeneity loading (beta 2)``.
    """
    _, s, _ = proxies = _proxies(scores, baseline, cate)
    deviation = within_folds(s, np.zeros(scores.n, dtype=np.int64) if fold is None else fold, scores.weight)
    if not deviation.any():
        raise NotIdentified(
            SAME if fold is None else f"A calibration test needs predictions that differ: {FLAT}"
        )
    design = np.column_stack([np.ones(scores.n), deviation])
    terms = ["average effect (beta 1)", "heterogeneity loading (beta 2)"]
    return _generic("calibration", terms, design, proxies, scores, horvitz_thompson, vcov, level)


def gates_regression(
    scores: Scores,
    *,
    fold: Codes | None = None,
    groups: int = 5,
    baseline: Array | None = None,
    cate: Array | None = None,
    horvitz_thompson: bool = False,
    vcov: Vcov = "HC1",
    level: float = 0.95,
) -> list[Estimate]:
    """Sorted group effects by regression on the groups, as R's GenericML; ``groups.gates`` uses the scores instead.

    Chernozhukov et al. (2025), Econometrica 93(4), strategies A and B.
    """
    _, s, _ = proxies = _proxies(scores, baseline, cate)
    fold = np.zeros(scores.n, dtype=np.int64) if fold is None else fold
    design = group_shares(s, fold, scores.weight, groups)
    return _generic(
        "gates", group_names(groups), design, proxies, scores, horvitz_thompson, vcov, level, True
    )


def _generic(
    estimand: str,
    terms: list[str],
    design: Array,
    proxies: tuple[Array, Array, Array],
    scores: Scores,
    horvitz_thompson: bool,
    vcov: Vcov,
    level: float,
    difference: bool = False,
) -> list[Estimate]:
    """Coefficients of (W - e) times ``design`` (n, k), by weighted regression or Horvitz-Thompson."""
    if scores.outcome is None or scores.treatment is None or not scores.binary:
        raise NotIdentified(
            "The best linear predictor needs a treatment of 0 and 1 and its propensity. This one is a dose or has "
            "effects. Use method='grf'."
        )
    b, _, e = proxies
    centred, variance = scores.treatment - e, e * (1 - e)
    if horvitz_thompson:
        y, weight = scores.outcome * centred / variance, scores.weight
        x = np.column_stack([b * centred / variance, design])
    else:
        y, weight = scores.outcome, scores.weight / variance
        x = np.column_stack([np.ones(scores.n), b, centred[:, None] * design])
    fit = least_squares(y, x, weight, scores.cluster, "HC1" if vcov == "iid" else vcov)
    cov = _iid(y, x, weight, fit) if vcov == "iid" else fit.covariance
    first = x.shape[1] - design.shape[1]
    rows = _coefficients(estimand, [""] * first + terms, fit, cov, scores, level, vcov)[first:]
    if difference:
        weights = np.zeros(x.shape[1])
        weights[first], weights[-1] = -1.0, 1.0
        estimate = float(weights @ fit.coefficients)
        error = float(weights @ cov @ weights) ** 0.5 * scores.inflation
        rows.append(
            rows[0].with_(
                term="highest - lowest", estimate=estimate, std_error=error, influence=fit.influence @ weights
            )
        )
    return rows


def _proxies(scores: Scores, baseline: Array | None, cate: Array | None) -> tuple[Array, Array, Array]:
    """Proxies of baseline and effect, and the propensity."""
    cate = _heldout_cate(scores) if cate is None else cate
    held = scores.heldout
    assert held is not None
    baseline = held.outcome_mean - held.propensity * held.cate if baseline is None else baseline
    return baseline, cate, held.propensity


def _heldout_cate(scores: Scores) -> Array:
    if scores.heldout is None:
        raise NotIdentified(
            "A calibration test needs held-out predictions. These scores hold `gamma` alone. "
            "Make them with `scores(study, heldout)`."
        )
    return scores.heldout.cate


def _iid(y: Array, x: Array, weight: Array, fit: LeastSquares) -> Array:
    """Covariance under one variance of the weighted residuals, as ``sandwich::vcovHC(type="const")``."""
    residual = weight * (y - x @ fit.coefficients)
    return float(residual @ residual) / (len(y) - x.shape[1]) * (fit.bread @ (x.T @ x) @ fit.bread)


def _coefficients(
    estimand: str,
    terms: Sequence[str],
    fit: LeastSquares,
    cov: Array,
    scores: Scores,
    level: float,
    vcov: str,
) -> list[Estimate]:
    clustered = scores.cluster_name is not None or fit.n_clusters < scores.n
    return [
        Estimate(
            estimand,
            float(fit.coefficients[j]),
            float(cov[j, j] ** 0.5),
            term=term,
            df=fit.n_clusters - 1 if clustered else scores.n - len(terms),
            level=level,
            vcov=f"{vcov} ({scores.cluster_name})" if scores.cluster_name and vcov != "iid" else vcov,
            n_obs=scores.n,
            n_clusters=fit.n_clusters,
            influence=fit.influence[:, j],
            note="" if vcov == "iid" else fit.reasons[j],
            share=fit.shares[:, j],
        )
        for j, term in enumerate(terms)
    ]
