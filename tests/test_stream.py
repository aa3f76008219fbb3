"""Studies of files: the same arrays, and the same table, as of the same rows in memory."""

import gc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import hte_bridge as hb
from hte_bridge import cli
from hte_bridge.errors import InvalidData, UnreadableFile, UnwritableFolder
from hte_bridge.shell import read_whole
from hte_bridge.simulate.panel import panel
from hte_bridge.stream import Serial, Store, parts_of, rows_of, tree_sum
from hte_bridge.stream.sample import places

ROLES = {
    "outcome": "y",
    "treatment": "t",
    "covariates": ["a", "b", "town"],
    "fixed_effects": ["user", "vendor", "period"],
    "cluster": "user",
    "weight": "w",
}
ARRAYS = (
    "outcome",
    "treatment",
    "covariates",
    "fixed_effects",
    "cluster",
    "weight",
    "cluster_levels",
    "keys",
    "filled",
)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """A panel with what a study drops and fills: gaps, blank text, ids as text and as whole numbers beyond 2^53, a user seen once."""
    df = panel(n_rows=1500, n_users=60, n_vendors=8, n_periods=12, seed=1).frame()
    rng = np.random.default_rng(2)
    df["town"] = rng.choice(["x", "y", "z", ""], len(df))
    df["w"] = rng.choice([0.0, 1.0, 2.0], len(df), p=[0.02, 0.58, 0.4])
    df["user"] = df["user"].astype(np.int64) + 2**53
    df["vendor"] = df["vendor"].map("{:03d}".format)
    df["tier"] = np.where(df["a"] > 0, "hi", "lo")
    df.loc[5, "y"], df.loc[7, "b"], df.loc[9, "vendor"] = np.nan, np.nan, None
    df.loc[11, "user"] = 5
    return df


