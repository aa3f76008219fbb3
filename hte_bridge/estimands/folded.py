"""One row from the rows of each fold, when each fold was ranked by a model of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.estimands.moments import row_from_influence
from hte_bridge.estimands.sequential import Ranking
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate

Maker = Callable[[Scores, Array, Codes], list[Estimate]]


def averaged(scores: Scores, ranking: Ranking, make: Maker, level: float) -> list[Estimate]:
    """Rows of each ranked fold, averaged by the weight of the fold.

    Given the earlier folds, a fold is judged by a rule that is fixed, so the influence values of the folds stand
    side by side (Luedtke and van der Laan 2016, Annals of Statistics 44(2)).

    Parameters
    ----------
    scores : Scores
    ranking : Ranking
    make : function of scores, priority and positions
        Gets the fold's scores, priority, and its positions (m,) among all units; returns the same rows for each fold.

    Returns
    -------
    list of Estimate
        With the ranking's note, and without intervals where the ranking gives none.
    """
    usable = np.isfinite(ranking.priority)
    total = scores.weight[usable].sum()
    estimates: Array | None = None
    influence: Array | None = None
    rows: list[Estimate] = []
    for each in np.unique(ranking.fold[usable]):
        inside = np.flatnonzero(usable & (ranking.fold == each))
        rows = make(scores.where(inside), ranking.priority[inside], inside)
        if estimates is None or influence is None:
            estimates, influence = np.zeros(len(rows)), np.zeros((scores.n, len(rows)))
        share = scores.weight[inside].sum() / total
        for j, row in enumerate(rows):
            assert row.influence is not None
            estimates[j] += share * row.estimate
            influence[inside, j] = share * row.influence
    assert estimates is not None
    assert influence is not None
    live = scores.where(usable)
    out = []
    for j, row in enumerate(rows):
        value = row_from_influence(
            row.estimand, estimates[j], influence[usable, j], live, level=level, term=row.term
        )
        out.append(without_interval(value.with_(influence=influence[:, j], note=ranking.note), ranking))
    return out


def without_interval(row: Estimate, ranking: Ranking) -> Estimate:
    """The row as it is, or without error, interval and p-value where its ranking gives none."""
    if ranking.how != "heldout":
        return row
    nothing = (np.nan, np.nan)
    return row.with_(std_error=np.nan, interval=nothing, test=nothing, influence=None)
