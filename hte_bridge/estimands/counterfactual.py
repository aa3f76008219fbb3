"""What if the treatment had been another: change of the outcome in total and by segment, and its return."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.engine import Fit
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified
from hte_bridge.estimands.budget import check_cost
from hte_bridge.estimands.moments import live_clusters, row_from_influence
from hte_bridge.scores import Scores, variance_of_treatment
from hte_bridge.table import Ends, Estimate


def counterfactual(
    scores: Scores,
    *,
    to: npt.ArrayLike | None = None,
    add: npt.ArrayLike | None = None,
    scale: npt.ArrayLike | None = None,
    segment: Any = None,
    value: npt.ArrayLike = 1.0,
    level: float = 0.95,
) -> list[Estimate]:
    """Change of the outcome, summed over units, had their treatment been another.

    The change of a unit is (t' - T) tau(x); its score adds E[t' - T | x] (T - e) / Var(T | x) times the residual, so
    that errors of the nuisances enter only as products. The total refers to a population of which these units are a
    draw: its interval allows for who was drawn. In a dose the outcome is linear within a unit.

    Parameters
    ----------
    scores : Scores
        With outcome, treatment and nuisances.
    to, add, scale : float or array (n,), exactly one
        New treatment, an amount added, or a factor.
    segment : array (n,), optional
        Group of each unit; a row for each, beside the total.
    value : float or array (n,), default 1
        Worth of one unit of outcome.

    Returns
    -------
    list of Estimate
        ``total`` and each segment, in units of the outcome times ``value``, weighted as the scores.

    Raises
    ------
    InvalidOption
        Unless exactly one change is given.
    NotIdentified
        If a new treatment lies outside those observed.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.counterfactual import counterfactual
    >>> from hte_bridge.scores import Scores
    >>> from hte_bridge.engine import HeldOut
    >>> held = HeldOut(np.array([1.0, 3.0]), np.array([0.5, 1.5]), np.array([0.5, 0.5]))
    >>> y, w = np.array([0.0, 3.0]), np.array([0.0, 1.0])
    >>> rows = counterfactual(Scores(np.array([1.0, 3.0]), outcome=y, treatment=w, heldout=held), to=1.0)
    >>> rows[0].term, rows[0].estimate
    ('total', 1.0)
    """
    change = _change_scores(scores, to, add, scale) * np.broadcast_to(
        np.asarray(value, np.float64), (scores.n,)
    )
    return _totals("counterfactual", scores, change, segment, level)


def roi(
    scores: Scores,
    *,
    value: npt.ArrayLike,
    cost: npt.ArrayLike,
    add: npt.ArrayLike = 1.0,
    segment: Any = None,
    level: float = 0.95,
) -> list[Estimate]:
    """Return on spending: value of what ``add`` more treatment brings, over its cost, less one.

    Parameters
    ----------
    value : float or array (n,)
        Worth of one unit of outcome.
    cost : float or array (n,)
        Of ``add`` more treatment of each unit; known, so that only the gain is estimated.
    segment : array (n,), optional

    Returns
    -------
    list of Estimate
        ``total`` and each segment; 0 where the spending pays for itself. The ratio's error allows for the draw of units.

    Raises
    ------
    InvalidData
        For costs that are not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.counterfactual import roi
    >>> from hte_bridge.scores import Scores
    >>> from hte_bridge.engine import HeldOut
    >>> held = HeldOut(np.array([1.0, 3.0]), np.array([0.5, 1.5]), np.array([0.5, 0.5]))
    >>> y, w = np.array([0.0, 3.0]), np.array([0.0, 1.0])
    >>> scores = Scores(np.array([1.0, 3.0]), outcome=y, treatment=w, heldout=held)
    >>> roi(scores, value=1.0, cost=1.0)[0].estimate
    1.0
    """
    prices = check_cost(cost, scores.n)
    gain = _change_scores(scores, None, add, None) * np.broadcast_to(
        np.asarray(value, np.float64), (scores.n,)
    )
    rows = []
    for term, member in _segments(segment, scores.n):
        spent = float((scores.weight * prices)[member].sum())
        estimate = float((scores.weight * gain)[member].sum()) / spent - 1
        influence = np.where(member, scores.weight * (gain - (1 + estimate) * prices), 0.0) / spent
        rows.append(_segment_row("roi", estimate, influence, scores, member, term, level))
    return rows


def named(
    fit: Fit, rows: pd.DataFrame, change: npt.ArrayLike, *, labels: Any = None, level: float = 0.95
) -> list[Estimate]:
    """Change of the outcome of named units, such as one user and one vendor, from the engine's own CATE interval.

    Scores say little of one unit; the engine's posterior or its own error does, where it has one.

    Parameters
    ----------
    fit : Fit
    rows : DataFrame (m, ...)
        Covariates of the units.
    change : float or array (m,)
        Change of the treatment.
    labels : sequence of str, optional
        By default the index of ``rows``.
    """
    effects = fit.cate(rows, level=level)
    steps = np.broadcast_to(np.asarray(change, dtype=np.float64), (len(rows),))
    terms = [str(each) for each in (rows.index if labels is None else labels)]
    estimates = effects["estimate"].to_numpy() * steps
    errors = effects["std_error"].to_numpy() * np.abs(steps)

    @cache
    def ends(at: float) -> Array:
        made = effects if at == level else fit.cate(rows, level=at)
        return np.sort(made[["conf_low", "conf_high"]].to_numpy() * steps[:, None], axis=1)

    def of_unit(j: int, at: float) -> tuple[float, float]:
        return float(ends(at)[j, 0]), float(ends(at)[j, 1])

    return [
        Estimate(
            "counterfactual",
            float(estimates[j]),
            float(errors[j]),
            term=terms[j],
            level=level,
            vcov="engine's own",
            n_obs=1,
            interval=Ends(partial(of_unit, j), level),
            note="" if errors[j] > 0 else "no interval: this engine has no theory for a single unit",
        )
        for j in range(len(rows))
    ]


def _change_scores(
    scores: Scores, to: npt.ArrayLike | None, add: npt.ArrayLike | None, scale: npt.ArrayLike | None
) -> Array:
    """Score (n,) of each unit's change of outcome."""
    given = [name for name, each in (("to", to), ("add", add), ("scale", scale)) if each is not None]
    if len(given) != 1:
        raise InvalidOption(
            f"Say exactly one of `to`, `add` and `scale`. {' and '.join(given) if given else 'None'} was given."
        )
    y_residual, w_residual = scores.residuals
    held, treatment = scores.heldout, scores.treatment
    assert held is not None
    assert treatment is not None
    step = np.asarray({"to": to, "add": add, "scale": scale}[given[0]], dtype=np.float64)
    if step.ndim and step.shape != (scores.n,):
        raise InvalidData(
            f"`{given[0]}` must be one number or one for each unit. {step.size:,} were given for {scores.n:,} units."
        )
    if given[0] == "to":
        _within_support(step, treatment, scores.binary)
        moved, expected = step - treatment, step - held.propensity
    elif given[0] == "add":
        moved = expected = np.broadcast_to(step, (scores.n,))
    else:
        moved, expected = (step - 1) * treatment, (step - 1) * held.propensity
    residual = y_residual - w_residual * held.cate
    return moved * held.cate + expected * w_residual / variance_of_treatment(held) * residual


