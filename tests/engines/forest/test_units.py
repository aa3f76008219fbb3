"""Outcome and dose of any magnitude: grf's own numbers to the bit, times a power of two, and errors that are never zero."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.forest import CausalForest, CausalForestFit
from hte_bridge.engines.forest.units import Units
from hte_bridge.errors import InvalidOption

N = 200
RNG = np.random.default_rng(3)
FRAME = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N), "dose": 1 + RNG.normal(size=N)})
FRAME["w"] = (FRAME["dose"] > 1) * 1.0
FRAME["y"] = FRAME["dose"] * (1 + FRAME["x"]) + RNG.normal(size=N)


def fit(frame, treatment="dose", **options):
    study = hb.Study.from_frame(frame, outcome="y", treatment=treatment, covariates=["x", "z"])
    return CausalForest(**{"num_trees": 100, "seed": 1, "num_threads": 1} | options).fit(study)


MOVES = [(-30, 0), (-150, 0), (0, -40), (0, 25), (-30, -30), (150, 0), (100, -100), (-150, -60)]


@pytest.mark.r
@pytest.mark.parametrize(("outcome", "dose"), MOVES)
def test_a_power_of_two_moves_no_bit(outcome, dose, tmp_path):
    plain = fit(FRAME)
    assert plain.units == Units()
    moved = FRAME.assign(y=np.ldexp(FRAME["y"], outcome), dose=np.ldexp(FRAME["dose"], dose))
    found = fit(moved)
    said, back = plain.cate(FRAME), CausalForestFit.load(found.save(tmp_path / "forest.rds"))
    for again in (found, back):
        there = again.cate(moved)
        for column in ("estimate", "std_error"):
            assert np.array_equal(np.ldexp(there[column], dose - outcome), said[column]), column
        powers = {
            "cate": dose - outcome,
            "outcome_mean": -outcome,
            "propensity": -dose,
            "treatment_variance": -2 * dose,
        }
        for name, power in powers.items():
            ours, theirs = getattr(again.heldout, name), getattr(plain.heldout, name)
            assert np.array_equal(np.ldexp(ours, power), theirs), name
    assert np.array_equal(back.study.outcome, moved["y"])
    assert np.array_equal(back.study.treatment, moved["dose"])


@pytest.mark.r
@pytest.mark.parametrize("unit", [1e-45, 1e-9, 1e-6, 2e-5, 1e-4, 1e12])
def test_errors_follow_the_unit_of_the_outcome(unit):  # grf itself says 0 for each unit below about 4e-5
    plain, small = fit(FRAME, "w").cate(FRAME), fit(FRAME.assign(y=FRAME["y"] * unit), "w").cate(FRAME)
    # times a number that is no power of two the last bits move, and with them a tie here and there
    assert np.median(small["std_error"] / unit / plain["std_error"]) == pytest.approx(1, abs=0.05)
    assert small["std_error"].min() > 0


@pytest.mark.r
@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_a_dose_of_any_unit_has_effects_that_vary(unit):  # grf itself finds no split below about 1e-6
    plain, other = fit(FRAME).cate(FRAME), fit(FRAME.assign(dose=FRAME["dose"] * unit)).cate(FRAME)
    assert np.corrcoef(plain["estimate"], other["estimate"])[0, 1] > 0.95
    assert other["std_error"].min() > 0


@pytest.mark.r
def test_nuisances_handed_over_move_along():
    given = {"outcome_mean": FRAME["y"].to_numpy() / 2, "propensity": FRAME["dose"].to_numpy() / 2}
    plain = fit(FRAME, **given)
    down = {name: np.ldexp(value, -40) for name, value in given.items()}
    moved = fit(FRAME.assign(y=np.ldexp(FRAME["y"], -40), dose=np.ldexp(FRAME["dose"], -40)), **down)
    assert np.array_equal(moved.heldout.cate, plain.heldout.cate)
    assert np.array_equal(moved.heldout.propensity, down["propensity"])


class Agreeing:
    """A forest in R whose trees agree for the first of two rows."""

    def call(self, *_):
        return {"estimate": np.array([1.0, 1.0]), "variance": np.array([0.0, 0.04])}


def test_trees_that_agree_are_no_certainty():
    study = hb.Study.from_frame(FRAME, outcome="y", treatment="w", covariates=["x", "z"])
    found = CausalForestFit(CausalForest(), study, None, forest=Agreeing())
    table = found.cate(FRAME.head(2))
    assert np.array_equal(table["std_error"], [np.nan, 0.2], equal_nan=True)
    assert table["conf_low"].isna().tolist() == table["conf_high"].isna().tolist() == [True, False]
    assert "1 of 2 rows have no interval: grf finds no variance there" in table.attrs["note"]
    assert np.array_equal(found.variance, [np.nan, 0.04], equal_nan=True)


@pytest.mark.r
def test_a_penalty_in_other_units_is_said():
    small = FRAME.assign(y=FRAME["y"] * 2.0**-20)
    assert "it holds for the outcome times 2^" in fit(small, imbalance_penalty=0.1).notes[0]
    assert fit(FRAME, imbalance_penalty=0.1).notes == ()
    assert fit(small).notes == ()


@pytest.mark.r
@pytest.mark.parametrize("unit", [1e-45, 1e45])
def test_covariates_of_any_unit_are_ranks(unit):
    assert np.array_equal(fit(FRAME.assign(x=FRAME["x"] * unit)).heldout.cate, fit(FRAME).heldout.cate)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_certain_propensity_is_refused(value):
    given = np.where(np.arange(N) == 7, value, 0.5)
    with pytest.raises(
        InvalidOption,
        match=rf"strictly between 0 and 1.*1 of 200 values are not; the first is {value:g}, in row 7",
    ):
        fit(FRAME, "w", propensity=given)
