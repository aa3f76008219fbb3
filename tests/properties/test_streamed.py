"""A study of files is the study of the same rows in memory: random panels and cross-sections, cut into files at random, table beside table."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hte_bridge as hb
from hte_bridge.errors import HteBridgeError
from hte_bridge.estimands import large, regression
from hte_bridge.stream import source, study

SAME = 1e-8  # of numbers near one
SEEDS = range(14)


@pytest.fixture
def small(monkeypatch):
    """Batches, parts and what counts as large are small, so that every pass has several."""
    monkeypatch.setattr(source, "BATCH", 61)
    monkeypatch.setattr(study.parts_of, "__defaults__", (70,))
    monkeypatch.setattr(large, "BLOCK", 50)
    return lambda size: monkeypatch.setattr(regression, "LARGE", size)


def drawn(rng: np.random.Generator) -> tuple[pd.DataFrame, dict[str, object]]:
    """Rows with gaps, weights of zero and ids of several types, and the roles of a study of them."""
    n = int(rng.choice([150, 260]))
    df = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(5, 3, n), "k": rng.integers(0, 4, n) > 1})
    for name, levels in (("user", 30), ("vendor", 6), ("period", 5)):
        df[name] = rng.integers(0, levels, n)
    df["region"] = df["user"] % 3 if rng.random() < 0.5 else rng.integers(0, 3, n)
    df["town"] = rng.choice(["x", "y", "z", ""], n)
    binary = rng.random() < 0.5
    df["t"] = rng.integers(0, 2, n) if binary else rng.normal(size=n) + 0.3 * df["b"]
    df["y"] = (1 + 0.5 * df["a"]) * df["t"] + df["b"] + df["user"] % 5 + rng.normal(size=n)
    df["w"] = rng.choice([1.0, 2.0, 0.5, 0.0], n, p=[0.4, 0.3, 0.27, 0.03])
    df.loc[rng.random(n) < 0.1, "a"] = np.nan
    df.loc[rng.random(n) < 0.03, "y"] = np.nan
    df["vendor"] = df["vendor"].map("{:02d}".format).where(rng.random(n) > 0.02, None)
    if rng.random() < 0.5:
        df["period"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(df["period"], "D")
    df["town"] = df["town"].astype("category") if rng.random() < 0.5 else df["town"]
    roles: dict[str, object] = {
        "outcome": "y",
        "treatment": "t",
        "covariates": ["a", "b", "town", "k"][: rng.integers(1, 5)],
    }
    roles["fixed_effects"] = list(
        rng.permutation(["user", "vendor", "period", "region"])[: rng.integers(0, 4)]
    )
    roles["cluster"] = [None, "user", "vendor", ["user", "period"]][rng.integers(0, 4)]
    roles["weight"] = "w" if rng.random() < 0.5 else None
    return df, roles


def cut(df: pd.DataFrame, rng: np.random.Generator, folder) -> None:
    """Files and row groups of any size, also of no row, each with its own order of categories."""
    ends = [0, *np.sort(rng.integers(0, len(df) + 1, 2)).tolist(), len(df)]
    for number, (begin, end) in enumerate(itertools.pairwise(ends)):
        table = pa.Table.from_pandas(df.iloc[begin:end], preserve_index=False).replace_schema_metadata(None)
        place = table.column_names.index("town")
        if pa.types.is_dictionary(table.schema.field("town").type):
            own = pa.chunked_array([table["town"].cast(pa.string()).combine_chunks().dictionary_encode()])
            table = table.set_column(place, "town", own)
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=int(rng.choice([7, 50, 1000])))


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_of_files_and_of_rows_in_memory_agree(small, tmp_path, seed):
    rng = np.random.default_rng(seed)
    df, roles = drawn(rng)
    cut(df, rng, tmp_path)
    found = []
    for door, size in ((hb.Study.from_frame, 10**9), (hb.Study.from_parquet, 0)):
        small(size)
        try:
            made = door(tmp_path, **roles)
            found.append((made, hb.compare(made, [hb.Feols()], seed=1).to_frame()))
        except HteBridgeError as error:
            found.append((None, str(error)))
    (one, held), (other, streamed) = found
    if one is None or other is None:
        assert held == streamed
        return
    assert repr(one) == repr(other)
    assert dict(one.dropped) == dict(other.dropped)
    assert [each.tolist() for each in one.effect_levels] == [each.tolist() for each in other.effect_levels]
    for name in ("engine", "estimand", "term", "df", "vcov", "n_obs", "n_clusters", "note"):
        assert held[name].tolist() == streamed[name].tolist(), name
    numbers = ["estimate", "std_error"]
    assert np.array_equal(held[numbers].isna(), streamed[numbers].isna())
    assert (
        np.nanmax(np.abs(held[numbers] - streamed[numbers]) / np.maximum(np.abs(held[numbers]), 1.0)) < SAME
    )
