"""Closed-form twins of the last layer's linear algebra: nothing here trains a network."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyfixest as pf
import pytest
from scipy import sparse, stats

from hte_bridge.engines.deep.basis import fixed_effects as effects
from hte_bridge.engines.deep.basis import normal_equations as equations
from hte_bridge.engines.deep.basis.blocks import Sizes, clique_blocks
from hte_bridge.engines.deep.basis.cluster import cluster_sandwich, cluster_scores
from hte_bridge.engines.deep.basis.data import Rows, SlopeGroups, constant_columns, unique_rows
from hte_bridge.engines.deep.basis.features import Basis, Block, frequencies, knots, ramps
from hte_bridge.engines.deep.basis.normal_equations import eliminate, normal_equations, total
from hte_bridge.engines.deep.basis.problem import Problem
from hte_bridge.engines.deep.basis.regression import Regression
from hte_bridge.engines.deep.basis.variance_components import scale_uncertainty, variance_components
from hte_bridge.engines.deep.store.linear_algebra import eigen
from tests.helpers.marginal import log_marginal, solve
from tests.helpers.posterior import errors_below

ROUNDING = 1e-8  # double precision, condition numbers up to 1e6, features in single precision on both sides
SIZES = (12, 7, 5)


def make_rows(seed, n=400, sizes=SIZES, unbalanced=True):
    rng = np.random.default_rng(seed)
    codes = np.column_stack([rng.integers(0, size, n) for size in sizes]) if sizes else np.empty((n, 0), int)
    if unbalanced and sizes:
        codes[:, 0] = np.minimum(codes[:, 0], rng.integers(0, sizes[0], n))
    points = rng.normal(size=(n // 3, 3))
    point = rng.integers(0, len(points), n)
    t = rng.normal(size=n) + (codes[:, 0] / 10 if sizes else 0)
    y = 1 + t * (1 + points[point, 0]) + rng.normal(size=n) + (codes.sum(axis=1) if sizes else 0)
    fold = rng.integers(0, 3, n)
    return Rows(y, t, rng.uniform(0.5, 1.5, n), codes, tuple(sizes), fold, point, points)


def make_basis(rows):
    blocks = [
        Block("constant", "constant", ()),
        Block("linear", "linear", (0, 1, 2), drift=True),
        Block("ramp", "ramp", (1,), {"knots": knots(rows.points[:, 1], 5)}, drift=True),
        Block("smooth", "fourier", (0, 2), {"omega": frequencies(2, 4, np.ones(2), seed=1)}),
        Block("mesh", "mesh", (0, 1), {"knots": np.array([-1.0, 0, 1]), "other": np.array([-1.0, 0.5, 2])}),
    ]
    basis = Basis.fit(blocks, rows.points, np.zeros(3), np.ones(3))
    return basis, np.repeat([block.drift for block in blocks], [block.size for block in blocks])


def explicit(rows, basis, drift):
    """Columns [T f, f drift] and dummies of every row, written out."""
    f = basis.features(rows.points).astype(np.float64)[rows.point]
    columns = np.hstack([rows.treatment[:, None] * f, f[:, drift]])
    return columns, rows.dummies().toarray()


def within(values, design, weight):
    """Residual of weighted least squares on dummies, by numpy."""
    root = np.sqrt(weight)[:, None]
    table = values.reshape(len(values), -1)
    found = np.linalg.lstsq(root * design, root * table, rcond=None)[0]
    return (table - design @ found).reshape(values.shape)


@pytest.mark.parametrize("sizes", [SIZES, (12, 7), (12,), (), "beside the constant"])
def test_elimination_equals_explicit_dummies(sizes):
    rows = make_rows(1, sizes=() if isinstance(sizes, str) else sizes)
    if isinstance(sizes, str):
        rows, sizes = replace(rows, beside=np.random.default_rng(2).normal(size=rows.n) + rows.treatment), ()
    basis, drift = make_basis(rows)
    columns, design = explicit(rows, basis, drift)
    inside = within(columns, design, rows.weight)
    found = eliminate(normal_equations(rows, basis, drift), sizes, np.arange(columns.shape[1]))
    wanted = inside.T @ (rows.weight[:, None] * inside)
    assert np.abs(found.gram - wanted).max() < ROUNDING * np.abs(wanted).max()
    y = within(rows.outcome, design, rows.weight)
    assert np.abs(found.target[:, 0] - inside.T @ (rows.weight * y)).max() < ROUNDING * np.abs(wanted).max()
    assert abs(found.second[0, 0] - rows.weight @ y**2) < ROUNDING * found.second[0, 0]
    assert found.freedom == rows.n - np.linalg.matrix_rank(design)


def test_elimination_equals_pyfixest():
    rows = make_rows(2)
    frame = pd.DataFrame(rows.effects, columns=["f1", "f2", "f3"]).assign(
        y=rows.outcome, t=rows.treatment, x=rows.points[rows.point, 0], w=rows.weight
    )
    basis = Basis.fit(
        [Block("constant", "constant", ()), Block("x", "linear", (0,), drift=True)],
        rows.points,
        np.zeros(3),
        np.ones(3),
    )
    drift = np.array([False, True])
    system = eliminate(normal_equations(rows, basis, drift), SIZES, np.arange(3))
    ours = np.linalg.solve(system.gram, system.target[:, 0])
    fit = pf.feols("y ~ t + t:x + x | f1 + f2 + f3", frame, weights="w")
    theirs = fit.tidy()["Estimate"]
    slope = float(ours[1] * basis.feature_scale[1])
    base = float(ours[0] - ours[1] * basis.feature_scale[1] * basis.feature_centre[1])
    single_precision = 1e-6  # of the features
    assert abs(slope - theirs["t:x"]) < single_precision
    assert abs(base - theirs["t"]) < single_precision


def test_linear_posterior_equals_gls():
    rows = make_rows(3)
    basis, drift = make_basis(rows)
    columns, design = explicit(rows, basis, drift)
    inside = within(columns, design, rows.weight)
    y = within(rows.outcome, design, rows.weight)
    prior, noise = np.full(columns.shape[1], 0.3), 0.8
    system = eliminate(normal_equations(rows, basis, drift), SIZES, np.arange(columns.shape[1]))
    mean, covariance, _ = solve(system.gram, system.target[:, 0], 1 / prior, noise)
    precision = inside.T @ (rows.weight[:, None] * inside) / noise + np.diag(1 / prior)
    wanted = np.linalg.inv(precision)
    assert np.abs(covariance - wanted).max() < ROUNDING
    assert np.abs(mean - wanted @ (inside.T @ (rows.weight * y)) / noise).max() < ROUNDING


def test_marginal_likelihood_is_a_normal_density():
    rng = np.random.default_rng(4)
    z, prior, noise = rng.normal(size=(60, 8)), rng.uniform(0.1, 2, 8), 0.7
    y = rng.normal(size=60)
    ours = log_marginal(z.T @ z, z.T @ y, float(y @ y), 60, prior, noise)
    density = stats.multivariate_normal(np.zeros(60), z @ np.diag(prior) @ z.T + noise * np.eye(60))
    assert abs(ours - density.logpdf(y)) < ROUNDING


def test_fixed_point_is_a_stationary_point_of_the_evidence():
    rng = np.random.default_rng(5)
    z = rng.normal(size=(2_000, 40))
    owner = np.repeat([0, 1, 2], [1, 20, 19])
    truth = np.concatenate([[2.0], 0.5 * rng.normal(size=20), np.zeros(19)])
    y = z @ truth + 0.6 * rng.normal(size=2_000)
    layer = variance_components(Problem(z.T @ z, z.T @ y, float(y @ y), 2_000, owner, (0,)), max_steps=400)

    def height(scale, noise):
        prior = np.where(owner == 0, 1e6, np.where(owner == 1, layer.variance[1] * scale, 1e-9))
        return log_marginal(z.T @ z, z.T @ y, float(y @ y), 2_000, prior, layer.noise * noise)

    best = height(1, 1)
    assert best > max(height(1.3, 1), height(1 / 1.3, 1), height(1, 1.05), height(1, 1 / 1.05))
    assert layer.converged
    assert abs(layer.noise - 0.36) < 4 * 0.36 * (2 / 2_000) ** 0.5  # the sd of a variance from 2,000 draws
    assert layer.variance[2] < 0.01 * layer.variance[1]  # a block without a signal shrinks


def test_sums_are_the_same_in_chunks_in_any_order_and_merged(monkeypatch):
    rows = make_rows(6)
    basis, drift = make_basis(rows)
    whole = normal_equations(rows, basis, drift)
    shuffled = rows.at(np.random.default_rng(1).permutation(rows.n))
    monkeypatch.setattr(equations, "CHUNK_POINTS", 7)
    parts = [normal_equations(rows.at(rows.fold == k), basis, drift) for k in range(3)]
    first = normal_equations(rows.at(rows.fold == 0), basis, drift)
    taken = reduce(lambda mine, part: mine.take(part), parts[1:], first)
    for other in (
        normal_equations(rows, basis, drift),
        normal_equations(shuffled, basis, drift),
        total(parts),
        taken,
    ):
        for name in ("dense", "cross", "target", "level_target", "second"):
            assert np.abs(getattr(whole, name) - getattr(other, name)).max() < ROUNDING
        assert abs(whole.levels - other.levels).max() < ROUNDING
        assert other.n == whole.n


@pytest.mark.parametrize("seed", [7, 8])
def test_dense_and_sparse_solves_agree(seed):
    rows = make_rows(seed, n=900, sizes=(60, 25, 5))
    design = rows.dummies()
    gram = sparse.csr_array(design.T @ sparse.diags_array(rows.weight) @ design)
    right = design.T @ np.random.default_rng(seed).normal(size=(900, 3))
    dense = effects.Elimination.of(gram, rows.sizes)
    thin = effects.Elimination.of(gram, rows.sizes, dense_levels=0)
    shifted_solve = 1e-6  # the sparse factor's diagonal is moved by 1e-10 of its largest entry
    assert np.abs(design @ (dense.solve(right) - thin.solve(right))).max() < shifted_solve
    assert dense.rank == thin.rank == np.linalg.matrix_rank(design.toarray())


def test_pivoted_factor_of_large_complements_agrees(monkeypatch):
    rows = make_rows(9, n=900, sizes=(60, 25, 5))
    design = rows.dummies()
    gram = sparse.csr_array(design.T @ design)
    right = design.T @ np.random.default_rng(9).normal(size=900)
    dense = effects.Elimination.of(gram, rows.sizes)
    monkeypatch.setattr(effects, "ELIMINATION", replace(effects.ELIMINATION, eigen_levels=0))
    pivoted = effects.Elimination.of(gram, rows.sizes)
    assert dense.rank == pivoted.rank
    assert np.abs(design @ (dense.solve(right) - pivoted.solve(right))).max() < ROUNDING


def test_disconnected_components_and_singletons():
    codes = np.array(
        [[0, 0], [0, 1], [1, 0], [1, 1], [2, 2], [3, 2], [3, 3], [4, 4]]
    )  # the last row is alone
    design = effects.dummies(codes, [5, 5])
    gram = sparse.csr_array(design.T @ design)
    user, vendor = effects.components_of(gram, [5, 5])
    assert user.tolist() == [0, 0, 1, 1, 2]
    assert vendor.tolist() == [0, 0, 1, 1, 2]
    elimination = effects.Elimination.of(gram, [5, 5])
    assert elimination.rank == np.linalg.matrix_rank(design.toarray())
    y = np.random.default_rng(1).normal(size=8)
    assert (
        np.abs(design @ elimination.solve(design.T @ y) - (y - within(y, design.toarray(), np.ones(8)))).max()
        < ROUNDING
    )


def test_variance_of_centred_levels_is_that_of_the_explicit_inverse():
    rows = make_rows(10)
    design = rows.dummies()
    gram = sparse.csr_array(design.T @ design)
    component = effects.components_of(gram, SIZES)[0]
    elimination = effects.Elimination.of(gram, SIZES)
    found = elimination.centred_variance(slice(0, 12), component, gram.diagonal()[:12])
    inverse = np.linalg.pinv(gram.toarray())[:12, :12]
    hollow = np.eye(12) - 1 / 12
    assert np.abs(found - np.diag(hollow @ inverse @ hollow)).max() < ROUNDING
    thin = effects.Elimination.of(gram, SIZES, dense_levels=0)
    sparse_way = thin.centred_variance(slice(0, 12), component, gram.diagonal()[:12])
    assert np.abs(sparse_way - found).max() < 1e-6  # the sparse factor's diagonal is moved by 1e-10


def test_columns_solved_a_few_at_a_time_are_the_same(monkeypatch):
    rows = make_rows(10)
    design = rows.dummies()
    gram = sparse.csr_array(design.T @ design)
    right = design.T @ np.random.default_rng(10).normal(size=(rows.n, 7))
    elimination, component = effects.Elimination.of(gram, SIZES), effects.components_of(gram, SIZES)[0]
    span, weight = slice(0, 12), gram.diagonal()[:12]
    before = elimination.solve(right), elimination.centred_variance(span, component, weight)
    monkeypatch.setattr(effects, "SOLVED_COLUMNS", 3)
    after = elimination.solve(right), elimination.centred_variance(span, component, weight)
    for ours, theirs in zip(before, after, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=ROUNDING)


def test_features_are_centred_scaled_and_rebuilt():
    rows = make_rows(11)
    basis, _ = make_basis(rows)
    f = basis.features(rows.points)
    single_precision = 1e-5
    for k in range(1, len(basis.blocks)):
        own = f[:, basis.owner == k]
        assert np.abs(own.mean(axis=0)).max() < single_precision
        assert abs((own**2).sum(axis=1).mean() - 1) < single_precision
    again = Basis.restore(*basis.state())
    assert np.array_equal(again.features(rows.points), f)
    small = basis.keep([0, 3])
    assert np.array_equal(small.features(rows.points), f[:, np.isin(basis.owner, [0, 3])])


def test_functions_of_a_product_follow_what_functions_of_all_three_do_not():
    """A bent product of three covariates: by least squares on other points, with and without the blocks of the product."""
    rng = np.random.default_rng(0)
    z, new = rng.normal(size=(6_000, 3)), rng.normal(size=(2_000, 3))
    blocks = clique_blocks(z, ["a", "b", "c"], (0, 1, 2), Sizes(clique=150), seed=1)

    def error(chosen):
        basis = Basis.fit(chosen, z, np.zeros(3), np.ones(3))
        (seen, truth), (unseen, target) = (
            (basis.features(each).astype(float), np.tanh(1.2 * each.prod(axis=1))) for each in (z, new)
        )
        gram = seen.T @ seen + 1e-6 * len(z) * np.eye(basis.size) / basis.size
        return np.std(unseen @ np.linalg.solve(gram, seen.T @ truth) - target) / np.std(target)

    smooth = [each for each in blocks if each.kind == "fourier"]
    assert error(blocks) < 0.05
    assert error(smooth) > 0.15  # so the bound above is able to fail


def test_outer_ramps_go_on_beyond_the_support():
    column = np.array([-10.0, 0.0, 10.0], dtype=np.float32)
    found = ramps(column, np.array([-1.0, 0.0, 1.0]))
    assert found.tolist() == [[-9.0, 0.0], [1.0, 0.0], [1.0, 10.0]]


def test_distinct_points_are_exact_and_slope_groups_are_found_again():
    rng = np.random.default_rng(12)
    table = rng.normal(size=(50, 4))
    rows = table[rng.integers(0, 50, 300)]
    first, place = unique_rows(rows)
    assert np.array_equal(rows[first][place], rows)
    assert len(first) == len(np.unique(rows, axis=0))
    slopes, groups = SlopeGroups.of(rows, [np.array([0, 1])])
    assert np.array_equal(slopes.find(rows)[0], groups[0])
    assert slopes.find(rng.normal(size=(2, 4)))[0].tolist() == [-1, -1]


def test_covariates_fixed_within_an_effect_are_found():
    codes = np.repeat(np.arange(5), 4)
    x = np.column_stack([codes * 2.0, np.arange(20.0)])
    assert constant_columns(x, codes, 5).tolist() == [0]


def covered(seed, noise_alone):
    """Share of points whose beta is in the interval; a rough function, few rows, all smooth blocks."""
    rng = np.random.default_rng(seed)
    n, points = 1_500, rng.normal(size=(300, 1))
    point, codes = rng.integers(0, 300, n), rng.integers(0, 20, (n, 2))
    truth = np.sin(3 * points[:, 0]) + np.abs(points[:, 0])
    t = rng.normal(size=n) + codes[:, 0] / 10
    y = truth[point] * t + codes.sum(axis=1) + 4 * rng.normal(size=n)
    rows = Rows(y, t, np.ones(n), codes, (20, 20), np.zeros(n, dtype=np.int64), point, points)
    blocks = [
        Block("constant", "constant", ()),
        Block("ramp", "ramp", (0,), {"knots": knots(points[:, 0], 20)}),
        Block("smooth", "fourier", (0,), {"omega": frequencies(1, 10, np.ones(1), seed=1)}),
    ]
    basis = Basis.fit(blocks, points, np.zeros(1), np.ones(1))
    system = eliminate(
        normal_equations(rows, basis, np.zeros(basis.size, dtype=bool)), (20, 20), np.arange(basis.size)
    )
    made = SimpleNamespace(rows=rows, basis=basis, drift=np.zeros(basis.size, dtype=bool), device="cpu")
    layer = Regression(made, system, np.arange(basis.size), basis.owner).fit()
    f = basis.features(points).astype(np.float64)[:, layer.live]
    covariance = layer.covariance
    if noise_alone:
        covariance = covariance @ (system.gram[np.ix_(layer.live, layer.live)] / layer.noise) @ covariance
    else:
        covariance = covariance + scale_uncertainty(layer, basis.owner, (0,))
    std_error = np.sqrt(np.einsum("ij,jk,ik->i", f, covariance, f))
    return np.mean(np.abs(f @ layer.mean[layer.live] - truth) < 1.96 * std_error)


def test_interval_covers_across_points_and_noise_alone_would_be_caught():
    ours, alone = ([covered(seed, noise_alone) for seed in range(60)] for noise_alone in (False, True))
    assert errors_below(ours) < 4.0 < errors_below(alone)  # Monte-Carlo errors below the level


def test_cluster_sums_find_shocks_and_leave_independent_errors():
    rng = np.random.default_rng(14)
    n = 6_000
    cluster = rng.integers(0, 600, n)
    codes = rng.integers(0, 10, (n, 1))
    points = rng.normal(size=(600, 2))
    t = (
        1 + rng.normal(size=600)[cluster] + 0.3 * rng.normal(size=n)
    )  # the dose is shared within the cluster too
    for sd, low, high in ((0.0, 1.0, 1.3), (1.0, 3.0, 8.0)):
        y = 2 * t + sd * rng.normal(size=600)[cluster] + rng.normal(size=n)
        rows = Rows(y, t, np.ones(n), codes, (10,), np.zeros(n, dtype=np.int64), cluster, points)
        blocks = [Block("constant", "constant", ()), Block("linear", "linear", (0, 1))]
        basis = Basis.fit(blocks, points, np.zeros(2), np.ones(2))
        system = eliminate(normal_equations(rows, basis, np.zeros(3, dtype=bool)), (10,), np.arange(3))
        made = SimpleNamespace(rows=rows, basis=basis, drift=np.zeros(3, dtype=bool), device="cpu")
        model = Regression(made, system, np.arange(3), basis.owner)
        layer = model.fit()
        found = system.project_target[:, 0] - system.project @ layer.mean
        beta = basis.features(points).astype(np.float64) @ layer.mean
        residual = y - t * beta[cluster] - found[codes[:, 0]]
        scores = cluster_scores(model, layer, residual, cluster)
        robust = cluster_sandwich(system, layer, scores, np.ones(len(layer.live), dtype=bool))
        assert low - 0.1 <= robust.ratio < high  # 10 rows a cluster: up to 1 + 9 * intra-cluster share of 1/2
        assert np.linalg.eigvalsh(robust.covariance).min() > 0


def test_eigenvectors_are_found_where_divide_and_conquer_fails(monkeypatch):
    """LAPACK's dsyevd failed on a sound matrix of 825 columns; a slower driver found its eigenvectors."""
    half = np.random.default_rng(1).normal(size=(6, 6))
    matrix = half @ half.T
    wanted = np.linalg.eigh(matrix)

    def failing(_):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    monkeypatch.setattr(np.linalg, "eigh", failing)
    values, vectors = eigen(matrix)
    assert values == pytest.approx(wanted[0])
    assert np.abs(vectors) == pytest.approx(np.abs(wanted[1]))
