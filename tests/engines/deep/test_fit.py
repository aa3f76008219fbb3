"""The deep engine from a frame to intervals: recovery, honesty, invariance, files, errors."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config

import hte_bridge as hb
from hte_bridge.engines.deep.gp import posterior
from hte_bridge.engines.deep.read.answers import BAND_DRAWS
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.errors import InvalidData, InvalidNewData, InvalidOption, NotIdentified, UnreadableFile
from hte_bridge.simulate import clustered, dense, nie_wager
from tests.helpers.posterior import covered, errors_below, least_covered, posterior_alone

QUICK = {
    "seed": 1,
    "epochs": 15,
    "hidden": (16,),
    "draws": 12,
    "n_folds": 3,
}  # nets' place is tested, not their fit
NORMAL = 1.96


def study_of(draw, **roles):
    return hb.Study.from_frame(draw.frame(), outcome="y", treatment="t", covariates=draw.columns, **roles)


@pytest.fixture(scope="module")
def draw():
    return dense(120, seed=5, p=3)


@pytest.fixture(scope="module")
def fit(draw):
    return hb.Deep(**QUICK).fit(study_of(draw))


N_DRAWS, MONTE_CARLO = 8, 3.0  # Monte-Carlo errors of the mean of so many draws


def test_effect_is_recovered_and_covered():
    hits, noise_only = [], []
    test = nie_wager(300, seed=99, setup="B", d=5)
    for seed in range(N_DRAWS):
        drawn = nie_wager(120, seed=seed, setup="B", d=5)
        fit = posterior_alone(hb.Deep(**QUICK), study_of(drawn), drawn.propensity)
        surface = fit.cate(test.frame())
        hits.append(covered(surface, test.cate))
        # what is left of the interval when the misfit of the surface is left out: the error of the mean alone
        narrow = NORMAL * fit.average(test.frame())["std_error"].iloc[0]
        noise_only.append(float((np.abs(surface["estimate"] - test.cate) <= narrow).mean()))
    assert errors_below(hits) < MONTE_CARLO
    assert errors_below(noise_only) > MONTE_CARLO  # so the bound above is able to fail


def test_permuted_treatment_finds_nothing(draw):
    frame = draw.frame()
    frame["t"] = np.random.default_rng(0).permutation(frame["t"].to_numpy())
    frame["y"] = draw.outcome - (draw.treatment - draw.propensity) * draw.cate
    study = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=draw.columns)
    fit = posterior_alone(hb.Deep(**QUICK), study)
    surface = fit.cate(frame)
    assert covered(surface, np.zeros(len(frame))) > least_covered(fit, frame)
    assert surface["estimate"].std() < 0.35  # of an outcome with sd 1.7


def test_same_seed_same_numbers_whatever_the_threads(fit, draw):
    with threads(2):
        again = hb.Deep(**QUICK).fit(study_of(draw))
        assert torch.get_num_threads() == 2
    assert (again.heldout.cate == fit.heldout.cate).all()
    assert (again.cate(draw.frame()) == fit.cate(draw.frame())).all(axis=None)


def test_chunks_of_new_rows_side_by_side_change_no_bit(fit, draw, monkeypatch):
    before = fit.cate(draw.frame())
    monkeypatch.setattr(posterior, "CHUNK", 2 * posterior.TILE)
    with parallel_config(n_jobs=2):
        after = fit.cate(draw.frame())
    assert (before.to_numpy() == after.to_numpy()).all()


def test_a_row_has_the_same_bits_whatever_its_company(fit, draw):
    frame = draw.frame()
    together = fit.cate(frame)
    for rows in (slice(0, 1), slice(17, 60), slice(90, None)):
        assert (fit.cate(frame[rows]).to_numpy() == together[rows].to_numpy()).all()


def test_units_of_outcome_and_covariates_only_rescale(fit, draw):
    frame = draw.frame()
    frame["y"] = 1000 + 10 * frame["y"]
    frame["x1"] = 5 - frame["x1"] * 100
    study = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=draw.columns, propensity=0.5)
    plain = hb.Study.from_frame(
        draw.frame(), outcome="y", treatment="t", covariates=draw.columns, propensity=0.5
    )
    ours, theirs = (posterior_alone(hb.Deep(**QUICK), each) for each in (study, plain))
    np.testing.assert_allclose(
        ours.cate(frame) / 10, theirs.cate(draw.frame()), atol=2e-3
    )  # of a search's tolerance


@pytest.mark.parametrize("n_folds", [2, 3])
def test_heldout_effect_of_a_fold_ignores_its_outcomes_and_treatments(draw, n_folds):
    study = study_of(draw)
    folds = hb.Folds.make(study, n_folds, seed=2)
    held = folds.fold == 0
    changed = study.with_(
        outcome=np.where(held, study.outcome + 100 * draw.covariates[:, 0], study.outcome),
        treatment=np.where(held, draw.covariates[:, 1] > 0, study.treatment),
    )
    ours, theirs = (hb.Deep(**QUICK).fit(each, folds).heldout for each in (study, changed))
    assert (ours.cate[held] == theirs.cate[held]).all()
    assert not np.allclose(ours.cate[~held], theirs.cate[~held])


def test_saved_fit_predicts_the_same_bits(fit, draw, tmp_path):
    path = fit.save(tmp_path / "fit.npz")
    again = type(fit).load(path)
    assert (again.cate(draw.frame()) == fit.cate(draw.frame())).all(axis=None)
    assert (again.heldout.cate == fit.heldout.cate).all()
    assert again.notes == fit.notes
    assert again.options == fit.options
    assert (again.info, again.posterior_info) == (fit.info, fit.posterior_info)


def test_a_saved_fit_keeps_the_controls_of_its_study(fit, draw, tmp_path):
    frame = draw.frame().assign(
        town=np.where(draw.covariates[:, 0] > 0, "a", "b"), age=draw.covariates[:, 1] ** 2
    )
    made = hb.Study.from_frame(
        frame, outcome="y", treatment="t", covariates=draw.columns, controls=["town", "age"]
    )
    again = type(fit).load(replace(fit, study=made).save(tmp_path / "fit.npz")).study
    assert (again.controls == made.controls).all()
    assert again.names == made.names
    assert (again.adjusted.covariates == made.adjusted.covariates).all()


TRAINERS = (
    "sklearn",
    "engines.deep.route",
    "deep.nuisance",
    "basis.networks",
    "gp.search",
    "gp.hmc",
    "gp.likelihood",
)


def test_reading_a_fit_and_writing_it_again_loads_no_trainer(fit, draw, tmp_path):
    path = fit.save(tmp_path / "fit.npz")
    draw.frame().to_parquet(tmp_path / "new.parquet")
    code = (
        "import sys, pandas as pd, hte_bridge as hb\n"
        f"fit = hb.DeepFit.load({str(path)!r}); fit.save({str(tmp_path / 'again.npz')!r})\n"
        f"fit.cate(pd.read_parquet({str(tmp_path / 'new.parquet')!r}))\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "hte_bridge.engines.deep.gp.posterior" in loaded
    assert [name for name in loaded if any(trainer in name for trainer in TRAINERS)] == []


@pytest.mark.parametrize("content", [b"", b"not a fit", None])
def test_a_foreign_or_truncated_file_is_named(fit, tmp_path, content):
    path = tmp_path / "fit.npz"
    if content is None:
        path.write_bytes(fit.save(tmp_path / "whole.npz").read_bytes()[:5000])
    else:
        path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"`fit.npz` must be a whole file"):
        type(fit).load(path)
    with pytest.raises(UnreadableFile, match="must exist"):
        type(fit).load(tmp_path / "none.npz")


def test_band_contains_the_pointwise_interval(fit, draw):
    frame = draw.frame().head(40)
    point, band = fit.cate(frame), fit.cate(frame, simultaneous=True)
    assert (band["conf_low"] < point["conf_low"]).all()
    assert (band["estimate"] == point["estimate"]).all()
    n_draws = 400
    paths = fit.posterior(frame, draws=n_draws, seed=3)
    inside = (
        ((paths >= band["conf_low"].to_numpy()) & (paths <= band["conf_high"].to_numpy())).all(axis=1).mean()
    )
    share = (
        0.05 * 0.95 * (1 / n_draws + 1 / BAND_DRAWS)
    )  # variance: that of these paths, and of those which set the band
    assert abs(inside - 0.95) < 4 * share**0.5


def test_average_over_groups_has_a_covariance(fit, draw):
    groups = np.where(draw.covariates[:, 0] > 0, "high", "low")
    found = fit.average(draw.frame(), groups)
    assert list(found.index) == ["high", "low"]
    np.testing.assert_allclose(np.sqrt(np.diag(found.attrs["covariance"])), found["std_error"])
    assert (found["std_error"] < fit.cate(draw.frame())["std_error"].mean()).all()


def test_posterior_is_made_when_it_is_first_asked_for():
    draw = dense(60, seed=5, p=2)
    study = study_of(draw)
    table = hb.compare(study, [hb.Deep(**QUICK)], estimands=["ate"], seed=1)
    fit = table.fits["deep"]
    before = fit.notes, dict(fit.info)
    assert "full" not in vars(fit.branch)
    sent = pickle.loads(pickle.dumps(fit))
    found = table.cate(draw.frame(), "deep")
    assert "full" in vars(fit.branch)
    assert fit.posterior_info["forms"]
    assert (fit.notes, dict(fit.info)) == before  # a frozen fit stays as it was
    assert fit.branch.full is fit.branch.full
    assert "full" not in vars(sent.branch)
    assert (sent.cate(draw.frame()) == found).all(axis=None)


def test_fit_without_convergence_offers_no_interval(fit, draw):
    lost = replace(fit, branch=replace(fit.branch, fitted=replace(fit.branch.full, converged=False)))
    assert lost.cate(draw.frame())["std_error"].isna().all()
    assert any("did not converge" in note for note in lost.notes)
    assert "no interval" in lost.diagnostics().iloc[-1]["reading"]


def test_diagnostics_and_structure_read_in_words(fit):
    table = fit.diagnostics()
    assert {"rows", "held-out loss", "held-out loss, linear", "converged"} <= set(table["diagnostic"])
    assert table["reading"].str.len().min() > 5
    forms = table[table["diagnostic"].str.startswith("share of the form")]
    assert forms["value"].sum() == pytest.approx(1.0, abs=1e-3)
    assert forms.iloc[0]["reading"].startswith("outcome mean")  # the design is Robinson's
    assert fit.structure()["importance"].is_monotonic_decreasing


def test_structure_finds_the_pair_that_acts_together_and_says_how_sure_it_is():
    rng = np.random.default_rng(3)
    x, t = rng.normal(size=(800, 4)), rng.integers(0, 2, 800)
    frame = pd.DataFrame(x, columns=list("abcd")).assign(
        t=t, y=(t - 0.5) * (1 + 2 * x[:, 0] * x[:, 1]) + 0.5 * rng.normal(size=800)
    )
    for n, most in (
        (400, 3_000),
        (800, 0),
    ):  # blocks, which take over far later, are told of a pair by networks
        study = hb.Study.from_frame(
            frame[:n], outcome="y", treatment="t", covariates=list("abcd"), propensity=0.5
        )
        engine = hb.Deep(**QUICK, kernel_max_rows=most)
        found = (posterior_alone(engine, study) if most else engine.fit(study)).structure()
        assert set(found.index[:2]) == {"a", "b"}
        assert (found["std_error"] > 0).all()
        pairs, spread = found.attrs["pairs"], found.attrs["pairs_std_error"]
        others = pairs.to_numpy()[np.triu_indices(4, 1)][1:]
        assert pairs.loc["a", "b"] > 5 * others.max()
        assert spread.shape == (4, 4)
        assert spread.loc["a", "b"] < pairs.loc["a", "b"]


@pytest.mark.parametrize("column", ["y", "x2"])
def test_values_whose_squares_overflow_are_refused(draw, column):
    frame = draw.frame()
    frame[column] *= 1e200
    with pytest.raises(InvalidData, match=rf"`(outcome|covariate) {column}` must be below 1e\+50 in size"):
        hb.Deep(**QUICK).fit(hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=draw.columns))


def test_clusters_widen_the_average():
    draw = clustered(120, seed=3, n_clusters=20, intra=0.6, p=3)
    plain, grouped = (
        posterior_alone(hb.Deep(**QUICK), study_of(draw, **roles)) for roles in ({}, {"cluster": "cluster"})
    )
    assert grouped.branch.posterior.rows.cluster is not None
    assert plain.branch.posterior.rows.cluster is None
    shared = [np.exp(2 * float(p.theta[-1])) * p.weight for p in grouped.branch.posterior.components]
    assert np.sum(shared) * grouped.branch.posterior.units.outcome_sd**2 > 0.1  # truth .6


def test_weight_of_two_equals_half_the_noise():
    draw = dense(220, seed=5, p=3)
    frame = draw.frame().assign(w=np.where(draw.covariates[:, 0] > 0, 3.0, 1.0))
    study = hb.Study.from_frame(
        frame, outcome="y", treatment="t", covariates=draw.columns, weight="w", propensity=0.5
    )
    fit = posterior_alone(hb.Deep(**QUICK), study)
    noise, weight = fit.branch.posterior.rows.noise.numpy(), fit.seen.weight
    heavy = weight == weight.max()
    np.testing.assert_allclose(noise[~heavy] / noise[heavy][0], 3.0)


def test_continuous_treatment_and_missing_covariates():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    dose = 0.5 * x[:, 0] + rng.normal(size=200)
    frame = pd.DataFrame(
        {"y": dose * (1 + x[:, 1]) + rng.normal(size=200), "t": dose, "x1": x[:, 0], "x2": x[:, 1]}
    )
    frame.loc[::20, "x1"] = np.nan
    study = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["x1", "x2"])
    fit = hb.Deep(**QUICK).fit(study)
    assert fit.heldout.treatment_variance is not None
    assert any("indicator" in note for note in fit.notes)
    assert np.corrcoef(fit.heldout.cate, 1 + x[:, 1])[0, 1] > 0.7


def test_binary_outcome_says_where_its_range_is_left():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    frame = pd.DataFrame(
        {"y": (x + 0.2 * rng.normal(size=200) > 0) * 1.0, "t": rng.integers(0, 2, 200), "x": x}
    )
    fit = hb.Deep(**QUICK).fit(hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["x"]))
    assert any(r"leave [0, 1]" in note for note in fit.notes)


@pytest.mark.slow
def test_kernel_and_gram_agree_where_they_meet(fit, draw):
    gram = hb.Deep(**QUICK, kernel_max_rows=0).fit(study_of(draw))
    assert (fit.branch.kind, gram.branch.kind) == ("kernel", "gram")
    ours, theirs = (each.cate(draw.frame()) for each in (fit, gram))
    gap = np.abs(ours["estimate"] - theirs["estimate"])
    assert gap.mean() < (ours["std_error"] + theirs["std_error"]).mean() / 2  # within one error of each other
    assert abs(fit.average(draw.frame()) - gram.average(draw.frame())).iloc[0]["estimate"] < 0.15


def test_effects_are_a_panels(fit):
    with pytest.raises(NotIdentified, match="`user` is not one; it has none"):
        fit.effects("user")


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        (
            lambda fit, new: fit.posterior(new, draws=0),
            InvalidOption,
            "`draws` must be a whole number, 1 or more",
        ),
        (lambda fit, new: fit.posterior(new, seed=-1), InvalidOption, "`seed` must be a whole number"),
        (lambda fit, new: fit.average(new.head(0)), InvalidNewData, "`new` has none"),
        (lambda fit, new: fit.average(new, groups=["a"]), InvalidNewData, "1 labels for 120 rows"),
        (
            lambda fit, new: fit.average(new, groups=[1.0] * 7 + [None] * 113),
            InvalidNewData,
            "That of row 7 is missing",
        ),
    ],
)
def test_questions_are_checked(fit, draw, asked, error, sentence):
    with pytest.raises(error, match=sentence):
        asked(fit, draw.frame())


def test_no_rows_have_no_effects(fit, draw):
    none = draw.frame().head(0)
    assert fit.cate(none, simultaneous=True).shape == (0, 4)
    assert fit.posterior(none, draws=3).shape == (3, 0)


def test_fits_side_by_side_give_the_same_numbers():
    """Above 300 rows, where parts leave one factor, and with two models that count."""
    drawn = nie_wager(320, seed=2, setup="A", d=5)
    study = hb.Study.from_frame(drawn.frame(), outcome="y", treatment="t", covariates=drawn.columns)
    one, two = (hb.Deep(**QUICK, n_jobs=n).fit(study) for n in (1, 2))
    for name in ("cate", "outcome_mean", "propensity"):
        assert np.array_equal(getattr(one.heldout, name), getattr(two.heldout, name))
    assert one.cate(drawn.frame()).equals(two.cate(drawn.frame()))
