"""Answers of a fit as frames: an estimate with its interval, or with none and the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.result import Posterior
from hte_bridge.errors import InvalidNewData, NotIdentified
from hte_bridge.study import Study
from hte_bridge.table import check_level, interval

BAND_DRAWS = 2_000
NOT_CONVERGED = "The search for the scales did not converge, so no interval is offered. Try another seed, or rescale the covariates."
LASTING = (
    "No interval: errors go on within clusters, and each level of `{name}` lies in one, so that its effect takes up the "
    "mean of its errors, whose size no residual shows."
)


def answer(
    estimate: Array, std_error: Array, level: float, index: pd.Index, *, converged: bool = True
) -> pd.DataFrame:
    """``estimate std_error conf_low conf_high``; only the estimate where the fit did not converge, and why in ``attrs["note"]``."""
    if not converged:
        std_error = np.full_like(estimate, np.nan)
    low, high = interval(estimate, std_error, check_level(level))
    values = {"estimate": estimate, "std_error": std_error, "conf_low": low, "conf_high": high}
    found = pd.DataFrame(values, index=index)
    if not converged:
        found.attrs["note"] = NOT_CONVERGED
    return found


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
        If the study has no fixed effect of this name, or is one of files, whose effects are swept out level by level and not kept.
    """
    if name in study.names.fixed_effects and not parts:
        raise NotIdentified(
            f"A fixed effect is recovered where all rows are in memory. Of this study of files `{name}` was swept out, and its levels were not "
            "kept. Fit it by `Deep.fit_path`, which keeps them, or a part of the rows in memory."
        )
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


def band(
    posterior: Posterior, x: Array, estimate: Array, std_error: Array, level: float, seed: int
) -> tuple[Array, Array]:
    """Ends of a band over all rows: the pointwise sd times the ``level`` quantile of the largest standardised deviation."""
    paths = posterior.draws(x, BAND_DRAWS, seed)
    largest = (np.abs(paths - estimate) / np.where(std_error > 0, std_error, np.inf)).max(axis=1)
    margin = float(np.quantile(largest, level)) * std_error
    return estimate - margin, estimate + margin


def averages(
    posterior: Posterior, x: Array, labels: pd.Index, codes: Codes, *, converged: bool
) -> pd.DataFrame:
    """Average effect and posterior sd of each group of rows x (m, q), by its codes (m,); their ``covariance`` in ``attrs``."""
    weights = (codes[None, :] == np.arange(len(labels))[:, None]).astype(np.float64)
    mean, covariance = posterior.average(x, weights / weights.sum(1, keepdims=True))
    std_error = np.sqrt(np.diag(covariance))
    std_error = std_error if converged else np.full_like(std_error, np.nan)
    found = pd.DataFrame({"estimate": mean, "std_error": std_error}, index=labels)
    found.attrs["covariance"] = covariance
    return found


def group_codes(groups: Any, n: int) -> tuple[pd.Index, Codes]:
    """Labels (g,) and codes (n,) of the rows' groups; all rows are one group, 0, where none are named.

    Raises
    ------
    InvalidNewData
        If there are no rows, or not one label for each.
    """
    if not n:
        raise InvalidNewData("An average needs at least one row. `new` has none. Widen its condition.")
    if groups is None:
        return pd.Index([0]), np.zeros(n, dtype=np.int64)
    codes, labels = pd.factorize(pd.Series(groups), sort=True)
    missing = np.flatnonzero(codes < 0)
    if len(codes) != n or len(missing):
        found = (
            f"{len(codes):,} labels for {n:,} rows"
            if len(codes) != n
            else f"That of row {missing[0]} is missing"
        )
        raise InvalidNewData(
            f"`groups` must have one label for each row of `new`. {found}. Hand over a column of `new`."
        )
    return labels, codes


def range_notes(study: Study, heldout: HeldOut) -> tuple[str, ...]:
    """Say where predictions leave what the outcome can be: a probability, or a count."""
    y = study.outcome
    if not (np.isin(y, (0.0, 1.0)).all() or ((y >= 0).all() and (y == np.round(y)).all())):
        return ()
    top = 1.0 if np.isin(y, (0.0, 1.0)).all() else np.inf
    outside = int(((heldout.outcome_mean < 0) | (heldout.outcome_mean > top)).sum())
    if not outside:
        return ()
    what = "[0, 1]" if top == 1.0 else "the nonnegative numbers"
    return (
        f"The model is linear in probability or count: {outside:,} of {study.n:,} predicted outcome means leave {what}.",
    )