def _within_support(to: Array, treatment: Array, binary: bool) -> None:
    low, high = float(treatment.min()), float(treatment.max())
    outside = (to < low) | (to > high)
    if binary:
        outside |= ~np.isin(to, (0.0, 1.0))
    if outside.any():
        bad = float(np.atleast_1d(to)[np.atleast_1d(outside)][0])
        what = "0 or 1" if binary else f"between {low:g} and {high:g}, the doses observed"
        raise NotIdentified(f"A new treatment must be {what}. {bad:g} was given: no unit tells of it.")


def _segments(segment: Any, n: int) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """``total`` and each segment, with who is in it."""
    out = [("total", np.ones(n, dtype=bool))]
    if segment is None:
        return out
    if len(segment) != n:
        raise InvalidData(
            f"`segment` must have one label for each unit. {len(segment):,} were given for {n:,} units."
        )
    codes, levels = pd.factorize(pd.Series(segment), sort=True)
    return out + [(str(level), codes == number) for number, level in enumerate(levels)]


def _totals(estimand: str, scores: Scores, change: Array, segment: Any, level: float) -> list[Estimate]:
    rows = []
    for term, member in _segments(segment, scores.n):
        weighted = np.where(member, scores.weight * change, 0.0)
        total = float(weighted.sum())
        influence = weighted - np.where(member, scores.weight, 0.0) * total / scores.weight[member].sum()
        rows.append(_segment_row(estimand, total, influence, scores, member, term, level))
    return rows


def _segment_row(
    estimand: str,
    estimate: float,
    influence: Array,
    scores: Scores,
    member: npt.NDArray[np.bool_],
    term: str,
    level: float,
) -> Estimate:
    """A row whose error and df count the clusters of its segment alone."""
    if len(np.unique(scores.cluster[member & (scores.weight > 0)])) < 2:
        return Estimate.missing(
            estimand, "the segment lies in one cluster: no error can be formed", term=term
        )
    inside = scores.where(member)
    row = row_from_influence(estimand, estimate, influence[member], inside, level=level, term=term)
    assert live_clusters(inside) == row.n_clusters
    return row.with_(influence=influence)
