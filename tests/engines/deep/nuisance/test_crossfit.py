"""Networks and nuisances: warm start, early stopping, stacking, and no fold that sees itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hte_bridge.engines.deep.nuisance.crossfit import (
    CrossFitted,
    Splits,
    constant,
    stack,
    standard_learners,
)
from hte_bridge.engines.deep.nuisance.gam import gam
from hte_bridge.engines.deep.nuisance.networks import NetOptions, linear, net
from hte_bridge.engines.deep.nuisance.scaler import Scaler
from hte_bridge.errors import DidNotConverge, InvalidOption

OPTIONS = NetOptions(hidden=(16,), epochs=20)
ONES = np.ones(400)


def sample(seed=0, n=400):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return x, np.abs(x[:, 0]) * 2 + x[:, 1] + 0.3 * rng.normal(size=n)


def splits(x, fold, part=None):
    return Splits(x, np.ones(len(x)), fold, fold if part is None else part, seed=1)


def test_network_beats_the_line_on_a_curve_and_shares_say_so():
    x, y = sample()
    fit = splits(x, np.arange(400) % 4).crossfit(y, standard_learners("mean", NetOptions()))
    assert fit.loss["net"] < 0.6 * fit.loss["linear"]
    assert fit.share["net"] > 0.9
    assert fit.loss["stacked"] <= min(fit.loss[name] for name in fit.candidates) + 1e-9
    assert fit.verdict("the outcome") == ""


def test_probabilities_stay_inside_and_are_calibrated():
    x, _ = sample(n=2_000)
    truth = 1 / (1 + np.exp(-x[:, 0]))
    t = (np.random.default_rng(1).random(2_000) < truth) * 1.0
    fit = splits(x, np.arange(2_000) % 3).crossfit(t, standard_learners("probability", OPTIONS))
    assert 0 < fit.prediction.min() < fit.prediction.max() < 1
    assert np.sqrt(np.mean((fit.prediction - truth) ** 2)) < 0.05


def test_no_fold_sees_itself():
    x, y = sample()
    fold = np.arange(400) % 4
    changed = np.where(fold == 2, y + 100, y)
    learners = standard_learners("mean", OPTIONS)
    ours, theirs = (splits(x, fold).crossfit(each, learners).candidates for each in (y, changed))
    for name in learners:
        assert (ours[name][fold == 2] == theirs[name][fold == 2]).all()
        assert not np.allclose(ours[name][fold != 2], theirs[name][fold != 2])


@pytest.mark.parametrize("n_folds", [2, 4])
def test_left_out_twice_has_seen_neither_fold(n_folds):
    x, y = sample()
    fold = np.arange(400) % n_folds
    part = fold if n_folds > 2 else np.arange(400) % 4
    learners = standard_learners("mean", OPTIONS)
    changed = np.where(
        part == 2, y + 100 * x[:, 1], y
    )  # part 2 is of fold 2, or of fold 0 where there are two
    ours, theirs = (splits(x, fold, part).left_out_twice(each, learners).mean for each in (y, changed))
    without = fold[part == 2][0]
    rest = fold != without
    np.testing.assert_array_equal(ours[without], theirs[without])
    assert (np.isnan(ours[without]) == ~rest).all()
    assert np.mean((ours[without] - y)[rest] ** 2) < 0.8 * y.var()
    may_see_it = (fold != 1) & (part != 2)
    assert not np.allclose(ours[1, may_see_it], theirs[1, may_see_it])


def test_left_out_twice_takes_one_arm_as_it_comes():
    x, _ = sample()
    fold = np.arange(400) % 3
    learners = standard_learners("probability", OPTIONS)
    found = splits(x, fold).left_out_twice((fold == 1) * 1.0, learners).mean
    assert (found[1][fold != 1] == 0).all()
    assert (found[0][fold == 1] == 0).all()


def test_two_folds_of_which_one_cannot_be_split_are_left_out_once():
    y, fold = np.arange(4.0), np.array([0, 0, 1, 1])
    found = splits(y[:, None], fold).left_out_twice(y, {"constant": constant}).mean
    assert found[0][2:].tolist() == [2.5, 2.5]
    assert found[1][:2].tolist() == [0.5, 0.5]


def test_a_curve_among_many_covariates_is_found_where_a_network_finds_a_line():
    rng = np.random.default_rng(3)
    x = rng.uniform(size=(2_400, 60))
    truth = 0.25 + 0.5 * (np.abs(x[:, 2] - 0.4) < 0.2)
    t = (rng.random(2_400) < truth) * 1.0
    learners = standard_learners("probability", OPTIONS) | {"additive": gam}
    fit = splits(x, np.arange(2_400) % 3).crossfit(t, learners)
    assert np.mean((fit.prediction - truth) ** 2) < 0.25 * truth.var()
    assert np.mean((fit.candidates["net"] - truth) ** 2) > 0.8 * truth.var()


def test_training_moves_nothing_global():
    x, y = sample()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = (net(x, y, ONES, "mean", seed=2, options=OPTIONS)(x) for _ in range(2))
    assert (first == second).all()
    assert (torch.random.get_rng_state() == before).all()


def test_line_ignores_units_and_a_covariate_with_one_value():
    x, y = sample()
    x[:, 2] = 7.0
    moved = x * [100, 0.01, 1] + [5, -3, 0]
    np.testing.assert_allclose(
        linear(x, y, ONES, "mean")(x), linear(moved, y, ONES, "mean")(moved), atol=1e-8
    )
    assert Scaler.of(x).spread[2] == 1.0


def test_shares_are_nonnegative_and_sum_to_one():
    x, y = sample()
    shares = stack(np.column_stack([np.zeros(400), x[:, 1], -y]), y, ONES)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1.0)
    assert shares[2] == 0


def test_losing_network_is_said():
    loss = {"net": 3.0, "linear": 2.0}
    fit = CrossFitted(np.zeros(2), {}, loss, {"net": 0.1, "linear": 0.9})
    assert "did not beat the linear model held out (loss 3 against 2); its share is 0.10" in fit.verdict(
        "the outcome"
    )


def test_a_loss_that_is_not_finite_ends_in_a_sentence():
    x, y = sample()
    wild = NetOptions(hidden=(16,), epochs=20, learning_rate=1e30)
    with pytest.raises(DidNotConverge, match="must stay finite"):
        net(x, y, ONES, "mean", seed=1, options=wild)


def test_options_are_checked():
    with pytest.raises(InvalidOption, match="must be 1 or more"):
        NetOptions(epochs=0)
