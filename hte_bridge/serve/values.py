"""Values between R and Python: JSON for what is small, Parquet files for frames and columns.

Marks in the JSON say what a place holds: ``$frame`` a data frame, ``$rows`` columns or a vector along the rows of a
study's data, ``$column`` an array, ``$table`` a saved table, ``$number`` a number that JSON cannot hold. A name of the
user's that begins with ``$`` travels with one more in front, and is never taken for a mark. Files: ``files``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hte_bridge.serve.files import taken, write_arrow

NUMBERS = {"NaN": math.nan, "Inf": math.inf, "-Inf": -math.inf}


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns along the rows of the data that a study was made of, or along those that it kept.

    Parameters
    ----------
    frame : DataFrame
        Labelled 1 to n as R counts rows.
    vector : bool
        Whether R sent one vector and no data frame.
    """

    frame: pd.DataFrame
    vector: bool

    def on(self, index: pd.Index) -> pd.Series | pd.DataFrame:
        """The columns at a study's rows, labelled as its frame is; R has checked the number of rows."""
        frame = self.frame.set_axis(index) if len(self.frame) == len(index) else self.frame.loc[index]
        return frame.iloc[:, 0] if self.vector else frame


def write_frame(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """A frame under its mark, with its note; the names travel in the JSON, any text can be one."""
    columns = [pa.array(frame.iloc[:, j], from_pandas=False) for j in range(frame.shape[1])]
    table = pa.Table.from_arrays(columns, names=[f"c{j}" for j in range(len(columns))])
    note = str(frame.attrs.get("note", ""))
    return {
        "$frame": write_arrow(table, folder),
        "names": [str(name) for name in frame.columns],
        "note": note,
    }


def read_frame(path: Any, mark: Mapping[str, Any], folder: Path) -> pd.DataFrame:
    """A frame that R wrote; rows labelled 1 to n as R counts them, or by the names that R gave them."""
    with taken(path, folder) as file:
        table = pq.read_table(file)
    columns = {j: _column(table, j, about) for j, about in enumerate(mark["columns"])}
    labels = mark.get("labels")
    index = pd.RangeIndex(1, int(mark["rows"]) + 1) if labels is None else pd.Index(labels, dtype=object)
    frame = pd.DataFrame(columns, index=index)
    frame.columns = pd.Index([about["name"] for about in mark["columns"]], dtype=object)
    return frame


def _column(table: pa.Table, j: int, about: Mapping[str, Any]) -> Any:
    """One column with the type it had in R."""
    values = table.column(f"c{j + 1}")
    if about["kind"] == "factor":
        codes = values.fill_null(0).to_numpy() - 1
        return pd.Categorical.from_codes(codes, about["levels"], ordered=about["ordered"])
    if about["kind"] == "integer64":
        return _whole(values, table.column(f"h{j + 1}"))
    if values.type == pa.int64() and values.null_count:
        return values.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get).array
    if values.type == pa.bool_() and values.null_count:
        return values.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get).array
    return values.to_pandas().array


def _whole(low: pa.ChunkedArray, high: pa.ChunkedArray) -> Any:
    """64-bit integers from their halves, which are 32-bit integers in R; -2^31 is R's NA, -2^63 that of bit64."""
    halves = [each.fill_null(-(2**31)).to_numpy().astype(np.int64) for each in (low, high)]
    values = (halves[1] << 32) | (halves[0] & 0xFFFFFFFF)
    missing = values == np.iinfo(np.int64).min
    return pd.arrays.IntegerArray(values, missing) if missing.any() else values


def write_column(array: npt.NDArray[Any], folder: Path) -> dict[str, Any]:
    """An array under its mark, flat and column by column as R keeps it."""
    flat = np.asarray(array).ravel(order="F")
    table = pa.table({"v": pa.array(flat)})
    return {"$column": write_arrow(table, folder), "shape": list(np.shape(array))}


def read_column(mark: Mapping[str, Any], folder: Path) -> npt.NDArray[Any]:
    """An array that R wrote; missing numbers are NaN."""
    with taken(mark["$column"], folder) as file:
        flat = pq.read_table(file).column(0).to_numpy()
    return np.asarray(flat).reshape(mark["shape"], order="F")


def _name_of(number: float) -> str:
    """Name in ``NUMBERS`` of a number that is not finite."""
    return "NaN" if math.isnan(number) else ("Inf" if number > 0 else "-Inf")


def nothing(value: Any) -> None:
    """Translate no further types."""


def encode(value: Any, folder: Path, other: Callable[[Any], Any] = nothing) -> Any:
    """A Python value as JSON; ``other`` translates what is not plain, or returns None.

    Examples
    --------
    >>> encode({"level": 0.95, "df": math.inf, "seeds": (1, 2)}, Path())
    {'level': 0.95, 'df': {'$number': 'Inf'}, 'seeds': [1, 2]}
    """
    translated = other(value)
    if translated is not None:
        return translated
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, np.generic):
        return encode(value.item(), folder, other)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$number": _name_of(value)}
    if isinstance(value, pd.DataFrame):
        return write_frame(value, folder)
    if isinstance(value, pd.Series):
        return write_frame(value.to_frame(value.name or "value"), folder)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return write_column(value, folder)
    if isinstance(value, Mapping):
        return {_escaped(str(key)): encode(each, folder, other) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [encode(each, folder, other) for each in value]
    if is_dataclass(value):
        return encode({each.name: getattr(value, each.name) for each in fields(value)}, folder, other)
    return str(value)


def _escaped(key: str) -> str:
    return f"${key}" if key.startswith("$") else key


def decode(value: Any, folder: Path, other: Callable[[dict[str, Any]], Any] = nothing) -> Any:
    """JSON from R as a Python value; ``other`` translates further marks, or returns None.

    Examples
    --------
    >>> decode({"df": {"$number": "Inf"}, "by": ["age"], "$$frame": 1}, Path())
    {'df': inf, 'by': ['age'], '$frame': 1}
    """
    if isinstance(value, list):
        return [decode(each, folder, other) for each in value]
    if not isinstance(value, dict):
        return value
    translated = other(value)
    if translated is not None:
        return translated
    if "$frame" in value:
        return read_frame(value["$frame"], value, folder)
    if "$rows" in value:
        return Rows(read_frame(value["$rows"], value, folder), bool(value["vector"]))
    if "$column" in value:
        return read_column(value, folder)
    if "$number" in value:
        return NUMBERS[value["$number"]]
    return {
        key[1:] if key.startswith("$$") else key: decode(each, folder, other) for key, each in value.items()
    }
