"""What grf, GenericML, policytree and maq say about one data set (tests/oracles), rebuilt without R."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hte_bridge.engine import HeldOut
from hte_bridge.estimands.arms import arm_score
from hte_bridge.estimands.budget import gain_curve
from hte_bridge.estimands.calibration import best_linear_predictor, calibration, gates_regression
from hte_bridge.estimands.policy import tree_actions
from hte_bridge.estimands.ranking import bootstrap_error, rate, toc
from hte_bridge.estimands.tree import shallow_tree
from hte_bridge.rlink import client
from hte_bridge.scores import Scores

ORACLES = Path(__file__).parent / "oracles"
ROWS = pd.read_csv(ORACLES / "rows.csv")
GRF = pd.read_csv(ORACLES / "grf.csv").set_index(["forest", "fun", "term"])
TOC = pd.read_csv(ORACLES / "grf_toc.csv")
GENERIC = pd.read_csv(ORACLES / "genericml.csv").set_index(["fun", "horvitz_thompson", "vcov", "term"])
EXACT = 1e-10  # both sides are double precision sums over 1,200 units
BOOTSTRAP = (
    0.08  # grf's error of the RATE is a bootstrap of 2,000: 1.6 % noise; half-samples of 60 clusters add more
)
BINARY = ("plain", "clustered", "clustered_equal", "weighted")
PROXY = ROWS["cate_proxy"].to_numpy()


def scores_of(forest: str) -> Scores:
    """Scores of one of the oracle's forests from its held-out columns; weights and clusters as grf has them."""
    dose = forest == "dose"
    held = HeldOut(
        *(ROWS[f"{forest}_{name}"].to_numpy() for name in ("cate", "outcome_mean", "propensity")),
        treatment_variance=np.ones(len(ROWS)) if dose else None,
    )
    sizes = ROWS.groupby("village")["y"].transform("size").to_numpy()
    weight = {"weighted": ROWS["weight"].to_numpy(), "clustered_equal": 1 / sizes}.get(
        forest, np.ones(len(ROWS))
    )
    return Scores(
        ROWS[f"{forest}_gamma"].to_numpy(),
        weight,
        None if forest == "plain" else ROWS["village"].to_numpy(),
        ROWS["y_dose" if dose else "y"].to_numpy(),
        ROWS["dose" if dose else "w"].to_numpy(dtype=float),
        held,
        cluster_name=None if forest == "plain" else "village",
    )


def assert_same(row, said):
    assert abs(row.estimate - said["estimate"]) < EXACT
    assert abs(row.std_error - said["std_error"]) < EXACT


@pytest.mark.parametrize("forest", [*BINARY, "dose"])
def test_calibration_is_that_of_grf(forest):
    mean, differential = calibration(scores_of(forest))
    assert_same(mean, GRF.loc[(forest, "test_calibration HC3", "mean.forest.prediction")])
    assert_same(differential, GRF.loc[(forest, "test_calibration HC3", "differential.forest.prediction")])


def test_calibration_p_values_are_one_sided():
    _, differential = calibration(scores_of("plain"))
    two_sided = differential.with_(test=None).p_value
    assert differential.statistic > 0
    assert abs(differential.p_value - two_sided / 2) < EXACT


@pytest.mark.parametrize("forest", BINARY)
@pytest.mark.parametrize("target", ["autoc", "qini"])
def test_rate_is_that_of_grf(forest, target):
    row = rate(scores_of(forest), PROXY, target=target)
    said = GRF.loc[(forest, "rank_average_treatment_effect cate_proxy", target.upper())]
    assert abs(row.estimate - said["estimate"]) < EXACT
    drawn = bootstrap_error(scores_of(forest), PROXY, target=target, draws=1000, seed=3)
    assert abs(drawn / said["std_error"] - 1) < BOOTSTRAP


@pytest.mark.parametrize("target", ["autoc", "qini"])
def test_the_influence_error_of_rate_is_that_of_the_bootstrap(target):
    row = rate(scores_of("plain"), PROXY, target=target)
    said = GRF.loc[("plain", "rank_average_treatment_effect cate_proxy", target.upper())]
    assert abs(row.std_error / said["std_error"] - 1) < BOOTSTRAP


@pytest.mark.parametrize("forest", BINARY)
def test_toc_is_that_of_grf(forest):
    rows = toc(scores_of(forest), PROXY)
    said = TOC[TOC["forest"] == forest]
    assert len(rows) == len(said) == 10
    gaps = np.array([row.estimate for row in rows]) - said["estimate"].to_numpy()
    assert np.abs(gaps).max() < EXACT


