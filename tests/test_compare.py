"""One study, several engines, one table: what holds for any engine."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engine import Engine, Fit
from hte_bridge.errors import InvalidOption, NotIdentified, RUnavailable


def frame(n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    d = (rng.uniform(size=n) < 1 / (1 + np.exp(-0.5 * x))).astype(int)
    return pd.DataFrame(
        {
            "y": x + d * (1 + x) + rng.normal(size=n),
            "d": d,
            "x": x,
            "c": np.arange(n) // 8,
            "t": np.arange(n) % 8,
        }
    )


def study(df=None, **changes):
    roles = {"outcome": "y", "treatment": "d", "covariates": ["x"]} | changes
    return hb.Study.from_frame(frame() if df is None else df, **roles)


@dataclass(frozen=True)
class Broken:
    """An engine that cannot run here."""

    error: Exception
    name: str = "broken"

    def fit(self, study, folds=None):
        raise self.error


@dataclass(frozen=True)
class Silent:
    """An engine with no answer for any estimand."""

    name: str = "silent"

    def fit(self, study, folds=None):
        return SilentFit(study)


@dataclass(frozen=True)
class SilentFit:
    study: hb.Study
    engine: str = "silent"
    heldout: None = None
    notes: tuple = ()
    reasons: dict = field(default_factory=lambda: {"*": "a forest on residuals is biased"})
    info: dict = field(default_factory=dict)

    def rows(self, level):
        return []

    def cate(self, new, level=0.95):
        raise NotIdentified(self.reasons["*"])


def test_feols_keeps_the_contract():
    assert isinstance(hb.Feols(), Engine)
    assert isinstance(hb.Feols().fit(study()), Fit)


def test_the_table_has_each_estimand_that_a_binary_treatment_identifies():
    table = hb.compare(study(cluster="c"), [hb.Feols()], seed=1).to_frame()
    assert table["estimand"].drop_duplicates().tolist() == ["coefficient", "ate", "att", "ato", "projection"]
    assert (table["engine"] == "feols").all()
    assert (table["n_clusters"] == 50).all()
    within_4 = (table["estimate"] - 1).abs() < 4 * table["std_error"]
    assert within_4[table["estimand"].isin(["ate"])].all()
    slope = table[(table["estimand"] == "projection") & (table["term"] == "x")].iloc[0]
    assert abs(slope["estimate"] - 1) < 4 * slope["std_error"]
    assert table[table["term"] == "joint"]["p_value"].iloc[0] < 0.001


@pytest.mark.parametrize(
    "changes", [{"fixed_effects": ["c", "t"]}, {"df": frame().assign(d=lambda f: f["d"] + f["x"])}]
)
def test_doses_and_effects_have_the_average_slope_instead(changes):
    table = hb.compare(study(**changes), [hb.Feols()]).to_frame()
    assert table["estimand"].drop_duplicates().tolist() == ["coefficient", "ape", "projection"]


def test_the_same_call_gives_the_same_table():
    one, two = (hb.compare(study(cluster="c"), [hb.Feols()], seed=3).to_frame() for _ in range(2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


@pytest.mark.parametrize("error", [RUnavailable("grf is not installed"), NotIdentified("no overlap")])
def test_an_engine_that_cannot_run_costs_no_other_its_rows(error):
    table = hb.compare(study(), [hb.Feols(), Broken(error)])
    broken = table.where(engine="broken").to_frame()
    assert len(broken) == 4
    assert broken["estimate"].isna().all()
    assert (broken["note"] == str(error)).all()
    assert table.where(engine="feols").to_frame()["estimate"].notna().any()
    assert list(table.fits) == ["feols"]


def test_an_engine_with_a_reason_says_it_in_every_row():
    table = hb.compare(study(), [Silent()]).to_frame()
    assert table["estimand"].tolist() == ["ate", "att", "ato", "projection"]
    assert (table["note"] == "a forest on residuals is biased").all()
    assert table["std_error"].isna().all()


@pytest.mark.parametrize(
    ("engines", "options", "says"),
    [
        (["feols"], {"level": 95}, "Did you mean 0.95?"),
        (["feols"], {"seed": -1}, "`seed` must be a whole number"),
        (["forest"], {}, "`forest` is not one"),
        ([hb.Feols(), hb.Feols(vcov="iid")], {}, "`feols` occurs 2 times. Give one of them a label"),
        ([], {}, "at least one engine"),
        ("feols", {}, "must be a list"),
        ([3], {}, "A int was given"),
        (["feols"], {"estimands": ["aet"]}, "`aet` is not one. The nearest"),
    ],
)
def test_bad_options_get_a_sentence(engines, options, says):
    with pytest.raises(InvalidOption) as caught:
        hb.compare(study(), engines, **options)
    assert says in str(caught.value)


def test_a_label_lets_one_engine_run_twice():
    table = hb.compare(study(), [hb.Feols(), hb.Feols(vcov="iid", label="feols iid")])
    assert set(table.to_frame()["engine"]) == {"feols", "feols iid"}


def test_what_is_needed_to_rebuild_the_table_is_in_its_meta():
    df = frame().assign(gap=lambda f: f["x"].where(f["x"] < 1))
    df.loc[0, "y"] = np.nan
    table = hb.compare(study(df, covariates=["gap"], cluster="c"), [hb.Feols()], seed=4, level=0.9)
    meta = table.meta
    assert (meta["n"], meta["n_clusters"], meta["folds"], meta["seed"], meta["level"]) == (399, 50, 5, 4, 0.9)
    assert meta["dropped"] == {"missing outcome y": 1}
    assert 0 < meta["propensity"]["feols"][0] < meta["propensity"]["feols"][1] < 1
    assert "pyfixest" in meta["versions"]
    assert "set to the mean" in table.rows[0].note


def test_weights_move_estimates_as_repeated_rows_do():
    df = frame().assign(w=lambda f: 1 + (f["x"] > 0))
    weighted = hb.Feols().fit(study(df, weight="w")).rows(0.95)[0].estimate
    repeated = hb.Feols().fit(study(pd.concat([df, df[df["x"] > 0]]))).rows(0.95)[0].estimate
    assert weighted == pytest.approx(repeated, abs=1e-10)


def test_cates_of_new_rows_come_in_their_index():
    new = pd.DataFrame({"x": [0.0, 2.0]}, index=["a", "b"])
    out = hb.compare(study(), [hb.Feols()]).cate(new, "feols")
    assert out.index.tolist() == ["a", "b"]
    assert out.columns.tolist() == ["estimate", "std_error", "conf_low", "conf_high"]
    assert abs(out.loc["b", "estimate"] - 3) < 4 * out.loc["b", "std_error"]


def test_weak_overlap_is_said_with_the_row_that_stays_valid():
    rng = np.random.default_rng(7)
    x = rng.normal(size=800)
    d = (rng.uniform(size=800) < 1 / (1 + np.exp(-3 * x))).astype(int)
    table = hb.compare(study(pd.DataFrame({"y": x + d + rng.normal(size=800), "d": d, "x": x})), [hb.Feols()])
    assert "`ato` (overlap weights) stays valid" in table.meta["warnings"][0]
