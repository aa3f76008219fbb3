"""The rules that columns must keep to make a study, each with its sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array, Codes
from hte_bridge.checks import Checked
from hte_bridge.encode import Encoder
from hte_bridge.errors import InvalidData, InvalidOption, TooFewClusters
from hte_bridge.kinds import kind_of, renumbered, to_float
from hte_bridge.shown import spelled

Coded = tuple[Codes, npt.NDArray[Any]]
ARMS_AT_MOST = 10
WEIGHTS = 1e12  # largest weight over the smallest: beyond, the small ones are lost in sums
WEIGHT_PARTS = 2.0**32  # a weight is kept to one part in so many


def complete_rows(
    frame: pd.DataFrame,
    outcome: str,
    treatment: str,
    weight: str | None,
    effects: Mapping[str, Coded],
    cluster: Mapping[str, Coded],
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Mask (n,) of the rows that every engine uses, and how many were dropped for what; codes are -1 where missing."""
    keep, dropped = np.ones(len(frame), dtype=bool), {}

    def drop(bad: npt.NDArray[np.bool_], reason: str) -> None:
        count = int((keep & bad).sum())
        if count:
            dropped[reason] = count
        keep[bad] = False

    for role, name in (("outcome", outcome), ("treatment", treatment)):
        drop(frame[name].isna().to_numpy(), f"missing {role} {name}")
    for role, each in (("effect", effects), ("cluster", cluster)):
        for name, (codes, _) in each.items():
            drop(codes < 0, f"missing {role} {name}")
    if weight is not None and kind_of(frame[weight], weight) in ("number", "boolean"):
        drop(to_float(frame[weight]) == 0, f"weight {weight} of zero")
    alone = _alone(keep, [codes for codes, _ in effects.values()])
    drop(alone, "alone in a fixed effect")
    if not keep.any():
        listed = "; ".join(f"{reason}: {count:,}" for reason, count in dropped.items())
        raise InvalidData(
            f"At least one row must have all it needs. All {len(frame):,} were dropped ({listed}). "
            "Check the columns named."
        )
    return keep, dropped


def _alone(keep: npt.NDArray[np.bool_], effects: Sequence[Codes]) -> npt.NDArray[np.bool_]:
    """Rows (n,) that are the only one of a level, again and again: dropping one can make another."""
    out = np.zeros(len(keep), dtype=bool)
    while effects:
        left = np.flatnonzero(keep & ~out)
        single = np.zeros(len(left), dtype=bool)
        for codes in effects:
            single |= np.bincount(codes[left])[codes[left]] == 1 if len(left) else False
        if not single.any():
            break
        out[left[single]] = True
    return out


def numbers(rows: pd.DataFrame, role: str, name: str, gaps: bool = False) -> Array:
    """A numeric column (n,), finite; ``gaps`` allows NaN."""
    column = rows[name]
    if kind_of(column, name) not in ("number", "boolean"):
        seen = column.dropna()
        first = (
            f"; the first is `{seen.iloc[0]}`, in row {spelled(seen.index[0])}"
            if len(seen)
            else ", all missing"
        )
        raise InvalidData(
            f"`{role}` must be numeric. `{name}` holds text or categories{first}. Recode it to numbers."
        )
    values = to_float(column)
    infinite = np.flatnonzero(np.isinf(values) if gaps else ~np.isfinite(values))
    if len(infinite):
        raise InvalidData(
            f"`{role}` must be finite. {len(infinite):,} of {len(values):,} values of `{name}` are not; the first "
            f"is in row {spelled(rows.index[infinite[0]])}. Recode them, or drop those rows."
        )
    return values


def outcome_values(rows: pd.DataFrame, outcome: str) -> Array:
    """Outcome (n,), finite and varying."""
    values = numbers(rows, "outcome", outcome)
    if values.min() == values.max():
        raise InvalidData(
            f"`outcome` must vary. All {len(values):,} values of `{outcome}` are {values[0]:g}. Name another column."
        )
    return values


def treatment_values(rows: pd.DataFrame, treatment: str, treatment_type: str | None) -> tuple[Array, bool]:
    """Treatment (n,), and whether it is binary."""
    values = numbers(rows, "treatment", treatment)
    distinct = np.unique(values)
    if len(distinct) == 1:
        raise InvalidData(
            f"`treatment` must vary. All {len(values):,} values of `{treatment}` are {distinct[0]:g}. Effects need "
            "treated and control units."
        )
    if treatment_type not in (None, "binary", "continuous"):
        raise InvalidData(
            f"`treatment_type` must be 'binary', 'continuous' or 'arms'. {treatment_type!r} was given. Leave it out to let "
            "the values decide."
        )
    is_binary = bool(np.isin(distinct, [0.0, 1.0]).all())
    if treatment_type == "continuous":
        return values, False
    few = len(distinct) <= ARMS_AT_MOST and bool((distinct == np.round(distinct)).all())
    if is_binary or not (few or len(distinct) == 2 or treatment_type == "binary"):
        return values, is_binary
    odd = np.flatnonzero(~np.isin(values, [0.0, 1.0]))
    advice = (
        "Recode it, or drop those rows."
        if len(distinct) == 2 or treatment_type == "binary"
        else "Recode it, or drop those rows; for several arms say `treatment_type='arms'`, for a dose "
        "`treatment_type='continuous'`."
    )
    raise InvalidData(
        f"`treatment` must hold only 0 (control) and 1 (treated). {len(odd):,} of {len(values):,} values do not; "
        f"the first is {values[odd[0]]:g}, in row {spelled(rows.index[odd[0]])}. {advice}"
    )


