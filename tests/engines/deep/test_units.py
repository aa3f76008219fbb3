"""Units and places of columns: what is measured in cents, from another year or upside down is the same; what cannot be fitted is a sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep.basis.centring import coarse_step
from hte_bridge.errors import InvalidData, NotIdentified
from hte_bridge.study import Folds

N = 60
RNG = np.random.default_rng(2)
X = RNG.normal(size=(N, 3))
BINARY, DOSE = (RNG.random(N) < 0.5).astype(float), X[:, 0] + RNG.normal(size=N)
NOISE, UNIT, YEAR = RNG.normal(size=N), np.arange(N) % 12, np.arange(N) // 12
FOLDS = Folds(UNIT % 2, 2, seed=0)
FORMS = {
    "kernel": {"draws": 2},
    "gram": {"kernel_max_rows": 0, "epochs": 3, "hidden": (8,)},
    "panel": {"epochs": 3, "hidden": (8,)},
}
# what is done to covariates, outcome and dose: times, and plus
PRECISE, FAR = 1e-6, 1e-3  # of an error; far from zero the values themselves are rounded
CHANGES = {
    "small": ((1e-12, 0), (1e-12, 0), (1e-12, 0), PRECISE),
    "large, covariates turned round": ((-1e12, 0), (1e30, 0), (1e9, 0), PRECISE),
    "covariates of a year, outcome far from zero": ((1, 2010), (1, 1e5), (1, 0), FAR),
}


def answers(form, treatment, x=(1, 0), y=(1, 0), t=(1, 0)):
    """Held-out columns, the effect and its error at the units, all in the units of before."""
    dose = treatment * t[0] + t[1]
    outcome = X[:, 0] + treatment * (1 + X[:, 1]) + 0.7 * NOISE
    frame = pd.DataFrame(X * x[0] + x[1], columns=["a", "b", "c"]).assign(t=dose, unit=UNIT, year=YEAR)
    frame["y"] = outcome * y[0] + y[1]
    study = hb.Study.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=["a", "b", "c"],
        fixed_effects=["unit", "year"] if form == "panel" else None,
    )
    fit = hb.Deep(seed=1, **FORMS[form]).fit(study, FOLDS)
    held, effect = fit.heldout, fit.cate(frame)
    by = t[0] / y[0]
    mean = (held.outcome_mean - y[1]) / y[0]
    return np.array([held.cate * by, mean, effect["estimate"] * by, effect["std_error"] * by])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("binary", [True, False])
def test_effects_follow_the_units(form, binary):
    treatment = BINARY if binary else DOSE
    before = answers(form, treatment)
    for name, (x, y, t, tolerance) in CHANGES.items():
        after = answers(form, treatment, x, y, (1, 0) if binary else t)
        assert np.abs(after - before).max() < tolerance * before[3].mean(), name


@pytest.mark.parametrize("form", ["kernel", "gram"])
def test_a_dose_may_lie_anywhere(form):
    """In a panel it may not: zero is where it has no effect, unless that is far from all doses."""
    before = answers(form, DOSE)
    assert np.abs(answers(form, DOSE, t=(1, 2010)) - before).max() < PRECISE * before[3].mean()


@pytest.mark.parametrize("form", ["kernel", "gram"])
def test_swapped_arms_turn_the_effect_round(form):
    before, after = answers(form, BINARY), answers(form, BINARY, t=(-1, 1))
    assert (
        np.abs(after - before)[:2].max() < 0.3 * before[3].mean()
    )  # another start of the same networks and chain
    assert np.abs(after + before)[2].mean() > before[3].mean()


def test_only_an_outcome_far_from_zero_is_moved_and_by_a_round_number():
    year = 2010 + np.random.default_rng(0).normal(size=200)
    assert coarse_step(year) == coarse_step(year + 1) == 2016
    assert coarse_step(year - 2005) == 0


@pytest.mark.parametrize("known", [None, 0.2])
@pytest.mark.parametrize("form", ["kernel", "gram"])
def test_one_treated_cluster_is_a_sentence(form, known):
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=NOISE, unit=UNIT, t=(UNIT == 2) * 1)
    study = hb.Study.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b"], cluster="unit", propensity=known
    )
    with pytest.raises(NotIdentified, match="Without fold 0 `t` is 0 in each of 30 rows"):
        hb.Deep(**FORMS[form]).fit(study, FOLDS)


FEW = np.arange(N)
SMALL = {
    "twenty rows": (FEW[:20], ["a", "b", "c"], {}),
    "one yes or no": (FEW, ["yes"], {}),
    "a yes but once": (FEW, ["once"], {}),
    "every row twice": (np.repeat(FEW[:20], 2), ["a", "b", "c"], {}),
    "more covariates than rows": (FEW[:24], [f"z{j}" for j in range(40)], {}),
    "an outcome that varies in one fold": (FEW, ["a", "b"], {"y": np.where(FOLDS.fold == 0, NOISE, 3.3)}),
    "one event": (FEW, ["a", "b"], {"y": (FEW == 3) * 1.0}),
    "one huge outcome": (FEW, ["a", "b"], {"y": 1e9 * (FEW == 3) + NOISE}),
    "one huge covariate": (FEW, ["huge", "b"], {}),
    "an outcome that is the treatment": (FEW, ["a", "b"], {"y": 2 * BINARY}),
    "an outcome that is a covariate": (FEW, ["a", "b"], {"y": 3 * X[:, 0]}),
}


@pytest.mark.parametrize("form", ["kernel", "gram"])
@pytest.mark.parametrize("name", SMALL)
def test_small_and_odd_studies_are_fitted(name, form):
    rows, covariates, columns = SMALL[name]
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(**{"y": NOISE, "t": BINARY} | columns)
    frame["yes"], frame["once"] = X[:, 0] > 0, (FEW == 5) * 1
    frame["huge"] = np.where(FEW == 5, 1e9, X[:, 0])
    wide = pd.DataFrame(np.random.default_rng(2).normal(size=(N, 40)), columns=[f"z{j}" for j in range(40)])
    given = pd.concat([frame, wide], axis=1).iloc[rows].reset_index(drop=True)
    study = hb.Study.from_frame(given, outcome="y", treatment="t", covariates=covariates)
    engine = hb.Deep(seed=1, **{"epochs": 3, "hidden": (8,), "draws": 2} | FORMS[form])
    fit = engine.fit(study, Folds(FOLDS.fold[np.arange(len(rows))], 2, seed=0))
    assert np.isfinite(fit.cate(given).to_numpy()).all()


@pytest.mark.parametrize("outcome", [3.0 * UNIT, (FEW == 4) * 1.0], ids=["absorbed", "one event"])
def test_a_panel_whose_outcome_hardly_moves_is_fitted(outcome):
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(t=BINARY, unit=UNIT, year=YEAR, y=outcome)
    study = hb.Study.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b"], fixed_effects=["unit", "year"]
    )
    fit = hb.Deep(**FORMS["panel"]).fit(study, FOLDS)
    assert np.isfinite(fit.heldout.cate).all()


def test_folds_of_another_study_are_refused_with_a_sentence():
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(t=BINARY, y=NOISE)
    study = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b"])
    with pytest.raises(InvalidData, match="made for 4 units, the study has 60"):
        hb.Deep().fit(study, Folds(np.array([0, 1, 0, 1]), 2, seed=0))
