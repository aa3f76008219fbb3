"""The path of a penalised logistic regression against scikit-learn's solver, one fit at a time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from hte_bridge.engines.deep.nuisance.logistic import (
    LOGISTIC,
    best_of_path,
    by_the_others,
    logistic_ridge,
    newton,
)

RNG = np.random.default_rng(1)
X = RNG.normal(size=(300, 4))
Y = 1.0 * (RNG.logistic(size=300) < 0.5 + X[:, 0] - X[:, 1])
WEIGHT = RNG.uniform(0.5, 2.0, size=300)
COLUMNS = np.column_stack([np.ones(300), X])


@pytest.mark.parametrize("inverse", LOGISTIC.inverse_penalties)
def test_each_fit_of_the_path_is_that_of_another_solver(inverse):
    theirs = LogisticRegression(C=inverse, tol=1e-10, max_iter=5_000).fit(X, Y, sample_weight=WEIGHT)
    ours = newton(COLUMNS, Y, WEIGHT, inverse)
    assert ours == pytest.approx(np.append(theirs.intercept_, theirs.coef_[0]), abs=1e-5)


def test_noise_gets_a_stronger_penalty_than_a_signal():
    noise = 1.0 * (np.random.default_rng(2).random(300) < 0.5)
    assert best_of_path(COLUMNS, noise, WEIGHT)[0] < best_of_path(COLUMNS, Y, WEIGHT)[0]


def test_the_error_of_units_left_out_is_that_of_fits_without_them():
    for inverse in LOGISTIC.inverse_penalties:
        at = newton(COLUMNS, Y, WEIGHT, inverse)
        near = by_the_others(COLUMNS, Y, WEIGHT, inverse, at)
        rest = [np.arange(300) != i for i in range(20)]
        exact = [
            COLUMNS[i] @ newton(COLUMNS[own], Y[own], WEIGHT[own], inverse, at) for i, own in enumerate(rest)
        ]
        assert near[:20] == pytest.approx(exact, abs=5e-3)


def test_events_that_a_covariate_tells_apart_have_a_finite_fit():
    slopes, intercept = logistic_ridge(X[:, :1], 1.0 * (X[:, 0] > 0), np.ones(300))
    assert np.isfinite([*slopes, intercept]).all()
    assert slopes[0] > 1.0


def test_few_events_are_not_searched(monkeypatch):
    monkeypatch.setattr("hte_bridge.engines.deep.nuisance.logistic.best_of_path", None)  # a call would fail
    few = np.zeros(300)
    few[:5] = 1.0
    slopes, _ = logistic_ridge(X, few, np.ones(300))
    assert np.abs(slopes).max() < 1.0
