"""Staggered adoption: every engine against R's did, groups against did on the subsets, and what cells are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.staggered.comparing import compare_adoption
from hte_bridge.staggered.nuisance import linear
from hte_bridge.staggered.stack import stack_of

ROOT = Path(__file__).parent.parent
ORACLES = ROOT / "tests" / "oracles"
EXACT = 1e-10  # of effects and errors of some .01 to .1, where did asks for 1e-8 and 1e-6
FAMILY = {"simple": "att_simple", "group": "att_group", "dynamic": "att_event", "calendar": "att_calendar"}
ROLES = {"outcome": "lemp", "unit": "countyreal", "period": "year", "first_treated": "first.treat"}
ROLES_OF_PANEL = {"outcome": "y", "unit": "id", "period": "t", "first_treated": "g"}
SCENARIOS = {
    "mpdta_nev_dr": ("never", "dr", []),
    "mpdta_nyt_dr": ("not_yet", "dr", []),
    "mpdta_nev_reg_cov": ("never", "reg", ["lpop"]),
    "mpdta_nev_ipw": ("never", "ipw", []),
}


@pytest.fixture(scope="module")
def mpdta():
    frame = pd.read_csv(ROOT / "examples" / "mpdta.csv")
    population = frame.groupby("countyreal")["lpop"].first()
    frame["big"] = frame["countyreal"].map(population > population.median()).astype(int)
    return frame


def by_key(rows):
    return {(row.estimand, row.term): row for row in rows}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cells_and_aggregations_are_those_of_did(mpdta, scenario):
    controls, method, covariates = SCENARIOS[scenario]
    study = hb.Study.from_frame(mpdta, **ROLES, covariates=covariates, controls=controls)
    found = by_key(hb.compare(study, [hb.Feols(adoption=method)], on_error="raise").rows)
    cells = pd.read_csv(ORACLES / "did_attgt.csv").query("scenario == @scenario")
    assert sum(key[0] == "att_gt" for key in found) == len(cells) == 12
    for each in cells.itertuples():
        row = found["att_gt", f"{each.group}, {each.t}"]
        assert abs(row.estimate - each.att) < EXACT
        assert abs(row.std_error - each.se) < EXACT
    for each in pd.read_csv(ORACLES / "did_aggte.csv").query("scenario == @scenario").itertuples():
        overall = found[FAMILY[each.type], "overall"]
        assert abs(overall.estimate - each.overall_att) < EXACT
        assert abs(overall.std_error - each.overall_se) < EXACT
        if each.type != "simple":
            row = found[FAMILY[each.type], f"{each.egt:g}"]
            assert abs(row.estimate - each.att_egt) < EXACT
            assert abs(row.std_error - each.se_egt) < EXACT


DESIGNS = (  # of tests/oracles/csdid.csv: controls, method, covariates, anticipation, whether some are never treated
    ("not_yet", "dr", ["x"], 0, True),
    ("never", "ipw", ["x"], 0, True),
    ("not_yet", "reg", ["x"], 1, True),
    ("not_yet", "dr", [], 0, False),
    ("never", "dr", ["x"], 1, True),
)


def made_for_csdid(seed, never, n=300, periods=6):
    rng = np.random.default_rng(seed)
    unit, period = np.repeat(np.arange(n), periods), np.tile(np.arange(1, periods + 1), n)
    start = rng.choice([3, 4, 6, 0 if never else 5], size=n)[unit].astype(float)
    x, z = rng.normal(size=n)[unit], rng.integers(0, 2, n)[unit]
    y = rng.normal(size=n)[unit] + 0.3 * period * (1 + x) + rng.normal(size=n * periods) * 0.5
    y = y + (period >= start) * (start > 0) * (1 + 0.3 * (period - start) + z)
    return pd.DataFrame({"id": unit + 1, "t": period, "g": start, "y": y, "x": x})


@pytest.mark.parametrize("case", range(len(DESIGNS)))
def test_anticipation_covariates_and_no_never_treated_are_those_of_the_port_csdid(case):
    controls, method, covariates, anticipation, never = DESIGNS[case]
    options = {"covariates": covariates, "controls": controls, "anticipation": anticipation}
    study = hb.Study.from_frame(made_for_csdid(case + 1, never), **ROLES_OF_PANEL, **options)
    found = by_key(hb.compare(study, [hb.Feols(adoption=method)], on_error="raise").rows)
    told = pd.read_csv(ORACLES / "csdid.csv").query("case == @case")
    assert len(told) == sum(key[0] != "coefficient" for key in found)
    for each in told.itertuples():
        term = f"{each.g:g}, {each.t:g}" if each.type == "gt" else f"{each.g:g}"
        term = "overall" if np.isnan(each.g) else term
        row = found["att_gt" if each.type == "gt" else FAMILY[each.type], term]
        assert abs(row.estimate - each.att) < EXACT
        assert abs(row.std_error - each.se) < EXACT


class Learner:
    """An engine that learns from the stack, of which nothing is asked where there are no covariates."""

    name = "learner"

    def fit(self, study, folds=None):
        raise AssertionError("nothing to learn")


def test_without_covariates_every_engine_takes_differences_of_means(mpdta):
    study = hb.Study.from_frame(mpdta, **ROLES)
    table = hb.compare(study, [hb.Feols(), Learner()], on_error="raise")
    mine, theirs = (by_key(table.where(engine=name).rows) for name in ("learner", "feols"))
    assert mine.keys() == {key for key in theirs if key[0] != "coefficient"}
    assert all(row.estimate == theirs[key].estimate for key, row in mine.items())
    assert {row.std_error for row in table.differences().rows} != {0.0}
    assert all("same up to rounding" in row.note for row in table.differences().rows if row.term != "joint")


def test_the_saturated_regression_is_the_cells_where_units_are_never_treated(mpdta):
    table = hb.compare(hb.Study.from_frame(mpdta, **ROLES, controls="never"), [hb.Feols()], on_error="raise")
    found = by_key(table.rows)
    treated = [key for key in found if key[0] == "coefficient" and key[1][6:] >= key[1][:4]]
    assert len(treated) == 7
    for _, term in treated:
        own, cell = found["coefficient", term], found["att_gt", term]
        assert abs(own.estimate - cell.estimate) < 1e-9
        assert (
            abs(own.std_error / cell.std_error - 1) < 0.02
        )  # CRV1 has a factor, and pools residuals over cells
        assert "Sun and Abraham" in own.note


def test_a_group_is_did_on_its_units_and_differences_add_up(mpdta):
    study = hb.Study.from_frame(mpdta, **ROLES, covariates=["lpop"])
    table = hb.compare(study, [hb.Feols()], estimands=["att_simple"], on_error="raise")
    groups = by_key(table.gate("big", of="att_event", joint=False).rows)
    for big in (0, 1):
        part = hb.Study.from_frame(mpdta.query("big == @big"), **ROLES, covariates=["lpop"])
        alone = hb.compare(part, [hb.Feols()], estimands=["att_event"], on_error="raise")
        for row in alone.where(estimand="att_event").rows:
            mine = groups["gate", f"big = {big}: {row.term}"]
            assert abs(mine.estimate - row.estimate) < EXACT
            assert abs(mine.std_error - row.std_error) < EXACT
    apart = groups["gate", "big = 1 - big = 0: 1"]
    first, second = groups["gate", "big = 0: 1"], groups["gate", "big = 1: 1"]
    assert abs(apart.std_error - np.hypot(first.std_error, second.std_error)) < EXACT  # no unit is in both


def test_a_difference_of_groups_knows_of_shared_clusters(mpdta):
    state = mpdta.assign(state=mpdta["countyreal"] // 1000)
    study = hb.Study.from_frame(state, **ROLES, cluster="state")
    table = hb.compare(study, [hb.Feols()], estimands=["att_simple"], on_error="raise")
    rows = by_key(table.gate("big", joint=False).rows)
    first, second, apart = (rows["gate", each] for each in ("big = 0", "big = 1", "big = 1 - big = 0"))
    code = study.cluster
    sums = [np.bincount(code, weights=row.influence) for row in (first, second)]
    assert abs(sums[0] @ sums[1]) > 1e-6  # states hold both
    expected = (first.std_error**2 + second.std_error**2 - 2 * sums[0] @ sums[1]) ** 0.5
    assert abs(apart.std_error - expected) < EXACT
    assert "CRV0 (state)" in apart.vcov
    assert study.n_clusters == state["state"].nunique()


def test_dr_and_ipw_errors_hold_what_fitting_adds():
    """Against the same moments stacked with those of both nuisances: M-estimation by finite differences."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2))
    treated = rng.random(300) < 1 / (1 + np.exp(-x[:, 0] + 0.5))
    change = x @ [1.0, 0.5] + treated + rng.normal(size=300)
    z = np.column_stack([np.ones(300), x])
    for method in ("dr", "reg", "ipw"):
        att, influence = linear(change, treated, x, method).effect()

        def moments(theta, method=method):
            b, g, one, two = theta[:3], theta[3:6], theta[6], theta[7]
            left = change - (z @ b if method != "ipw" else 0)
            weight = np.exp(z @ g)
            if method == "reg":
                weight, left = np.zeros(300), change - z @ b
            return np.column_stack(
                [
                    z * ((1 - treated) * (change - z @ b))[:, None],
                    z * (treated - 1 / (1 + np.exp(-z @ g)))[:, None],
                    treated * (left - one),
                    (1 - treated) * (weight * (left - two) if method != "reg" else -two),
                ]
            )

        from scipy.optimize import root

        start = np.concatenate([np.linalg.lstsq(z[~treated], change[~treated])[0], [-0.5, 1, 0, 1.0, 0.0]])
        theta = root(lambda t: moments(t).sum(axis=0), start, tol=1e-13).x
        step = np.eye(8) * 1e-6
        slope = np.column_stack(
            [(moments(theta + s).sum(axis=0) - moments(theta - s).sum(axis=0)) / 2e-6 for s in step]
        )
        parts = -moments(theta) @ np.linalg.inv(slope).T
        assert abs(att - (theta[6] - theta[7])) < 1e-9
        assert np.abs(influence - (parts[:, 6] - parts[:, 7])).max() < 1e-6 * np.abs(influence).max() + 1e-9


