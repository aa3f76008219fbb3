"""Controls: outcome mean and propensity see them, the effect is sought along the covariates alone."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pyfixest
import pytest
from typer.testing import CliRunner

import hte_bridge as hb
from hte_bridge.cli import app
from hte_bridge.engines.linear import interacted, nuisances
from hte_bridge.errors import InvalidData

N = 240
ROLES = {"outcome": "y", "treatment": "d", "covariates": ["x", "u"]}
CONTROLS = ["z", "town", "size"]
EXACT = 1e-10


def confounded(n: int = N, seed: int = 3) -> pd.DataFrame:
    """Treatment and outcome both follow `z`; the effect is 1 + x."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=["x", "u", "z"])
    frame["town"] = rng.choice(["a", "b", "c"], n)
    frame["size"] = np.exp(2 * rng.normal(size=n))  # a long tail
    frame["village"] = rng.integers(0, 40, n)
    frame["w"] = rng.uniform(0.5, 2, n)
    frame["d"] = (rng.random(n) < 1 / (1 + np.exp(-1.5 * frame["z"]))).astype(int)
    frame["y"] = frame["d"] * (1 + frame["x"]) + 2 * frame["z"] + (frame["town"] == "b") + rng.normal(size=n)
    return frame


FRAME = confounded()
STUDY = hb.Study.from_frame(FRAME, controls=CONTROLS, **ROLES)


def test_the_study_keeps_the_two_apart():
    assert STUDY.names.covariates == ("x", "u")
    assert STUDY.names.controls == ("z", "town[b]", "town[c]", "size")
    assert STUDY.adjusted.names.covariates == STUDY.names.covariates + STUDY.names.controls
    assert "controls: z, town[b], town[c], size" in repr(STUDY)
    half = STUDY.subset(np.arange(0, N, 2))
    assert np.array_equal(half.controls, STUDY.controls[::2])
    plain = hb.Study.from_frame(FRAME, **ROLES)
    assert plain.adjusted is plain


def test_feols_is_pyfixest_with_the_controls_as_regressors():
    row = hb.Feols().fit(STUDY).rows(0.95)[0]
    model = pyfixest.feols("y ~ d + x + u + z + C(town) + size", FRAME, vcov="hetero")
    assert abs(row.estimate - model.coef()["d"]) < EXACT
    assert abs(row.std_error - model.se()["d"]) < EXACT


def test_the_effect_of_feols_moves_with_covariates_alone():
    centred = FRAME.assign(dx=FRAME["d"] * FRAME["x"], du=FRAME["d"] * FRAME["u"])
    model = pyfixest.feols("y ~ d + dx + du + x + u + z + C(town) + size", centred, vcov="hetero")
    new = pd.DataFrame({"x": [0.0, 1.0], "u": [0.0, 0.0]})  # no control is needed
    found = hb.Feols().fit(STUDY).cate(new)
    assert np.abs(np.diff(found["estimate"]) - model.coef()["dx"]).max() < EXACT
    assert abs(found["std_error"].iloc[0] - model.se()["d"]) < EXACT
    assert interacted(STUDY)(np.zeros((1, 2)))[0].shape == (1,)


def test_nuisances_of_feols_see_the_controls():
    folds = hb.Folds.make(STUDY, seed=1)
    found, both = nuisances(STUDY, folds), nuisances(STUDY.adjusted, folds)
    assert np.abs(found.propensity - both.propensity).max() < EXACT
    assert np.abs(found.cate - both.cate).max() > 0.1  # which moves with the controls
    x = STUDY.filled
    for train, test in folds:  # the held-out effect is a line in the covariates
        line = np.linalg.lstsq(np.column_stack([np.ones(len(test)), x[test]]), found.cate[test], rcond=None)
        assert line[1].size == 0 or line[1][0] < EXACT
        assert len(train)


def test_confounding_through_controls_is_removed_and_without_them_it_is_not():
    for study, close in ((STUDY, True), (hb.Study.from_frame(FRAME, **ROLES), False)):
        table = hb.compare(study, [hb.Feols(plain=False)], estimands=["ate"], seed=1)
        for row in table.rows:
            assert (abs(row.estimate - 1) < 4 * row.std_error) is close


