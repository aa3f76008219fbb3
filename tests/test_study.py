"""A frame becomes a study, or a sentence says what must change."""

import decimal
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from hte_bridge.errors import (
    InvalidData,
    InvalidNewData,
    InvalidOption,
    NotIdentified,
    TooFewClusters,
    UnreadableFile,
)
from hte_bridge.study import Folds, Study


def frame(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "d": np.arange(n) * 7 // 3 % 2,
            "x": rng.normal(size=n),
            "town": rng.choice(["a", "b", "c"], n),
            "unit": np.repeat(np.arange(n // 4), 4),
            "year": np.tile(np.arange(4), n // 4),
            "w": rng.uniform(0.5, 2, n),
            "e": np.full(n, 0.5),
        }
    )


def study(df=None, **changes) -> Study:
    roles = {"outcome": "y", "treatment": "d", "covariates": ["x"]} | changes
    return Study.from_frame(frame() if df is None else df, **roles)


def set_at(column, rows, value):
    def change(df):
        df[column] = df[column].astype(object)
        df.loc[rows, column] = value
        return df

    return change


BAD = [
    # name, change of the frame, change of the roles, the sentence
    ("missing column", None, {"covariates": ["income"]}, "must name a column .* `income` is not one. The columns are"),
    ("nearest name", lambda d: d.rename(columns={"x": "agee"}), {"covariates": ["age"]}, "The nearest are `agee`"),
    ("treatment constant", lambda d: d.assign(d=1), {}, "`treatment` must vary. All 60 values of `d` are 1"),
    ("three values", lambda d: d.assign(d=np.arange(60) % 3), {}, "20 of 60 values do not; the first is 2, in row 2"),
    ("two other values", lambda d: d.assign(d=d["d"] + 1), {}, "must hold only 0 .* the first is 2, in row 3"),
    ("treatment text", lambda d: d.assign(d=np.where(d["d"], "yes", "no")), {}, "`treatment` must be numeric. `d` holds text"),
    ("outcome constant", lambda d: d.assign(y=3.0), {}, "`outcome` must vary"),
    ("outcome text", lambda d: d.assign(y="a"), {}, "`outcome` must be numeric"),
    ("outcome infinite", set_at("y", [7], np.inf), {}, "1 of 60 values of `y` are not; the first is in row 7"),
    ("outcome dates", lambda d: d.assign(y=pd.Timestamp("2020-01-01")), {}, "It holds dates"),
    ("covariate all missing", lambda d: d.assign(x=np.nan), {}, "`x` is missing in every row"),
    ("covariate constant", lambda d: d.assign(x=1.0), {}, "A covariate must vary"),
    ("covariate infinite", set_at("x", [3], -np.inf), {}, "`x` must be finite or missing"),
    ("covariate a date", lambda d: d.assign(x=pd.Timestamp("2020-01-01")), {}, "It holds dates"),
    ("covariate is the treatment", lambda d: d.assign(x=d["d"]), {}, "`x` equals the treatment `d`"),
    ("covariate is the outcome", lambda d: d.assign(x=d["y"]), {}, "`x` equals the outcome `y`"),
    ("covariate twice", lambda d: d.assign(z=d["x"]), {"covariates": ["x", "z"]}, "`z` equals `x` in every row"),
    ("covariate named twice", None, {"covariates": ["x", "x"]}, "`x` is named twice in `covariates`"),
    ("two roles", None, {"covariates": ["x", "y"]}, "`y` is `outcome` and `covariates`"),
    ("no covariates", None, {"covariates": []}, "`covariates` must name at least one column"),
    ("many levels", lambda d: d.assign(x=[f"n{i}" for i in range(60)] * 1), {"_rows": 3}, "at most 100 levels"),
    ("empty frame", lambda d: d.iloc[:0], {}, "must have rows. It has none"),
    ("all rows dropped", lambda d: d.assign(y=np.nan), {}, r"All 60 were dropped \(missing outcome y: 60\)"),
    ("weights negative", set_at("w", [5], -1.0), {"weight": "w"}, "must not be negative. 1 of 60 values .* in row 5"),
    ("weights missing", set_at("w", [5], np.nan), {"weight": "w"}, "must be known in every row"),
    ("weights all zero", lambda d: d.assign(w=0.0), {"weight": "w"}, r"All 60 were dropped \(weight w of zero"),
    ("propensity of one", set_at("e", [9], 1.0), {"propensity": "e"}, "strictly between 0 and 1. 1 of 60 .* in row 9"),
    ("propensity number", None, {"propensity": 1.2}, "strictly between 0 and 1. 60 of 60"),
    ("propensity of wrong length", None, {"propensity": [0.5, 0.5]}, "a column name or one number. 2 numbers"),
    ("propensity of a dose", lambda d: d.assign(d=d["x"] ** 2), {"propensity": 0.5}, "must come with a treatment of 0 and 1"),
    ("unknown type", None, {"treatment_type": "ordinal"}, "must be 'binary'"),
    ("not a frame", lambda d: [1, 2], {}, "A list was found"),
    ("column occurs twice", lambda d: pd.concat([d, d[["x"]]], axis=1), {}, "`x` occurs 2 times"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "roles", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_bad_data_get_a_sentence(change, roles, says):
    df = frame(180) if roles.pop("_rows", 1) > 1 else frame()
    if len(df) == 180:
        df["x"] = [f"name {i}" for i in range(180)]
    elif change is not None:
        df = change(df)
    with pytest.raises(InvalidData, match=says):
        study(df, **roles)


def test_one_cluster_is_too_few():
    with pytest.raises(TooFewClusters, match=r"at least two clusters .* 1 found"):
        study(frame().assign(unit=1), cluster="unit")


def test_a_covariate_that_decides_the_treatment_leaves_no_overlap():
    df = frame()
    with pytest.raises(NotIdentified, match="`x` separates them perfectly"):
        study(df.assign(x=df["d"] * 10 + df["x"] / 10))


@pytest.mark.parametrize("arm", [0, 1])
@pytest.mark.parametrize("effects", [None, ["g"]])
def test_gaps_that_are_the_treatment_are_refused(arm, effects):
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {"y": rng.normal(size=60), "d": np.arange(60) % 2, "x": rng.normal(size=60), "g": np.arange(60) // 6}
    )
    data["z"] = np.where(data["d"] == arm, np.nan, rng.normal(size=60))
    roles = {"outcome": "y", "treatment": "d", "covariates": ["x", "z"], "fixed_effects": effects}
    with pytest.raises(NotIdentified, match=f"`z` is missing for every {['control', 'treated'][arm]} unit"):
        Study.from_frame(data, **roles)
    data.loc[data.index[data["d"] == arm][0], "z"] = 0.0
    assert Study.from_frame(data, **roles).n == 60


def test_effects_that_absorb_the_treatment_are_said():
    df = frame()
    df["d"] = (df["unit"] % 2).astype(int)
    with pytest.raises(NotIdentified, match="`unit`, `year` absorb all of `d`"):
        study(df, fixed_effects=["unit", "year"])


@pytest.mark.parametrize(
    ("column", "roles", "reason"),
    [
        ("y", {}, "missing outcome y"),
        ("d", {}, "missing treatment d"),
        ("unit", {"cluster": "unit"}, "missing cluster unit"),
        ("unit", {"fixed_effects": ["unit"]}, "missing effect unit"),
    ],
)
def test_rows_without_what_is_needed_are_dropped_and_counted(column, roles, reason):
    df = frame()
    df[column] = df[column].astype(float)
    df.loc[[0, 1], column] = np.nan
    made = study(df, **roles)
    assert made.n == 58
    assert made.dropped == {reason: 2}
    assert made.index[0] == 2


def test_units_alone_in_an_effect_are_dropped_until_none_is():
    df = frame(8)
    df["unit"], df["year"] = [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 0, 1, 0, 9]
    made = study(df.assign(d=[0, 1, 1, 0, 0, 1, 1, 0]), fixed_effects=["unit", "year"])
    assert made.n == 6  # year 9 is alone; without it, so is unit 3
    assert made.dropped == {"alone in a fixed effect": 2}


def test_nothing_handed_in_is_changed():
    df = frame()
    before = df.copy(deep=True)
    study(df, covariates=["x", "town"], cluster="unit", weight="w", propensity="e")
    pd.testing.assert_frame_equal(df, before)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "parquet", "csv"])
def test_any_frame_or_path_gives_the_same_study(kind, tmp_path):
    df = frame()
    df["town"] = pd.Categorical(df["town"])
    handed = {
        "pandas": lambda: df,
        "polars": lambda: pl.from_pandas(df),
        "arrow": lambda: pa.Table.from_pandas(df),
        "parquet": lambda: df.to_parquet(tmp_path / "t.parquet") or tmp_path / "t.parquet",
        "csv": lambda: df.to_csv(tmp_path / "t.csv", index=False) or str(tmp_path / "t.csv"),
    }[kind]()
    made, plain = study(handed, covariates=["x", "town"]), study(df, covariates=["x", "town"])
    assert made.names == plain.names
    np.testing.assert_allclose(made.covariates, plain.covariates, atol=1e-15)


def test_odd_names_and_types_are_taken():
    df = frame()
    df["größe in cm"], df["if"], df["a.b"] = df["x"], df["x"] > 0, [decimal.Decimal(i) for i in range(60)]
    df["rank"] = pd.Categorical(df["town"], ["a", "b", "c"], ordered=True)
    df["some"] = pd.array([None, *range(59)], dtype="Int64")
    made = study(df, covariates=["größe in cm", "if", "a.b", "rank", "some", "town"])
    assert made.names.covariates == ("größe in cm", "if", "a.b", "rank", "some", "town[b]", "town[c]")
    assert made.covariates.flags["F_CONTIGUOUS"]
    assert np.isnan(made.covariates[0, 4])
    assert set(made.covariates[:, 3]) == {0.0, 1.0, 2.0}


def test_missing_covariates_get_the_mean_and_an_indicator():
    df = frame()
    df.loc[:9, "x"] = np.nan
    made = study(df)
    assert made.filled.shape == (60, 2)
    assert made.filled_names == ("x", "x missing")
    assert made.filled[0].tolist() == [pytest.approx(df["x"].mean()), 1.0]
    assert "10 rows" in made.fill_note


def test_columns_with_the_same_gaps_share_an_indicator():
    df = frame()
    df.loc[:9, ["x", "town"]] = None
    made = study(df, covariates=["town", "x"])
    assert made.filled_names == ("town[b]", "town[c]", "x", "town missing")
    assert made.covariate_of == (0, 0, 1, 2)
    assert "missing covariates (town, x; 10 rows)" in made.fill_note
    df["z"] = np.arange(60.0)
    df.loc[5:12, "z"] = np.nan
    apart = study(df, covariates=["x", "z"])
    assert apart.filled_names == ("x", "z", "x missing", "z missing")


def test_new_rows_are_encoded_by_the_same_map():
    made = study(covariates=["x", "town"])
    new = made.encoder.transform(pd.DataFrame({"town": ["c", None], "x": [1, 2], "extra": [0, 0]}))
    assert new[0].tolist() == [1.0, 0.0, 1.0]
    assert np.isnan(new[1, 1:]).all()


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ({"x": [1.0], "twon": ["a"]}, "`town` is missing. The nearest is `twon`"),
        ({"x": [1.0], "town": ["z"]}, "`town` must hold levels that the study has seen. 1 it has not: `z`"),
        ({"x": ["one"], "town": ["a"]}, "`x` must be a number as in the study. It is a category here"),
        ({"x": [1.0], "town": [3]}, "`town` must be a category as in the study. It is a number here"),
    ],
)
def test_bad_new_rows_get_a_sentence(new, says):
    with pytest.raises(InvalidNewData, match=says):
        study(covariates=["x", "town"]).encoder.transform(pd.DataFrame(new))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.parquet", None, "There is no"),
        ("cut.parquet", b"PAR1xx", "must be a whole Parquet, CSV, Stata or SPSS file"),
        ("data.xlsx", b"x", "must end in .parquet, .csv, .tsv, .dta or .sav"),
        ("binary.csv", b"\xff\xfe\x00\x01", "must be a whole Parquet, CSV, Stata or SPSS file"),
    ],
)
def test_unreadable_files_get_a_sentence(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFile, match=says):
        study(tmp_path / name)


