"""The rules that an adoption's columns must keep, each with its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.adoption.cells import Base, Controls, Design
from hte_bridge.adoption.clock import Clock
from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified, nearest
from hte_bridge.frames import names_of
from hte_bridge.kinds import codes_of, to_float

Mask = npt.NDArray[np.bool_]


def refuse_other_roles(needed: Mapping[str, object], others: Mapping[str, object]) -> None:
    """An adoption names its three columns, and no role that it does not have.

    Raises
    ------
    InvalidOption
        For one that is missing, or that there is not.
    """
    lacking = [role for role, name in needed.items() if name is None]
    if lacking:
        raise InvalidOption(
            f"An adoption must name `unit`, `period` and `first_treated`. `{lacking[0]}` was not given. Add it, or leave the others out."
        )
    given = [
        role
        for role, name in others.items()
        if name is not None and len(np.atleast_1d(np.asarray(name, dtype=object)))
    ]
    if given:
        raise InvalidOption(
            f"An adoption must have no `{given[0]}`. One was given. Effects of unit and period are in every comparison, and units count alike: leave it out."
        )


def design_of(controls: object, anticipation: object, base_period: object) -> Design:
    """The design that is asked for.

    Raises
    ------
    InvalidOption
        For a comparison group, an anticipation or a base that there is not.
    """
    if not isinstance(controls, str) or controls not in get_args(Controls):
        raise InvalidOption(
            "`controls` must be 'not_yet' or 'never' where `first_treated` is given: the units that adopters are compared with. "
            f"{controls!r} was given. Columns to adjust for are named in `covariates`."
        )
    if base_period not in get_args(Base):
        raise InvalidOption(f"`base_period` must be 'varying' or 'universal'. {base_period!r} was given.")
    if (
        isinstance(anticipation, bool)
        or not isinstance(anticipation, int | float)
        or not 0 <= anticipation < np.inf
    ):
        raise InvalidOption(
            f"`anticipation` must be a number of periods, 0 or more. {anticipation!r} was given. Say how long before treatment "
            "units may react to it."
        )
    return Design(controls, float(anticipation), base_period)  # type: ignore[arg-type]


def named_once(cluster: str | Sequence[str] | None) -> str | None:
    """The one column of clusters, or none.

    Raises
    ------
    InvalidOption
        For several.
    """
    if cluster is None:
        return None
    named = names_of(cluster)
    if len(named) != 1:
        raise InvalidOption(
            f"`cluster` of an adoption must name one column. {len(named)} were given{': ' if named else ''}{', '.join(named)}. Name the one that "
            "holds units whole and in which errors move together, such as the state."
        )
    return named[0]


def named_columns(frame: pd.DataFrame, roles: dict[str, str | None], covariates: Sequence[str]) -> None:
    """Every column named is there, and has one role; the cluster may be the unit or a covariate."""
    if not len(frame):
        raise InvalidData("The frame must have rows. It has none. Check how it was read or filtered.")
    taken: dict[str, str] = {}
    for role, name in [*roles.items(), *(("covariates", each) for each in covariates)]:
        if name is None:
            continue
        if name not in frame.columns:
            raise InvalidData(
                f"`{role}` must name a column of the data. `{name}` is not one. {nearest(name, frame.columns)}"
            )
        if name in taken and "cluster" not in (role, taken[name]):
            raise InvalidData(
                f"A column must have one role. `{name}` is `{taken[name]}` and `{role}`. Name it once."
            )
        taken.setdefault(name, role)


def once_a_period(unit: Codes, period: Array, frame: pd.DataFrame, names: tuple[str, str]) -> None:
    """No unit has two rows of one period.

    Raises
    ------
    InvalidData
        With the first that has.
    """
    twice = pd.DataFrame({"u": unit, "t": period}).duplicated().to_numpy()
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        first = {name: frame[name].iloc[row] for name in names}
        raise InvalidData(
            f"A unit must have one row a period. {int(twice.sum()):,} rows repeat one; the first is `{names[0]}` "
            f"{first[names[0]]} in `{names[1]}` {first[names[1]]}. Drop or average them."
        )


def kept_by_unit(values: Array, unit: Codes, frame: pd.DataFrame, names: tuple[str, str]) -> Array:
    """First treated period (n,) of each unit, the same in all of its rows.

    Raises
    ------
    InvalidData
        With the first unit in which it varies.
    """
    _, first = np.unique(unit, return_index=True)
    own = values[first]
    differs = values != own[unit]
    if differs.any():
        label = frame[names[1]].iloc[int(np.flatnonzero(differs)[0])]
        dummy = set(np.unique(values).tolist()) <= {1.0, np.inf}  # 0 is never by now
        advice = (
            " It looks like the treatment itself: name the period in which a unit is first treated."
            if dummy
            else " A treatment that ends or begins again is no adoption: keep one start per unit, or drop those units."
        )
        raise InvalidData(
            f"`first_treated` must be the same in all rows of a unit. `{names[0]}` varies within {len(np.unique(unit[differs])):,} units; "
            f"the first is `{names[1]}` {label}.{advice}"
        )
    return own


def lasts(
    treatment: pd.Series, name: str, period: Array, adopted: Array, labels: pd.Series, clock: Clock
) -> None:
    """A treatment column, where one is named beside the first treated period, is on from then on and off before.

    Raises
    ------
    InvalidData
        With the first row in which it is not.
    """
    values = to_float(treatment)
    expected = (period >= adopted).astype(np.float64)
    wrong = np.flatnonzero(np.isfinite(values) & (values != expected))
    if len(wrong):
        row = int(wrong[0])
        ends = expected[row] == 1
        when = (
            f"first treated in {clock.text(adopted[row])}" if np.isfinite(adopted[row]) else "never treated"
        )
        found = f"is {values[row]:g} in {clock.text(period[row])}, and the unit is {when}"
        what = "A treatment that ends is no adoption" if ends else "It begins before"
        raise InvalidData(
            f"An adoption must last: `treatment` is 1 from `first_treated` on, and 0 before. `{name}` of unit {labels.iloc[row]} {found} "
            f"({len(wrong):,} rows differ). {what}: correct the column, drop those units or those periods."
        )


def one_cluster(
    cluster: pd.Series, name: str, unit: Codes, labels: npt.NDArray[np.generic]
) -> tuple[Codes, npt.NDArray[np.generic]]:
    """Code (n,) of each unit's cluster, and the clusters' labels.

    Raises
    ------
    InvalidData
        If a unit lies in two clusters.
    """
    codes, levels = codes_of(cluster, "cluster", name)
    _, first = np.unique(unit, return_index=True)
    own = codes[first]
    moved = np.flatnonzero(codes != own[unit])
    if len(moved):
        raise InvalidData(
            f"A unit must lie in one cluster. `{name}` varies within {len(np.unique(unit[moved])):,} units; the first is "
            f"{labels[unit[moved[0]]]}. Name a coarser cluster, or none."
        )
    used, renumbered = np.unique(own, return_inverse=True)
    if len(used) < 2:
        raise InvalidData(
            f"Errors need two clusters or more. `{name}` has {len(used)}. Name a finer one, or none."
        )
    return renumbered.astype(np.int64), levels[used]


def never_from_zero(adopted: Array, period: Array, name: str) -> Array:
    """First treated periods with infinity for never: missing, infinite or 0, as in R's did.

    Raises
    ------
    InvalidData
        If 0 can be a period in which units are first treated.
    """
    unknown = ~np.isfinite(adopted)
    zero = adopted == 0
    first = float(period.min())
    if zero.any() and (first < 0 or (first == 0 and unknown.any())):
        raise InvalidData(
            f"`first_treated` 0 must mean never treated. In `{name}` it can be a period too: periods begin in {first:g}"
            f"{', and never treated units are missing or infinite' if unknown.any() else ''}. Count periods from 1 on."
        )
    early = adopted[np.isfinite(adopted) & (adopted < 0)]
    if len(early) and first >= 0:
        raise InvalidData(
            f"`first_treated` must be a period, or missing. `{name}` holds {early[0]:g} where periods begin in {first:g}: it reads like a code for "
            "never. Write a missing value, infinity or 0 for units that are never treated."
        )
    if (adopted == -np.inf).any():
        raise InvalidData(
            f"`first_treated` must be a period, or missing. `{name}` holds minus infinity. Recode it."
        )
    return np.where(unknown | zero, np.inf, adopted)


def comparable(cohorts: Array, design: Design, name: str) -> None:
    """There are adopters, and units to compare them with.

    Raises
    ------
    NotIdentified
        If there are not.
    """
    if not np.isfinite(cohorts).any():
        raise NotIdentified(
            f"Some unit must adopt after the first period{_foreseen(design)}. In `{name}` none does: {len(cohorts):,} are never treated in the "
            "periods seen. Add periods, or check the column."
        )
    never = np.isinf(cohorts)
    if design.controls == "never" and not never.any():
        raise NotIdentified(
            f"Adopters must have units to be compared with. No unit of `{name}` is never treated (missing, infinite, 0, or after the "
            "last period). Use controls='not_yet'."
        )
    if not never.any() and len(np.unique(cohorts)) < 2:
        raise NotIdentified(
            f"Adopters must have units to be compared with. All units of `{name}` are first treated in one period. No unit is "
            "untreated while others are treated: an effect cannot be told from what that period did to everybody."
        )


def _foreseen(design: Design) -> str:
    """How long before treatment it may be foreseen, where it may."""
    return (
        f" and the {design.anticipation:g} in which treatment may be foreseen" if design.anticipation else ""
    )
