"""Values between R and Python: JSON for what is small, Parquet files for frames and columns.

A file is read once and then removed by its reader. Marks in the JSON say what a place holds: ``$frame`` a data frame,
``$column`` an array, ``$table`` a saved table, ``$number`` a number that JSON cannot hold.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hte_bridge.errors import UnwritableFolder

NUMBERS = {"NaN": math.nan, "Inf": math.inf, "-Inf": -math.inf}


def write_arrow(table: pa.Table, folder: Path) -> str:
    """Write columns to a new file of the folder; its path.

    Raises
    ------
    UnwritableFolder
        If the folder is full, read-only or gone.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".parquet", delete=False) as file:
            pq.write_table(table, file, compression="none")
    except OSError as error:
        raise UnwritableFolder(
            f"R's temporary folder must have room for the columns. Writing to `{folder}` failed "
            f"({error.strerror or error}). Free some space, or set TMPDIR before R starts."
        ) from error
    return file.name


def write_frame(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """A frame under its mark; the names travel in the JSON, any text can be one."""
    columns = [pa.array(frame.iloc[:, j], from_pandas=False) for j in range(frame.shape[1])]
    table = pa.Table.from_arrays(columns, names=[f"c{j}" for j in range(len(columns))])
    return {"$frame": write_arrow(table, folder), "names": [str(name) for name in frame.columns]}


def read_frame(mark: Mapping[str, Any]) -> pd.DataFrame:
    """A frame that R wrote, rows labelled 1 to n as R counts them."""
    path = Path(mark["$frame"])
    table = pq.read_table(path)
    path.unlink()
    columns = {j: _column(table.column(j), about) for j, about in enumerate(mark["columns"])}
    frame = pd.DataFrame(columns, index=pd.RangeIndex(1, mark["rows"] + 1))
    frame.columns = pd.Index([about["name"] for about in mark["columns"]], dtype=object)
    return frame


def _column(values: pa.ChunkedArray, about: Mapping[str, Any]) -> Any:
    """One column with the type it had in R."""
    if about["kind"] == "factor":
        codes = values.fill_null(0).to_numpy() - 1
        return pd.Categorical.from_codes(codes, about["levels"], ordered=about["ordered"])
    if values.type == pa.int64() and values.null_count:
        return values.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get).array
    if values.type == pa.bool_() and values.null_count:
        return values.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get).array
    return values.to_pandas().array


def write_column(array: npt.NDArray[Any], folder: Path) -> dict[str, Any]:
    """An array under its mark, flat and column by column as R keeps it."""
    flat = np.asarray(array).ravel(order="F")
    table = pa.table({"v": pa.array(flat)})
    return {"$column": write_arrow(table, folder), "shape": list(np.shape(array))}


def read_column(mark: Mapping[str, Any]) -> npt.NDArray[Any]:
    """An array that R wrote; missing numbers are NaN."""
    path = Path(mark["$column"])
    flat = pq.read_table(path).column(0).to_numpy()
    path.unlink()
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
        return {str(key): encode(each, folder, other) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [encode(each, folder, other) for each in value]
    if is_dataclass(value):
        return encode({each.name: getattr(value, each.name) for each in fields(value)}, folder, other)
    return str(value)


def decode(value: Any, other: Callable[[dict[str, Any]], Any] = nothing) -> Any:
    """JSON from R as a Python value; ``other`` translates further marks, or returns None.

    Examples
    --------
    >>> decode({"df": {"$number": "Inf"}, "by": ["age"]})
    {'df': inf, 'by': ['age']}
    """
    if isinstance(value, list):
        return [decode(each, other) for each in value]
    if not isinstance(value, dict):
        return value
    translated = other(value)
    if translated is not None:
        return translated
    if "$frame" in value:
        return read_frame(value)
    if "$column" in value:
        return read_column(value)
    return (
        NUMBERS[value["$number"]]
        if "$number" in value
        else {key: decode(each, other) for key, each in value.items()}
    )
