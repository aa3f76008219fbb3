"""Other errors for the same rows: against formulas, pyfixest itself, and enumeration."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hte_bridge as hb
from hte_bridge.engine import HeldOut
from hte_bridge.errors import InvalidData, InvalidOption, TooFewClusters
from hte_bridge.estimands.averages import ate
from hte_bridge.estimands.groups import gate
from hte_bridge.estimands.moments import cluster_totals
from hte_bridge.estimands.projection import projection, score_test
from hte_bridge.inference import adjusted, randomisation, wild_bootstrap, with_vcov
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate

EXACT = 1e-10


@pytest.fixture(scope="module")
def study() -> hb.Study:
    rng = np.random.default_rng(1)
    n = 400
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "village": rng.integers(0, 20, n), "year": rng.integers(0, 15, n)}
    )
    frame["d"], frame["y"] = rng.integers(0, 2, n), rng.normal(size=n) + rng.normal(size=20)[frame["village"]]
    return hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"], cluster="village")


@pytest.fixture(scope="module")
def scores(study) -> Scores:
    gamma = np.random.default_rng(2).normal(size=study.n) + study.outcome
    return Scores(gamma, study.weight, study.cluster, cluster_name="village")


def test_crv1_of_pyfixest_is_our_own_cluster_sum(study, scores):
    own = ate(scores)
    row = with_vcov([own], study, {"CRV1": "village"})[0]
    # fixest's small-sample factor (n - 1) / (n - 1) for one coefficient leaves G / (G - 1), as ours
    assert abs(row.std_error - own.std_error) < EXACT
    assert row.estimate == own.estimate
    assert row.df == own.df == 19


def test_crv3_is_the_cluster_jackknife(study, scores):
    row = with_vcov([ate(scores)], study, {"CRV3": "village"})[0]
    left_out = np.array([scores.gamma[scores.cluster != g].mean() for g in range(20)])
    jackknife = (19 / 20 * ((left_out - scores.gamma.mean()) ** 2).sum()) ** 0.5
    # pyfixest puts its factor G / (G - 1) on CRV3 too, where the textbook has (G - 1) / G: longer by 20 / 19
    assert abs(row.std_error - 20 / 19 * jackknife) < EXACT


@pytest.mark.parametrize("missing", [np.nan, None, "", "  "])
@pytest.mark.parametrize("vcov", [{"CRV1": "town"}, {"CRV3": "town"}, {"CRV1": "village + town"}])
def test_rows_of_unknown_cluster_are_refused(study, scores, vcov, missing):
    town = pd.Series([f"t{k % 12}" for k in range(study.n)], dtype=object)
    town[[7, 9, 30]] = missing
    given = study.with_(frame=study.frame.assign(town=town.to_numpy()))
    with pytest.raises(InvalidData, match="3 of 400 values of `town` are missing; the first is in row 7"):
        with_vcov([ate(scores)], given, vcov)


def test_whole_numbers_as_floats_and_a_name_with_a_plus_are_clusters_too(study, scores):
    frame = study.frame.assign(**{"a + b": study.frame.year, "real": study.frame.year.astype(float)})
    given = study.with_(frame=frame)
    rows = [with_vcov([ate(scores)], given, {"CRV1": name})[0] for name in ("year", "a + b", "real")]
    assert len({row.std_error for row in rows}) == 1
    with pytest.raises(InvalidOption, match=r"must be \{'CRV1': columns\}"):
        with_vcov([ate(scores)], given, {})


def test_two_ways_are_named_and_between_the_ways(study, scores):
    both = with_vcov([ate(scores)], study, {"CRV1": "village + year"})[0]
    plain = with_vcov([ate(scores)], study, "hetero")[0]
    assert both.vcov == "CRV1 (village + year)"
    assert both.df == 14  # fewer years than villages
    assert both.std_error != plain.std_error
    assert abs(plain.std_error - ate(Scores(scores.gamma)).std_error) < EXACT


def test_a_group_keeps_its_own_units(study, scores):
    rows = gate(scores, study.covariates[:, 0] > 0, joint=False)[:2]
    again = with_vcov(rows, study, {"CRV1": "village"})
    for before, after in zip(rows, again, strict=True):
        assert abs(before.std_error - after.std_error) < EXACT


def test_a_row_without_influence_says_that_no_other_error_can_be_formed(study):
    row = with_vcov([Estimate("ate", 1.0, 0.5)], study, "hetero")[0]
    assert row.estimate == 1.0
    assert np.isnan([row.std_error, row.p_value, row.conf_low]).all()
    assert "no influence values" in row.note


def test_a_cluster_must_be_a_column(study, scores):
    with pytest.raises(InvalidOption, match="nearest is `village`"):
        with_vcov([ate(scores)], study, {"CRV1": "villages"})
    with pytest.raises(InvalidOption, match="'CRV1': columns"):
        with_vcov([ate(scores)], study, {"HAC": "village"})


def test_a_wild_bootstrap_of_few_clusters_takes_every_turn_of_signs():
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(6), 5)
    gamma = 0.8 + rng.normal(size=6)[cluster] + rng.normal(size=30)
    row = ate(Scores(gamma, cluster=cluster))
    wild = wild_bootstrap([row], cluster, draws=999, seed=1)[0]
    means = np.array([gamma[cluster == g].mean() for g in range(6)])
    seen = abs(means.mean() / means.std(ddof=1))
    drawn = [
        abs((signs * means).mean() / (signs * means).std(ddof=1))
        for signs in 1 - 2.0 * ((np.arange(64)[:, None] >> np.arange(6)) & 1)
    ]
    assert abs(wild.p_value - np.mean(np.array(drawn) >= seen - 1e-9)) < EXACT
    assert "64 draws" in wild.vcov


def test_the_wild_interval_holds_what_its_test_does_not_reject():
    rng = np.random.default_rng(4)
    cluster = np.arange(12).repeat(8)
    gamma = 0.5 + rng.normal(size=96)
    base = Scores(gamma, cluster=cluster)
    wild = wild_bootstrap([ate(base)], cluster, seed=1)[0]
    for end, inside in ((wild.conf_low, 0.02), (wild.conf_high, -0.02)):
        for step, rejects in ((inside, False), (-inside, True)):
            moved = ate(Scores(gamma - end - step, cluster=cluster))
            assert (wild_bootstrap([moved], cluster, seed=1)[0].p_value < 0.05) == rejects
    with pytest.raises(TooFewClusters):
        wild_bootstrap([ate(base)], np.zeros(96, dtype=int))


def test_randomisation_finds_an_effect_and_says_its_null():
    rng = np.random.default_rng(5)
    w = rng.integers(0, 2, 200).astype(float)
    y = 0.8 * w + rng.normal(size=200)
    held = HeldOut(np.zeros(200), np.full(200, 0.4), np.full(200, 0.5))
    row = randomisation(Scores(y, outcome=y, treatment=w, heldout=held), draws=199, seed=1, known=True)
    assert row.p_value == 1 / 200  # the least that 199 draws can say
    assert "sharp null" in row.note
    assert "the known propensity" in row.note


def test_holm_is_holm():
    rows = [Estimate("ate", t, 1.0) for t in (3.0, 2.0, 1.0)]
    p = [row.p_value for row in rows]
    found = [row.p_value for row in adjusted(rows, np.arange(10), method="holm")]
    np.testing.assert_allclose(found, [3 * p[0], 2 * p[1], max(p[2], 2 * p[1])], atol=1e-12)
    assert all("over 3 rows by Holm" in row.note for row in adjusted(rows, np.arange(10), method="holm"))


def test_romano_wolf_knows_that_equal_rows_are_one_test():
    gamma = np.random.default_rng(6).normal(size=300) + 0.14
    rows = [ate(Scores(gamma))] * 8
    once = adjusted(rows, np.arange(300), seed=1)[0].p_value
    assert abs(once - rows[0].p_value) < 0.02  # Monte-Carlo error of 4,999 draws, and a normal for a t
    assert adjusted(rows, np.arange(300), method="holm")[0].p_value > 4 * once


def test_a_comparison_gives_its_rows_other_errors(study):
    table = hb.compare(study, [hb.Feols()], estimands=["ate"], seed=1)
    assert table.with_vcov({"CRV3": "village"}).rows[-1].vcov == "CRV3 (village)"
    assert "wild" in table.wild_bootstrap(draws=99).rows[-1].vcov
    family = table.adjusted(table.gate("year", bins=3)).rows
    assert all("Romano-Wolf" in row.note for row in family[:3])
    assert "randomisation" in table.randomisation(draws=49).rows[0].vcov


def test_score_test_of_slopes_is_hotellings_of_the_cluster_totals():
    rng = np.random.default_rng(4)
    x, weight, cluster = rng.normal(size=(90, 2)) * [1.0, 1e6], rng.uniform(0.5, 2, 90), np.arange(90) % 30
    y = 0.3 * x[:, 0] + rng.normal(size=90)
    alone = score_test(y, x[:, :1], weight, cluster)
    share = weight / weight.sum()
    totals = cluster_totals((weight * (y - share @ y))[:, None] * (x - share @ x), cluster)
    twin = stats.ttest_1samp(totals[:, 0], 0.0)
    assert alone == (pytest.approx(twin.statistic**2), pytest.approx(twin.pvalue), 29)
    mean, spread = totals.mean(axis=0), np.cov(totals.T)
    squared = 30 * mean @ np.linalg.solve(spread, mean)  # Hotelling (1931)
    both = score_test(y, x, weight, cluster)
    assert both[0] == pytest.approx(28 / (2 * 29) * squared)
    assert both[1] == pytest.approx(stats.f.sf(both[0], 2, 28))


def test_joint_row_is_wooldridges_test_of_the_model_with_one_effect():
    rng = np.random.default_rng(7)
    n, k = 300, 3
    x, weight = rng.normal(size=(n, k)), rng.uniform(0.5, 2, n)
    e = 1 / (1 + np.exp(-x[:, 0]))
    w = (rng.random(n) < e) * 1.0
    y = x[:, 1] + w + rng.normal(size=n)
    r, left, spread = w - e, y - x[:, 1] - e, e * (1 - e)

    def joint(cate):
        held = HeldOut(cate, x[:, 1] + e, e)
        gamma = cate + r / spread * (left - r * cate)
        made = Scores(gamma, weight, outcome=y, treatment=w, heldout=held)
        return projection(made, x, list("abc"))[-1]

    slope = (weight * r) @ left / ((weight * r) @ r)
    centred = x - (weight * spread) @ x / (weight @ spread)
    products = (weight * r * (left - slope * r))[:, None] * centred  # Wooldridge (1991): regress 1 on these
    left_over = 1 - products @ np.linalg.lstsq(products, np.ones(n), rcond=None)[0]
    explained = n - left_over @ left_over
    p_value = stats.f.sf((n - k) / k * explained / (n - explained), k, n - k)
    assert joint(np.ones(n)).p_value == pytest.approx(p_value, abs=EXACT)
    wrong = joint(5 * x[:, 2])  # what an engine got wrong about the effect is no evidence that it varies
    assert wrong.p_value == pytest.approx(p_value, abs=EXACT)


def test_no_joint_test_of_slopes_without_clusters_enough():
    rng = np.random.default_rng(5)
    x, cluster = rng.normal(size=(40, 4)), np.arange(40) % 4
    row = projection(Scores(rng.normal(size=40), cluster=cluster), x, list("abcd"), vcov="HC1")[-1]
    assert np.isnan(row.p_value)
    assert row.note == "no joint test: it needs more than 4 clusters, and there are 4"
