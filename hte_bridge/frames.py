"""Any table a user holds -> a pandas frame; what was handed in is never changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hte_bridge.errors import InvalidData, UnreadableFile
from hte_bridge.labelled import read_spss, read_stata, told
from hte_bridge.reading import TAKEN, Role, read_csv

NULLABLE = {
    **{getattr(pa, f"int{bits}")(): getattr(pd, f"Int{bits}Dtype")() for bits in (8, 16, 32, 64)},
    **{getattr(pa, f"uint{bits}")(): getattr(pd, f"UInt{bits}Dtype")() for bits in (8, 16, 32, 64)},
    pa.bool_(): pd.BooleanDtype(),
}
WHAT = "a pandas, polars, DuckDB or pyarrow table, any other with an Arrow stream, or the path of a Parquet, CSV, Stata or SPSS file"


def to_pandas(data: Any, roles: Mapping[str, Role] | None = None) -> pd.DataFrame:
    """Read any table that a user holds, or the path of a Parquet, CSV, Stata or SPSS file.

    Integers and yes/no columns with gaps stay what they are (pandas' nullable types): an id beyond 2^53 is exact. Names of columns
    become text, so that a column 2 is named ``"2"``. Labels of a ``.dta`` file are unordered categories.

    Parameters
    ----------
    data : frame or path
        pandas frame; anything that exports an Arrow stream (polars, pyarrow, DuckDB, Ibis) or that narwhals knows (lazy frames,
        Modin, Dask, Spark); or path of a ``.parquet``,
        ``.csv``, ``.tsv`` (either with ``.gz``), ``.dta`` or ``.sav`` file or of a folder of Parquet files.
    roles : mapping, optional
        For CSV files, where all is text: name of a column -> "number", "identity" or "text". See ``reading.read_csv``.

    Returns
    -------
    pandas.DataFrame
        The same columns; a pandas frame comes back itself, or a shallow copy where names or types change.

    Raises
    ------
    InvalidData
        If ``data`` is none of these, or two columns have one name.
    UnreadableFile
        If a file is missing, truncated or in another format.

    Examples
    --------
    >>> to_pandas(pd.DataFrame({"a": [1, 2]})).shape
    (2, 1)
    >>> to_pandas(pa.table({"id": [2**53 + 1, None]}))["id"].tolist()
    [9007199254740993, <NA>]
    """
    if isinstance(data, str | Path):
        frame = _read(Path(data), roles)
        frame.attrs["path"] = str(data)  # for the lines that make the table again
    elif isinstance(data, pd.DataFrame):
        frame = _plain_types(data)
    elif hasattr(data, "__arrow_c_stream__") and not hasattr(data, "index"):
        frame = from_arrow(_streamed(data))
    else:
        frame = _by_narwhals(data)
    return _named(frame)


def _streamed(data: Any) -> pa.Table:
    try:
        return pa.table(data)
    except pa.ArrowInvalid as error:  # a stream of one column
        raise InvalidData(
            f"The data must be {WHAT}. A {type(data).__name__} was found, whose stream is no table. Put it into a data frame with named columns."
        ) from error


def _by_narwhals(data: Any) -> pd.DataFrame:
    """What keeps its rows elsewhere (a lazy frame, Dask, Spark) is collected; what has an index of its own (Modin, cuDF) brings it."""
    if hasattr(data, "compute"):  # Dask's own word, with its index
        return to_pandas(data.compute())
    import narwhals

    known = narwhals.from_native(data, pass_through=True)
    if isinstance(known, narwhals.LazyFrame):
        return to_pandas(known.collect().to_native())
    if isinstance(known, narwhals.DataFrame):
        return _plain_types(known.to_pandas())
    if hasattr(data, "to_pandas"):
        return _plain_types(data.to_pandas())
    raise InvalidData(
        f"The data must be {WHAT}. A {type(data).__name__} was found. Put it into a data frame with named columns."
    )


def from_arrow(table: pa.Table) -> pd.DataFrame:
    """An Arrow table as a pandas frame: integers exact beside gaps, levels of categories sorted unless pandas wrote them."""
    once(table.column_names)
    table = _signed(table)
    nullable = {
        column.type: NULLABLE[column.type]
        for column in table.columns
        if column.null_count and column.type in NULLABLE
    }
    frame = table.to_pandas(types_mapper=nullable.get if nullable else None)
    whole = {
        name: frame[name].to_numpy(dtype=column.type.to_pandas_dtype())
        for name, column in zip(table.column_names, table.columns, strict=True)
        if column.type in nullable and not column.null_count and name in frame.columns
    }
    known = (table.schema.pandas_metadata or {}).get("columns", ())
    kept = {each["name"] for each in known if each["pandas_type"] == "categorical"}
    return _sorted_levels(frame.assign(**whole) if whole else frame, kept)


def _signed(table: pa.Table) -> pa.Table:
    """Categories whose codes are unsigned (DuckDB's) with signed ones: pyarrow 18 hands no others to pandas."""
    fields = [
        field.with_type(pa.dictionary(pa.int32(), field.type.value_type, field.type.ordered))
        if pa.types.is_dictionary(field.type) and pa.types.is_unsigned_integer(field.type.index_type)
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def names_of(given: Any) -> list[str]:
    """Names of columns as text, from one name or several.

    Examples
    --------
    >>> names_of("age"), names_of([2, "age"]), names_of(2), names_of(None)
    (['age'], ['2', 'age'], ['2'], [])
    """
    if given is None:
        return []
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    return [str(each) for each in given] if several else [str(given)]


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with names that are text, each once."""
    once(list(frame.columns))
    if type(frame.columns) is pd.Index and all(type(name) is str for name in frame.columns):
        return frame
    names = [str(name) for name in frame.columns]
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        held = " and ".join(
            type(name).__name__ for name, text in zip(frame.columns, names, strict=True) if text == twice
        )
        raise InvalidData(
            f"Names of columns must differ as text. `{twice}` is the name of {names.count(twice)} columns, in types {held}. "
            "Rename one of them."
        )
    out = frame.copy(deep=False)
    out.columns = pd.Index(names, dtype=object)
    return out


def once(names: list[Any]) -> None:
    """Each column has a name of its own.

    Raises
    ------
    InvalidData
        With the first that has not.
    """
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise InvalidData(
            f"Each column name must occur once. `{twice}` occurs {names.count(twice)} times. Rename or drop one of them."
        )


def _plain_types(frame: pd.DataFrame) -> pd.DataFrame:
    """Arrow-backed columns as those of an Arrow table; any other frame itself."""
    arrow = [place for place, kind in enumerate(frame.dtypes) if isinstance(kind, pd.ArrowDtype)]
    if not arrow:
        return frame
    columns = [pa.chunked_array(pa.array(frame.iloc[:, place].array)) for place in arrow]
    made = from_arrow(pa.table(columns, names=[str(place) for place in arrow])).set_axis(frame.index)
    parts = [made[str(place)] if place in arrow else frame.iloc[:, place] for place in range(frame.shape[1])]
    return pd.concat(parts, axis=1).set_axis(frame.columns, axis=1)


def _sorted_levels(frame: pd.DataFrame, kept: Collection[Any]) -> pd.DataFrame:
    """Levels of unordered categories in sorted order: Arrow and polars keep them in the order in which they came up."""
    names = [name for name in frame.columns if frame[name].dtype.name == "category" and name not in kept]
    categories = {name: frame[name].cat for name in names}
    unordered = {
        name: each.set_categories(sorted(each.categories))
        for name, each in categories.items()
        if not each.ordered
    }
    return frame.assign(**unordered) if unordered else frame


def _read(path: Path, roles: Mapping[str, Role] | None) -> pd.DataFrame:
    if not path.exists():
        raise UnreadableFile(f"The data file must exist. There is no `{path}`. Check the path.")
    kind = "".join(path.suffixes[-2:]).lower()
    try:
        if path.is_dir() or kind.endswith((".parquet", ".pq")):
            return from_arrow(pq.read_table(path))
        if kind.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
            found = read_csv(path, roles)
            said = (found.schema.metadata or {}).get(TAKEN, b"").decode()
            frame = from_arrow(found.replace_schema_metadata(None))
            return told(frame, said) if said else frame
        if kind.endswith(".dta"):
            return read_stata(path)
        if kind.endswith((".sav", ".zsav")):
            return read_spss(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableFile(
            f"`{path.name}` must be a whole Parquet, CSV, Stata or SPSS file. It could not be read: {first}. "
            "Write it again from its source."
        ) from error
    raise UnreadableFile(
        f"A data file must end in .parquet, .csv, .tsv, .dta or .sav. `{path.name}` does not. Convert it, or read it into a "
        "data frame and hand that over."
    )
