"""Errors of rows from scores in panels: effects are swept out of all held-out rows together, and the degrees of freedom that this takes are counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge import inference
from hte_bridge.crossfit import within_effects
from hte_bridge.estimands.averages import ape, ate
from hte_bridge.estimands.projection import projection
from hte_bridge.keys import lots
from hte_bridge.lost import inflation, lost_to_effects
from hte_bridge.scores import scores
from hte_bridge.simulate.panel import panel
from hte_bridge.sweeping import within

USERS, PERIODS = 200, 3


def frame_of(rng):
    """A balanced panel whose effect is one for all, and a dose that moves with user and period."""
    user, period = np.repeat(np.arange(USERS), PERIODS), np.tile(np.arange(PERIODS), USERS)
    frame = pd.DataFrame({"user": user, "period": period, "x": rng.normal(size=len(user))})
    frame["t"] = rng.normal(size=USERS)[user] + rng.normal(size=PERIODS)[period] + rng.normal(size=len(user))
    frame["y"] = frame["t"] + rng.normal(size=USERS)[user] + rng.normal(size=len(user))
    return frame


def study_of(frame, **options):
    roles = {"outcome": "y", "treatment": "t", "covariates": ["x"], "fixed_effects": ["user", "period"]}
    return hb.Study.from_frame(frame, **roles, **options)


def test_levels_are_counted_but_not_those_within_clusters():
    frame = frame_of(np.random.default_rng(1))
    assert lost_to_effects(study_of(frame)) == pytest.approx((USERS + PERIODS - 1) / 600)
    assert lost_to_effects(study_of(frame, cluster="user")) == pytest.approx((PERIODS - 1) / 600)


def test_errors_of_a_panel_hold_what_its_effects_took():
    rng = np.random.default_rng(2)
    found = []
    for seed in range(300):
        study = study_of(frame_of(rng))
        made = scores(study, hb.Feols(seed=seed).fit(study).heldout)
        bare = replace(made, heldout=replace(made.heldout, lost=0.0))
        row, naive = ate(made), ate(bare)
        p_values = [projection(each, study.filled, ["x"])[-1].p_value for each in (made, bare)]
        found.append([(row.estimate - 1) / row.std_error, (naive.estimate - 1) / naive.std_error, *p_values])
    z, without, p, p_without = np.array(found).T
    assert 0.85 < z.std() < 1.15  # Monte-Carlo error .04
    assert without.std() > 1.12  # three rows per user: a third of the degrees of freedom is gone
    assert np.mean(p < 0.05) < 0.07
    assert np.mean(p_without < 0.05) > 0.08


def small_panel(units, rng):
    """Units half of which are treated from the middle of six periods on, to no effect; errors an AR(1) of .5."""
    error = rng.normal(size=(units, 6))
    for t in range(1, 6):
        error[:, t] = 0.5 * error[:, t - 1] + 0.75**0.5 * error[:, t]
    unit, period = np.repeat(np.arange(units), 6), np.tile(np.arange(6), units)
    columns = {
        "y": error.ravel(),
        "t": ((unit < units // 2) & (period > 2)) * 1,
        "x": rng.normal(size=len(unit)),
    }
    frame = pd.DataFrame(columns | {"user": unit, "period": period})
    return study_of(frame, cluster="user")


def test_four_units_in_a_fold_leave_errors_that_are_right():
    """Effects swept out of each fold's four units alone gave z a standard deviation of 1.4, and intervals that cover .85."""
    rng = np.random.default_rng(3)
    rows = [
        ape(scores(study, hb.Feols(seed=seed).fit(study).heldout))
        for seed in range(150)
        for study in [small_panel(20, rng)]
    ]
    z = np.array([row.estimate / row.std_error for row in rows])
    assert 0.83 < z.std() < 1.17  # Monte-Carlo error .06
    assert (
        np.mean([row.conf_low <= 0 <= row.conf_high for row in rows])
        > 0.95 - 4 * (0.95 * 0.05 / len(rows)) ** 0.5
    )


def test_no_offset_of_a_held_out_effect_moves_an_average():
    """A constant added to every held-out effect leaves the mean of the scores where it is: squares of the dose over their variance average one."""
    study = small_panel(20, np.random.default_rng(4))
    left, dose = study.outcome, study.treatment
    averages = [
        ape(
            scores(
                study, within_effects(study, np.full(study.n, add), left - add * dose, dose, np.ones(study.n))
            )
        ).estimate
        for add in (0.0, 5.0)
    ]
    assert averages[0] == pytest.approx(averages[1], abs=1e-12)


