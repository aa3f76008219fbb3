"""Tied priorities and fold offsets: errors keep the noise within ties, no row order and no level of a fold is a rank."""

import numpy as np
import pandas as pd
import pytest

from hte_bridge import Folds, Study, compare
from hte_bridge.between.agreement import correlation
from hte_bridge.engine import HeldOut
from hte_bridge.engines.given import Given
from hte_bridge.errors import NotIdentified
from hte_bridge.estimands.budget import gain_curve
from hte_bridge.estimands.calibration import best_linear_predictor, calibration, gates_regression
from hte_bridge.estimands.groups import clan, gates
from hte_bridge.estimands.policy import policy
from hte_bridge.estimands.ranking import bootstrap_error, rate, toc
from hte_bridge.estimands.sequential import Ranking
from hte_bridge.estimands.ties import steps, within_folds, without_offsets
from hte_bridge.scores import Scores

DRAWS, ALPHA = 400, 0.05
BAND = 4 * (ALPHA * (1 - ALPHA) / DRAWS) ** 0.5  # rejections are binomial
# grf 2.6.1, rank_average_treatment_effect.fit with R = 4000 half-samples, of `tied_rows()`
GRF = {
    ("autoc", "plain"): (-0.0175005711981649, 0.03729736),
    ("qini", "plain"): (-0.00243247376521445, 0.01213486),
    ("autoc", "weighted"): (0.840606822257292, 0.05787782),
    ("qini", "weighted"): (0.294212381846015, 0.01902779),
}
GRF_TOC = [0.1310126, 0.1298593, 0.0950743, 0.0827012, 0.0687258, 0.0484210, 0.0386818, 0.0324500, 0.0147089]
BOOTSTRAP = (
    0.06  # four standard deviations of an error by 4000 half-samples, and the bootstrap's own second order
)


def tied_rows():
    rng = np.random.default_rng(0)
    gamma, priority = rng.normal(size=500), rng.integers(0, 4, 500).astype(float)
    weight, cluster = rng.exponential(size=500), rng.integers(0, 60, 500)
    return {"plain": Scores(gamma), "weighted": Scores(gamma + priority, weight, cluster)}, priority


@pytest.mark.parametrize(("target", "kind"), GRF)
def test_rate_of_ties_has_grfs_estimate_and_error(target, kind):
    scores, priority = tied_rows()
    row, (estimate, error) = rate(scores[kind], priority, target=target), GRF[target, kind]
    # grf's sums depend on the order of tied units of different weight; ours give each the mean weight of its ties
    assert abs(row.estimate - estimate) < (1e-12 if kind == "plain" else 0.05 * error)
    assert abs(row.std_error / error - 1) < BOOTSTRAP
    assert (
        abs(bootstrap_error(scores[kind], priority, target=target, draws=2000) / row.std_error - 1)
        < BOOTSTRAP
    )


def test_toc_of_ties_has_grfs_errors():
    scores, priority = tied_rows()
    found = [row.std_error for row in toc(scores["weighted"], priority)[:-1]]
    np.testing.assert_allclose(found, GRF_TOC, rtol=BOOTSTRAP)


def shares(reject):
    """Share of draws in which each of several tests rejects."""
    return np.mean([reject(np.random.default_rng(seed)) for seed in range(DRAWS)], axis=0)


@pytest.mark.parametrize("distinct", [2, 8, 200, 500])
def test_rate_and_toc_find_nothing_as_often_as_they_say(distinct):
    def reject(rng):
        priority = rng.integers(0, distinct, 500).astype(float) if distinct < 500 else rng.normal(size=500)
        scores = Scores(rng.normal(size=500), rng.exponential(size=500))
        rows = [rate(scores, priority, target=target) for target in ("autoc", "qini")]
        band = min(row.p_value for row in toc(scores, priority, grid=(0.1, 0.2, 0.4, 0.6, 0.8)))
        return [*(row.p_value < ALPHA for row in rows), band < ALPHA]

    found = shares(reject)
    assert (np.abs(found[:2] - ALPHA) < BAND).all()
    assert found[2] < ALPHA + BAND  # the joint band of a curve may be a little wide


