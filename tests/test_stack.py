"""The stack: weights of the simplex, learned without the unit they serve, and never worse than its members."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge

from hte_bridge import Feols, Folds, compare
from hte_bridge.engines.given import Given
from hte_bridge.engines.meta import Meta
from hte_bridge.engines.stack import Stack, simplex
from hte_bridge.errors import InvalidOption, NotIdentified
from hte_bridge.sweeping import within
from tests.helpers.studies import study_of

LINE, FLAT = Meta("T", LinearRegression(), label="line"), Meta("T", DummyRegressor(), label="flat")


def loss(study, held):
    return np.mean((study.outcome - held.outcome_mean - (study.treatment - held.propensity) * held.cate) ** 2)


def test_weights_are_those_of_a_grid_search():
    rng = np.random.default_rng(1)
    residuals, weight = (
        rng.normal(size=(60, 3)) * [1.0, 1.2, 3.0] + rng.normal(size=(60, 1)),
        rng.uniform(1, 2, 60),
    )
    grid = np.linspace(0, 1, 101)
    points = np.array([(a, b, 1 - a - b) for a in grid for b in grid if a + b <= 1])
    losses = ((residuals @ points.T) ** 2 * weight[:, None]).sum(0)
    found = simplex(residuals, weight)
    assert (found >= 0).all()
    assert abs(found.sum() - 1) < 1e-12
    assert ((residuals @ found) ** 2 * weight).sum() <= losses.min() + 1e-6
    assert np.abs(found - points[losses.argmin()]).max() < 0.02  # twice the grid's step


def test_the_better_engine_gets_the_weight_and_all_weights_are_of_the_simplex():
    study = study_of(n=600)
    fit = Stack([LINE, FLAT], n_folds=2).fit(study, Folds.make(study, 3, 1))
    assert fit.info["weights"]["line"] > 0.8
    for weights in (fit.info["weights"], *fit.info["weights_by_fold"]):
        assert min(weights.values()) >= 0
        assert abs(sum(weights.values()) - 1) < 1e-12
    folds = Folds.make(study, 3, 1)
    slack = 1.05  # weights are learned on two thirds of 600 units
    members = [loss(study, each.fit(study, folds).heldout) for each in (LINE, FLAT)]
    assert loss(study, fit.heldout) < min(members) * slack


def test_no_unit_has_a_say_in_its_own_prediction():
    study = study_of(n=300)
    folds = Folds.make(study, 3, 1)
    fold = folds.fold == 0
    outcome = np.where(fold, study.outcome[::-1] * 5, study.outcome)
    engine = Stack([LINE, FLAT, Meta("T", Ridge(500.0), label="ridge")], n_folds=2)
    before, after = engine.fit(study, folds), engine.fit(study.with_(outcome=outcome), folds)
    for name in ("cate", "outcome_mean", "propensity"):
        assert np.array_equal(getattr(before.heldout, name)[fold], getattr(after.heldout, name)[fold])
    # weights learned from all held-out predictions at once would have moved
    assert before.info["weights"] != after.info["weights"]
    assert before.info["weights_by_fold"][0] == after.info["weights_by_fold"][0]


def test_new_rows_are_the_weighted_engines_without_an_interval():
    study = study_of(n=300)
    fit = Stack([LINE, FLAT], n_folds=2).fit(study)
    new = pd.DataFrame({"x1": [0.0, 2.0], "x2": [0.0, 0.0], "x3": [0.0, 0.0]}, index=["a", "b"])
    frame = fit.cate(new)
    parts = {
        name: engine.fit(study).cate(new)["estimate"] for name, engine in (("line", LINE), ("flat", FLAT))
    }
    expected = sum(fit.info["weights"][name] * part for name, part in parts.items())
    assert np.abs(frame["estimate"] - expected).max() < 1e-12
    assert frame["std_error"].isna().all()


def test_with_fixed_effects_the_residual_is_the_weighted_one():
    study = study_of(n=400, fixed_effects="village", cluster="village")
    folds = Folds.make(study, 3, 1)
    held = Feols().fit(study, folds).heldout
    rng = np.random.default_rng(1)
    other = pd.DataFrame({name: getattr(held, name) for name in vars(held)}, index=study.index)
    other["outcome_mean"] += rng.normal(size=400)
    fit = Stack([Feols(), Given(other, name="other", held_out=True)], n_folds=2).fit(study, folds)

    def residual(m, e, tau):
        return study.outcome - m - (study.treatment - e) * tau

    found = residual(fit.heldout.outcome_mean, fit.heldout.propensity, fit.heldout.cate)
    first = residual(held.outcome_mean, held.propensity, held.cate)
    second = residual(other["outcome_mean"], other["propensity"], other["cate"])
    mixed = np.empty(study.n)
    for fold, weights in enumerate(fit.info["weights_by_fold"]):
        expected = weights["feols"] * first + weights["other"] * second
        mixed[folds.fold == fold] = expected[folds.fold == fold]
        assert weights["feols"] > 0.5
    # what weights that differ between folds leave of the effects is swept out
    assert np.abs(found - within(mixed, study.fixed_effects, study.weight)).max() < 1e-10


def test_an_engine_without_predictions_is_left_out_and_none_at_all_is_said():
    study = study_of(n=300)
    absent = Given(LINE.fit(study).heldout, name="in-sample", held_out=False)
    fit = Stack([LINE, absent], n_folds=2).fit(study)
    assert "without in-sample" in fit.notes[0]
    assert fit.info["weights"] == {"line": 1.0}
    both = Stack([absent, Given(LINE.fit(study).heldout, name="other", held_out=False)]).fit(study)
    assert "None of in-sample, other has any" in both.reasons["*"]
    with pytest.raises(NotIdentified, match="A stack needs an engine"):
        both.cate(study.frame)


def test_a_stack_needs_two_names():
    with pytest.raises(InvalidOption, match="two or more engines"):
        Stack([LINE])
    with pytest.raises(InvalidOption, match="a name of its own"):
        Stack([LINE, LINE])


def test_it_gives_the_rows_of_any_engine():
    table = compare(
        study_of(n=300), [Feols(), Stack([Feols(), LINE], n_folds=2)], seed=1, n_folds=2
    ).to_frame()
    assert table.loc[table["engine"] == "stack", "std_error"].iloc[:3].gt(0).all()
