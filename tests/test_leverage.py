"""Errors where one unit or cluster alone tells a coefficient, and where coefficients are as many as rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.estimands.projection import projection, score_test
from hte_bridge.estimands.regression import least_squares

SAME = 1e-10  # two ways of the same algebra


def drawn(n=200):
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(n), rng.normal(size=n), rng.integers(0, 2, n)])
    return x, x @ [1.0, 2.0, 0.5] + rng.normal(size=n), rng.uniform(1, 2, n), rng.integers(0, 20, n)


def test_a_unit_alone_in_a_dummy_leaves_the_other_errors_as_without_it():
    x, y, weight, _ = drawn()
    alone = np.arange(len(y)) == 5
    fit = least_squares(y, np.column_stack([x, alone]), weight, np.arange(len(y)))
    without = least_squares(y[~alone], x[~alone], weight[~alone], np.arange(len(y) - 1))
    np.testing.assert_allclose(fit.coefficients[:3], without.coefficients, rtol=SAME)
    np.testing.assert_allclose(fit.covariance[:3, :3], without.covariance, rtol=SAME)
    assert np.isnan(fit.covariance[3]).all()
    assert fit.reasons[:3] == ("", "", "")
    assert fit.reasons[3].startswith("no interval: one unit or cluster alone tells this coefficient")


def test_a_cluster_alone_in_a_dummy_has_the_errors_of_leaving_clusters_out():
    x, y, _, cluster = drawn()
    columns = np.column_stack([x, cluster == 3])
    fit = least_squares(y, columns, np.ones(len(y)), cluster)
    moved = []
    for g in range(20):
        kept = cluster != g
        used = columns[kept][:, :3] if g == 3 else columns[kept]
        moved.append(np.linalg.lstsq(used, y[kept], rcond=None)[0][:3] - fit.coefficients[:3])
    by_hand = np.sqrt((np.array(moved) ** 2).sum(axis=0))
    np.testing.assert_allclose([fit.std_error(j) for j in range(3)], by_hand, rtol=SAME)
    assert np.isnan(fit.std_error(3))


def town_frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "g": rng.integers(0, 30, 300)})
    frame["d"] = rng.integers(0, 2, 300)
    frame["y"] = frame.d * (1 + frame.x) + rng.normal(size=300)
    frame["town"] = rng.choice(["a", "b"], 300)
    return frame


def test_the_order_of_rows_means_nothing_to_errors_with_a_unit_alone():
    frame = town_frame()
    frame.loc[5, "town"] = "c"
    table = hb.compare(
        hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x", "town"]), [hb.Feols()], seed=1
    )
    scores, x = table.scores("feols"), table.study.filled
    first = projection(scores, x, ["x", "b", "c"])
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(300)
        again = projection(scores.where(order), x[order], ["x", "b", "c"])
        for one, other in zip(first, again, strict=True):
            assert other.std_error == pytest.approx(one.std_error, rel=SAME, nan_ok=True)
    said = {row.term: row for row in table.rows if row.estimand == "projection"}["town[c]"]
    assert np.isnan(said.std_error)
    assert "one unit or cluster alone tells this coefficient" in said.note


@pytest.mark.parametrize("column", ["text", "yes/no"])
def test_a_covariate_of_one_cluster_leaves_the_table_whole(column):
    frame = town_frame()
    frame["here"] = frame.g == 3 if column == "yes/no" else np.where(frame.g == 3, "c", frame.town)
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x", "here"], cluster="g")
    rows = [row for row in hb.compare(study, [hb.Feols()], seed=1).rows if row.estimand == "projection"]
    lost = [row for row in rows if row.term not in ("(Intercept)", "x", "here[b]")]
    assert all(np.isnan(row.std_error) and row.note for row in lost)
    assert all(0.05 < row.std_error < 0.5 for row in rows if row not in lost)
    if column == "yes/no":
        assert {row.term for row in lost} == {"here", "joint"}


def test_slopes_that_few_clusters_tell_have_no_joint_test():
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(10), 10)
    x = np.column_stack([rng.normal(size=100), cluster == 3, cluster == 3])
    statistic, p_value, _ = score_test(rng.normal(size=100), x, np.ones(100), cluster)
    assert np.isnan(statistic)
    assert np.isnan(p_value)


def wide(p, n=100):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"v{j}" for j in range(p)])
    frame["d"] = rng.integers(0, 2, n)
    frame["y"] = frame.d + rng.normal(size=n)
    return frame, hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=list(frame.columns[:p]))


@pytest.mark.parametrize("p", [98, 99, 150])
def test_a_regression_without_rows_to_spare_is_refused(p):
    _, study = wide(p)
    with pytest.raises(hb.errors.NotIdentified, match="needs more rows than coefficients"):
        hb.Feols().fit(study)


def test_an_effect_along_more_covariates_than_rows_tell_is_a_sentence():
    frame, study = wide(49)
    assert min(frame.d.sum(), (1 - frame.d).sum()) == 49
    table = hb.compare(study, [hb.Feols()], seed=1)
    assert table.rows[0].std_error > 0
    assert "80 rows outside a fold meet 100 coefficients" in next(
        row.note for row in table.rows if row.estimand == "ate"
    )
    with pytest.raises(
        hb.errors.NotIdentified, match="49 rows of one arm of `d` meet 49 coefficients or more"
    ):
        table.cate(frame.head(1), engine="feols")


def test_an_effect_where_collinear_columns_part_is_not_told():
    frame = town_frame()
    frame["twice"] = 2 * frame.x + 1e6
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x", "twice"])
    plain = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    new = pd.concat([frame.head(2), frame.head(1).assign(x=5.0)])
    found, alone = (hb.Feols().fit(each).cate(new) for each in (study, plain))
    np.testing.assert_allclose(found.iloc[:2], alone.iloc[:2], rtol=1e-6)  # one column less in df alone
    assert found.iloc[2].isna().all()


def test_one_treated_cluster_has_dashes_that_say_why():
    frame = town_frame()
    frame.loc[:39, "g"] = 0
    frame["d"] = (frame.g == 0).astype(int)
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"], cluster="g")
    rows = hb.compare(study, [hb.Feols()], seed=1).rows
    assert "hold different values of the treatment" in next(row.note for row in rows if row.estimand == "ate")


def test_an_outcome_that_effects_determine_is_refused():
    frame = town_frame().assign(user=np.arange(300) // 5)
    frame["y"] = (frame.user == 0).astype(float)
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"], fixed_effects="user")
    with pytest.raises(hb.errors.NotIdentified, match="must vary within the fixed effects"):
        hb.Feols().fit(study)
