"""EconML estimators as engines: the contract on any estimator of its shape, and on EconML's own where installed."""

import importlib.util

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from hte_bridge import Folds
from hte_bridge.engines.econml import Econml
from hte_bridge.errors import InvalidOption, NotIdentified, PackageUnavailable
from hte_bridge.estimands.averages import ape, ate
from hte_bridge.scores import scores
from tests.helpers.studies import study_of

installed = importlib.util.find_spec("econml") is not None
needs_econml = pytest.mark.skipif(not installed, reason="EconML is not installed")


class Lines:
    """The shape of an EconML estimator, without the package: a line in each arm."""

    def fit(self, Y, T, *, X):
        self.arms = [LinearRegression().fit(X[arm == T], Y[arm == T]) for arm in (0, 1)]
        return self

    def effect(self, X):
        return self.arms[1].predict(X) - self.arms[0].predict(X)


def test_an_estimator_of_that_shape_is_an_engine():
    study = study_of(n=1_000)
    mine = Lines()
    fit = Econml(mine).fit(study, Folds.make(study, 3, 1))
    assert fit.engine == "Lines"
    assert not hasattr(mine, "arms")  # what was handed in is never fitted
    row = ate(scores(study, fit.heldout))
    assert abs(row.estimate - (1 + study.frame["x1"].mean())) < 4 * row.std_error
    frame = fit.cate(study.frame.head(3))
    assert frame["std_error"].isna().all()
    assert np.isfinite(frame["estimate"]).all()


def test_no_unit_is_predicted_by_a_model_that_saw_it():
    study = study_of(n=300)
    folds = Folds.make(study, 3, 1)
    fold = folds.fold == 0
    moved = study.with_(outcome=study.outcome + 100 * fold)
    before, after = (Econml(Lines()).fit(each, folds).heldout for each in (study, moved))
    assert np.array_equal(before.cate[fold], after.cate[fold])
    assert np.array_equal(before.outcome_mean[fold], after.outcome_mean[fold])
    assert not np.array_equal(before.cate[~fold], after.cate[~fold])


def test_what_it_cannot_do_is_said():
    with pytest.raises(InvalidOption, match="LinearRegression has no `effect`"):
        Econml(LinearRegression())
    with pytest.raises(InvalidOption, match="Lines does not"):
        Econml(Lines()).fit(study_of(n=300, weight="w"))
    fit = Econml(Lines()).fit(study_of(n=300, fixed_effects="village"))
    assert "without fixed effects" in fit.reasons["*"]
    with pytest.raises(NotIdentified, match="without fixed effects"):
        fit.cate(study_of(n=300).frame)


@pytest.mark.skipif(installed, reason="EconML is installed")
def test_its_absence_is_a_sentence():
    with pytest.raises(PackageUnavailable, match="It is not installed"):
        Econml().fit(study_of(n=300))


def forest(**options):
    from econml.dml import CausalForestDML

    own = {
        "model_y": LinearRegression(),
        "model_t": LogisticRegression(),
        "n_estimators": 100,
        "random_state": 1,
    }
    return CausalForestDML(**{"discrete_treatment": True} | own | options)


@needs_econml
@pytest.mark.filterwarnings("default")
def test_a_causal_forest_of_econml_keeps_its_interval_for_new_rows():
    study = study_of(n=600)
    folds = Folds.make(study, 2, 1)
    fit = Econml(forest()).fit(study, folds)
    row = ate(scores(study, fit.heldout))
    assert abs(row.estimate - (1 + study.frame["x1"].mean())) < 4 * row.std_error
    frame = fit.cate(study.frame.head(3), level=0.9)
    whole = forest().fit(study.outcome, study.treatment, X=study.filled)
    low, high = whole.effect_interval(study.filled[:3], alpha=0.1)
    assert np.abs(frame["conf_low"] - low).max() < 1e-10
    assert np.abs(frame["conf_high"] - high).max() < 1e-10


@needs_econml
@pytest.mark.filterwarnings("default")
def test_clusters_are_kept_together_and_leave_no_interval():
    study = study_of(n=600, cluster="village", weight="w")
    from sklearn.model_selection import GroupKFold

    fit = Econml(forest(cv=GroupKFold(2))).fit(study, Folds.make(study, 2, 1))
    assert fit.cate(study.frame.head(3))["std_error"].isna().all()
    assert "has clusters" in fit.info["cate_interval"]


@needs_econml
@pytest.mark.filterwarnings("default")
def test_doses_and_the_default_work():
    study = study_of(n=600, dose=True)
    fit = Econml(forest(discrete_treatment=False, model_t=LinearRegression())).fit(
        study, Folds.make(study, 2, 1)
    )
    row = ape(scores(study, fit.heldout))
    assert abs(row.estimate - (1 + study.frame["x1"].mean())) < 4 * row.std_error
    assert "is for a discrete treatment" in Econml(forest()).fit(study).reasons["*"]
    assert Econml().fit(study_of(n=200), Folds.make(study_of(n=200), 2, 1)).engine == "CausalForestDML"
