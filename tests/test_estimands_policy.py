"""Policies, changes of the treatment and dose curves: what they are worth, from known scores and a cheap engine."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engine import HeldOut
from hte_bridge.estimands.averages import ate
from hte_bridge.estimands.budget import gain_curve
from hte_bridge.estimands.counterfactual import counterfactual, roi
from hte_bridge.estimands.doses import dose_curve, local_slopes
from hte_bridge.estimands.policy import rule_value
from hte_bridge.estimands.tree import shallow_tree
from hte_bridge.scores import Scores
from tests.helpers.studies import village_trial

EXACT = 1e-10


@pytest.fixture(scope="module")
def trial() -> hb.Study:
    return village_trial()


@pytest.fixture(scope="module")
def table(trial):
    return hb.compare(trial, [hb.Feols()], seed=1)


def close(row, truth):
    assert abs(row.estimate - truth) < 4 * row.std_error, row


# ---- policies ---------------------------------------------------------------------------------------------------


def test_treating_all_or_none_is_worth_what_it_is(table):
    scores = table.scores("feols")
    everyone = rule_value(scores, np.ones(scores.n), cost=0.5)
    assert abs(everyone[0].estimate - (ate(scores).estimate - 0.5)) < EXACT
    assert abs(everyone[1].estimate) < EXACT
    nobody = rule_value(scores, np.zeros(scores.n), cost=0.5)
    assert abs(nobody[0].estimate) < EXACT
    assert abs(nobody[1].estimate + everyone[0].estimate) < EXACT


def test_a_budget_for_all_buys_every_positive_effect():
    rng = np.random.default_rng(8)
    gamma, priority = rng.normal(size=300), rng.normal(size=300)
    row = gain_curve(Scores(gamma), priority, 1.0, [10.0])[0]
    assert abs(row.estimate - np.mean(gamma * (priority > 0))) < EXACT


def test_learned_tree_and_given_rules_beat_chance(table):
    for rows in (
        table.policy(cost=0.5),
        table.policy(tree="exact", cost=0.5),
        table.policy(rule=table.study.frame["x"] > 0),
    ):
        versus = next(row for row in rows.rows if row.term.endswith("- random"))
        assert versus.estimate > 4 * versus.std_error


def test_an_exact_tree_beats_every_other_split():
    rng = np.random.default_rng(9)
    x, gain = rng.integers(0, 6, (80, 2)).astype(float), rng.normal(size=80)

    def best(rows, depth):
        total = max(gain[rows].sum(), 0.0)
        if depth:
            for j in range(2):
                for cut in range(5):
                    below = x[:, j] <= cut
                    total = max(total, best(rows & below, depth - 1) + best(rows & ~below, depth - 1))
        return total

    tree = shallow_tree(x, gain, depth=2)
    assert abs(gain[tree.predict(x)].sum() - best(np.ones(80, dtype=bool), 2)) < EXACT


# ---- what if, doses ---------------------------------------------------------------------------------------------


def test_changes_add_up_over_segments_and_recover_the_truth(table):
    rows = {row.term: row for row in table.counterfactual(to=1.0, by="town").rows}
    assert abs(sum(rows[town].estimate for town in "abc") - rows["total"].estimate) < 1e-8
    frame = table.study.frame
    close(rows["total"], float(((1 - frame["d"]) * (1 + frame["x"])).sum()))


def test_a_unit_more_for_all_is_n_times_the_average_effect():
    rng = np.random.default_rng(10)
    held = HeldOut(rng.normal(size=50), np.zeros(50), np.full(50, 0.5))
    w, y = np.tile([0.0, 1.0], 25), rng.normal(size=50)
    gamma = held.cate + (w - 0.5) / 0.25 * (y - (w - 0.5) * held.cate)
    scores = Scores(gamma, outcome=y, treatment=w, heldout=held)
    row = counterfactual(scores, add=1.0)[0]
    assert abs(row.estimate - 50 * ate(scores).estimate) < EXACT
    assert abs(row.std_error - 50 * ate(scores).std_error) < EXACT
    assert abs(roi(scores, value=2.0, cost=1.0)[0].estimate - (2 * ate(scores).estimate - 1)) < EXACT


def dose_study(n=1500):
    rng = np.random.default_rng(11)
    x = rng.normal(size=n)
    dose = 2 + x / 2 + rng.normal(size=n)
    return hb.Study.from_frame(
        pd.DataFrame({"y": dose**2 + x + rng.normal(size=n), "dose": dose, "x": x}),
        outcome="y",
        treatment="dose",
        covariates=["x"],
    )


def test_a_dose_curve_bends_where_the_truth_does():
    study = dose_study()
    rng = np.random.default_rng(12)
    held = HeldOut(
        np.full(study.n, 4.0), 5.25 + 3 * study.covariates[:, 0] + study.covariates[:, 0] ** 2 / 4,
        2 + study.covariates[:, 0] / 2, np.ones(study.n),
    )  # E[Y | x] of the square  # fmt: skip
    scores = Scores(
        np.zeros(study.n), outcome=study.outcome, treatment=study.treatment, heldout=held, binary=False
    )
    fold = rng.integers(0, 5, study.n)
    rows = dose_curve(scores, np.column_stack([study.filled, study.filled**2]), fold, at=[1.0, 2.0, 3.0])
    close(rows[0], 3.0)
    close(rows[1], 8.0)
    assert rows[-1].term == "linear"
    assert rows[-1].p_value < 0.01
    slopes = local_slopes(scores, np.column_stack([study.filled, study.filled**2]), fold, at=[1.0, 3.0])
    close(slopes[0], 2.0)
    close(slopes[1], 6.0)
    binned = dose_curve(scores, study.filled, fold, shape="bins")
    assert [row.estimate for row in binned[:-1]] == sorted(row.estimate for row in binned[:-1])


def test_a_straight_dose_passes_the_test_of_a_line():
    study = dose_study()
    line = study.with_(outcome=3 * study.treatment + np.random.default_rng(13).normal(size=study.n))
    held = HeldOut(
        np.full(study.n, 3.0),
        3 * (2 + study.covariates[:, 0] / 2),
        2 + study.covariates[:, 0] / 2,
        np.ones(study.n),
    )
    scores = Scores(
        np.zeros(study.n), outcome=line.outcome, treatment=line.treatment, heldout=held, binary=False
    )
    rows = dose_curve(scores, study.filled, np.arange(study.n) % 5, at=[1.0, 2.0])
    close(rows[0], 3.0)
    assert rows[-1].p_value > 0.001
