"""What data may come in: the doors, and identities that a reader may retype."""

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq


def csv_file(frame, folder):
    frame.to_csv(folder / "t.csv", index=False, float_format="%.17g")
    return folder / "t.csv"


def parquet_file(frame, folder):
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / "t.parquet")
    return folder / "t.parquet"


def stata_file(frame, folder):
    frame.to_stata(folder / "t.dta", write_index=False, version=118)
    return folder / "t.dta"


DOORS = {
    "nullable": lambda frame, folder: frame.convert_dtypes(),
    "arrow-backed": lambda frame, folder: frame.convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda frame, folder: pl.from_pandas(frame),
    "polars, lazy": lambda frame, folder: pl.from_pandas(frame).lazy(),
    "pyarrow": lambda frame, folder: pa.Table.from_pandas(frame, preserve_index=False),
    "duckdb": lambda frame, folder: duckdb.from_arrow(pa.Table.from_pandas(frame, preserve_index=False)),
    "csv": csv_file,
    "parquet": parquet_file,
    "stata": stata_file,
}


IDS = {  # of cluster k: text that looks like numbers or gaps beside text that does not; integers beyond 2^53; integers with gaps
    "text": lambda k: (
        ["north", "NA", "None", "01", "1", "1E2", "100", "5", "5.0", "größe", "nan"] + [f"v{k}"] * 30
    )[k],
    "big": lambda k: 2**53 + k,
    "gaps": lambda k: 2**53 + k if k else None,
}


def identified(frame, ids):
    """The frame with such labels of its clusters and effects."""
    labels = [IDS[ids](k) for k in frame["g"]]
    return frame.assign(g=pd.array(labels, dtype="Int64") if ids != "text" else labels)
