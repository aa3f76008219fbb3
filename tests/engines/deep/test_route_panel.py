"""The panel branch from end to end on a small panel: held-out identities, intervals, effects, invariances."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep.basis.fixed_effects import Elimination, centred, dummies
from hte_bridge.engines.deep.basis.posterior import EffectPosterior
from hte_bridge.simulate.panel import COVARIATES, panel
from tests.helpers.posterior import covered, least_covered

OPTIONS = {
    "seed": 1,
    "n_folds": 2,
    "epochs": 6,
    "hidden": (16,),
}  # small networks: their place is what is tested
ROLES = {
    "outcome": "y",
    "treatment": "t",
    "covariates": list(COVARIATES),
    "fixed_effects": ["user", "vendor", "period"],
}


def small(seed, **options):
    return panel("nonlinear", n_rows=2_400, n_users=60, n_vendors=25, n_periods=6, seed=seed, **options)


@pytest.fixture(scope="module")
def draw():
    return small(2)


@pytest.fixture(scope="module")
def study(draw):
    return hb.Study.from_frame(draw.frame(), **ROLES)


@pytest.fixture(scope="module")
def fit(study):
    return hb.Deep(**OPTIONS).fit(study)


def test_intervals_cover_across_the_points_and_beat_the_linear_model(draw, study, fit):
    found = fit.cate(draw.frame())
    # .88; an interval of noise alone covers .5 to .7 here
    assert covered(found, draw.beta) > least_covered(fit, draw.frame())
    error = np.sqrt(np.mean((found["estimate"] - draw.beta) ** 2)) / draw.beta.std()
    assert error < 0.3  # feols with all linear interactions is at .89
    assert fit.info["losses"]["deep"] < 0.5 * fit.info["losses"]["linear"]
    assert fit.branch.converged


def test_a_moderator_that_the_effects_absorb_moves_the_effect(draw, capfd):
    """The effect may vary with what is constant within users, though nothing is left of it in the outcome's own part."""
    frame = draw.frame()
    frame["y"] = frame["t"] * (1 + frame["U0"]) + np.random.default_rng(1).normal(size=len(frame))
    study = hb.Study.from_frame(frame, **(ROLES | {"covariates": ["U0"]}))
    fit = hb.Deep(**OPTIONS).fit(study)
    found = fit.cate(frame)
    truth = 1 + frame["U0"]
    assert np.sqrt(np.mean((found["estimate"] - truth) ** 2)) < 0.2 * truth.std()
    assert covered(found, truth) > least_covered(fit, frame)
    assert "DTRTRI" not in "".join(capfd.readouterr())  # LAPACK on an empty matrix


def test_structure_finds_the_true_pair(fit):
    pairs = fit.structure().attrs["pairs"]
    strongest = np.unravel_index(np.argmax(np.triu(pairs, 1)), pairs.shape)
    assert {pairs.index[j] for j in strongest} == {"U0", "V1"}


def test_held_out_residuals_are_swept_of_all_rows_together(study, fit):
    held = fit.heldout
    moved = study.treatment - held.propensity
    miss = study.outcome - held.outcome_mean - moved * held.cate
    rounding = 1e-7
    for codes in study.fixed_effects.T:
        assert np.abs(np.bincount(codes, weights=moved)).max() < rounding
        assert np.abs(np.bincount(codes, weights=miss)).max() < rounding
    assert held.treatment_variance.min() > 0
    assert abs(np.mean(moved**2 / held.treatment_variance) - 1) < 0.01


def test_average_partial_effect_is_near_the_truth(draw, study, fit):
    held = fit.heldout
    moved = study.treatment - held.propensity
    miss = study.outcome - held.outcome_mean - moved * held.cate
    gamma = held.cate + moved / held.treatment_variance * miss
    assert abs(gamma.mean() - draw.beta.mean()) < 4 * gamma.std() / study.n**0.5


def test_held_out_predictions_do_not_know_their_outcome(study, fit):
    """Another outcome in fold 0 changes the other folds' predictions, never those of fold 0."""
    changed = study.outcome.copy()
    held = fit.folds.fold == 0
    changed[held] += np.random.default_rng(1).normal(size=held.sum()) * 5 * study.treatment[held]
    again = hb.Deep(**OPTIONS).fit(study.with_(outcome=changed), fit.folds)
    rounding = 1e-4  # the order of the rows differs, and networks are single precision
    assert np.abs(again.heldout.cate - fit.heldout.cate)[~held].max() > 0.1
    assert np.abs(again.heldout.cate - fit.heldout.cate)[held].max() < rounding


def test_recovered_effects_cover(draw, study, fit):
    codes, sizes = study.fixed_effects, [len(levels) for levels in study.effect_levels]
    design = dummies(codes, sizes)
    truth = Elimination.of((design.T @ design).tocsr(), sizes).solve(design.T @ draw.additive)
    start, hits = 0, []
    for name, size in zip(study.names.fixed_effects, sizes, strict=True):
        found = fit.effects(name)
        wanted = centred(truth[start : start + size], np.zeros(size, dtype=np.int64), np.ones(size))
        hits += ((found["conf_low"] <= wanted) & (wanted <= found["conf_high"])).tolist()
        start += size
    assert np.mean(hits) > 0.95 - 4 * sd_of_shares(fit, draw, design, sizes)


