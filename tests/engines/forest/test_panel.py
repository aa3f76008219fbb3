"""hb.CausalForest where there are fixed effects: rounds of forests within them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.forest import CausalForest, CausalForestFit
from hte_bridge.engines.forest.panel import Nuisances, Rounds, Swept, moved, settle
from hte_bridge.engines.forest.rounds import grow
from hte_bridge.errors import InvalidOption, NotEnoughMemory, NotIdentified
from hte_bridge.estimands.averages import ape
from hte_bridge.rlink import client, memory
from hte_bridge.scores import scores

SMALL = CausalForest(num_trees=60, seed=1)
UNITS, PERIODS = 40, 10
ROLES = {"outcome": "y", "treatment": "t", "covariates": ["x", "z"], "fixed_effects": ["unit", "year"]}


def frame(seed=0, beta=lambda x: 1 + x):
    """x stays within units and moves the effect; z moves, and moves dose and outcome."""
    rng = np.random.default_rng(seed)
    unit, year = np.repeat(np.arange(UNITS), PERIODS), np.tile(np.arange(PERIODS), UNITS)
    x, level = rng.normal(size=UNITS)[unit], rng.normal(size=UNITS)[unit]
    z = rng.normal(size=len(unit))
    t = level + 0.5 * z + rng.normal(size=len(unit))
    y = 3 * level + 0.2 * year + z**2 + beta(x) * t + 0.5 * rng.normal(size=len(unit))
    return pd.DataFrame({"unit": unit, "year": 2000 + year, "x": x, "z": z, "t": t, "y": y})


@pytest.fixture(scope="module")
def study():
    return hb.Study.from_frame(frame(), **ROLES, cluster="unit")


@pytest.fixture(scope="module")
def fit(study):
    return SMALL.fit(study)


@pytest.mark.r
def test_held_out_columns_are_those_of_a_panel(study, fit):
    """T - propensity, and the rest, sum to zero in every level; beside a demeaned forest the effect is found."""
    held = fit.heldout
    dose = study.treatment - held.propensity
    rest = study.outcome - held.outcome_mean - dose * held.cate
    for codes in study.fixed_effects.T:
        assert np.abs(np.bincount(codes, weights=dose)).max() < 1e-8
        assert np.abs(np.bincount(codes, weights=rest)).max() < 1e-8
    assert np.mean(dose**2 / held.treatment_variance) == pytest.approx(1, abs=1e-9)
    truth = 1 + study.covariates[:, 0]
    assert np.sqrt(np.mean((held.cate - truth) ** 2)) < 0.6 * truth.std()
    row = ape(scores(study, held))
    assert abs(row.estimate - 1) < 4 * row.std_error


@pytest.mark.r
def test_rows_of_a_comparison_have_numbers_and_new_rows_grfs_interval(study, fit):
    table = hb.compare(study, [hb.Feols(), SMALL], seed=1, n_folds=3)
    rows = [row for row in table.rows if row.engine == "grf"]
    assert {"ape", "projection"} <= {row.estimand for row in rows}
    assert all(np.isfinite(row.estimate) for row in rows if row.term != "joint")
    gates = [row for row in table.gate(study.covariates[:, 1] > 0).rows if row.engine == "grf"]
    assert sum(np.isfinite(row.std_error) for row in gates) >= 2
    new = fit.cate(frame().head(3))
    assert (new["conf_low"] < new["conf_high"]).all()
    assert "sampling noise only" in new.attrs["note"]


def test_the_forecast_counts_no_forest_that_is_not_grown_at_once(study, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10_000_000)
    monkeypatch.setattr(client, "call", lambda *_, **__: 14.0 * UNITS * PERIODS)  # bytes of one tree
    with pytest.raises(NotEnoughMemory, match=r"10,000 trees on 400 rows would take about 0.2 GiB"):
        CausalForest(num_trees=10_000).fit(study)


@pytest.mark.r
def test_info_tells_rounds_and_moves(fit):
    about = fit.info["within"]
    assert about["rounds"] == len(about["moved"]) >= 3
    assert about["left_out_by"] == "unit"
    assert about["trees_before_last"] == 60


@pytest.mark.r
def test_one_effect_for_all_is_the_coefficient_of_feols():
    df = frame(3, beta=lambda x: np.full(len(x), 2.0))
    df["y"] -= df["z"] ** 2
    found = hb.Study.from_frame(df, **ROLES, cluster="unit")
    average, plain = ape(scores(found, SMALL.fit(found).heldout)), hb.Feols().fit(found).rows(0.95)[0]
    assert abs(average.estimate - plain.estimate) < 0.1 * plain.std_error
    assert average.std_error == pytest.approx(plain.std_error, rel=0.1)


def test_lines_alone_are_the_regression_to_a_twentieth_of_its_error():
    """Squares that say nothing, and lines fitted to few folds, parted the average from feols' coefficient by a fifth of its error."""
    for seed in range(6):
        df = frame(seed, beta=np.ones_like)
        df["y"] -= df["z"] ** 2
        one = hb.Study.from_frame(df, **ROLES, cluster="unit")
        nuisances = Nuisances.of(Swept(one, seed), learn=np.zeros_like)
        plain = hb.Feols().fit(one).rows(0.95)[0]
        assert abs(nuisances.constant - plain.estimate) < 0.05 * plain.std_error


