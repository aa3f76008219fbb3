"""Labels of categories as plain values for JSON, and back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

Plain = str | int | float | bool | dict[str, Any] | None
KINDS: dict[
    str, tuple[type, Callable[[Any], list[Any]], Callable[..., Any]]
] = {  # in this order: a Timestamp is a date
    "interval": (pd.Interval, lambda v: [to_plain(v.left), to_plain(v.right), v.closed], pd.Interval),
    "timestamp": (pd.Timestamp, lambda v: [v.isoformat()], pd.Timestamp),
    "timedelta": (pd.Timedelta, lambda v: [v.isoformat()], pd.Timedelta),
    "period": (pd.Period, lambda v: [str(v), v.freqstr], pd.Period),
    "date": (date, lambda v: [v.isoformat()], date.fromisoformat),
    "decimal": (Decimal, lambda v: [str(v)], Decimal),
    "tuple": (tuple, lambda v: [to_plain(each) for each in v], lambda *parts: parts),
}


def to_plain(label: Any) -> Plain:
    """A label as JSON holds it; what JSON does not know goes under its kind.

    Examples
    --------
    >>> to_plain("a"), to_plain(pd.Interval(0, 1.5))
    ('a', {'interval': [0, 1.5, 'right']})
    """
    if isinstance(label, np.datetime64 | np.timedelta64 | datetime):
        label = pd.Timedelta(label) if isinstance(label, np.timedelta64) else pd.Timestamp(label)
    elif hasattr(label, "item"):
        label = label.item()
    for kind, (held, apart, _) in KINDS.items():
        if isinstance(label, held):
            return {kind: apart(label)}
    return label if isinstance(label, str | int | float | bool) or label is None else str(label)


def from_plain(value: Any) -> Any:
    """The label that ``to_plain`` wrote.

    Examples
    --------
    >>> from_plain(to_plain(pd.Interval(0, 1.5))) == pd.Interval(0, 1.5)
    True
    """
    if not isinstance(value, dict):
        return value
    ((kind, parts),) = value.items()
    return KINDS[kind][2](*(from_plain(each) for each in parts))