def sd_of_shares(fit, draw, design, sizes, draws=200):
    """Of one draw's coverage of all levels: they share the error of beta, and what others that meet them err by."""
    frame = draw.frame()
    off = fit.posterior(frame, draws, seed=1) - fit.cate(frame)["estimate"].to_numpy()
    noise = fit.info["noise"] ** 0.5 * np.random.default_rng(1).normal(size=off.T.shape)
    noise -= frame["t"].to_numpy()[:, None] * off.T
    errors = Elimination.of((design.T @ design).tocsr(), sizes).solve(design.T @ noise)
    parts = np.split(errors, np.cumsum(sizes)[:-1])
    alone = [centred(part, np.zeros(len(part), dtype=np.int64), np.ones(len(part))) for part in parts]
    inside = [np.abs(each / each.std(axis=1, keepdims=True)) <= 1.96 for each in alone]
    return np.vstack(inside).mean(axis=0).std()


def test_interval_grows_outside_the_support(draw, fit):
    frame = draw.frame().head(50)
    inside = fit.cate(frame)["std_error"].mean()
    far = fit.cate(frame.assign(U0=frame["U0"] + 8, V1=frame["V1"] - 8))["std_error"].mean()
    assert far > 3 * inside


def test_draws_and_averages_agree_with_moments(study, fit):
    x = fit.seen.filled[:60]
    mean, sd = fit.branch.posterior.moments(x)
    draws = fit.branch.posterior.draws(x, 4_000, seed=1)
    four_errors = 4 / 4_000**0.5
    assert np.abs((draws.mean(axis=0) - mean) / sd).max() < four_errors
    assert np.abs(draws.std(axis=0) / sd - 1).max() < four_errors
    weights = np.vstack([np.full(60, 1 / 60), np.eye(60)[0]])
    estimate, covariance = fit.branch.posterior.average(x, weights)
    assert abs(estimate[1] - mean[0]) < 1e-6
    assert abs(covariance[1, 1] ** 0.5 / sd[0] - 1) < 1e-4  # single against double precision
    assert abs(draws.mean(axis=1).std() / covariance[0, 0] ** 0.5 - 1) < four_errors


def test_posterior_is_rebuilt_bit_for_bit(study, fit):
    again = EffectPosterior.restore(*fit.branch.posterior.state())
    for ours, theirs in zip(
        again.moments(fit.seen.filled[:80]), fit.branch.posterior.moments(fit.seen.filled[:80]), strict=True
    ):
        assert np.array_equal(ours, theirs)


def test_saved_fit_predicts_the_same(draw, fit, tmp_path):
    again = type(fit).load(fit.save(tmp_path / "panel.fit"))
    frame = draw.frame().head(80)
    assert again.cate(frame).equals(fit.cate(frame))
    assert again.effects("vendor").equals(fit.effects("vendor"))


def test_order_of_rows_and_labels_of_levels_change_nothing(draw, study, fit):
    order = np.random.default_rng(5).permutation(study.n)
    frame = draw.frame().loc[study.index].iloc[order]
    relabelled = frame.assign(user=frame["user"].map(lambda code: f"user {997 * code % 1009}"))
    other = hb.Study.from_frame(relabelled, **ROLES)
    folds = hb.Folds(fit.folds.fold[order], fit.folds.n_folds, 0)
    again = hb.Deep(**OPTIONS).fit(other, folds)
    rounding = 1e-4  # networks are single precision, and sums are taken in another order
    assert np.abs(again.heldout.cate - fit.heldout.cate[order]).max() < rounding
    assert np.abs(again.cate(draw.frame())["estimate"] - fit.cate(draw.frame())["estimate"]).max() < rounding


def test_arms_that_differ_in_their_noise_leave_nothing_of_the_effect_unexplained():
    """Treated rows whose errors are a third wider: called an effect that varies, they made intervals ten times as long."""
    rng = np.random.default_rng(1)
    user, x = rng.integers(0, 60, 3_000), rng.normal(size=3_000)
    level = rng.normal(size=60)
    treated = (rng.random(3_000) < 1 / (1 + np.exp(-0.5 * level[user]))).astype(float)
    frame = pd.DataFrame({"user": user, "x": x, "t": treated})
    frame["y"] = level[user] + treated * 0.2 * np.tanh(x) + (0.5 + 0.17 * treated) * rng.normal(size=3_000)
    roles = {"outcome": "y", "treatment": "t", "covariates": ["x"], "fixed_effects": ["user"]}
    study = hb.Study.from_frame(frame, **roles)
    fit = hb.Deep(seed=1, n_folds=2, epochs=5, hidden=(16,)).fit(study)
    surface = fit.cate(frame)
    truth = 0.2 * np.tanh(x)
    assert fit.info["nugget"] == 0.0
    assert float((surface["conf_high"] - surface["conf_low"]).mean()) < 0.4
    assert covered(surface, truth) > least_covered(fit, frame)