def panel(rng, n=120, periods=5, effect=lambda e, z: 1 + e + z):
    """Cohorts 2, 3 and never; z is 0 or 1; the effect grows with exposure."""
    unit, period = np.repeat(np.arange(n), periods), np.tile(np.arange(1, periods + 1), n)
    start = rng.choice([2.0, 3.0, np.inf], size=n)[unit]
    z, x = rng.integers(0, 2, n)[unit], rng.normal(size=n)[unit]
    treated = period >= start
    y = rng.normal(size=n)[unit] + 0.3 * period * (1 + x) + rng.normal(size=n * periods) * 0.3
    y = y + np.where(treated, effect(np.where(treated, period - start, 0), z), 0)
    return pd.DataFrame({"id": unit, "t": period, "g": start, "y": y, "z": z, "x": x})


@pytest.fixture(scope="module")
def simulated():
    frame = panel(np.random.default_rng(3))
    study = hb.Study.from_frame(frame, **ROLES_OF_PANEL, covariates=["z", "x"])
    return frame, hb.compare(study, [hb.Feols(), Held()], seed=1, on_error="raise")


class Held:
    """A stand-in for a forest: feols' held-out predictions of the stack, by the road that grf and deep take."""

    name = "held"

    def fit(self, study, folds=None):
        return hb.Feols(plain=False, label="held").fit(study, folds)


