"""Closed-form twins of the exact kernel, its invariances, and the interval that noise alone would make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern

from hte_bridge.engines.deep.kernel import CONSTANT_VARIANCE, Rows, covariance, log_posterior, relevance
from hte_bridge.engines.deep.kernel_posterior import KernelPosterior, Units, component, restore
from hte_bridge.engines.deep.mixture import Laplace, effective, find_mode, importance
from hte_bridge.engines.deep.scales import Scales

N, P = 60, 3
ROUNDING = 1e-8  # closed forms agree to this; covariances here have condition numbers near 1e6


def tensor(values):
    return torch.as_tensor(np.asarray(values, dtype=np.float64))


def example(seed=0, clustered=False, effect=True, n=N, tied=True):
    rng = np.random.default_rng(seed)
    x, r = rng.normal(size=(n, P)), rng.choice([-0.5, 0.5], size=n)
    y = np.sin(x[:, 0]) + r * (1 + x[:, 1]) + 0.3 * rng.normal(size=n)
    cluster = torch.as_tensor(np.arange(n) % 10) if clustered else None
    noise = tensor(rng.uniform(0.5, 2.0, size=n))
    rows = Rows(tensor(x), tensor(y), noise, tensor(r) if effect else None, cluster)
    scales = Scales(P, effect=effect, clustered=clustered, tied=tied)
    theta = scales.start() + 0.2 * rng.normal(size=scales.size)
    return rows, scales, theta


def posterior(rows, scales, thetas, weights=(1.0,)):
    units = Units(np.zeros(P), np.ones(P), 0.0, 1.0)
    parts = tuple(component(w, theta, rows, scales) for w, theta in zip(weights, thetas, strict=True))
    return KernelPosterior(rows, scales, units, parts)


def test_marginal_likelihood_is_the_normal_density():
    rows, scales, theta = example(clustered=True)
    at = torch.as_tensor(theta)
    density = stats.multivariate_normal(cov=covariance(rows, at, scales)[0].numpy()).logpdf(rows.y.numpy())
    assert log_posterior(at, rows, scales)[0] - scales.prior(at)[0] == pytest.approx(density, abs=1e-6)


@pytest.mark.parametrize("options", [{}, {"clustered": True}, {"effect": False}, {"tied": False}])
def test_gradient_is_the_slope_of_the_value(options):
    rows, scales, theta = example(**options)
    step, slopes = 1e-5, log_posterior(torch.as_tensor(theta), rows, scales)[1].numpy()
    for j in range(scales.size):
        move = step * (np.arange(scales.size) == j)
        ends = [log_posterior(torch.as_tensor(theta + s * move), rows, scales)[0] for s in (1, -1)]
        assert slopes[j] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-4)


def test_surface_mu_equals_scikit_learns_gaussian_process():
    rows, scales, theta = example(effect=False)
    mu = scales.surfaces[0]
    matern = np.exp(2 * theta[mu.matern])
    root = np.sqrt(slope_variances(theta, mu))  # weighs the covariates of the linear parts
    kernel = (
        ConstantKernel(CONSTANT_VARIANCE, "fixed")
        + DotProduct(0.0, "fixed")
        + ConstantKernel(matern, "fixed") * Matern(root * np.exp(theta[mu.lengths]), "fixed", nu=1.5)
    )
    noise = np.exp(2 * theta[0]) * rows.noise.numpy()
    twin = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(
        rows.x.numpy() * root, rows.y.numpy()
    )
    new = np.random.default_rng(1).normal(size=(20, P))
    mean, sd = twin.predict(new * root, return_std=True)
    ours = posterior(rows, scales, [theta]).surface(new, 0)
    np.testing.assert_allclose(ours[0], mean, atol=1e-6)
    np.testing.assert_allclose(ours[1], sd, atol=1e-6)


def slope_variances(theta, surface):
    linear, tied, _ = np.exp(2 * theta[surface.deviations])
    return linear / P + tied * relevance(torch.as_tensor(theta), surface).numpy()


def test_without_matern_parts_it_is_ridge_regression():
    rows, scales, theta = example()
    for surface in scales.surfaces:
        theta[surface.matern] = -40.0
    x, r, y = rows.x.numpy(), rows.residual.numpy(), rows.y.numpy()
    design = np.column_stack([np.ones(N), x, r, r[:, None] * x])
    mu, tau = (slope_variances(theta, surface) for surface in scales.surfaces)
    prior = np.concatenate([[CONSTANT_VARIANCE], mu, [CONSTANT_VARIANCE], tau])
    precision = 1 / (np.exp(2 * theta[0]) * rows.noise.numpy())
    spread = np.linalg.inv((design * precision[:, None]).T @ design + np.diag(1 / prior))
    beta = spread @ (design.T @ (precision * y))
    new = np.random.default_rng(1).normal(size=(20, P))
    at = np.column_stack([np.ones(20), new])
    mean, sd = posterior(rows, scales, [theta]).moments(new)
    np.testing.assert_allclose(mean, at @ beta[P + 1 :], atol=ROUNDING)
    variance = np.einsum("ij,jk,ik->i", at, spread[P + 1 :, P + 1 :], at)
    np.testing.assert_allclose(sd, np.sqrt(variance), atol=ROUNDING)


def test_mixture_adds_the_spread_between_scales():
    rows, scales, theta = example()
    other = theta.copy()
    other[scales.surfaces[1].matern] += 1.5
    new = np.random.default_rng(1).normal(size=(8, P))
    each = [posterior(rows, scales, [t]).moments(new) for t in (theta, other)]
    mixed = posterior(rows, scales, [theta, other], (0.25, 0.75))
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


def test_slopes_are_differences_of_the_mean():
    rows, scales, theta = example()
    fit, x, step = posterior(rows, scales, [theta]), rows.x[:10], 1e-5
    for j in range(P):
        move = step * (np.arange(P) == j)
        rise = (fit.mean(x.numpy() + move, 1) - fit.mean(x.numpy() - move, 1)) / (2 * step)
        assert fit.slopes(x)[0, j] == pytest.approx(np.sqrt(np.mean(rise**2)), rel=1e-5)


def test_restored_posterior_predicts_the_same_bits():
    rows, scales, theta = example(clustered=True)
    fit = posterior(rows, scales, [theta, theta + 0.1], (0.4, 0.6))
    again = restore(*fit.state())
    new = np.random.default_rng(2).normal(size=(5, P))
    for ours, theirs in zip(fit.moments(new), again.moments(new), strict=True):
        assert (ours == theirs).all()


def test_left_out_part_carries_nothing():
    rows, scales, theta = example(tied=False)
    without = theta.copy()
    for surface in scales.surfaces:
        without[surface.tied] = -40.0
    values = [covariance(rows, torch.as_tensor(each), scales)[0].numpy() for each in (theta, without)]
    np.testing.assert_allclose(*values, atol=1e-5)  # variances of exp(-16)


def test_interval_grows_outside_the_support():
    rows, scales, _ = example(n=120)
    fit = posterior(rows, scales, [find_mode(rows, scales).theta])
    sds = [fit.moments(np.full((1, P), distance))[1][0] for distance in (0.0, 3.0, 6.0, 12.0)]
    assert sds == sorted(sds)
    assert sds[-1] > 2 * sds[0]


def test_order_of_rows_does_not_matter():
    rows, scales, _ = example(clustered=True)
    order = torch.as_tensor(np.random.default_rng(3).permutation(N))
    modes = [find_mode(each, scales).theta for each in (rows, rows.take(order))]
    new = np.random.default_rng(2).normal(size=(5, P))
    fits = [
        posterior(each, scales, [t]).moments(new)
        for each, t in zip((rows, rows.take(order)), modes, strict=True)
    ]
    np.testing.assert_allclose(fits[0], fits[1], atol=1e-4)  # two searches stop within their own tolerance


def test_names_of_clusters_do_not_matter():
    rows, scales, theta = example(clustered=True)
    renamed = Rows(rows.x, rows.y, rows.noise, rows.residual, 900 - 7 * rows.cluster)
    at = torch.as_tensor(theta)
    assert log_posterior(at, rows, scales)[0] == log_posterior(at, renamed, scales)[0]


def test_importance_weights_are_capped():
    weights = importance(np.array([3.0, *np.zeros(15)]), np.zeros(16))
    cap = 4 * (np.exp(3) + 15) / 16  # sqrt(16) times the mean
    assert weights[0] == pytest.approx(cap / (cap + 15))
    assert 1 <= effective(weights) <= 16


def test_laplace_draws_are_antithetic_and_repeat():
    rows, scales, _ = example()
    mode = find_mode(rows, scales)
    laplace = Laplace.at(mode.theta, rows, scales)
    draws, density = laplace.draw(6, seed=4)
    np.testing.assert_allclose((draws[:3] + draws[3:]) / 2, np.tile(mode.theta, (3, 1)), atol=1e-9)
    assert (draws == laplace.draw(6, seed=4)[0]).all()
    assert density.shape == (6,)
