"""Effects -> rows: errors by cluster from influence values, Student's t by how few units carry the row, joint bands and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from hte_bridge.adoption import Adoption
from hte_bridge.arrays import Array
from hte_bridge.estimands.bands import banded
from hte_bridge.estimands.moments import cluster_totals
from hte_bridge.estimate import Estimate
from hte_bridge.rows import few_words
from hte_bridge.scaling import wald
from hte_bridge.staggered.effects import Effect
from hte_bridge.staggered.leverage import CellRow, free_of, reach, wide_of
from hte_bridge.study import SHORT, UNDEFENDED

DRAWS = 10_000  # of the multiplier bootstrap: Monte-Carlo error of a 95 % critical value is 1 % of it
SEED = 20_101  # the band of a row does not depend on what was drawn before
OVERALL = "overall"  # term of an aggregation's average
SAME = 1e-9  # a difference whose influence values are below this share of its parts' is rounding


def effective(lever: Array, study: Adoption) -> float:
    """Clusters of equal size that would carry a row as evenly: one over the sum of squared shares of its levers' squares.

    That of ``Study.effective_clusters``, for one cell and for what is made of several.
    """
    held = np.bincount(study.cluster, weights=lever**2)
    return float(held.sum() ** 2 / max(held @ held, np.finfo(float).tiny))


def totals(effects: Sequence[Effect], study: Adoption) -> Array:
    """Influence values of k effects by cluster (G, k)."""
    return cluster_totals(np.column_stack([each.influence for each in effects]), study.cluster)


def line(estimand: str, term: str, effect: Effect, study: Adoption, level: float) -> Estimate:
    """A row: the error is the root of squared cluster totals of influence values, as in R's did; its t has one degree of freedom less than
    ``effective`` clusters, and fewer for what fitting takes from residuals (``leverage``). Where clusters are too few, no error and a note
    (docs/few_clusters.md)."""
    size: dict[str, Any] = {
        "term": term,
        "level": level,
        "vcov": f"CRV0 ({study.names.cluster or study.names.unit})",
    }
    if effect.lost:
        return Estimate.missing(estimand, effect.lost, term=term, level=level)
    live = effect.lever > 0
    size |= {"n_obs": int(live.sum()), "n_clusters": len(np.unique(study.cluster[live]))}
    found = effective(effect.lever, study)
    note = _few(found, study)
    if found < UNDEFENDED:
        return Estimate(estimand, effect.estimate, note=note, **size)
    error = float(np.linalg.norm(cluster_totals(effect.influence, study.cluster)))
    free = min(found, size["n_clusters"]) - 1
    return _row(
        estimand, effect.estimate, error, free, effect.influence, effect.wider, study, note=note, **size
    )


def _row(
    estimand: str,
    estimate: float,
    error: float,
    free: float,
    influence: Array,
    wide: Array,
    study: Adoption,
    **size: Any,
) -> CellRow:
    """A row whose t reaches as far as that of the error of ``wide`` influence values (n,) with ``free`` degrees of freedom."""
    ratio = float(np.linalg.norm(cluster_totals(wide, study.cluster))) / error if error > 0 else 1.0
    df = reach(free, ratio, size["level"])
    return CellRow(estimand, estimate, error, df=df, influence=influence, wide=wide, free=free, **size)


def _few(found: float, study: Adoption) -> str:
    """Why a row has no error, or that its own is too small: one sentence for all rows of a kind, so that they share a footnote."""
    if found >= SHORT:
        return ""
    what = f"clusters of `{study.names.cluster}`" if study.clustered else "units"
    bound = UNDEFENDED if found < UNDEFENDED else SHORT
    lies_in = f"few {what}, as in fewer than {bound:g} of equal size"
    return few_words(lies_in, study.names.first_treated, found >= UNDEFENDED, panel=True)


def lines(estimand: str, terms: Mapping[str, Effect], study: Adoption, level: float) -> list[Estimate]:
    """A row for each term."""
    return [line(estimand, term, each, study, level) for term, each in terms.items()]


def joint(rows: Sequence[Estimate], study: Adoption) -> list[Estimate]:
    """The rows with intervals that hold all at once, by the multiplier bootstrap; those without an error stay as they are.

    Signs by cluster are drawn for the influence values; the largest deviation in units of its error, taken to the pointwise coverage that it
    stands for, gives each row's own t quantile. Rows ``overall`` are averages of the family, not of it, and stay pointwise.
    """
    kept = [
        k
        for k, row in enumerate(rows)
        if row.std_error > 0 and row.influence is not None and not row.term.endswith(OVERALL)
    ]
    if len(kept) < 2:
        return list(rows)
    chosen = [rows[k] for k in kept]
    made = dict(zip(kept, banded(chosen, largest_of(chosen, study)), strict=True))
    return [made.get(k, row) for k, row in enumerate(rows)]


def largest_of(rows: Sequence[Estimate], study: Adoption) -> Array:
    """Largest pointwise coverage (DRAWS,) that a draw of the multiplier bootstrap reaches among rows with errors."""
    influence = np.column_stack([row.influence for row in rows if row.influence is not None])
    scaled = cluster_totals(influence, study.lots) / [row.std_error for row in rows]
    rng = np.random.default_rng(SEED)
    step = max(int(4e6 // len(scaled)), 1)
    found = []
    for start in range(0, DRAWS, step):
        signs = 2.0 * rng.integers(0, 2, (min(step, DRAWS - start), len(scaled))) - 1
        found.append(np.abs(signs @ scaled).max(axis=1))
    return np.asarray(2 * stats.norm.cdf(np.concatenate(found)) - 1)


def largest_row(estimand: str, rows: Sequence[Estimate], study: Adoption, said: str, term: str) -> Estimate:
    """Test that all rows are zero by the largest of them: the smallest p-value of their joint band."""
    live = [row for row in rows if row.std_error > 0 and row.influence is not None]
    if not live:
        return Estimate.missing(estimand, f"no test: none of the {len(rows)} rows has an error", term=term)
    best = min(joint(live, study), key=lambda row: row.p_value)
    note = f"sup-t test that {said}; the largest is {best.term}"
    return _test(estimand, note, live, term, (best.statistic, best.p_value))


def wald_row(estimand: str, rows: Sequence[Estimate], study: Adoption, said: str, term: str) -> Estimate:
    """Wald test that all rows are zero, by Hotelling's law, leverage given back.

    Its degrees of freedom are the rows' harmonic mean: what an estimated variance is off by goes with one over them, and is what adds up.
    """
    live = [row for row in rows if row.std_error > 0 and row.influence is not None]
    if not live:
        return Estimate.missing(estimand, f"no test: none of the {len(rows)} rows has an error", term=term)
    by_cluster = cluster_totals(np.column_stack([wide_of(row) for row in live]), study.cluster)  # type: ignore[misc]
    raw, rank = wald(np.array([row.estimate for row in live]), by_cluster.T @ by_cluster)
    df = 1 / float(np.mean([1 / free_of(row) for row in live]))
    if rank == 0 or df - rank + 1 < 1:
        note = f"no Wald test: it needs more clusters than the {len(live)} rows have; see the sup-t test"
        return Estimate.missing(estimand, note, term=term, level=live[0].level)
    statistic = raw / rank * (df - rank + 1) / df
    p_value = float(stats.f.sf(statistic, rank, df - rank + 1))
    return _test(
        estimand,
        f"Wald test (F, {rank} and {df - rank + 1:.0f} df) that {said}",
        live,
        term,
        (statistic, p_value),
    )


def _test(
    estimand: str, note: str, rows: Sequence[Estimate], term: str, test: tuple[float, float]
) -> Estimate:
    first = rows[0]
    size: dict[str, Any] = {"n_obs": max(row.n_obs for row in rows)}
    size |= {"n_clusters": max(row.n_clusters for row in rows), "level": first.level, "vcov": first.vcov}
    return Estimate.missing(estimand, note, term=term, engine=first.engine, test=test, **size)


def difference(row: Estimate, other: Estimate, study: Adoption, **named: Any) -> Estimate:
    """``row - other`` with the covariance of both; no error where they are one row up to rounding, or one has none."""
    values = {"level": row.level, "term": row.term, "engine": row.engine, **named}
    for each in (row, other):
        if not np.isfinite(each.estimate):
            return Estimate.missing(row.estimand, each.note, **values)
    gap = row.estimate - other.estimate
    if row.influence is None or other.influence is None:
        note = row.note if row.influence is None else other.note
        return Estimate(row.estimand, gap, note=note, **values)
    influence = row.influence - other.influence
    size = max(float(np.linalg.norm(each.influence)) for each in (row, other) if each.influence is not None)
    if not np.linalg.norm(influence) > SAME * size:
        note = "the two rows are the same up to rounding: their difference has no error"
        return Estimate(row.estimand, 0.0, note=note, influence=np.zeros(study.n), **values)
    error = float(np.linalg.norm(cluster_totals(influence, study.cluster)))
    counts: dict[str, Any] = {
        "n_obs": max(row.n_obs, other.n_obs),
        "n_clusters": max(row.n_clusters, other.n_clusters),
    }
    free = min(free_of(row), free_of(other))
    wide = np.asarray(wide_of(row)) - np.asarray(wide_of(other))
    return _row(row.estimand, gap, error, free, influence, wide, study, vcov=row.vcov, **counts, **values)
