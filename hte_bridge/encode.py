"""Covariates of any type -> numeric columns, and new rows by the same map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types

from hte_bridge.errors import HteBridgeError, InvalidData, InvalidNewData, nearest
from hte_bridge.frames import to_pandas
from hte_bridge.normal_score import NormalScore

Array = npt.NDArray[np.float64]
Kind = Literal["number", "boolean", "category", "ordered"]
MOST_LEVELS = 100


def kind_of(column: pd.Series, name: str, error: type[HteBridgeError] = InvalidData) -> Kind:
    """Type of a column: dates and lists are refused with a sentence."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "ordered" if column.dtype.ordered else "category"
    if types.is_bool_dtype(column):
        return "boolean"
    if types.is_numeric_dtype(column) and not types.is_complex_dtype(column):
        return "number"
    seen = column.dropna()
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column) or _all_of(seen, "date"):
        raise error(
            f"`{name}` must be a number, a yes/no or a category. It holds dates. Turn it into a number that "
            "means something (an age, a year, days since an event)."
        )
    if _all_of(seen, "Decimal"):
        return "number"
    if types.is_object_dtype(column) and seen.map(lambda each: isinstance(each, bool)).all() and len(seen):
        return "boolean"
    if types.is_string_dtype(column) or seen.map(lambda each: isinstance(each, str)).all():
        return "category"
    if seen.map(lambda each: isinstance(each, int | float | np.number)).all():
        return "number"
    raise error(
        f"`{name}` must hold numbers, yes/no or text. It holds values of type "
        f"{type(seen.iloc[0]).__name__}. Turn it into one of these."
    )


def _all_of(seen: pd.Series, what: str) -> bool:
    return len(seen) > 0 and all(
        type(each).__name__ in ({what, "datetime", "Timestamp"} if what == "date" else {what})
        for each in seen.head(50)
    )


def to_float(column: pd.Series) -> Array:
    """Numbers, nullable numbers, decimals or booleans as float64, missing as NaN."""
    return np.asarray(
        pd.to_numeric(column.astype(object), errors="coerce")
        if column.dtype == object
        else column.to_numpy(dtype=np.float64, na_value=np.nan),
        dtype=np.float64,
    )


