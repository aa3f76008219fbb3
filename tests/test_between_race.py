"""The race: the better effect wins under common nuisances, and what adds nothing is said to add nothing."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge

from hte_bridge import Feols, Folds, compare
from hte_bridge.between.race import race
from hte_bridge.engines.given import Given
from hte_bridge.engines.meta import Meta
from hte_bridge.errors import InvalidOption
from tests.helpers.studies import study_of

STUDY = study_of(n=1_500, cluster="village")
TAU = 1 + STUDY.frame["x1"].to_numpy()
GOOD = Feols().fit(STUDY).heldout


def columns(cate, name):
    """An engine with feols's nuisances and another effect."""
    held = {"cate": cate, "outcome_mean": GOOD.outcome_mean, "propensity": GOOD.propensity}
    return Given(held, name=name, held_out=True)


def raced(*engines, study=STUDY, ranking="independent"):
    return race(compare(study, list(engines), seed=1), ranking=ranking)


def row_of(table, engine, estimand, term=""):
    return next(row for row in table.rows if (row.engine, row.estimand, row.term) == (engine, estimand, term))


NOISE = np.random.default_rng(1).normal(size=STUDY.n)
TABLE = raced(columns(TAU, "true"), columns(TAU + NOISE, "noisy"), columns(NOISE, "noise"))


@pytest.mark.parametrize("kind", ["r_loss", "dr_loss"])
def test_the_true_effect_has_the_least_loss(kind):
    losses = {name: row_of(TABLE, name, kind).estimate for name in ("true", "noisy", "noise", "constant")}
    assert min(losses, key=losses.get) == "true"
    assert losses["constant"] < losses["noise"]
    assert np.isnan(row_of(TABLE, "true", kind).p_value)  # that a loss is not zero is no news


@pytest.mark.parametrize("kind", ["r_loss", "dr_loss"])
def test_a_difference_of_losses_is_paired(kind):
    gap = row_of(TABLE, "noisy - true", kind)
    mine, theirs = row_of(TABLE, "noisy", kind), row_of(TABLE, "true", kind)
    assert abs(gap.estimate - (mine.estimate - theirs.estimate)) < 1e-12
    assert gap.conf_low > 0
    assert gap.df == 39
    assert gap.std_error < (mine.std_error**2 + theirs.std_error**2) ** 0.5


def test_losses_are_what_they_say():
    left = STUDY.outcome - GOOD.outcome_mean - (STUDY.treatment - GOOD.propensity) * TAU
    assert abs(row_of(TABLE, "true", "r_loss").estimate - np.mean(left**2)) < 1e-12


def test_what_noise_hides_adds_nothing_and_the_truth_adds_to_all():
    assert row_of(TABLE, "noisy", "adds", "beyond true").conf_low < 0
    assert row_of(TABLE, "true", "adds", "beyond noisy").conf_low > 0.5
    assert "noisy adds nothing beyond true that these data can show" in TABLE.reading
    assert "true adds to noisy: the best mix gives it" in TABLE.reading
    assert "noise adds nothing that these data can show to one constant effect" in TABLE.reading


def test_the_weight_in_the_mix_is_that_of_a_regression():
    t, e, y = STUDY.treatment, GOOD.propensity, STUDY.outcome - GOOD.outcome_mean
    fold = Folds.make(STUDY, 5, 1).fold
    average = lambda values: np.array([values[fold == k].mean() for k in range(5)])[fold]
    level, moved = average(TAU + NOISE / 2), NOISE - average(NOISE)  # one level in each fold for both
    weights = np.linspace(0, 1, 1001)
    losses = [np.mean((y - (t - e) * (level + TAU - average(TAU) + w * moved)) ** 2) for w in weights]
    expected = np.clip(row_of(TABLE, "noisy", "adds", "beyond true").estimate, 0, 1)
    assert abs(weights[np.argmin(losses)] - expected) < 1e-3  # the grid's step
    both = (
        row_of(TABLE, "noisy", "adds", "beyond true").estimate
        + row_of(TABLE, "true", "adds", "beyond noisy").estimate
    )
    assert abs(both - 1) < 1e-12