def test_the_stack_is_a_study_whose_clusters_are_units(simulated):
    _, table = simulated
    stack = stack_of(table.study)
    assert stack.binary
    assert stack.n == sum(len(cell.units) for cell in table.study.cells)
    assert stack.n_clusters == table.study.n
    for unit in range(0, table.study.n, 17):
        assert len(set(table.folds.fold[table.study.places == unit])) == 1


def test_both_roads_find_the_truth_and_differ_by_less(simulated):
    _, table = simulated
    rows = by_key(table.where(engine="held").rows)
    for event_time in (0, 1, 2):
        row = rows["att_event", f"{event_time}"]
        assert abs(row.estimate - (1.5 + event_time)) < 4 * row.std_error
    assert abs(rows["att_event", "-1"].estimate) < 4 * rows["att_event", "-1"].std_error
    gap = by_key(table.differences().rows)["att_simple", "overall"]
    assert gap.std_error < 0.5 * rows["att_simple", "overall"].std_error
    assert gap.engine == "held - feols"


def test_questions_find_what_was_put_in(simulated):
    _, table = simulated
    for engine in ("feols", "held"):
        gate = by_key(table.gate("z").where(engine=engine).rows)
        apart = gate["gate", "z = 1 - z = 0"]
        assert abs(apart.estimate - 1) < 4 * apart.std_error
        assert apart.p_value < 0.01
        assert gate["gate", "equal"].p_value < 0.01
        slope = by_key(table.projection("z").where(engine=engine).rows)["projection", "z"]
        assert abs(slope.estimate - 1) < 4 * slope.std_error
        later = by_key(table.differences("event_times").where(engine=engine).rows)["att_event", "2 - 0"]
        assert abs(later.estimate - 2) < 4 * later.std_error
        assert "joint over" in later.vcov
        tests = table.pretrends().where(engine=engine).rows
        assert [row.term for row in tests] == ["leads", "cells", "largest lead"]
        assert all(row.p_value > 0.001 for row in tests)
    assert {row.term for row in table.pretrends(by="z").rows} >= {"z = 0: leads", "z = 1: leads"}
    assert {row.term for row in table.differences("groups", by="z").rows} == {"z = 1 - z = 0", "equal"}


