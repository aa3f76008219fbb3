"""The rules that columns must keep to make a study, each with its sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.encode import kind_of, to_float
from hte_bridge.errors import InvalidData, NotIdentified, TooFewClusters, nearest
from hte_bridge.sweeping import within

if TYPE_CHECKING:
    from hte_bridge.study import Folds, Study

Array = npt.NDArray[np.float64]
ARMS_AT_MOST = 10
LARGEST, LEAST = 1e50, 1e-50  # sizes whose squares, quotients and their squares are numbers still


def columns(
    frame: pd.DataFrame,
    outcome: str,
    treatment: str,
    covariates: list[str],
    effects: list[str],
    cluster: str | None,
    weight: str | None,
    propensity: str | None,
) -> None:
    """Every column named is there, and none has two roles that exclude each other."""
    if not len(frame):
        raise InvalidData("The frame must have rows. It has none. Check how it was read or filtered.")
    roles = [("outcome", outcome), ("treatment", treatment)]
    roles += [("covariates", name) for name in covariates] + [("fixed_effects", name) for name in effects]
    roles += [
        (role, name)
        for role, name in (("cluster", cluster), ("weight", weight), ("propensity", propensity))
        if name is not None
    ]
    taken: dict[str, str] = {}
    for role, name in roles:
        if name not in frame.columns:
            raise InvalidData(
                f"`{role}` must name a column of the data. `{name}` is not one. {nearest(name, frame.columns)}"
            )
        if role == "cluster" and taken.get(name) == "fixed_effects":
            continue  # clustering by an effect is usual
        if role == "cluster" and taken.get(name) == "covariates":
            continue
        if name in taken:
            twice = (
                f"is named twice in `{role}`" if taken[name] == role else f"is `{taken[name]}` and `{role}`"
            )
            raise InvalidData(f"A column must have one role. `{name}` {twice}. Name it once.")
        taken[name] = role
    if not covariates:
        raise InvalidData(
            "`covariates` must name at least one column, along which effects may differ. None was given. "
            "Name what was known before treatment."
        )


def complete_rows(
    frame: pd.DataFrame,
    outcome: str,
    treatment: str,
    effects: list[str],
    cluster: str | None,
    weight: str | None,
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Mask of the rows that every engine uses, and how many were dropped for what."""
    keep, dropped = np.ones(len(frame), dtype=bool), {}

    def drop(bad: npt.NDArray[np.bool_], reason: str) -> None:
        count = int((keep & bad).sum())
        if count:
            dropped[reason] = count
        keep[bad] = False

    for role, name in (("outcome", outcome), ("treatment", treatment)):
        drop(frame[name].isna().to_numpy(), f"missing {role} {name}")
    for name in effects:
        drop(frame[name].isna().to_numpy(), f"missing effect {name}")
    if cluster is not None:
        drop(frame[cluster].isna().to_numpy(), f"missing cluster {cluster}")
    if weight is not None:
        weights = frame[weight]
        if kind_of(weights, weight) in ("number", "boolean"):
            drop(weights.eq(0).fillna(False).to_numpy(dtype=bool), f"weight {weight} of zero")
    while effects and keep.any():  # dropping a singleton can make another
        alone = np.zeros(len(frame), dtype=bool)
        for name in effects:
            codes = pd.factorize(frame[name].to_numpy()[keep])[0]
            alone[np.flatnonzero(keep)[np.bincount(codes)[codes] == 1]] = True
        if not alone.any():
            break
        dropped["alone in a fixed effect"] = dropped.get("alone in a fixed effect", 0) + int(alone.sum())
        keep[alone] = False
    if not keep.any():
        listed = "; ".join(f"{reason}: {count:,}" for reason, count in dropped.items())
        raise InvalidData(
            f"At least one row must have all it needs. All {len(frame):,} were dropped ({listed}). "
            "Check the columns named."
        )
    return keep, dropped


def _numbers(rows: pd.DataFrame, role: str, name: str) -> Array:
    column = rows[name]
    if kind_of(column, name) not in ("number", "boolean"):
        seen = column.dropna()
        raise InvalidData(
            f"`{role}` must be numeric. `{name}` holds text or categories; the first is `{seen.iloc[0]}`, in row "
            f"{seen.index[0]}. Recode it to numbers."
        )
    values = to_float(column)
    infinite = np.flatnonzero(~np.isfinite(values))
    if len(infinite):
        raise InvalidData(
            f"`{role}` must be finite. {len(infinite):,} of {len(values):,} values of `{name}` are not; the first "
            f"is in row {rows.index[infinite[0]]}. Recode them, or drop those rows."
        )
    return values


