"""Known chances of several arms in an experiment: one number or one column for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.columns import numbers
from hte_bridge.errors import InvalidData, InvalidOption, nearest

WHOLE = 1e-6  # by which chances may miss a sum of one: they were rounded when they were written down
EXAMPLE = "propensity={'a': 0.3, 'b': 0.3}"


def named(arm: Any) -> str:
    """An arm as it is written: a whole number without a point."""
    if isinstance(arm, float | np.floating) and float(arm).is_integer():
        return str(int(arm))
    return str(arm)


def by_name(propensity: Any) -> dict[str, Any] | None:
    """Known chances by the names of their arms.

    Raises
    ------
    InvalidOption
        If it is one number or column for all.
    """
    if propensity is None:
        return None
    if not isinstance(propensity, Mapping):
        raise InvalidOption(
            f"`propensity` of several arms must say the chance of each by its name. {propensity!r} was given. Write numbers or columns of them, "
            f"such as {EXAMPLE}; the control has what is left."
        )
    return {named(arm): value for arm, value in propensity.items()}


def written(propensity: Mapping[str, Any]) -> str:
    """Known chances in a line.

    Examples
    --------
    >>> written({"a": 1 / 3, "b": "share"})
    'a: 0.3333, b: share'
    """
    return ", ".join(
        f"{arm}: {each if isinstance(each, str) else f'{each:.4g}'}" for arm, each in propensity.items()
    )


def columns_of(propensity: Mapping[Any, Any] | None) -> list[str]:
    """Names of columns among the chances."""
    return [] if propensity is None else [each for each in propensity.values() if isinstance(each, str)]


def of_arms(
    propensity: Mapping[Any, Any] | None, labels: Sequence[str], frame: pd.DataFrame | None
) -> Array | None:
    """Chance (n, arms) of each unit to be in each arm, the control's first; ``None`` where they are not known.

    Parameters
    ----------
    propensity : mapping, optional
        Arm -> number or name of a column. The control may be left out: it has what the others leave.
    labels : sequence of str
        Names of the arms, the control's first.
    frame : DataFrame
        With a row for each unit.

    Raises
    ------
    InvalidOption
        If an arm is missing, or a name is none.
    InvalidData
        If chances are not within (0, 1), or do not add up to one.

    Examples
    --------
    >>> import pandas as pd
    >>> from hte_bridge.chances import of_arms
    >>> of_arms({"a": 0.3, "b": "p"}, ["none", "a", "b"], pd.DataFrame({"p": [0.2, 0.5]})).round(1).tolist()
    [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]
    """
    if propensity is None:
        return None
    assert frame is not None
    given = by_name(propensity) or {}
    for name in given:
        if name not in labels:
            raise InvalidOption(
                f"`propensity` must name arms. `{name}` is none. {nearest(name, labels, kind='The arms')}"
            )
    absent = next((name for name in labels[1:] if name not in given), None)
    if absent is not None:
        raise InvalidOption(
            f"`propensity` must say the chance of every arm; the control may be left out. That of `{absent}` is missing. Add it."
        )
    found = np.full((len(frame), len(labels)), np.nan)
    for k, name in enumerate(labels):
        if name in given:
            found[:, k] = _values(given[name], name, frame)
    if labels[0] not in given:
        found[:, 0] = 1 - found[:, 1:].sum(axis=1)
    _within(found, labels, frame)
    return found


def _values(value: Any, arm: str, frame: pd.DataFrame) -> Any:
    """One number, or those (n,) of a column."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(value)
    if value not in frame.columns:
        raise InvalidOption(
            f"`propensity` of `{arm}` must be a number or the name of a column. {value!r} is neither. {nearest(str(value), frame.columns)}"
        )
    return numbers(frame, "propensity", value, gaps=True)


def _within(found: Array, labels: Sequence[str], frame: pd.DataFrame) -> None:
    bad = ~((found > 0) & (found < 1))
    if bad.any():
        row, k = (int(each) for each in np.argwhere(bad)[0])
        raise InvalidData(
            f"`propensity` must lie strictly between 0 and 1 for every arm. {int(bad.sum()):,} values do not; the first is {found[row, k]:.4g}, of "
            f"`{labels[k]}` in row {frame.index[row]}. A unit that cannot be in an arm tells nothing of it: leave it out."
        )
    total = found.sum(axis=1)
    off = np.abs(total - 1) > WHOLE
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise InvalidData(
            f"`propensity` of all arms must add up to 1. In {int(off.sum()):,} of {len(found):,} rows it does not; the first sum is {total[row]:.6g}, in row "
            f"{frame.index[row]}. Correct them, or leave the control's out."
        )
