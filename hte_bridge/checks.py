"""Whether a study identifies an effect and can be cut into folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidData, NotIdentified
from hte_bridge.shown import spelled
from hte_bridge.sweeping import within

LARGEST, LEAST = 1e50, 1e-50  # sizes whose squares, quotients and their squares are numbers still


class Checked(Protocol):
    """What is asked of a study here; the study itself lies above."""

    @property
    def outcome(self) -> Array: ...
    @property
    def treatment(self) -> Array: ...
    @property
    def covariates(self) -> Array: ...
    @property
    def fixed_effects(self) -> npt.NDArray[np.int64]: ...
    @property
    def weight(self) -> Array: ...
    @property
    def propensity(self) -> Array | None: ...
    @property
    def binary(self) -> bool: ...
    @property
    def clustered(self) -> bool: ...
    @property
    def n_clusters(self) -> int: ...
    @property
    def names(self) -> Any: ...
    @property
    def index(self) -> Any: ...
    @property
    def controls(self) -> Array | None: ...
    @property
    def adjusted(self) -> Checked: ...
    @property
    def encoder(self) -> Any: ...
    @property
    def second_cluster(self) -> npt.NDArray[np.int64] | None: ...
    @property
    def cluster(self) -> npt.NDArray[np.int64]: ...
    @property
    def keys(self) -> npt.NDArray[np.uint64]: ...


def measurable(study: Checked) -> None:
    """Columns are of sizes that can be squared and divided by each other."""
    columns = [
        ("outcome", study.names.outcome, study.outcome),
        ("treatment", study.names.treatment, study.treatment),
    ]
    columns += [("covariate", *each) for each in zip(study.names.covariates, study.covariates.T, strict=True)]
    if study.controls is not None:
        columns += [("control", *each) for each in zip(study.names.controls, study.controls.T, strict=True)]
    in_range(columns, study.index)


def in_range(columns: Sequence[tuple[str, str, Array]], index: Any) -> None:
    """Columns, given by role, name and values (n,) with the labels of their rows, are of sizes that can be squared and divided by each other.

    Raises
    ------
    InvalidData
        With the first whose largest value is too large, or too small.
    """
    for role, name, values in columns:
        known = np.where(np.isnan(values), 0.0, np.abs(values))
        row = int(known.argmax())
        if known[row] > LARGEST:
            raise InvalidData(
                f"`{role} {name}` must be below {LARGEST:g} in size, so that sums of squares can be formed. The largest value is "
                f"{values[row]:.3g}, in row {spelled(index[row])}. Give it in another unit."
            )
        if known[row] < LEAST:
            raise InvalidData(
                f"`{role} {name}` must have values above {LEAST:g} in size, so that sums of squares can be formed. The largest is "
                f"{values[row]:.3g}, in row {spelled(index[row])}. Give it in another unit."
            )


def identified(study: Checked) -> None:
    """The treatment varies within the effects, and neither a covariate nor its gaps decide it alone."""
    _gaps_that_decide(study)
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
        treated, both = study.treatment == 1, study.adjusted
        for values, name in zip(both.covariates.T, both.names.covariates, strict=True):
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


def _gaps_that_decide(study: Checked) -> None:
    """No covariate is missing for one arm alone, and for all of it: its indicator would be the treatment."""
    if not study.binary or study.propensity is not None:
        return
    treated = study.treatment == 1
    for values, name in zip(study.covariates.T, study.names.covariates, strict=True):
        gaps = np.isnan(values)
        if (gaps == treated).all() or (gaps != treated).all():
            arm = "treated" if gaps[treated].all() else "control"
            raise NotIdentified(
                f"Covariates must be known, or missing, in both arms. `{name}` is missing for every {arm} unit and for no other, so "
                "that its gaps are the treatment. Leave it out, or find out why it was asked of one arm alone."
            )


def enough_for_folds(study: Checked, n_folds: int) -> None:
    """Each fold can hold units of each arm, or a cluster."""
    if study.n_clusters < 2 * n_folds if not study.clustered else study.n_clusters < n_folds:
        what = "clusters" if study.clustered else "rows"
        need = n_folds if study.clustered else 2 * n_folds
        raise InvalidData(
            f"{n_folds} folds need at least {need} {what}. {study.n_clusters} found. Use fewer folds or more data."
        )
    if study.fixed_effects.shape[1] and not study.clustered and not study.fixed_effects.any():
        raise InvalidData(
            f"Fixed effects must have two levels or more. `{study.names.fixed_effects[0]}` has one. Leave it out."
        )
    if study.binary and not study.fixed_effects.shape[1]:
        for arm, name in ((1, "treated"), (0, "control")):
            count = int((study.treatment == arm).sum())
            if count < 2 * n_folds:
                raise InvalidData(
                    f"{n_folds} folds need at least {2 * n_folds} {name} units. {count} found. Use fewer folds or "
                    "more data."
                )


def effective_clusters(study: Checked) -> float:
    """Clusters of equal size that would hold the treatment's variation as evenly: one over the sum of squared shares; the fewer of two ways.

    A cluster's share is its part of the sum of squares of the treatment net of the fixed effects, its partial leverage. With two
    treated units among fifty nearly all of it lies in two clusters, whose residuals are fitted almost exactly: errors
    by cluster are far too small, and more untreated units do not help (Carter, Schnepel and Steigerwald, 2017, Review of
    Economics and Statistics 99(4); MacKinnon and Webb, 2018, Econometrics Journal 21(2)). Without clusters each row is its own.

    Examples
    --------
    >>> import pandas as pd
    >>> from hte_bridge import Study
    >>> frame = pd.DataFrame({"y": range(50), "d": [1, 1] + 48 * [0], "x": [k % 7 for k in range(50)]})
    >>> study = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    >>> round(study.effective_clusters, 2)
    2.17
    """
    return min(effective_by_way(study))


def effective_by_way(study: Checked) -> tuple[float, ...]:
    """``effective_clusters`` of the first cluster, and of the second where there is one."""
    moved = study.treatment / np.abs(study.treatment).max()
    moved = moved - np.average(moved, weights=study.weight)
    if study.fixed_effects.shape[1]:
        moved = within(moved, study.fixed_effects, study.weight, tolerance=1e-6)
    ways = [study.cluster] if study.second_cluster is None else [study.cluster, study.second_cluster]
    held = [np.bincount(each, weights=study.weight * moved**2) for each in ways]
    return tuple(float(each.sum() ** 2 / max(each @ each, np.finfo(float).tiny)) for each in held)
