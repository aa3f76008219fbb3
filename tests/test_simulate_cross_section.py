"""Designs draw what their papers say: treatment shares, effects, seeds; and the bench judges what it should."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

import hte_bridge.simulate as sim
from bench.metrics import deciles, judge, summarise

DESIGNS = [
    partial(sim.nie_wager, setup="A"),
    partial(sim.nie_wager, setup="B"),
    partial(sim.nie_wager, setup="C"),
    partial(sim.nie_wager, setup="D"),
    sim.hahn_murray_carvalho,
    partial(sim.hahn_murray_carvalho, nonlinear=False, heterogeneous=False),
    sim.dense,
    sim.wager_athey_28,
    sim.grf_table1,
    partial(sim.grf_table1, confounded=False, heterogeneous=False),
    sim.grf_table3,
    partial(sim.farrell_liang_misra, d=20),
    sim.doubleml_heterogeneous,
    sim.athey_imbens,
    partial(sim.athey_imbens, design=3),
    sim.clustered,
    sim.uneven_errors,
    partial(sim.uneven_errors, by="covariate"),
    sim.long_tails,
    sim.survey,
    sim.regions,
    sim.incomes,
    sim.limited,
    partial(sim.limited, outcome="common"),
    partial(sim.limited, outcome="count"),
    partial(sim.limited, outcome="amount"),
    sim.steps,
    sim.one_step,
    *(partial(sim.trees, survey=each) for each in ("401ksubs", "fertil2", "cps91")),
]
N = 20_000
ERRORS = 5.0  # standard errors allowed between a sample mean and what it estimates


@pytest.mark.parametrize("design", DESIGNS)
def test_means_given_x_are_what_they_say(design):
    draw = design(N, seed=1)
    for seen, truth in ((draw.treatment, draw.propensity), (draw.outcome, draw.outcome_mean)):
        left = seen - truth
        error = left.std() / np.sqrt(N if draw.cluster is None else 40)
        assert abs(left.mean()) < ERRORS * error
        slope = np.mean(left * draw.covariates[:, 0])
        assert abs(slope) < ERRORS * error * np.sqrt(np.mean(draw.covariates[:, 0] ** 2))


def test_effect_of_a_dose_is_what_a_unit_of_it_adds():
    draw = sim.dose(N, seed=2)
    off, ones, x = draw.treatment - draw.propensity, np.ones(N), draw.covariates[:, 0]
    error = draw.outcome - draw.outcome_mean - off * draw.cate
    for product in (error * ones, error * off, error * x, off * ones, off * x):
        assert abs(product.mean()) < ERRORS * product.std() / np.sqrt(N)


@pytest.mark.parametrize("design", DESIGNS)
def test_effect_is_the_difference_that_treatment_makes(design):
    draw = design(N, seed=2)
    residual = (draw.treatment - draw.propensity) * (draw.outcome - draw.outcome_mean)
    weight = draw.propensity * (1 - draw.propensity)
    left = residual - weight * draw.cate
    error = left.std() / np.sqrt(N)
    assert abs(left.mean()) < ERRORS * error


@pytest.mark.parametrize("design", DESIGNS)
def test_same_seed_same_draw_and_another_is_another(design):
    first, again, other = (design(30, seed=s) for s in (3, 3, 4))
    pd.testing.assert_frame_equal(first.frame(), again.frame())
    assert not np.array_equal(first.outcome, other.outcome)


def test_confounded_hahn_selects_on_the_baseline():
    draw = sim.hahn_murray_carvalho(N, seed=1, heterogeneous=False)
    gap = draw.outcome[draw.treatment == 1].mean() - draw.outcome[draw.treatment == 0].mean()
    assert gap > 3 + 4  # the effect is 3: selection adds more than the effect itself


def test_coefficients_of_farrell_stay_from_draw_to_draw():
    first, second = (sim.farrell_liang_misra(200, seed=s, d=20) for s in (1, 2))
    design = lambda x: np.column_stack([np.ones(len(x)), x])
    assert first.name == second.name
    assert first.cate.mean() == pytest.approx(second.cate.mean(), abs=0.1)
    assert design(first.covariates).shape == (200, 21)


def test_clustered_errors_share_their_part():
    draw = sim.clustered(4_000, seed=1, intra=0.2)
    left = draw.outcome - draw.outcome_mean - (draw.treatment - draw.propensity) * draw.cate
    means = np.bincount(draw.cluster, weights=left) / 100
    assert means.var(ddof=1) == pytest.approx(0.2 + 0.8 / 100, abs=0.2)  # three errors of a variance from 40


def test_villages_are_treated_whole_and_by_half():
    draw = sim.villages(400, seed=1)
    shares = np.bincount(draw.cluster, weights=draw.treatment) / 10
    assert set(shares) == {0.0, 1.0}
    assert shares.mean() == 0.5
    left = draw.outcome - draw.outcome_mean - (draw.treatment - 0.5) * draw.cate
    assert np.bincount(draw.cluster, weights=left / 10).var(ddof=1) == pytest.approx(0.28, abs=0.2)


def test_deciles_are_ten_and_one_where_the_effect_is_constant():
    assert np.bincount(deciles(np.arange(100.0))).tolist() == [10] * 10
    assert deciles(np.ones(5)).tolist() == [0] * 5


def test_judge_scores_an_honest_interval_and_catches_a_short_one():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=5_000)
    estimate = truth + 0.5 * rng.normal(size=5_000)
    honest, short = (judge(estimate, np.full(5_000, sd), truth) for sd in (0.5, 0.25))
    assert honest["coverage"] == pytest.approx(0.95, abs=0.015)  # five errors of a share from 5,000
    assert short["coverage"] < 0.75
    rows = pd.DataFrame([short] * 3)
    found = summarise(rows)
    assert found["adjusted_length"] == pytest.approx(
        honest["length"], rel=0.06
    )  # multiples are five per cent apart
    assert found["mse"] == pytest.approx(0.25, rel=0.1)


def test_uneven_errors_vary_by_treatment_or_by_a_covariate():
    by_arm, by_x = (sim.uneven_errors(N, seed=1, by=by) for by in ("treatment", "covariate"))
    left = by_arm.outcome - (by_arm.outcome_mean + (by_arm.treatment - by_arm.propensity) * by_arm.cate)
    treated = by_arm.treatment == 1
    assert abs(left[treated].var() - 3.25) < 0.2
    assert abs(left[~treated].var() - 1) < 0.1
    left = by_x.outcome - (by_x.outcome_mean + (by_x.treatment - by_x.propensity) * by_x.cate)
    assert abs(left.var() - 1) < 0.2
    assert left[by_x.covariates[:, 2] > 1].var() > 4 * left[by_x.covariates[:, 2] < 0].var()


@pytest.mark.parametrize("survey", ["401ksubs", "fertil2", "cps91"])
def test_trees_on_a_survey_have_edges_and_are_the_same_from_draw_to_draw(survey):
    one, other = (sim.trees(4_000, seed=seed, survey=survey) for seed in (1, 2))
    assert abs(one.cate.std() - 1.0) < 0.1
    assert abs(one.cate.mean() - 0.5) < 0.1
    rows = {tuple(x): tau for x, tau in zip(one.covariates.tolist(), one.cate, strict=True)}
    again = [
        (tau, rows[key])
        for x, tau in zip(other.covariates.tolist(), other.cate, strict=True)
        if (key := tuple(x)) in rows
    ]
    assert len(again) > 500
    assert all(ours == theirs for ours, theirs in again)
    assert len(np.unique(one.cate)) < len(rows)  # many units share a leaf of each tree
