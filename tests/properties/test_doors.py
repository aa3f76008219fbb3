"""The same rows, bit for bit, whatever the data came in: pandas, polars, Arrow, DuckDB, CSV, Parquet, Stata."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.doors import DOORS, IDS, identified
from tests.properties.kept import same_rows
from tests.properties.profiles import examples
from tests.properties.strategies import sound_frame


@pytest.mark.parametrize("door", DOORS)
@examples(share=0.02, most=20)
@given(sound_frame(), st.sampled_from(sorted(IDS)))
def test_every_door_gives_the_same_rows(door, tmp_path_factory, drawn, ids):
    frame, roles = drawn
    if door != "stata":  # which has neither integers beyond 2^53 nor gaps in them
        frame = identified(frame, ids)
    same_rows(frame.reset_index(drop=True), roles, door, tmp_path_factory.mktemp("door"))
