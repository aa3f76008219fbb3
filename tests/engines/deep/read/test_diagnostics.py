"""What a reader is told before believing a fit: each figure by hand, and the words that it turns on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.read.diagnostics import READING, diagnostics

N = 60
INFO = {
    "effective_draws": 5.0,
    "noise_sd": 0.5,
    "forms": {"centred": 0.7, "arms, index": 0.3},
    "error_variance": "constant",
    "outlying": 0,
}


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(size=N), "d": np.arange(N) % 2})
    frame["y"] = frame["d"] * (1 + frame["x"]) + 0.1 * rng.normal(size=N)
    return hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])


def said(study, cate, propensity=0.5, info=INFO, converged=True):
    mean = study.covariates[:, 0] * 0 + 0.5 * (1 + study.covariates[:, 0])
    held = HeldOut(np.broadcast_to(cate, N).copy(), mean, np.broadcast_to(propensity, N).copy())
    folds = hb.Folds.make(study, 2, seed=1)
    return diagnostics(study, folds, held, "kernel", info, converged).set_index("diagnostic")


def test_losses_are_mean_squares_and_say_who_wins(study):
    true = 1 + study.covariates[:, 0]
    found = said(study, true)
    residual, left = study.treatment - 0.5, study.outcome - 0.5 * true
    assert found.loc["held-out loss", "value"] == pytest.approx(np.mean((left - residual * true) ** 2))
    flat = residual @ left / (residual @ residual)
    assert found.loc["held-out loss, constant effect", "value"] == pytest.approx(
        np.mean((left - residual * flat) ** 2)
    )
    assert "better than a constant one" in found.loc["held-out loss", "reading"]
    assert "do not read much into the variation" in said(study, -true).loc["held-out loss", "reading"]
    assert "does not beat" in said(study, -true).loc["held-out loss, linear", "reading"]


def test_thin_overlap_is_said(study):
    name = "share of propensities beyond .05 and .95"
    assert said(study, 1.0).loc[name, "value"] == 0.0
    edge = np.where(np.arange(N) < 6, READING.thin_overlap / 2, 0.5)
    thin = said(study, 1.0, edge)
    assert thin.loc[name, "value"] == pytest.approx(0.1)
    assert "read the ato row" in thin.loc[name, "reading"]


def test_few_draws_uneven_errors_and_outlying_units_are_said(study):
    plain = said(study, 1.0)
    assert plain.loc["effective draws of the scales", "reading"] == "enough scales carry the mixture"
    assert "outlying units" not in plain.index
    info = INFO | {"effective_draws": READING.few_draws / 2, "error_variance": "not constant", "outlying": 2}
    poor = said(study, 1.0, info=info)
    assert "raise `draws`" in poor.loc["effective draws of the scales", "reading"]
    assert poor.loc["errors of unequal variance", "value"] == 1.0
    assert poor.loc["outlying units", "value"] == 2.0


def test_shares_of_the_accounts_are_named_in_words(study):
    found = said(study, 1.0)
    assert found.loc["share of the form: centred", "value"] == 0.7
    assert found.loc["share of the form: arms, index", "reading"].endswith(
        "bends along one index of the covariates"
    )


@pytest.mark.parametrize(
    ("converged", "words"), [(True, "ended at a mode"), (False, "no interval is offered")]
)
def test_convergence_is_the_last_line(study, converged, words):
    found = said(study, 1.0, converged=converged)
    assert found.index[-1] == "converged"
    assert (found["value"].iloc[-1], words in found["reading"].iloc[-1]) == (float(converged), True)


def test_a_large_sample_names_its_nugget_alone(study):
    info = {"nugget": 0.2, "error_variance": "constant"}
    found = said(study, 1.0, info=info)
    assert found.loc["nugget", "value"] == 0.2
    assert not [name for name in found.index if "scales" in name or "form" in name]
