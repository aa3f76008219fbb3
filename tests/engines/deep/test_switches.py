"""At every size where the engine goes another way, both ways say the same of one study, within the errors that they claim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep import accounts, route_basis
from hte_bridge.engines.deep.gp import inducing, leave_part_out, many_rows, model_average, regression
from hte_bridge.simulate import dense, nie_wager, steps
from tests.helpers.posterior import posterior_alone, posterior_by_points
from tests.helpers.studies import cross_section

N = 90
QUICK = hb.Deep(seed=1, draws=8, n_folds=2, epochs=5, hidden=(8,))


@pytest.fixture(scope="module")
def study():
    return cross_section(dense(N, seed=3, p=2))


@pytest.fixture(scope="module")
def usual(study):
    return posterior_alone(QUICK, study).cate(study.frame)


def apart(one, other):
    """Mean distance of two surfaces, in mean standard errors."""
    gap = np.abs(one["estimate"] - other["estimate"]).mean()
    return gap / (one["std_error"].mean() + other["std_error"].mean()) * 2


def ratio(one, other):
    return one["std_error"].mean() / other["std_error"].mean()


def test_modes_found_on_all_rows_but_few_are_those_of_all(study, usual):
    fewer = posterior_alone(replace(QUICK, scale_rows=N - 10), study).cate(study.frame)
    assert apart(usual, fewer) < 0.5
    assert 0.7 < ratio(usual, fewer) < 1.4


def test_draws_of_a_chain_and_of_the_normal_approximation_agree(study, usual, monkeypatch):
    monkeypatch.setattr(model_average, "AVERAGE", replace(model_average.AVERAGE, chain_share=2.0))
    approximated = posterior_alone(QUICK, study).cate(study.frame)
    assert apart(usual, approximated) < 0.5
    assert 0.7 < ratio(usual, approximated) < 1.4


def test_fewer_draws_say_the_same(study, usual, monkeypatch):
    rule = replace(model_average.AVERAGE, full_draws_rows=N // 2, fewest_draws=2, fewest_draws_of_many=2)
    monkeypatch.setattr(model_average, "AVERAGE", rule)
    fewer = posterior_alone(QUICK, study).cate(study.frame)
    assert apart(usual, fewer) < 0.5
    assert 0.7 < ratio(usual, fewer) < 1.4


def test_held_out_means_with_and_without_hyperparameters_of_their_own_agree(monkeypatch):
    made = cross_section(dense(60, seed=4, p=2), propensity=0.5)
    before = QUICK.fit(made).heldout
    monkeypatch.setattr(leave_part_out, "PARTS", replace(leave_part_out.PARTS, sought_again_rows=0))
    after = QUICK.fit(made).heldout
    assert np.array_equal(before.cate, after.cate)  # only the shares of the stacked mean know of it
    assert np.abs(before.outcome_mean - after.outcome_mean).mean() < 0.2 * made.outcome.std()


def test_a_process_and_curves_give_like_propensities(monkeypatch):
    """Where one covariate moves it, which both can follow."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 2))
    truth = 1 / (1 + np.exp(-x[:, 0]))
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(
        t=(rng.random(600) < truth) * 1, y=rng.normal(size=600)
    )
    made = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b"])
    found = []
    for most in (regression.REGRESSION.most_rows, 0):
        monkeypatch.setattr(regression, "REGRESSION", replace(regression.REGRESSION, most_rows=most))
        (learner,) = regression.smooth_learners(made).values()
        found.append(learner(made.filled, made.treatment, made.weight, 1, {})(made.filled))
    assert np.abs(found[0] - found[1]).mean() < 0.1
    for each in found:
        assert np.mean((each - truth) ** 2) < 0.2 * truth.var()


def test_held_out_effects_with_and_without_a_propensity_that_saw_the_fold_agree(monkeypatch):
    made = cross_section(nie_wager(400, seed=1, setup="A", d=5))
    large = replace(QUICK, kernel_max_rows=0)
    before = large.fit(made)
    monkeypatch.setattr(route_basis, "CROSS_SECTION", replace(route_basis.CROSS_SECTION, twice_rows=0))
    after = large.fit(made)
    gap = np.abs(before.heldout.cate - after.heldout.cate).mean()
    assert gap < before.cate(made.frame)["std_error"].mean()


def rmse_in_errors(one, other):
    """Root mean squared difference of two surfaces, in mean standard errors of the first."""
    gap = np.sqrt(np.mean((one["estimate"] - other["estimate"]) ** 2))
    return gap / one["std_error"].mean()