def named_treatment(treatment: Any, control: Any) -> None:
    """A treatment is named, and a ``control`` among arms only where there are arms."""
    if treatment is None:
        raise InvalidData(
            "`treatment` must name a column of the data. None was given. Name it, or, where units adopt at different times, name "
            "`unit`, `period` and `first_treated`."
        )
    if control is not None:
        raise InvalidOption(
            f"`control` names one of several arms. {control!r} was given without `treatment_type='arms'`. Add that, or leave it out."
        )


def covariate_values(study: Checked) -> None:
    """Covariates and controls vary, are not the outcome, the treatment or each other, and have names of their own."""
    both = study.adjusted
    distinct_names(both.encoder, both.covariates)
    seen: dict[bytes, str] = {}
    for place, (values, name) in enumerate(zip(both.covariates.T, both.names.covariates, strict=True)):
        what = "A covariate" if place < study.covariates.shape[1] else "A control"
        known = values[~np.isnan(values)]
        if not len(known):
            raise InvalidData(f"{what} must have values. `{name}` is missing in every row. Leave it out.")
        if known.min() == known.max() and len(known) == len(values):
            raise InvalidData(
                f"{what} must vary. All values of `{name}` are {known[0]:g} in the rows used. Leave it out."
            )
        for role, other, named in (
            ("outcome", study.outcome, study.names.outcome),
            ("treatment", study.treatment, study.names.treatment),
        ):
            if np.array_equal(values, other):
                raise InvalidData(
                    f"{what} must be known before treatment. `{name}` equals the {role} `{named}` in every row. Leave it out."
                )
        key = blake2b(np.ascontiguousarray(values).data).digest()
        if key in seen:
            raise InvalidData(
                f"{'Covariates' if what == 'A covariate' else 'Controls'} must differ. `{name}` equals `{seen[key]}` in every row. "
                "Leave one of them out."
            )
        seen[key] = name


def distinct_names(encoder: Encoder, x: Array) -> None:
    """Encoded covariates, and what engines put beside them, have names of their own."""
    gaps = [encoder.sources[place] for place in np.unique(encoder.owner[np.isnan(x).any(axis=0)])]
    beside = [f"{name} missing" for name in gaps]
    beside += [f"{code.name} (normal score)" for code in encoder.columns if code.kind == "number"]
    twice = [name for name, times in Counter([*encoder.names, *beside]).items() if times > 1]
    if twice:
        raise InvalidData(
            f"Columns of covariates must have names of their own. `{twice[0]}` would be the name of two: a category's level is "
            "named `column[level]`, what is missing `column missing`. Rename one of them."
        )


def cluster_codes(keep: npt.NDArray[np.bool_], coded: Coded | None = None) -> tuple[Codes, npt.NDArray[Any]]:
    """Code of each kept unit's cluster and the labels; each unit its own where none is named."""
    if coded is None:
        n = int(keep.sum())
        return np.arange(n), np.arange(n)
    codes, labels = renumbered(coded[0][keep], coded[1])
    if len(labels) < 2:
        raise TooFewClusters(len(labels))
    return codes, labels


def weight_values(rows: pd.DataFrame, weight: str | None) -> Array:
    """Weights (n,), positive, of mean one whatever the scale they are given in."""
    if weight is None:
        return np.ones(len(rows))
    missing = np.flatnonzero(rows[weight].isna())
    if len(missing):
        raise InvalidData(
            f"`weight` must be known in every row. {len(missing):,} of {len(rows):,} values of `{weight}` are "
            f"missing; the first is in row {spelled(rows.index[missing[0]])}. Fill them, or drop those rows."
        )
    values = numbers(rows, "weight", weight)
    negative = np.flatnonzero(values < 0)
    if len(negative):
        raise InvalidData(
            f"`weight` must not be negative. {len(negative):,} of {len(values):,} values of `{weight}` are; the first "
            f"is {values[negative[0]]:g}, in row {spelled(rows.index[negative[0]])}. Correct them, or drop those rows."
        )
    return _of_mean_one(values, weight)


def _of_mean_one(values: Array, weight: str) -> Array:
    """Weights over their mean, to nine digits: a scale leaves other last bits, by which a forest would break ties between splits."""
    values = np.ldexp(values, -np.frexp(values.max())[1])  # exact, so that no sum overflows
    if values.max() > WEIGHTS * values.min():
        raise InvalidData(
            f"The largest `weight` must be at most {WEIGHTS:.0e} times the smallest. In `{weight}` it is more. Drop the rows "
            "whose weights are nearly zero, or correct them."
        )
    part, exponent = np.frexp(values / values.mean())
    return np.ldexp(np.round(part * WEIGHT_PARTS) / WEIGHT_PARTS, exponent)


def propensity_values(
    rows: pd.DataFrame, propensity: str | float | None, binary: bool, treatment: str
) -> Array | None:
    """Known propensity (n,) in (0, 1), or ``None``."""
    if propensity is None:
        return None
    if not binary:
        raise InvalidData(
            f"`propensity` must come with a treatment of 0 and 1. `{treatment}` is continuous. Leave it out."
        )
    if isinstance(propensity, str):
        values = numbers(rows, "propensity", propensity, gaps=True)
    else:
        if not isinstance(propensity, int | float | np.number):
            found = f"{np.size(propensity):,} numbers were" if np.ndim(propensity) else f"{propensity!r} was"
            raise InvalidData(
                f"`propensity` must be a column name or one number. {found} given. Put the values into a column of the "
                "data and name it."
            )
        values = np.full(len(rows), float(propensity))
    bad = np.flatnonzero(~((values > 0) & (values < 1)))
    if len(bad):
        raise InvalidData(
            f"`propensity` must lie strictly between 0 and 1. {len(bad):,} of {len(values):,} values do not; the "
            f"first is {values[bad[0]]:g}, in row {spelled(rows.index[bad[0]])}. Correct them, or drop those rows."
        )
    return values
