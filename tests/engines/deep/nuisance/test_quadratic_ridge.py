"""Regressions on squares and products: scikit-learn's ridge as a twin, held out where held out is said, and what they are for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PolynomialFeatures

import hte_bridge as hb
from hte_bridge.engines.deep.nuisance import quadratic_ridge as products
from hte_bridge.engines.deep.nuisance.quadratic_ridge import RIDGE, QuadraticRidge


def quadratic(n, q, seed=0):
    """Covariates, and an outcome in which every pair counts a little."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, q))
    slopes = np.triu(rng.normal(size=(q, q))) / q
    return x, np.einsum("ij,jk,ik->i", x, slopes, x) + 0.3 * rng.normal(size=n)


def test_predictions_are_those_of_ridge():
    x, y = quadratic(300, 4)
    weight = np.random.default_rng(1).uniform(0.5, 1.5, 300)
    test = np.arange(0, 300, 5)
    train = np.setdiff1d(np.arange(300), test)
    found = QuadraticRidge.of(x, weight).predict(test, y)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    f = PolynomialFeatures(2).fit_transform(z)  # constant, covariates, then squares and products in our order
    size = np.average(f[train] ** 2, axis=0, weights=weight[train])
    for k, ratio in enumerate(RIDGE.noise_to_signal):
        penalty = np.r_[1e-9, np.ones(4), np.full(10, ratio * 10)] * size
        ridge = Ridge(alpha=1.0, fit_intercept=False).fit(
            f[train] / np.sqrt(penalty), y[train], weight[train]
        )
        assert found[:, k] == pytest.approx(ridge.predict(f[test] / np.sqrt(penalty)), abs=1e-7)


def test_a_unit_is_not_in_its_own_prediction():
    x, y = quadratic(200, 3)
    made = QuadraticRidge.of(x, np.ones(200))
    test = np.arange(50)
    moved = y.copy()
    moved[test] += 1_000
    assert made.predict(test, moved) == pytest.approx(made.predict(test, y), abs=0)
    assert not np.allclose(made.predict(np.arange(50, 100), moved), made.predict(np.arange(50, 100), y))


def test_too_many_terms_are_left_out(monkeypatch):
    x, _ = quadratic(50, 3)
    monkeypatch.setattr(products, "RIDGE", replace(products.RIDGE, most_work=products.work(50, 3) - 1))
    assert QuadraticRidge.of(x, np.ones(50)) is None


@pytest.mark.parametrize("offered", [True, False])
def test_they_predict_what_no_selected_pair_can(monkeypatch, offered):
    """Thirty covariates, 465 small products: the held-out mean of the Gram form needs them, its effect does not."""
    monkeypatch.setattr(
        products, "RIDGE", replace(products.RIDGE, most_work=products.RIDGE.most_work if offered else 0)
    )
    x, base = quadratic(2_000, 30)
    rng = np.random.default_rng(1)
    t = rng.binomial(1, 0.5, 2_000)
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(30)])
    frame = frame.assign(t=t, y=base + (1 + 0.5 * x[:, 0]) * t)
    study = hb.Study.from_frame(
        frame, outcome="y", treatment="t", covariates=list(frame.columns[:30]), propensity=0.5
    )
    fit = hb.Deep(seed=1, kernel_max_rows=0, n_folds=2, hidden=(8,), n_nets=1, epochs=2).fit(study)
    truth = base + 0.5 * (1 + 0.5 * x[:, 0])
    left = np.mean((truth - fit.heldout.outcome_mean) ** 2) / truth.var()
    assert (left < 0.5) == offered
    assert fit.info["losses"]["deep"] < fit.info["losses"]["constant effect"]
