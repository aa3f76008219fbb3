"""Errors that go on from period to period: what units have in common for a while is not taken for effects of their own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import hte_bridge as hb
from bench.panel_draws import study_of
from hte_bridge.engines.deep.basis.cluster import within_clusters
from hte_bridge.engines.deep.basis.composite_likelihood import leave_cluster_out
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.features import Basis, Block
from hte_bridge.engines.deep.basis.normal_equations import eliminate, normal_equations
from hte_bridge.engines.deep.basis.recovered_effects import design_effect
from hte_bridge.engines.deep.basis.regression import Regression
from hte_bridge.simulate.panel import adoption
from tests.helpers.posterior import covered, least_covered

OPTIONS = {"seed": 1, "n_folds": 2, "epochs": 8, "hidden": (16,)}


@pytest.fixture(scope="module")
def fits():
    """Correlated and independent errors, each with and without the units as clusters."""
    made = {}
    for correlation in (0.0, 0.6):
        draw = adoption("once", n_units=150, correlation=correlation, seed=2)
        for cluster in ("user", None):
            made[correlation, cluster] = draw, hb.Deep(**OPTIONS).fit(study_of(draw, cluster))
    return made


def miss(draw, fit):
    return float(np.mean((fit.cate(draw.frame())["estimate"] - draw.beta) ** 2))


def test_clusters_take_what_goes_on_out_of_the_effect(fits):
    named, unnamed = (fits[0.6, cluster] for cluster in ("user", None))
    assert named[1].info["inflation"] > 1.7
    assert miss(*named) < 0.5 * miss(*unnamed)
    held = [float(np.mean((fit.heldout.cate - draw.beta) ** 2)) for draw, fit in (named, unnamed)]
    assert held[0] < 0.7 * held[1]


def test_independent_errors_are_left_as_they_are(fits):
    named, unnamed = (fits[0.0, cluster] for cluster in ("user", None))
    assert named[1].info["inflation"] < 1.3
    assert miss(*named) < 1.3 * miss(*unnamed)
    assert named[1].info["noise"] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("cluster", ["user", None])
def test_two_periods_of_independent_errors_are_not_taken_for_errors_that_go_on(cluster):
    """The two residuals of a unit are each other's negative: scaled for all degrees of freedom their sums vary twice as much as the errors do."""
    draw = adoption("once", n_units=600, n_periods=2, correlation=0.0, seed=2)
    fit = hb.Deep(**OPTIONS).fit(study_of(draw, cluster))
    assert fit.info["inflation"] < 1.2
    assert not any("go together" in note for note in fit.notes)