def outcome_values(rows: pd.DataFrame, outcome: str) -> Array:
    """Outcome (n,), finite and varying."""
    values = _numbers(rows, "outcome", outcome)
    if np.ptp(values) == 0:
        raise InvalidData(
            f"`outcome` must vary. All {len(values):,} values of `{outcome}` are {values[0]:g}. Name another column."
        )
    return values


def treatment_values(rows: pd.DataFrame, treatment: str, treatment_type: str | None) -> tuple[Array, bool]:
    """Treatment (n,), and whether it is binary."""
    values = _numbers(rows, "treatment", treatment)
    some = np.unique(values[:1000])
    whole = bool((some == np.round(some)).all())
    distinct = np.unique(values) if len(some) <= ARMS_AT_MOST and whole else some
    if len(distinct) == 1:
        raise InvalidData(
            f"`treatment` must vary. All {len(values):,} values of `{treatment}` are {distinct[0]:g}. Effects need "
            "treated and control units."
        )
    if treatment_type not in (None, "binary", "continuous"):
        raise InvalidData(
            f"`treatment_type` must be 'binary' or 'continuous'. {treatment_type!r} was given. Leave it out to let "
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
        else "Recode it, or drop those rows; several arms are compared two at a time; for a dose say "
        "`treatment_type='continuous'`."
    )
    raise InvalidData(
        f"`treatment` must hold only 0 (control) and 1 (treated). {len(odd):,} of {len(values):,} values do not; "
        f"the first is {values[odd[0]]:g}, in row {rows.index[odd[0]]}. {advice}"
    )


def covariate_values(
    x: Array, names: tuple[str, ...], outcome: Array, treatment: Array, outcome_name: str, treatment_name: str
) -> None:
    """Covariates vary, are not the outcome, the treatment or each other."""
    seen: dict[bytes, str] = {}
    for values, name in zip(x.T, names, strict=True):
        known = values[~np.isnan(values)]
        if not len(known):
            raise InvalidData(
                f"A covariate must have values. `{name}` is missing in every row. Leave it out."
            )
        if np.ptp(known) == 0 and len(known) == len(values):
            raise InvalidData(
                f"A covariate must vary. All values of `{name}` are {known[0]:g} in the rows used. Leave it out."
            )
        for role, other, what in (
            ("outcome", outcome, outcome_name),
            ("treatment", treatment, treatment_name),
        ):
            if np.array_equal(values, other):
                raise InvalidData(
                    f"A covariate must be known before treatment. `{name}` equals the {role} `{what}` in every row. "
                    "Leave it out."
                )
        key = np.ascontiguousarray(values).tobytes()
        if key in seen:
            raise InvalidData(
                f"Covariates must differ. `{name}` equals `{seen[key]}` in every row. Leave one of them out."
            )
        seen[key] = name