def test_rows_about_the_effect_are_of_covariates_alone_and_the_rest_of_both():
    table = hb.compare(STUDY, ["feols"], seed=1)
    terms = [row.term for row in table.rows if row.estimand == "projection"]
    assert terms == ["(Intercept)", "x", "u", "joint"]
    assert "controls z, town[b], town[c], size" in str(table)
    assert set(table.gate("x").to_frame()["estimand"]) == {"gate"}
    beside = table.sensitivity(benchmarks="all").to_frame()["term"]
    assert beside.str.endswith("like z").any()
    assert beside.str.endswith("like x").any()
    assert beside.str.contains("like town").any()


def test_a_covariate_or_a_control_can_be_left_out():
    assert STUDY.without("town").names.controls == ("z", "size")
    assert STUDY.without("x").names.covariates == ("u",)
    alone = STUDY.without("town").without("z").without("size")
    assert alone.controls is None
    assert alone.adjusted is alone


def test_missing_values_and_levels_as_for_covariates():
    gaps = FRAME.assign(
        z=FRAME["z"].where(FRAME.index % 9 != 0), town=FRAME["town"].where(FRAME.index % 7 != 0)
    )
    study = hb.Study.from_frame(gaps, controls=CONTROLS, **ROLES)
    assert study.n == N
    assert "z, town" in study.fill_note
    assert study.adjusted.filled_names[-2:] == ("z missing", "town missing")
    assert np.isfinite(hb.compare(study, ["feols"]).rows[0].estimate)
    assert len(hb.Feols().fit(study).cate(pd.DataFrame({"x": [0.0], "u": [1.0]}))) == 1


def test_a_known_propensity_and_a_dose():
    dose = FRAME.assign(d=FRAME["d"] + FRAME["z"])
    found = hb.Feols().fit(hb.Study.from_frame(dose, controls=["z"], **ROLES)).heldout
    assert found is not None
    assert found.treatment_variance is not None
    known = hb.Study.from_frame(FRAME, controls=["z"], propensity=0.5, **ROLES)
    assert (hb.Feols().fit(known).heldout.propensity == 0.5).all()


@pytest.mark.parametrize("kind", ["S", "T", "X", "R", "DR"])
def test_meta_learners_predict_from_covariates_alone(kind):
    from sklearn.linear_model import LinearRegression

    table = hb.compare(STUDY, [hb.Meta(kind, LinearRegression())], estimands=["ate"], seed=1)
    (row,) = table.rows
    assert abs(row.estimate - 1) < 4 * row.std_error
    slope = np.diff(table.cate(pd.DataFrame({"x": [0.0, 1.0], "u": [0.0, 0.0]}), f"meta-{kind}")["estimate"])
    assert abs(slope[0] - (kind != "S")) < 0.6  # a line of outcomes in the S-learner has no interactions


@pytest.mark.parametrize(
    ("roles", "sentence"),
    [
        ({"controls": ["x"]}, "A column must have one role. `x` is `covariates` and `controls`."),
        ({"controls": ["zz"]}, "`controls` must name a column of the data. `zz` is not one. The nearest"),
        ({"controls": ["z", "z"]}, "`z` is named twice in `controls`"),
        ({"controls": ["one"]}, "A control must vary. All values of `one` are 1"),
        ({"controls": ["copy"]}, "Controls must differ. `copy` equals `x` in every row."),
        ({"controls": ["d2"]}, "A control must be known before treatment. `d2` equals the treatment `d`"),
        ({"controls": "all", "covariates": "all"}, "`covariates` and `controls` must be told apart."),
        ({"covariates": [], "controls": ["z"]}, "`covariates` must name at least one column"),
    ],
)
def test_sentences(roles, sentence):
    frame = FRAME.assign(one=1.0, copy=FRAME["x"], d2=FRAME["d"])
    with pytest.raises(InvalidData, match=re.escape(sentence)):
        hb.Study.from_frame(frame, **{**ROLES, **roles})


