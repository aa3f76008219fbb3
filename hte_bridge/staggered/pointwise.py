"""Effects on adopters at new covariates: by a line, or by the engine that was fitted to the stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.adoption import Adoption
from hte_bridge.arrays import Array
from hte_bridge.engine import Fit
from hte_bridge.errors import NotIdentified
from hte_bridge.estimands.moments import cluster_totals
from hte_bridge.estimate import interval
from hte_bridge.frames import to_pandas
from hte_bridge.scaling import Standard, independent
from hte_bridge.staggered.effects import Effect, Scored
from hte_bridge.staggered.leverage import given_back
from hte_bridge.staggered.lines import effective
from hte_bridge.study import UNDEFENDED

AT_ONCE = 400  # points whose joint posterior is asked for at once
LINE = (
    "the line in the covariates that is nearest to the effect on adopters; its interval holds for that line"
)
BOUND = "averaged over cohorts as if their errors were one: no shorter than the average's own"


def slopes(
    study: Adoption, scored: Scored, cells: Sequence[int], z: Array
) -> tuple[Array, Effect, Array, Array]:
    """Coefficients (q,) of the effect on adopters on the columns ``z`` (N, q), over some cells; the lever; influence (n, q), and the same of
    residuals that fitting took nothing from.

    Adopters of all the cells count alike; comparison units stand in for them as in ``Nuisance.moments``.

    Raises
    ------
    NotIdentified
        If the columns are collinear among the adopters, or no cell can be scored.
    """
    gram, total = np.zeros((z.shape[1], z.shape[1])), np.zeros(z.shape[1])
    parts: list[tuple[int, Array, Array, Array]] = []
    lever, own, reason = np.zeros(study.n), np.zeros(study.n), ""
    for k in cells:
        cell, inside = study.cells[k], z[study.part(k)]
        try:
            nuisance = scored.nuisance(k, np.ones(len(cell.units), dtype=bool))
        except NotIdentified as error:
            reason = str(error)
            continue
        moved, rows = nuisance.moments(inside)
        treated = inside[cell.treated]
        gram, total = gram + treated.T @ treated, total + moved
        wide = given_back(nuisance, study.cluster[cell.units]).moments(inside)[1]
        parts.append((k, inside, rows, wide))
        lever[cell.units] += np.where(cell.treated, 1.0, cell.treated.sum() / max((~cell.treated).sum(), 1))
        own[cell.units[cell.treated]] += 1.0
    if not parts:
        raise NotIdentified(reason or "no cell of this event time can be scored")
    stacked = np.vstack([inside[study.cells[k].treated] for k, inside, *_ in parts])
    if not independent(stacked, 1e-8).all():
        raise NotIdentified(
            "The columns must not repeat each other among the adopters. The ones given are collinear. Leave one of them out."
        )
    inverse = np.linalg.inv(gram)
    beta, influence, wider = inverse @ total, *np.zeros((2, study.n, z.shape[1]))
    for k, inside, rows, wide in parts:
        cell = study.cells[k]
        own_part = np.where(cell.treated[:, None], inside * (inside @ beta)[:, None], 0.0)
        np.add.at(influence, cell.units, (rows - own_part) @ inverse)
        np.add.at(wider, cell.units, (wide - own_part) @ inverse)
    return beta, Effect(float(beta[0]), influence[:, 0], lever, own), influence, wider


def line_cate(study: Adoption, scored: Scored, cells: Sequence[int], new: Any, level: float) -> pd.DataFrame:
    """The effect at new rows by the nearest line, pointwise; no interval where too few units carry it."""
    frame = study.encoder.frame(new) if study.names.covariates else to_pandas(new)
    at = np.empty((len(frame), 0))
    if study.names.covariates:
        at = study.filler.transform(study.encoder.transform(frame))
    rows = np.concatenate([study.filled[study.part(k)][study.cells[k].treated] for k in cells])
    standard = Standard.of(rows) if at.shape[1] else None
    design = (
        np.column_stack([np.ones(len(study.filled)), standard(study.filled)])
        if standard
        else np.ones((len(study.filled), 1))
    )
    points = np.column_stack([np.ones(len(at)), standard(at)]) if standard else np.ones((len(at), 1))
    kept = (
        independent(np.column_stack([np.ones(len(rows)), standard(rows)]), 1e-8)
        if standard
        else np.ones(1, dtype=bool)
    )
    beta, carried, _, wide = slopes(study, scored, cells, design[:, kept])
    totals = cluster_totals(wide, study.cluster)
    std_error = np.linalg.norm(points[:, kept] @ totals.T, axis=1)
    found = effective(carried.lever, study)
    if found < UNDEFENDED:
        std_error = np.full(len(points), np.nan)
    table = _table(points[:, kept] @ beta, std_error, level, frame.index, df=max(found - 1, 1.0))
    table.attrs["note"] = LINE
    return table


def stack_cate(study: Adoption, fit: Fit, cells: Sequence[int], new: Any, level: float) -> pd.DataFrame:
    """The effect at new rows by an engine that was fitted to the stack, averaged over the cohorts of the cells by their size."""
    frame, names = to_pandas(new), study.stack_names
    cohorts = [
        {names.cohort: study.cells[k].cohort, names.event_time: study.cells[k].event_time} for k in cells
    ]
    share = np.array([study.cells[k].treated.sum() for k in cells], dtype=np.float64)
    share /= share.sum()
    step = max(AT_ONCE // len(cells), 1)
    parts, note = [], ""
    for start in range(0, len(frame), step):
        some = frame.iloc[start : start + step]
        every = pd.concat([some.assign(**each) for each in cohorts]).reset_index(drop=True)
        estimate, std_error, said = _averaged(fit, every, len(some), share, level)
        parts.append((estimate, std_error))
        note = said
    estimate, std_error = (
        (np.concatenate(each) for each in zip(*parts, strict=True)) if parts else (np.empty(0), np.empty(0))
    )
    table = _table(estimate, std_error, level, frame.index)
    if note:
        table.attrs["note"] = note
    return table


def _averaged(fit: Fit, every: pd.DataFrame, m: int, share: Array, level: float) -> tuple[Array, Array, str]:
    """Mean over cohorts of m points (cohort by cohort in ``every``), its error, and what is to be said of it."""
    average = getattr(fit, "average", None)
    if average is not None and len(share) > 1:  # a posterior knows how the cohorts' effects go together
        found = average(every, groups=np.arange(len(every)))
        weights = np.kron(share, np.eye(m))
        mean = weights @ found["estimate"].to_numpy()
        spread = np.einsum("ij,jk,ik->i", weights, found.attrs["covariance"], weights)
        known = np.isfinite(found["std_error"].to_numpy()).all()
        return mean, np.sqrt(np.maximum(spread, 0.0)) if known else np.full(m, np.nan), ""
    found = fit.cate(every, level)
    estimate, std_error = (
        share @ found[name].to_numpy().reshape(len(share), m) for name in ("estimate", "std_error")
    )
    said = [found.attrs.get("note", ""), BOUND if len(share) > 1 else ""]
    return estimate, std_error, "; ".join(filter(None, said))


def _table(
    estimate: Array, std_error: Array, level: float, index: pd.Index, df: float = np.inf
) -> pd.DataFrame:
    low, high = interval(estimate, std_error, level, df)
    values = {"estimate": estimate, "std_error": std_error, "conf_low": low, "conf_high": high}
    return pd.DataFrame(values, index=index)
