"""Rows whose errors the study cannot defend: few clusters that hold the treatment's variation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from bench import few_clusters
from hte_bridge.study import SHORT, UNDEFENDED


def panel(treated, units=40, periods=8):
    rng = np.random.default_rng(1)
    unit, period = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    frame = pd.DataFrame({"unit": unit, "period": period, "x": rng.normal(size=unit.size)})
    frame["y"] = rng.normal(size=units)[unit] + rng.normal(size=unit.size)
    frame["d"] = (unit < treated) & (period >= periods // 2)
    roles = {"outcome": "y", "treatment": "d", "covariates": ["x"], "cluster": "unit"}
    return hb.Study.from_frame(frame, fixed_effects=["unit", "period"], **roles)


def villages(treated, villages=30):
    rng = np.random.default_rng(2)
    village = np.arange(600) % villages
    frame = pd.DataFrame({"village": village, "x": rng.normal(size=600), "y": rng.normal(size=600)})
    frame["d"] = (village < treated) * 1
    roles = {"outcome": "y", "treatment": "d", "covariates": ["x"], "cluster": "village"}
    return hb.Study.from_frame(frame, propensity=treated / villages, **roles)


@pytest.mark.parametrize("share", [1, 2, 5, 20])
def test_effective_clusters_of_a_difference_in_differences_are_as_its_formula_says(share):
    """Treated units hold (1 - s) each, the others s, for a share s of 40: a clean two-way design."""
    s, held = share / 40, np.repeat([(1 - share / 40) ** 2, (share / 40) ** 2], [share, 40 - share])
    assert panel(share).effective_clusters == pytest.approx(held.sum() ** 2 / (held @ held))
    assert panel(share).effective_clusters == pytest.approx(
        40 if s == 0.5 else held.sum() ** 2 / (held @ held)
    )


def test_two_treated_units_get_no_interval_and_the_reason():
    study = panel(2)
    assert study.effective_clusters < UNDEFENDED
    table = hb.compare(study, [hb.Feols()])
    row = table.where(estimand="coefficient").rows[0]
    assert np.isfinite(row.estimate)
    assert np.isnan([row.std_error, row.p_value, row.conf_low, row.conf_high]).all()
    assert (
        "no interval: the variation of `d` lies in few clusters of `unit`, as in 2.2 of equal size (of 40)"
        in row.note
    )
    assert row.note.endswith("placebo treatments of untreated units (Conley and Taber, 2011)")
    assert not table.meta["warnings"]
    curve = table.fits["feols"].cate(pd.DataFrame({"x": [0.0, 1.0]}))
    assert curve["estimate"].notna().all()
    assert curve["std_error"].isna().all()
    assert "no interval: the variation" in str(table).replace("\n    ", " ").lower()


def test_six_treated_units_are_warned_of_and_twenty_are_not():
    few, enough = panel(6), panel(20)
    assert UNDEFENDED < few.effective_clusters < SHORT
    said = hb.compare(few, [hb.Feols()]).meta["warnings"]
    assert said[0].startswith(
        "all engines: intervals are too short: the variation of `d` lies in few clusters"
    )
    assert not hb.compare(enough, [hb.Feols()]).meta["warnings"]


def test_further_questions_are_withheld_too_but_not_a_randomisation_test():
    table = hb.compare(villages(2), [hb.Feols()], estimands=["ate"])
    asked = table.projection("x")
    assert all(np.isnan(row.std_error) and np.isnan(row.p_value) for row in asked.rows)
    assert asked.rows[0].note.endswith("`randomisation()` tests without them")
    lot = table.randomisation(draws=99).rows[0]
    assert 0 < lot.p_value <= 1
    assert all(np.isnan(row.std_error) for row in table.with_vcov({"CRV3": "village"}).rows)


def test_ten_treated_of_five_hundred_units_are_few_without_clusters():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"x": rng.normal(size=500), "y": rng.normal(size=500), "d": (np.arange(500) < 10) * 1}
    )
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    said = hb.compare(study, [hb.Feols()]).meta["warnings"]
    assert any("lies in few units, as in 10.4 of equal size (of 500)" in each for each in said)


def test_the_bench_of_few_clusters_shows_both_ends():
    one, half = (few_clusters.measure(20, treated, draws=30, seed=1) for treated in (1, 10))
    assert one["coverage"] < 0.8 < half["coverage"]
    assert one["effective"] < UNDEFENDED < SHORT < half["effective"]
    page = few_clusters.page(pd.DataFrame([half, one]))
    assert page.index("no interval |") < page.index("| 20.0 | 20 | 10 |")
