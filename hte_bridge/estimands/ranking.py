"""Does a ranking find those who gain most? The TOC curve and the areas under it (RATE)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidData, InvalidOption
from hte_bridge.estimands.bands import with_joint_band
from hte_bridge.estimands.folded import averaged
from hte_bridge.estimands.moments import covariance, row_from_influence
from hte_bridge.estimands.sequential import Ranking
from hte_bridge.estimands.ties import FLAT, steps
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate

Target = Literal["autoc", "qini"]
GRID = tuple(round(0.1 * step, 1) for step in range(1, 11))
ALL = "the effect on all less itself: zero whatever the data, and no interval"
WINDOW = 0.05  # half-width in ranks of the window that estimates the effect at a rank


@dataclass(frozen=True, eq=False)
class Sorted:
    """Units from highest to lowest priority; tied units stand in any order, which nothing below depends on.

    ``order`` and ``step`` (n,): positions, and which distinct priority each has, 0 the highest. ``raw``, ``weight``
    (n,) in that order, weights summing to one; ``gamma``, ``even`` (n,), scores and weights averaged within ties.
    """

    order: Codes
    step: Codes
    raw: Array
    gamma: Array
    weight: Array
    even: Array

    @property
    def ate(self) -> float:
        """Mean score."""
        return float(self.gamma @ self.weight)

    @property
    def share(self) -> Array:
        """Weight (n,) of a unit and all before it."""
        return np.cumsum(self.even)

    def shared(self, values: Array) -> Array:
        """Means (n,) within ties of values (n,) of the places in the order."""
        return _shared(values, self.even, self.step)


def sort_by(priority: Array, scores: Scores) -> Sorted:
    """Units by falling priority; tied units share their mean score."""
    step = steps(priority)
    order = np.argsort(step, kind="stable")
    weight, raw = scores.weight[order] / scores.weight.sum(), scores.gamma[order]
    even = _shared(
        weight, np.ones(len(weight)), step[order]
    )  # or a tie's heaviest unit counted more where it stood first
    return Sorted(order, step[order], raw, _shared(raw, weight, step[order]), weight, even)


def _shared(values: Array, weight: Array, step: Codes) -> Array:
    if step[-1] + 1 == len(step):
        return values
    total = np.bincount(step, weight)
    return (np.bincount(step, weight * values) / np.where(total > 0, total, 1.0))[step]


def rate(
    scores: Scores, priority: Array, *, target: Target = "autoc", level: float = 0.95, term: str = ""
) -> Estimate:
    """Rank-weighted average treatment effect of one ranking: the weighted area under the TOC curve.

    Estimate as ``grf::rank_average_treatment_effect``, with weights, ties and clusters. The error comes from the
    influence function, which allows for the estimated ranks and, where units are tied, for the noise of each score and
    the estimated sizes of the ties; grf's half-sample bootstrap is ``bootstrap_error``.
    Yadlowsky, Fleming, Shah, Brunskill and Wager (2025), JASA 120(549).

    Parameters
    ----------
    scores : Scores
    priority : array (n,)
        Larger is treated first; must not have seen the outcomes of these units.
    target : {"autoc", "qini"}
        AUTOC finds effects of few units, Qini those of many.

    Raises
    ------
    InvalidData
        If the priority has gaps or another length.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.ranking import rate
    >>> from hte_bridge.scores import Scores
    >>> row = rate(Scores(np.array([3.0, 2.0, 1.0, 0.0])), np.array([4.0, 3.0, 2.0, 1.0]), target="qini")
    >>> row.estimate
    0.3125
    """
    _check(priority, scores, target)
    ranked = sort_by(priority, scores)
    estimate = float(_area(ranked.gamma[None], ranked.even[None], target)[0])
    influence = np.empty(scores.n)
    influence[ranked.order] = _area_influence(ranked, target)
    return row_from_influence("rate", estimate, influence, scores, level=level, term=term or target)


def rate_by_fold(
    scores: Scores, ranking: Ranking, *, targets: Sequence[Target] = ("autoc", "qini"), level: float = 0.95
) -> list[Estimate]:
    """RATE within each ranked fold, averaged by size: with a sequential ranking, a valid test of heterogeneity.

    Given the earlier folds, a fold's RATE is that of a fixed rule, so the errors of the folds add up (Wager 2024,
    arXiv:2405.05534). From a held-out ranking the estimate is given without an interval.

    Returns
    -------
    list of Estimate
        A row for each target.
    """

    def make(fold: Scores, priority: Array, rows: Codes) -> list[Estimate]:
        return [rate(fold, priority, target=target) for target in targets]

    if not ranking.varies:
        return [Estimate.missing("rate", FLAT, term=target, level=level) for target in targets]
    return averaged(scores, ranking, make, level)


def toc(
    scores: Scores, priority: Array, *, grid: Sequence[float] = GRID, level: float = 0.95
) -> list[Estimate]:
    """Targeting operator characteristic: effect in the fraction q ranked highest, less the average effect.

    Estimate as grf's, the last unit counted in part. The band holds for all of the curve. Yadlowsky et al. (2025),
    JASA 120(549), eq. 2.

    Parameters
    ----------
    grid : sequence of float
        Fractions q in (0, 1]; 1 has the value zero and no interval.

    Raises
    ------
    InvalidOption
        If a fraction is outside (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.ranking import toc
    >>> from hte_bridge.scores import Scores
    >>> rows = toc(Scores(np.arange(10.0)), np.arange(10.0), grid=(0.2, 1.0))
    >>> [(row.term, round(row.estimate, 9)) for row in rows]
    [('q = 0.2', 4.0), ('q = 1', 0.0)]
    """
    _check(priority, scores, "autoc")
    fractions = np.asarray(grid, dtype=np.float64)
    if not len(fractions) or (fractions <= 0).any() or (fractions > 1).any():
        raise InvalidOption(
            f"`grid` must hold fractions in (0, 1]. {list(grid)} was given. Use 0.1, 0.2, ..., 1."
        )
    ranked = sort_by(priority, scores)
    estimates = _toc(ranked.gamma, ranked.even, fractions)
    influence = np.empty((scores.n, len(fractions)))
    influence[ranked.order] = _toc_influence(ranked, fractions)
    rows = [
        row_from_influence("toc", value, influence[:, j], scores, level=level, term=f"q = {q:g}")
        for j, (q, value) in enumerate(zip(fractions, estimates, strict=True))
    ]
    inner = np.flatnonzero((fractions < 1) & [row.std_error > 0 for row in rows])
    if len(inner):
        cov = covariance(influence[:, inner], scores)
        for j, row in zip(inner, with_joint_band([rows[j] for j in inner], cov), strict=True):
            rows[j] = row
    return [row.with_(std_error=np.nan, note=ALL) if fractions[j] == 1 else row for j, row in enumerate(rows)]


def toc_by_fold(
    scores: Scores, ranking: Ranking, *, grid: Sequence[float] = GRID, level: float = 0.95
) -> list[Estimate]:
    """TOC within each ranked fold, averaged by size, with a band for the curve where the ranking has intervals."""

    def make(fold: Scores, priority: Array, rows: Codes) -> list[Estimate]:
        return toc(fold, priority, grid=grid, level=level)

    if not ranking.varies:
        return [Estimate.missing("toc", FLAT, term=f"q = {q:g}", level=level) for q in grid]
    rows = averaged(scores, ranking, make, level)
    rows = [row if row.term != "q = 1" else row.with_(std_error=np.nan, note=ALL) for row in rows]
    live = [j for j, row in enumerate(rows) if row.std_error > 0 and row.influence is not None]
    if not live:
        return rows
    influence = np.column_stack([rows[j].influence for j in live])  # type: ignore[misc]
    cov = covariance(influence, scores)
    for j, row in zip(live, with_joint_band([rows[j] for j in live], cov), strict=True):
        rows[j] = row
    return rows


def bootstrap_error(
    scores: Scores, priority: Array, *, target: Target = "autoc", draws: int = 200, seed: int = 0
) -> float:
    """Standard error of ``rate`` by half-sampling clusters without replacement, as grf has it.

    Politis and Romano (1994), Annals of Statistics 22(4). Sorted once; each draw is a cumulative sum.
    """
    ranked = sort_by(priority, scores)
    rng = np.random.default_rng(seed)
    cluster = scores.cluster[ranked.order]
    n_clusters = int(cluster.max()) + 1
    chunk = max(1, 4_000_000 // scores.n)
    found = []
    for begin in range(0, draws, chunk):
        drawn = np.zeros((min(chunk, draws - begin), n_clusters))
        for line in drawn:
            line[rng.permutation(n_clusters)[: n_clusters // 2]] = 1.0
        weight = drawn[:, cluster] * ranked.weight
        weight /= weight.sum(axis=1, keepdims=True)
        found.append(_area(_tied_means(ranked.raw, weight, ranked.step), weight, target))
    return float(np.std(np.concatenate(found), ddof=1))


def _tied_means(raw: Array, weight: Array, step: Codes) -> Array:
    """Mean scores (draws, n) within ties under each draw's weights."""
    if step[-1] + 1 == len(step):
        return np.broadcast_to(raw, weight.shape)
    starts = np.flatnonzero(np.diff(step, prepend=-1))
    total = np.add.reduceat(weight, starts, axis=1)
    mean = np.add.reduceat(weight * raw, starts, axis=1) / np.where(total > 0, total, 1.0)
    return mean[:, step]


def _area(gamma: Array, weight: Array, target: Target) -> Array:
    """RATE (draws,) from scores and weights (draws, n) in falling order of priority."""
    share = np.cumsum(weight, axis=1)
    sums = np.cumsum(weight * gamma, axis=1)
    above = sums / np.where(share > 0, share, 1.0) - sums[:, -1:]
    return (above * weight * (share if target == "qini" else 1.0)).sum(axis=1)


def _area_influence(ranked: Sorted, target: Target) -> Array:
    """Influence values (n,) in sorted order: the linear part, and that of the estimated ranks.

    AUTOC is E[h(F) Γ] with h = -log(1 - F) - 1, Qini with h = F - 1/2, F the rank; the sample's own sums replace both. Tied
    units have the mean of h, and of the ranks' part, over the places that they fill: with tie groups of share p and mean
    m, θ = Σ m ∫h over the group, whose derivatives in m and in the borders these are. A score keeps its own noise.
    """
    weight, even, share = ranked.weight, ranked.even, ranked.share
    centred = ranked.gamma - ranked.ate
    at = np.where(share > 0, share, np.inf)  # units before the first with weight count for nothing
    if target == "qini":
        height = np.cumsum(even[::-1])[::-1] - float(share @ even)
        slope = np.ones(len(even))
    else:
        height = np.cumsum((even / at)[::-1])[::-1] - 1.0
        slope = 1.0 / at
    own = ranked.shared(height) * (ranked.raw - ranked.ate)
    linear = weight * (own - float(weight @ own))
    # moving in rank shifts the ranks of all units below: E[h'(F) (Γ - ate) (1{below} - F)]
    # with the effect at a rank smoothed: a unit's own noise must not offset itself
    tail = slope * _smoothed(centred, ranked) * even
    before = np.concatenate(
        [[0.0], np.cumsum(tail)[:-1]]
    )  # of units ranked before: their rank falls with this one
    ranks = ranked.shared(before)
    moved = weight * (ranks - float(weight @ ranks))
    return linear + moved


def _smoothed(values: Array, ranked: Sorted) -> Array:
    """Weighted means (n,) within ``WINDOW`` of ranks to either side; within ties that are wider than that, of the ties."""
    weight, share = ranked.even, ranked.share
    sums, mass = np.concatenate([[0.0], np.cumsum(weight * values)]), np.concatenate([[0.0], share])
    low = np.searchsorted(share, share - WINDOW, side="left")
    high = np.searchsorted(share, share + WINDOW, side="right")
    width = mass[high] - mass[low]
    near = (sums[high] - sums[low]) / np.where(width > 0, width, 1.0)
    return np.where(_wide(ranked), values, near)


def _wide(ranked: Sorted) -> npt.NDArray[np.bool_]:
    """Units (n,) whose ties fill more ranks than a window: their own mean is the effect at their rank."""
    return np.asarray(np.bincount(ranked.step, ranked.even)[ranked.step] >= 2 * WINDOW)


def _toc(gamma: Array, weight: Array, fractions: Array) -> Array:
    """Curve (k,): mean score of the first units that make up each fraction, less that of all."""
    share = np.concatenate([[0.0], np.cumsum(weight)])
    sums = np.concatenate([[0.0], np.cumsum(weight * gamma)])
    reach = fractions * share[-1]
    return np.interp(reach, share, sums) / reach - sums[-1] / share[-1]


def _toc_influence(ranked: Sorted, fractions: Array) -> Array:
    """Influence values (n, k) in sorted order, with the effect at the cut estimated in a window of ranks."""
    share, even, weight = ranked.share, ranked.even, ranked.weight
    centred, own = ranked.gamma - ranked.ate, ranked.raw - ranked.ate
    out = np.empty((len(weight), len(fractions)))
    for j, q in enumerate(fractions):
        near = np.abs(share - q) <= WINDOW
        cut = float(np.average(centred[near], weights=even[near])) if even[near].any() and q < 1 else 0.0
        inside = np.clip((q - share + even) / np.where(even > 0, even, 1.0), 0.0, 1.0)
        values = ranked.shared(inside) * (own - cut) / q
        out[:, j] = weight * (values - float(weight @ values) - own + float(weight @ own))
    return out


def _check(priority: Array, scores: Scores, target: str) -> None:
    if target not in ("autoc", "qini"):
        raise InvalidOption(f"`target` must be 'autoc' or 'qini'. {target!r} was given.")
    if len(priority) != scores.n:
        raise InvalidData(
            f"There must be one priority for each unit. {len(priority):,} were given for {scores.n:,} units. "
            "Predict for the rows of the study."
        )
    gaps = np.flatnonzero(~np.isfinite(priority))
    if len(gaps):
        raise InvalidData(
            f"Priorities must be finite. {len(gaps):,} of {scores.n:,} are not; the first is of unit {gaps[0]}. "
            "Leave those units out with scores.where()."
        )
