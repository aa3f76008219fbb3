"""A category is one covariate of the kernel: its levels share a length, and which of them comes first changes nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import hte_bridge as hb
from hte_bridge.engines.deep.gp.categories import Categories
from hte_bridge.engines.deep.gp.likelihood import LogPosterior
from hte_bridge.engines.deep.gp.outcome_models import ALONE, outcome_models
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, component, gradients, restore
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.gp.standardise import Standardisation
from tests.helpers.posterior import posterior_alone

N = 70
CENTRED, BASELINE, ARMS = outcome_models(10.0, binary=True)
FORMS = [ALONE, CENTRED, ARMS, CENTRED.with_effect("index"), BASELINE.with_effect("additive")]


def frame(levels="abcd", n=N, seed=0):
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 4, size=n)
    x, t = rng.normal(size=n), rng.integers(0, 2, size=n)
    y = x + t * np.array([0.0, 1.0, 2.0, -1.0])[place] + 0.5 * rng.normal(size=n)
    town = pd.Categorical.from_codes(np.array(["abcd".index(each) for each in levels])[place], list("abcd"))
    return pd.DataFrame({"y": y, "t": t, "town": town, "x": x})


def study(levels="abcd", **options):
    columns = {"outcome": "y", "treatment": "t", "covariates": ["town", "x"], "propensity": 0.5}
    return hb.Study.from_frame(frame(levels, **options), **columns)


def sample(levels="abcd"):
    made = study(levels)
    return Sample.of(made, made.propensity)


def scales_of(model, seed=1):
    return model.scales.start() + 0.2 * np.random.default_rng(seed).normal(size=model.scales.size)


def test_levels_are_as_far_from_one_another_and_two_units_as_along_a_number():
    at = sample()
    corners = np.unique(at.bare.x[:, :3].numpy().round(9), axis=0)
    apart = np.square(corners[:, None] - corners).sum(-1)[np.triu_indices(4, 1)]
    assert apart == pytest.approx(apart[0])
    assert float(at.bare.x[:, :3].square().sum(1).mean()) == pytest.approx(1.0)
    assert float(at.bare.x[:, 3].square().mean()) == pytest.approx(1.0)


def test_a_category_of_two_levels_is_its_indicator():
    made = frame()
    made["town"] = np.where(made["town"].isin(["a", "b"]), "a", "b")
    columns = {"outcome": "y", "treatment": "t", "covariates": ["town", "x"]}
    named = hb.Study.from_frame(made, **columns)
    made["town"] = (made["town"] == "b") * 1.0
    numbered = hb.Study.from_frame(made, **columns)
    first, second = (Sample.of(each, np.full(N, 0.5)) for each in (named, numbered))
    assert first.bare.groups == ()
    assert torch.equal(first.bare.x, second.bare.x)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_gradient_is_the_slope_of_the_value(form):
    model = sample().model(form)
    theta, step = scales_of(model), 1e-5
    slopes = LogPosterior(model.rows, model.scales)(theta)[1]
    for j in range(model.scales.size):
        move = step * (np.arange(model.scales.size) == j)
        ends = [LogPosterior(model.rows, model.scales)(theta + s * move)[0] for s in (1, -1)]
        assert slopes[j] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-4)


@pytest.mark.parametrize(
    "form", [CENTRED, ARMS, BASELINE.with_effect("additive")], ids=lambda form: form.label
)
def test_which_level_comes_first_does_not_matter(form):
    found = []
    for levels in ("abcd", "dabc"):
        own = sample(levels)
        model = own.model(form)
        theta = scales_of(model)
        fit = KernelPosterior(own.units, (component(1.0, theta, model),))
        mean, sd = fit.moments(study(levels).filled)
        found.append([LogPosterior(model.rows, model.scales)(theta)[0], *mean, *sd])
    assert found[0] == pytest.approx(found[1], abs=1e-8)


@pytest.mark.parametrize("form", [CENTRED, CENTRED.with_effect("index"), BASELINE.with_effect("additive")])
def test_gradients_are_differences_of_the_mean(form):
    own = sample()
    model = own.model(form)
    at = component(1.0, scales_of(model), model)
    x, step = own.bare.x[:5], 1e-5
    units = Standardisation(np.zeros(4), np.ones(4), 0.0, 1.0)
    mean = KernelPosterior(units, (at,)).mean
    moves = [step * np.eye(4)[j] for j in range(4)]
    slopes = [(mean(x.numpy() + each) - mean(x.numpy() - each)) / (2 * step) for each in moves]
    assert gradients(at, x).numpy() == pytest.approx(np.array(slopes).T, abs=1e-5)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_restored_posterior_predicts_the_same_bits(form):
    own = sample()
    model = own.model(form)
    fit = KernelPosterior(own.units, (component(1.0, scales_of(model), model),))
    again = restore(*fit.state())
    for ours, theirs in zip(fit.moments(study().filled), again.moments(study().filled), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_level_that_some_rows_lack_is_far_from_all_others_too():
    centre = np.array([0.5, 0.0, 0.3])
    made = Categories.of((0, 0, 0, 1), np.append(centre, 0.0), np.ones(4))
    corners = made(np.vstack([np.zeros(4), np.eye(4)[:3]]) - np.append(centre, 0.0))
    apart = np.square(corners[:, None] - corners).sum(-1)[np.triu_indices(4, 1)]
    assert apart == pytest.approx(apart[0])


def test_effects_of_levels_are_found_and_covered():
    made = study(n=300, seed=3)
    new = made.frame.drop(columns="y")
    found = posterior_alone(hb.Deep(seed=1, draws=8), made).cate(new)
    truth = np.array([0.0, 1.0, 2.0, -1.0])[new["town"].cat.codes]
    off = found["estimate"] - truth
    assert np.mean(off**2) < 0.03
    assert np.abs(off / found["std_error"]).max() < 4.0


def test_a_fit_with_a_category_is_saved_and_loaded_bit_for_bit(tmp_path):
    fit = posterior_alone(hb.Deep(seed=1, draws=8), study())
    path = fit.save(tmp_path / "fit.npz")
    new = frame(seed=5)
    pd.testing.assert_frame_equal(fit.cate(new), hb.DeepFit.load(path).cate(new))
