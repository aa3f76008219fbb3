"""At every size where the engine goes another way, both ways say the same of one study, within the errors that they claim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep import route_basis
from hte_bridge.engines.deep.gp import leave_part_out, model_average, regression
from hte_bridge.simulate import dense, nie_wager
from tests.helpers.posterior import posterior_alone
from tests.helpers.studies import cross_section

N = 90
QUICK = hb.Deep(seed=1, draws=8, n_folds=2, epochs=5, hidden=(8,))


@pytest.fixture(scope="module")
def study():
    return cross_section(dense(N, seed=3, p=2))


@pytest.fixture(scope="module")
def usual(study):
    return posterior_alone(QUICK, study).cate(study.frame)


def apart(one, other):
    """Mean distance of two surfaces, in mean standard errors."""
    gap = np.abs(one["estimate"] - other["estimate"]).mean()
    return gap / (one["std_error"].mean() + other["std_error"].mean()) * 2


def ratio(one, other):
    return one["std_error"].mean() / other["std_error"].mean()


def test_modes_found_on_all_rows_but_few_are_those_of_all(study, usual):
    fewer = posterior_alone(replace(QUICK, scale_rows=N - 10), study).cate(study.frame)
    assert apart(usual, fewer) < 0.5
    assert 0.7 < ratio(usual, fewer) < 1.4


def test_draws_of_a_chain_and_of_the_normal_approximation_agree(study, usual, monkeypatch):
    monkeypatch.setattr(model_average, "AVERAGE", replace(model_average.AVERAGE, chain_rows=0))
    approximated = posterior_alone(QUICK, study).cate(study.frame)
    assert apart(usual, approximated) < 0.5
    assert 0.7 < ratio(usual, approximated) < 1.4


def test_fewer_draws_say_the_same(study, usual, monkeypatch):
    rule = replace(model_average.AVERAGE, full_draws_rows=N // 2, fewest_draws=2, fewest_draws_of_many=2)
    monkeypatch.setattr(model_average, "AVERAGE", rule)
    fewer = posterior_alone(QUICK, study).cate(study.frame)
    assert apart(usual, fewer) < 0.5
    assert 0.7 < ratio(usual, fewer) < 1.4


def test_held_out_means_with_and_without_hyperparameters_of_their_own_agree(monkeypatch):
    made = cross_section(dense(60, seed=4, p=2), propensity=0.5)
    before = QUICK.fit(made).heldout
    monkeypatch.setattr(leave_part_out, "PARTS", replace(leave_part_out.PARTS, sought_again_rows=0))
    after = QUICK.fit(made).heldout
    assert np.array_equal(before.cate, after.cate)  # only the shares of the stacked mean know of it
    assert np.abs(before.outcome_mean - after.outcome_mean).mean() < 0.2 * made.outcome.std()


def test_a_process_and_curves_give_like_propensities(monkeypatch):
    """Where one covariate moves it, which both can follow."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 2))
    truth = 1 / (1 + np.exp(-x[:, 0]))
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(
        t=(rng.random(600) < truth) * 1, y=rng.normal(size=600)
    )
    made = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b"])
    found = []
    for most in (regression.REGRESSION.most_rows, 0):
        monkeypatch.setattr(regression, "REGRESSION", replace(regression.REGRESSION, most_rows=most))
        (learner,) = regression.smooth_learners(made).values()
        found.append(learner(made.filled, made.treatment, made.weight, 1, {})(made.filled))
    assert np.abs(found[0] - found[1]).mean() < 0.1
    for each in found:
        assert np.mean((each - truth) ** 2) < 0.2 * truth.var()


def test_held_out_effects_with_and_without_a_propensity_that_saw_the_fold_agree(monkeypatch):
    made = cross_section(nie_wager(400, seed=1, setup="A", d=5))
    large = replace(QUICK, kernel_max_rows=0)
    before = large.fit(made)
    monkeypatch.setattr(route_basis, "CROSS_SECTION", replace(route_basis.CROSS_SECTION, twice_rows=0))
    after = large.fit(made)
    gap = np.abs(before.heldout.cate - after.heldout.cate).mean()
    assert gap < before.cate(made.frame)["std_error"].mean()