def test_rate_of_ties_counts_clusters():
    def reject(rng):
        cluster, priority = np.repeat(np.arange(50), 8), rng.integers(0, 3, 400).astype(float)
        return (
            rate(
                Scores(rng.normal(size=50)[cluster] + rng.normal(size=400), cluster=cluster), priority
            ).p_value
            < ALPHA
        )

    assert abs(shares(reject) - ALPHA) < BAND


def test_a_file_sorted_by_the_outcome_holds_no_heterogeneity():
    def reject(rng):
        gamma, priority = np.sort(rng.normal(2, 1, 300)), 1.0 + rng.integers(0, 2, 300)
        fold = np.repeat(np.arange(3), 100)
        fold = fold[rng.permutation(300)]
        scores = Scores(gamma)
        equal = gates(scores, priority, fold)[-1].p_value
        over = gain_curve(scores, priority, 1.0, [0.1])[1].p_value
        return [equal < ALPHA, over < ALPHA]

    assert (np.abs(shares(reject) - ALPHA) < BAND).all()


def verbs(scores, priority, fold, x):
    """Rows of every verb that ranks."""
    held = Ranking(priority, fold, "independent")
    return [
        *(rate(scores, priority, target=target) for target in ("autoc", "qini")),
        *toc(scores, priority)[:-1],
        *gates(scores, priority, fold),
        *gates(scores, priority, fold, monotone=True)[:-1],
        *clan(scores, x, ["x"], priority, fold),
        *gain_curve(scores, priority, 1.0 + (x[:, 0] > 0), [0.3, 0.5]),
        *policy(scores, held),
        *policy(scores, held, cost=1.0, budget=0.4),
        *calibration(scores, held),
        *best_linear_predictor(scores, cate=priority, fold=fold),
        *gates_regression(scores, cate=priority, fold=fold),
    ]


def drawn(n=240, clusters=48):
    rng = np.random.default_rng(3)
    cluster, x = rng.integers(0, clusters, n), rng.normal(size=(n, 1))
    treatment, priority = rng.integers(0, 2, n).astype(float), rng.integers(0, 3, n) - 0.5
    outcome = treatment * (1 + priority) + rng.normal(size=n)
    held = HeldOut(priority, rng.normal(size=n), np.full(n, 0.5))
    scores = Scores(
        rng.normal(size=n) + priority,
        rng.exponential(size=n),
        cluster,
        outcome=outcome,
        treatment=treatment,
        heldout=held,
    )
    return scores, priority, np.arange(n) % 4, x


def figures(rows):
    return np.array([[row.estimate, row.std_error, row.p_value, row.conf_low, row.conf_high] for row in rows])


def test_rows_permuted_move_nothing():
    scores, priority, fold, x = drawn()
    order = np.random.default_rng(1).permutation(len(priority))
    before = figures(verbs(scores, priority, fold, x))
    after = figures(verbs(scores.where(order), priority[order], fold[order], x[order]))
    np.testing.assert_allclose(after, before, rtol=1e-8, atol=1e-9)


def test_all_rows_twice_with_half_the_weight_move_no_estimate():
    scores, priority, fold, x = drawn()
    twice = np.repeat(np.arange(len(priority)), 2)
    before = figures(verbs(scores, priority, fold, x))[:, 0]
    after = figures(verbs(scores.where(twice), priority[twice], fold[twice], x[twice]))[:, 0]
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=0.02)  # grf's sums step from unit to unit


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scores_in_other_units_move_no_statistic(scale):
    scores, priority, _, _ = drawn()
    moved = Scores(scores.gamma * scale, scores.weight, scores.cluster)
    fold = np.arange(len(priority)) % 4
    for make in (
        lambda s, p: [rate(s, p)],
        lambda s, p: toc(s, p)[:-1],
        lambda s, p: gates(s, p, fold),
        lambda s, p: gain_curve(s, p, 1.0, [0.3]),
        lambda s, p: policy(s, Ranking(p, fold, "independent")),
    ):
        one, two = make(scores, priority), make(moved, priority * scale)
        np.testing.assert_allclose([row.statistic for row in two], [row.statistic for row in one], rtol=1e-7)