def test_statements_about_rows_have_the_joint_error(simulated):
    """Of rows, and of a verb's answer; what ``differences`` says of two event times is what the statement says."""
    _, table = simulated
    said = by_key(table.hypothesis("att_event[2] = att_event[0]").where(engine="feols").rows)
    told = by_key(table.differences("event_times").where(engine="feols").rows)["att_event", "2 - 0"]
    row = said["hypothesis", "att_event[2] = att_event[0]"]
    assert abs(row.estimate - told.estimate) < EXACT
    assert abs(row.std_error - told.std_error) < EXACT
    of_groups = table.gate("z", joint=False).hypothesis("gate[1] = gate[0]").where(engine="held").rows[0]
    apart = by_key(table.gate("z", joint=False).where(engine="held").rows)["gate", "z = 1 - z = 0"]
    assert abs(of_groups.std_error - apart.std_error) < EXACT
    between = table.hypothesis("att_simple[feols] = att_simple[held]").rows[0]
    gap = by_key(table.differences().rows)["att_simple", "overall"]
    assert abs(between.std_error - gap.std_error) < EXACT
    assert table.hypothesis("att_gt['2, 3'] = 2 * att_gt['3, 3']").rows[0].std_error > 0


def test_sorted_groups_rank_within_cells(simulated):
    _, table = simulated
    for engine in ("feols", "held"):
        rows = by_key(table.gates(2).where(engine=engine).rows)
        assert rows["gates", "G2 (highest)"].estimate > rows["gates", "G1 (lowest)"].estimate
        assert rows["gates", "highest - lowest"].std_error > 0


