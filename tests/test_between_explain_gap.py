"""The gap between forest and regression: parts that add up, each naming what it was made of."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from hte_bridge import Feols, Folds, Study
from hte_bridge.between.explain_gap import explain_gap
from hte_bridge.engines.given import Given
from hte_bridge.engines.meta import Meta
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified
from hte_bridge.estimands.averages import ate
from hte_bridge.scores import scores
from tests.helpers.studies import study_of

EXACT = 1e-10
PARTS = ["sample", "controls", "effects", "weighting"]


def parts(table):
    rows = {row.term: row for row in table.rows if row.estimand == "gap"}
    assert list(rows) == [*PARTS, "total"]
    return rows


def truth_known(n, seed, base, tau, propensity):
    """A study with one covariate and the true nuisances as given columns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    e = propensity(x)
    d = (rng.random(n) < e) * 1.0
    y = base(x) + tau(x) * d + rng.normal(size=n)
    study = Study.from_frame(
        pd.DataFrame({"y": y, "d": d, "x": x}), outcome="y", treatment="d", covariates=["x"]
    )
    true = Given(
        {"cate": tau(x), "outcome_mean": base(x) + e * tau(x), "propensity": e}, name="truth", held_out=True
    )
    return study, true


@pytest.mark.parametrize(
    "study",
    [
        study_of(n=400),
        study_of(n=400, cluster="village", weight="w"),
        study_of(n=400, dose=True),
    ],
    ids=["plain", "clustered and weighted", "dose"],
)
def test_parts_add_up_to_the_gap(study):
    fit = Meta("R", LinearRegression()).fit(study, Folds.make(study, 3, 1))
    table = explain_gap(study, fit)
    rows = parts(table)
    assert abs(sum(rows[name].estimate for name in PARTS) - rows["total"].estimate) < EXACT
    slope, average = table.rows[0], table.rows[-1]
    assert abs(slope.estimate + rows["total"].estimate - average.estimate) < EXACT
    assert average.estimate == ate(scores(study, fit.heldout)).estimate
    summed = sum(rows[name].influence for name in PARTS)
    assert np.abs(summed - rows["total"].influence).max() < EXACT


def test_parts_add_up_in_a_panel():
    study = study_of(n=400, fixed_effects="village", cluster="village")
    table = explain_gap(study, Feols())
    rows = parts(table)
    assert table.rows[-1].estimand == "ape"
    assert abs(rows["sample"].estimate) < 1e-8  # our sweep of the effects and pyfixest's stop at 1e-8
    assert abs(sum(rows[name].estimate for name in PARTS) - rows["total"].estimate) < EXACT


def test_regression_of_the_same_rows_leaves_nothing_to_the_sample():
    rows = parts(explain_gap(study_of(n=400), Meta("T", LinearRegression())))
    assert abs(rows["sample"].estimate) < EXACT
    assert "none here" in rows["sample"].note


def test_effects_that_follow_the_propensity_are_weighting():
    study, true = truth_known(
        20_000, 1, lambda x: 0 * x, lambda x: x**2, lambda x: 1 / (1 + np.exp(-1.5 * x))
    )
    rows = parts(explain_gap(study, true))
    assert rows["weighting"].p_value < 1e-4
    assert rows["weighting"].estimate > 0  # effects grow where treatment is nearly certain
    assert abs(rows["weighting"].estimate) > 3 * abs(rows["effects"].estimate)


def test_curved_confounding_is_controls():
    study, true = truth_known(
        20_000, 1, lambda x: x**2, lambda x: 0 * x + 1, lambda x: 1 / (1 + np.exp(1 - x**2))
    )
    table = explain_gap(study, true)
    rows = parts(table)
    assert rows["controls"].p_value < 1e-6
    assert rows["controls"].estimate < -0.3  # x^2 raises treatment and outcome alike
    assert rows["weighting"].p_value > 0.01
    assert "linear controls leave confounding in that raises the coefficient" in table.reading


def test_rows_with_gaps_are_the_sample():
    study = study_of(n=2_000)
    frame = study.frame.copy()
    frame.loc[frame["x2"] > 0.3, "x3"] = np.nan
    frame.loc[frame["x2"] > 0.3, "y"] += 2 * frame["d"]
    gappy = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x1", "x2", "x3"])
    table = explain_gap(gappy, Meta("T", LinearRegression()), rows="complete")
    rows = parts(table)
    assert rows["sample"].estimate > 0.3
    assert rows["sample"].p_value < 0.01
    kept = frame.dropna()
    design = np.column_stack([np.ones(len(kept)), kept[["d", "x1", "x2", "x3"]]])
    assert abs(table.rows[0].estimate - np.linalg.lstsq(design, kept["y"], rcond=None)[0][1]) < EXACT
    assert abs(sum(rows[name].estimate for name in PARTS) - rows["total"].estimate) < EXACT


def test_the_paragraph_says_both_numbers_and_what_is_noise():
    reading = explain_gap(study_of(n=400), Meta("T", LinearRegression())).reading
    assert reading.startswith("feols says")
    assert "a gap of" in reading
    assert "within noise" in reading
    assert "Both use the same rows." in reading


def test_what_cannot_be_explained_is_refused():
    study = study_of(n=400)
    with pytest.raises(InvalidData, match="The fit must be of the study's 400 rows"):
        explain_gap(study, Meta("T", LinearRegression()).fit(study_of(n=300)))
    with pytest.raises(NotIdentified, match="needs a treatment of 0 and 1"):
        explain_gap(study_of(n=400, dose=True), Meta("T", LinearRegression()))
    with pytest.raises(InvalidOption, match="must be 'all' or 'complete'"):
        explain_gap(study, Meta("T", LinearRegression()), rows="some")
    with pytest.raises(InvalidOption, match="must be a fit with a coefficient"):
        explain_gap(study, Feols(), coefficient=Meta("T", LinearRegression()).fit(study))


@pytest.mark.r
def test_a_causal_forest_is_explained_by_default():
    import hte_bridge as hb

    study = study_of(n=300, cluster="village")
    table = hb.compare(study, ["feols", hb.CausalForest(num_trees=200, seed=1)], seed=1)
    rows = parts(table.explain_gap())
    assert abs(sum(rows[name].estimate for name in PARTS) - rows["total"].estimate) < EXACT
    paired = [row for row in table.differences().rows if row.term == "ate less coefficient"]
    assert abs(paired[0].std_error - rows["total"].std_error) < EXACT
    assert hb.explain_gap(study).rows[-1].engine == "grf"