def test_all_are_the_columns_without_another_role():
    frame = FRAME.drop(columns="village")
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates="all", weight="w")
    assert study.encoder.sources == ("x", "u", "z", "town", "size")
    study = hb.Study.from_frame(frame, controls="all", weight="w", **ROLES)
    assert study.control_encoder.sources == ("z", "town", "size")


def test_from_a_shell(tmp_path):
    path = tmp_path / "rows.csv"
    FRAME.to_csv(path, index=False)
    command = f"compare {path} --outcome y --treatment d --covariates x,u --engines feols --controls"
    said = CliRunner().invoke(app, [*command.split(), "z,town"])
    assert said.exit_code == 0
    assert "covariates x, u; controls z, town[b], town[c]" in said.stdout


def panel() -> pd.DataFrame:
    """A panel whose treatment follows a control that moves within units; the effect is 1 + x."""
    rng, units, periods = np.random.default_rng(5), 40, 5
    unit = np.repeat(np.arange(units), periods)
    frame = pd.DataFrame({"unit": unit, "year": np.tile(np.arange(periods), units)})
    frame["x"], frame["z"] = rng.normal(size=units)[unit], rng.normal(size=len(unit))
    frame["d"] = (rng.random(len(unit)) < 1 / (1 + np.exp(-2 * frame["z"]))).astype(int)
    noise = 0.5 * rng.normal(size=len(unit))
    frame["y"] = frame["d"] * (1 + frame["x"]) + 2 * frame["z"] + rng.normal(size=units)[unit] + noise
    return frame


PANEL = panel()
WITHIN = {"outcome": "y", "treatment": "d", "covariates": ["x"], "fixed_effects": ["unit", "year"]}


def test_in_a_panel_controls_that_move_within_units_count():
    table = hb.compare(hb.Study.from_frame(PANEL, controls=["z"], **WITHIN), ["feols"], seed=1)
    model = pyfixest.feols("y ~ d + z | unit + year", PANEL, vcov="hetero")
    assert abs(table.rows[0].estimate - model.coef()["d"]) < 1e-8
    (ape,) = [row for row in table.rows if row.estimand == "ape"]
    assert abs(ape.estimate - np.mean(1 + PANEL["x"])) < 4 * ape.std_error
    without = hb.compare(hb.Study.from_frame(PANEL, **WITHIN), ["feols"], estimands=["ape"], seed=1)
    assert abs(without.rows[-1].estimate - np.mean(1 + PANEL["x"])) > 4 * without.rows[-1].std_error


RSCRIPT = """
suppressMessages(library(grf))
d <- matrix(readBin("data", "double", 1e6), ncol = 9)
X <- d[, 1:2]; Z <- d[, 3:6]; Y <- d[, 7]; W <- d[, 8]; village <- d[, 9]
weight <- readBin("weight", "double", 1e6)
as_a_user <- function(...) {
  nuisance <- function(target) predict(regression_forest(cbind(X, Z), target, num.trees = 400, seed = 7, ...))$predictions
  Y.hat <- nuisance(Y); W.hat <- nuisance(W)
  forest <- causal_forest(X, Y, W, Y.hat = Y.hat, W.hat = W.hat, num.trees = 400, seed = 7, ...)
  c(predict(forest)$predictions, Y.hat, W.hat, predict(forest, X[1:20, ])$predictions)
}
writeBin(c(as_a_user(), as_a_user(clusters = village, sample.weights = weight)), "said")
"""


@pytest.mark.r
def test_grf_is_what_a_user_of_grf_would_write_to_the_bit(tmp_path):
    studies = [STUDY, hb.Study.from_frame(FRAME, controls=CONTROLS, cluster="village", weight="w", **ROLES)]
    one = studies[1]
    columns = [one.covariates, one.controls, one.outcome, one.treatment, one.cluster + 1.0]
    np.column_stack(columns).T.tofile(tmp_path / "data")
    one.weight.tofile(tmp_path / "weight")
    (tmp_path / "user.R").write_text(RSCRIPT)
    from hte_bridge.rlink import client

    client.made_by("grf")  # R's libraries are those of the worker
    command = [shutil.which("Rscript") or "Rscript", "user.R"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=r_environment())
    theirs, ours = np.fromfile(tmp_path / "said"), []
    for study in studies:
        fit = hb.CausalForest(num_trees=400, seed=7).fit(study)
        held = fit.heldout
        new = fit.cate(FRAME[["x", "u"]].head(20))["estimate"].to_numpy()
        ours += [held.cate, held.outcome_mean, held.propensity, new]
    assert np.array_equal(np.concatenate(ours), theirs)


