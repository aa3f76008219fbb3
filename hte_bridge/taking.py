"""The columns of a frame that a study's roles name, checked and taken as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

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
    y = columns.outcome_values(rows, named.outcome)
    w, binary = columns.treatment_values(rows, named.treatment, treatment_type)
    encoder, beside = Encoder.of(rows, named.covariates), Encoder.of(rows, named.controls, "A control")
    labels = [renumbered(codes[keep], levels) for codes, levels in absorbed.values()]
    codes = np.column_stack([code for code, _ in labels]) if labels else np.empty((len(rows), 0))
    ways = [columns.cluster_codes(keep, each) for each in group.values()] or [columns.cluster_codes(keep)]
    (place, group_levels), *more = ways
    known = named.propensity if named.propensity is not None else propensity
    return {
        "outcome": y,
        "treatment": w,
        "covariates": encoder.transform(rows),
        "fixed_effects": codes.astype(np.int64),
        "cluster": place,
        "weight": columns.weight_values(rows, named.weight),
        "propensity": columns.propensity_values(rows, known, binary, named.treatment),
        "names": Names(
            named.outcome,
            named.treatment,
            encoder.names,
            named.fixed_effects,
            named.clusters[0] if named.clusters else None,
            named.weight,
            named.propensity,
            beside.names,
            named.clusters[1] if more else None,
        ),
        "encoder": encoder,
        "effect_levels": tuple(levels for _, levels in labels),
        "cluster_levels": group_levels,
        "dropped": dropped,
        "index": rows.index,
        "binary": binary,
        "frame": rows,
        "key": row_keys(frame.index)[keep],
        "controls": beside.transform(rows) if beside.columns else None,
        "control_encoder": beside,
        "second_cluster": more[0][0] if more else None,
    }