def small(seed, columns):
    """50 units of 5 rows, one effect, nothing in the outcome but effects."""
    rng = np.random.default_rng(seed)
    df = pd.DataFrame({"unit": np.repeat(np.arange(50), 5), "year": np.tile(np.arange(5), 50)})
    names = [f"x{j}" for j in range(columns)]
    df[names] = rng.normal(size=(250, columns))
    df["t"] = 0.5 * df["x0"] + rng.normal(size=250)
    df["y"] = df["t"] + rng.normal(size=50)[df["unit"]] + rng.normal(size=250)
    roles = {"outcome": "y", "treatment": "t", "covariates": names, "fixed_effects": ["unit", "year"]}
    return hb.Study.from_frame(df, **roles)


def test_with_250_rows_one_effect_for_all_is_the_coefficient_to_a_tenth_of_its_error():
    """Lines fitted without their fold, and squares confirmed by chance, parted it by more in one draw of seven."""
    gaps = []
    for seed in range(20):
        one = small(seed, 2)
        plain = hb.Feols().fit(one).rows(0.95)[0]
        found = Nuisances.of(Swept(one, seed), learn=np.zeros_like).constant
        gaps.append(abs(found - plain.estimate) / plain.std_error)
    assert np.quantile(gaps, 0.8) < 1e-8
    assert max(gaps) < 0.1


def test_a_line_in_many_columns_is_fitted_without_its_fold():
    few, many = Swept(small(1, 5)), Swept(small(1, 7))
    assert few.few_columns
    assert not many.few_columns
    left = few.rest(few.study.outcome)
    assert np.abs(few.lines[0].left.T @ left).max() < 1e-6 * few.study.n
    assert np.linalg.norm(many.lines[0].left.T @ many.rest(many.study.outcome)) > 1e-3 * many.study.n


def test_a_forest_that_says_noise_is_not_listened_to_and_one_that_says_more_is(study):
    swept = Swept(study)
    target = swept.rest(study.treatment)
    noise = np.random.default_rng(1).normal(size=study.n)
    kept = swept.learned(target, lambda column: noise)
    assert kept.std() < 0.02 * target.std()
    right = swept.learned(target, lambda column: 0.7 * column)
    assert np.corrcoef(right, target)[0, 1] > 0.999
    assert right.std() == pytest.approx(0.7 * target.std(), rel=0.01)  # never more than what is said


def test_squares_enter_where_other_folds_confirm_them(study):
    swept = Swept(study)
    z = study.covariates[:, 1]
    bent = swept.rest(z**2 + np.random.default_rng(2).normal(size=study.n))
    assert abs(np.corrcoef(bent, swept.sweep(z**2))[0, 1]) < 0.1


def test_noise_in_an_effect_is_drawn_to_its_mean_and_what_is_real_is_kept(study):
    rng = np.random.default_rng(2)
    swept = Swept(study)
    dose = swept.rest(study.treatment)
    nuisances = Nuisances(swept, dose, np.ones(study.n), learn=np.zeros_like)
    noise, real = 1 + rng.normal(size=study.n), 1 + study.covariates[:, 0]
    assert nuisances.drawn(noise).std() < 0.05 * noise.std()
    assert nuisances.drawn(real).std() > 0.95 * real.std()


@pytest.mark.r
def test_no_tree_votes_on_the_unit_that_it_saw(study, fit):
    """A unit's own outcomes move its own held-out effect no more than through what others' years share with them."""
    own = study.fixed_effects[:, 0] == 7
    turned = np.where(own, study.outcome + 5 * study.treatment, study.outcome)
    after = SMALL.fit(study.with_(outcome=turned)).heldout.cate
    others = np.sqrt(np.mean((after - fit.heldout.cate)[~own] ** 2))
    moved_own = np.abs((after - fit.heldout.cate)[own]).max()
    assert moved_own < 0.5  # a forest that saw them would follow by up to 5
    assert others > 0  # the planted effect is seen by the trees of the others


@pytest.mark.r
def test_a_unit_alone_moves_nothing_of_its_own_effect():
    """With one effect, and covariates that units keep, the unit's own held-out effect is not moved at all."""
    df = frame(5)
    roles = ROLES | {"covariates": ["x"], "fixed_effects": ["unit"]}
    one = hb.Study.from_frame(df, **roles)
    own = one.fixed_effects[:, 0] == 7
    turned = one.with_(outcome=one.outcome + 20 * own * one.treatment)
    options = {**SMALL.grf_options, "names": ["x"]}
    before, after = (grow(each, options, Rounds()).settled.cate for each in (one, turned))
    assert np.abs(before - after)[own].max() < 1e-6 * before.std()
    assert np.abs(before - after)[~own].max() > 0.2 * before.std()


