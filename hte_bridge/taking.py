"""The columns of a frame that a study's roles name, checked and taken as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge import columns
from hte_bridge.encode import Encoder
from hte_bridge.keys import row_keys
from hte_bridge.kinds import codes_of, renumbered
from hte_bridge.roles import Names, Roles


def taken(
    df: Any, named: Roles, propensity: str | float | None, treatment_type: str | None
) -> dict[str, Any]:
    """What a ``Study`` holds, by the names of its fields.

    Raises
    ------
    InvalidData
        With the sentence of the first rule that the data break.
    """
    frame, named = named.read(df)
    absorbed = {name: codes_of(frame[name], "fixed_effects", name) for name in named.fixed_effects}
    group = {name: codes_of(frame[name], "cluster", name) for name in named.clusters}
    keep, dropped = columns.complete_rows(
        frame, named.outcome, named.treatment, named.weight, absorbed, group
    )
    rows = frame if keep.all() else frame.loc[keep]
    values = number_fields(rows, named, propensity, treatment_type)
    encoder, beside = Encoder.of(rows, named.covariates), Encoder.of(rows, named.controls, "A control")
    labels = label_fields(keep, absorbed, group)
    return {
        **values,
        **labels,
        "covariates": encoder.transform(rows),
        "names": names_with(named, encoder, beside),
        "encoder": encoder,
        "dropped": dropped,
        "index": rows.index,
        "frame": rows,
        "key": row_keys(frame.index)[keep],
        "controls": beside.transform(rows) if beside.columns else None,
        "control_encoder": beside,
    }


def number_fields(
    rows: pd.DataFrame, named: Roles, propensity: str | float | None, treatment_type: str | None
) -> dict[str, Any]:
    """Outcome, treatment, weight and known propensity (n,) of the rows kept."""
    y = columns.outcome_values(rows, named.outcome)
    w, binary = columns.treatment_values(rows, named.treatment, treatment_type)
    known = named.propensity if named.propensity is not None else propensity
    return {
        "outcome": y,
        "treatment": w,
        "binary": binary,
        "weight": columns.weight_values(rows, named.weight),
        "propensity": columns.propensity_values(rows, known, binary, named.treatment),
    }


def label_fields(
    keep: npt.NDArray[np.bool_], absorbed: Mapping[str, columns.Coded], group: Mapping[str, columns.Coded]
) -> dict[str, Any]:
    """Codes and labels of effects and clusters of the rows kept, out of those of all rows."""
    labels = [renumbered(codes[keep], levels) for codes, levels in absorbed.values()]
    codes = np.column_stack([code for code, _ in labels]) if labels else np.empty((int(keep.sum()), 0))
    ways = [columns.cluster_codes(keep, each) for each in group.values()] or [columns.cluster_codes(keep)]
    (place, group_levels), *more = ways
    return {
        "fixed_effects": codes.astype(np.int64, copy=False),
        "effect_levels": tuple(levels for _, levels in labels),
        "cluster": place,
        "cluster_levels": group_levels,
        "second_cluster": more[0][0] if more else None,
    }


def names_with(named: Roles, encoder: Encoder, beside: Encoder) -> Names:
    """Names of a study's columns, those of covariates and controls as encoded."""
    first, *second = named.clusters or (None,)
    return Names(
        named.outcome,
        named.treatment,
        encoder.names,
        named.fixed_effects,
        first,
        named.weight,
        named.propensity,
        beside.names,
        second[0] if second else None,
    )
