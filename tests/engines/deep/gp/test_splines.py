"""Additive effects: the smoothing spline they are made of, where the evidence wants them, and how they leave the support."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import make_smoothing_spline

from hte_bridge.engines.deep.gp.covariance import Data
from hte_bridge.engines.deep.gp.hyperparameters import Hyperparameters
from hte_bridge.engines.deep.gp.model_average import approximate, bent, weigh
from hte_bridge.engines.deep.gp.modes import as_a_sum, search
from hte_bridge.engines.deep.gp.outcome_models import ALONE
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, Model, component
from hte_bridge.engines.deep.gp.splines import PER_COVARIATE, SPLINE
from hte_bridge.engines.deep.gp.standardise import Standardisation
from tests.helpers.gaussian_process import ARMS, BASELINE, CENTRED, P, rows_of, tensor

PLAIN = [CENTRED, BASELINE, ARMS]


def test_an_additive_surface_of_one_covariate_is_the_cubic_smoothing_spline():
    """Wahba (1978): with units at the knots, where nothing of the process is lost."""
    rng = np.random.default_rng(0)
    x = np.concatenate([-np.array(SPLINE.knots)[::-1], [0.0], SPLINE.knots])
    y, noise_sd, curved_sd = np.sin(x) + 0.1 * rng.normal(size=len(x)), 0.2, 0.7
    scales = Hyperparameters(1, rates=(1.0,), kinds=("additive",))
    rows = Data(tensor(x[:, None]), tensor(y), torch.ones(len(x)).double(), torch.ones(1, len(x)).double())
    theta = np.log([noise_sd, 1e3, curved_sd, 1.0])  # the line as good as free
    model = Model(ALONE, rows, scales)
    fit = KernelPosterior(Standardisation(np.zeros(1), np.ones(1), 0.0, 1.0), (component(1.0, theta, model),))
    new = np.linspace(-4.0, 4.0, 33)
    twin = make_smoothing_spline(x, y, lam=noise_sd**2 / (6.0 / SPLINE.scale * curved_sd**2))
    inside = np.abs(new) <= SPLINE.knots[-1]
    np.testing.assert_allclose(fit.mean(new[:, None])[inside], twin(new[inside]), atol=2e-4)
    assert np.ptp(np.diff(fit.mean(new[-9:, None]))) > 1e-3  # it bends up to the last knot
    beyond = fit.mean(np.linspace(3.0, 6.0, 7)[:, None])
    np.testing.assert_allclose(np.diff(beyond, 2), 0.0, atol=1e-7)  # and not beyond


def rows_where(effect, n=240):
    rng = np.random.default_rng(6)
    x, t = rng.normal(size=(n, P)), rng.integers(0, 2, size=n) * 1.0
    y = x[:, 2] + (t - 0.5) * effect(x) + 0.4 * rng.normal(size=n)
    return rows_of(x, t, y)


@pytest.mark.parametrize(
    ("effect", "wanted"),
    [
        (lambda x: 1 + 1.5 * np.abs(x[:, 0]) + 1.5 * np.sin(2 * x[:, 1]), True),
        (lambda x: 1 + 2 * x[:, 0] * x[:, 1], False),
    ],
    ids=["a sum", "a product"],
)
def test_evidence_wants_an_additive_effect_where_it_is_one(effect, wanted):
    best = search(rows_where(effect), [CENTRED], 1e-7)[0]
    chosen, share = weigh([(each, approximate(each)) for each in (best, as_a_sum(best, 1e-7))], 0.0)
    assert chosen[1][0].model.form.label == "centred, additive"
    assert (share[1] > 0.7) == wanted
    assert (share[1] < 0.05) == (not wanted)


def labels(makers):
    return [make().model.form.label for make in makers]


def test_the_best_form_and_the_centred_one_are_bent():
    found = {each.model.form: each for each in search(rows_where(lambda x: x[:, 0], n=60), PLAIN, 1e-3)}
    centred, baseline, arms = (found[form] for form in PLAIN)
    assert labels(bent([centred, baseline, arms])) == ["centred, index", "centred, additive"]
    both = ["baseline, index", "centred, index", "baseline, additive", "centred, additive"]
    assert labels(bent([baseline, arms, centred])) == both
    assert labels(bent([baseline])) == ["baseline, index", "baseline, additive"]


def test_arms_are_not_made_additive_nor_functions_nearly_as_many_as_rows():
    found = search(rows_where(lambda x: x[:, 0], n=60), [CENTRED, ARMS], 1e-3)
    arms_first = sorted(found, key=lambda each: each.model.form != ARMS)
    assert labels(bent(arms_first)) == ["arms, index", "centred, index", "centred, additive"]
    few = search(rows_where(lambda x: x[:, 0], n=2 * P * PER_COVARIATE - 1), [CENTRED], 1e-3)
    assert labels(bent(few)) == ["centred, index"]


def test_an_additive_interval_grows_beyond_the_support():
    best = search(rows_where(lambda x: 1 + np.abs(x[:, 0])), [CENTRED], 1e-5)[0]
    found = as_a_sum(best, 1e-5)
    fit = KernelPosterior(
        Standardisation(np.zeros(P), np.ones(P), 0.0, 1.0), (component(1.0, found.mode.theta, found.model),)
    )
    sd = fit.moments(np.outer([0.0, 3.0, 6.0, 12.0], np.eye(P)[0]))[1]
    assert (np.diff(sd) > 0).all()
    assert sd[3] > 1.5 * sd[2]
