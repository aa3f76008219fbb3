"""The Gram form of a cross-section: errors of the estimated propensity stay out of the average effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep import gram
from hte_bridge.engines.deep.nuisance import CrossFitted
from hte_bridge.engines.deep.treatment import Treatment


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
    monkeypatch.setattr(gram, "beside_constant", lambda *given: None)
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
    found = gram.beside_constant(study, folds, Treatment(estimated, None, (), candidates))
    assert (found is None) == (slope == 0.0)
    assert gram.beside_constant(study, folds, Treatment(estimated, None)) is None  # known, not estimated
