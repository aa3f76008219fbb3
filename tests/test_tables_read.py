"""What a table says of itself: which rows, which notes, and why a figure is as it is."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.comparing import later
from hte_bridge.engines.deep import Deep
from hte_bridge.errors import InvalidOption


@pytest.fixture(scope="module")
def frame():
    rng, n = np.random.default_rng(5), 240
    made = pd.DataFrame(rng.normal(size=(n, 5)), columns=list("abcef"))
    made["town"], made["d"] = rng.choice(["north", "south"], n), rng.integers(0, 2, n)
    made["y"] = made["d"] * (1 + made["a"]) + made["a"] + made["b"] + rng.normal(size=n)
    made.loc[:19, "c"] = np.nan
    return made


@pytest.fixture(scope="module")
def table(frame):
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=[*"abcef", "town"])
    return hb.compare(study, [hb.Feols(), hb.Feols(vcov="iid", label="second")], seed=1)


def test_benchmarks_are_ten_rows_beside_the_covariates_that_matter_most(table):
    made, every = table.sensitivity(benchmarks=True), table.sensitivity(benchmarks="all")
    terms = list(dict.fromkeys(row.term for row in made.rows))
    assert len(terms) <= 10
    assert len({row.term for row in every.rows}) > 30
    kept = {(row.engine, row.term): row.estimate for row in every.rows}
    assert all(kept[row.engine, row.term] == row.estimate for row in made.rows)
    assert any(term.endswith("like a") for term in terms)
    assert any(term.endswith("1 x a") for term in terms)
    assert any("strongest of" in row.note for row in made.rows)
    assert "…" not in str(made)
    assert len({row.term for row in table.sensitivity().rows}) == 7
    with pytest.raises(InvalidOption, match="must be True, False or 'all'"):
        table.sensitivity(benchmarks="every")


def test_a_bound_that_is_the_estimate_says_why(table):
    every = [row for row in table.sensitivity(benchmarks="all").rows if " like " in row.term]
    ate = next(row.estimate for row in table.rows if row.estimand == "ate")
    same = [row for row in every if row.estimate == pytest.approx(ate, abs=1e-12)]
    assert same
    assert all("the bound is the estimate" in row.note for row in same)
    assert not any("the bound is the estimate" in row.note for row in every if row not in same)


def test_gaps_are_noted_where_covariates_enter_and_make_no_rows(table):
    noted = {
        row.term: "missing covariates" in row.note for row in table.rows if row.estimand == "coefficient"
    }
    assert noted == {"d": True, "d, no covariates": False}
    terms = [row.term for row in table.rows if row.estimand == "projection" and row.engine == "feols"]
    assert terms == ["(Intercept)", *"abcef", "town[south]", "joint"]
    asked = [row.term for row in table.projection(indicators=True).rows if row.engine == "feols"]
    assert asked == ["(Intercept)", *"abcef", "town[south]", "c missing", "joint"]
    assert [row.term for row in table.projection().rows if row.engine == "feols"] == terms


def test_what_later_questions_cost_is_said_once_where_it_is_felt(table):
    costs = {"ranking": {"grf": 3.0, "deep": 9.0}, "cate": {"deep": 16.0}}
    slow = replace(table, meta={**table.meta, "later": costs})
    assert "first rank units by models of earlier folds, about 12 s; cate of deep" in " ".join(
        str(slow).split()
    )
    assert "To come" not in str(slow.gate("town"))
    assert set(table.meta["later"]["ranking"]) == {"feols", "second"}


def test_p_values_of_groups_say_that_they_are_adjusted(table):
    assert "p-values are adjusted: they hold for all rows of an engine at once" in " ".join(
        str(table.gate("town")).split()
    )
    assert "adjusted" not in str(table.gate("town", joint=False))
    assert "adjusted" not in str(table)


def test_a_treatment_by_lot_with_weak_estimated_overlap_suggests_the_known_propensity():
    rng, n = np.random.default_rng(2), 60
    frame = pd.DataFrame(rng.normal(size=(n, 12)), columns=[f"x{k}" for k in range(12)])
    frame["d"] = (rng.permutation(n) < 15).astype(int)
    frame["y"] = frame["d"] + rng.normal(size=n)
    roles = {"outcome": "y", "treatment": "d", "covariates": [f"x{k}" for k in range(12)]}
    said = " ".join(
        hb.compare(hb.Study.from_frame(frame, **roles), [hb.Feols()], estimands=["ate"]).meta["warnings"]
    )
    assert "overlap is weak" in said
    assert "propensity=0.25" in said
    known = hb.compare(hb.Study.from_frame(frame, **roles, propensity=0.25), [hb.Feols()], estimands=["ate"])
    assert "propensity=" not in " ".join(known.meta["warnings"])
    frame["d"] = (frame["x0"] + 0.1 * rng.normal(size=n) > 0.5).astype(int)
    chosen = hb.compare(hb.Study.from_frame(frame, **roles), [hb.Feols()], estimands=["ate"])
    assert "propensity=" not in " ".join(chosen.meta["warnings"])


def dosed(dose):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=len(dose)), "dose": dose})
    frame["y"] = frame["dose"] + rng.normal(size=len(dose))
    study = hb.Study.from_frame(
        frame, outcome="y", treatment="dose", covariates=["x"], treatment_type="continuous"
    )
    return hb.compare(study, [hb.Feols()], estimands=["ape"])


def test_a_dose_with_ties_has_no_row_twice():
    rng, n = np.random.default_rng(1), 200
    for share in (0.4, 0.97):
        ties = dosed(np.where(rng.random(n) < share, 0.0, rng.gamma(2, size=n)))
        for made in (ties.dose(), ties.dose(slopes=True), ties.dose(at=[0.0, 0.0, 1.0])):
            points = [row for row in made.rows if row.term != "linear"]
            assert len({row.estimate for row in points}) == len(points) > 0
            assert not any("(2)" in row.term or "against 0 (" in row.term for row in made.rows)
    large = dosed(10_000 + rng.integers(0, 4, n) / 4)
    assert not any("(2)" in row.term for row in large.dose(at=[10_000.25, 10_000.5, 10_000.75]).rows)


def test_pieces_of_a_dose_curve_are_an_option():
    table = dosed(np.random.default_rng(1).gamma(2, size=200))
    assert len(table.dose(shape="bins", pieces=6).rows) == 6
    assert table.dose(pieces=2).rows[0].estimate != table.dose(pieces=6).rows[0].estimate
    with pytest.raises(InvalidOption, match="pieces"):
        table.dose(pieces=1)


def test_a_posterior_by_a_chain_is_told_to_take_longer_than_its_fit_the_more_rows_there_are():
    def told(n, kind):
        branch = SimpleNamespace(kind=kind, at_once=False)
        fit = SimpleNamespace(options=Deep(), heldout=object(), branch=branch, study=SimpleNamespace(n=n))
        return later({"deep": fit}, SimpleNamespace(n_folds=5), {"deep": 27.0})["cate"]["deep"]

    assert told(400, "kernel") == told(400, "gram") == told(2_825, "gram") == 27.0
    assert 1.5 < told(2_900, "kernel") / 27.0 < 2.0  # 19 s were measured after 11
