"""Meta-learners: each finds a linear effect, holds out what it says, and refuses what it cannot do."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from hte_bridge import Folds
from hte_bridge.crossfit import out_of_fold
from hte_bridge.engine import Engine, Fit
from hte_bridge.engines.meta import Meta
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified
from hte_bridge.estimands.averages import ape, ate
from hte_bridge.scores import scores
from tests.helpers.studies import study_of

KINDS = ("S", "T", "X", "R", "DR")
N = 2_000


class Products(LinearRegression):
    """Least squares on the covariates and their products: the S-learner needs treatment times x1."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(PolynomialFeatures(2).fit_transform(X), y, sample_weight)

    def predict(self, X):
        return super().predict(PolynomialFeatures(2).fit_transform(X))


@pytest.mark.parametrize("kind", KINDS)
def test_each_learner_finds_a_linear_effect(kind):
    study = study_of()
    fit = Meta(kind, Products()).fit(study, Folds.make(study, 5, 1))
    tau = 1 + study.frame["x1"].to_numpy()
    assert np.sqrt(np.mean((fit.heldout.cate - tau) ** 2)) < 0.25
    row = ate(scores(study, fit.heldout))
    assert abs(row.estimate - tau.mean()) < 4 * row.std_error


def test_an_engine_and_its_fit_keep_the_contract():
    engine = Meta("T", LinearRegression())
    assert isinstance(engine, Engine)
    study = study_of(n=300)
    fit = engine.fit(study)
    assert isinstance(fit, Fit)
    assert fit.rows(0.95) == []
    assert fit.info["folds"] == 5


@pytest.mark.parametrize("kind", KINDS)
def test_no_unit_is_predicted_by_a_model_that_saw_it(kind):
    study = study_of(n=300)
    folds = Folds.make(study, 3, 1)
    outcome = study.outcome.copy()
    fold = folds.fold == 0
    outcome[fold] += 100.0
    engine = Meta(kind, Ridge(1.0), n_folds=2)
    before, after = engine.fit(study, folds).heldout, engine.fit(study.with_(outcome=outcome), folds).heldout
    assert np.array_equal(before.cate[fold], after.cate[fold])
    assert np.array_equal(before.outcome_mean[fold], after.outcome_mean[fold])
    assert not np.array_equal(before.cate[~fold], after.cate[~fold])  # the change is one that others see


def test_the_r_learner_holds_for_doses():
    study = study_of(dose=True)
    fit = Meta("R", LinearRegression()).fit(study, Folds.make(study, 3, 1))
    assert np.abs(fit.heldout.treatment_variance - 1).mean() < 0.25
    row = ape(scores(study, fit.heldout))
    assert abs(row.estimate - (1 + study.frame["x1"].mean())) < 4 * row.std_error


@pytest.mark.parametrize("kind", ["S", "T", "X", "DR"])
def test_other_learners_say_that_they_need_two_arms(kind):
    fit = Meta(kind, LinearRegression()).fit(study_of(dose=True, n=300))
    assert fit.heldout is None
    assert "needs a treatment of 0 and 1" in fit.reasons["*"]
    with pytest.raises(NotIdentified, match="needs a treatment of 0 and 1"):
        fit.cate(study_of(n=300).frame)


def test_fixed_effects_are_refused_with_a_sentence():
    fit = Meta("R", LinearRegression()).fit(study_of(n=300, fixed_effects="village"))
    assert "without fixed effects" in fit.reasons["*"]


def test_new_rows_have_an_effect_and_no_interval():
    study = study_of(n=500)
    new = pd.DataFrame({"x1": [0.0, 2.0], "x2": [0.0, 0.0], "x3": [0.0, 0.0]}, index=["a", "b"])
    frame = Meta("T", LinearRegression()).fit(study).cate(new)
    assert list(frame.index) == ["a", "b"]
    assert abs(frame.loc["b", "estimate"] - 3) < 0.5
    assert frame[["std_error", "conf_low", "conf_high"]].isna().all(axis=None)


def test_a_known_propensity_is_used():
    study = study_of(n=400).with_(propensity=np.full(400, 0.5))
    assert (Meta("DR", LinearRegression()).fit(study).heldout.propensity == 0.5).all()


def test_weights_and_seeds_reach_the_learner():
    study = study_of(n=300, weight="w")
    forest = RandomForestRegressor(n_estimators=5)
    one, two = (Meta("T", forest, seed=3).fit(study, Folds.make(study, 2, 1)).heldout.cate for _ in range(2))
    assert np.array_equal(one, two)
    heavy = study.with_(weight=np.where(study.covariates[:, 0] > 0, 50.0, 1.0))
    assert not np.array_equal(one, Meta("T", forest, seed=3).fit(heavy, Folds.make(study, 2, 1)).heldout.cate)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Meta("Q", LinearRegression()), "must be 'S', 'T', 'X', 'R' or 'DR'"),
        (lambda: Meta("T", object()), "must be a scikit-learn regressor"),
        (lambda: Meta("R", KNeighborsRegressor()), "must take `sample_weight`"),
        (
            lambda: Meta("T", KNeighborsRegressor()).fit(study_of(n=300, weight="w")),
            "A weighted study needs a learner",
        ),
        (lambda: Meta("R", make_pipeline(LinearRegression())), "must take `sample_weight`"),
    ],
)
def test_options_that_cannot_be_are_refused(make, sentence):
    with pytest.raises(InvalidOption, match=sentence):
        make()


def test_the_loop_refuses_folds_of_another_study_and_gaps():
    folds = Folds(np.array([0, 1, 0, 1]), 2, 0)
    with pytest.raises(InvalidData, match="Folds must hold each unit of the study once"):
        out_of_fold(lambda train, test: np.zeros(len(test)), folds, 5)
    with pytest.raises(InvalidData, match="not finite"):
        out_of_fold(lambda train, test: np.full(len(test), np.nan), folds, 4)
    with pytest.raises(InvalidData, match="1 values"):
        out_of_fold(lambda train, test: np.zeros(1), folds, 4)
