"""A row's error becomes its interval in one place, and a table survives its file."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from hte_bridge.errors import InvalidOption, TooFewClusters, UnreadableFile, UnwritableFolder
from hte_bridge.estimands.averages import ate
from hte_bridge.files import KEY, whole_file
from hte_bridge.frames import to_pandas
from hte_bridge.scores import Scores
from hte_bridge.table import COLUMNS, Estimate, Table

N_DRAWS, LEVEL, EFFECT = 1000, 0.95, 0.5
BAND = 4 * (LEVEL * (1 - LEVEL) / N_DRAWS) ** 0.5  # hits are Binomial: 4 standard errors = 0.028


def coverage(make_row, seed):
    rng, cluster, hits = np.random.default_rng(seed), np.repeat(np.arange(40), 10), 0
    for _ in range(N_DRAWS):
        shared = rng.normal(size=40)[cluster]  # units of a cluster move together
        row = make_row(Scores(EFFECT + shared + rng.normal(size=400), cluster=cluster))
        hits += row.conf_low <= EFFECT <= row.conf_high
    return hits / N_DRAWS


def test_ate_interval_covers_as_often_as_it_says():
    assert abs(coverage(lambda s: ate(s, level=LEVEL), seed=1) - LEVEL) < BAND


def test_ignoring_clusters_would_be_caught():  # the test above is able to fail
    assert coverage(lambda s: ate(Scores(s.gamma), level=LEVEL), seed=1) < LEVEL - BAND


def test_labels_and_order_of_clusters_move_nothing():
    rng = np.random.default_rng(2)
    gamma, cluster = rng.normal(size=90), np.repeat(np.arange(30), 3)
    plain = ate(Scores(gamma, cluster=cluster))
    order = rng.permutation(90)
    other = ate(Scores(gamma[order], cluster=np.array([f"village {99 - c}" for c in cluster])[order]))
    assert abs(plain.estimate - other.estimate) < 1e-14  # sums in another order
    assert abs(plain.std_error - other.std_error) < 1e-14


def test_units_of_weight_zero_carry_nothing():
    gamma, weight = np.array([1.0, 2.0, 4.0, 9.0]), np.array([1.0, 1.0, 1.0, 0.0])
    assert ate(Scores(gamma, weight)).std_error == pytest.approx(ate(Scores(gamma[:3])).std_error, abs=1e-14)


def test_one_live_cluster_forms_no_variance():
    with pytest.raises(TooFewClusters, match="at least two clusters"):
        ate(Scores(np.array([1.0, 2.0]), cluster=np.array([1, 1])))


def test_interval_and_p_value_share_their_law():
    row = Estimate("ate", 1.0, 0.4, df=7, level=0.9)
    at_edge = Estimate("ate", row.estimate - row.conf_low, 0.4, df=7, level=0.9)
    assert at_edge.p_value == pytest.approx(0.1, abs=1e-12)
    assert row.conf_high - row.conf_low == pytest.approx(2 * 0.4 * stats.t.ppf(0.95, 7), abs=1e-12)


def test_a_row_without_an_error_has_no_interval():
    row = Estimate.missing("att", "not identified for a dose")
    assert np.isnan([row.estimate, row.std_error, row.p_value, row.conf_low, row.conf_high]).all()


@pytest.mark.parametrize(
    ("level", "says"), [(95, "Did you mean 0.95?"), (0, "between 0 and 1"), ("x", "'x' was given")]
)
def test_a_level_outside_its_range_gets_a_sentence(level, says):
    with pytest.raises(InvalidOption, match="`level` must be a coverage between 0 and 1") as caught:
        Estimate("ate", 1.0, level=level)
    assert says in str(caught.value)


TABLE = Table(
    (
        Estimate("ate", 0.1 + 0.2, 0.1, engine="grf", df=118, vcov="CRV1 (villnum)", n_obs=10, n_clusters=3),
        Estimate("projection", np.nan, engine="grf", term="joint", test=(3.0, 0.01), note="F test"),
        Estimate("gate", 1.0, 0.5, engine="deep", interval=(0.2, 1.7)),
    ),
    {"n": 10, "seed": 1, "warnings": ["overlap is weak"], "versions": {"grf": "2.6.1"}},
)


def test_a_saved_table_comes_back_to_the_last_bit(tmp_path):
    path = TABLE.save(tmp_path / "deep" / "t.parquet")
    back = Table.load(path)
    pd.testing.assert_frame_equal(back.to_frame(), TABLE.to_frame(), check_exact=True)
    assert back.meta == TABLE.meta
    assert list(back.to_frame().columns) == list(COLUMNS)
    assert [p.name for p in path.parent.iterdir()] == ["t.parquet"]


def test_a_csv_holds_every_digit(tmp_path):
    read = to_pandas(TABLE.save(tmp_path / "t.csv"))
    assert read["estimate"].iloc[0] == 0.1 + 0.2


def test_files_that_are_not_tables_get_a_sentence(tmp_path):
    path = TABLE.save(tmp_path / "t.parquet")
    whole = path.read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    arrow = pq.read_table(path)
    state = json.loads(arrow.schema.metadata[KEY]) | {"version": 99}
    pq.write_table(arrow.replace_schema_metadata({KEY: json.dumps(state)}), tmp_path / "new.parquet")
    for name, says in (
        ("gone.parquet", "There is no"),
        ("cut.parquet", "truncated or of another format"),
        ("other.parquet", "a Parquet file of something else"),
        ("new.parquet", "of format 99, written by a newer hte_bridge"),
    ):
        with pytest.raises(UnreadableFile, match=says):
            Table.load(tmp_path / name)


def test_a_foreign_schema_is_not_a_table(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(UnreadableFile, match="must be a table written by"):
        Table.load(tmp_path / "x.parquet")


def test_a_folder_that_cannot_be_written_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnwritableFolder, match="must be one that can be written"):
        TABLE.save(tmp_path / "file" / "t.parquet")


def test_nothing_half_written_stays(tmp_path):
    (tmp_path / "t.txt").write_text("old")
    with (  # noqa: PT012 the failing block is the point
        pytest.raises(UnwritableFolder, match="nothing half-written"),
        whole_file(tmp_path / "t.txt") as path,
    ):
        path.write_text("half")
        raise OSError(28, "No space left on device")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("t.txt", "old")]


def test_an_error_of_rounding_is_none():
    row = Estimate("nuisance", 0.6931471805599451, 2.4e-17)
    assert np.isnan(row.std_error)
    assert "do not vary" in row.note
    assert Estimate("ate", 1e-300, 1e-302).std_error == 1e-302
