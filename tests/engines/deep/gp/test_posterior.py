"""Closed-form twins of the exact kernel, its invariances, and the interval that noise alone would make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import softmax
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from hte_bridge.engines.deep.gp import covariance as covariance_room
from hte_bridge.engines.deep.gp import hmc
from hte_bridge.engines.deep.gp.covariance import COVARIANCE, Data, Space, covariance
from hte_bridge.engines.deep.gp.hmc import hamiltonian
from hte_bridge.engines.deep.gp.laplace import Laplace, find_mode, importance_weights
from hte_bridge.engines.deep.gp.likelihood import LogPosterior, Together
from hte_bridge.engines.deep.gp.model_average import effective_draws
from hte_bridge.engines.deep.gp.outcome_models import ALONE
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, Model, component, gradients, restore
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.errors import DidNotConverge
from tests.helpers.gaussian_process import ARMS, BASELINE, CENTRED, FORMS, N, P, example, posterior

ROUNDING = 1e-8  # closed forms agree to this; covariances here have condition numbers near 1e6


def test_marginal_likelihood_is_the_normal_density():
    model, theta = example(clustered=True)
    at, rows, surfaces = torch.as_tensor(theta), model.rows, model.scales.surfaces
    lower = covariance(rows, at, surfaces, model.scales.cluster, Space.of(rows, surfaces)).tril().numpy()
    density = stats.multivariate_normal(cov=lower + np.tril(lower, -1).T).logpdf(rows.y.numpy())
    value = LogPosterior(rows, model.scales)(theta)[0] - model.scales.prior(theta)[0]
    assert value == pytest.approx(density, abs=1e-6)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_strips_make_no_difference(form, monkeypatch):
    model, theta = example(form, clustered=True)
    whole = LogPosterior(model.rows, model.scales)(theta)
    monkeypatch.setattr(covariance_room, "STRIP_ROWS", 7)
    value, gradient = LogPosterior(model.rows, model.scales)(theta)
    assert value == pytest.approx(whole[0], abs=1e-9)
    np.testing.assert_allclose(gradient, whole[1], atol=1e-8)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_gradient_is_the_slope_of_the_value(form, clustered):
    model, theta = example(form, clustered=clustered)
    step, slopes = 1e-5, LogPosterior(model.rows, model.scales)(theta)[1]
    for j in range(model.scales.size):
        move = step * (np.arange(model.scales.size) == j)
        ends = [LogPosterior(model.rows, model.scales)(theta + s * move)[0] for s in (1, -1)]
        assert slopes[j] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-4)


def test_a_component_knows_the_log_posterior_of_its_scales():
    model, theta = example(ARMS, clustered=True)
    both = [theta, theta + 0.2]
    ours = [component(1.0, each, model).log_posterior for each in both]
    theirs = [LogPosterior(model.rows, model.scales)(each)[0] for each in both]
    assert ours[0] - ours[1] == pytest.approx(theirs[0] - theirs[1], abs=1e-8)


def test_more_rows_are_reached_by_newton_steps():
    model, _ = example(n=160)
    fewer = Model(model.form, model.rows.take(torch.arange(80)), model.scales)
    laplace = Laplace.at(find_mode(fewer.rows, fewer.scales), fewer.rows, fewer.scales)
    wide = laplace.on_more(model.rows, model.scales)
    best = find_mode(model.rows, model.scales, wide.mode.theta)
    before = LogPosterior(model.rows, model.scales)(laplace.mode.theta)[0]
    assert before < wide.mode.value
    assert (
        best.value - wide.mode.value < 0.5 * (best.value - before) + 0.2
    )  # most of the way, or all but there
    inner, outer = (np.linalg.det(each.root) for each in (wide, laplace))
    assert inner < outer  # twice the rows know the scales better


def test_prior_is_a_density_of_the_logarithms():
    scales = CENTRED.scales(1, clustered=False)
    place, grid = scales.surfaces[1].bent, np.linspace(-25, 12, 8_001)
    values = []
    for each in grid:
        theta = scales.start()
        theta[place] = each
        values.append(scales.prior(theta)[0])
    rest = np.mean(
        values - stats.betaprime(2.0, 2.0, scale=0.2).logpdf(np.exp(grid)) - grid
    )  # what the other scales add
    assert np.trapezoid(np.exp(np.array(values) - rest), grid) == pytest.approx(1.0, abs=1e-4)


def test_prior_of_an_effects_log_length_is_a_density_with_most_of_it_on_long_ones():
    scales = CENTRED.scales(1, clustered=False)
    surface, grid = scales.surfaces[1], np.linspace(-12, 30, 4_001)
    assert (scales.surfaces[0].sparse, surface.sparse) == (False, True)
    values = []
    for each in grid:
        theta = scales.start()
        theta[surface.metric] = each
        values.append(scales.prior(theta)[0])
    theta[surface.metric] = surface.metric_prior.centre
    height = 2.0 / (
        np.sqrt(2.0 * np.pi) * (surface.metric_prior.below + surface.metric_prior.above)
    )  # Wallis (2014), the density at its mode
    density = np.exp(np.array(values) - scales.prior(theta)[0]) * height
    long = grid > surface.metric_prior.centre
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-4)
    assert np.trapezoid(density[long], grid[long]) == pytest.approx(2.236 / (2.236 + 1.291), abs=0.01)


def test_one_surface_equals_scikit_learns_gaussian_process():
    model, theta = example(ALONE)
    rows, mu = model.rows, model.scales.surfaces[0]
    theta[mu.linear] = -40.0  # as its line has no weights
    kernel = ConstantKernel(COVARIANCE.constant_variance, "fixed") + ConstantKernel(
        np.exp(2 * theta[mu.bent]), "fixed"
    ) * Matern(np.exp(theta[mu.metric]), "fixed", nu=1.5)
    noise = np.exp(2 * theta[0]) * rows.noise.numpy()
    twin = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(rows.x.numpy(), rows.y.numpy())
    new = np.random.default_rng(1).normal(size=(20, P))
    mean, sd = twin.predict(new, return_std=True)
    ours = posterior(model, [theta]).moments(new)
    np.testing.assert_allclose(ours[0], mean, atol=1e-6)
    np.testing.assert_allclose(ours[1], sd, atol=1e-6)


def test_an_index_equals_scikit_learns_process_of_one_covariate():
    model, theta = example(ALONE.with_effect("index"))
    rows, mu = model.rows, model.scales.surfaces[0]
    theta[mu.linear] = -40.0
    weights, noise = theta[mu.metric], np.exp(2 * theta[0]) * rows.noise.numpy()
    kernel = ConstantKernel(COVARIANCE.constant_variance, "fixed") + ConstantKernel(
        np.exp(2 * theta[mu.bent]), "fixed"
    ) * Matern(1.0, "fixed", nu=1.5)
    twin = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
    twin.fit((rows.x.numpy() @ weights)[:, None], rows.y.numpy())
    new = np.random.default_rng(1).normal(size=(20, P))
    mean, sd = twin.predict((new @ weights)[:, None], return_std=True)
    ours = posterior(model, [theta]).moments(new)
    np.testing.assert_allclose(ours[0], mean, atol=1e-6)
    np.testing.assert_allclose(ours[1], sd, atol=1e-6)


@pytest.mark.parametrize("form", [CENTRED, BASELINE, ARMS], ids=lambda form: form.label)
def test_without_matern_parts_it_is_ridge_regression(form):
    model, theta = example(form)
    for surface in model.scales.surfaces:
        theta[surface.bent] = -40.0
    x, y = model.rows.x.numpy(), model.rows.y.numpy()
    ones = np.column_stack([np.ones(N), x])
    design = np.hstack([load[:, None] * ones for load in model.rows.loads.numpy()])
    slopes = [
        np.exp(2 * theta[surface.linear]) * softmax(-theta[surface.metric])
        for surface in model.scales.surfaces
    ]
    prior = np.concatenate([[COVARIANCE.constant_variance, *each] for each in slopes])
    precision = 1 / (np.exp(2 * theta[0]) * model.rows.noise.numpy())
    spread = np.linalg.inv((design * precision[:, None]).T @ design + np.diag(1 / prior))
    beta = spread @ (design.T @ (precision * y))
    new = np.random.default_rng(1).normal(size=(20, P))
    at = np.hstack([share * np.column_stack([np.ones(20), new]) for share in form.effect])
    mean, sd = posterior(model, [theta]).moments(new)
    np.testing.assert_allclose(mean, at @ beta, atol=ROUNDING)
    np.testing.assert_allclose(sd, np.sqrt(np.einsum("ij,jk,ik->i", at, spread, at)), atol=1e-7)


@pytest.mark.parametrize("form", [CENTRED, BASELINE, ARMS], ids=lambda form: form.label)
def test_outcome_mean_and_effect_make_the_fitted_outcome(form):
    """E[Y | x, T] = m + (T - e) tau, whatever the form: at e = T the outcome's mean is the fit itself."""
    model, theta = example(form)
    fit, new = posterior(model, [theta]), np.random.default_rng(1).normal(size=(20, P))
    e = np.full(20, 0.5)
    if form.name != "centred":  # the centred form's m does not know of e
        rise = fit.outcome_mean(new, e + 0.5) - fit.outcome_mean(new, e)
        np.testing.assert_allclose(rise, 0.5 * fit.mean(new), atol=ROUNDING)
    at = model.rows.x.numpy()
    fitted = fit.outcome_mean(at, np.full(N, 0.5))
    assert np.corrcoef(fitted, np.sin(at[:, 0]))[0, 1] > 0.9


