"""The same rows, bit for bit, whatever the data came in: pandas, polars, Arrow, DuckDB, CSV, Parquet, Stata."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def rows_of(data, roles):
    table = hb.compare(hb.Study.from_frame(data, **roles), [hb.Feols()], seed=1, on_error="raise")
    gates, where = (
        table.gate("town"),
        table.average("ape" if roles.get("fixed_effects") else "ate", where="x > 0"),
    )
    study = table.study
    counted = [study.n_clusters, study.dropped, [len(each) for each in study.effect_levels]]
    return [each.to_frame().drop(columns="note") for each in (table, gates, where)], counted


def same_rows(frame, roles, door, folder):
    """A study read through a door has the rows of the pandas frame."""
    if len(set(frame["d"])) > 2 and "fixed_effects" not in roles:
        frame = frame.assign(d=(frame["d"] > np.median(frame["d"])).astype(int))
    tables, counted = rows_of(frame, roles)
    others, also = rows_of(DOORS[door](frame, folder), roles)
    assert counted == also
    for one, other in zip(tables, others, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    count(f"doors: {door}", "held")


@pytest.mark.parametrize("door", DOORS)
@examples(share=0.02, most=20)
@given(sound_frame(), st.sampled_from(sorted(IDS)))
def test_every_door_gives_the_same_rows(door, tmp_path_factory, drawn, ids):
    frame, roles = drawn
    if door != "stata":  # which has neither integers beyond 2^53 nor gaps in them
        frame = identified(frame, ids)
    same_rows(frame.reset_index(drop=True), roles, door, tmp_path_factory.mktemp("door"))
