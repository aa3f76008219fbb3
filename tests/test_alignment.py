"""What is handed over beside a study: by label where it has labels, by position where it has none."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import hte_bridge as hb
from hte_bridge.errors import InvalidData, InvalidOption

N = 300


def frame_of(index=None, gaps=0):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=N), "d": rng.integers(0, 2, N)}, index=index)
    frame["y"] = frame["d"] * (1 + frame["x"]) + rng.normal(size=N)
    frame["hi"] = frame["x"] > 0
    frame["price"] = np.exp(frame["x"] / 4)
    frame.iloc[:gaps, frame.columns.get_loc("y")] = np.nan
    return frame


def table_of(frame):
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"], propensity=0.5)
    return hb.compare(study, [hb.Feols(plain=False)], seed=1)


def table_at(study):
    return hb.compare(study, [hb.Feols(plain=False)], seed=1)


FRAME = frame_of()
TABLE = table_of(FRAME)
KEYED = {"labels": [f"u{k}" for k in range(N)], "numbers": np.arange(N) * 7 + 3, "ranges": None}


def given_of(table, hi, price):
    columns = {"cate": price, "outcome_mean": price * 2, "propensity": hi * 0.2 + 0.4}
    return hb.compare(table.study, [hb.Given(columns, held_out=True)], estimands=["ate"], seed=1)


def given_frame_of(table, hi, price):
    columns = pd.DataFrame({"cate": price, "outcome_mean": price * 2, "propensity": hi * 0.2 + 0.4})
    return hb.compare(table.study, [hb.Given(columns, held_out=True)], estimands=["ate"], seed=1)


VERBS = {  # every verb that takes one value for each unit
    "average": lambda table, hi, price: table.average(where=hi),
    "gate": lambda table, hi, price: table.gate(hi),
    "policy's rule": lambda table, hi, price: table.policy(rule=hi, cost=price),
    "policy's cost": lambda table, hi, price: table.policy(cost=price),
    "policy's budget": lambda table, hi, price: table.policy(cost=price, budget=0.2),
    "counterfactual by": lambda table, hi, price: table.counterfactual(to=hi, by=hi, value=price),
    "counterfactual add": lambda table, hi, price: table.counterfactual(add=price),
    "counterfactual scale": lambda table, hi, price: table.counterfactual(scale=price),
    "roi": lambda table, hi, price: table.roi(value=price, cost=price, add=price, by=hi),
    "placebo": lambda table, hi, price: table.placebo(price),
    "with_vcov": lambda table, hi, price: table.with_vcov({"CRV1": (price * 4).round()}),
    "Given": given_of,
    "Given, a frame": given_frame_of,
    "subset": lambda table, hi, price: table_at(table.study.subset(hi)),
    "projection": lambda table, hi, price: table.projection(pd.DataFrame({"hi": hi, "price": price})),
}


def numbers(table):
    return table.to_frame()[["estimate", "std_error", "p_value"]].to_numpy()


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
@pytest.mark.parametrize("labels", KEYED.values(), ids=KEYED)
def test_a_series_goes_by_its_labels_in_every_verb(verb, labels):
    frame = frame_of(index=labels)
    table = TABLE if labels is None else table_of(frame)
    other = frame.sort_values("y")  # the same labels in another order
    own = numbers(verb(table, frame["hi"], frame["price"]))
    assert np.isfinite(own[:, 0]).any()
    np.testing.assert_array_equal(numbers(verb(table, other["hi"], other["price"])), own)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_series_of_the_whole_frame_fits_a_study_that_dropped_rows(verb):
    frame = frame_of(gaps=5)
    table, kept = table_of(frame), frame.iloc[5:]
    own = numbers(verb(table, kept["hi"], kept["price"]))
    np.testing.assert_array_equal(numbers(verb(table, frame["hi"], frame["price"])), own)


WAYS = {  # of handing over the same 300 answers
    "array": lambda s: s.to_numpy(),
    "list": lambda s: s.tolist(),
    "tuple": lambda s: tuple(s.tolist()),
    "objects": lambda s: s.to_numpy(dtype=object),
    "whole numbers": lambda s: s.to_numpy().astype(np.int64),
    "bytes": lambda s: s.to_numpy().astype(np.int8),
    "nullable": lambda s: s.astype("boolean").array,
    "masked": lambda s: np.ma.array(s.to_numpy()),
    "polars": lambda s: pl.Series(s.to_numpy()),
    "arrow": lambda s: pa.array(s.to_numpy()),
    "chunked": lambda s: pa.chunked_array([s.to_numpy()]),
    "arrow dtype": lambda s: s.astype("bool[pyarrow]"),
    "one column": lambda s: s.sample(frac=1, random_state=1).to_frame(),
    "mapping": lambda s: s.sample(frac=1, random_state=1).to_dict(),
    "name": lambda s: "hi",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_any_kind_of_column_means_the_same_rows(way):
    given = way(FRAME["hi"])
    right = FRAME["hi"].to_numpy()
    np.testing.assert_array_equal(
        numbers(TABLE.average(where=given, term="hi")), numbers(TABLE.average(where=right, term="hi"))
    )
    assert TABLE.average(where=given).rows[0].n_obs == int(right.sum())
    np.testing.assert_array_equal(numbers(TABLE.policy(rule=given)), numbers(TABLE.policy(rule=right)))


UNKNOWN = {
    "nullable": lambda s, gone: s.astype("boolean").mask(gone),
    "floats": lambda s, gone: s.astype(float).mask(gone),
    "objects": lambda s, gone: s.astype(object).mask(gone, None),
    "NA objects": lambda s, gone: s.astype(object).mask(gone, pd.NA),
    "arrow dtype": lambda s, gone: s.astype("boolean").mask(gone).astype("bool[pyarrow]"),
    "polars": lambda s, gone: pl.Series(s.astype(object).mask(gone, None).tolist()),
    "masked": lambda s, gone: np.ma.array(s.to_numpy(), mask=gone),
}


@pytest.mark.parametrize("way", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_unknown_is_neither_in_nor_out(way):
    gone = np.arange(N) % 5 == 0
    row = TABLE.average(where=way(FRAME["hi"], gone)).rows[0]
    assert row.n_obs == int((FRAME["hi"] & ~gone).sum())
    assert row.note == "60 rows whose condition is unknown are in neither"


def test_repeated_labels_that_nobody_asks_for_do_no_harm():
    frame = frame_of(gaps=3)
    study = table_of(frame)
    twice = pd.concat([frame["hi"], frame["hi"].iloc[[0, 1]]])  # rows 0 and 1 were dropped
    assert study.average(where=twice).rows[0].n_obs == int(frame["hi"].iloc[3:].sum())


DROPPED = table_of(frame_of(gaps=5))
ONE = frame_of(index=np.zeros(N, dtype=int))
REPEATED = table_of(ONE)
REFUSED = {
    "labels that repeat, in whatever order": (
        lambda: REPEATED.average(where=ONE.sort_values("y")["hi"]),
        InvalidData,
        r"1 stand there more than once; the first is `0`",
    ),
    "a position that is not there": (lambda: TABLE.study.subset([0, 300]), InvalidData, "300 is not one"),
    "given columns under other labels": (
        lambda: given_frame_of(TABLE, FRAME["hi"].rename(index=str), FRAME["price"].rename(index=str)),
        InvalidData,
        "has 300 rows and 300 labels of the study are not; the first is `0`",
    ),
    "an unknown cluster": (
        lambda: TABLE.with_vcov({"CRV1": FRAME["price"].mask(FRAME["hi"]).rename("price")}),
        InvalidData,
        "A cluster must be known in every row.* `price` are missing",
    ),
    "a label that is not there": (
        lambda: TABLE.gate(FRAME["hi"].iloc[1:]),
        InvalidData,
        r"`by` is matched .* by the labels of its index.* 1 of 300 are not among its 299 labels; the first is `0`",
    ),
    "a label twice": (
        lambda: TABLE.average(where=pd.concat([FRAME["hi"], FRAME["hi"].iloc[[7]]])),
        InvalidData,
        r"each must stand there once. 1 stand there more than once; the first is `7`",
    ),
    "labels of another kind": (
        lambda: TABLE.policy(cost=FRAME["price"].rename(index=str)),
        InvalidData,
        "300 of 300 are not among",
    ),
    "positions of the kept rows": (
        lambda: DROPPED.average(where=FRAME["hi"].iloc[5:].reset_index(drop=True)),
        InvalidData,
        r"5 of 295 are not among its 295 labels; the first is `295`.*\.to_numpy\(\)",
    ),
    "an array of the whole frame": (
        lambda: DROPPED.average(where=FRAME["hi"].to_numpy()),
        InvalidData,
        "each of the 295 units of the study. 300 were given for 295 units. They are as many as the rows before the study dropped 5",
    ),
    "an array of no length that fits": (
        lambda: TABLE.counterfactual(add=np.ones(7)),
        InvalidData,
        r"`add` must have one value for each of the 300 units of the study. 7 were given for 300 units. Take them from",
    ),
    "a matrix": (lambda: TABLE.gate(np.ones((N, 2))), InvalidData, r"An array of shape \(300, 2\)"),
    "a frame of two columns": (
        lambda: TABLE.gate(FRAME[["hi", "x"]]),
        InvalidData,
        "`by` must be one column",
    ),
    "positions for a mask": (
        lambda: TABLE.average(where=np.arange(N)),
        InvalidData,
        "298 of 300 values are neither; the first is 2, of row 2",
    ),
    "text for a mask": (lambda: TABLE.average(where=["yes"] * N), InvalidData, "`where` must hold numbers"),
    "one value for a mask": (lambda: TABLE.average(where=True), InvalidOption, "True was given"),
    "one value for labels": (lambda: TABLE.gate(5), InvalidOption, "one label for each unit. 5 was given"),
    "no row": (lambda: TABLE.average(where=[False] * N), InvalidData, "None of 300 satisfies it"),
    "text for numbers": (lambda: TABLE.counterfactual(add=["a"] * N), InvalidData, "the first value is `a`"),
    "an unknown amount": (
        lambda: TABLE.counterfactual(add=FRAME["x"].mask(FRAME["hi"])),
        InvalidData,
        "`add` must be known of each unit",
    ),
    "an unknown cost": (
        lambda: TABLE.policy(cost=FRAME["price"].astype("Float64").mask(FRAME["hi"])),
        InvalidData,
        "Each cost must be a positive number",
    ),
    "columns of two rows": (
        lambda: TABLE.projection((np.ones((2, 1)), ["a"])),
        InvalidData,
        "`formula` must have one value for each of the 300",
    ),
    "too few names": (
        lambda: TABLE.projection((np.ones((N, 2)), ["a"])),
        InvalidData,
        r"shape \(300, 2\) came with 1 names",
    ),
    "a name twice": (
        lambda: TABLE.projection((np.ones((N, 2)), ["a", "a"])),
        InvalidData,
        "names that differ",
    ),
    "columns with gaps": (
        lambda: TABLE.projection(FRAME[["x", "price"]].mask(FRAME["hi"])),
        InvalidData,
        "rows do, in `x`, `price`; the first is row",
    ),
    "columns of text": (
        lambda: TABLE.projection(pd.DataFrame({"a": list("ab") * (N // 2)})),
        InvalidData,
        "`formula: a` must hold numbers",
    ),
}


@pytest.mark.parametrize(("ask", "kind", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_matched_is_refused(ask, kind, sentence):
    with pytest.raises(kind, match=sentence):
        ask()


def test_columns_evaluated_elsewhere_are_a_right_hand_side():
    own = numbers(TABLE.projection("x + price"))
    columns = FRAME[["x", "price"]]
    ways = [columns.sort_values("x"), (columns.to_numpy(), ["x", "price"]), pl.from_pandas(columns)]
    for given in ways:
        found = TABLE.projection(given)
        np.testing.assert_array_equal(numbers(found), own)
        assert [row.term for row in found.rows] == ["(Intercept)", "x", "price", "joint"]


def test_rows_have_the_name_that_is_asked_for():
    assert TABLE.average(where=FRAME["hi"], term="the rich").rows[0].term == "the rich"
    assert TABLE.average(where="x > 0", term="the rich").rows[0].term == "the rich"
    assert TABLE.average(where=FRAME["hi"]).rows[0].term == "subset"


def test_units_of_what_if_go_by_their_labels_too():
    rows = FRAME.iloc[[3, 1, 2]]
    own = TABLE.what_if(rows, FRAME["price"].loc[[3, 1, 2]], labels=["c", "a", "b"])
    names = pd.Series({1: "a", 2: "b", 3: "c"})
    for given in (
        TABLE.what_if(rows, FRAME["price"], labels=names),
        TABLE.what_if(rows, "price", labels=np.array(["c", "a", "b"])),
    ):
        np.testing.assert_array_equal(numbers(given), numbers(own))
        assert [row.term for row in given.rows] == ["c", "a", "b"]


def test_a_subset_takes_positions_or_a_mask():
    study = TABLE.study
    positions = np.flatnonzero(FRAME["hi"])
    for given in (
        positions,
        FRAME["hi"].to_numpy(),
        FRAME["hi"].sort_values(),
        FRAME["hi"].astype("boolean"),
    ):
        np.testing.assert_array_equal(study.subset(given).index, study.index[positions])
    assert study.subset(slice(2, 4)).index.tolist() == [2, 3]
    assert study.subset([-1, 0]).index.tolist() == [N - 1, 0]


def test_a_cluster_handed_over_has_its_name():
    row = TABLE.with_vcov({"CRV3": (FRAME["price"] * 4).round().sort_values().rename("tenth")}).rows[0]
    assert row.vcov == "CRV3 (tenth)"
