"""What a budget buys: gain at every average spend when units are treated in order of effect per cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidData, InvalidOption
from hte_bridge.estimands.bands import with_joint_band
from hte_bridge.estimands.moments import covariance, row_from_influence, settled
from hte_bridge.estimands.ties import steps
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate

WINDOW = 0.05  # half-width in ranks of the window that estimates the return of the last unit treated


def check_cost(cost: npt.ArrayLike, n: int) -> Array:
    """Cost (n,) of treating each unit.

    Raises
    ------
    InvalidData
        If there is not one cost, or one for each unit, or one is not positive.

    Examples
    --------
    >>> from hte_bridge.estimands.budget import check_cost
    >>> check_cost(2.0, 3)
    array([2., 2., 2.])
    """
    values = np.asarray(cost, dtype=np.float64)
    if values.ndim and values.shape != (n,):
        raise InvalidData(
            f"There must be one cost, or one for each unit. {len(values):,} were given for {n:,} units. "
            "Take them from the rows of the study."
        )
    values = np.broadcast_to(values, (n,)).copy()
    bad = np.flatnonzero(~(values > 0) | ~np.isfinite(values))
    if len(bad):
        raise InvalidData(
            f"Each cost must be a positive number. {len(bad):,} of {n:,} are not; the first is {values[bad[0]]:g}, of "
            f"unit {bad[0]}. Give free units a small cost, or leave them out."
        )
    return values


def check_budget(budget: float, cost: Array) -> float:
    """The budget itself, an average per unit of the population.

    Raises
    ------
    InvalidOption
        If it would not pay for one unit.
    """
    cheapest = float(cost.min())
    if not np.isfinite(budget) or budget * len(cost) < cheapest:
        raise InvalidOption(
            f"`budget` is an average per unit and must pay for at least one. {budget:g} times {len(cost):,} units is "
            f"{budget * len(cost):g}; the cheapest unit costs {cheapest:g}. Raise the budget."
        )
    return float(budget)


def allocation(
    priority: Array, cost: Array, weight: Array, budget: float
) -> tuple[Array, npt.NDArray[np.bool_], bool]:
    """Share of each unit treated, who stands near the end of the queue that is treated, and whether the budget binds.

    Units with a positive predicted effect queue by effect per cost until the budget is spent; the last is treated in
    part, and tied units all in the same part. Sun, Wager and others (2021), arXiv:2103.11066; Sverdrup, Wu, Athey and
    Wager (2025), Biometrics 81(2).

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.budget import allocation
    >>> share, last, binds = allocation(np.array([2.0, 3.0, -1.0]), np.ones(3), np.ones(3) / 3, 0.5)
    >>> share, binds
    (array([0.5, 1. , 0. ]), True)
    """
    share, near = np.zeros(len(priority)), np.zeros(len(priority), dtype=bool)
    queue = np.flatnonzero(priority > 0)
    if not len(queue):
        return share, near, False
    step = steps(priority[queue] / cost[queue])
    outlay, mass = np.bincount(step, weight[queue] * cost[queue]), np.bincount(step, weight[queue])
    left = budget - np.concatenate([[0.0], np.cumsum(outlay)[:-1]])
    part = np.clip(left / np.where(outlay > 0, outlay, 1.0), 0.0, 1.0)
    share[queue] = part[step]
    last = max(int((left > 0).sum()) - 1, 0)  # the tie, often one unit, in which the money ends
    if mass[last] >= 2 * WINDOW:
        near[queue] = step == last
    else:
        place = (np.cumsum(mass) - mass)[step] + (mass[step] + weight[queue]) / 2
        near[queue] = np.abs(place - float(weight @ share)) <= WINDOW
    return share, near, bool(budget < outlay.sum())


def gain_curve(
    scores: Scores,
    priority: Array,
    cost: npt.ArrayLike,
    budgets: Sequence[float],
    *,
    level: float = 0.95,
    joint: bool = True,
) -> list[Estimate]:
    """Average gain over treating nobody at each budget, and over treating at random for the same budget.

    The estimate is that of R's maq for one arm. Its error allows for the estimated cut: a unit treated changes the
    return by its score less what its cost would have bought at the margin. Sverdrup et al. (2025), Biometrics 81(2).

    Parameters
    ----------
    priority : array (n,)
        Predicted effect, in units of the outcome; must not have seen the outcomes of these units.
    cost : float or array (n,)
    budgets : sequence of float
        Average spend per unit of the population.
    joint : bool, default True
        Whether the band holds for all budgets at once.

    Returns
    -------
    list of Estimate
        ``gain`` rows ``budget = B`` and ``budget = B, over random``.

    Raises
    ------
    InvalidData
        For costs that are not positive.
    InvalidOption
        For a budget that would not pay for one unit.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.budget import gain_curve
    >>> from hte_bridge.scores import Scores
    >>> scores = Scores(np.array([4.0, 1.0, 2.0, 1.0]))
    >>> gain_curve(scores, np.array([4.0, 3.0, 2.0, 1.0]), 1.0, [0.5])[0].estimate
    1.25
    """
    price = check_cost(cost, scores.n)
    weight = scores.weight / scores.weight.sum()
    gains, others = [], []
    for budget in budgets:
        check_budget(budget, price)
        share, near, binds = allocation(priority, price, weight, budget)
        value, influence = _gain(scores.gamma, price, weight, share, near, binds)
        term = f"budget = {budget:g}"
        gains.append(row_from_influence("gain", value, influence, scores, level=level, term=term))
        random, drawn = _random(scores.gamma, price, weight, budget)
        over = settled(value - random, influence - drawn, influence, drawn)
        others.append(row_from_influence("gain", *over, scores, level=level, term=f"{term}, over random"))
    return [*banded(gains, scores), *banded(others, scores)] if joint else [*gains, *others]


def _gain(
    gamma: Array, cost: Array, weight: Array, share: Array, near: npt.NDArray[np.bool_], binds: bool
) -> tuple[float, Array]:
    """Gain of an allocation and its influence values."""
    value = float((weight * share) @ gamma)
    if not binds:
        return value, weight * (share * gamma - value)
    bought = float(weight[near] @ cost[near])
    margin = float(weight[near] @ gamma[near]) / bought if bought > 0 else 0.0
    spent = float((weight * share) @ cost)
    return value, weight * (share * (gamma - margin * cost) + margin * spent - value)


def _random(gamma: Array, cost: Array, weight: Array, budget: float) -> tuple[float, Array]:
    """Gain of treating at random as many as the budget pays for, and its influence values."""
    ate, price = float(weight @ gamma), float(weight @ cost)
    if budget >= price:
        return ate, weight * (gamma - ate)
    value = budget * ate / price
    return value, weight * budget * ((gamma - ate) / price - ate * (cost - price) / price**2)


def banded(rows: list[Estimate], scores: Scores) -> list[Estimate]:
    """The rows with a joint band where two or more have an error."""
    live = [row for row in rows if row.std_error > 0 and row.influence is not None]
    if len(live) < 2:
        return rows
    influence = np.column_stack([row.influence for row in live if row.influence is not None])
    joint = iter(with_joint_band(live, covariance(influence, scores)))
    return [next(joint) if row.std_error > 0 and row.influence is not None else row for row in rows]
