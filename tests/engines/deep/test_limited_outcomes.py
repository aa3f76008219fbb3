"""Events, counts and amounts: effects thought to be as large as the errors are, and intervals that hold where effects are large."""

from dataclasses import replace

import numpy as np
import pytest

import hte_bridge as hb
from bench.metrics import judge
from hte_bridge.engines.deep.gp import posterior as gp_posterior
from hte_bridge.engines.deep.gp import sample as sampling
from hte_bridge.engines.deep.gp.outcome_models import outcome_models
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, component, cross, prior, restore
from hte_bridge.engines.deep.gp.standardise import Standardisation, VarianceFunction
from hte_bridge.simulate import dense, limited
from tests.helpers.gaussian_process import CENTRED, P, example, tensor
from tests.helpers.posterior import covered, least_covered, posterior_alone

OPTIONS = hb.Deep(seed=1, draws=8, n_folds=2, epochs=5, hidden=(16,))
LINE = np.append(0.1, np.linspace(-0.8, 0.8, P))
UNITS = Standardisation(np.zeros(P), np.ones(P), 0.0, 1.0, VarianceFunction(LINE, False, 1.3))
NEW = np.random.default_rng(3).normal(size=(7, P))


def study_of(draw, y=None):
    frame = draw.frame()
    frame["y"] = draw.outcome if y is None else y
    return hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=draw.columns)


def relative():
    """A posterior of a relative effect, and the plain model of it: the effect's loads times the errors' sds."""
    model, theta = example(CENTRED)
    loads = model.rows.loads.clone()
    loads[1] *= UNITS.error_sd(model.rows.x)
    scaled = replace(model, rows=replace(model.rows, loads=loads))
    own = replace(scaled, form=replace(CENTRED, relative=True))
    return KernelPosterior(UNITS, (component(1.0, theta, own),)), component(1.0, theta, scaled)


def test_a_relative_effect_is_a_plain_one_times_the_errors_sd():
    fit, plain = relative()
    x = tensor(NEW)
    sd = 1.3 * np.exp((LINE[0] + np.clip(NEW, -3, 3) @ LINE[1:]) / 2)
    joint = cross(plain.model, x, plain.theta)
    mean = sd * (plain.solved @ joint).numpy()
    inside = (
        prior(plain.model, x, x, plain.theta) - joint.T @ np.linalg.inv(plain.factor @ plain.factor.T) @ joint
    )
    spread = np.outer(sd, sd) * inside.numpy()
    found, errors = fit.moments(NEW)
    np.testing.assert_allclose(found, mean, atol=1e-9)
    np.testing.assert_allclose(fit.mean(NEW), mean, atol=1e-9)
    np.testing.assert_allclose(errors**2, np.diag(spread), atol=1e-7)
    weights = np.random.default_rng(4).uniform(size=(2, len(NEW)))
    averages, between = fit.average(NEW, weights)
    np.testing.assert_allclose(averages, weights @ mean, atol=1e-8)
    np.testing.assert_allclose(between, weights @ spread @ weights.T, atol=1e-5)
    drawn = fit.draws(NEW, 20_000, seed=1)
    np.testing.assert_allclose(drawn.std(axis=0), errors, rtol=0.05)


def test_many_rows_and_a_stored_fit_say_the_same(monkeypatch):
    fit, _ = relative()
    again = restore(*fit.state())
    for ours, theirs in zip(fit.moments(NEW), again.moments(NEW), strict=True):
        assert (ours == theirs).all()
    slow = fit.moments(NEW)
    monkeypatch.setattr(gp_posterior, "PREDICTION", gp_posterior.PredictionRule(single_precision_rows=1))
    quick = fit.moments(NEW)
    np.testing.assert_allclose(quick[0], slow[0], atol=1e-3)
    np.testing.assert_allclose(quick[1], slow[1], rtol=0.05)


