"""Any table a user holds -> a pandas frame; what was handed in is never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from hte_bridge.errors import InvalidData, UnreadableFile


def to_pandas(data: Any) -> pd.DataFrame:
    """Read a pandas, polars or pyarrow table, or the path of a Parquet or CSV file.

    Parameters
    ----------
    data : frame or path
        pandas or polars frame, pyarrow table, or path of a ``.parquet``, ``.csv`` or ``.csv.gz`` file or
        of a folder of Parquet files.

    Returns
    -------
    pandas.DataFrame
        The same columns; a pandas frame comes back itself, not copied.

    Raises
    ------
    InvalidData
        If ``data`` is none of these, has no rows, or names a column twice.
    UnreadableFile
        If a file is missing, truncated or in another format.

    Examples
    --------
    >>> to_pandas(pd.DataFrame({"a": [1, 2]})).shape
    (2, 1)
    """
    if isinstance(data, str | Path):
        frame = _read(Path(data))
    elif isinstance(data, pd.DataFrame):
        frame = data
    elif hasattr(data, "collect"):  # polars.LazyFrame
        frame = _sorted_levels(data.collect().to_pandas())
    elif hasattr(data, "to_pandas"):  # polars.DataFrame, pyarrow.Table
        frame = data.to_pandas()
        frame = _sorted_levels(frame) if type(data).__module__.startswith("polars") else frame
    else:
        raise InvalidData(
            "The data must be a pandas or polars frame, a pyarrow table, or the path of a Parquet or CSV file. "
            f"A {type(data).__name__} was found. Put it into a data frame with named columns."
        )
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise InvalidData(
            f"Each column name must occur once. `{repeated[0]}` occurs {list(frame.columns).count(repeated[0])} "
            "times. Rename or drop one of them."
        )
    return frame


def _sorted_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Levels of unordered categories in sorted order: polars keeps them in the order of a shared cache."""
    categories = {name: frame[name].cat for name in frame.columns if frame[name].dtype.name == "category"}
    unordered = {
        name: each.set_categories(sorted(each.categories))
        for name, each in categories.items()
        if not each.ordered
    }
    return frame.assign(**unordered)


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise UnreadableFile(f"The data file must exist. There is no `{path}`. Check the path.")
    kind = "".join(path.suffixes[-2:]).lower()
    try:
        if path.is_dir() or kind.endswith((".parquet", ".pq")):
            return pd.read_parquet(path)
        if kind.endswith((".csv", ".csv.gz")):
            return pd.read_csv(path, float_precision="round_trip")  # the default parser is a bit off
    except (OSError, ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableFile(
            f"`{path.name}` must be a whole Parquet or CSV file. It could not be read: {first}. "
            "Write it again from its source."
        ) from error
    raise UnreadableFile(
        f"A data file must end in .parquet or .csv. `{path.name}` does not. Convert it, or read it into a "
        "data frame and hand that over."
    )
