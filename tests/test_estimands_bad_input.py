"""Each sentence that a question which cannot be answered gets."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engine import HeldOut
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified
from hte_bridge.estimands.budget import check_budget, check_cost, gain_curve
from hte_bridge.estimands.calibration import best_linear_predictor, calibration
from hte_bridge.estimands.counterfactual import counterfactual, roi
from hte_bridge.estimands.doses import dose_curve
from hte_bridge.estimands.group_labels import labels_of
from hte_bridge.estimands.groups import gate, gates
from hte_bridge.estimands.nuisance import trimmed
from hte_bridge.estimands.policy import rule_value
from hte_bridge.estimands.ranking import rate, toc
from hte_bridge.estimands.sensitivity import bias_bounds
from hte_bridge.estimands.splits import repeated
from hte_bridge.estimands.tree import shallow_tree
from hte_bridge.inference import adjusted, with_vcov
from hte_bridge.scores import Scores

N = 40


def some(binary=True, cluster=None, same=False):
    """Scores of N units, half of them treated."""
    rng = np.random.default_rng(1)
    w = np.tile([0.0, 1.0], N // 2) if binary else rng.normal(size=N)
    cate = np.ones(N) if same else rng.normal(size=N)
    held = HeldOut(cate, np.zeros(N), np.full(N, 0.5), None if binary else np.ones(N))
    return Scores(rng.normal(size=N), None, cluster, rng.normal(size=N), w, held, binary=binary)


HALF = np.arange(N) // (N // 2)
ZEROS = np.zeros(N, dtype=int)
SENTENCES = {
    "labels of another length": (lambda: gate(some(), ["a"] * 3), InvalidData, "one label for each unit. 3 labels"),
    "more groups than clusters": (
        lambda: gate(some(cluster=np.arange(N) % 3), np.arange(N) % 4),
        NotIdentified,
        "more clusters than groups. 4 groups were asked of 3 clusters",
    ),
    "bins of text": (lambda: labels_of(["a", "b"], bins=2), InvalidOption, "`bins` need a numeric column"),
    "bins that fall": (lambda: labels_of([1.0, 2.0, 3.0], bins=[2, 1]), InvalidOption, "`bins` must increase"),
    "one sorted group": (lambda: gates(some(), np.arange(N), ZEROS, groups=1), InvalidOption, "2 or more"),
    "a fold too small": (
        lambda: gates(some(), np.arange(float(N)), np.arange(N) // 4, groups=5),
        NotIdentified,
        "Fold 0 holds 4 for 5 groups",
    ),
    "a priority with gaps": (lambda: rate(some(), np.full(N, np.nan)), InvalidData, "must be finite. 40 of 40"),
    "too few priorities": (lambda: rate(some(), np.ones(3)), InvalidData, "3 were given for 40 units"),
    "an unknown area": (lambda: rate(some(), np.ones(N), target="auc"), InvalidOption, "'autoc' or 'qini'"),
    "a fraction above one": (lambda: toc(some(), np.ones(N), grid=[0.5, 2]), InvalidOption, r"fractions in \(0, 1\]"),
    "predictions all alike": (lambda: calibration(some(same=True)), NotIdentified, "predictions that differ"),
    "a best linear predictor of a dose": (
        lambda: best_linear_predictor(some(binary=False)),
        NotIdentified,
        "needs a treatment of 0 and 1",
    ),
    "costs of zero": (lambda: check_cost(np.zeros(N), N), InvalidData, "positive number. 40 of 40 are not; the first is 0"),
    "a negative cost": (lambda: check_cost(-1.0, N), InvalidData, "the first is -1, of unit 0"),
    "costs of wrong length": (lambda: check_cost(np.ones(3), N), InvalidData, "3 were given for 40 units"),
    "a budget below the cheapest": (
        lambda: check_budget(0.01, np.full(N, 2.0)),
        InvalidOption,
        "0.01 times 40 units is 0.4; the cheapest unit costs 2. Raise the budget",
    ),
    "a curve below the cheapest": (
        lambda: gain_curve(some(), np.ones(N), 2.0, [0.01]),
        InvalidOption,
        "must pay for at least one",
    ),
    "a rule of wrong length": (lambda: rule_value(some(), np.ones(3)), InvalidData, "3 values were given for 40 units"),
    "a rule beyond one": (lambda: rule_value(some(), np.full(N, 2.0)), InvalidData, "from 0 .* to 1"),
    "a deep tree": (lambda: shallow_tree(np.ones((N, 1)), np.ones(N), depth=3), InvalidOption, "must be 0, 1 or 2"),
    "two changes": (lambda: counterfactual(some(), to=1.0, add=1.0), InvalidOption, "exactly one of `to`, `add` and `scale`"),
    "a treatment of two": (lambda: counterfactual(some(), to=2.0), NotIdentified, "must be 0 or 1. 2 was given"),
    "a dose never seen": (lambda: counterfactual(some(False), to=99.0), NotIdentified, "the doses observed. 99 was given"),
    "spending nothing": (lambda: roi(some(), value=1.0, cost=0.0), InvalidData, "must be a positive number"),
    "a curve of two doses": (lambda: dose_curve(some(), np.ones((N, 1)), HALF), NotIdentified, "needs at least 4 doses. 2 occur"),
    "trimming a dose": (lambda: trimmed(some(False)), NotIdentified, "needs the propensity of a treatment of 0 and 1"),
    "trimming all": (lambda: trimmed(some(), edge=0.6), InvalidOption, "from 0 to below 0.5"),
    "a confounder too strong": (
        lambda: bias_bounds(some(), with_outcome=1.5, with_treatment=0.1),
        InvalidOption,
        r"must lie in \[0, 1\)",
    ),
    "no splits": (lambda: repeated(None, None, None, n_splits=0), InvalidOption, "`n_splits` must be 1 or more"),
    "an unknown family": (lambda: adjusted([], ZEROS, method="bh"), InvalidOption, "'romano-wolf' or 'holm'"),
    "an unknown vcov": (lambda: with_vcov([], None, "HAC"), InvalidOption, "`vcov` must be one of"),
}  # fmt: skip


@pytest.mark.parametrize("name", SENTENCES)
def test_sentence(name):
    ask, error, sentence = SENTENCES[name]
    with pytest.raises(error, match=sentence):
        ask()


def test_a_group_without_treated_units_has_a_row_that_says_so():
    scores = some()
    labels = np.where(scores.treatment == 1, "b", np.where(np.arange(N) < N // 2, "a", "b"))
    rows = {row.term: row for row in gate(scores, labels)}
    assert np.isnan(rows["a"].estimate)
    assert "no treated unit" in rows["a"].note
    assert rows["b"].std_error > 0
    assert np.isnan(rows["equal"].p_value)


@pytest.fixture(scope="module")
def panel_table():
    rng = np.random.default_rng(2)
    unit, period = np.repeat(np.arange(60), 5), np.tile(np.arange(5), 60)
    x = rng.normal(size=60)[unit]
    dose = rng.normal(size=300) + x
    y = (1 + x) * dose + rng.normal(size=60)[unit] + rng.normal(size=300)
    frame = pd.DataFrame({"y": y, "dose": dose, "x": x, "unit": unit, "period": period})
    study = hb.Study.from_frame(
        frame,
        outcome="y",
        treatment="dose",
        covariates=["x"],
        fixed_effects=["unit", "period"],
        cluster="unit",
    )
    return hb.compare(
        study, [hb.Feols()], estimands=["ape", "att", "trimmed", "gate", "gates", "rate", "dose"], seed=1
    )


def test_a_panel_answers_what_it_identifies_and_says_why_not_the_rest(panel_table):
    frame = panel_table.to_frame()
    for estimand in ("ape", "gate", "gates", "rate"):
        assert (frame.loc[frame["estimand"] == estimand, "std_error"] > 0).any(), estimand
    for estimand, why in (
        ("att", "Ask for `ape`"),
        ("trimmed", "Ask for `ape`"),
        ("dose", "without fixed effects"),
    ):
        row = frame.loc[frame["estimand"] == estimand].iloc[0]
        assert np.isnan(row["estimate"])
        assert why in row["note"]


def test_a_panel_finds_its_heterogeneity(panel_table):
    rows = {row.term: row for row in panel_table.rows if row.estimand == "gates"}
    assert rows["highest - lowest"].estimate > 4 * rows["highest - lowest"].std_error
