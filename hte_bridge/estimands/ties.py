"""Ranks of predicted effects: ties are shared, and a fold's own level is no rank."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidOption, NotIdentified

ROUNDING = 1e-10  # predictions that differ by less than this share of the largest are the same number
FLAT = (
    "no effect differs within folds: this engine's CATE is the same for all units of a fold, so nobody ranks before another; "
    "folds differ by their models alone"
)


def steps(priority: Array) -> Codes:
    """Which distinct priority each unit (n,) has, 0 the highest; values that differ by rounding alone are tied.

    Two rows of like covariates can be predicted to differ in the last digit, by where they stand in a matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.ties import steps
    >>> steps(np.array([0.1, 3.0, 0.1 + 1e-16, 2.0])).tolist()
    [2, 0, 2, 1]
    """
    order = np.argsort(-priority, kind="stable")
    fallen = -np.diff(priority[order])
    near = ROUNDING * float(np.abs(priority).max(initial=0.0))
    step = np.concatenate([[0], np.cumsum(fallen > near)]).astype(np.int64)
    # many close values in a row are no tie: only what lies within rounding as a whole is
    first = np.flatnonzero(np.diff(step, prepend=-1))
    last = np.append(first[1:], len(order)) - 1
    wide = (priority[order][first] - priority[order][last] > 4 * near)[step]
    if wide.any():
        step = np.concatenate([[0], np.cumsum((fallen > near) | (wide[1:] & (fallen > 0)))])
    out = np.empty(len(order), dtype=np.int64)
    out[order] = step
    return out


def within_folds(values: Array, fold: Codes, weight: Array) -> Array:
    """Predicted effects (n,) net of their fold's weighted mean; exactly zero where a fold's spread is rounding alone.

    Each fold is predicted by a model of its own. What one fold's predictions have over another's says how the models
    differ, and not whose effect is larger. NaN where a value is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.ties import within_folds
    >>> within_folds(np.array([1.0, 3.0, 0.7, 0.7]), np.array([0, 0, 1, 1]), np.ones(4)).tolist()
    [-1.0, 1.0, 0.0, 0.0]
    """
    out = np.full(len(values), np.nan)
    for each in np.unique(fold):
        rows = np.flatnonzero((fold == each) & np.isfinite(values))
        if not len(rows):
            continue
        inside, mass = values[rows], weight[rows]
        size = float(np.abs(inside).max())
        mean = float(np.average(inside, weights=mass)) if mass.sum() > 0 else float(inside.mean())
        out[rows] = 0.0 if float(np.ptp(inside)) <= ROUNDING * size else inside - mean
    return out


def without_offsets(values: Array, fold: Codes, weight: Array) -> Array:
    """Predicted effects (n,) with every fold moved to the mean of all: what may be drawn, correlated or compared across folds.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.ties import without_offsets
    >>> without_offsets(np.array([1.0, 3.0, 5.0, 5.0]), np.array([0, 0, 1, 1]), np.ones(4)).tolist()
    [2.5, 4.5, 3.5, 3.5]
    """
    seen = np.isfinite(values) & (weight > 0)
    return within_folds(values, fold, weight) + float(np.average(values[seen], weights=weight[seen]))


def varies(values: Array, fold: Codes) -> bool:
    """Whether predicted effects differ within any fold, by more than rounding."""
    net = within_folds(values, fold, np.ones(len(values)))
    return bool((net[np.isfinite(net)] != 0).any())


def tied(priority: Array, fold: Codes) -> npt.NDArray[np.bool_]:
    """Units (n,) with a predicted effect that another unit of their fold has too.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.ties import tied
    >>> tied(np.array([1.0, 2.0, 1.0, 2.0]), np.array([0, 0, 0, 1])).tolist()
    [True, False, True, False]
    """
    out = np.zeros(len(priority), dtype=bool)
    for each in np.unique(fold):
        rows = np.flatnonzero((fold == each) & np.isfinite(priority))
        step = steps(priority[rows])
        out[rows] = np.bincount(step)[step] > 1
    return out


def group_shares(priority: Array, fold: Codes, weight: Array, groups: int) -> Array:
    """Share (n, groups) of each unit in each group of equal weight, lowest first, by rank within its fold; zero where the priority is NaN.

    A unit on a border between two groups belongs to both in part, and tied units share what they fill together, so
    that neither the order of the rows nor what they are sorted by decides who is in which group.

    Raises
    ------
    InvalidOption
        For fewer than two groups.
    NotIdentified
        If a fold has fewer ranked units than groups.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.ties import group_shares
    >>> group_shares(np.array([0.3, 0.1, 0.3, 0.9]), np.zeros(4, dtype=int), np.ones(4), 2).tolist()
    [[0.5, 0.5], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    if groups < 2:
        raise InvalidOption(f"`groups` must be 2 or more. {groups} was given. Five is usual.")
    out = np.zeros((len(priority), groups))
    for each in np.unique(fold):
        rows = np.flatnonzero((fold == each) & np.isfinite(priority) & (weight > 0))
        if 0 < len(rows) < groups:
            raise NotIdentified(
                f"Each fold must hold at least as many units as groups. Fold {each} holds {len(rows)} for {groups} "
                "groups. Ask for fewer groups or folds."
            )
        if len(rows):
            out[rows] = _filled(steps(-priority[rows]), weight[rows], groups)
    return out


def _filled(step: Codes, weight: Array, groups: int) -> Array:
    """Shares (m, groups) of units in groups that their tie groups, lowest first, fill one after another."""
    mass = np.bincount(step, weight) / weight.sum() * groups
    end = np.cumsum(mass)
    end = np.where(np.abs(end - np.rint(end)) < ROUNDING * groups, np.rint(end), end)  # a border that is met
    begin = np.concatenate([[0.0], end[:-1]])
    edge = np.arange(groups)
    overlap = np.minimum(end[:, None], edge + 1.0) - np.maximum(begin[:, None], edge)
    shares = np.maximum(overlap, 0.0)
    return np.asarray((shares / shares.sum(axis=1, keepdims=True))[step])
