"""Paired differences of the rows of two engines, with the covariance of their scores."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from hte_bridge.between.compared import Compared, Reading, guard_of, read, study_scores
from hte_bridge.errors import HteBridgeError, InvalidOption
from hte_bridge.estimands.large import spilled
from hte_bridge.estimands.moments import joint_covariance, joint_test, row_from_influence
from hte_bridge.faults import Fault
from hte_bridge.scores import Scores
from hte_bridge.stream.store import release
from hte_bridge.table import Estimate, check_level

Key = tuple[str, str]
AVERAGE = ("ate", "ape")  # what a coefficient is set against
SAME = 1e-9  # influence values whose difference is below this share of theirs belong to one row
MEANING = (
    "Each difference is paired: its error comes from the same units' two scores, and is smaller than the errors of the "
    "two rows would say. It takes the nuisances that each engine learned as they are. Where the propensity is known "
    "both rows estimate one number; where it is learned, a small p-value says that at least one engine's nuisances "
    "miss something."
)


def differences(table: Compared, *, level: float | None = None) -> Reading:
    """Engine minus engine for every row that both have, each with its own standard error and p-value.

    Every row is an estimate with influence values, one a unit; the difference of two rows has the difference of their
    influence values, and the error is their cluster sum (Liang and Zeger 1986, Biometrika 73(1)).

    Parameters
    ----------
    table : Comparison
    level : float, optional
        Coverage of the intervals; the table's by default.

    Returns
    -------
    Reading
        Rows of ``engine`` "grf - feols": shared estimands and terms; ``ate`` or ``ape`` of each engine less the
        ``coefficient`` of another (term "ate less coefficient"); and for estimands of several terms ``joint``, an F test
        that the engines agree on all of them. Where a row has no influence values the difference says so.

    Raises
    ------
    InvalidOption
        If the table holds rows of fewer than two engines, or was read from a file and so has no study.
    """
    if getattr(table, "study", None) is None:
        raise InvalidOption(
            "Differences need the units' scores. A table read from a file holds its rows alone. Call compare() again, or "
            "`differences` before saving."
        )
    level = check_level(table.level if level is None else level)
    engines = list(dict.fromkeys(row.engine for row in table.rows))
    if len(engines) < 2:
        raise InvalidOption(
            f"Differences need rows of two engines. The table has {', '.join(engines) or 'none'}. Add another to compare()."
        )
    scores = study_scores(table.study)
    mine = {name: {_key(row): row for row in table.rows if row.engine == name} for name in engines}
    rows: list[Estimate] = []
    guard = guard_of(table)
    for first, second in combinations(engines, 2):
        label = f"{second} - {first}"
        try:
            with guard(label, f"The difference {label}"):
                rows += list(_pair(second, first, mine[second], mine[first], scores, level))
        except Fault as fault:
            rows.append(Estimate.missing("difference", str(fault), engine=label, level=level, n_obs=scores.n))
    return read(rows, table.meta, MEANING, guard)


def _key(row: Estimate) -> Key:
    return row.estimand, row.term


def _pair(
    engine: str,
    other: str,
    mine: dict[Key, Estimate],
    theirs: dict[Key, Estimate],
    scores: Scores,
    level: float,
) -> Iterator[Estimate]:
    """Rows of ``engine - other``."""
    label = f"{engine} - {other}"
    made: dict[str, list[Estimate]] = {}
    for key in [key for key in mine if key in theirs and key[1] != "joint"]:
        row = difference(mine[key], theirs[key], scores, level=level).with_(engine=label)
        row = spilled(row, mine[key].influence)
        release(mine[key].influence, theirs[key].influence)
        made.setdefault(key[0], []).append(row)
    for estimand, rows in made.items():
        yield from rows
        if len(rows) > 1:
            yield from _joint(estimand, label, rows, scores, level)
    for average in AVERAGE:
        yield from _against_coefficient(average, label, mine, theirs, scores, level)


def _against_coefficient(
    average: str,
    label: str,
    mine: dict[Key, Estimate],
    theirs: dict[Key, Estimate],
    scores: Scores,
    level: float,
) -> Iterator[Estimate]:
    """Average effect of one engine less the coefficient of the other, where one has the coefficient alone."""
    effect = next((row for (name, _), row in mine.items() if name == average), None)
    slope = next((row for (name, _), row in theirs.items() if name == "coefficient"), None)
    sign = 1.0
    if slope is None:  # the coefficient is the first engine's: feols listed last
        effect = next((row for (name, _), row in theirs.items() if name == average), None)
        slope = next((row for (name, _), row in mine.items() if name == "coefficient"), None)
        sign = -1.0
    if effect is None or slope is None:
        return
    row = difference(effect, slope, scores, level=level)
    term = f"{average} less coefficient" if sign > 0 else f"coefficient less {average}"
    if sign < 0:
        influence = None if row.influence is None else -row.influence
        row = row.with_(estimate=-row.estimate, influence=influence)
    yield spilled(row.with_(engine=label, estimand=average, term=term), effect.influence)


def difference(row: Estimate, other: Estimate, scores: Scores, *, level: float = 0.95) -> Estimate:
    """``row - other``, its error from the paired influence values of the same units.

    Parameters
    ----------
    row, other : Estimate
        With influence values (n,) in the study's order.
    scores : Scores
        Clusters and weights of the study.
    level : float, default 0.95

    Returns
    -------
    Estimate
        Student's t with the fewer degrees of freedom of the two rows. Without influence values, a row that says why;
        two rows that are the same have difference zero and no error.
    """
    size: dict[str, Any] = {
        "term": row.term,
        "level": level,
        "n_obs": scores.n,
        "n_clusters": int(scores.cluster.max()) + 1,
    }
    for each in (row, other):
        if not np.isfinite(each.estimate):
            return Estimate.missing(
                row.estimand, f"no estimate by {each.engine}: {each.note or 'see its row'}", **size
            )
    gap = row.estimate - other.estimate
    for each in (row, other):
        if each.influence is None or len(each.influence) != scores.n:
            note = (
                f"{each.engine} holds no influence values for this row, so the covariance of the two is not known and "
                "the difference has no error"
            )
            return Estimate(row.estimand, gap, note=note, **size)
    assert row.influence is not None
    assert other.influence is not None
    influence = row.influence - other.influence
    live = (row.influence != 0) | (other.influence != 0)  # a subset counts its own clusters
    own = influence if live.all() else influence[live]
    try:
        made = row_from_influence(row.estimand, gap, own, scores.where(live), level=level, term=row.term)
    except HteBridgeError as error:
        return Estimate.missing(row.estimand, str(error), **size)
    scale = max(float(np.linalg.norm(each.influence)) for each in (row, other) if each.influence is not None)
    if not np.linalg.norm(influence) > SAME * scale:
        gap = gap if abs(gap) > SAME * scale else 0.0
        note = "the two rows are the same up to rounding: their difference has no error"
        return Estimate(row.estimand, gap, note=note, influence=np.zeros(scores.n), **size)
    return made.with_(influence=influence, df=min(made.df, row.df, other.df))


def _joint(
    estimand: str, label: str, rows: list[Estimate], scores: Scores, level: float
) -> Iterator[Estimate]:
    """F test that two engines agree on all terms of an estimand."""
    usable = [row for row in rows if row.influence is not None and row.std_error > 0]
    if len(usable) < 2:
        return
    columns = [row.influence for row in usable if row.influence is not None]
    df = min(row.df for row in usable)
    test = joint_test(np.array([row.estimate for row in usable]), joint_covariance(columns, scores), df)
    yield Estimate.missing(
        estimand,
        f"F test that the two engines agree on all {len(usable)} terms",
        term="joint",
        engine=label,
        level=level,
        df=df,
        vcov=usable[0].vcov,
        n_obs=scores.n,
        n_clusters=usable[0].n_clusters,
        test=test,
    )
