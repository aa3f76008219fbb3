"""A row: the one place where an error becomes an interval and a p-value; and the columns that rows have as a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import stats

from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidOption

COLUMNS = (
    "engine",
    "estimand",
    "term",
    "estimate",
    "std_error",
    "statistic",
    "p_value",
    "conf_low",
    "conf_high",
    "level",
    "df",
    "vcov",
    "n_obs",
    "n_clusters",
    "note",
)
TEXTS = ("engine", "estimand", "term", "vcov", "note")


def check_level(level: float) -> float:
    """``level`` itself, if it is a coverage in (0, 1).

    Raises
    ------
    InvalidOption
        If it is not, with the fraction that was probably meant.
    """
    if not isinstance(level, int | float) or not 0 < level < 1:
        meant = (
            f" Did you mean {level / 100:g}?" if isinstance(level, int | float) and 1 < level < 100 else ""
        )
        raise InvalidOption(
            f"`level` must be a coverage between 0 and 1, such as 0.95. {level!r} was given.{meant}"
        )
    return float(level)


class Ends(tuple[float, float]):
    """Ends of an interval that is not estimate -/+ t * std_error, which know how they are made at another level.

    Parameters
    ----------
    at : function of level
        Gives both ends: of a band from the law of its family, of a bootstrap from its test.
    level : float

    Examples
    --------
    >>> from hte_bridge.estimate import Ends
    >>> ends = Ends(lambda level: (1 - level, 1 + level), 0.9)
    >>> ends[1], ends.at(0.5)
    (1.9, (0.5, 1.5))
    """

    at: Callable[[float], tuple[float, float]]
    level: float

    def __new__(cls, at: Callable[[float], tuple[float, float]], level: float) -> Ends:
        low, high = at(level)
        self = super().__new__(cls, (float(low), float(high)))
        self.at, self.level = at, level
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.at, self.level


STILL = "no error: the scores that this row averages do not vary"
ENDLESS = "no error: it is not finite"
ROUNDING = 4 * float(np.finfo(np.float64).eps)
UNSAID = "no error is formed for this figure"


@dataclass(frozen=True)
class Estimate:
    """One row: an estimate, its error, and the law that turns the error into an interval.

    Parameters
    ----------
    estimand : str
        ``"ate"``, ``"att"``, ``"ato"``, ``"ape"``, ``"coefficient"``, ``"projection"``, ...
    estimate, std_error : float
        In units of the outcome (per unit of treatment). NaN where the row cannot be defended; ``note`` says why. An error
        of zero, or beyond all numbers, is none.
    term : str
        Which coefficient, group or contrast.
    df : float
        Degrees of freedom of Student's t; infinite for the normal.
    level : float
        Coverage of the interval, in (0, 1).
    vcov : str
        How the error was formed: ``"CRV1 (village)"``, ``"hetero"``, ``"posterior"``.
    test : tuple of float, optional
        A statistic and p-value that are not the two-sided t of this row: joint, one-sided or adjusted.
    interval : tuple of float, optional
        Ends that are not estimate -/+ t * std_error: a bootstrap's, or a band's; as ``Ends`` they can be had at other levels.
    influence : array (n,), optional
        Estimate minus truth is about its sum; paired comparisons of rows use it.
    share : array (n,), optional
        How much of the row each unit carries, where that is not its weight: of a coefficient, its share of the variation of the
        regressor that the others leave.

    Examples
    --------
    >>> from hte_bridge import Estimate
    >>> row = Estimate("ate", 2.0, 0.5, df=10)
    >>> round(row.conf_low, 3), round(row.p_value, 4)
    (0.886, 0.0025)
    """

    estimand: str
    estimate: float
    std_error: float = np.nan
    term: str = ""
    engine: str = ""
    df: float = np.inf
    level: float = 0.95
    vcov: str = ""
    n_obs: int = 0
    n_clusters: int = 0
    note: str = ""
    test: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    influence: Array | None = field(default=None, repr=False, compare=False)
    share: Array | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_level(self.level)
        rounding = ROUNDING * abs(self.estimate)  # what sums of one and the same number leave
        if rounding < self.std_error < np.inf or not np.isfinite(self.estimate):
            return
        why = UNSAID if np.isnan(self.std_error) else ENDLESS if np.isinf(self.std_error) else STILL
        object.__setattr__(self, "std_error", np.nan)
        if not self.note and not np.isfinite([*(self.test or ()), *(self.interval or ())]).any():
            object.__setattr__(self, "note", why)

    @property
    def statistic(self) -> float:
        """Estimate over its error, or that of ``test``."""
        if self.test is not None:
            return self.test[0]
        return self.estimate / self.std_error if self.std_error > 0 else np.nan

    @property
    def p_value(self) -> float:
        """Two-sided, by the law of the interval, or that of ``test``."""
        if self.test is not None:
            return self.test[1]
        return float(2 * stats.t.sf(abs(self.statistic), self.df)) if self.std_error > 0 else np.nan

    @property
    def _margin(self) -> float:
        return (
            float(stats.t.ppf((1 + self.level) / 2, self.df)) * self.std_error
            if self.std_error > 0
            else np.nan
        )

    @property
    def conf_low(self) -> float:
        """Lower end of the interval."""
        return self.interval[0] if self.interval is not None else self.estimate - self._margin

    @property
    def conf_high(self) -> float:
        """Upper end of the interval."""
        return self.interval[1] if self.interval is not None else self.estimate + self._margin

    def with_(self, **changes: Any) -> Estimate:
        """Another row with some values replaced; a note is added to the one there is, an interval made anew at another ``level``."""
        if "level" in changes and "interval" not in changes:
            return self.at_level(changes.pop("level")).with_(**changes)
        if changes.get("note") and self.note and changes["note"] != self.note:
            changes["note"] = f"{self.note}; {changes['note']}"
        return replace(self, **changes)

    def at_level(self, level: float) -> Estimate:
        """The row with an interval of another coverage, by the same law: t, band or bootstrap.

        Raises
        ------
        InvalidOption
            If the interval is a band's or a bootstrap's of which the row, read from a file, holds the ends alone.
        """
        if level == self.level or self.interval is None or np.isnan(self.interval).all():
            return replace(self, level=level)
        if not isinstance(self.interval, Ends):
            name = f"{self.estimand}{f' ({self.term})' if self.term else ''}"
            raise InvalidOption(
                f"`level` can be changed where a row knows how its interval was made. That of `{name}` is no t interval "
                f"({self.vcov or 'its own ends'}), made at {self.level:g}, and of it only the ends are left. Ask for the rows again, with "
                f"compare(..., level={level:g})."
            )
        return replace(self, level=level, interval=Ends(self.interval.at, check_level(level)))

    @classmethod
    def missing(cls, estimand: str, note: str, **values: Any) -> Estimate:
        """A row without numbers that says why."""
        return cls(estimand, np.nan, note=note, **values)


def interval(estimate: Array, std_error: Array, level: float, df: float = np.inf) -> tuple[Array, Array]:
    """Ends (n,) of pointwise intervals, by the same law as a row's."""
    margin = stats.t.ppf((1 + check_level(level)) / 2, df) * std_error
    return estimate - margin, estimate + margin


def frame_of(rows: Iterable[Estimate]) -> pd.DataFrame:
    """Rows as a frame with the columns in ``COLUMNS``."""
    records = [[getattr(row, name) for name in COLUMNS] for row in rows]
    frame = pd.DataFrame(
        {name: [_stored(row[at], name) for row in records] for at, name in enumerate(COLUMNS)}
    )
    floats = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "level", "df"]
    return frame.astype(dict.fromkeys(floats, np.float64) | {"n_obs": np.int64, "n_clusters": np.int64})


def _stored(value: Any, column: str) -> Any:
    """A figure; or text that UTF-8 can hold: half of a pair of characters, which pandas and Arrow refuse, is written out."""
    return str(value).encode("utf8", "backslashreplace").decode("utf8") if column in TEXTS else value


class HasRows(Protocol):
    """What can be printed or written as a table: ``Table``, for those below it."""

    @property
    def rows(self) -> tuple[Estimate, ...]:
        """Of the table, in its order."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """What a reader needs to rebuild them."""
