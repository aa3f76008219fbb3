"""Scores for many new rows: the same moments as the exact posterior, in single precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hte_bridge.engines.deep.gp import posterior as gp_posterior
from hte_bridge.engines.deep.gp.fast_prediction import FAST
from hte_bridge.engines.deep.gp.posterior import cross
from tests.helpers.gaussian_process import FORMS, P, example, posterior, tensor


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("form", FORMS[1:], ids=lambda form: form.label)
def test_many_rows_are_scored_with_the_same_moments(form, clustered, monkeypatch):
    model, theta = example(form, clustered=clustered)
    fit = posterior(model, [theta, theta + 0.1], (0.25, 0.75))
    new = 1.5 * np.random.default_rng(1).normal(size=(200, P))  # some beyond the support
    mean, sd = fit.moments(new)
    monkeypatch.setattr(
        gp_posterior, "PREDICTION", gp_posterior.PredictionRule(single_precision_rows=len(new))
    )
    quick_mean, quick_sd = fit.moments(new)
    assert (quick_sd != sd).any()  # so the other road was taken
    np.testing.assert_allclose(quick_mean, mean, atol=1e-4)
    longer = (quick_sd / sd) ** 2 - 1
    assert longer.min() > -1e-4  # directions that are left out only add
    assert longer.mean() < 2 * FAST.dropped  # the promise is for the units seen; these are others
    assert longer.max() < 5 * FAST.dropped


def test_single_precision_alone_would_not_do():
    """With the constant left in it errs to both sides: the bounds above are able to fail."""
    model, theta = example()
    fit = posterior(model, [theta])
    new = np.random.default_rng(1).normal(size=(200, P))
    each = fit.components[0]
    joint = cross(model, tensor(new), each.theta).float()
    half = torch.linalg.solve_triangular(each.factor.float(), joint, upper=False)
    before = torch.diagonal(gp_posterior.prior(model, tensor(new), tensor(new), each.theta)).float()
    naive = (before - half.square().sum(0)).clamp(min=0.0).sqrt().numpy()
    assert ((naive / fit.moments(new)[1]) ** 2 - 1).min() < -1e-4
