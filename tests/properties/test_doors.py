"""The same rows, bit for bit, whatever the data came in: pandas, polars, Arrow, DuckDB, CSV, Parquet, Stata."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

import hte_bridge as hb
from tests.properties.profiles import count, examples
from tests.properties.strategies import sound_frame


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


def rows_of(data, roles):
    table = hb.compare(hb.Study.from_frame(data, **roles), [hb.Feols()], seed=1, on_error="raise")
    gates, where = (
        table.gate("town"),
        table.average("ape" if roles.get("fixed_effects") else "ate", where="x > 0"),
    )
    return [each.to_frame().drop(columns="note") for each in (table, gates, where)]


@pytest.mark.parametrize("door", DOORS)
@examples(share=0.02)
@given(sound_frame())
def test_every_door_gives_the_same_rows(door, tmp_path_factory, drawn):
    frame, roles = drawn
    frame = frame.reset_index(drop=True)
    if len(set(frame["d"])) > 2 and "fixed_effects" not in roles:
        frame["d"] = (frame["d"] > np.median(frame["d"])).astype(int)
    given_back = DOORS[door](frame, tmp_path_factory.mktemp("door"))
    for one, other in zip(rows_of(frame, roles), rows_of(given_back, roles), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    count(f"doors: {door}", "held")
