"""Surfaces asked at points: with all rows as points the exact posterior, with fewer one that claims no more than it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hte_bridge.engines.deep.gp import inducing
from hte_bridge.engines.deep.gp.inducing import induced, restore
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, component
from hte_bridge.errors import DidNotConverge
from tests.helpers.gaussian_process import ARMS, CENTRED, FORMS, P, example, posterior
from tests.helpers.posterior import single_precision_agrees

NEAR = 2e-3  # of the largest sd: what a millionth of the points' own variance moves


def by_points(model, thetas, weights, points):
    exact = posterior(model, thetas, weights)
    parts = tuple(
        induced(w, theta, model, [points] * len(model.rows.loads))
        for w, theta in zip(weights, thetas, strict=True)
    )
    return exact, KernelPosterior(exact.units, parts)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_with_all_rows_as_points_it_is_the_exact_posterior(form, clustered):
    model, theta = example(form, clustered=clustered)
    exact, found = by_points(model, [theta, theta + 0.1], (0.25, 0.75), model.rows.x)
    new = np.random.default_rng(1).normal(size=(50, P))
    (mean, sd), (its_mean, its_sd) = exact.moments(new), found.moments(new)
    assert np.abs(its_mean - mean).max() < NEAR * sd.max()
    assert np.abs(its_sd - sd).max() < NEAR * sd.max()
    weights = np.full((1, 50), 1 / 50)
    for ours, theirs in zip(found.average(new, weights), exact.average(new, weights), strict=True):
        assert np.allclose(ours, theirs, atol=NEAR * sd.max())
    gain = [
        each.log_posterior - component(1.0, each.theta.numpy(), model).log_posterior
        for each in found.components
    ]
    assert np.ptp(gain) < 0.01


def test_fewer_points_lengthen_intervals_and_what_they_miss_is_an_error():
    model, theta = example(n=120)
    new = np.random.default_rng(1).normal(size=(50, P))
    exact, all_points = by_points(model, [theta], (1.0,), model.rows.x)
    _, few = by_points(model, [theta], (1.0,), model.rows.x[::4])
    lengths = [each.moments(new)[1].mean() for each in (exact, few)]
    assert lengths[0] < lengths[1] < 1.2 * lengths[0]
    miss = np.abs(few.moments(new)[0] - exact.moments(new)[0])
    assert np.mean(miss < few.moments(new)[1]) > 0.95
    _, four = by_points(model, [theta], (1.0,), model.rows.x[::30])
    assert all_points.components[0].log_posterior > four.components[0].log_posterior + 1.0


def test_many_new_rows_are_scored_alike_and_a_file_gives_the_same_bits(monkeypatch):
    model, theta = example(CENTRED.of_kinds("edged", "edged"))
    _, found = by_points(model, [theta, theta + 0.1], (0.25, 0.75), model.rows.x[::2])
    new = np.random.default_rng(1).normal(size=(200, P))
    mean, sd = found.moments(new)
    again = restore(*found.state())
    assert np.array_equal(again.moments(new), (mean, sd))
    assert np.array_equal(again.draws(new[:5], 3, 1), found.draws(new[:5], 3, 1))
    single_precision_agrees(found, new, monkeypatch)


def test_points_are_fewer_with_rows():
    sizes = [inducing.n_points(n) for n in (1_000, 3_000, 4_000, 12_000)]
    assert sizes == [1_000, 1_200, 953, 396]


def test_points_are_chosen_where_those_before_tell_least():
    """Of a surface that one covariate moves, few points tell all; of any, chosen ones tell more than as many of the first."""
    model, theta = example(n=120)
    surface, x, at = model.scales.surfaces[0], model.rows.x, torch.as_tensor(theta).clone()
    at[surface.metric] = 12.0
    at[surface.metric][0] = 0.0
    few = inducing.points_of(x, at, surface, 60, 1e-4, 1)
    assert len(few) < 60
    at[surface.metric] = 0.0

    def untold(points):
        made = inducing.whitened(points, x, at, surface)[1]
        return float((inducing.surface_variance(x, at, surface) - made.square().sum(1)).mean())

    chosen = inducing.points_of(x, at, surface, 40, 1e-9, 1)
    assert chosen.shape == (40, P)
    assert len(torch.unique(chosen, dim=0)) == 40
    assert untold(chosen) < 0.9 * untold(x[:40])
    assert inducing.points_of(x, at, surface, 120, 1e-4, 1) is x


def test_models_with_different_numbers_of_surfaces_are_mixed():
    parts = []
    for form in (CENTRED, ARMS):
        model, theta = example(form)
        parts.append(
            (component(0.5, theta, model), induced(0.5, theta, model, [model.rows.x] * len(model.rows.loads)))
        )
    units, new = posterior(model, [theta]).units, np.random.default_rng(1).normal(size=(20, P))
    exact, found = (KernelPosterior(units, own) for own in zip(*parts, strict=True))
    weights = np.full((1, 20), 1 / 20)
    for ours, theirs in zip(found.average(new, weights), exact.average(new, weights), strict=True):
        assert np.allclose(ours, theirs, atol=NEAR)
    assert np.allclose(found.moments(new), exact.moments(new), atol=NEAR)


def test_a_matrix_that_rounding_left_indefinite_is_shifted_by_as_little_as_helps():
    ones = torch.ones(5, 5, dtype=torch.float64)
    factor = inducing.definite(ones - 1e-13 * torch.eye(5, dtype=torch.float64), 5)
    assert torch.allclose(factor @ factor.T, ones, atol=1e-7)
    with pytest.raises(DidNotConverge, match="positive definite"):
        inducing.definite(-ones, 5)