def cluster_codes(rows: pd.DataFrame, cluster: str | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Code of each unit's cluster and the labels; each unit its own where none is named."""
    if cluster is None:
        return np.arange(len(rows)), np.arange(len(rows))
    codes, labels = pd.factorize(rows[cluster], sort=True)
    if len(labels) < 2:
        raise TooFewClusters(len(labels))
    return codes.astype(np.int64), np.asarray(labels)


def weight_values(rows: pd.DataFrame, weight: str | None) -> Array:
    """Weights (n,), positive."""
    if weight is None:
        return np.ones(len(rows))
    missing = np.flatnonzero(rows[weight].isna())
    if len(missing):
        raise InvalidData(
            f"`weight` must be known in every row. {len(missing):,} of {len(rows):,} values of `{weight}` are "
            f"missing; the first is in row {rows.index[missing[0]]}. Fill them, or drop those rows."
        )
    values = _numbers(rows, "weight", weight)
    negative = np.flatnonzero(values < 0)
    if len(negative):
        raise InvalidData(
            f"`weight` must not be negative. {len(negative):,} of {len(values):,} values of `{weight}` are; the first "
            f"is {values[negative[0]]:g}, in row {rows.index[negative[0]]}. Correct them, or drop those rows."
        )
    return values


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
        values = to_float(rows[propensity])
    else:
        given = np.asarray(propensity, dtype=np.float64)
        if given.ndim:
            raise InvalidData(
                f"`propensity` must be a column name or one number. {given.size:,} numbers were given. Put them into "
                "a column of the data and name it."
            )
        values = np.full(len(rows), float(given))
    bad = np.flatnonzero(~((values > 0) & (values < 1)))
    if len(bad):
        raise InvalidData(
            f"`propensity` must lie strictly between 0 and 1. {len(bad):,} of {len(values):,} values do not; the "
            f"first is {values[bad[0]]:g}, in row {rows.index[bad[0]]}. Correct them, or drop those rows."
        )
    return values


def measurable(study: Study) -> None:
    """Columns are of sizes that can be squared and divided by each other."""
    columns = [
        ("outcome", study.names.outcome, study.outcome),
        ("treatment", study.names.treatment, study.treatment),
    ]
    columns += [("covariate", *each) for each in zip(study.names.covariates, study.covariates.T, strict=True)]
    for role, name, values in columns:
        known = np.where(np.isnan(values), 0.0, np.abs(values))
        row = int(known.argmax())
        if known[row] > LARGEST:
            raise InvalidData(
                f"`{role} {name}` must be below {LARGEST:g} in size, so that sums of squares can be formed. The largest value is "
                f"{values[row]:.3g}, in row {study.index[row]}. Give it in another unit."
            )
        if known[row] < LEAST:
            raise InvalidData(
                f"`{role} {name}` must have values above {LEAST:g} in size, so that sums of squares can be formed. The largest is "
                f"{values[row]:.3g}, in row {study.index[row]}. Give it in another unit."
            )


def identified(study: Study) -> None:
    """The treatment varies within the effects, and no covariate decides it alone."""
    if study.fixed_effects.shape[1]:
        left = within(study.treatment, study.fixed_effects, study.weight, tolerance=1e-7)
        if np.std(left) < 1e-5 * np.std(study.treatment):
            named = ", ".join(f"`{name}`" for name in study.names.fixed_effects)
            raise NotIdentified(
                f"The treatment must vary within the fixed effects. {named} absorb all of "
                f"`{study.names.treatment}`. Leave out an effect."
            )
        return
    if study.binary and study.propensity is None:
        treated = study.treatment == 1
        for values, name in zip(study.covariates.T, study.names.covariates, strict=True):
            one, zero = values[treated], values[~treated]
            if np.isnan(one).all() or np.isnan(zero).all():
                continue
            if np.nanmin(one) > np.nanmax(zero) or np.nanmax(one) < np.nanmin(zero):
                raise NotIdentified(
                    f"Treated and control units must overlap in every covariate. `{name}` separates them "
                    f"perfectly (treated {np.nanmin(one):g} to {np.nanmax(one):g}, controls "
                    f"{np.nanmin(zero):g} to {np.nanmax(zero):g}). Leave it out if it is the assignment itself; "
                    "no effect can be learned across such a gap."
                )


def lost_to_effects(
    study: Study, folds: Folds, clusters: Sequence[npt.NDArray[np.int64]] | None = None
) -> float:
    """Share of the rows that the study's fixed effects, swept out within each fold, take as degrees of freedom.

    Effects whose levels lie in one cluster each, of the study's or of any of the ``clusters`` (n,) given, are not counted, as errors by
    cluster hold what sweeping them out did (pyfixest's and fixest's ``fixef_k="nested"``).
    """
    effects = study.fixed_effects
    if clusters is None:
        clusters = [study.cluster] if study.clustered else []
    held = [any(nested(codes, cluster) for cluster in clusters) for codes in effects.T]
    counted = [codes for codes, inside in zip(effects.T, held, strict=True) if not inside]
    taken = 0
    for _, test in folds:
        levels = sum(len(np.unique(codes[test])) for codes in counted)
        taken += max(levels - max(len(counted) - (not any(held)), 0), 0)
    return min(taken / study.n, 0.99)


def inflation(study: Study, folds: Folds, clusters: Sequence[npt.NDArray[np.int64]] | None = None) -> float:
    """Factor of the errors of a panel's rows from scores for what ``lost_to_effects`` takes; one without fixed effects."""
    return float((1.0 - lost_to_effects(study, folds, clusters)) ** -0.5)


def nested(codes: npt.NDArray[np.int64], cluster: npt.NDArray[np.int64]) -> bool:
    """Whether each level lies in one cluster."""
    cells = np.unique(codes * (int(cluster.max()) + 1) + cluster)
    return len(cells) == len(np.unique(codes))


def enough_for_folds(study: Study, n_folds: int) -> None:
    """Each fold can hold units of each arm, or a cluster."""
    if study.n_clusters < 2 * n_folds if not study.clustered else study.n_clusters < n_folds:
        what = "clusters" if study.clustered else "rows"
        need = n_folds if study.clustered else 2 * n_folds
        raise InvalidData(
            f"{n_folds} folds need at least {need} {what}. {study.n_clusters} found. Use fewer folds or more data."
        )
    if study.binary and not study.fixed_effects.shape[1]:
        for arm, name in ((1, "treated"), (0, "control")):
            count = int((study.treatment == arm).sum())
            if count < 2 * n_folds:
                raise InvalidData(
                    f"{n_folds} folds need at least {2 * n_folds} {name} units. {count} found. Use fewer folds or "
                    "more data."
                )
