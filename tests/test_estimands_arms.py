"""Several arms: means and contrasts against known truths, for any engine and for grf's own forest."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import hte_bridge as hb
from hte_bridge.errors import InvalidData, InvalidOption
from hte_bridge.estimands.arms import arms, contrasts, multi_arm_forest
from hte_bridge.scores import Scores
from hte_bridge.study import Study

EFFECT = {"none": 0.0, "letter": 0.5, "visit": 1.5}


def trial(n=1500, seed=1, tilt=0.4):
    """Three arms, chosen more often where x is high; effects as in EFFECT, larger with x."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    odds = np.exp(np.column_stack([np.zeros(n), tilt * x, 2 * tilt * x]))
    cut = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    arm = (rng.random(n)[:, None] > cut).sum(axis=1)
    names = np.array(list(EFFECT))[arm]
    y = x + np.array(list(EFFECT.values()))[arm] * (1 + 0.5 * x) + rng.normal(size=n)
    return pd.DataFrame({"y": y, "arm": names, "x": x})


def test_contrasts_of_a_linear_engine_recover_the_truth_that_raw_means_miss():
    frame = trial()
    rows = {
        row.term: row
        for row in arms(frame, [hb.Feols()], outcome="y", treatment="arm", covariates=["x"], seed=1)
    }
    # sorted labels: letter, none, visit
    for term, truth in (("none - letter", -0.5), ("visit - letter", 1.0), ("visit - none", 1.5)):
        row = rows[term]
        assert row.engine == "feols"
        assert abs(row.estimate - truth) < 4 * row.std_error
    raw = frame.groupby("arm")["y"].mean()
    assert abs(raw["visit"] - raw["none"] - 1.5) > 4 * rows["visit - none"].std_error
    assert rows["equal"].p_value < 1e-6


def test_contrasts_add_up_and_share_a_common_column():
    rng = np.random.default_rng(2)
    gamma, base = rng.normal(size=(200, 3)), Scores(np.zeros(200))
    rows = {row.term: row for row in contrasts(gamma, ["a", "b", "c"], base)}
    assert abs(rows["c - a"].estimate - rows["b - a"].estimate - rows["c - b"].estimate) < 1e-12
    moved = {row.term: row for row in contrasts(gamma + rng.normal(size=(200, 1)), ["a", "b", "c"], base)}
    assert abs(moved["c - a"].std_error - rows["c - a"].std_error) < 1e-12


def test_one_arm_is_too_few():
    frame = trial(50).assign(arm="none")
    with pytest.raises(InvalidData, match="must name two or more arms"):
        arms(frame, [hb.Feols()], outcome="y", treatment="arm", covariates=["x"])


def test_arms_of_any_table_and_order_are_the_same_rows(tmp_path):
    frame = trial(300)
    frame.loc[:9, "arm"] = ""  # missing, no fourth arm
    frame.to_csv(tmp_path / "t.csv", index=False)
    plain = arms(frame, [hb.Feols()], outcome="y", treatment="arm", covariates=["x"], seed=1)
    assert {row.term for row in plain} >= {"none - letter", "visit - letter", "visit - none"}
    codes = frame.assign(
        arm=pd.Categorical(frame["arm"].replace("", None), ["letter", "none", "visit", "unused"])
    )
    for other in (
        tmp_path / "t.csv",
        pa.Table.from_pandas(frame),
        codes,
        frame.sample(frac=1, random_state=1),
    ):
        rows = arms(other, [hb.Feols()], outcome="y", treatment="arm", covariates=["x"], seed=1)
        assert [row.term for row in rows] == [row.term for row in plain]
        np.testing.assert_allclose([row.estimate for row in rows], [row.estimate for row in plain], rtol=1e-9)


def test_arms_must_name_columns_of_the_data():
    with pytest.raises(InvalidData, match=r"must name a column of the data. `amr` is not"):
        arms(trial(50), [hb.Feols()], outcome="y", treatment="amr", covariates=["x"])


@pytest.mark.r
@pytest.mark.filterwarnings("ignore:Estimated treatment propensities")  # grf's own, true of so few trees
def test_the_multi_arm_forest_agrees_with_the_truth():
    frame = trial(1000, tilt=0.1)
    arm = pd.Categorical(frame["arm"], categories=list(EFFECT))
    study = Study.from_frame(
        frame.assign(any=(arm.codes > 0).astype(int)), outcome="y", treatment="any", covariates=["x"]
    )
    rows = {
        row.term: row
        for row in multi_arm_forest(study, arm.codes.astype(np.int64), list(EFFECT), num_trees=200, seed=1)
    }
    assert list(rows) == ["letter - none", "visit - none", "visit - letter", "equal"]
    for term, truth in (("letter - none", 0.5), ("visit - none", 1.5), ("visit - letter", 1.0)):
        assert abs(rows[term].estimate - truth) < 4 * rows[term].std_error


def test_a_table_whose_contrasts_are_against_the_control_named():
    table = arms(
        trial(300), [hb.Feols()], outcome="y", treatment="arm", covariates=["x"], control="none", seed=1
    )
    plain = arms(trial(300), [hb.Feols()], outcome="y", treatment="arm", covariates=["x"], seed=1)
    assert isinstance(table, hb.Table)
    assert len(table) == len(plain) == len(list(table))
    ours = {row.term: row.estimate for row in table}
    theirs = {row.term: row.estimate for row in plain}
    assert abs(ours["letter - none"] + theirs["none - letter"]) < 1e-10
    assert "Outcome y, treatment arm" in str(table)
    with pytest.raises(InvalidOption, match="`control` must be an arm"):
        arms(trial(300), [hb.Feols()], outcome="y", treatment="arm", covariates=["x"], control="zz")
