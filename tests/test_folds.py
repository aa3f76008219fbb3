"""Folds follow labels: neither the order of rows nor the names of clusters redraw them."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from hte_bridge.keys import deal_rows, row_keys, seeded
from hte_bridge.study import Folds, Study

ROLES = {
    "rows": {},
    "a dose": {"treatment": "dose"},
    "clusters": {"cluster": "village"},
    "clusters of one size": {"cluster": "unit"},
    "effects": {"fixed_effects": ["unit", "year"]},
}


KEYS = [
    "a706dd2f4d197e6f",
    "5dc20aa7b2a27137",
    "5c28cd467301fcc8",
    "fed24cb293893b8b",
    "89eeef947833a2a7",
    "4ce87001f0c52860",
    "e4f9cac709330a74",
    "2a98f501af37e97f",
]
SEEDED = "4fa14d96bc3a551f"


def frame(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "d": rng.integers(0, 2, n),
            "dose": rng.normal(size=n),
            "x": rng.normal(size=n),
            "village": rng.integers(0, 17, n),
            "unit": np.arange(n) // 4,
            "year": np.arange(n) % 4,
        }
    )


def folds_of(df, seed=3, n_folds=5, **roles) -> pd.Series:
    study = Study.from_frame(df, **({"outcome": "y", "treatment": "d", "covariates": ["x"]} | roles))
    return pd.Series(Folds.make(study, n_folds, seed).fold, index=study.index)


@pytest.mark.parametrize("roles", ROLES.values(), ids=ROLES)
def test_rows_in_another_order_keep_their_folds(roles):
    df = frame()
    plain, shuffled = folds_of(df, **roles), folds_of(df.sample(frac=1, random_state=1), **roles)
    pd.testing.assert_series_equal(shuffled.sort_index(), plain)
    by_outcome = folds_of(df.sort_values("y"), **roles)
    pd.testing.assert_series_equal(by_outcome.sort_index(), plain)


@pytest.mark.parametrize("roles", ROLES.values(), ids=ROLES)
def test_another_seed_shuffles_otherwise(roles):
    assert (folds_of(frame(), seed=3, **roles) != folds_of(frame(), seed=4, **roles)).mean() > 0.5


@pytest.mark.parametrize("roles", ["clusters", "clusters of one size", "effects"])
def test_other_names_of_clusters_redraw_nothing(roles):
    df = frame()
    names = {
        old: f"name {new}"
        for old, new in enumerate(np.random.default_rng(1).permutation(df["unit"].max() + 1))
    }
    other = df.assign(village=df["village"].map(names), unit=df["unit"].map(names))
    pd.testing.assert_series_equal(folds_of(other, **ROLES[roles]), folds_of(df, **ROLES[roles]))


def test_the_arm_called_one_does_not_matter():
    df = frame()
    pd.testing.assert_series_equal(folds_of(df.assign(d=1 - df["d"])), folds_of(df))


def test_a_row_less_moves_only_rows_beside_the_cuts():
    df = frame(2_000)
    whole, less = folds_of(df), folds_of(df.drop(index=[0, 700]))
    assert (whole[less.index] != less).mean() < 0.02
    df.loc[[0, 700], "y"] = np.nan
    pd.testing.assert_series_equal(folds_of(df), less)


@pytest.mark.parametrize("n", [101, 102, 103, 104, 105])
@pytest.mark.parametrize("roles", [{}, {"treatment": "dose"}])
def test_sizes_differ_by_one_at_most_in_each_arm(roles, n):
    df = frame(n)
    fold = folds_of(df, **roles)
    assert np.ptp(np.bincount(fold)) <= 1
    if not roles:
        assert all(np.ptp(np.bincount(fold[df["d"] == arm])) <= 1 for arm in (0, 1))


def test_the_same_labels_in_any_frame_are_the_same_folds(tmp_path):
    df = frame()
    df.to_csv(tmp_path / "t.csv", index=False)
    df.to_parquet(tmp_path / "t.parquet")
    plain = folds_of(df)
    for handed in (
        pl.from_pandas(df),
        pa.Table.from_pandas(df),
        tmp_path / "t.csv",
        tmp_path / "t.parquet",
        df.set_axis(pd.Index(np.arange(120, dtype=np.int32))),
        df.set_axis(pd.Index(np.arange(120.0))),
    ):
        assert folds_of(handed).tolist() == plain.tolist()


def test_a_subset_keeps_its_keys():
    study = Study.from_frame(frame(), outcome="y", treatment="d", covariates=["x"])
    chosen = study.subset(np.arange(20, 90))
    np.testing.assert_array_equal(chosen.keys, row_keys(pd.RangeIndex(20, 90)))


def test_keys_are_those_of_every_machine():
    """Held as digits: a hash that moved with a version or a process would redraw everybody's folds."""
    mixture = [0, -1, "a", 2.5, (1, "b"), pd.Timestamp("2020-02-03"), None, 0]
    found = [f"{key:016x}" for key in row_keys(pd.Index(mixture, dtype=object)).tolist()]
    assert found == KEYS
    assert f"{seeded(row_keys(pd.RangeIndex(1)), 7)[0]:016x}" == SEEDED


def test_each_fold_is_as_likely_as_another_and_pairs_are_independent():
    """Fold of a row, and whether two neighbours share one, over 2,000 seeds: binomial, bounds of 4 standard errors."""
    keys = row_keys(pd.RangeIndex(40))
    drawn = np.array([deal_rows(seeded(keys, seed), 4) for seed in range(2_000)])
    assert abs((drawn == 0).mean(axis=0) - 0.25).max() < 4 * (0.25 * 0.75 / 2_000) ** 0.5
    together = (drawn[:, 1:] == drawn[:, :-1]).mean(axis=0)
    assert abs(together - 9 / 39).max() < 4 * (9 / 39 * 30 / 39 / 2_000) ** 0.5