def test_three_whole_doses_can_be_said_to_be_a_dose():
    made = study(frame().assign(d=np.arange(60) % 3), treatment_type="continuous")
    assert not made.binary


@pytest.mark.parametrize("roles", [{"cluster": "unit"}, {"fixed_effects": ["unit", "year"]}])
def test_a_cluster_never_straddles_two_folds(roles):
    made = study(**roles)
    folds = Folds.make(made, 5, seed=3)
    homes = pd.Series(folds.fold).groupby(frame()["unit"].to_numpy()).nunique()
    assert (homes == 1).all()
    assert np.bincount(folds.fold).min() >= 8


def test_folds_hold_out_each_unit_once_with_both_arms():
    made = study()
    held = np.concatenate([test for _, test in Folds.make(made, 5, seed=3)])
    assert sorted(held) == list(range(60))
    assert all(0 < made.treatment[test].mean() < 1 for _, test in Folds.make(made, 5, seed=3))


@pytest.mark.parametrize(
    ("error", "change", "n_folds", "seed", "says"),
    [
        (InvalidOption, {}, 5, -1, "`seed` must be a whole number, 0 or more"),
        (InvalidOption, {}, 1, 0, "`n_folds` must be a whole number, 2 or more"),
        (InvalidData, {}, 40, 0, "40 folds need at least 80 rows. 60 found"),
        (InvalidData, {"cluster": "unit"}, 20, 0, "20 folds need at least 20 clusters. 15 found"),
    ],
)
def test_folds_that_cannot_be_made_get_a_sentence(error, change, n_folds, seed, says):
    with pytest.raises(error, match=re.escape(says)):
        Folds.make(study(**change), n_folds, seed)


def test_an_arm_smaller_than_the_folds_need_is_said():
    df = frame().assign(d=0)
    df.loc[:2, "d"] = 1
    with pytest.raises(InvalidData, match=r"at least 10 treated units. 3 found"):
        Folds.make(study(df), 5, 0)


def test_a_subset_renumbers_its_codes():
    made = study(cluster="unit", fixed_effects=["unit", "year"]).subset(np.arange(8, 20))
    assert made.n_clusters == 3
    assert made.fixed_effects[:, 0].max() == 2
    assert made.effect_levels[0].tolist() == [2, 3, 4]