def test_counts_have_intervals_that_hold_where_effects_are_large(monkeypatch):
    found = []
    for has_level in (sampling.has_level, lambda outcome: False):
        monkeypatch.setattr(sampling, "has_level", has_level)
        judged = []
        for seed in (3,):
            draw, test = (limited(n, seed=k, outcome="count") for n, k in ((500, seed), (500, 100)))
            surface = OPTIONS.fit(study_of(draw)).cate(test.frame())
            judged.append(judge(surface["estimate"].to_numpy(), surface["std_error"].to_numpy(), test.cate))
        found.append(
            [np.mean([each["mse"] for each in judged]), np.mean([min(each["by_decile"]) for each in judged])]
        )
    (error, decile), (plain_error, plain_decile) = found
    assert error < 0.8 * plain_error
    assert decile > max(0.7, plain_decile)


def test_which_of_two_values_counts_as_the_event_does_not_matter():
    draw = limited(150, seed=2)
    one, other = (
        posterior_alone(OPTIONS, study_of(draw, y), draw.propensity).cate(draw.frame())
        for y in (draw.outcome, -draw.outcome)
    )
    np.testing.assert_allclose(one["estimate"], -other["estimate"], atol=1e-4)
    np.testing.assert_allclose(one["std_error"], other["std_error"], rtol=1e-2)


def test_outcomes_that_may_be_negative_keep_their_forms():
    fit = posterior_alone(OPTIONS, study_of(dense(100, seed=1, p=4)))
    assert not any("relative" in form for form in fit.posterior_info["forms"])
    assert [each.label for each in outcome_models(8.0, binary=True)] == ["centred", "baseline", "arms"]


@pytest.mark.parametrize("outcome", ["rare", "count", "amount"])
def test_the_fit_says_which_effects_are_relative(outcome):
    draw = limited(400, seed=1, outcome=outcome)
    fit = posterior_alone(OPTIONS, study_of(draw), draw.propensity)
    assert any("relative" in form for form in fit.posterior_info["forms"])
    assert "covariates" in (fit.info | fit.posterior_info)["error_variance"]
    assert fit.diagnostics()["reading"].str.contains("as large as the errors").any()


@pytest.mark.usefixtures("blocks_alone")
def test_of_events_in_large_samples_nothing_is_called_unexplained():
    """The variance of an event follows from its mean: what it varies with beyond that is no effect."""
    draw, test = limited(2_000, seed=1, outcome="common"), limited(1_000, seed=2, outcome="common")
    fit = replace(OPTIONS, kernel_max_rows=0, draws=32).fit(study_of(draw))
    surface = fit.cate(test.frame())
    assert fit.info["nugget"] == 0.0
    assert float((surface["conf_high"] - surface["conf_low"]).mean()) < 0.5  # a nugget made it 1.8
    assert covered(surface, test.cate) > least_covered(fit, test.frame())


@pytest.mark.usefixtures("blocks_alone")
def test_large_samples_have_relative_effects_too(tmp_path):
    draw, new = limited(2_000, seed=1), limited(40, seed=2).frame()
    fit = replace(OPTIONS, kernel_max_rows=0).fit(study_of(draw))
    level, surface = fit.branch.posterior.level, fit.cate(new)
    assert level is not None
    assert "as large as they are" in (fit.info | fit.posterior_info)["error_variance"]
    plain = replace(fit.branch.posterior, level=None)
    x = fit.encode(new)
    sd = level.error_sd(level.standardise(x)).numpy()
    np.testing.assert_allclose(surface["estimate"], plain.moments(x)[0] * sd)
    np.testing.assert_allclose(surface["std_error"], plain.moments(x)[1] * sd)
    weights = np.full((1, 40), 1 / 40)
    np.testing.assert_allclose(fit.branch.posterior.average(x, weights)[0], surface["estimate"].mean())
    drawn = fit.branch.posterior.draws(x, 20_000, seed=1)
    np.testing.assert_allclose(drawn.std(axis=0), surface["std_error"], rtol=0.05)
    np.testing.assert_allclose(
        drawn.mean(axis=1).std(), fit.branch.posterior.average(x, weights)[1][0, 0] ** 0.5, rtol=0.05
    )
    again = type(fit).load(fit.save(tmp_path / "fit.npz")).cate(new)
    assert (again[["estimate", "std_error"]] == surface[["estimate", "std_error"]]).all(axis=None)
