"""Rows and the table: the one place where an error becomes an interval and a p-value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from hte_bridge.errors import InvalidOption

if TYPE_CHECKING:
    from hte_bridge.format.models import Model

Array = npt.NDArray[np.float64]

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
FORMAT_VERSION = 2  # since 2 with a checksum
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


@dataclass(frozen=True, eq=False)
class Table:
    """Rows, and what a reader needs to rebuild them.

    Parameters
    ----------
    rows : tuple of Estimate
    meta : mapping
        Plain values: ``n``, ``n_clusters``, ``treated_share``, ``propensity``, ``folds``, ``seed``,
        ``versions``, ``warnings``, ``names``.

    Examples
    --------
    >>> table = Table((Estimate("ate", 2.0, 0.5, engine="grf"),), {"n": 100})
    >>> table.to_frame()[["engine", "estimand", "estimate"]].values.tolist()
    [['grf', 'ate', 2.0]]
    """

    rows: tuple[Estimate, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """One row per estimate, columns as in ``COLUMNS``."""
        return frame_of(self.rows)

    def at_level(self, level: float) -> Table:
        """The same rows with intervals of another coverage: bands and bootstraps made anew, not only t intervals.

        Raises
        ------
        InvalidOption
            If a row holds a band or a bootstrap that cannot be made anew, as read from a file.
        """
        return Table(tuple(row.at_level(level) for row in self.rows), self.meta)

    def where(self, **values: str) -> Table:
        """Rows whose columns have these values, such as ``engine="grf"``."""
        kept = tuple(
            row for row in self.rows if all(getattr(row, key) == value for key, value in values.items())
        )
        return Table(kept, self.meta)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        from hte_bridge.format import to_text

        return to_text(self)

    def _repr_html_(self) -> str:
        from hte_bridge.format import to_html

        return to_html(self)

    def to_markdown(self) -> str:
        """The printed table and its notes as markdown."""
        from hte_bridge.format import to_markdown

        return to_markdown(self)

    def to_latex(self, stars: bool = False) -> str:
        """A booktabs table with notes; stars are off unless asked for."""
        from hte_bridge.format import to_latex

        return to_latex(self, stars=stars)

    def models(self, stand_in: str = "ate") -> list[Model]:
        """One model per engine for ``maketables.ETable``, beside pyfixest's.

        Parameters
        ----------
        stand_in : str, default "ate"
            Estimand printed in the line of the treatment's own coefficient; "" for none.
        """
        from hte_bridge.format.models import models

        return models(self, stand_in)

    def tidy(self, engine: str | None = None) -> pd.DataFrame:
        """Rows of all engines, or of one, as a frame; broom's verb."""
        return self.to_frame() if engine is None else self.where(engine=engine).to_frame()

    def glance(self) -> pd.DataFrame:
        """One line per engine: sizes, folds, seed, propensity, seconds; broom's verb."""
        from hte_bridge.format.models import glance

        return glance(self.rows, self.meta)

    def save(self, path: str | Path) -> Path:
        """Write rows and meta to a Parquet file (or CSV by its ending); nothing half-written stays.

        In a CSV file a text that a spreadsheet would run as a formula (it begins with ``=``, ``+``, ``-``, ``@`` or a tab)
        has an apostrophe before it; ``format.neutral.from_spreadsheet`` takes it away. Parquet holds texts as they are.

        Raises
        ------
        UnwritableFolder
            If the folder is not there or cannot be written.
        """
        from hte_bridge.files import save_table

        return save_table(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Table:
        """Read what ``save`` wrote.

        Raises
        ------
        UnreadableFile
            If the file is missing, truncated, not one of ours, or of a newer version.
        """
        from hte_bridge.files import load_table

        return load_table(Path(path))


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
