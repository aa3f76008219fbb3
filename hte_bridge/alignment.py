"""What a user hands over beside a study, one value for each row, in the study's order.

One rule for every verb: what has labels (a pandas Series, a frame, a mapping from label to value) is looked up by the labels of
``study.index``, so that it may be sorted otherwise or hold rows that the study dropped; what has none (arrays, lists, polars, Arrow) goes
by position and must have one value for each row that the study kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types

from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidData, InvalidOption, nearest
from hte_bridge.frames import to_pandas
from hte_bridge.kinds import to_float
from hte_bridge.shown import spelled

Mask = npt.NDArray[np.bool_]


class Rows(Protocol):
    """What is asked of a study: its rows' labels, how many it dropped, and the frame they lie in."""

    @property
    def index(self) -> pd.Index: ...
    @property
    def dropped(self) -> Mapping[str, int]: ...
    @property
    def frame(self) -> pd.DataFrame | None: ...


@dataclass(frozen=True, eq=False)
class Chosen:
    """Rows that a condition takes in, and how many it can say nothing of: those are neither in nor out.

    Examples
    --------
    >>> Chosen(np.array([True, False]), 1).note
    '1 row whose condition is unknown is in neither'
    """

    rows: Mask
    unknown: int = 0

    @property
    def note(self) -> str:
        """How many rows are unknown, or an empty string."""
        if not self.unknown:
            return ""
        many = self.unknown > 1
        what = "rows whose condition is unknown are" if many else "row whose condition is unknown is"
        return f"{self.unknown:,} {what} in neither"


def column_named(study: Rows, name: str) -> pd.Series:
    """A column of the study's frame, its rows in the study's order.

    Raises
    ------
    InvalidOption
        With the nearest names, if there is no such column.
    """
    if study.frame is None or name not in study.frame.columns:
        names = () if study.frame is None else study.frame.columns
        raise InvalidOption(f"`{name}` must be a column of the frame. {nearest(name, names)}")
    column: pd.Series = study.frame[name]
    return column


def values_of(study: Rows, given: Any, what: str) -> Any:
    """Values (n,) of any kind in the study's order, or the one value given for all.

    Parameters
    ----------
    study : Study
    given : str, Series, frame of one column, mapping of labels, array (n,), or one value
        A name is a column of the study's frame. Labels are looked up by ``study.index``; arrays go by position.
    what : str
        The argument's name, for the sentences.

    Raises
    ------
    InvalidOption, InvalidData
        If there is no such column; if a label of the study is missing or stands twice; if an array has another length.

    Examples
    --------
    >>> from hte_bridge.study import Study
    >>> frame = pd.DataFrame({"y": [1.0, 2, 4, 3], "d": [0, 1, 1, 0], "x": [1.0, 2, 3, 5]}, index=list("abcd"))
    >>> study = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    >>> values_of(study, frame["x"].sort_values(ascending=False), "cost").tolist()
    [1.0, 2.0, 3.0, 5.0]
    """
    if isinstance(given, str):
        return column_named(study, given)
    if isinstance(given, pd.DataFrame):
        if given.shape[1] != 1:
            raise InvalidData(
                f"`{what}` must be one column. A frame of {given.shape[1]:,} was given. Take the one that is meant."
            )
        given = given.iloc[:, 0]
    if isinstance(given, Mapping):
        given = pd.Series(dict(given))
    if isinstance(given, pd.Series):
        return given.iloc[places(study, given.index, what)]
    return _by_position(study, given, what)


def _by_position(study: Rows, given: Any, what: str) -> Any:
    """Values without labels (n,), or one value for all."""
    if given is None or (np.ndim(given) == 0 and not hasattr(given, "__len__")):
        return given
    if isinstance(given, list | tuple | range | np.ma.MaskedArray):
        given = pd.Series(given).array  # masked and None are missing
    elif hasattr(given, "to_numpy") and not isinstance(given, pd.Index | pd.api.extensions.ExtensionArray):
        given = given.to_pandas() if hasattr(given, "to_pandas") else given.to_numpy()  # Arrow, polars
        given = given.array if isinstance(given, pd.Series) else given
    if np.ndim(given) != 1 or len(given) != len(study.index):
        raise InvalidData(_wrong_length(study, given, what))
    return given


def _wrong_length(study: Rows, given: Any, what: str) -> str:
    n, whole = len(study.index), len(study.index) + sum(study.dropped.values())
    shape = np.shape(given)
    found = f"{shape[0]:,} were given" if len(shape) == 1 else f"An array of shape {shape} was given"
    way = "Take them from the rows of the study (study.index)."
    if shape == (whole,):
        way = (
            f"They are as many as the rows before the study dropped {whole - n:,}: hand over the column as a pandas Series with the "
            "frame's index, which is matched by label, or take the rows of study.index."
        )
    return f"`{what}` must have one value for each of the {n:,} units of the study. {found} for {n:,} units. {way}"


