"""Held out is strict: nothing that is predicted of a fold moves, not by a bit, with what the fold's own units had."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.study import Folds

N, CLUSTERS = 60, 12
RNG = np.random.default_rng(3)
X = RNG.normal(size=(N, 3))
BINARY = (RNG.random(N) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
DOSE = X[:, 2] + RNG.normal(size=N)
CLUSTER = RNG.permutation(np.arange(N) % CLUSTERS)
FOLDS = Folds(CLUSTER % 2, n_folds=2, seed=0)
OWN = FOLDS.fold == 0
NOISE = RNG.normal(size=N)
SMOOTH = X[:, 0] + BINARY * X[:, 1] + NOISE
KINDS = {
    "plain": (SMOOTH, BINARY, {}),
    "counts": (RNG.poisson(np.exp(0.3 * X[:, 0] + 0.4 * BINARY)).astype(float), BINARY, {}),
    "events": ((RNG.random(N) < 0.3 + 0.2 * BINARY).astype(float), BINARY, {}),
    "amounts": (np.exp(0.6 * X[:, 0] + BINARY * X[:, 1] + NOISE), BINARY, {"propensity": 0.5}),
    "dose": (X[:, 0] + DOSE * X[:, 1] + NOISE, DOSE, {}),
    "clusters": (SMOOTH + RNG.normal(size=CLUSTERS)[CLUSTER], BINARY, {"cluster": "cluster"}),
    "weights": (SMOOTH, BINARY, {"weight": "weight"}),
    "gaps": (SMOOTH, BINARY, {"covariates": ["gaps", "b", "c", "town"]}),
}
CHANGES = {
    "negative, large, not whole": lambda own: -1e6 * own - 3.3,
    "one unit": lambda own: np.append(-0.01, own[1:]),
    "constant": lambda own: np.full_like(own, 1.5),
}
FORMS = {"kernel": {}, "gram": {"kernel_max_rows": 0}}
HELD = ("cate", "outcome_mean", "propensity", "treatment_variance")


def study_of(outcome, treatment, options):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame = frame.assign(y=outcome, t=treatment, cluster=CLUSTER, weight=1.0 + np.arange(N) % 3)
    frame["gaps"] = frame["a"].where(np.arange(N) % 7 > 0)
    frame["town"] = np.array(list("uvwx"))[np.arange(N) % 4]
    return hb.Study.from_frame(
        frame, outcome="y", treatment="t", **({"covariates": ["a", "b", "c"]} | options)
    )


def held_out(study, form="kernel", folds=FOLDS, **options):
    engine = hb.Deep(seed=1, epochs=3, hidden=(8,), **FORMS[form], **options)
    return engine.fit(study, folds).heldout


def moved(ours, theirs, own=OWN):
    """Largest change of each held-out column of the fold."""
    pairs = {name: (getattr(ours, name), getattr(theirs, name)) for name in HELD}
    return {name: np.abs(a - b)[own].max() for name, (a, b) in pairs.items() if a is not None}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_outcome_of_a_fold_moves_a_bit_of_what_is_predicted_of_it(kind, form):
    outcome, treatment, options = KINDS[kind]
    before = held_out(study_of(outcome, treatment, options), form)
    for name, change in list(CHANGES.items())[: 3 if form == "kernel" else 1]:
        other = outcome.copy()
        other[OWN] = change(outcome[OWN])
        after = held_out(study_of(other, treatment, options), form)
        assert set(moved(before, after).values()) == {0.0}, name
        assert np.abs(after.cate - before.cate)[~OWN].max() > 0  # the other fold's models have seen it


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_folds", [2, 3])
def test_no_treatment_of_a_fold_moves_its_effect_or_means(form, n_folds):
    folds = Folds(CLUSTER % n_folds, n_folds=n_folds, seed=0)
    own = folds.fold == 0
    other = np.where(own, 1 - BINARY, BINARY)
    ours, theirs = (held_out(study_of(SMOOTH, each, {}), form, folds) for each in (BINARY, other))
    rounding = 0.0 if form == "kernel" else 1e-9  # where a column is centred by the mean of all
    assert max(moved(ours, theirs, own).values()) <= rounding
    assert np.abs(ours.cate - theirs.cate)[~own].max() > 1e-6


def test_the_shares_of_a_stacked_mean_have_not_seen_the_fold():
    """Six folds, so that two are left out together; products that predict the fold's outcomes exactly win no share by it."""
    folds = Folds(np.arange(N) % 6, n_folds=6, seed=0)
    own = folds.fold == 0
    other = np.where(own, 50 * X[:, 0] * X[:, 1], SMOOTH)
    ours, theirs = (held_out(study_of(each, BINARY, {}), "gram", folds) for each in (SMOOTH, other))
    assert set(moved(ours, theirs, own).values()) == {0.0}


def test_no_outcome_of_a_fold_moves_its_effect_in_a_panel():
    """One row of a fold is large enough that sums from which it was subtracted would still hold its rounding."""
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(t=DOSE, unit=CLUSTER, year=np.arange(N) % 5)
    found = []
    for outcome in (SMOOTH, np.where(OWN, 1e6 * NOISE, SMOOTH)):
        study = hb.Study.from_frame(
            frame.assign(y=outcome),
            outcome="y",
            treatment="t",
            covariates=["a", "b", "c"],
            fixed_effects=["unit", "year"],
        )
        found.append(held_out(study))
    change = moved(*found)
    assert change.pop("outcome_mean") > 1  # it holds the fold's own effects (docs/architecture.md, Panels)
    assert max(change.values()) < 1e-9 * np.abs(found[0].cate).max()


@pytest.mark.parametrize("kind", ["S", "T", "X", "R", "DR"])
def test_a_meta_learner_is_held_out_too(kind):
    pair = [SMOOTH, np.where(OWN, -1e6 * SMOOTH, SMOOTH)]
    ours, theirs = (hb.Meta(kind).fit(study_of(each, BINARY, {}), FOLDS).heldout for each in pair)
    assert set(moved(ours, theirs).values()) == {0.0}


def test_a_stack_learns_the_weights_of_a_fold_from_the_others():
    engine = hb.Stack([hb.Meta("T", n_folds=2), hb.Meta("DR", n_folds=2)], n_folds=2)
    pair = [SMOOTH, np.where(OWN, -1e6 * SMOOTH, SMOOTH)]
    ours, theirs = (engine.fit(study_of(each, BINARY, {}), FOLDS).heldout for each in pair)
    assert set(moved(ours, theirs).values()) == {0.0}
