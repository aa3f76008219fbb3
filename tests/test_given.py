"""Columns from elsewhere give the rows of the engine they came from, and bad ones are refused or marked."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from hte_bridge import Study, compare
from hte_bridge.engine import Engine, Fit
from hte_bridge.engines.given import Given
from hte_bridge.engines.meta import Meta
from hte_bridge.engines.stack import Stack
from hte_bridge.errors import InvalidData, InvalidNewData
from tests.helpers.studies import study_of

N = 400
STUDY = study_of(n=N)
FIT = Meta("T", LinearRegression()).fit(STUDY)
COLUMNS = pd.DataFrame(
    {name: getattr(FIT.heldout, name) for name in ("cate", "outcome_mean", "propensity")}, index=STUDY.index
)


def given(data=COLUMNS, study=STUDY, **options):
    return Given(data, **{"held_out": True} | options).fit(study)


def test_rows_are_exactly_those_of_the_engine_that_made_the_columns():
    made = Given(COLUMNS, name="given", held_out=True)
    table = compare(STUDY, [Meta("T", LinearRegression()), made], seed=0).to_frame()
    one, other = (table[table["engine"] == name].drop(columns="engine") for name in ("meta-T", "given"))
    pd.testing.assert_frame_equal(
        one.reset_index(drop=True), other.reset_index(drop=True), check_exact=True, check_names=False
    )


def test_it_keeps_the_contract():
    assert isinstance(Given(COLUMNS), Engine)
    assert isinstance(given(), Fit)


def test_a_frame_is_matched_by_label_and_arrays_by_order():
    shuffled = COLUMNS.sample(frac=1, random_state=1)
    assert np.array_equal(given(shuffled).heldout.cate, FIT.heldout.cate)
    more = pd.concat([COLUMNS, COLUMNS.iloc[:3].set_axis([9001, 9002, 9003])])
    assert np.array_equal(given(more).heldout.cate, FIT.heldout.cate)
    arrays = {name: COLUMNS[name].to_numpy() for name in COLUMNS}
    assert np.array_equal(given(arrays).heldout.cate, FIT.heldout.cate)
    assert np.array_equal(given(FIT.heldout).heldout.cate, FIT.heldout.cate)


def test_rows_that_the_study_dropped_are_left_out_by_label():
    frame = STUDY.frame.copy()
    frame.loc[frame.index[7], "y"] = np.nan
    study = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x1", "x2", "x3"])
    assert np.array_equal(given(study=study).heldout.cate, np.delete(FIT.heldout.cate, 7))


def test_a_known_propensity_may_be_left_out():
    study = STUDY.with_(propensity=np.full(N, 0.4))
    assert (given(COLUMNS.drop(columns="propensity"), study).heldout.propensity == 0.4).all()


def test_effects_are_known_for_the_rows_of_the_study_alone():
    frame = Given(COLUMNS.assign(std_error=0.5), held_out=True).fit(STUDY).cate(STUDY.frame.iloc[[5, 2]])
    assert frame["estimate"].tolist() == FIT.heldout.cate[[5, 2]].tolist()
    assert np.allclose(frame["conf_high"] - frame["estimate"], 1.959964 * 0.5, atol=1e-6)
    with pytest.raises(InvalidNewData, match="1 of 1 rows are not among them; the first is `9999`"):
        given().cate(STUDY.frame.iloc[[0]].set_axis([9999]))


def test_what_the_user_says_of_held_out_is_kept():
    assert "nobody said" in given(held_out=None).notes[0]
    assert given().notes == ()
    fit = given(held_out=False)
    assert fit.heldout is None
    assert "were said to be in-sample" in fit.reasons["*"]


def leaked_from(study):
    """Columns of a forest that has seen the outcomes it predicts."""
    forest = RandomForestRegressor(20, random_state=1)
    x = np.column_stack([study.filled, study.treatment])
    forest.fit(x, study.outcome)
    mu = [forest.predict(np.column_stack([study.filled, np.full(N, arm)])) for arm in (0.0, 1.0)]
    return forest, {"cate": mu[1] - mu[0], "outcome_mean": (mu[0] + mu[1]) / 2, "propensity": np.full(N, 0.5)}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_leaked_predictions_carry_a_warning_and_held_out_ones_do_not(seed):
    study = study_of(seed=seed, n=N)
    forest, leaked = leaked_from(study)
    assert "look leaked" in given(leaked, study).notes[0]
    held = Meta("S", forest, n_folds=2).fit(study).heldout
    assert given(held, study).notes == ()


@pytest.mark.parametrize("said", [True, None])
def test_no_row_of_leaked_columns_has_an_interval(said):
    """Whoever says that they are held out: not in the table, nor in any verb's rows, nor beside another engine."""
    _, leaked = leaked_from(STUDY)
    mine = Given(COLUMNS, name="mine", held_out=True)
    table = compare(STUDY, [mine, Given(leaked, name="leaked", held_out=said)], seed=0)
    asked = [table, table.average("atc"), table.gate("x1", 2), table.calibration()]
    asked += [table.differences(), table.race(ranking="heldout"), table.agreement(), table.with_vcov("HC1")]
    for made in asked:
        rows = [row for row in made.rows if "leaked" in row.engine]
        assert rows
        assert np.isnan([[row.std_error, row.conf_low, row.conf_high, row.p_value] for row in rows]).all()
        assert any("look leaked" in row.note for row in rows)
        assert all(row.std_error > 0 for row in made.rows if row.engine == "mine" and row.estimand == "ate")
    assert np.isfinite(table.where(engine="leaked", estimand="ate").rows[0].estimate)


def test_a_stack_is_as_leaked_as_its_columns():
    _, leaked = leaked_from(STUDY)
    mine = Meta("T", LinearRegression(), n_folds=2)
    table = compare(
        STUDY,
        [Stack([mine, Given(pd.DataFrame(leaked, index=STUDY.index), name="leaked")], n_folds=2)],
        estimands=["ate"],
        seed=0,
    )
    assert np.isnan(table.rows[0].std_error)
    assert "look leaked" in table.rows[0].note


def test_columns_in_another_order_are_noticed():
    backwards = {name: COLUMNS[name].to_numpy()[::-1] * 3 for name in ("cate", "outcome_mean")}
    note = given(backwards | {"propensity": COLUMNS["propensity"].to_numpy()}).notes[0]
    assert "worse than its mean does" in note


def test_a_dose_needs_its_variance():
    study = study_of(n=N, dose=True)
    fit = given(study=study)
    assert "needs Var(T | x)" in fit.reasons["*"]
    assert given(COLUMNS.assign(treatment_variance=1.0), study).heldout is not None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.drop(columns="cate"), "`cate` of `given` is missing"),
        (lambda c: c.rename(columns={"outcome_mean": "outcome_means"}), "The nearest is `outcome_means`"),
        (lambda c: c.assign(cate=c["cate"].where(c.index != c.index[3])), "the first is in row 3"),
        (lambda c: c.assign(propensity=1.0), "400 of 400 values do not; the first is 1"),
        (lambda c: c.iloc[:-2], "has 398 rows and 2 labels of the study are not; the first is `398`"),
        (lambda c: {n: c[n].to_numpy()[1:] for n in c}, "`cate` has shape \\(399,\\)"),
    ],
)
def test_bad_columns_are_refused_with_a_sentence(change, sentence):
    with pytest.raises(InvalidData, match=sentence):
        given(change(COLUMNS))