def test_a_covariance_that_rounding_left_indefinite_is_mended_or_named():
    model, theta = example(n=80)
    theta[0] = -12.0  # next to no noise ...
    doubled = Model(
        model.form, model.rows.take(torch.arange(80).repeat(2)), model.scales
    )  # ... and every row twice
    assert np.isfinite(posterior(doubled, [theta]).moments(np.zeros((1, P)))[1]).all()
    broken = Data(model.rows.x, model.rows.y, -1e12 * model.rows.noise, model.rows.loads)
    with pytest.raises(DidNotConverge, match="must be positive definite"):
        component(1.0, theta + 12.0 * (np.arange(len(theta)) == 0), Model(model.form, broken, model.scales))


def test_mixture_adds_the_spread_between_scales():
    model, theta = example()
    other = theta.copy()
    other[model.scales.surfaces[1].bent] += 1.5
    new = np.random.default_rng(1).normal(size=(8, P))
    each = [posterior(model, [t]).moments(new) for t in (theta, other)]
    mixed = posterior(model, [theta, other], (0.25, 0.75))
    mean = 0.25 * each[0][0] + 0.75 * each[1][0]
    second = 0.25 * (each[0][1] ** 2 + each[0][0] ** 2) + 0.75 * (each[1][1] ** 2 + each[1][0] ** 2)
    np.testing.assert_allclose(mixed.moments(new)[0], mean, atol=ROUNDING)
    np.testing.assert_allclose(mixed.moments(new)[1], np.sqrt(second - mean**2), atol=ROUNDING)
    draws = mixed.draws(new, 20_000, seed=1)
    margin = 5 * mixed.moments(new)[1] / np.sqrt(20_000)  # five Monte-Carlo errors of a mean
    assert (np.abs(draws.mean(axis=0) - mean) < margin).all()
    np.testing.assert_allclose(draws.std(axis=0), mixed.moments(new)[1], rtol=0.05)
    average, spread = mixed.average(new, np.eye(8))
    np.testing.assert_allclose(average, mean, atol=ROUNDING)
    np.testing.assert_allclose(np.sqrt(np.diag(spread)), mixed.moments(new)[1], atol=1e-7)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_gradients_are_differences_of_the_mean(form):
    model, theta = example(form)
    fit, x, step = posterior(model, [theta]), model.rows.x[:10], 1e-5
    found = gradients(fit.components[0], x).numpy()
    for j in range(P):
        move = step * (np.arange(P) == j)
        rise = (fit.mean(x.numpy() + move) - fit.mean(x.numpy() - move)) / (2 * step)
        np.testing.assert_allclose(found[:, j], rise, atol=1e-5)