def test_a_subset_and_a_difference_of_rows_keep_the_factor():
    study = study_of(frame_of(np.random.default_rng(3)))
    table = hb.compare(study, [hb.Feols(), hb.Feols(label="again", seed=1)], estimands=["ape"], seed=1)
    made = scores(study, table.fits["feols"].heldout)
    assert made.inflation > 1.15
    assert made.where(np.arange(100)).inflation == made.inflation
    bare = replace(made, heldout=replace(made.heldout, lost=0.0))
    assert ate(made).std_error == pytest.approx(made.inflation * ate(bare).std_error)


def test_other_errors_count_what_their_clusters_do_not_hold():
    frame = frame_of(np.random.default_rng(4))
    study = study_of(frame)
    table = hb.compare(study, [hb.Feols()], estimands=["ape"], seed=1)
    own = table.where(estimand="ape").rows[0]
    factor = scores(study, table.fits["feols"].heldout).inflation
    again = table.with_vcov("hetero").where(estimand="ape").rows[0]
    assert again.std_error == pytest.approx(own.std_error, rel=1e-6)  # as the row itself: no clusters
    users = table.with_vcov({"CRV1": "user"}).rows
    users_hold = inflation(study, [study.fixed_effects[:, 0]])
    assert 1.0 < users_hold < 1 + (factor - 1) / 10  # users hold their effects, periods are counted
    average = next(row for row in users if row.estimand == "ape")
    totals = np.bincount(study.fixed_effects[:, 0], weights=own.influence)
    assert average.std_error == pytest.approx(users_hold * (totals @ totals * USERS / (USERS - 1)) ** 0.5)
    turned = table.wild_bootstrap(seed=1).where(estimand="ape").rows[0]
    naive = inference.wild_bootstrap([own], lots(study.cluster, study.keys), seed=1)[0]
    width = lambda row: row.conf_high - row.conf_low
    assert width(turned) == pytest.approx(factor * width(naive), rel=0.02)


def test_what_one_of_several_effects_determines_is_swept_to_zero():
    """Steps along what rounding leaves led anywhere: a covariate of vendors came back 25 standard deviations large."""
    draw = panel("nonlinear", n_rows=4_000, n_users=100, n_vendors=30, n_periods=6, seed=1)
    ones = np.ones(draw.n)
    assert not within(draw.covariates, draw.effects, ones).any()
    both = within(np.column_stack([draw.covariates, draw.treatment]), draw.effects, ones)
    dummies = np.column_stack([np.eye(codes.max() + 1)[codes] for codes in draw.effects.T])
    left = draw.treatment - dummies @ np.linalg.lstsq(dummies, draw.treatment, rcond=None)[0]
    assert np.abs(both[:, -1] - left).max() < 1e-11


def test_covariates_that_units_keep_are_no_regressors_in_an_unbalanced_panel():
    """Swept out they left rounding errors, on which a regression put coefficients of 1e23: errors of scores were half of what they are."""
    rng = np.random.default_rng(0)
    unit, period = np.repeat(np.arange(300), 8), np.tile(np.arange(8), 300)
    kept, level = rng.normal(size=(300, 3))[unit], rng.normal(size=300)[unit]
    frame = pd.DataFrame(kept, columns=["a", "b", "c"]).assign(unit=unit, period=period)
    frame["t"] = (rng.random(len(unit)) < 1 / (1 + np.exp(-level / 2))) * 1
    frame["y"] = level + frame["t"] * (1 + 0.5 * frame["a"]) + rng.normal(size=len(unit))
    frame = frame[rng.random(len(unit)) < 0.7]
    roles = {"outcome": "y", "treatment": "t", "covariates": ["a", "b", "c"], "cluster": "unit"}
    study = hb.Study.from_frame(frame, fixed_effects=["unit", "period"], **roles)
    assert not within(study.filled, study.fixed_effects, study.weight).any()
    fit = hb.Feols().fit(study)
    assert np.abs(study.treatment - fit.heldout.propensity).max() < 1.5
    average, coefficient = ape(scores(study, fit.heldout)), fit.rows(0.95)[0]
    assert average.std_error == pytest.approx(coefficient.std_error, rel=0.1)