def test_ranks_of_one_are_scored_by_another():
    good, bad = (row_of(TABLE, name, "rate", "scored by noise") for name in ("true", "noisy"))
    assert good.conf_low > 0
    gap = row_of(TABLE, "noisy - true", "rate", "scored by noise")
    assert abs(gap.estimate - (bad.estimate - good.estimate)) < 1e-12
    assert 0 < gap.std_error < (good.std_error**2 + bad.std_error**2) ** 0.5
    with pytest.raises(StopIteration):
        row_of(TABLE, "true", "rate", "scored by true")


def test_ranks_by_held_out_predictions_have_no_interval_and_sequential_ones_do():
    engines = [Feols(), Meta("T", Ridge(500.0))]
    heldout, sequential = (raced(*engines, ranking=how) for how in ("heldout", "sequential"))
    assert np.isnan(row_of(heldout, "meta-T", "rate", "scored by feols").std_error)
    gap = row_of(heldout, "meta-T - feols", "rate", "scored by feols")
    assert np.isnan(gap.p_value)
    assert "no interval: ranked by held-out predictions" in gap.note
    assert row_of(sequential, "meta-T", "rate", "scored by feols").conf_low > 0
    assert row_of(sequential, "meta-T - feols", "rate", "scored by feols").std_error > 0


def test_columns_from_elsewhere_cannot_be_fitted_again():
    row = row_of(
        raced(columns(TAU, "a"), columns(NOISE, "b"), ranking="sequential"), "a", "rate", "scored by b"
    )
    assert "`a` cannot be fitted again here" in row.note


def test_a_constant_truth_leaves_nothing_to_add():
    rng = np.random.default_rng(3)
    frame = STUDY.frame.copy()
    frame["y"] = frame["x1"] + frame["d"] + rng.normal(size=len(frame))
    study = type(STUDY).from_frame(frame, outcome="y", treatment="d", covariates=["x1", "x2", "x3"])
    table = raced(Feols(), Meta("T", DummyRegressor(), label="flat"), study=study)
    assert "feols adds nothing that these data can show to one constant effect" in table.reading


def test_two_that_predict_the_same_are_said_to():
    table = raced(columns(TAU, "one"), columns(TAU, "two"))
    row = row_of(table, "two", "adds", "beyond one")
    assert np.isnan(row.estimate)
    assert row.note == "one and two predict the same"


def test_shuffled_rows_change_nothing():
    order = np.random.default_rng(1).permutation(STUDY.n)
    study = STUDY.subset(order)
    engines = [
        Given(
            {
                "cate": cate[order],
                "outcome_mean": GOOD.outcome_mean[order],
                "propensity": GOOD.propensity[order],
            },
            name=name,
            held_out=True,
        )
        for cate, name in ((TAU, "true"), (TAU + NOISE, "noisy"))
    ]
    moved = raced(*engines, study=study)
    here = raced(columns(TAU, "true"), columns(TAU + NOISE, "noisy"))
    one, two = (row_of(each, "noisy - true", "r_loss") for each in (here, moved))
    assert abs(one.estimate - two.estimate) < 1e-10
    assert abs(one.std_error - two.std_error) < 1e-10


def test_doses_and_panels_race_too():
    dose = study_of(n=500, dose=True)
    assert np.isfinite(
        row_of(raced(Feols(), Meta("R", LinearRegression()), study=dose), "feols", "dr_loss").estimate
    )
    panel = study_of(n=500, fixed_effects="village", cluster="village")
    held = Feols().fit(panel).heldout
    other = pd.DataFrame({name: getattr(held, name) for name in vars(held)}, index=panel.index)
    other["outcome_mean"] += np.random.default_rng(1).normal(size=500)
    table = raced(Feols(), Given(other, name="other", held_out=True), study=panel)
    assert row_of(table, "other - feols", "r_loss").conf_low > 0
    assert "by its own nuisances" in row_of(table, "feols", "r_loss").note
    assert {row.engine for row in table.rows if row.estimand == "r_loss"} == {
        "feols",
        "other",
        "other - feols",
    }


def test_a_race_needs_two():
    with pytest.raises(InvalidOption, match=r"need two with held-out predictions. 1 found \(feols\)"):
        raced(Feols())
