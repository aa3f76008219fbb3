"""The Gram form of a cross-section: errors of the estimated propensity stay out of the average effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep import route_basis
from hte_bridge.engines.deep.basis import mixed_model
from hte_bridge.engines.deep.basis.interactions import INTERACTIONS, Structure
from hte_bridge.engines.deep.nuisance.crossfit import CrossFitted
from hte_bridge.engines.deep.nuisance.propensity import Treatment
from hte_bridge.simulate import grf_table1

pytestmark = pytest.mark.usefixtures("blocks_alone")


def large_effect(n=2_000, q=20, effect=60.0):
    """A large constant effect and a propensity with 20 small slopes, estimated with an error of sd .05."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, q))
    e = 1 / (1 + np.exp(-x @ rng.uniform(-0.2, 0.2, q)))
    t = rng.binomial(1, e)
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(q)])
    frame = frame.assign(t=t, y=x[:, 0] + effect * t + rng.normal(size=n))
    return hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=list(frame.columns[:q]))


def misses(study):
    """Miss over standard error of the posterior's average, and of the held-out row."""
    options = hb.Deep(seed=1, kernel_max_rows=0, n_folds=2, hidden=(16,), n_nets=1, epochs=3)
    table = hb.compare(study, engines=[options], seed=1)
    row = table.rows[0]
    assert row.estimand == "ate"
    average = table.fits["deep"].average(study.frame).iloc[0]
    return (average["estimate"] - 60.0) / average["std_error"], (row.estimate - 60.0) / row.std_error


def test_an_estimated_propensity_does_not_shrink_a_large_average_effect(monkeypatch):
    study = large_effect()
    posterior, row = misses(study)
    assert abs(posterior) < 3
    assert abs(row) < 3
    monkeypatch.setattr(route_basis, "beside_constant", lambda *given: None)
    posterior, _ = misses(study)
    assert posterior < -4  # what the column beside the constant is for


def test_a_known_propensity_of_one_half_lengthens_no_interval():
    """An experiment: intervals are no longer than where the same propensity is estimated, and no misfit is claimed."""
    rng = np.random.default_rng(2)
    x, t = rng.normal(size=1_500), rng.integers(0, 2, 1_500)
    frame = pd.DataFrame({"x": x, "t": t, "y": x + t * (1 + x) + rng.normal(size=1_500)})
    options = hb.Deep(seed=1, kernel_max_rows=0, n_folds=2, hidden=(16,), n_nets=1, epochs=3)
    errors = []
    for propensity in (0.5, None):
        study = hb.Study.from_frame(
            frame, outcome="y", treatment="t", covariates=["x"], propensity=propensity
        )
        fit = options.fit(study)
        assert not any("no block explains" in note for note in fit.notes)
        errors.append(fit.cate(frame)["std_error"].mean())
    assert errors[0] < 1.2 * errors[1]


@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_a_propensity_that_is_one_number_for_each_fold_is_no_regressor(slope):
    """Where no covariate tells of the treatment, e-hat is the share treated elsewhere: high where a fold has few treated."""
    study = large_effect(n=500, q=2)
    folds = hb.Folds.make(study, 5, seed=1)
    treated = np.bincount(folds.fold, study.treatment) / np.bincount(folds.fold)
    estimated = 0.5 - 0.25 * (treated[folds.fold] - 0.5) + slope * study.filled[:, 0]
    candidates = CrossFitted(estimated, {}, {}, {})
    found = route_basis.beside_constant(study, folds, Treatment(estimated, None, (), candidates))
    assert (found is None) == (slope == 0.0)
    assert (
        route_basis.beside_constant(study, folds, Treatment(estimated, None)) is None
    )  # known, not estimated


def test_held_out_models_are_fitted_to_treatments_centred_without_their_fold(monkeypatch):
    study = large_effect(n=600, q=3, effect=1.0)
    folds = hb.Folds.make(study, 3, seed=2)
    held = folds.fold == 0
    changed = study.with_(treatment=np.where(held, study.frame["x0"] > 0, study.treatment))
    fit_mixed_model, seen = route_basis.fit_mixed_model, []

    def spy(own, made, asked, clock):
        unseen = asked.unseen
        by_outcome = np.argsort(own.outcome, kind="stable")  # the order of the study in a fit is its own
        for rows in unseen:
            assert np.array_equal(rows.outcome, made.rows.outcome)
        seen.append([(rows.fold[by_outcome], rows.treatment[by_outcome]) for rows in unseen])
        return fit_mixed_model(own, made, asked, clock)

    monkeypatch.setattr(route_basis, "fit_mixed_model", spy)
    for each in (study, changed):
        hb.Deep(seed=1, kernel_max_rows=0, n_folds=3, hidden=(16,), n_nets=1, epochs=3).fit(each, folds)
    ours, theirs = seen
    fold = ours[0][0]
    assert np.array_equal(ours[0][1][fold != 0], theirs[0][1][fold != 0])
    assert not np.allclose(
        ours[1][1][fold == 2], theirs[1][1][fold == 2]
    )  # without fold 1 alone: fold 0 counts


def test_pairs_of_the_few_that_matter_are_asked_for_among_many():
    importance = np.array([1.0, 0.9, 0.2, *np.zeros(27)])
    assert Structure(importance, np.zeros((30, 30))).prominent() == [(0, 1)]
    assert Structure(importance[:24], np.zeros((24, 24))).prominent() == []  # all products are in the model
    alike = Structure(np.ones(30), np.zeros((30, 30))).prominent()
    assert len(alike) == INTERACTIONS.prominent_pairs


def test_two_that_act_together_among_many_are_found(monkeypatch):
    draws = [grf_table1(2_000, seed=seed, p=30) for seed in (1, 2)]
    studies = [
        hb.Study.from_frame(each.frame(), outcome="y", treatment="t", covariates=each.columns)
        for each in draws
    ]
    found = []  # by the blocks alone: a surface with edges, mixed in, finds most of it without a pair
    monkeypatch.setattr(
        mixed_model, "with_edges", lambda study, made, cells, solved, surface, seed: (surface, 0.0)
    )
    for _ in range(2):
        fit = hb.Deep(seed=1, kernel_max_rows=0, n_folds=2, hidden=(16,), n_nets=1, epochs=20).fit(studies[0])
        found.append(float(np.mean((fit.cate(draws[1].frame())["estimate"] - draws[1].cate) ** 2)))
        monkeypatch.setattr(Structure, "prominent", lambda self: [])
    assert found[0] < 0.9 * found[1]
