"""Surfaces that jump: the Laplace kernel by features, and the mixture of two accounts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hte_bridge.engines.deep.basis import edges
from hte_bridge.engines.deep.basis.data import SlopeGroups
from hte_bridge.engines.deep.basis.edges import EDGES, landmarks, stretches
from hte_bridge.engines.deep.basis.features import Basis, Block, condensed, frequencies, ranks
from hte_bridge.engines.deep.basis.posterior import EffectPosterior


def surface(seed, blocks, points, slopes=None):
    rng = np.random.default_rng(seed)
    basis = Basis.fit(blocks, points, np.zeros(3), np.ones(3))
    extra = 0 if slopes is None else sum(len(key) for key in slopes.keys)
    size = basis.size + extra
    groups = SlopeGroups((), ()) if slopes is None else slopes
    variance = np.full(len(groups.keys), 0.3)
    return EffectPosterior(
        basis, [], groups, rng.normal(size=size), rng.normal(size=(size, 4)), variance, 0.1 * seed
    )


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(1).normal(size=(300, 3))


def test_features_of_a_surface_with_edges_are_those_of_the_laplace_kernel(points, monkeypatch):
    monkeypatch.setattr(edges, "EDGES", replace(EDGES, points_per_feature=1, landmarks=1))
    made = landmarks(points, np.array([1.0, 3.0, 9.0]), seed=1)
    found = Block("edges", "edged", (0, 1, 2), made).raw(points.astype(np.float32)).astype(np.float64)
    place = ranks(points, made["quantiles"]) / made["lengths"]
    kernel = np.exp(-np.abs(place[:, None] - place[None]).sum(axis=2))
    assert np.abs(found @ found.T - kernel).max() < 1e-3  # single precision, and directions of 1e-8 left out


def test_only_the_order_of_a_covariate_matters_to_edges(points):
    level = np.linspace(0, 1, 65)
    plain = ranks(points, np.quantile(points, level, axis=0, method="inverted_cdf"))
    bent = np.exp(points)
    other = ranks(bent, np.quantile(bent, level, axis=0, method="inverted_cdf"))
    assert np.abs(plain - other).max() < 12**0.5 / 64  # between two quantiles a straight line bends
    assert abs(plain.std() - 1) < 0.05


def test_values_that_repeat_have_one_rank():
    column = np.repeat([0.0, 1.0, 5.0], [10, 80, 10])[:, None]
    found = ranks(column, np.quantile(column, np.linspace(0, 1, 65), axis=0))
    assert len(np.unique(found.round(12))) == 3


def test_lengths_go_with_the_square_of_importance_and_end_somewhere():
    assert stretches(np.array([2.0, 1.0, 1e-9])).tolist() == [1.0, 4.0, EDGES.longest]
    assert stretches(np.zeros(2)).tolist() == [EDGES.longest] * 2


@pytest.mark.parametrize("with_slopes", [False, True])
def test_a_mixture_has_the_mean_and_the_variance_of_a_mixture(points, with_slopes):
    slopes = SlopeGroups((np.array([0]),), (points[:5, :1],)) if with_slopes else None
    first = surface(
        1,
        [Block("linear", "linear", (0, 1, 2)), Block("ramp", "ramp", (1,), {"knots": np.arange(-2.0, 3)})],
        points,
        slopes,
    )
    second = surface(2, [Block("constant", "constant", ()), Block("linear", "linear", (0, 2))], points)
    share = 0.3
    mixed = first.mixed(second, share)
    (a, sd_a), (b, sd_b), (mean, sd) = (each.moments(points) for each in (first, second, mixed))
    assert np.allclose(mean, (1 - share) * a + share * b, atol=1e-10)
    within = (1 - share) * sd_a**2 + share * sd_b**2
    between = share * (1 - share) * (a - b) ** 2
    assert np.allclose(sd**2, within + between, rtol=1e-4)  # the root is in single precision
    weights = np.full((1, 300), 1 / 300)
    average, _ = mixed.average(points, weights)
    assert np.allclose(average, mean.mean())
    draws = mixed.draws(points[:4], 20_000, 1)
    assert np.abs(draws.std(axis=0) / sd[:4] - 1).max() < 0.05
    again = EffectPosterior.restore(*mixed.state())
    assert np.array_equal(again.moments(points)[0], mean)


@pytest.mark.parametrize(("n", "dropped"), [(300, 1e-3), (300_000, 1e-4)])
def test_a_condensed_block_is_the_same_function_but_for_what_rows_say_nothing_of(points, n, dropped):
    block = Block("waves", "fourier", (0, 1, 2), {"omega": frequencies(3, 150, np.full(3, 3.0), 1)})
    small = condensed(block, np.repeat(points, n // len(points), axis=0))
    raw, kept = (each.raw(points.astype(np.float32)).astype(np.float64) for each in (block, small))
    raw, kept = raw - raw.mean(axis=0), kept - kept.mean(axis=0)
    assert small.size < 0.5 * block.size
    assert 1 - dropped <= (kept**2).sum() / (raw**2).sum() < 1
    assert np.abs(kept @ kept.T - raw @ raw.T).max() < 0.5 * dropped**0.5 * (raw**2).sum(axis=1).mean()


def test_a_block_of_few_features_stays_as_it_is(points):
    waves = Block("waves", "fourier", (0, 1, 2), {"omega": frequencies(3, 3, np.ones(3), 1)})
    ramp = Block("ramp", "ramp", (0,), {"knots": np.linspace(-2, 2, 25)})
    pair = Block("waves of a pair", "fourier", (0, 1), {"omega": frequencies(2, 40, np.ones(2), 1)})
    assert condensed(waves, points) is waves
    assert condensed(pair, points) is not pair
    assert condensed(pair, np.resize(points, (60_000, points.shape[1]))) is pair  # so many rows tell its tail
    assert condensed(ramp, points) is ramp  # which follows jumps by its roughest directions