def places(study: Rows, index: pd.Index, what: str) -> npt.NDArray[np.int64]:
    """Place (n,) in ``index`` of each row of the study, by label.

    Raises
    ------
    InvalidData
        If a label of the study is not there, or stands there more than once.
    """
    n = len(study.index)
    if index.is_unique and index.equals(study.index):
        return np.arange(n)
    if not index.is_unique:
        twice = index[index.duplicated()]
        asked = twice[twice.isin(study.index)]
        if len(asked):
            raise InvalidData(
                f"`{what}` is matched to the study by the labels of its index, and each must stand there once. {asked.nunique():,} "
                f"stand there more than once; the first is `{asked[0]}`. Give the frame an index without repeats "
                "(reset_index) before the study is made, name a column, or hand over an array in the study's order (.to_numpy())."
            )
        kept = np.flatnonzero(~index.duplicated())
        return np.asarray(kept[places(study, index[kept], what)])
    found = index.get_indexer(study.index)
    absent = study.index[found < 0]
    if len(absent):
        raise InvalidData(
            f"`{what}` is matched to the study by the labels of its index, and each row's label must be there. {len(absent):,} of "
            f"{n:,} are not among its {len(index):,} labels; the first is `{absent[0]}`. Keep the index of the study's data "
            "(study.index), or hand over an array in the study's order (.to_numpy())."
        )
    return np.asarray(found, dtype=np.int64)


def numbers_of(study: Rows, given: Any, what: str) -> Any:
    """Numbers (n,) as float64 in the study's order, missing as NaN; None, or the one number given for all, as it is.

    Raises
    ------
    InvalidData
        As ``values_of``, and for what holds no numbers.
    """
    values = values_of(study, given, what)
    if values is None or np.ndim(values) == 0:
        return values
    column = pd.Series(values)
    seen = column.dropna()
    numeric = types.is_numeric_dtype(column) or types.is_bool_dtype(column)
    if types.is_complex_dtype(column) or not (numeric or (column.dtype == object and _plain(seen))):
        raise InvalidData(
            f"`{what}` must hold numbers. It holds {column.dtype}"
            f"{f'; the first value is `{seen.iloc[0]}`' if len(seen) else ''}. Turn it into numbers."
        )
    return to_float(column)


def by_label(study: Rows, given: Any, what: str) -> Any:
    """What has labels (a Series, a frame of one column) in the study's order; anything else as it is."""
    return values_of(study, given, what) if isinstance(given, pd.Series | pd.DataFrame) else given


def known_numbers_of(study: Rows, given: Any, what: str) -> Any:
    """As ``numbers_of``, for what must be known of each unit.

    Raises
    ------
    InvalidData
        As ``numbers_of``, and for a missing or infinite number.
    """
    numbers = numbers_of(study, given, what)
    bad = np.flatnonzero(~np.isfinite(numbers)) if np.ndim(numbers) else np.empty(0, dtype=np.int64)
    if len(bad):
        raise InvalidData(
            f"`{what}` must be known of each unit. {len(bad):,} of {len(numbers):,} values are missing or infinite; the first is of row "
            f"{spelled(study.index[bad[0]])}. Fill them, or make the study without those rows."
        )
    return numbers


def labels_for(study: Rows, given: Any, what: str) -> Any:
    """Labels (n,) of any kind in the study's order; missing ones stay.

    Raises
    ------
    InvalidOption, InvalidData
        As ``values_of``, and for one value for all.
    """
    labels = values_of(study, given, what)
    if np.ndim(labels) != 1:
        raise InvalidOption(
            f"`{what}` must be a column's name or one label for each unit. {given!r} was given."
        )
    return labels


@dataclass(frozen=True, eq=False)
class Units:
    """Rows of any frame, to which something is matched as to a study's."""

    frame: pd.DataFrame

    @property
    def index(self) -> pd.Index:
        """Labels of the rows."""
        return self.frame.index

    @property
    def dropped(self) -> Mapping[str, int]:
        """No row is."""
        return {}


def _plain(seen: pd.Series) -> bool:
    """Whether objects are numbers or yes and no."""
    kinds = (bool, int, float, np.number, np.bool_)
    return bool(seen.map(lambda each: isinstance(each, kinds) or type(each).__name__ == "Decimal").all())