def test_restored_posterior_of_two_forms_predicts_the_same_bits():
    (one, theta), (other, arms) = example(clustered=True), example(ARMS.with_effect("index"), clustered=True)
    parts = (component(0.4, theta, one), component(0.5, theta + 0.1, one), component(0.1, arms, other))
    fit = KernelPosterior(Standardisation(np.zeros(P), np.ones(P), 0.0, 1.0), parts)
    again = restore(*fit.state())
    new = np.random.default_rng(2).normal(size=(5, P))
    for ours, theirs in zip(fit.moments(new), again.moments(new), strict=True):
        assert (ours == theirs).all()


@pytest.mark.parametrize("form", [CENTRED, ARMS], ids=lambda form: form.label)
def test_interval_grows_outside_the_support(form):
    model, _ = example(form, n=120)
    fit = posterior(model, [find_mode(model.rows, model.scales).theta])
    sds = [fit.moments(np.full((1, P), distance))[1][0] for distance in (0.0, 3.0, 6.0, 12.0)]
    assert sds == sorted(sds)
    assert sds[-1] > 2 * sds[0]


def test_order_of_rows_does_not_matter():
    model, _ = example(clustered=True)
    order = torch.as_tensor(np.random.default_rng(3).permutation(N))
    other = Model(model.form, model.rows.take(order), model.scales)
    new = np.random.default_rng(2).normal(size=(5, P))
    fits = [
        posterior(each, [find_mode(each.rows, each.scales).theta]).moments(new) for each in (model, other)
    ]
    np.testing.assert_allclose(fits[0], fits[1], atol=1e-4)  # two searches stop within their own tolerance


