"""Folds that share where their searches begin: held out to the bit all the same, and fewer searches begin anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep.gp import search, starts
from hte_bridge.study import Folds

N = 60
RNG = np.random.default_rng(4)
X = RNG.normal(size=(N, 2))
TREATMENT = (RNG.random(N) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
OUTCOME = X[:, 0] + TREATMENT * X[:, 1] + RNG.normal(size=N)
FOLDS = Folds(np.arange(N) % 5, n_folds=5, seed=0)
OWN = FOLDS.fold == 1  # in a group with fold 0, whose models see it
OPTIONS = hb.Deep(seed=1, n_jobs=1)


def study_of(outcome=OUTCOME, treatment=TREATMENT):
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(y=outcome, t=treatment)
    return hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b"])


@pytest.fixture
def few_rows(monkeypatch):
    """Starts of a few units too."""
    monkeypatch.setattr(starts, "START", replace(starts.START, fewest_rows=20))


def test_nothing_predicted_of_a_fold_moves_a_bit_with_what_its_units_had(few_rows):
    before = OPTIONS.fit(study_of(), FOLDS).heldout
    for other in (
        study_of(outcome=np.where(OWN, -1e3 * OUTCOME, OUTCOME)),
        study_of(treatment=np.where(OWN, 1 - TREATMENT, TREATMENT)),
    ):
        after = OPTIONS.fit(other, FOLDS).heldout
        for name in ("cate", "outcome_mean", "propensity"):
            assert (getattr(after, name)[OWN] == getattr(before, name)[OWN]).all(), name
        assert np.abs(after.cate - before.cate)[~OWN].max() > 0


@pytest.mark.parametrize(("rows", "anew"), [(20, 2), (N, 5)], ids=["shared", "alone"])
def test_two_searches_begin_anew_for_five_folds(monkeypatch, rows, anew):
    monkeypatch.setattr(starts, "START", replace(starts.START, fewest_rows=rows))
    counted, own = [], search.sought
    monkeypatch.setattr(search, "sought", lambda *given: counted.append(1) or own(*given))
    OPTIONS.fit(study_of(), FOLDS)
    assert len(counted) == anew


def test_no_start_where_few_folds_or_one_treatment_would_make_it(few_rows):
    three = Folds(np.arange(N) % 3, n_folds=3, seed=0)
    assert starts.rests(study_of(), three, OPTIONS) == [None] * 3
    alike = study_of(treatment=np.where(FOLDS.fold < 3, 1.0, TREATMENT))
    beside = starts.rests(alike, FOLDS, OPTIONS)
    assert [each is None for each in beside] == [False] * 3 + [True] * 2
    made = starts.starts(alike, FOLDS, beside, OPTIONS)
    assert made[0] is made[2]
    assert made[3:] == [None, None]