def r_environment() -> dict[str, str]:
    """That of this process, with our R packages first."""
    import os
    import sys
    from pathlib import Path

    ours = Path(sys.prefix) / "r-library"
    return os.environ | {"R_LIBS": os.pathsep.join(filter(None, [str(ours), os.environ.get("R_LIBS", "")]))}


@pytest.mark.r
def test_a_forest_with_controls_is_saved_and_answers_a_dose_and_a_panel(tmp_path):
    dose = hb.Study.from_frame(FRAME.assign(d=FRAME["d"] + FRAME["z"]), controls=CONTROLS, **ROLES)
    fit = hb.CausalForest(num_trees=100, seed=1).fit(dose)
    again = type(fit).load(fit.save(tmp_path / "forest.rds"))
    assert np.array_equal(again.heldout.treatment_variance, fit.heldout.treatment_variance)
    assert again.study.names == dose.names
    assert np.array_equal(again.study.controls, dose.controls)
    table = hb.compare(
        hb.Study.from_frame(PANEL, controls=["z"], **WITHIN), [hb.CausalForest(num_trees=100, seed=1)], seed=1
    )
    ape = table.rows[0]
    assert abs(ape.estimate - np.mean(1 + PANEL["x"])) < 4 * ape.std_error


def test_deep_adjusts_for_controls_and_its_effect_moves_with_covariates_alone():
    frame = confounded(50, seed=2)
    study = hb.Study.from_frame(frame, controls=["z"], **(ROLES | {"covariates": ["x"]}))
    quick = hb.Deep(seed=1, epochs=2, draws=1, hidden=(4,))
    table = hb.compare(study, [quick], estimands=["ate"], seed=1, n_folds=2)
    (row,) = table.rows
    assert abs(row.estimate - 1) < 4 * row.std_error
    found = table.cate(pd.DataFrame({"x": [-1.0, 1.0]}), "deep")
    assert (np.abs(found["estimate"] - [0, 2]) < 4 * found["std_error"]).all()
    assert list(table.meta["engines"]["deep"]["treatment_shares"]) == ["constant", "linear", "net", "kernel"]


def test_deep_in_a_panel_takes_the_controls_lines_off():
    from hte_bridge.engines.deep.route_controls import lines_off
    from hte_bridge.sweeping import within

    study = hb.Study.from_frame(PANEL, controls=["z"], **WITHIN)
    outcome, treatment = lines_off(study, hb.Folds.make(study, seed=1))
    effects, weight = study.fixed_effects, study.weight
    z, left = within(PANEL["z"].to_numpy(), effects, weight), within(treatment, effects, weight)
    assert (
        abs(np.corrcoef(z, left)[0, 1]) < 0.1 < np.corrcoef(z, within(study.treatment, effects, weight))[0, 1]
    )
    rest = within(outcome - treatment * (1 + PANEL["x"].to_numpy()), effects, weight)
    assert abs(np.corrcoef(z, rest)[0, 1]) < 0.15


def test_arms_that_are_balanced_exactly_say_nothing():
    """Newton's steps begin at the answer there; that none goes up was a warning of scikit-learn in a fifth of such designs."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        turned = rng.permutation(48)
        x, arm = np.repeat([1.0, 0.0], [18, 30])[turned], np.tile([0, 1], 24)[turned]
        frame = pd.DataFrame({"x": x, "d": arm, "y": rng.normal(size=48)})
        both = pd.concat([frame, frame], ignore_index=True)
        study = hb.Study.from_frame(both, outcome="y", treatment="d", covariates=["x"])
        held = nuisances(study, hb.Folds(np.repeat([0, 1], 48), 2, 0))  # warnings are errors here
        assert np.abs(held.propensity - 0.5).max() < 1e-6