def test_toc_errors_are_near_those_of_grf():
    said = TOC[TOC["forest"] == "plain"]["std.err"].to_numpy()[:9]
    ours = np.array([row.std_error for row in toc(scores_of("plain"), PROXY)[:9]])
    assert np.abs(ours / said - 1).max() < 0.15  # the effect at the cut is a window mean in ours


def generic_scores(vcov: str) -> Scores:
    """Scores with the true propensity, as GenericML was given it."""
    n = len(ROWS)
    held = HeldOut(np.zeros(n), np.zeros(n), ROWS["propensity_true"].to_numpy())
    cluster = ROWS["village"].to_numpy() if vcov == "cluster" else None
    y, w = ROWS["y"].to_numpy(), ROWS["w"].to_numpy(dtype=float)
    return Scores(
        np.zeros(n), None, cluster, y, w, held, cluster_name="village" if vcov == "cluster" else None
    )


@pytest.mark.parametrize("vcov", ["iid", "HC1", "HC3", "cluster"])
@pytest.mark.parametrize("horvitz_thompson", [False, True])
def test_best_linear_predictor_is_that_of_genericml(vcov, horvitz_thompson):
    kind = "HC1" if vcov == "cluster" else vcov
    options = {
        "baseline": ROWS["baseline_proxy"].to_numpy(),
        "cate": PROXY,
        "horvitz_thompson": horvitz_thompson,
        "vcov": kind,
    }
    scores = generic_scores(vcov)
    for row, term in zip(best_linear_predictor(scores, **options), ["beta.1", "beta.2"], strict=True):
        assert_same(row, GENERIC.loc[("BLP", horvitz_thompson, vcov, term)])
    terms = [*(f"gamma.{g}" for g in range(1, 6)), "gamma.5-gamma.1"]
    for row, term in zip(gates_regression(scores, **options), terms, strict=True):
        assert_same(row, GENERIC.loc[("GATES 5", horvitz_thompson, vcov, term)])


POLICYTREE = pd.read_csv(ORACLES / "policytree.csv")
MAQ = pd.read_csv(ORACLES / "maq.csv")
COST = pd.read_csv(ORACLES / "maq_cost.csv")["cost"].to_numpy()
COVARIATES = ROWS[[f"x{j}" for j in range(1, 7)]].to_numpy()


def test_scores_of_each_arm_are_those_of_policytree():
    held = scores_of("clustered").heldout
    y, w = ROWS["y"].to_numpy(), ROWS["w"].to_numpy()
    for arm, name in ((0, "score_control"), (1, "score_treated")):
        gamma = arm_score(y, w == arm, held, arm)
        assert np.abs(gamma - POLICYTREE[name]).max() < EXACT


def test_the_exact_tree_acts_as_policytree_does():
    tree = shallow_tree(COVARIATES, scores_of("clustered").gamma, depth=2, cuts=1200)
    assert (tree.predict(COVARIATES) == POLICYTREE["action_depth2"]).all()


def test_a_coarse_grid_loses_little_of_the_exact_tree():
    gamma = scores_of("clustered").gamma
    exact = gamma[POLICYTREE["action_depth2"] == 1].sum()
    coarse = gamma[shallow_tree(COVARIATES, gamma, depth=2).predict(COVARIATES)].sum()
    assert 0.99 * exact < coarse <= exact + EXACT


@pytest.mark.r
def test_policytree_itself_acts_as_its_oracle():
    gamma = scores_of("clustered").gamma
    action, words = tree_actions(COVARIATES, gamma, COVARIATES, depth=2, tree="policytree")
    assert (action == POLICYTREE["action_depth2"]).all()
    assert words.startswith("if x2 <= 0.2")  # the cut may be any between two values: rewards tie


def test_gain_at_each_budget_is_that_of_maq():
    scores = Scores(ROWS["clustered_gamma"].to_numpy())  # maq was given no clusters
    rows = gain_curve(scores, PROXY, COST, MAQ["spend"])[: len(MAQ)]
    for row, said in zip(rows, MAQ.itertuples(), strict=True):
        assert abs(row.estimate - said.gain) < EXACT
        assert abs(row.std_error / said.std_error - 1) < BOOTSTRAP


@pytest.mark.r
def test_gain_of_several_arms_comes_from_maq():
    gamma = ROWS["clustered_gamma"].to_numpy()
    arrays = {"reward": PROXY, "cost": COST, "scores": gamma, "budgets": MAQ["spend"].to_numpy()}
    answer = client.call("budget_gain", arrays, {"replicates": 20, "seed": 1})
    assert np.abs(answer["gain"] - MAQ["gain"]).max() < EXACT
