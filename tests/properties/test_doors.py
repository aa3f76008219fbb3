"""The same rows, bit for bit, whatever the data came in: pandas, polars, Arrow, DuckDB, CSV, Parquet, Stata."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hte_bridge as hb
from tests.properties.doors import DOORS, IDS, identified
from tests.properties.profiles import count, examples
from tests.properties.strategies import sound_frame


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
