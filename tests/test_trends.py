"""Common trends are asked of untreated units, and said where they fail."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.trends import trends_apart
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
    assert trends_apart(study(frame)) == ""
    assert not any("Trends" in note for note in hb.Feols().fit(study(frame)).notes)


def test_the_covariate_that_units_drift_apart_with_is_named(frame):
    said = trends_apart(study(drifting(frame)))
    assert said.startswith("Trends are not common: untreated outcomes move over `period` with `X0` (F test")
    assert said.endswith("Add `X0` times `period` to the covariates.")


def test_what_only_the_treated_do_is_no_trend(frame):
    gained = frame["y"] + 0.5 * frame["X0"] * frame["period"] * frame["t"]
    assert trends_apart(study(frame.assign(y=gained))) == ""


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
    said = trends_apart(study(moved, covariates, effects, **options))
    assert bool(said) == (kind in ("date", "weights"))