def mask_of(study: Rows, given: Any, what: str = "where") -> Chosen:
    """Rows that a mask takes in: yes and no, 1 and 0; missing (NaN, None, NA) is unknown.

    Raises
    ------
    InvalidData
        As ``values_of``, for other values, and for a mask that takes no row.

    Examples
    --------
    >>> from hte_bridge.study import Study
    >>> frame = pd.DataFrame({"y": [1.0, 2, 4, 3], "d": [0, 1, 1, 0], "x": [1.0, 2, 3, 5]})
    >>> study = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    >>> chosen = mask_of(study, pd.Series([True, None, False, True], dtype="boolean"))
    >>> chosen.rows.tolist(), chosen.unknown
    ([True, False, False, True], 1)
    """
    values = values_of(study, given, what)
    if np.ndim(values) != 1:
        raise InvalidOption(
            f"`{what}` must be a condition such as 'age > 30', or one yes or no for each unit. {given!r} was given."
        )
    numbers = numbers_of(study, values, what)
    known = ~np.isnan(numbers)
    other = np.flatnonzero(known & (numbers != 0) & (numbers != 1))
    if len(other):
        raise InvalidData(
            f"`{what}` must hold yes or no (1 or 0) for each unit. {len(other):,} of {len(numbers):,} values are neither; the first is "
            f"{numbers[other[0]]:g}, of row {spelled(study.index[other[0]])}. Compare them with something."
        )
    return some(Chosen(known & (numbers == 1), int((~known).sum())), what)


def positions_of(study: Rows, given: Any) -> npt.NDArray[np.int64]:
    """Positions (m,) of some rows: given as such (an array of whole numbers, a slice), or by a mask.

    Raises
    ------
    InvalidData
        As ``mask_of``, and for a position that is not there.
    """
    n = len(study.index)
    if isinstance(given, slice):
        return np.arange(n)[given]
    plain = None if isinstance(given, pd.Series | pd.DataFrame | Mapping | str) else np.asarray(given)
    if plain is None or plain.dtype.kind not in "iu":
        return np.flatnonzero(mask_of(study, given, "rows").rows)
    outside = plain[(plain < -n) | (plain >= n)]
    if plain.ndim != 1 or len(outside):
        found = (
            f"{outside[0]} is not one" if plain.ndim == 1 else f"An array of shape {plain.shape} was given"
        )
        raise InvalidData(
            f"`rows` must be positions from 0 to {n - 1:,}, or a mask. {found}. Take them from the rows of the study."
        )
    return np.arange(n)[plain]


def some(chosen: Chosen, what: str) -> Chosen:
    """The same, if it takes at least one row."""
    if not chosen.rows.any():
        raise InvalidData(
            f"`{what}` must take at least one unit. None of {len(chosen.rows):,} satisfies it"
            f"{f', and of {chosen.unknown:,} it is unknown' if chosen.unknown else ''}. Widen the condition."
        )
    return chosen


def columns_of(study: Rows, given: Any, what: str) -> tuple[Array, list[str]]:
    """Columns (n, k) and their names, of a frame aligned as ``values_of`` says, or of a pair (array (n, k), names).

    Raises
    ------
    InvalidData
        As ``values_of``; if a column holds no numbers or has a gap, or two have one name.
    """
    frame, labelled = _framed(given, what)
    if labelled:
        frame = frame.iloc[places(study, frame.index, what)]
    elif len(frame) != len(study.index):
        raise InvalidData(_wrong_length(study, np.empty(len(frame)), what))
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names) or not names:
        raise InvalidData(
            f"The columns of `{what}` must have names that differ, and be one at least. {', '.join(names) or 'None'} was given. Rename them."
        )
    aligned = [numbers_of(study, frame.iloc[:, j].array, f"{what}: {name}") for j, name in enumerate(names)]
    return finite(np.column_stack(aligned), names, what), names


def _framed(given: Any, what: str) -> tuple[pd.DataFrame, bool]:
    """Columns as a pandas frame, and whether its labels mean something."""
    if isinstance(given, pd.DataFrame):
        return given, True
    if isinstance(given, tuple) and len(given) == 2:
        array, names = np.asarray(given[0]), [str(each) for each in np.atleast_1d(given[1])]
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim == 2 and array.shape[1] == len(names):
            return pd.DataFrame(array, columns=pd.Index(names)), False
        raise InvalidData(
            f"`{what}` must have one name for each column. An array of shape {array.shape} came with {len(names):,} names. Name each."
        )
    return to_pandas(given), False


def finite(values: Array, names: list[str], what: str) -> Array:
    """The same columns (n, k), if none has a gap."""
    gaps = ~np.isfinite(values)
    if gaps.any():
        first = int(np.flatnonzero(gaps.any(axis=1))[0])
        named = ", ".join(f"`{names[j]}`" for j in np.flatnonzero(gaps.any(axis=0))[:3])
        raise InvalidData(
            f"Columns of `{what}` must have no missing value. {int(gaps.any(axis=1).sum()):,} of {len(values):,} rows do, in {named}; the "
            f"first is row {first}. Fill them, or leave the column out."
        )
    return np.asfortranarray(values)  # one order in memory, so that the same columns give the same bits