SMOOTH_AND_EDGED = {"smooth": nie_wager, "edged": steps}


@pytest.mark.parametrize("design", SMOOTH_AND_EDGED)
def test_the_exact_kernel_and_the_same_by_points_agree(design, monkeypatch):
    """Both sides of ``kernel_max_rows`` on one study, where points are half of the rows, as they are there."""
    made = cross_section(SMOOTH_AND_EDGED[design](240, seed=2), propensity=0.5)
    monkeypatch.setattr(inducing, "INDUCING", replace(inducing.INDUCING, points=120, rows=240))
    exact, by_points = (
        alone(QUICK, made).cate(made.frame) for alone in (posterior_alone, posterior_by_points)
    )
    assert rmse_in_errors(exact, by_points) < 0.2
    assert 0.9 < ratio(by_points, exact) < 1.1


@pytest.mark.parametrize("design", SMOOTH_AND_EDGED)
def test_whole_fits_on_both_sides_of_the_exact_kernel_agree(design, tmp_path, monkeypatch):
    made = cross_section(SMOOTH_AND_EDGED[design](150, seed=3), propensity=0.5)
    exact, beyond = (replace(QUICK, kernel_max_rows=most).fit(made) for most in (150, 149))
    before, after = exact.cate(made.frame), beyond.cate(made.frame)
    assert (exact.branch.kind, beyond.branch.kind) == ("kernel", "gram")
    assert rmse_in_errors(before, after) < 0.2
    assert 0.9 < ratio(after, before) < 1.1


def test_blocks_take_over_bit_by_bit():
    least, most = accounts.ACCOUNTS.kernel_rows, accounts.ACCOUNTS.most_rows
    assert accounts.share_of_blocks(least, 1e3) == 0.0
    assert accounts.share_of_blocks(most, -1e3) == 1.0
    halfway = (least + most) // 2
    sure = [accounts.share_of_blocks(halfway, ahead) for ahead in (-1e3, 1e3)]
    assert 0.1 < sure[0] < 0.3  # however far ahead one is, the other is heard
    assert 0.7 < sure[1] < 0.9
    between = [accounts.share_of_blocks(n, 0.0) for n in range(least, most, 500)]
    assert np.all(np.diff(between) >= 0.0)
    assert np.diff(between).max() < 0.1


@pytest.fixture(scope="module")
def mixed():
    """A fit to so few rows with both accounts, half each."""
    made = cross_section(steps(120, seed=4), propensity=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "share_of_blocks", lambda n, ahead: 0.5)
        fit = replace(QUICK, kernel_max_rows=0).fit(made)
        _ = fit.branch.full
    return made, fit


def test_a_mixture_of_both_accounts_is_one_posterior(mixed, tmp_path):
    made, fit = mixed
    surface, own = fit.cate(made.frame), fit.branch.posterior
    parts = [each.moments(fit.encode(made.frame)) for each in own.accounts]
    mean = np.mean([mean for mean, _ in parts], axis=0)
    within = np.mean([sd**2 for _, sd in parts], axis=0)
    between = (parts[0][0] - parts[1][0]) ** 2 / 4
    assert np.allclose(surface["estimate"], mean)
    assert np.allclose(surface["std_error"] ** 2, within + between)
    few = made.frame.head(4)
    draws = fit.posterior(few, draws=4_000, seed=1)
    assert np.allclose(draws.mean(axis=0), surface["estimate"].head(4), atol=4 * draws.std() / 4_000**0.5)
    assert np.allclose(draws.std(axis=0), surface["std_error"].head(4), rtol=0.1)
    assert fit.average(few)["estimate"].iloc[0] == pytest.approx(surface["estimate"].head(4).mean())
    again = hb.DeepFit.load(fit.save(tmp_path / "fit.npz"))
    assert np.array_equal(again.cate(made.frame).to_numpy(), surface.to_numpy())
    said = fit.diagnostics().set_index("diagnostic")["value"]
    assert said["share of the blocks"] == 0.5
    forms = said[[each for each in said.index if "share of the form" in each]]
    assert forms.sum() == pytest.approx(1.0, abs=1e-3)  # shares are kept with four digits


def test_models_followed_on_some_rows_are_those_of_all(study, usual, monkeypatch):
    monkeypatch.setattr(many_rows, "MANY", replace(many_rows.MANY, followed=N - 15, all_rows=N - 15))
    fewer = posterior_by_points(QUICK, study).cate(study.frame)
    assert apart(usual, fewer) < 0.5
    assert 0.7 < ratio(usual, fewer) < 1.4
