"""Whom to treat, and what that is worth: rules learned on other units, judged by held-out scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidData, InvalidOption
from hte_bridge.estimands.budget import banded, check_budget, check_cost, gain_curve
from hte_bridge.estimands.folded import averaged
from hte_bridge.estimands.moments import mean_of, placed, row_from_influence
from hte_bridge.estimands.sequential import Ranking
from hte_bridge.estimands.tree import shallow_tree
from hte_bridge.rlink import client
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate

Tree = Literal["exact", "policytree"]
POLICYTREE_ROWS = (
    5_000  # beyond this policytree looks at every tenth cut only: its search grows with n squared
)


def rule_value(
    scores: Scores,
    rule: npt.ArrayLike,
    *,
    cost: npt.ArrayLike = 0.0,
    level: float = 0.95,
    name: str = "rule",
) -> list[Estimate]:
    """Value per unit of treating the units that a rule names, net of cost, over treating nobody, all, or at random.

    The rule may use covariates, never the outcomes of these units. Value: mean of rule times (score - cost). Athey
    and Wager (2021), Econometrica 89(1).

    Parameters
    ----------
    scores : Scores
    rule : array (n,)
        Whether, or with what probability, each unit is treated.
    cost : float or array (n,)
        Of treating a unit, in units of the outcome.

    Returns
    -------
    list of Estimate
        ``NAME``, ``NAME - treat all``, ``NAME - random`` (as many treated, by lot), ``treat all``, and
        ``NAME: share treated``.

    Raises
    ------
    InvalidData
        If the rule or the costs do not fit the units.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.policy import rule_value
    >>> from hte_bridge.scores import Scores
    >>> rows = rule_value(Scores(np.array([2.0, 1.0, -1.0, -2.0])), np.array([1, 1, 0, 0]))
    >>> [(row.term, row.estimate) for row in rows[:3]]
    [('rule', 0.75), ('rule - treat all', 0.75), ('rule - random', 0.75)]
    """
    return _values(scores, check_rule(rule, scores.n), _prices(cost, scores.n), level, name)


def _values(scores: Scores, treat: Array, prices: Array, level: float, name: str) -> list[Estimate]:
    """Rows of a checked rule and checked costs, which may be zero."""
    net = scores.gamma - prices
    weight = scores.weight / scores.weight.sum()
    alike = bool(np.ptp(treat[weight > 0]) == 0)  # then a lot treats the same units, to the last digit
    share, everyone = float(treat[weight > 0][0] if alike else weight @ treat), float(weight @ net)
    parts = {
        name: treat * net,
        f"{name} - treat all": (treat - 1.0) * net,
        f"{name} - random": (treat - share) * (net - everyone),  # the share treated is estimated as well
        "treat all": net,
        f"{name}: share treated": treat,
    }
    means = {term: mean_of(each, weight) for term, each in parts.items()}
    return [
        row_from_influence("policy", *mean, scores, level=level, term=term) for term, mean in means.items()
    ]


def policy(
    scores: Scores,
    ranking: Ranking,
    *,
    cost: npt.ArrayLike = 0.0,
    budget: float | Sequence[float] | None = None,
    level: float = 0.95,
) -> list[Estimate]:
    """Value of treating units whose predicted effect exceeds their cost, or who come first until a budget is spent.

    Parameters
    ----------
    ranking : Ranking
        Predicted effects; with a sequential one each fold is judged by a rule of earlier folds.
    cost : float or array (n,)
        In units of the outcome; positive where there is a budget.
    budget : float or sequence of float, optional
        Average spend per unit of the population; rows are then those of ``budget.gain_curve``, the gain not net of cost.

    Raises
    ------
    InvalidData, InvalidOption
        For costs or budgets that cannot be.
    """
    prices = _prices(cost, scores.n)
    if budget is not None:
        prices = check_cost(cost, scores.n)
        budgets = [float(each) for each in np.atleast_1d(np.asarray(budget, dtype=np.float64))]

        def spend(fold: Scores, priority: Array, rows: Codes) -> list[Estimate]:
            return gain_curve(fold, priority, prices[rows], budgets, level=level, joint=False)

        rows = averaged(scores, ranking, spend, level)
        return [*banded(rows[: len(budgets)], scores), *banded(rows[len(budgets) :], scores)]

    def threshold(fold: Scores, priority: Array, rows: Codes) -> list[Estimate]:
        return _values(
            fold, (priority > prices[rows]).astype(np.float64), prices[rows], level, "learned rule"
        )

    return averaged(scores, ranking, threshold, level)


def tree_policy(
    scores: Scores,
    x: Array,
    fold: Codes,
    names: Sequence[str],
    *,
    cost: npt.ArrayLike = 0.0,
    depth: int = 2,
    tree: Tree = "exact",
    level: float = 0.95,
) -> list[Estimate]:
    """Value of a tree rule: each fold is judged by the tree grown on the scores of earlier folds.

    The note says the tree grown on all units. Zhou, Athey and Wager (2023), Operations Research 71(1).

    Parameters
    ----------
    x : array (n, p)
        Covariates without gaps.
    fold : array (n,)
    tree : {"exact", "policytree"}
        Ours (depth 2 at most, no R), or R's policytree.
    """
    if tree not in ("exact", "policytree"):
        raise InvalidOption(f"`tree` must be 'exact' or 'policytree'. {tree!r} was given.")
    prices = _prices(cost, scores.n)
    gain = scores.weight * (scores.gamma - prices)
    treat = np.full(scores.n, np.nan)
    order = np.unique(fold)
    for each in order[1:]:
        earlier, test = fold < each, fold == each
        treat[test] = tree_actions(x[earlier], gain[earlier], x[test], depth=depth, tree=tree)[0]
    usable = np.isfinite(treat)
    rows = _values(scores.where(usable), treat[usable], prices[usable], level, f"tree of depth {depth}")
    words = tree_actions(x, gain, x[:1], depth=depth, tree=tree, names=names)[1]
    note = f"each fold judged by a tree of earlier folds; on all units: {words}"
    return [placed(row, usable).with_(note=note) for row in rows]


def tree_actions(
    x: Array,
    gain: Array,
    new: Array,
    *,
    depth: int,
    tree: Tree = "exact",
    names: Sequence[str] = (),
) -> tuple[Array, str]:
    """Whether to treat each new row (m,) by the tree grown on ``x`` and ``gain``, and the tree in words."""
    labels = list(names) or [f"x{j + 1}" for j in range(x.shape[1])]
    if tree == "exact":
        grown = shallow_tree(x, gain, depth=depth)
        return grown.predict(new).astype(np.float64), grown.text(labels)
    step = 1 if len(x) <= POLICYTREE_ROWS else 10
    arrays = {"x": x, "gain": gain, "new": new}
    answer = client.call("policy_tree_actions", arrays, {"depth": depth, "split_step": step, "names": labels})
    return np.asarray(answer["action"], dtype=np.float64).reshape(-1), str(answer["text"])


def check_rule(rule: npt.ArrayLike, n: int) -> Array:
    """Shares treated (n,), between 0 and 1.

    Raises
    ------
    InvalidData
        If there is not one for each unit, or one is outside 0 to 1.
    """
    treat = np.asarray(rule, dtype=np.float64)
    if treat.shape != (n,):
        raise InvalidData(
            f"A rule must say of each unit whether to treat it. {treat.size:,} values were given for {n:,} units. "
            "Take them from the rows of the study."
        )
    bad = np.flatnonzero(~((treat >= 0) & (treat <= 1)))
    if len(bad):
        raise InvalidData(
            f"A rule must hold values from 0 (do not treat) to 1 (treat). {len(bad):,} of {n:,} do not; the first is "
            f"{treat[bad[0]]:g}, of unit {bad[0]}. Turn it into yes and no."
        )
    return treat


def check_prices(cost: npt.ArrayLike, budget: float | Sequence[float] | None, n: int) -> None:
    """Raise what ``policy`` would of costs and budgets, before any engine is asked."""
    if budget is None:
        _prices(cost, n)
        return
    prices = check_cost(cost, n)
    for each in np.atleast_1d(np.asarray(budget, dtype=np.float64)):
        check_budget(float(each), prices)


def _prices(cost: npt.ArrayLike, n: int) -> Array:
    """Costs (n,): zero for all, or as ``check_cost`` has them."""
    values = np.asarray(cost, dtype=np.float64)
    if values.ndim == 0 and values == 0:
        return np.zeros(n)
    return check_cost(cost, n)