def test_rounding_is_a_tie_and_close_values_are_none():
    noisy = 3.0 + np.array([0, 1, -1, 2]) * 4e-16
    assert steps(noisy).tolist() == [0, 0, 0, 0]
    dense = 1 + np.arange(1000) * 3e-11  # neighbours within rounding, the whole far beyond it
    assert len(np.unique(steps(dense))) == 1000
    assert (within_folds(noisy, np.zeros(4, dtype=int), np.ones(4)) == 0).all()


def study_of(n=200, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "d": rng.integers(0, 2, n)})
    frame["y"] = frame.d + rng.normal(size=n)
    return Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"], propensity=0.5)


def offset_columns(study, folds, name, within=0.0, seed=0):
    rng = np.random.default_rng(seed)
    level = rng.normal(size=folds.n_folds)[folds.fold]
    held = {
        "cate": level + within * rng.normal(size=study.n),
        "outcome_mean": np.zeros(study.n),
        "propensity": np.full(study.n, 0.5),
    }
    return Given(held, name=name, held_out=True)


def test_levels_of_folds_are_no_ranking():
    study = study_of()
    folds = Folds.make(study, 5, 1)
    table = compare(study, [offset_columns(study, folds, "a"), offset_columns(study, folds, "b")], seed=1)
    options = {"ranking": "heldout"}
    asked = [
        *(row for row in table.agreement().rows if row.estimand in ("correlation", "top_fifth")),
        *table.gates(**options).rows,
        *table.clan(**options).rows,
        *table.rate(**options).rows,
        *table.toc(**options).rows,
        *table.calibration().rows,
        *table.calibration("regression").rows,
        *(row for row in table.race(**options).rows if row.estimand == "adds"),
    ]
    for row in asked:
        assert np.isnan([row.estimate, row.p_value, row.conf_low]).all()
        assert "no effect differs within folds" in row.note
    assert np.ptp(table.heldout_cate("a")[0]) == 0  # the picture is a line, and no staircase


def test_common_levels_of_folds_are_no_correlation():
    study = study_of()
    folds = Folds.make(study, 5, 1)

    def reject(rng):
        level = rng.normal(size=5)[folds.fold]
        one, two = (
            without_offsets(level + 0.1 * rng.normal(size=study.n), folds.fold, study.weight) for _ in "ab"
        )
        return correlation(one, two, Scores(np.zeros(study.n)), 0.95).p_value < ALPHA

    assert abs(shares(reject) - ALPHA) < BAND


def test_levels_of_folds_are_no_calibration():
    scores, _, fold, _ = drawn()
    level = np.array([0.2, 0.5, 0.9, 1.4])[fold]
    flat = Scores(
        scores.gamma,
        outcome=scores.outcome,
        treatment=scores.treatment,
        heldout=HeldOut(level, np.zeros(scores.n), np.full(scores.n, 0.5)),
    )
    assert len(calibration(flat)) == 2  # out-of-bag predictions have no folds
    with pytest.raises(NotIdentified, match="no effect differs within folds"):
        calibration(flat, fold=fold)


def test_a_rule_that_treats_all_or_nobody_differs_from_chance_by_nothing():
    scores, _, fold, _ = drawn()
    for rule in (np.full(scores.n, 9.0), np.full(scores.n, -9.0)):
        rows = {row.term: row for row in policy(scores, Ranking(rule, fold, "independent"))}
        assert str(rows["learned rule - random"].estimate) == "0.0"  # and not -0.0
        assert np.isnan(rows["learned rule - random"].p_value)
        assert np.isnan(rows["learned rule: share treated"].std_error)
    over = gain_curve(scores, np.full(scores.n, 1.0), 1.0, [5.0])[1]  # a budget that pays for all
    assert over.estimate == 0.0
    assert np.isnan(over.p_value)
