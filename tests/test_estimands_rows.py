"""Identities, invariances and recovery of the estimands, from known scores and a cheap engine."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.oneway import anova_oneway

import hte_bridge as hb
from hte_bridge.errors import NotIdentified
from hte_bridge.estimands.averages import ate
from hte_bridge.estimands.bands import sup_t
from hte_bridge.estimands.confounding import coefficient_sensitivity
from hte_bridge.estimands.group_labels import labels_of
from hte_bridge.estimands.groups import clan, gate, rearranged
from hte_bridge.estimands.nuisance import crump_edge
from hte_bridge.estimands.ranking import rate, toc
from hte_bridge.estimands.sensitivity import bias_bounds, score_sensitivity
from hte_bridge.estimands.sequential import engine_of, sequential
from hte_bridge.estimands.ties import group_shares
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate
from tests.helpers.studies import village_trial

EXACT = 1e-10


@pytest.fixture(scope="module")
def trial() -> hb.Study:
    return village_trial()


@pytest.fixture(scope="module")
def table(trial):
    return hb.compare(trial, [hb.Feols()], seed=1)


def close(row, truth):
    assert abs(row.estimate - truth) < 4 * row.std_error, row


# ---- groups -----------------------------------------------------------------------------------------------------


def test_a_group_s_row_is_the_average_effect_of_the_group(table):
    scores, labels = table.scores("feols"), table.study.frame["town"]
    for row in table.gate("town", joint=False).rows[:3]:
        alone = ate(scores.where(labels == row.term.split(" = ")[1]))
        assert abs(row.estimate - alone.estimate) < EXACT
        assert abs(row.std_error - alone.std_error) < EXACT


def test_equality_of_groups_is_welch_s_test():
    rng = np.random.default_rng(15)
    parts = [rng.normal(size=size, scale=scale) for size, scale in ((8, 1.0), (12, 2.0), (30, 0.5))]
    equal = gate(Scores(np.concatenate(parts)), np.repeat([0, 1, 2], [8, 12, 30]))[-1]
    welch = anova_oneway(parts, use_var="unequal")
    assert abs(equal.statistic - welch.statistic) < EXACT
    assert abs(equal.p_value - welch.pvalue) < EXACT


def test_joint_bands_are_wider_and_adjusted_p_values_larger(table):
    for joint, alone in zip(
        table.gate("town").rows[:3], table.gate("town", joint=False).rows[:3], strict=True
    ):
        assert joint.conf_low < alone.conf_low < alone.conf_high < joint.conf_high
        assert joint.p_value >= alone.p_value


def test_a_band_of_independent_rows_is_sidak_s_and_of_equal_rows_pointwise():
    independent, _ = sup_t(np.eye(5), np.full(5, np.inf), 0.95)
    together, _ = sup_t(np.ones((5, 5)), np.full(5, np.inf), 0.95)
    assert abs(independent - 0.95 ** (1 / 5)) < 0.002  # Monte-Carlo error of the draws behind the band
    assert abs(together - 0.95) < 0.004


def test_nothing_moves_when_rows_are_shuffled_and_clusters_renamed():
    rng = np.random.default_rng(4)
    gamma, label, cluster = rng.normal(size=300), rng.integers(0, 3, 300), rng.integers(0, 40, 300)
    order = rng.permutation(300)
    before = gate(Scores(gamma, cluster=cluster), label)
    after = gate(Scores(gamma[order], cluster=900 - cluster[order]), label[order])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(
            [one.estimate, one.std_error, one.p_value],
            [other.estimate, other.std_error, other.p_value],
            atol=1e-12,
        )


def test_groups_by_rank_are_equal_within_each_fold():
    rng = np.random.default_rng(5)
    priority, fold = rng.normal(size=1000), rng.integers(0, 4, 1000)
    priority[fold == 0] = np.nan
    share = group_shares(priority, fold, np.ones(1000), 5)
    assert (share[fold == 0] == 0).all()
    for each in (1, 2, 3):
        inside = fold == each
        np.testing.assert_allclose(share[inside].sum(axis=0), inside.sum() / 5, rtol=1e-9)
        assert priority[inside & (share[:, 0] > 0)].max() <= priority[inside & (share[:, 4] > 0)].min()


def test_rearrangement_sorts_and_says_so():
    rows = [Estimate("gates", value, 0.1, term=str(value)) for value in (2.0, 1.0, 3.0)]
    sorted_rows = rearranged(rows)
    assert [row.estimate for row in sorted_rows] == [1.0, 2.0, 3.0]
    assert all("monotone" in row.note for row in sorted_rows)
    assert rearranged(sorted_rows) == sorted_rows


def test_gates_and_clan_find_who_gains(table):
    rows = {row.term: row for row in table.gates().rows}
    close(rows["highest - lowest"], 2.8)  # quintiles of a normal: 1.4 above and below
    found = {row.term: row for row in table.clan().rows}
    assert found["x: highest - lowest"].estimate > 2
    assert abs(found["z: highest - lowest"].estimate) < 4 * found["z: highest - lowest"].std_error


def test_clan_leaves_missing_characteristics_out():
    rng = np.random.default_rng(6)
    column = np.where(rng.random(200) < 0.3, np.nan, 5.0) + rng.normal(size=200)
    priority, fold = rng.normal(size=200), np.zeros(200, dtype=int)
    row = clan(Scores(np.zeros(200)), column[:, None], ["income"], priority, fold)[0]
    top = group_shares(priority, fold, np.ones(200), 5)[:, 4] == 1
    assert abs(row.estimate - np.nanmean(column[top])) < EXACT


def test_bins_keep_their_order():
    labels = labels_of(np.arange(100.0), bins=3)
    assert list(labels.categories) == ["below 33", "33 to 66", "66 or more"]


# ---- rankings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        1.6e9 + np.linspace(0, 6e5, 200),
        20190101 + np.arange(200) % 12 * 100 + np.arange(200) % 28,
        1e6 + 50 * np.sin(np.arange(200)),
        1.6e12 + np.arange(200.0),
        -3e-9 + 1e-12 * np.arange(200),
    ],
    ids=["unix", "yyyymmdd", "near 1e6", "ms", "tiny"],
)
def test_labels_of_numbers_far_from_zero_tell_the_borders_apart(values):
    labels = labels_of(values)
    low, high = (float(labels.categories[g].split(" ")[1 - g // 3]) for g in (0, 3))
    assert low == pytest.approx(np.quantile(values, 0.25), abs=np.ptp(values) / 50)
    assert high == pytest.approx(np.quantile(values, 0.75), abs=np.ptp(values) / 50)
    assert pd.Series(labels).value_counts().min() >= 40


def test_a_count_of_few_values_that_few_rows_have_is_zero_and_the_rest():
    values = np.where(np.arange(300) < 285, 0, 1 + np.arange(300) % 11)
    counts = pd.Series(labels_of(values)).value_counts()
    assert counts.to_dict() == {"0": 285, "1 or more": 15}
    children = np.repeat([0, 1, 2, 3, 8], [100, 90, 70, 39, 1])
    assert list(labels_of(children).categories) == [0, 1, 2, 3, 8]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_value_that_many_have_is_a_group_of_its_own(share):
    values = np.where(np.arange(400) < 400 * share, 0, 1 + np.arange(400) % 37)
    counts = pd.Series(labels_of(values)).value_counts()
    assert counts["0"] == 400 * share
    assert counts.min() > 0
    assert len(counts) >= 2


def test_a_sequential_ranking_is_a_refit_on_earlier_folds(trial, table):
    ranking = sequential(table.fit("feols"), table.folds)
    assert np.isnan(ranking.priority[table.folds.fold == 0]).all()
    test = np.flatnonzero(table.folds.fold == 2)
    again = engine_of(table.fit("feols")).fit(trial.subset(table.folds.fold < 2)).cate(trial.frame.iloc[test])
    np.testing.assert_array_equal(ranking.priority[test], again["estimate"])


def test_heldout_rankings_give_no_interval_and_say_why(table):
    row = table.rate(ranking="heldout").rows[0]
    assert row.estimate > 0
    assert np.isnan([row.std_error, row.p_value, row.conf_low]).all()
    assert "no interval" in row.note


def test_only_columns_made_elsewhere_may_be_called_independent(trial):
    x = trial.frame["x"]
    columns = {"cate": 1 + x, "outcome_mean": x + 0.6 * (1 + x), "propensity": np.full(trial.n, 0.5)}
    both = hb.compare(
        trial, [hb.Feols(), hb.Given(columns, name="given", held_out=True)], estimands=["ate"], seed=1
    )
    rows = {row.engine: row for row in both.rate(["qini"], ranking="independent").rows}
    assert "`feols` was fitted to this study" in rows["feols"].note
    assert rows["given"].estimate > 4 * rows["given"].std_error
    assert "cannot be fitted again" in both.rate(["qini"]).rows[-1].note


def test_ties_share_their_score_whatever_their_order():
    rng = np.random.default_rng(7)
    gamma, priority = rng.normal(size=200), rng.integers(0, 5, 200).astype(float)
    order = rng.permutation(200)
    for make in (lambda g, p: rate(Scores(g), p), lambda g, p: toc(Scores(g), p)[2]):
        one, other = make(gamma, priority), make(gamma[order], priority[order])
        assert abs(one.estimate - other.estimate) < EXACT


def test_toc_at_all_is_zero_without_an_interval():
    row = toc(Scores(np.arange(50.0)), np.arange(50.0))[-1]
    assert row.estimate == pytest.approx(0, abs=EXACT)
    assert np.isnan(row.std_error)


# ---- nuisances, sensitivity, splits -------------------------------------------------------------------------------


def test_nuisances_are_judged_on_units_they_did_not_see(table):
    rows = {row.term: row for row in table.nuisance().rows}
    scores = table.scores("feols")
    mse = np.mean((scores.outcome - scores.heldout.outcome_mean) ** 2)
    assert abs(rows["outcome R2"].estimate - (1 - mse / np.var(scores.outcome))) < EXACT
    close(rows["treatment slope"], 1.0)
    assert rows["propensity, least"].estimate == scores.heldout.propensity.min()


def test_the_best_edge_trims_only_where_overlap_is_weak():
    rng = np.random.default_rng(14)
    assert crump_edge(rng.uniform(0.3, 0.7, 500)) == 0
    weak = rng.beta(0.5, 0.5, 5000)
    edge = crump_edge(weak)
    inside = (weak > edge) & (weak < 1 - edge)
    # at the best edge the worst unit kept has twice the average of 1 / (e (1 - e))
    assert 1 / (edge * (1 - edge)) == pytest.approx(2 * np.mean(1 / (weak * (1 - weak))[inside]), rel=0.01)


def test_bounds_open_with_strength_and_close_at_the_robustness_value(table):
    scores = table.scores("feols")
    low, high = bias_bounds(scores, with_outcome=0.0, with_treatment=0.0)
    assert low.estimate == high.estimate == pytest.approx(ate(scores).estimate)
    value = score_sensitivity(scores)[0].estimate
    assert abs(bias_bounds(scores, with_outcome=value, with_treatment=value)[0].estimate) < 1e-6
    interval = score_sensitivity(scores)[1].estimate
    assert 0 < interval < value


def test_a_confounder_like_the_true_one_explains_the_bias(trial):
    rows = {row.term: row for row in coefficient_sensitivity(trial)}
    beside = rows["beside a confounder 1 x z"]
    assert abs(beside.estimate - 1.0) < 0.3  # z does nothing: neither would a confounder like it
    assert rows["robustness value: interval to 0"].estimate < rows["robustness value: estimate to 0"].estimate


def test_degrees_of_freedom_of_a_coefficient_s_sensitivity_are_those_of_its_regression(trial):
    """Collinear columns were counted, and where they used up the rows a power of a negative number was no number."""
    frame = pd.DataFrame({"y": trial.outcome, "d": trial.treatment, "x": trial.covariates[:, 0]})
    frame["twice"] = 2 * frame["x"]
    roles = {"outcome": "y", "treatment": "d"}
    one, both = (
        coefficient_sensitivity(hb.Study.from_frame(frame, **roles, covariates=names))[:3]
        for names in (["x"], ["x", "twice"])
    )
    assert [row.df for row in one] == [row.df for row in both]
    with pytest.raises(NotIdentified, match="nothing is left for a confounder"):
        coefficient_sensitivity(hb.Study.from_frame(frame.assign(y=frame["d"]), **roles, covariates=["x"]))
    few = pd.DataFrame(np.random.default_rng(1).normal(size=(8, 6)), columns=list("abcefg"))
    few = few.assign(d=np.arange(8) % 2, y=np.arange(8.0))
    with pytest.raises(NotIdentified, match="needs 2 degrees of freedom or more"):
        coefficient_sensitivity(hb.Study.from_frame(few, **roles, covariates=list("abcefg")))


def test_placebos_find_nothing_and_real_effects_are_not_placebos(table):
    drawn = table.placebo(seed=1).rows[0]
    assert abs(drawn.statistic) < 4
    before = table.placebo("before").rows[0]
    assert abs(before.statistic) < 4
    assert abs(table.placebo("y").rows[0].statistic) > 4


def test_repeated_splits_take_medians(table):
    rows = table.repeated("gates", n_splits=3, seed=1).rows
    assert "median of 3 splits" in rows[0].note
    close(next(row for row in rows if row.term == "highest - lowest"), 2.8)


# ---- the front door -----------------------------------------------------------------------------------------------


def test_compare_takes_every_name_of_the_registry(trial):
    from hte_bridge.estimand import askable

    names = [name for name in askable() if name not in ("ape", "dose")]
    frame = hb.compare(trial, [hb.Feols()], estimands=names, seed=1).to_frame()
    answered = set(frame.loc[frame["estimate"].notna() | frame["p_value"].notna(), "estimand"])
    assert set(names) <= answered


def test_projection_takes_a_formula(table):
    terms = [row.term for row in table.projection("x + i(town)").rows]
    assert terms == ["(Intercept)", "x", "C(town)[T.b]", "C(town)[T.c]", "joint"]
    with pytest.raises(hb.comparison.InvalidOption, match="`xx` is not one"):
        table.projection("xx")


def test_a_subset_by_condition_is_the_subset_by_mask(table):
    frame = table.study.frame
    one = table.average("att", "x > 0").rows[0]
    other = table.average("att", (frame["x"] > 0).to_numpy()).rows[0]
    assert one.estimate == other.estimate
    assert one.term == "x > 0"