@pytest.mark.r
def test_a_fit_comes_back_from_its_file(study, fit, tmp_path):
    again = CausalForestFit.load(fit.save(tmp_path / "within.rds"))
    for name in ("cate", "outcome_mean", "propensity", "treatment_variance", "plug_in"):
        assert np.array_equal(getattr(again.heldout, name), getattr(fit.heldout, name)), name
    assert again.heldout.lost == fit.heldout.lost
    for name in ("outcome", "treatment", "fixed_effects", "cluster"):
        assert np.array_equal(getattr(again.study, name), getattr(study, name)), name
    assert [levels.tolist() for levels in again.study.effect_levels] == [
        levels.tolist() for levels in study.effect_levels
    ]
    assert again.cate(frame().head(4)).equals(fit.cate(frame().head(4)))


@pytest.mark.r
def test_rows_of_weight_zero_move_no_constant_effect():
    df = frame(4).assign(w=1.0)
    twice = hb.Study.from_frame(df.assign(w=np.where(df["unit"] < 20, 2.0, 1.0)), **ROLES, weight="w")
    own = SMALL.fit(twice)
    assert np.average(
        (twice.treatment - own.heldout.propensity) ** 2 / own.heldout.treatment_variance, weights=twice.weight
    ) == pytest.approx(1)
    dose = twice.treatment - own.heldout.propensity
    assert np.abs(np.bincount(twice.fixed_effects[:, 0], weights=twice.weight * dose)).max() < 1e-8


@pytest.mark.r
def test_units_of_measurement_do_not_matter(study, fit):
    scaled = study.with_(outcome=study.outcome * 2.0**-30)
    found = SMALL.fit(scaled).heldout.cate * 2.0**30
    assert np.abs(found - fit.heldout.cate).max() < 1e-6


@pytest.mark.r
def test_a_treatment_that_effects_and_covariates_determine_is_refused():
    df = frame()
    with pytest.raises(NotIdentified, match="absorb all of `t`"):
        hb.Study.from_frame(df.assign(t=df["unit"] * 1.0), **ROLES)
    with pytest.raises(NotIdentified, match="Effects and covariates determine `t`"):
        SMALL.fit(hb.Study.from_frame(df.assign(t=2 * df["z"] + df["unit"]), **ROLES))


@pytest.mark.parametrize("name", ["outcome_mean", "propensity"])
def test_nuisances_from_elsewhere_do_not_know_the_effects(study, name):
    with pytest.raises(InvalidOption, match=f"`{name}` must be left out where the study has fixed effects"):
        replace(SMALL, **{name: 0.5}).fit(study)


def test_what_is_left_out_of_a_tree_together():
    df = frame().assign(state=lambda each: each["unit"] // 2, cell=lambda each: np.arange(len(each)))
    few = df.assign(unit=df["unit"] % 10)
    made = {
        "none": hb.Study.from_frame(df, **ROLES),
        "coarser": hb.Study.from_frame(df, **ROLES, cluster="state"),
        "within units": hb.Study.from_frame(df, **ROLES, cluster="cell"),
        "across": hb.Study.from_frame(df, **ROLES, cluster="year"),
        "few units": hb.Study.from_frame(few, **ROLES),
    }
    assert {name: Swept(each).left_out_by for name, each in made.items()} == {
        "none": "unit",
        "coarser": "state",
        "within units": "unit",
        "across": "year",
        "few units": "row",
    }


class Halfway:
    """A round that goes half of the way to where it settles."""

    def __init__(self, study, aim):
        self.swept, self.constant, self.aim, self.at = Swept(study), 0.0, aim, 0.0 * aim

    def base(self, cate):
        return 0 * cate

    def given(self, cate, base):
        return cate, base

    def effect(self, mean, propensity):
        return (mean + self.aim) / 2


def test_rounds_end_where_the_effect_settles(study):
    road = Halfway(study, study.covariates[:, 0])
    settled = settle(road, road.effect, Rounds(most=20, settled=0.05))
    assert 3 < len(settled.moves) < 20
    assert settled.moves[-1] <= 0.05 < settled.moves[-2]
    assert moved(road.aim, settled.cate, study.weight) < 0.2
    assert len(settle(road, road.effect, Rounds(most=2)).moves) == 2


@pytest.mark.r
def test_the_bench_keeps_each_draw_and_writes_its_page(tmp_path, monkeypatch, capsys):
    from bench import panel_forest

    asked = ["--designs", "5_none_constant", "--trees", "50", "--out", str(tmp_path)]
    for draws in ("1", "2"):  # the second run goes on where the first ended
        monkeypatch.setattr("sys.argv", ["panel_forest", *asked, "--draws", draws])
        panel_forest.main()
    assert "5_none_constant" in capsys.readouterr().out
    found = pd.read_parquet(tmp_path / "panel_forest.parquet")
    assert found["draw"].tolist() == [1, 2]
    assert "--trees 50" in panel_forest.page(found)
