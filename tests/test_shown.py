"""How objects read at a prompt: in some lines, whatever they hold."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.simulate import dense
from hte_bridge.simulate.panel import panel


@pytest.fixture(scope="module")
def study():
    frame = dense(120, seed=1, p=3).frame()
    frame["village"], frame["share"] = np.arange(120) % 12, 1.0 + np.arange(120) % 2
    frame.loc[3, "y"] = np.nan
    return hb.Study.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=["x1", "x2", "x3"],
        cluster="village",
        weight="share",
        propensity=0.5,
    )


def test_a_study_says_what_it_is_of(study):
    lines = repr(study).splitlines()
    assert lines[0] == "Study of 119 units: effect of t on y"
    assert "  covariates: x1, x2, x3" in lines
    assert "  12 clusters of village" in lines
    assert "  weights: share" in lines
    assert "  known propensity: 0.5 to 0.5" in lines
    assert any(line.startswith("  dropped, ") and line.endswith(": 1 rows") for line in lines)


def test_a_panel_says_its_effects():
    draw = panel(n_rows=200, n_users=10, n_vendors=5, n_periods=4, seed=1)
    made = hb.Study.from_frame(
        draw.frame(), outcome="y", treatment="t", covariates=["a", "b"], fixed_effects=["user", "vendor"]
    )
    assert "  fixed effects: 10 of user, 5 of vendor" in repr(made).splitlines()
    assert "treated" not in repr(made)


def test_many_covariates_are_counted():
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 11)), columns=[f"x{j}" for j in range(11)])
    made = frame.assign(y=1 - frame["x0"], t=np.arange(60) % 2)
    shown = repr(hb.Study.from_frame(made, outcome="y", treatment="t", covariates=list(frame.columns)))
    assert "x7 and 3 more" in shown


def test_a_fit_names_its_call_and_its_study(study):
    lines = repr(hb.Feols(seed=3).fit(study)).splitlines()
    assert lines[0] == "Feols(seed=3), fitted to 119 units: effect of t on y"
    assert lines[1].startswith("  held-out effects of the units: quartiles ")


def test_a_table_reads_as_it_prints(study):
    table = hb.compare(study, engines=[hb.Feols()], seed=1)
    assert repr(table) == str(table)
    assert repr(table.fit("feols")).startswith("Feols(")


def test_arrays_are_shapes(study):
    fit = hb.Feols().fit(study)
    assert repr(fit.heldout).startswith("HeldOut(cate=array (119,), ")
    assert repr(fit.folds) == "Folds(fold=array (119,), n_folds=5, seed=0)"
    assert "covariates=array (50, 10)" in repr(dense(50, seed=1))