def test_names_of_clusters_do_not_matter():
    model, theta = example(clustered=True)
    rows = model.rows
    renamed = Data(rows.x, rows.y, rows.noise, rows.loads, 900 - 7 * rows.cluster)
    ours, theirs = (LogPosterior(each, model.scales)(theta) for each in (rows, renamed))
    assert ours[0] == theirs[0]
    assert (ours[1] == theirs[1]).all()


def test_arms_are_two_factors_with_the_same_sum():
    model, theta = example(ARMS)
    apart, whole = LogPosterior(model.rows, model.scales), LogPosterior(model.rows, model.scales)
    assert len(apart.parts) == 2
    rows, surfaces = model.rows, model.scales.surfaces
    whole.parts = [Together(rows, surfaces, None, Space.of(rows, surfaces))]
    ours, theirs = apart(theta), whole(theta)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-9)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-8)


def test_an_evaluation_leaves_nothing_for_the_next():
    model, theta = example(ARMS, clustered=True)
    density = LogPosterior(model.rows, model.scales)
    first = density(theta)
    density(theta + 0.5)
    again = density(theta)
    assert first[0] == again[0]
    assert (first[1] == again[1]).all()


@pytest.mark.parametrize(("rows", "least"), [(500, 0.5), (80, 0.2)], ids=["all rows", "few rows"])
def test_hamiltonian_draws_have_the_moments_of_a_long_run(monkeypatch, rows, least):
    """On a posterior of few scales: means within Monte-Carlo error of importance sampling with many draws.

    Trajectories on 80 of 120 rows alone, whose mode is another, end at that of all rows too.
    """
    monkeypatch.setattr(hmc, "HMC", replace(hmc.HMC, rows=rows))
    model, _ = example(ALONE, n=120)
    mode = find_mode(model.rows, model.scales)
    laplace = Laplace.at(mode, model.rows, model.scales)
    draws = hamiltonian(laplace, model.rows, model.scales, 400, seed=1)
    assert np.any(np.diff(draws, axis=0), axis=1).mean() > least  # of the trajectories are taken
    normal = np.random.default_rng(2).standard_t(5, size=(2_000, len(mode.theta)))
    heavy = stats.t(5).logpdf(normal).sum(axis=1)
    at = np.array([laplace.at_normal(z) for z in normal])
    density = LogPosterior(model.rows, model.scales)
    target = [density(each)[0] for each in at]
    weights = softmax(np.array(target) - heavy)
    noise = np.array(
        [draws[:, 0].mean(), weights @ at[:, 0]]
    )  # log sd of the noise, the best known of the scales
    spread = np.sqrt(weights @ (at[:, 0] - noise[1]) ** 2)
    fewest = min(
        len(draws) / 8, effective_draws(weights)
    )  # draws follow one another: an eighth of them count
    assert abs(noise[0] - noise[1]) < 4 * spread / np.sqrt(fewest)
    again = hamiltonian(laplace, model.rows, model.scales, 40, seed=1)
    assert (again == draws[:40]).all()


def test_importance_weights_are_capped():
    weights = importance_weights(np.array([3.0, *np.zeros(15)]), np.zeros(16))
    cap = 4 * (np.exp(3) + 15) / 16  # sqrt(16) times the mean
    assert weights[0] == pytest.approx(cap / (cap + 15))
    assert 1 <= effective_draws(weights) <= 16


def test_evidence_of_a_normal_posterior_is_exact():
    """With next to no data the evidence is that of the prior: one, whose log is zero, up to the shape of the prior."""
    model, _ = example(ALONE)
    mode = find_mode(model.rows, model.scales)
    laplace = Laplace.at(mode, model.rows, model.scales)
    normal = np.random.default_rng(0).normal(size=(2_000, len(mode.theta)))
    draws = np.array([laplace.at_normal(z) for z in normal])
    density = LogPosterior(model.rows, model.scales)
    target = [density(each)[0] for each in draws]
    proposal = stats.norm.logpdf(normal).sum(axis=1) - np.linalg.slogdet(laplace.root)[1]
    sampled = np.log(np.mean(np.exp(np.array(target) - proposal - laplace.log_evidence)))
    assert abs(sampled) < 1.0  # nats by which Laplace's formula and importance sampling may part here
