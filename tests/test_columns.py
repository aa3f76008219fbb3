"""Columns of any type and name: taken for what they are, or refused with a sentence."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import hte_bridge as hb
from hte_bridge.encode import Encoder
from hte_bridge.errors import InvalidData
from hte_bridge.study import Folds, Study

N = 120


def frame(n: int = N, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "d": np.arange(n) * 7 // 3 % 2,
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
        }
    )


def study(df, **roles) -> Study:
    return Study.from_frame(df, **({"outcome": "y", "treatment": "d", "covariates": ["x"]} | roles))


def repeated(*values) -> pd.Series:
    """Values over and over, as Python objects."""
    out = np.empty(N, dtype=object)
    out[:] = [values[i % len(values)] for i in range(N)]
    return pd.Series(out, dtype=object)


# --- kinds of the treatment and of labels


@pytest.mark.parametrize("doses", [[0.5, 1.5, 2.5], [1, 1, 3.5], [0, 0, 0.2]])
def test_the_treatment_is_read_from_the_whole_column(doses):
    df = frame(1_500).assign(d=np.repeat(doses, [1_100, 200, 200]))
    if len(set(doses)) > 2:
        assert not study(df).binary
    else:
        with pytest.raises(InvalidData, match=r"0 \(control\) and 1 \(treated\)"):
            study(df)


def test_arms_that_come_late_in_the_file_are_found():
    with pytest.raises(InvalidData, match=r"200 of 1,500 values do not; the first is 2, in row 1300"):
        study(frame(1_500).assign(d=np.repeat([0, 1, 2], [1_100, 200, 200])))


@pytest.mark.parametrize("role", ["cluster", "fixed_effects"])
@pytest.mark.parametrize("blank", ["", "  ", None])
def test_blank_labels_are_missing_and_counted(role, blank):
    made = study(frame().assign(v=repeated(blank, "a", "b", "c")), **{role: "v"})
    word = "effect" if role == "fixed_effects" else role
    assert made.dropped == {f"missing {word} v": 30}


def test_blank_levels_of_a_covariate_are_missing():
    made = study(frame().assign(v=repeated("", "a", "b", "a", "b")), covariates=["x", "v"])
    assert made.names.covariates == ("x", "v[b]")
    assert np.isnan(made.covariates[:, 1]).sum() == 24
    assert "missing covariates (v; 24 rows)" in made.fill_note


LABELS = {
    "objects of several types": repeated(5, "5", 2.5, (1, "a"), "b"),
    "tuples": repeated((1, "a"), (1, "b"), (2, "a")),
    "dates": repeated(datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)),
    "timestamps": pd.Series(pd.date_range("2020-01-01", periods=4).repeat(30)),
    "periods": pd.Series(pd.period_range("2020", periods=4, freq="Y").repeat(30)),
    "decimals": repeated(decimal.Decimal("1.5"), decimal.Decimal("2")),
    "intervals": pd.Series(pd.cut(np.arange(N), 4)),
    "yes and no": repeated(True, False),
    "a level that is unused": pd.Series(pd.Categorical(list("ab") * 60, ["c", "b", "a"])),
    "nullable": pd.Series(pd.array([1, 2, 3, 4] * 30, dtype="Int8")),
    "arrow": pd.Series(pd.array(list("abcd") * 30, dtype=pd.ArrowDtype(pa.string()))),
}


@pytest.mark.parametrize("role", ["cluster", "fixed_effects"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_of_any_kind_make_groups(labels, role):
    df = frame().assign(v=labels)
    made = study(df, **{role: "v"})
    codes = made.cluster if role == "cluster" else made.fixed_effects[:, 0]
    assert made.n == N
    assert len(set(codes)) == len(set(labels)) == len({*zip(codes, labels, strict=True)})
    order = np.random.default_rng(1).permutation(N)
    again = study(df.iloc[order], **{role: "v"})
    np.testing.assert_array_equal(
        again.cluster if role == "cluster" else again.fixed_effects[:, 0], codes[order]
    )
    Folds.make(made, 2, 0)


@pytest.mark.parametrize("role", ["cluster", "fixed_effects"])
@pytest.mark.parametrize("value", [[1], {"a": 1}, {2}])
def test_labels_that_are_containers_get_a_sentence(role, value):
    with pytest.raises(InvalidData, match=f"holds values of type {type(value).__name__}"):
        study(frame().assign(v=repeated(value)), **{role: "v"})


# --- covariates


@pytest.mark.parametrize("covariates", [["c"], ["x", "c"]])
@pytest.mark.parametrize("value", ["a", 1.0, True, pd.Categorical(["a"] * N, ["a", "b"])])
def test_a_constant_covariate_is_refused_by_name(covariates, value):
    with pytest.raises(InvalidData, match=r"A covariate must vary. All .* of `c` are"):
        study(frame().assign(c=value), covariates=covariates)


@pytest.mark.parametrize("value", [None, np.nan, pd.NA, "", pd.NaT])
def test_a_covariate_without_values_is_refused(value):
    with pytest.raises(InvalidData, match=r"`c` is missing in every row|It holds dates"):
        study(frame().assign(c=value), covariates=["x", "c"])


TAKEN = {
    "yes/no with gaps": (repeated(True, None, False), ("x", "c")),
    "numpy's yes/no": (repeated(np.True_, None, np.False_), ("x", "c")),
    "decimals": (repeated(decimal.Decimal("1.5"), decimal.Decimal("2")), ("x", "c")),
    "numbers and nothing": (repeated(1, 2.5, None, np.float32(3)), ("x", "c")),
    "Arrow decimals": (pd.Series(pa.array([decimal.Decimal(i) for i in range(N)]).to_pandas(types_mapper=pd.ArrowDtype)), ("x", "c")),
    "unused level": (pd.Series(pd.Categorical(list("ab") * 60, ["c", "b", "a"])), ("x", "c[a]")),
    "quantiles": (pd.Series(pd.qcut(np.arange(N), 3, labels=False)), ("x", "c")),
}  # fmt: skip


@pytest.mark.parametrize(("values", "names"), TAKEN.values(), ids=TAKEN)
def test_covariates_of_many_types_are_taken(values, names):
    assert study(frame().assign(c=values), covariates=["x", "c"]).names.covariates == names


REFUSED = {
    "mixture": (repeated(1, "a"), "holds values of type int and str"),
    "complex": (repeated(1j), "holds values of type complex"),
    "bytes": (repeated(b"a"), "holds values of type bytes"),
    "lists": (repeated([1]), "holds values of type list"),
    "dates": (repeated(datetime.date(2020, 1, 1)), "It holds dates"),
    "dates with gaps": (repeated(None, datetime.date(2020, 1, 1)), "It holds dates"),
    "durations": (pd.Series(pd.to_timedelta(np.arange(N), "D")), "It holds dates"),
    "beyond float": (repeated(10**400, 1), "must be finite or missing. 60 of 120"),
    "below float": (repeated(-(10**400), 1), "must be finite or missing"),
    "long decimals": (repeated(decimal.Decimal("1e999"), decimal.Decimal(1)), "must be finite or missing"),
    "too large": (
        repeated(1.0, 1e200),
        "must be below 1e.50 in size.* The largest value is 1e.200, in row 1",
    ),
    "too small": (
        repeated(0.0, 1e-200),
        "must have values above 1e-50 in size.* The largest is 1e-200, in row 1",
    ),
}


@pytest.mark.parametrize(("values", "says"), REFUSED.values(), ids=REFUSED)
def test_covariates_that_cannot_be_taken_get_a_sentence(values, says):
    with pytest.raises(InvalidData, match=says):
        study(frame().assign(c=values), covariates=["x", "c"])


@pytest.mark.parametrize("scale", [1e150, 1e308, 1e-200, 5e-324])
@pytest.mark.parametrize("column", ["y", "x"])
def test_sizes_whose_squares_are_lost_are_refused(column, scale):
    df = frame()
    df[column] *= scale
    with pytest.raises(InvalidData, match=r"so that sums of squares can be formed|must vary|must be finite"):
        study(df)


def test_the_row_of_an_infinite_value_is_named_by_its_label():
    df = frame()
    df.loc[:9, "y"], df.loc[100, "x"] = np.nan, np.inf
    with pytest.raises(InvalidData, match=r"the first is in row 100"):
        study(df)


def test_numbers_as_text_are_said_to_be_a_category():
    df = frame().assign(c=repeated("1.5", "2.5", "3"))
    table = hb.compare(study(df, covariates=["x", "c"]), [hb.Feols()], estimands=["ate"])
    assert "`c` holds numbers as text and enters as a category of 3 levels" in str(table)
    assert not study(df.assign(c=repeated("a", "2.5")), covariates=["x", "c"]).notes


def test_ranks_of_an_ordered_category_are_said():
    size = pd.Categorical(["S", "M", "L"] * 40, ["S", "M", "L"], ordered=True)
    made = study(frame().assign(size=size), covariates=["x", "size"])
    assert made.notes[0].startswith("`size` enters as one rank (S = 0, M = 1, L = 2)")


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        ({"c": repeated("a", "b"), "c[b]": np.arange(N)}, "c\\[b\\]"),
        ({"c": np.where(np.arange(N) < 9, np.nan, np.arange(N)), "c missing": np.arange(N) % 7}, "c missing"),
        ({"c": pd.Categorical(repeated(1, "1", 2))}, "c\\[1\\]"),
    ],
)
def test_encoded_columns_of_one_name_are_refused(columns, taken):
    if "c" in columns and len(columns) == 1:
        columns = {"c": columns["c"].reorder_categories([2, 1, "1"])}
    with pytest.raises(InvalidData, match=f"names of their own. `{taken}` would be the name of two"):
        study(frame().assign(**columns), covariates=list(columns))


@pytest.mark.parametrize(
    "levels",
    [
        pd.qcut(np.arange(N), 3),
        pd.Categorical(pd.date_range("2020-01-01", periods=3).repeat(40)),
        pd.Categorical(pd.period_range("2020", periods=3, freq="M").repeat(40)),
        pd.Categorical(repeated(decimal.Decimal("1.10"), decimal.Decimal(2))),
        pd.Categorical(repeated(1, 2, 3)),
        pd.Categorical(repeated(datetime.date(2020, 1, 1), datetime.date(2021, 1, 1))),
    ],
)
def test_levels_of_any_type_survive_a_file(levels):
    df = frame().assign(c=levels)
    encoder = study(df, covariates=["x", "c"]).encoder
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    np.testing.assert_array_equal(again.transform(df), encoder.transform(df))


# --- propensity and weights


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (repeated("0.5"), "`propensity` must be numeric. `e` holds text .* the first is `0.5`, in row 0"),
        (repeated("y", "n"), "`propensity` must be numeric"),
        (pd.Series(pd.Timestamp("2020-01-01"), range(N)), "`e` must be a number.* It holds dates"),
        (repeated(None), "`propensity` must be numeric. `e` holds text or categories, all missing"),
        (repeated(0.5, np.nan), "strictly between 0 and 1. 60 of 120"),
        (repeated(0.5, np.inf), "`propensity` must be finite"),
    ],
)
def test_a_propensity_that_is_no_number_gets_a_sentence(values, says):
    with pytest.raises(InvalidData, match=says):
        study(frame().assign(e=values), propensity="e")


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e-6, 3.0, 1e6, 1e300])
def test_a_scale_of_all_weights_changes_no_bit(scale):
    weight = np.random.default_rng(2).uniform(0.5, 2, N)
    plain, scaled = (study(frame().assign(w=weight * s), weight="w") for s in (1.0, scale))
    np.testing.assert_array_equal(scaled.weight, plain.weight)
    np.testing.assert_allclose(plain.weight, weight / weight.mean(), rtol=2.0**-32)
    one, other = (hb.compare(each, [hb.Feols()], seed=1).to_frame() for each in (plain, scaled))
    pd.testing.assert_frame_equal(one, other)


def test_weights_too_far_apart_are_refused():
    with pytest.raises(InvalidData, match=r"at most 1e\+12 times the smallest. In `w` it is more"):
        study(frame().assign(w=repeated(1e-200, 1.0, 1e200)), weight="w")


def test_weights_of_arrow_nulls_get_a_sentence():
    nulls = pd.Series(pa.nulls(N).to_pandas(types_mapper=pd.ArrowDtype))
    with pytest.raises(InvalidData, match=r"`weight` must be known in every row. 120 of 120"):
        study(frame().assign(w=nulls), weight="w")


# --- names of columns, numbers of rows, few levels


@pytest.mark.parametrize(
    "names", [[0, 1, 2, 3], [("y", 1), ("d", 1), ("x", 1), ("z", 2)], [1.5, None, True, "z"]]
)
def test_names_that_are_no_text_work_as_their_text(names):
    df = frame()
    plain = hb.compare(study(df, covariates=["x", "z"]), [hb.Feols()], seed=1)
    other = df.set_axis(pd.Index(names, dtype=object, tupleize_cols=False), axis=1)
    roles = {"outcome": names[0], "treatment": names[1], "covariates": names[2:]}
    if None in names:
        roles["treatment"] = "None"
    made = Study.from_frame(other, **roles)
    assert made.names.covariates == (str(names[2]), str(names[3]))
    table = hb.compare(made, [hb.Feols()], seed=1)
    assert [row.estimate for row in table.rows] == [row.estimate for row in plain.rows]
    assert str(table)
    np.testing.assert_array_equal(made.encoder.transform(other), made.covariates)


def test_names_in_levels_and_categories_work():
    df = frame()
    levels = df.set_axis(pd.MultiIndex.from_product([["a"], df.columns]), axis=1)
    made = Study.from_frame(levels, outcome=("a", "y"), treatment=("a", "d"), covariates=[("a", "x")])
    assert made.names.covariates == ("('a', 'x')",)
    assert study(df.set_axis(pd.CategoricalIndex(df.columns), axis=1)).n == N


def test_names_that_are_one_as_text_get_a_sentence():
    df = frame().assign(**{"2": 1})
    df[2] = 3
    with pytest.raises(InvalidData, match=r"`2` is the name of 2 columns, in types str and int"):
        study(df)


def test_a_single_name_may_stand_without_a_list():
    assert study(frame().assign(x1=1), covariates="x", fixed_effects=None).names.covariates == ("x",)


@pytest.mark.parametrize("n", range(12))
def test_few_rows_are_a_table_or_a_sentence(n):
    for roles in ({}, {"cluster": "g"}, {"fixed_effects": "g"}, {"treatment": "z"}):
        df = frame(n).assign(g=np.arange(n) // 2)
        try:
            assert str(hb.compare(study(df, **roles), [hb.Feols()], n_folds=2, seed=1))
        except hb.errors.HteBridgeError:
            continue


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_effects_with_fewer_levels_than_folds_have_a_fold_for_each(levels):
    made = study(frame().assign(r=np.arange(N) % levels), fixed_effects="r", treatment="z")
    folds = Folds.make(made, 5, 0)
    assert folds.n_folds == levels
    assert len({*zip(folds.fold, made.fixed_effects[:, 0], strict=True)}) == levels
    table = hb.compare(made, [hb.Feols()], seed=1)
    assert table.meta["folds"] == levels


def test_an_effect_of_one_level_gets_a_sentence():
    with pytest.raises(InvalidData, match=r"two levels or more. `r` has one"):
        Folds.make(study(frame().assign(r="a"), fixed_effects="r"), 5, 0)
