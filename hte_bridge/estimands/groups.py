"""Effects in given groups (gate), in groups sorted by a held-out CATE (gates), and who is in them (clan)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidData, NotIdentified
from hte_bridge.estimands.bands import with_joint_band
from hte_bridge.estimands.means import GroupMeans, group_means, members
from hte_bridge.estimands.moments import live_clusters
from hte_bridge.estimands.ties import FLAT, group_shares, varies
from hte_bridge.scores import Scores
from hte_bridge.table import Ends, Estimate


def gate(
    scores: Scores, labels: npt.ArrayLike, *, name: str = "", level: float = 0.95, joint: bool = True
) -> list[Estimate]:
    """Average effect in each group, with a band that holds for all groups, and the test that they are equal.

    Each mean and error is that of ``ate`` on the group. The band is sup-t (``bands.sup_t``).

    Parameters
    ----------
    scores : Scores
    labels : array (n,)
        Group of each unit, of any kind; missing labels (None, NaN) belong to none.
    name : str
        Put before each label in ``term``.
    joint : bool, default True
        Whether intervals and p-values hold for all groups at once.

    Returns
    -------
    list of Estimate
        One row a group, sorted by label, and ``equal``: the F test. A group that holds one arm alone, or fewer than
        two clusters, has a row without numbers that says so.

    Raises
    ------
    InvalidData
        If there is not one label for each unit.
    NotIdentified
        If there are at least as many groups as clusters, or only one group.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.groups import gate
    >>> from hte_bridge.scores import Scores
    >>> rows = gate(Scores(np.array([1.0, 3.0, 5.0, 9.0])), ["a", "a", "b", "b"])
    >>> [(row.term, row.estimate) for row in rows[:2]]
    [('a', 2.0), ('b', 7.0)]
    """
    levels, code = _codes(labels, scores.n)
    terms = [f"{name} = {each}" if name else str(each) for each in levels]
    return _grouped("gate", scores, members(code, len(levels)), terms, level, joint)


def gates(
    scores: Scores,
    priority: Array,
    fold: Codes,
    *,
    groups: int = 5,
    level: float = 0.95,
    joint: bool = True,
    monotone: bool = False,
) -> list[Estimate]:
    """Average effect in groups sorted by a predicted effect, sorted fold by fold.

    Units are ranked against their own fold only, by a model that did not see the fold; tied units are shared between the
    groups that they fill (``ties.group_shares``). Where no priority differs within a fold there are no groups. Chernozhukov, Demirer, Duflo
    and Fernandez-Val (2025), Econometrica 93(4). The interval presumes that a priority depends on *earlier* folds
    alone (``sequential.rank``): then the fold means are martingale differences (Luedtke and van der Laan 2016,
    Annals of Statistics 44(2); Wager 2024, arXiv:2405.05534). Priorities from all other folds use every pair of
    folds twice and reject too often when nothing is there.

    Parameters
    ----------
    scores : Scores
    priority : array (n,)
        Predicted effect; NaN where a unit is not ranked.
    fold : array (n,)
    groups : int, default 5
    monotone : bool, default False
        Rearrange estimates and ends of the intervals in increasing order, which never worsens them (Chernozhukov,
        Fernandez-Val and Galichon 2009, Biometrika 96(3)).

    Returns
    -------
    list of Estimate
        ``G1 (lowest)`` to ``G5 (highest)``, ``highest - lowest``, and ``equal``.
    """
    member, names = group_shares(priority, fold, scores.weight, groups), group_names(groups)
    if not varies(priority, fold):
        return [
            Estimate.missing("gates", FLAT, term=term, level=level)
            for term in (*names, "highest - lowest", "equal")
        ]
    rows = _grouped("gates", scores, member, names, level, joint)
    usable: npt.NDArray[np.bool_] = np.asarray(member.any(axis=1))
    means = group_means(scores.gamma, member, scores)
    top = np.zeros(groups)
    top[-1], top[0] = 1.0, -1.0
    rows.insert(groups, _contrast_row("gates", scores, means, top, "highest - lowest", level, usable))
    return [*rearranged(rows[:groups]), *rows[groups:]] if monotone else rows


def clan(
    scores: Scores,
    columns: Array,
    names: Sequence[str],
    priority: Array,
    fold: Codes,
    *,
    groups: int = 5,
    level: float = 0.95,
) -> list[Estimate]:
    """Classification analysis: mean of each column among the units with the highest and lowest priority.

    Chernozhukov et al. (2025), Econometrica 93(4). p-values of the differences are adjusted over the columns.

    Parameters
    ----------
    columns : array (n, k)
        Characteristics; NaN is left out of its own mean.
    names : sequence of str

    Returns
    -------
    list of Estimate
        For each column ``NAME: highest``, ``NAME: lowest`` and ``NAME: highest - lowest``.
    """
    member = group_shares(priority, fold, scores.weight, groups)[:, [0, -1]]
    rows: list[Estimate] = []
    for column, name in zip(columns.T, names, strict=True):
        seen = np.isfinite(column)
        ends = member * seen[:, None]
        why = "" if ends.any(axis=0).all() else "no unit with a value in one of the groups"
        why = why if varies(priority, fold) else FLAT
        if why:
            rows.append(Estimate.missing("clan", why, term=name, level=level))
            continue
        means = group_means(np.where(seen, column, 0.0), ends, scores)
        for weights, term in (
            ([0.0, 1.0], "highest"),
            ([1.0, 0.0], "lowest"),
            ([-1.0, 1.0], "highest - lowest"),
        ):
            rows.append(
                _contrast_row(
                    "clan", scores, means, np.array(weights), f"{name}: {term}", level, ends.any(axis=1)
                )
            )
    return rows


def group_names(groups: int) -> list[str]:
    """``G1 (lowest)``, ``G2``, ..., ``G5 (highest)``."""
    inner = [f"G{g}" for g in range(2, groups)]
    return ["G1 (lowest)", *inner, f"G{groups} (highest)"]


@dataclass(frozen=True, eq=False)
class Rearranged:
    """Ends of the g-th of several rows, each end sorted among those of all, at any level."""

    rows: tuple[Estimate, ...]
    g: int

    def __call__(self, level: float) -> tuple[float, float]:
        """Ends at a level."""
        made = [row.at_level(level) for row in self.rows]
        low, high = np.sort([row.conf_low for row in made]), np.sort([row.conf_high for row in made])
        return float(low[self.g]), float(high[self.g])


def rearranged(rows: Sequence[Estimate]) -> list[Estimate]:
    """Rows whose estimates and interval ends are sorted in increasing order, each for itself."""
    estimates = np.sort([row.estimate for row in rows])
    if (estimates == np.array([row.estimate for row in rows])).all():
        return list(rows)
    return [
        row.with_(
            estimate=float(estimates[g]),
            interval=Ends(Rearranged(tuple(rows), g), row.level),
            influence=None,
            note="monotone rearrangement",
        )
        for g, row in enumerate(rows)
    ]


def _codes(labels: Any, n: int) -> tuple[list[str], Codes]:
    """Levels in order and the code (n,) of each unit, -1 where missing; levels that no unit has are left out."""
    if len(labels) != n:
        raise InvalidData(
            f"There must be one label for each unit. {len(labels):,} labels were given for {n:,} units. "
            "Take them from the rows of the study (study.index)."
        )
    given = labels if isinstance(labels, pd.Categorical) else pd.Categorical(pd.Series(labels))
    used = given.remove_unused_categories()
    return [str(each) for each in used.categories], used.codes.astype(np.int64)


def _grouped(
    estimand: str, scores: Scores, member: Array, terms: Sequence[str], level: float, joint: bool
) -> list[Estimate]:
    """Rows of each group (shares (n, k)) and ``equal``; groups that cannot be defended have a row that says why."""
    usable: npt.NDArray[np.bool_] = np.asarray(member.any(axis=1))
    n_clusters = live_clusters(scores.where(usable)) if usable.any() else 0
    if len(terms) >= max(n_clusters, 1):
        raise NotIdentified(
            f"There must be more clusters than groups. {len(terms):,} groups were asked of {n_clusters:,} clusters. "
            "Use fewer groups or a finer cluster."
        )
    reasons = {g: why for g in range(len(terms)) if (why := _unusable(scores, member[:, g] > 0))}
    kept = [g for g in range(len(terms)) if g not in reasons]
    made: dict[int, Estimate] = {}
    equal = Estimate.missing(estimand, "fewer than two groups can be compared", term="equal", level=level)
    if kept:
        means = group_means(scores.gamma, member[:, kept], scores)
        rows = [
            _contrast_row(estimand, scores, means, unit, terms[g], level, member[:, g] > 0)
            for g, unit in zip(kept, np.eye(len(kept)), strict=True)
        ]
        defended = joint and all(row.std_error > 0 for row in rows)
        made = dict(zip(kept, with_joint_band(rows, means.covariance) if defended else rows, strict=True))
        if len(kept) > 1:
            equal = _equality_row(estimand, scores, means, level)
    lost = {g: Estimate.missing(estimand, why, term=terms[g], level=level) for g, why in reasons.items()}
    return [*((made | lost)[g] for g in range(len(terms))), equal]


def _unusable(scores: Scores, member: npt.NDArray[np.bool_]) -> str:
    """Why the effect in a group cannot be defended, or an empty string."""
    n_clusters = len(np.unique(scores.cluster[member & (scores.weight > 0)]))
    if n_clusters < 2:
        return f"the group lies in {n_clusters} cluster: no error can be formed; use a coarser group"
    if scores.binary and scores.treatment is not None:
        treated = int((scores.treatment[member] == 1).sum())
        if treated in (0, int(member.sum())):
            arm = "treated" if treated == 0 else "control"
            return (
                f"the group has no {arm} unit: its effect would rest on the model alone; use a coarser group"
            )
    return ""


def _contrast_row(
    estimand: str,
    scores: Scores,
    means: GroupMeans,
    weights: Array,
    term: str,
    level: float,
    member: npt.NDArray[np.bool_],
) -> Estimate:
    estimate, std_error, influence = means.contrast(weights)
    involved = np.flatnonzero(weights)
    clusters = len(np.unique(scores.cluster[member & (scores.weight > 0)]))
    same = "the two groups hold the same units in the same shares: there is no difference between them"
    return Estimate(
        estimand,
        estimate,
        std_error,
        term=term,
        df=float(means.df[involved].min()),
        level=level,
        vcov=scores.vcov,
        n_obs=int(means.size[involved].sum()),
        n_clusters=clusters,
        influence=influence,
        note=same if len(involved) > 1 and std_error == 0 else "",
    )


def _equality_row(estimand: str, scores: Scores, means: GroupMeans, level: float) -> Estimate:
    k = len(means.mean)
    return Estimate.missing(
        estimand,
        f"F test that the {k} groups have the same mean",
        term="equal",
        level=level,
        df=means.n_live - 1,
        vcov=scores.vcov,
        n_obs=int(means.size.sum()),
        n_clusters=means.n_live,
        test=means.equality(),
    )
