"""How good the nuisances are on units they did not see, and the effect where overlap is kept."""

from __future__ import annotations

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidOption, NotIdentified
from hte_bridge.estimands.averages import ate
from hte_bridge.estimands.moments import mean_of, row_from_influence
from hte_bridge.estimands.regression import least_squares
from hte_bridge.scores import Scores, variance_of_treatment
from hte_bridge.table import Estimate

EDGE = 0.1  # Crump, Hotz, Imbens and Mitnik (2009), Biometrika 96(1): the rule of thumb


def nuisance(scores: Scores, *, level: float = 0.95) -> list[Estimate]:
    """Held-out fit of the nuisances, with errors: R2, calibration slope, log loss, and range.

    Returns
    -------
    list of Estimate
        ``outcome R2``; ``outcome slope`` and ``treatment slope`` (of a regression on the prediction: 1 where
        calibrated); ``treatment R2``; for a binary treatment ``treatment log loss`` (less than that of the treated
        share where x predicts treatment) and the least and largest propensity; for a dose those of Var(T | x).

    Raises
    ------
    NotIdentified
        If the scores hold ``gamma`` alone.
    """
    y_residual, w_residual = scores.residuals
    held, y, w = scores.heldout, scores.outcome, scores.treatment
    assert held is not None
    assert y is not None
    assert w is not None
    rows = [
        _r2("outcome R2", y, y_residual, scores, level),
        _slope("outcome slope", y, held.outcome_mean, scores, level),
        _r2("treatment R2", w, w_residual, scores, level),
        _slope("treatment slope", w, held.propensity, scores, level),
    ]
    if scores.binary:
        loss = -np.log(np.where(w == 1, held.propensity, 1 - held.propensity))
        share = scores.weight / scores.weight.sum()
        mean = float(share @ loss)
        rows.append(
            row_from_influence(
                "nuisance", mean, share * (loss - mean), scores, level=level, term="treatment log loss"
            )
        )
    rows = [
        row if row.note else row.with_(test=(np.nan, np.nan)) for row in rows
    ]  # nobody asks whether they are 0
    shown = held.propensity if scores.binary else variance_of_treatment(held)
    name = "propensity" if scores.binary else "treatment variance"
    for term, value in ((f"{name}, least", shown.min()), (f"{name}, largest", shown.max())):
        rows.append(
            Estimate(
                "nuisance",
                float(value),
                term=term,
                level=level,
                n_obs=scores.n,
                note="a range, not an estimate",
            )
        )
    return rows


def _r2(term: str, values: Array, residual: Array, scores: Scores, level: float) -> Estimate:
    """1 - mean squared error / variance, its error by the delta method."""
    share = scores.weight / scores.weight.sum()
    mean = float(share @ values)
    squared, spread = residual**2, (values - mean) ** 2
    ratio = float(share @ squared) / float(share @ spread)
    influence = -share * (squared - ratio * spread) / float(share @ spread)
    return row_from_influence("nuisance", 1 - ratio, influence, scores, level=level, term=term)


def _slope(term: str, values: Array, predicted: Array, scores: Scores, level: float) -> Estimate:
    if float(np.ptp(predicted)) < 1e-10 * float(np.ptp(values)):
        return Estimate.missing(
            "nuisance", "the prediction is the same for all units", term=term, level=level
        )
    x = np.column_stack([np.ones(scores.n), predicted])
    fit = least_squares(values, x, scores.weight, scores.cluster, "HC1")
    return row_from_influence(
        "nuisance",
        float(fit.coefficients[1]),
        fit.influence[:, 1],
        scores,
        level=level,
        std_error=fit.std_error(1),
        term=term,
        note=fit.reasons[1],
    )


def trimmed(scores: Scores, *, edge: float | None = EDGE, level: float = 0.95) -> list[Estimate]:
    """Average effect among units whose propensity lies in [edge, 1 - edge]: another estimand, and said so.

    Parameters
    ----------
    edge : float or None, default 0.1
        ``None`` takes the edge that makes the variance least. Crump, Hotz, Imbens and Mitnik (2009), Biometrika 96(1).

    Returns
    -------
    list of Estimate
        ``trimmed``, and the share of units kept.

    Raises
    ------
    NotIdentified
        For a treatment that is not binary, or where no unit is left.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.nuisance import trimmed
    >>> from hte_bridge.scores import Scores
    >>> from hte_bridge.engine import HeldOut
    >>> held = HeldOut(np.zeros(4), np.zeros(4), np.array([0.01, 0.4, 0.5, 0.6]))
    >>> rows = trimmed(Scores(np.array([50.0, 1.0, 2.0, 3.0]), heldout=held))
    >>> rows[0].estimate, rows[1].estimate
    (2.0, 0.75)
    """
    held = scores.heldout
    if held is None or not scores.binary:
        raise NotIdentified(
            "`trimmed` needs the propensity of a treatment of 0 and 1 without fixed effects. Ask for `ape`."
        )
    if edge is None:
        edge = crump_edge(held.propensity)
    if not 0 <= edge < 0.5:
        raise InvalidOption(f"`edge` must be from 0 to below 0.5. {edge:g} was given. 0.1 is usual.")
    kept = (held.propensity >= edge) & (held.propensity <= 1 - edge)
    if kept.sum() < 2:
        raise NotIdentified(
            f"Trimming must leave units. None of {scores.n:,} has a propensity in [{edge:g}, {1 - edge:g}]. "
            "Choose a smaller `edge`."
        )
    row = ate(scores.where(kept), level=level, estimand="trimmed")
    influence = np.zeros(scores.n)
    influence[kept] = row.influence
    weight = scores.weight / scores.weight.sum()
    share, moved = mean_of(kept.astype(np.float64), weight)
    note = f"the effect on the {share:.1%} of units with propensity in [{edge:.3g}, {1 - edge:.3g}]"
    part = row_from_influence("trimmed", share, moved, scores, level=level, term="share kept")
    return [row.with_(influence=influence, note=note), part]


def crump_edge(propensity: Array) -> float:
    """Edge that makes the variance of the trimmed effect least; 0 where no trimming is best.

    Crump et al. (2009), Biometrika 96(1), eq. 8: the smallest a with 1 / (a (1 - a)) <= 2 E[g | g < 1 / (a (1 - a))],
    g = 1 / (e (1 - e)).

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.nuisance import crump_edge
    >>> crump_edge(np.array([0.3, 0.5, 0.6]))
    0.0
    """
    g = np.sort(1 / (propensity * (1 - propensity)))
    means = np.cumsum(g) / np.arange(1, len(g) + 1)
    if g[-1] <= 2 * means[-1]:
        return 0.0
    bound = 2 * means[np.flatnonzero(g <= 2 * means)[-1]]
    return float(0.5 - np.sqrt(max(0.25 - 1 / bound, 0.0)))
