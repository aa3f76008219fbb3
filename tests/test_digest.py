"""Fingerprints tell any two options apart that could give other numbers, and are the same where none could."""

from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Lasso, LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hte_bridge as hb
from hte_bridge import digest
from hte_bridge.digest import described, fingerprint
from hte_bridge.engines.forest import CausalForest
from hte_bridge.rlink import client
from tests.helpers.studies import study_of

OTHER = {  # another value for each option of the forest
    "mtry": 2,
    "tune_parameters": "all",
    "outcome_mean": 0.5,
    "propensity": 0.5,
    "num_threads": 1,
    "label": "x",
    "sample_fraction": 0.4,
    "honesty_fraction": 0.4,
    "alpha": 0.1,
    "imbalance_penalty": 0.1,
}


@pytest.fixture(autouse=True)
def without_r(monkeypatch):
    monkeypatch.setattr(client, "record", lambda package: {package: "2.6.1"})


def changed(value):
    return not value if isinstance(value, bool) else value + 1


@pytest.mark.parametrize("name", [each.name for each in fields(CausalForest)])
def test_every_option_of_an_engine_counts(name):
    plain = CausalForest()
    value = getattr(plain, name)
    other = replace(plain, **{name: OTHER[name] if name in OTHER else changed(value)})
    assert fingerprint(other) != fingerprint(plain)
    assert {key for key in described(other) if described(other)[key] != described(plain)[key]} == {name}
    assert fingerprint(replace(other, **{name: value})) == fingerprint(plain)


def test_options_of_engines_within_engines_count():
    stack = lambda trees: hb.Stack([hb.Feols(), CausalForest(num_trees=trees)])
    assert fingerprint(stack(10)) == fingerprint(stack(10)) != fingerprint(stack(20))


def test_the_version_of_what_an_engine_calls_counts(monkeypatch):
    before = fingerprint(CausalForest())
    monkeypatch.setattr(client, "record", lambda package: {package: "2.3.9"})
    assert fingerprint(CausalForest()) != before


@dataclass(frozen=True)
class Holder:
    held: object


def times(k):
    return lambda x: x * k


PAIRS = {
    "estimators": (Lasso(alpha=0.1), Lasso(alpha=0.2)),
    "kinds of estimators": (LinearRegression(), Lasso()),
    "pipelines": (make_pipeline(StandardScaler(), Lasso(0.1)), make_pipeline(StandardScaler(), Lasso(0.2))),
    "functions": (lambda x: x * 2, lambda x: x * 3),
    "closures": (times(2), times(3)),
    "defaults": (lambda x, k=2: x, lambda x, k=3: x),
    "partials": (partial(max, 1), partial(max, 2)),
    "arrays": (np.array([0.0]), np.array([-0.0])),
    "frames": (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}, index=[5])),
    "frames of text": (pd.DataFrame({"a": ["x"]}), pd.DataFrame({"a": ["y"]})),
    "generators": (np.random.default_rng(1), np.random.default_rng(2)),
    "sets": ({1, 2}, {1, 3}),
    "types": (int, float),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_engines_may_hold_is_told_apart(name):
    one, other = (Holder(each) for each in PAIRS[name])
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_what_goes_round_in_circles_has_no_fingerprint():
    one = []
    one.append(one)
    with pytest.raises(digest.NoFingerprint, match="without end"):
        fingerprint(one)


def test_a_study_is_all_that_engines_see_of_it():
    study = study_of(n=100)
    assert digest.of_study(study) == digest.of_study(study_of(n=100))
    moved = study.outcome.copy()
    moved[3] = np.nextafter(moved[3], np.inf)
    others = [
        study.with_(outcome=moved),
        study.subset(np.arange(99)),
        replace(study, index=study.index[::-1]),
        replace(study, weight=2 * study.weight),
    ]
    assert len({digest.of_study(each) for each in (study, *others)}) == 5


def test_the_code_has_a_fingerprint():
    assert len(digest.code()) == 64