@pytest.fixture(scope="module")
def folder(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clicks")
    frame[:600].to_parquet(path / "a.parquet", row_group_size=250)
    frame[600:].to_parquet(path / "b.parquet")
    return path


@pytest.fixture(scope="module")
def both(frame: pd.DataFrame, folder: Path) -> tuple[hb.Study, hb.Study]:
    return hb.Study.from_frame(frame, **ROLES), hb.Study.from_parquet(folder, **ROLES)


def test_arrays_names_and_what_was_dropped_are_those_of_the_frame(both):
    held, streamed = both
    for name in ARRAYS:
        assert np.array_equal(getattr(held, name), getattr(streamed, name), equal_nan=name == "covariates"), (
            name
        )
    for one, other in zip(held.effect_levels, streamed.effect_levels, strict=True):
        assert one.tolist() == other.tolist()
    assert held.names == streamed.names
    assert held.encoder == streamed.encoder
    assert dict(held.dropped) == dict(streamed.dropped)
    assert held.index.equals(streamed.index)
    assert repr(held) == repr(streamed)
    assert not isinstance(streamed.subset(streamed.outcome > 0).outcome, np.memmap)


def test_batches_hold_the_rows_of_their_part(both, monkeypatch):
    held, streamed = both
    batches = [rows_of(streamed).batch(part) for part in parts_of(streamed.n, 400)]
    assert np.array_equal(np.concatenate([each.x for each in batches]), held.filled)
    assert np.array_equal(np.concatenate([each.effects for each in batches]), held.fixed_effects)


def test_the_table_and_what_follows_from_scores_are_the_same(both):
    held, streamed = (hb.compare(each, [hb.Feols()], seed=1) for each in both)
    for make in (
        lambda table: table,
        lambda table: table.gate("tier"),
        lambda table: table.average("ape", "a > 0 & town == 'x'"),
        lambda table: table.projection("a + i(town)"),
        lambda table: table.with_vcov({"CRV1": "vendor"}),
    ):
        one, other = make(held).to_frame(), make(streamed).to_frame()
        assert one["term"].tolist() == other["term"].tolist()
        assert one["note"].tolist() == other["note"].tolist()
        gap = np.abs(one[["estimate", "std_error"]] - other[["estimate", "std_error"]])
        assert gap.max(axis=None) < 1e-8


def test_how_files_are_cut_changes_no_bit(both, frame, tmp_path):
    whole = pa.Table.from_pandas(frame)
    pq.write_table(whole, tmp_path / "one.parquet", row_group_size=77)
    duckdb = pytest.importorskip("duckdb")
    known = both[1]
    for data in (tmp_path / "one.parquet", ds.dataset(tmp_path / "one.parquet"), duckdb.from_arrow(whole)):
        again = hb.Study.from_parquet(data, **ROLES)
        assert all(
            np.array_equal(getattr(known, name), getattr(again, name), equal_nan=True) for name in ARRAYS[:8]
        )


def test_columns_in_the_names_of_folders_keep_their_text(frame, tmp_path):
    for vendor, rows in frame.dropna(subset="vendor").groupby("vendor"):
        (tmp_path / f"vendor={vendor}").mkdir()
        rows.drop(columns="vendor").to_parquet(tmp_path / f"vendor={vendor}" / "rows.parquet")
    study = hb.Study.from_parquet(tmp_path, **ROLES)
    assert study.effect_levels[1].tolist()[:2] == ["000", "001"]


def other_type(df, path):
    df.assign(a=df["a"].astype(str)).to_parquet(path / "c.parquet")


def other_id(df, path):
    df.assign(user=df["user"].astype(str)).to_parquet(path / "c.parquet")


def no_column(df, path):
    df.drop(columns="b").to_parquet(path / "c.parquet")


def empty(df, path):
    (path / "c.parquet").write_bytes(b"")


def truncated(df, path):
    df.to_parquet(path / "c.parquet")
    held = (path / "c.parquet").read_bytes()
    (path / "c.parquet").write_bytes(held[: len(held) // 2])


@pytest.mark.parametrize(
    ("spoil", "error", "sentence"),
    [
        (other_type, InvalidData, r"`a` is (large_)?string in `.*c.parquet` and double in `.*a.parquet`"),
        (other_id, InvalidData, r"`user` is (large_)?string in `.*c.parquet` and int64"),
        (no_column, InvalidData, r"c.parquet` lacks `b`"),
        (empty, UnreadableFile, r"c.parquet` could not be read"),
        (truncated, UnreadableFile, r"c.parquet` could not be read"),
    ],
)
def test_a_folder_that_does_not_hold_together_is_a_sentence(frame, tmp_path, spoil, error, sentence):
    frame.to_parquet(tmp_path / "a.parquet")
    spoil(frame, tmp_path)
    with pytest.raises(error, match=sentence):
        hb.Study.from_parquet(tmp_path, **ROLES)


def test_rules_of_a_study_are_said_as_of_a_frame(frame, tmp_path):
    for changes in (
        {"treatment": "town"},
        {"outcome": "nothing"},
        {"covariates": ["a", "y"]},
        {"covariates": ["user"], "cluster": None, "fixed_effects": ["user"]},
    ):
        roles = ROLES | changes
        frame.to_parquet(tmp_path / "a.parquet")
        with pytest.raises(InvalidData) as held:
            hb.Study.from_frame(frame, **roles)
        with pytest.raises(InvalidData) as streamed:
            hb.Study.from_parquet(tmp_path, **roles)
        assert str(held.value) == str(streamed.value)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(frame, folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hte_bridge.stream.store.reserve", full)
    with pytest.raises(UnwritableFolder, match="No space left on device"):
        hb.Study.from_parquet(folder, **ROLES, work=tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_the_folder_goes_with_the_study(folder, tmp_path):
    study = hb.Study.from_parquet(folder, **ROLES, work=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    del study
    gc.collect()  # what a study has computed knows it
    assert not list(tmp_path.iterdir())


def test_sums_do_not_depend_on_who_makes_them():
    values = np.random.default_rng(1).normal(size=37)
    assert Serial().map_sum(lambda k: values[k], range(37)) == tree_sum(iter(values.tolist()))


def test_a_store_gives_back_what_it_was_given(tmp_path):
    store = Store(tmp_path)
    for given in (np.arange(6.0).reshape(3, 2), np.arange(3), np.empty((0, 2)), np.empty((3, 0))):
        store.put("x", given)
        assert np.array_equal(store.read("x"), given)
    assert len(list(tmp_path.iterdir())) == 1


@dataclass(frozen=True)
class Whole:
    """feols, but as an engine that reads no parts."""

    name: str = "s"

    def fit(self, study, folds=None):
        assert study.stored is None
        return hb.Feols(label="s", plain=False).fit(study, folds)


def test_an_engine_that_needs_all_rows_in_memory_gets_a_sample_of_whole_clusters_and_says_so(
    both, monkeypatch
):
    monkeypatch.setattr("hte_bridge.stream.sample.WHOLE", 100)
    monkeypatch.setattr("hte_bridge.stream.sample.SAMPLE", 700)
    streamed = both[1]
    table = hb.compare(streamed, [hb.Feols(), Whole()], estimands=["ape"], seed=1)
    row = next(row for row in table.rows if row.engine == "s" and row.estimand == "ape")
    sample = places(streamed, 700, seed=1)
    assert 700 <= row.n_obs == len(sample) < 800
    assert not np.isin(streamed.cluster[sample], np.delete(streamed.cluster, sample)).any()
    assert f"a random sample of {row.n_obs:,} of {streamed.n:,} rows, whole clusters of `user`" in row.note
    alone = hb.compare(streamed.subset(sample), [Whole()], estimands=["ape"], seed=1).rows[-1]
    assert (row.estimate, row.std_error) == (alone.estimate, alone.std_error)
    assert list(table.fits) == ["feols"]


def test_such_an_engine_gets_all_rows_where_they_are_few(both):
    held, streamed = (hb.compare(each, [Whole()], estimands=["ape"], seed=1) for each in both)
    assert held.rows[0].estimate == streamed.rows[0].estimate
    assert "sample" not in streamed.rows[0].note


def test_the_shell_reads_a_folder_and_says_what_it_holds(folder, both, monkeypatch, capsys, tmp_path):
    words = ["--outcome=y", "--treatment=t", "--covariates=a,b,town", "--fixed-effects=user,vendor,period"]
    words += ["--cluster=user", "--weight=w", "--engines=feols", "--seed=1", f"--out={tmp_path}"]
    monkeypatch.setattr("sys.argv", ["hte-bridge", "compare", str(folder), *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert repr(both[0]) in said.err
    table = hb.Table.load(tmp_path / "table.parquet")
    known = hb.compare(both[1], ["feols"], seed=1)
    assert [row.estimate for row in table.rows if row.term != "joint"] == [
        row.estimate for row in known.rows if row.term != "joint"
    ]
    assert f"hb.Study.from_parquet(\n    {str(folder)!r}" in known.meta["code"]


def test_what_is_read_into_memory_whole_is_forecast(folder, frame):
    said = read_whole(folder, ["y", "t", ["a", "b"], None, "user", "no column"])
    assert f"{len(frame):,} rows of 5 columns, about " in said
    assert " GB are free" in said


def test_many_rows_of_a_study_of_files_stay_on_disk_and_answer_alike(both, monkeypatch):
    held, streamed = both
    monkeypatch.setattr("hte_bridge.stream.study.SUBSET", 100)
    chosen = np.flatnonzero(held.outcome > np.median(held.outcome))
    one, other = held.subset(chosen), streamed.subset(chosen)
    assert other.stored is not None
    assert isinstance(other.covariates, np.memmap)
    for name in ARRAYS:
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "covariates"), name
    assert other.frame["tier"].tolist() == one.frame["tier"].tolist()
    assert other.index.equals(one.index)
    tables = (
        hb.compare(each, [hb.Feols()], estimands=["ape"], seed=1).gates(2).to_frame()
        for each in (held, streamed)
    )
    first, second = (each[["estimate", "std_error"]] for each in tables)
    assert np.abs(first - second).max(axis=None) < 1e-8
    assert streamed.subset(chosen[::-1]).stored is None