@dataclass(frozen=True)
class ColumnCode:
    """How one covariate becomes columns: itself, 0/1, its rank, or an indicator for each level but the first.

    A number with a ``score`` becomes two: itself and its normal score.
    """

    name: str
    kind: Kind
    levels: tuple[Any, ...] = ()
    score: NormalScore | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the encoded columns."""
        if self.kind == "category":
            return tuple(f"{self.name}[{level}]" for level in self.levels[1:])
        return (self.name,) if self.score is None else (self.name, f"{self.name} (normal score)")

    @classmethod
    def of(cls, column: pd.Series, name: str) -> ColumnCode:
        """Learn the code of a column."""
        kind = kind_of(column, name)
        if kind not in ("category", "ordered"):
            return cls(name, kind)
        seen = set(column.dropna().unique())
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = tuple(each for each in column.dtype.categories if each in seen)
        else:
            levels = tuple(sorted(seen))
        if len(levels) > MOST_LEVELS and kind == "category":
            raise InvalidData(
                f"A category must have at most {MOST_LEVELS} levels. `{name}` has {len(levels):,}. Group its "
                "levels, use it as a fixed effect, or turn it into a number."
            )
        return cls(name, kind, levels)

    def encode(self, column: pd.Series) -> Array:
        """Columns (m, k) for the values of ``column``; missing stays NaN."""
        found = kind_of(column, self.name, InvalidNewData) if column.notna().any() else self.kind
        numeric = ("number", "boolean")
        if (self.kind in numeric) != (found in numeric):
            raise InvalidNewData(
                f"`{self.name}` must be a {self.kind} as in the study. It is a {found} here. Convert it first."
            )
        if self.kind in numeric:
            values = to_float(column)[:, None]
            if np.isinf(values).any():
                row = int(np.flatnonzero(np.isinf(values[:, 0]))[0])
                raise InvalidData(
                    f"`{self.name}` must be finite or missing. {int(np.isinf(values).sum()):,} of {len(values):,} "
                    f"values are infinite; the first is in row {row}. Recode them as missing, or drop those rows."
                )
            return self.with_score(values)
        place = {level: code for code, level in enumerate(self.levels)}
        unseen = [each for each in pd.unique(column.dropna()) if each not in place]
        if unseen:
            shown = ", ".join(f"`{each}`" for each in unseen[:5])
            raise InvalidNewData(
                f"`{self.name}` must hold levels that the study has seen. {len(unseen)} it has not: {shown}. "
                "Recode them to a known level, or fit again with rows of theirs."
            )
        codes = column.map(place).to_numpy(dtype=np.float64, na_value=np.nan)
        if self.kind == "ordered":
            return codes[:, None]
        indicators = (codes[:, None] == np.arange(1, len(self.levels))).astype(np.float64)
        indicators[np.isnan(codes)] = np.nan
        return indicators

    def with_score(self, values: Array) -> Array:
        """Columns (m, k) with the normal score behind them, where there is one."""
        return values if self.score is None else np.column_stack([values, self.score(values[:, 0])])


@dataclass(frozen=True)
class Encoder:
    """The map from a frame to covariate columns, learned once and kept for new rows.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [30, 40], "town": ["b", "a"]})
    >>> encoder = Encoder.of(frame, ["age", "town"])
    >>> encoder.names
    ('age', 'town[b]')
    >>> encoder.transform(frame)
    array([[30.,  1.],
           [40.,  0.]])
    """

    columns: tuple[ColumnCode, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, covariates: Sequence[str]) -> Encoder:
        """Learn the code of each covariate from a frame."""
        return cls(tuple(ColumnCode.of(frame[name], name) for name in covariates))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the encoded columns, in order."""
        return tuple(name for column in self.columns for name in column.names)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the columns that a frame must have."""
        return tuple(column.name for column in self.columns)

    def scored(self, covariates: Array) -> tuple[Encoder, Array]:
        """Each number with long tails with its normal score behind it: the map, and the encoded covariates (n, p) so widened.

        Examples
        --------
        >>> wide = np.exp(np.random.default_rng(1).normal(size=(500, 1)))
        >>> encoder, both = Encoder((ColumnCode("income", "number"),)).scored(wide)
        >>> encoder.names, both.shape
        (('income', 'income (normal score)'), (500, 2))
        """
        codes, columns, start = [], [], 0
        for code in self.columns:
            own = covariates[:, start : start + len(code.names)]
            start += len(code.names)
            score = NormalScore.of(own[:, 0]) if code.kind == "number" else None
            codes.append(replace(code, score=score))
            columns.append(codes[-1].with_score(own))
        return Encoder(tuple(codes)), np.asfortranarray(np.hstack(columns))

    def transform(self, new: Any) -> Array:
        """Covariates (m, p) of new rows, Fortran order, missing as NaN; further columns are left alone.

        Raises
        ------
        InvalidNewData
            If a covariate is missing, of another type, or has a level that the study has not seen.
        """
        frame = to_pandas(new)
        for name in self.sources:
            if name not in frame.columns:
                raise InvalidNewData(
                    f"New data must have each covariate of the study. `{name}` is missing. "
                    f"{nearest(name, frame.columns)} Add it, or rename."
                )
        blocks = [column.encode(frame[column.name]) for column in self.columns]
        stacked = np.hstack(blocks) if blocks else np.empty((len(frame), 0))
        return np.asfortranarray(stacked)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values from which ``from_json`` rebuilds the map."""
        return [
            {
                "name": c.name,
                "kind": c.kind,
                "levels": [each.item() if hasattr(each, "item") else each for each in c.levels],
            }
            for c in self.columns
        ]

    @classmethod
    def from_json(cls, state: list[dict[str, Any]]) -> Encoder:
        """Rebuild what ``to_json`` wrote."""
        return cls(tuple(ColumnCode(c["name"], c["kind"], tuple(c["levels"])) for c in state))


@dataclass(frozen=True, eq=False)
class MeanFill:
    """Missing covariates for engines that need numbers: the study's weighted mean, and an indicator.

    Columns with gaps in the same rows, as those of one category have, share their indicator: ``flagged`` is the first of them.

    Examples
    --------
    >>> fill = MeanFill.of(np.array([[1.0], [np.nan], [3.0]]), np.ones(3))
    >>> fill.transform(np.array([[np.nan]]))
    array([[2., 1.]])
    >>> MeanFill.of(np.array([[1.0, 2.0], [np.nan, np.nan]]), np.ones(2)).flagged
    array([0])
    """

    means: Array
    flagged: npt.NDArray[np.int64]

    @classmethod
    def of(cls, covariates: Array, weight: Array) -> MeanFill:
        """Learn means of the columns (p,) and where they have gaps."""
        seen = ~np.isnan(covariates)
        total = np.maximum(seen.T @ weight, np.finfo(float).tiny)
        first: dict[bytes, int] = {}
        for j in np.flatnonzero(~seen.all(axis=0)).tolist():
            first.setdefault(np.packbits(seen[:, j]).tobytes(), j)
        flagged = np.array(list(first.values()), dtype=np.int64)
        return cls(np.where(seen, covariates, 0.0).T @ weight / total, flagged)

    def transform(self, covariates: Array) -> Array:
        """Columns (m, p + flagged): gaps filled, then one indicator for each column that had gaps."""
        gaps = np.isnan(covariates)
        filled = np.where(gaps, self.means, covariates)
        return np.asfortranarray(np.hstack([filled, gaps[:, self.flagged].astype(np.float64)]))
