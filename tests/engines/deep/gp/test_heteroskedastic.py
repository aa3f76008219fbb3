"""Errors that vary: found where they do, nowhere else, and intervals as short as the errors allow."""

from dataclasses import replace

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep import route_basis
from hte_bridge.engines.deep.gp import search
from hte_bridge.engines.deep.gp.heteroskedastic import error_variance, left_out_squares, screened
from hte_bridge.engines.deep.gp.outcome_models import outcome_models
from hte_bridge.engines.deep.gp.posterior import Model, component
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.simulate import dense, uneven_errors
from tests.helpers.posterior import covered, least_covered, posterior_alone

OPTIONS = hb.Deep(seed=1, draws=8, n_folds=2, epochs=5, hidden=(16,))


def study_of(draw):
    return hb.Study.from_frame(draw.frame(), outcome="y", treatment="t", covariates=draw.columns)


def begun(draw, binary=True):
    sample = Sample.of(study_of(draw), draw.propensity)
    return (
        sample,
        search.first_search(sample, OPTIONS, binary),
        outcome_models(OPTIONS.effect_rate, binary),
    )


def judged(draw, test):
    fit = posterior_alone(OPTIONS, study_of(draw), draw.propensity)
    found = fit.cate(test.frame())
    length = float((found["conf_high"] - found["conf_low"]).mean())
    return fit, found, length, float(np.mean((found["estimate"] - test.cate) ** 2))


@pytest.mark.parametrize("by", ["treatment", "covariate"])
def test_intervals_are_for_the_mean_effect_not_for_single_units(by, monkeypatch):
    draw, test = uneven_errors(300, seed=2, by=by), uneven_errors(500, seed=3, by=by)
    fit, found, length, error = judged(draw, test)
    monkeypatch.setattr(search, "error_variance", lambda *given: None)
    _, _, before, worse = judged(draw, test)
    assert covered(found, test.cate) > least_covered(fit, test.frame())
    assert length < 0.7 * before
    assert error < worse


def test_large_samples_weigh_rows_by_their_errors(monkeypatch, blocks_alone):
    draw, test = (uneven_errors(1_500, seed=seed, by="covariate") for seed in (0, 1))
    found = []
    for _ in range(2):
        fit = replace(OPTIONS, kernel_max_rows=0).fit(study_of(draw))
        found.append(float(np.mean((fit.cate(test.frame())["estimate"] - test.cate) ** 2)))
        monkeypatch.setattr(route_basis, "row_precision", lambda *given: (None, "constant", None))
    assert found[0] < 0.5 * found[1]


def test_units_that_were_fitted_one_by_one_are_not():
    """Treated units whose own effects have thirty times the errors' variance: one error variance followed each of them."""
    rng = np.random.default_rng(1)
    draw = dense(200, seed=1, p=3)
    frame = draw.frame()
    frame["y"] = frame["x1"] + frame["t"] * (1 + 3 * rng.normal(size=200)) + 0.3 * rng.normal(size=200)
    made = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=draw.columns)
    fit = posterior_alone(OPTIONS, made, draw.propensity)
    found = fit.cate(frame)
    assert (fit.info | fit.posterior_info)["error_variance"] != "constant"
    assert covered(found, 1.0) > least_covered(fit, frame)
    assert found["estimate"].std() < 1


def test_what_moves_the_variance_is_named():
    by_arm, by_x = (
        error_variance(*begun(uneven_errors(400, seed=2, by=by)), binary=True)
        for by in ("treatment", "covariate")
    )
    assert by_arm.text == "not constant: it moves with the treatment"
    assert 0.7 < by_arm.slopes[0] < 1.7  # log 3.25 = 1.18
    assert by_x.text.endswith("with the treatment and the covariates")
    assert int(np.argmax(np.abs(by_x.slopes))) == 3  # the treatment comes first, then x1, x2, x3


def test_variances_are_fitted_to_what_a_model_that_knows_of_them_leaves():
    """The first model of this draw follows single units; its variances made intervals six times as long as on other draws."""
    draw = uneven_errors(500, seed=25, by="covariate")
    sample = Sample.of(study_of(draw), draw.propensity)
    first = search.model_search([sample], OPTIONS, binary=True)
    truth = np.array([0, 0, 0, 1.4 * np.sign(sample.units.spread[2]), 0, 0, 0])
    assert np.abs(first.errors.slopes - truth).max() < 0.4
    assert first.small is first.plain  # none lies far out


def test_even_errors_are_left_alone():
    found = [error_variance(*begun(dense(200, seed=seed, p=4)), binary=True) for seed in range(6)]
    assert found == [None] * 6


def test_a_dose_may_move_the_variance_by_its_distance():
    rng = np.random.default_rng(1)
    x, dose = rng.normal(size=(400, 2)), rng.normal(size=400)
    frame = dense(400, seed=1, p=2).frame().assign(t=dose, x1=x[:, 0], x2=x[:, 1])
    frame["y"] = x[:, 0] + dose + np.exp(0.5 * dose) * rng.normal(size=400)
    study = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["x1", "x2"])
    sample = Sample.of(study, np.zeros(400))
    begin = search.first_search(sample, OPTIONS, binary=False)
    found = error_variance(sample, begin, outcome_models(OPTIONS.effect_rate, binary=False), binary=False)
    assert found is not None
    assert found.slopes[0] > 0.5


def test_left_out_residuals_are_those_of_fits_without_the_unit():
    sample, begin, _ = begun(dense(60, seed=1, p=2))
    form, mode = next(iter(begin.items()))
    theta = mode.theta
    rows = sample.rows(form)
    model = Model(form, rows, form.scales(2, clustered=False))
    factor, y, others = component(1.0, theta, model).factor, rows.y.numpy(), np.arange(1, 60)
    covariance = (factor @ factor.T).numpy()
    alone = y[0] - covariance[0, others] @ np.linalg.solve(covariance[np.ix_(others, others)], y[others])
    assert left_out_squares(model, theta)[0] == pytest.approx(alone**2, rel=1e-6)


def test_the_first_test_holds_its_size_with_heavy_tails():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3))
    p_values = [screened(x, rng.standard_t(5, size=300) ** 2) for _ in range(400)]
    assert np.mean(np.array(p_values) < 0.05) < 0.08
