"""Outcomes far from all others: they do not decide how the effect bends, and count in full where the effect is a difference of means."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import hte_bridge as hb
from hte_bridge.engines.deep.gp.outliers import OUTLIERS, leave_one_out, multiples, noise_shift, usual_sd
from hte_bridge.engines.deep.gp.posterior import component
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.gp.search import model_search
from hte_bridge.simulate import long_tails
from tests.helpers.posterior import covered, least_covered, posterior_alone
from tests.helpers.studies import cross_section as study_of

OPTIONS = hb.Deep(seed=1, draws=8, n_folds=2, epochs=5, hidden=(16,))


def fitted(draw, test):
    fit = posterior_alone(OPTIONS, study_of(draw), draw.propensity)
    found = fit.cate(test.frame())
    miss = found["estimate"].to_numpy() - test.cate
    return fit, np.mean(miss**2), covered(found, test.cate)


def ordinary(draw, test):
    """Squared error of the effect by least squares with all interactions."""
    one = np.ones((draw.n, 1))
    x, t = np.hstack([one, draw.covariates]), draw.treatment[:, None]
    slopes = np.linalg.lstsq(np.hstack([x, t * x]), draw.outcome, rcond=None)[0][x.shape[1] :]
    return np.mean((np.hstack([np.ones((test.n, 1)), test.covariates]) @ slopes - test.cate) ** 2)


@pytest.mark.parametrize("seed", [4, 7])
def test_a_few_wild_outcomes_make_no_spikes(seed):
    draw, test = long_tails(300, seed=seed), long_tails(500, seed=99)
    fit, error, share = fitted(draw, test)
    assert fit.posterior_info["outlying"] >= 1
    assert error < ordinary(
        draw, test
    )  # 8.6 and 20 without the search's weights, where least squares has .54 and .64
    assert share > least_covered(fit, test.frame())
    assert "outlying units" in set(fit.diagnostics()["diagnostic"])


def test_normal_errors_and_rare_outcomes_have_no_outlying_units():
    draw = long_tails(300, seed=1)
    rng = np.random.default_rng(1)
    for y in (draw.covariates[:, 0] + rng.normal(size=300), (rng.random(300) < 0.03) * 1.0):
        study = hb.Study.from_frame(
            draw.frame().assign(y=y), outcome="y", treatment="t", covariates=draw.columns
        )
        first = model_search([Sample.of(study, draw.propensity)], OPTIONS, binary=True)
        assert first.small is first.plain


def test_an_outlying_unit_outside_the_subset_is_weighed_down_too():
    draw, options = long_tails(300, seed=11, errors="student"), replace(OPTIONS, scale_rows=100)
    y = draw.covariates[:, 0] + np.random.default_rng(1).normal(size=300)
    few = np.sort(np.random.default_rng(options.seed).permutation(300)[:100])
    wild = np.setdiff1d(np.arange(300), few)[0]
    y[wild] += 60.0
    frame = draw.frame().assign(y=y)
    study = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=draw.columns)
    first = model_search([Sample.of(study, draw.propensity)], options, binary=True)
    assert first.small is first.plain
    assert np.flatnonzero(first.everyone().bare.noise.numpy() > 1).tolist() == [wild]


def test_units_count_in_full_in_the_posterior():
    draw = long_tails(200, seed=1)
    frame = draw.frame()
    moved = frame.assign(y=frame["y"] + 2.0 * (frame["t"] - draw.propensity))
    before, after = (
        OPTIONS.fit(hb.Study.from_frame(each, outcome="y", treatment="t", covariates=draw.columns))
        for each in (frame, moved)
    )
    gap = after.cate(frame)["estimate"] - before.cate(frame)["estimate"]
    assert abs(gap.mean() - 2.0) < 0.2
    rows = [each.model.rows for each in before.branch.posterior.components]
    assert all(torch.equal(each.noise, torch.ones_like(each.noise)) for each in rows)


def test_noise_at_full_weight_is_that_of_all_errors():
    draw = long_tails(400, seed=2)
    first = model_search([Sample.of(study_of(draw), draw.propensity)], OPTIONS, binary=True)
    form, mode = next(iter(first.begin.items()))
    theta = mode.theta
    shifted = theta + noise_shift(first.small.model(form), theta, first.plain)
    error = draw.outcome - draw.outcome_mean - (draw.treatment - draw.propensity) * draw.cate
    noise = np.exp(shifted[0]) * first.sample.units.outcome_sd
    assert noise == pytest.approx(error.std(), rel=0.1)
    assert np.exp(theta[0]) * first.sample.units.outcome_sd < 0.8 * error.std()


def test_variance_of_errors_is_estimated_without_bias():
    """Of outcomes drawn from the model itself: the mean over draws is each unit's own variance."""
    draw = long_tails(60, seed=3)
    sample = Sample.of(study_of(draw), draw.propensity)
    form, mode = next(iter(model_search([sample], OPTIONS, binary=True).begin.items()))
    theta = mode.theta
    uneven = torch.linspace(0.5, 2.0, 60, dtype=torch.float64)
    model = replace(sample, bare=replace(sample.bare, noise=uneven)).model(form)
    factor, found = component(1.0, theta, model).factor, []
    generator = torch.Generator().manual_seed(1)
    for _ in range(400):
        y = factor @ torch.randn(60, generator=generator, dtype=torch.float64)
        found.append(leave_one_out(component(1.0, theta, replace(model, rows=replace(model.rows, y=y))))[1])
    wanted = np.exp(2 * theta[0]) * uneven.numpy()
    assert np.abs(np.mean(found, axis=0) / wanted - 1).mean() < 4 * (2 / 400) ** 0.5


def test_multiples_bring_far_residuals_to_the_edge():
    residual = np.append(np.random.default_rng(1).normal(size=500), [30.0, -50.0, 4.5])
    found = multiples(residual)
    edge = np.abs(residual[-3:]) / np.sqrt(found[-3:])
    assert edge == pytest.approx(OUTLIERS.far * usual_sd(residual))
    assert (found[:500] == 1).all()
    assert multiples(residual[:500]) is None
