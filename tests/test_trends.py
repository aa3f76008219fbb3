"""What a panel assumes is asked of its data: common trends, and effects that do not grow with exposure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep.basis.data import idle
from hte_bridge.engines.trends import doubts
from hte_bridge.simulate.panel import adoption


@pytest.fixture(scope="module")
def frame():
    return adoption("staggered", n_units=100, correlation=0.3, seed=1).frame()


def study(frame, covariates=("X0", "X1", "X2", "Z"), effects=("user", "period"), **options):
    roles = {"outcome": "y", "treatment": "t", "covariates": list(covariates), "cluster": "user"} | options
    return hb.Study.from_frame(frame, fixed_effects=list(effects), **roles)


def drifting(frame):
    return frame.assign(y=frame["y"] + 0.15 * frame["X0"] * frame["period"])


def test_common_trends_are_not_spoken_of(frame):
    assert doubts(study(frame)) == ()
    assert not any("Trends" in note for note in hb.Feols().fit(study(frame)).notes)


def test_the_covariate_that_units_drift_apart_with_is_named(frame):
    (said,) = doubts(study(drifting(frame)))
    assert said.startswith("Trends are not common: untreated outcomes move over `period` with `X0` (F test")
    assert said.endswith("Add `X0` times `period` to the covariates.")


def growing(frame):
    began = frame["period"].where(frame["t"] > 0).groupby(frame["user"]).transform("min")
    since = (frame["period"] - began).where(frame["t"] > 0, 0.0)
    return frame.assign(y=frame["y"] + 0.4 * since, since=since)


def test_an_effect_that_grows_with_exposure_is_said_and_is_no_trend(frame):
    (said,) = doubts(study(growing(frame)))
    assert said.startswith("The effect moves with exposure, by 0.3")
    assert said.endswith("Add the number of periods since, 0 before, to the covariates.")
    assert doubts(study(growing(frame), ("X0", "X1", "X2", "Z", "since"))) == ()
    at_once = growing(adoption("once", n_units=100, correlation=0.3, seed=1).frame())
    assert "one effect for all is their average" in doubts(study(at_once))[0]
    comes_and_goes = growing(frame).assign(t=(frame["t"] > 0) & (frame["period"] % 3 > 0))
    assert not any("exposure" in said for said in doubts(study(comes_and_goes)))


def test_deep_gives_what_moves_under_treatment_alone_to_the_effect(frame):
    """Periods since treatment are the same column in mu and in the effect; shared between them half of the growth was lost."""
    grown = growing(frame)
    asked = study(grown, ("X0", "X1", "X2", "Z", "since"))
    assert idle(asked) == {4}
    assert idle(study(grown)) == set()
    found = hb.Deep(seed=1, n_folds=2, epochs=5).fit(asked).cate(grown)["estimate"]
    treated = grown["t"] > 0
    slope = np.polyfit(grown["since"][treated], found[treated], 1)[0]
    assert slope == pytest.approx(0.4, abs=0.1)


def test_both_engines_say_it_and_the_product_mends_it(frame):
    moved = drifting(frame).assign(product=frame["X0"] * frame["period"])
    plain, mended = study(moved), study(moved, ("X0", "X1", "X2", "Z", "product"))
    truth = adoption("staggered", n_units=100, correlation=0.3, seed=1).beta
    for engine in (hb.Feols(), hb.Deep(seed=1, n_folds=2, epochs=5)):
        miss = {}
        for which, asked in (("plain", plain), ("mended", mended)):
            fit = engine.fit(asked)
            assert any("Trends are not common" in note for note in fit.notes) == (which == "plain")
            miss[which] = np.mean((fit.cate(moved)["estimate"] - truth)[moved["t"] > 0] ** 2)
        assert miss["mended"] < 0.5 * miss["plain"]


@pytest.mark.parametrize(
    "kind", ["date", "copy of the period", "text", "dose", "one effect", "few units", "weights"]
)
def test_it_is_asked_only_where_there_are_periods_and_untreated_units(frame, kind):
    moved, effects, covariates, options = drifting(frame), ("user", "period"), ["X0", "X1", "X2", "Z"], {}
    if kind == "date":
        moved["when"] = pd.to_datetime("2000-01-31") + pd.to_timedelta(30 * moved["period"], "D")
        effects = ("user", "when")
    elif kind == "text":
        moved["when"] = [f"wave {k}" for k in moved["period"]]
        effects = ("user", "when")
    elif kind == "copy of the period":
        moved["time"] = moved["period"] + 1.0
        covariates.append("time")
    elif kind == "dose":
        options["treatment_type"] = "continuous"
    elif kind == "one effect":
        effects = ("user",)
    elif kind == "few units":
        moved = moved[moved["user"] < 12]
    elif kind == "weights":
        moved["weight"] = np.where(moved["user"] % 2, 0.5, 2.0)
        options["weight"] = "weight"
    said = doubts(study(moved, covariates, effects, **options))
    assert any("Trends" in each for each in said) == (kind in ("date", "weights"))
