"""Covariates with long tails: their normal scores, and which of the two the kernel takes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.gp.search import model_search
from hte_bridge.normal_score import NormalScore
from hte_bridge.simulate.cross_section import logistic
from tests.helpers.posterior import covered, least_covered, posterior_alone

N = 400
OPTIONS = hb.Deep(seed=1, draws=8, epochs=20)


def income(n=N, seed=0):
    return np.exp(1.2 * np.random.default_rng(seed).normal(size=n))


def test_scores_are_monotone_and_go_on_beyond_the_data():
    values = income()
    score = NormalScore.of(values)
    grid = np.linspace(values.min() - 5, 3 * values.max(), 2_000)
    assert (np.diff(score(grid)) > 0).all()
    assert score(values).std() == pytest.approx(1.0, abs=0.15)
    assert score(np.array([10 * values.max()]))[0] > score(values).max() + 3
    assert np.isnan(score(np.array([np.nan]))).all()


def test_scores_do_not_depend_on_the_unit():
    values = income()
    ours, theirs = (NormalScore.of(each)(each) for each in (values, -1e6 * values + 7.0))
    assert ours == pytest.approx(-theirs, abs=1e-8)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).normal(size=N),
        np.random.default_rng(1).random(N),
        np.repeat([0.0, 50.0], [N - 2, 2]),
        np.ones(N),
        np.full(N, np.nan),
    ],
    ids=["normal", "uniform", "few values", "one value", "missing"],
)
def test_other_covariates_have_none(values):
    assert NormalScore.of(values) is None


def test_a_spike_has_one_score():
    values = np.where(np.arange(N) % 10 < 7, 0.0, 1_000 * income())
    score = NormalScore.of(values)
    assert len(score.values) == len(score.scores) < 9
    assert score(np.zeros(1))[0] < 0 < score(np.array([2_000.0]))[0]


def study(effect, seed=2, n=N):
    """Outcome whose effect is a line in an income's logarithm, or in the income itself."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    wide = np.exp(1.2 * z[:, 0])
    tau = 1 + (z[:, 0] if effect == "log" else (wide - wide.mean()) / wide.std())
    t = rng.random(n) < logistic(0.5 * z[:, 0])
    y = z[:, 1] + t * tau + rng.normal(size=n)
    frame = pd.DataFrame({"y": y, "t": t * 1, "income": wide, "a": z[:, 1], "b": z[:, 2]})
    columns = {"outcome": "y", "treatment": "t", "covariates": ["income", "a", "b"]}
    return hb.Study.from_frame(frame, **columns), tau


@pytest.mark.parametrize(("effect", "column"), [("log", 1), ("line", 0)])
def test_the_evidence_says_which_of_the_two_the_kernel_sees(effect, column):
    seen = study(effect)[0].scored
    assert seen.filled_names == ("income", "income (normal score)", "a", "b")
    first = model_search(Sample.either(seen, np.full(N, 0.5)), OPTIONS, binary=True)
    assert first.sample.units.columns.tolist() == [column, 2, 3]


def test_an_effect_that_goes_with_the_logarithm_is_covered_everywhere():
    made, tau = study("log")
    fit = posterior_alone(OPTIONS, made, logistic(0.5 * np.log(made.frame["income"].to_numpy()) / 1.2))
    found = fit.cate(made.frame)
    lowest = tau <= np.quantile(tau, 0.1)
    assert covered(found[lowest], tau[lowest]) > least_covered(fit, made.frame[lowest])
    assert np.mean((found["estimate"] - tau) ** 2) < 0.05


def test_structure_and_saved_file_know_both_columns(tmp_path):
    made, _ = study("log", n=150)
    fit = posterior_alone(OPTIONS, made)
    table = fit.structure()
    assert set(table.index) == {"income", "income (normal score)", "a", "b"}
    assert table.index[0] == "income (normal score)"
    assert table.loc["income", "importance"] == 0.0
    again = hb.DeepFit.load(fit.save(tmp_path / "fit.npz"))
    pd.testing.assert_frame_equal(fit.cate(made.frame), again.cate(made.frame))


def test_missing_values_of_it_have_one_indicator():
    made, _ = study("log")
    frame = made.frame.copy()
    frame.loc[frame.index[:20], "income"] = np.nan
    columns = {"outcome": "y", "treatment": "t", "covariates": ["income", "a", "b"]}
    seen = hb.Study.from_frame(frame, **columns).scored
    assert seen.filled_names == ("income", "income (normal score)", "a", "b", "income missing")
    assert np.isfinite(seen.filled).all()
