"""Files as they are found in the wild: what is the same is read as the same, and what is broken is a sentence with nothing half-written."""

import resource
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hte_bridge as hb
from hte_bridge import cli
from hte_bridge.errors import HteBridgeError, InvalidData, NotEnoughMemory, UnreadableFile, UnwritableFolder
from hte_bridge.stream import Processes
from hte_bridge.stream.store import Store
from hte_bridge.stream.workers import Left

ROLES = {
    "outcome": "y",
    "treatment": "t",
    "covariates": ["a", "town"],
    "fixed_effects": ["user"],
    "cluster": "user",
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    df = pd.DataFrame({"a": rng.normal(size=240), "user": np.repeat(np.arange(24), 10)})
    df["town"] = np.where(df["user"] < 8, "x", np.where(df["user"] < 16, "y", "z"))
    df["t"] = rng.normal(size=240) + df["a"]
    df["y"] = df["t"] * (1 + df["a"]) + df["user"] / 10 + rng.normal(size=240)
    df["town"] = df["town"].where(rng.random(240) > 0.1, "y")
    return df


def in_two(frame, folder, **changes):
    """Files of the first and the last rows; ``changes`` are made to the second."""
    frame[:120].to_parquet(folder / "a.parquet", index=False)
    frame[120:].assign(**changes).to_parquet(folder / "b.parquet", index=False)
    return folder


def same(one, other):
    """Two studies of the same rows."""
    for name in ("outcome", "treatment", "covariates", "fixed_effects", "cluster"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name
    assert one.names == other.names


def test_a_column_that_is_missing_throughout_a_file_has_the_type_of_the_others(frame, tmp_path):
    in_two(frame, tmp_path, town=None)
    frame[:0].assign(town=None).to_parquet(tmp_path / "0.parquet")  # no row at all, and no type
    study = hb.Study.from_parquet(tmp_path, **ROLES)
    same(study, hb.Study.from_frame(frame.assign(town=frame["town"].where(frame.index < 120)), **ROLES))


def test_whole_numbers_with_and_without_a_sign_are_whole_numbers(frame, tmp_path):
    frame = frame.assign(user=frame["user"].astype("uint32"))
    in_two(frame, tmp_path, user=lambda df: df["user"].astype("int32") - 100)
    study = hb.Study.from_parquet(tmp_path, **ROLES)
    assert study.effect_levels[0].tolist() == [*range(-88, -76), *range(12)]


def test_a_level_of_one_file_alone_is_a_level(frame, tmp_path):
    study = hb.Study.from_parquet(in_two(frame, tmp_path), **ROLES)
    assert study.names.covariates == ("a", "town[y]", "town[z]")
    same(study, hb.Study.from_frame(frame, **ROLES))


def test_two_columns_of_one_name_are_refused(frame, tmp_path):
    table = pa.Table.from_pandas(frame)
    pq.write_table(table.append_column("a", table["a"]), tmp_path / "a.parquet")
    with pytest.raises(InvalidData, match="`a` occurs 2 times"):
        hb.Study.from_parquet(tmp_path, **ROLES)


def test_a_column_that_a_verb_names_is_held_against_all_files(frame, tmp_path):
    study = hb.Study.from_parquet(in_two(frame.assign(tier="a"), tmp_path, tier=1), **ROLES)
    table = hb.compare(study, [hb.Feols()], seed=1, estimands=["ape"])
    with pytest.raises(InvalidData, match="`tier` is int64 in"):
        table.gate("tier")


def test_columns_that_label_rows_make_order_nothing(frame, tmp_path):
    rng, tables = np.random.default_rng(2), []
    frame["id"] = rng.permutation(240)
    for k, rows in enumerate((frame, frame.iloc[rng.permutation(240)])):
        (tmp_path / str(k)).mkdir()
        study = hb.Study.from_parquet(in_two(rows, tmp_path / str(k)), **ROLES, index="id")
        assert study.index.tolist() == rows["id"].tolist()
        table = hb.compare(study, [hb.Feols()], seed=1)
        assert "index=['id']" in table.meta["code"]
        tables.append(table.to_frame()[["estimate", "std_error"]])
    assert np.abs(tables[0] - tables[1]).max(axis=None) < 1e-9
    with pytest.raises(InvalidData, match=r"`index` must name columns of the data. `ID` is not one"):
        hb.Study.from_parquet(tmp_path / "0", **ROLES, index="ID")


def test_the_shell_takes_labels_of_rows(frame, tmp_path, monkeypatch, capsys):
    in_two(frame.assign(id=frame.index[::-1]), tmp_path)
    words = ["--outcome=y", "--treatment=t", "--covariates=a", "--fixed-effects=user", "--engines=feols"]
    said = []
    for label in ("id", "ID"):
        monkeypatch.setattr("sys.argv", ["hte-bridge", "compare", str(tmp_path), *words, f"--index={label}"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said.append((ended.value.code, capsys.readouterr()))
    assert said[0][0] == 0
    assert "n = 240" in said[0][1].out
    assert said[1][0] == 2
    assert "`--index` must name columns of the data. `ID` is not one" in said[1][1].err


@contextmanager
def no_more_than(size: int):
    """Files end at so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [100, 1_000, 1_500, 3_000])
def test_a_disk_that_fills_during_the_scan_is_a_sentence_and_leaves_nothing(frame, tmp_path, size):
    in_two(frame, tmp_path)
    with no_more_than(size), pytest.raises(UnwritableFolder, match=r"must have room there. .*File too large"):
        hb.Study.from_parquet(tmp_path, **ROLES, work=tmp_path / "work")
    assert not list((tmp_path / "work").iterdir())


def test_a_disk_that_fills_during_scores_is_a_sentence_and_leaves_nothing(frame, tmp_path):
    study = hb.Study.from_parquet(in_two(frame, tmp_path), **ROLES)
    table = hb.compare(study, [hb.Feols()], seed=1, estimands=["ape"])
    with no_more_than(2_000), pytest.raises(UnwritableFolder, match="nothing half-written was left"):
        table.save_scores(tmp_path / "scores" / "scores.parquet")
    assert not list((tmp_path / "scores").iterdir())


def full(_: int) -> int:
    raise UnwritableFolder("The disk must have room.")


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_process_of_ours_cannot_write_is_said_here(count):
    with pytest.raises(UnwritableFolder, match="must have room"):
        list(Processes(count).map(full, [1, 2]))


def test_work_left_on_a_full_disk_is_a_sentence(tmp_path):
    with no_more_than(50), pytest.raises(UnwritableFolder, match="File too large"):
        Left.of(np.arange(100.0).__add__, Store(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_comparison_of_files_is_kept_and_answers_again(frame, tmp_path, monkeypatch):
    (tmp_path / "clicks").mkdir()
    study = hb.Study.from_parquet(in_two(frame.assign(tier=frame["user"] % 2), tmp_path / "clicks"), **ROLES)
    table = hb.compare(study, [hb.Feols()], seed=1)
    again = hb.load(table.save(tmp_path / "t.hte", columns=["tier"], rankings=False))
    assert again.study.stored is None
    for ask in (lambda each: each, lambda each: each.gate("tier"), lambda each: each.projection("a")):
        one, other = (ask(each).to_frame()[["estimate", "std_error"]] for each in (table, again))
        assert np.abs(one - other).max(axis=None) < 1e-8
    monkeypatch.setattr("hte_bridge.saved.write.SUBSET", 100)
    with pytest.raises(
        NotEnoughMemory, match=r"up to 100 of a study of files. There are 240. Save the table as"
    ):
        table.save(tmp_path / "u.hte")
    assert not (tmp_path / "u.hte").exists()


def test_fewer_rows_than_folds_times_effects_is_a_sentence_as_in_memory(frame, tmp_path):
    few = frame.groupby("user").head(2).head(6)
    few.to_parquet(tmp_path / "a.parquet", index=False)
    said = []
    for door, data in ((hb.Study.from_frame, few), (hb.Study.from_parquet, tmp_path)):
        study = door(data, **ROLES | {"covariates": ["a"]})
        with pytest.raises(HteBridgeError) as refused:
            hb.compare(study, [hb.Feols()], seed=1)
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_an_unreadable_dataset_is_named(frame, tmp_path):
    import pyarrow.dataset as ds

    in_two(frame, tmp_path, a="much")
    with pytest.raises((UnreadableFile, InvalidData), match=r"much|`a`"):
        hb.Study.from_parquet(ds.dataset(tmp_path), **ROLES)


def test_labels_of_two_columns_are_columns_of_the_scores(frame, tmp_path):
    frame = frame.assign(day=frame.groupby("user").cumcount())
    rows = {"index": ["user", "day"], "fixed_effects": None, "cluster": None, "covariates": ["a"]}
    study = hb.Study.from_parquet(in_two(frame, tmp_path), **ROLES | rows)
    table = hb.compare(study, [hb.Feols()], seed=1, estimands=["ape"])
    scores = pd.read_parquet(table.save_scores(tmp_path / "scores.parquet"))
    assert np.array_equal(scores["row day"], frame["day"])


def test_a_study_that_moves_to_other_workers_keeps_its_numbers(frame, tmp_path):
    study = hb.Study.from_parquet(in_two(frame, tmp_path), **ROLES)
    other = replace(study, stored=replace(study.stored, runner=Processes(2)))
    one, two = (hb.compare(each, [hb.Feols()], seed=1).to_frame() for each in (study, other))
    assert np.array_equal(one[["estimate", "std_error"]], two[["estimate", "std_error"]], equal_nan=True)