def test_pointwise_effects_by_event_time(simulated):
    frame, table = simulated
    new = pd.DataFrame({"z": [0, 1], "x": [0.0, 0.0]}, index=["a", "b"])
    for engine in ("feols", "held"):
        found = table.cate(new, engine, event_time=1, level=0.9)
        assert found.columns.tolist() == ["estimate", "std_error", "conf_low", "conf_high"]
        assert found.index.tolist() == ["a", "b"]
        assert (np.abs(found["estimate"] - [2, 3]) < 5 * found["std_error"]).all()
        assert found.attrs["note"]
    grid = table.cate({"z": [0, 1]}, "feols", event_time=1)  # x at its mean over units and periods
    assert grid.columns.tolist()[:3] == ["z", "x", "estimate"] or grid.columns.tolist()[:3] == [
        "x",
        "z",
        "estimate",
    ]
    assert grid["x"].iloc[0] == pytest.approx(frame["x"].mean())
    every = table.cate(frame.head(3), "feols")
    assert every["std_error"].notna().all()
    with pytest.raises(hb.errors.InvalidOption, match=r"go from -1 to 3"):
        table.cate(new, "feols", event_time=9)


def test_bands_are_wider_and_know_their_family(simulated):
    _, table = simulated
    plain = by_key(table.where(engine="feols", estimand="att_event").rows)
    for row in table.bands("att_event").where(engine="feols").rows:
        mine = plain[row.estimand, row.term]
        assert row.std_error == mine.std_error
        if row.term == "overall":  # an average of the family, not of it
            assert row.conf_low == mine.conf_low
            continue
        assert row.conf_high - row.conf_low > mine.conf_high - mine.conf_low
        assert row.p_value >= mine.p_value
        assert "joint over" in row.vcov
        wider = row.at_level(0.99)
        assert wider.conf_high > row.conf_high


def test_renamed_units_and_shuffled_rows_move_nothing(simulated):
    frame, table = simulated
    other = frame.sample(frac=1, random_state=1)
    other["id"] = "u" + (1000 - other["id"]).astype(str)
    study = hb.Study.from_frame(other, **ROLES_OF_PANEL, covariates=["z", "x"])
    again = by_key(hb.compare(study, [Held()], seed=1, on_error="raise").rows)
    for key, row in by_key(table.where(engine="held").rows).items():
        assert abs(again[key].estimate - row.estimate) < 1e-10
        assert abs(again[key].std_error - row.std_error) < 1e-10


def test_an_engine_that_cannot_run_leaves_the_others(simulated):
    class Broken(Held):
        name = "broken"

        def fit(self, study, folds=None):
            raise ZeroDivisionError

    table = hb.compare(simulated[1].study, [hb.Feols(), Broken()], estimands=["att_simple"])
    rows = {row.engine: row for row in table.where(estimand="att_simple").rows}
    assert rows["feols"].std_error > 0
    assert "ZeroDivisionError" in rows["broken"].note
    assert list(table.fits) == ["feols"]


def test_few_adopters_have_no_interval_in_the_words_of_few_clusters():
    frame = panel(np.random.default_rng(2))
    few = frame["g"].where(frame["g"] != 2, np.inf).mask(frame["id"] < 3, 2.0)
    table = hb.compare(hb.Study.from_frame(frame.assign(g=few), **ROLES_OF_PANEL), [hb.Feols()])
    rows = by_key(table.rows)
    row = rows["att_gt", "2, 2"]
    assert np.isfinite(row.estimate)
    assert np.isnan(row.std_error)
    assert "no interval: the variation of `g` lies in few units" in row.note
    assert "Conley and Taber" in row.note
    assert rows["att_gt", "3, 3"].std_error > 0


def test_the_picture_has_a_series_for_each_group(simulated):
    _, table = simulated
    ax = table.plot(by="z", engine="feols")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["z = 0", "z = 1"]
    assert "joint 95 %" in ax.get_ylabel()
    assert len(table.plot().get_legend().get_texts()) == 2


@pytest.mark.r
def test_a_forest_of_the_stack(simulated):
    table = compare_adoption(simulated[1].study, [hb.CausalForest(num_trees=200, seed=1)], on_error="raise")
    row = by_key(table.rows)["att_event", "1"]
    assert abs(row.estimate - 2.5) < 4 * row.std_error
    found = table.cate(pd.DataFrame({"z": [0, 1], "x": [0.0, 0.0]}), "grf", event_time=1)
    assert (found["conf_low"] < found["conf_high"]).all()
    assert "sampling noise" in found.attrs["note"]