def test_effects_within_clusters_cost_sums_by_cluster_no_degrees_of_freedom():
    unit, period = np.repeat(np.arange(6), 2), np.tile([0, 1], 6)
    effects = np.column_stack([unit, period])
    system = SimpleNamespace(freedom=5)  # 12 rows, 6 units, one more period
    layer = SimpleNamespace(spent=1.0)
    assert within_clusters(system, layer, effects, unit) == pytest.approx((4 / (4 + 6)) ** 0.5)
    assert within_clusters(system, layer, effects, unit // 2) == pytest.approx((4 / (4 + 6)) ** 0.5)
    assert within_clusters(system, layer, effects, np.arange(12)) == 1.0
    assert within_clusters(system, layer, effects[:, :0], unit) == 1.0


def test_a_note_says_where_clusters_should_have_been_named(fits):
    said = [note for note in fits[0.6, None][1].notes if "go together within `user`" in note]
    assert len(said) == 1
    assert said[0].endswith('Name it: cluster="user".')
    for fit in (fits[0.6, "user"][1], fits[0.0, None][1]):
        assert not any("go together" in note for note in fit.notes)


def test_intervals_with_clusters_cover(fits):
    draw, fit = fits[0.6, "user"]
    assert covered(fit.cate(draw.frame()), draw.beta) > least_covered(fit, draw.frame())


def test_no_held_out_prediction_sees_an_outcome_of_its_fold():
    draw = adoption("staggered", n_units=60, n_periods=6, seed=3)
    made = study_of(draw, "user")
    fit = hb.Deep(**OPTIONS).fit(made)
    changed = made.outcome + (fit.folds.fold == 0) * np.random.default_rng(1).normal(0, 5, made.n)
    again = hb.Deep(**OPTIONS).fit(made.with_(outcome=changed), fit.folds)
    own = fit.folds.fold == 0
    rounding = 1e-9  # the order of the rows differs
    assert np.abs(fit.heldout.cate - again.heldout.cate)[own].max() < rounding
    assert np.abs(fit.heldout.cate - again.heldout.cate)[~own].max() > 0.1


def test_few_units_with_many_periods_do_not_hide_their_errors():
    """As many functions as units: their residuals from a model that follows them show nothing, those from a model without them do."""
    draw = adoption("once", n_units=48, n_periods=20, correlation=0.8, seed=102)
    fit = hb.Deep(**OPTIONS).fit(study_of(draw, "user"))
    assert fit.info["inflation"] > 2.0
    assert miss(draw, fit) < 0.4  # .93 where each round begins at the model that follows units


def test_residuals_of_a_cluster_are_those_from_a_model_of_the_others():
    rng = np.random.default_rng(3)
    n = 60
    cluster, codes = rng.integers(0, 8, n), rng.integers(0, 5, (n, 1))
    points, t = rng.normal(size=(n, 2)), rng.normal(size=n)
    y = t * (1 + points[:, 0]) + rng.normal(size=n)
    weight = rng.uniform(0.5, 2.0, n)
    rows = Rows(y, t, weight, codes, (5,), np.zeros(n, dtype=np.int64), np.arange(n), points)
    blocks = [Block("constant", "constant", ()), Block("linear", "linear", (0, 1))]
    basis = Basis.fit(blocks, points, np.zeros(2), np.ones(2))
    drift = np.array([False, True, True])
    columns, owner = np.arange(5), np.array([0, 1, 1, 2, 2])
    system = eliminate(normal_equations(rows, basis, drift), (5,), columns)
    made = SimpleNamespace(rows=rows, basis=basis, drift=drift, device="cpu")
    model = Regression(made, system, columns, owner)
    layer = model.fit()
    f = basis.features(points).astype(float)
    net = np.column_stack([f * t[:, None], f[:, drift]]) - rows.dummies() @ system.project
    outcome = y - rows.dummies() @ system.project_target[:, 0]
    found = leave_cluster_out(model, layer, outcome - net @ layer.mean, cluster)
    precision = np.linalg.inv(layer.covariance) - system.gram / layer.noise
    for k in range(8):
        rest = cluster != k
        by = (net[rest] * weight[rest, None]).T / layer.noise
        others = np.linalg.solve(by @ net[rest] + precision, by @ outcome[rest])
        assert found[~rest] == pytest.approx((outcome - net @ others)[~rest], abs=1e-8)


@pytest.mark.parametrize("clusters", ["one treated unit", "two clusters"])
def test_clusters_that_determine_an_effect_alone_break_nothing(clusters):
    draw = adoption("once", n_units=30, n_periods=8, seed=4)
    frame = draw.frame()
    if clusters == "one treated unit":
        frame["t"] = ((frame["user"] == 3) & (frame["period"] > 3)) * 1.0
        frame["side"] = frame["user"]
    else:
        frame["side"] = frame["user"] % 2
    columns = {"outcome": "y", "treatment": "t", "covariates": list(draw.columns), "cluster": "side"}
    made = hb.Study.from_frame(frame, fixed_effects=list(draw.labels), **columns)
    found = hb.Deep(seed=1, n_folds=2, epochs=5).fit(made).cate(frame)
    assert np.isfinite(found.to_numpy()).all()
    assert (found["std_error"] > 0).all()


def test_levels_within_clusters_have_no_interval_once_errors_go_on():
    effects = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]])
    made = SimpleNamespace(rows=SimpleNamespace(weight=np.ones(6), effects=effects))
    residual, cluster = np.array([1.0, -1.0, 2.0, -2.0, 3.0, -3.0]), np.array([0, 0, 1, 1, 1, 1])
    assert design_effect(made, residual, 0, cluster, 1.1) == 1.1
    assert np.isnan(design_effect(made, residual, 0, cluster, 2.5))
    assert design_effect(made, residual, 1, cluster, 2.5) == pytest.approx((1 + 25 + 1 + 25) / 28)


def test_effects_of_units_whose_errors_go_on_say_why_they_have_no_interval():
    draw = adoption("once", n_units=60, n_periods=8, correlation=0.7, seed=2)
    columns = {"outcome": "y", "treatment": "t", "covariates": list(draw.columns), "cluster": "user"}
    study = hb.Study.from_frame(draw.frame(), fixed_effects=list(draw.labels), **columns)
    fit = hb.Deep(seed=1, n_folds=2, epochs=5).fit(study)
    unit, period = fit.effects("user"), fit.effects("period")
    assert unit[["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
    assert unit["estimate"].notna().all()
    assert (
        unit["note"]
        .str.startswith("No interval: errors go on within clusters, and each level of `user`")
        .all()
    )
    assert period["std_error"].notna().all()
    assert (period["note"] == "").all()
