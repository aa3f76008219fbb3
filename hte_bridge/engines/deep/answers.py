"""Answers of a fit as frames: an estimate with its interval, or with none and the reason."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.errors import NotIdentified
from hte_bridge.study import Study
from hte_bridge.table import check_level, interval

NOT_CONVERGED = "The search for the scales did not converge, so no interval is offered. Try another seed, or rescale the covariates."
LASTING = (
    "No interval: errors go on within clusters, and each level of `{name}` lies in one, so that its effect takes up the "
    "mean of its errors, whose size no residual shows."
)


def answer(
    estimate: Array, std_error: Array, level: float, index: pd.Index, *, converged: bool = True
) -> pd.DataFrame:
    """``estimate std_error conf_low conf_high``; only the estimate where the fit did not converge."""
    if not converged:
        std_error = np.full_like(estimate, np.nan)
    low, high = interval(estimate, std_error, check_level(level))
    values = {"estimate": estimate, "std_error": std_error, "conf_low": low, "conf_high": high}
    return pd.DataFrame(values, index=index)


def recovered_answer(
    study: Study,
    name: str,
    parts: tuple[tuple[Array, Array, npt.NDArray[np.int64]], ...] | None,
    levels: tuple[npt.NDArray[np.generic], ...],
    level: float,
    *,
    converged: bool,
) -> pd.DataFrame:
    """Recovered effect ``name`` by level: an answer, the connected ``component`` in which it is centred, and a ``note``.

    Raises
    ------
    NotIdentified
        If the study has no fixed effect of this name.
    """
    if not parts or name not in study.names.fixed_effects:
        known = ", ".join(f"`{each}`" for each in study.names.fixed_effects) or "none"
        raise NotIdentified(
            f"Only a fixed effect of the study can be recovered. `{name}` is not one; it has {known}. "
            "Name it in `fixed_effects`."
        )
    place = study.names.fixed_effects.index(name)
    estimate, std_error, component = parts[place]
    index = pd.Index(levels[place], name=name)
    found = answer(estimate, std_error, level, index, converged=converged)
    reason = LASTING.format(name=name) if converged else NOT_CONVERGED
    return found.assign(component=component, note=np.where(found["std_error"].isna(), reason, ""))
