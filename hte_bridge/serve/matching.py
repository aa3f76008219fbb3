"""Which columns of a forest's matrix are which covariates of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.shown import spelled
from hte_bridge.study import Study


@dataclass(frozen=True)
class Matched:
    """What was found.

    Attributes
    ----------
    place : tuple of int, optional
        For each column of the forest the study's covariate (encoded) that holds the same values; ``None`` where some
        column is none of them.
    note : str
        What differs, for the rows of the table.
    refusal : str
        Why the forest cannot belong to the study's rows, or an empty string.
    """

    place: tuple[int, ...] | None
    note: str = ""
    refusal: str = ""


def match(study: Study, theirs: Array, names: Sequence[str]) -> Matched:
    """Match columns by their values, those of the same name first.

    A covariate of the same name must agree row by row, at least in its order: splits of a tree do not know its unit.

    Parameters
    ----------
    study : Study
    theirs : array (n, q)
        The forest's columns; NaN is missing.
    names : sequence of str
        Their names; empty where the matrix had none.
    """
    ours = list(study.names.covariates)
    by_values: dict[bytes, list[int]] = {}
    for number in range(len(ours)):
        by_values.setdefault(_bytes(study.covariates[:, number]), []).append(number)
    place: list[int | None] = []
    ordered: set[int] = set()  # ours that the forest has in another unit
    for k in range(theirs.shape[1]):
        same = by_values.get(_bytes(theirs[:, k]), [])
        j = ours.index(names[k]) if k < len(names) and names[k] in ours else None
        place.append(j if j in same else same[0] if same else None)
        if j is not None and j not in same:
            differs = _bytes(_ranks(theirs[:, k])) != _bytes(_ranks(study.covariates[:, j]))
            if differs:
                return Matched(None, refusal=_other_values(study, theirs[:, k], j))
            ordered.add(j)
    used = {j for j in place if j is not None} | ordered
    if not used:
        return Matched(None, refusal=f"None of its {theirs.shape[1]:,} columns is a covariate of the study.")
    without = [f"without `{name}`" for j, name in enumerate(ours) if j not in used]
    more = [k for k, j in enumerate(place) if j is None and not (k < len(names) and names[k] in ours)]
    extra = [f"with `{names[k]}`" if k < len(names) else f"with its column {k + 1}" for k in more]
    note = "; ".join([*without, *extra][:6])
    found = tuple(j for j in place if j is not None)
    return Matched(
        found if len(found) == len(place) else None,
        f"the forest was grown on other covariates than the study's: {note}" if note else "",
    )


def _other_values(study: Study, theirs: Array, j: int) -> str:
    ours = study.covariates[:, j]
    other = np.flatnonzero((theirs != ours) & ~(np.isnan(theirs) & np.isnan(ours)))
    return (
        f"Its covariate `{study.names.covariates[j]}` differs from the study's in {len(other):,} of {study.n:,} rows; the "
        f"first is row {spelled(study.index[other[0]])}."
    )


def _bytes(column: Array) -> bytes:
    """The same for the same values: one zero, one NaN."""
    return np.where(np.isnan(column), np.nan, column + 0.0).tobytes()


def _ranks(column: Array) -> Array:
    return np.asarray(pd.Series(column).rank(method="dense"), dtype=np.float64)
