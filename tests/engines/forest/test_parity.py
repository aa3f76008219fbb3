"""hb.CausalForest is grf: to the bit what `Rscript` says to the same call, and what the oracles say."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.engines.forest import CausalForest
from hte_bridge.frames import to_pandas
from hte_bridge.rlink import client
from hte_bridge.scores import scores

pytestmark = pytest.mark.r
ORACLES = Path(__file__).parents[2] / "oracles"
ROWS = to_pandas(ORACLES / "rows.csv")
COVARIATES = [f"x{j}" for j in range(1, 7)]
EXACT = 1e-12  # the oracle's 17 digits hold a double; what is left is compilers' order of sums
COLUMNS = ("cate", "cate_variance", "outcome_mean", "propensity")
FORESTS = {  # as in tests/oracles/make.R
    "plain": ({}, {}),
    "clustered": ({"cluster": "village"}, {}),
    "clustered_equal": ({"cluster": "village"}, {"equalize_cluster_weights": True}),
    "weighted": ({"cluster": "village", "weight": "weight"}, {}),
    "dose": ({"cluster": "village", "outcome": "y_dose", "treatment": "dose"}, {}),
}


def study_of(frame, **roles):
    study = hb.Study.from_frame(
        frame, **{"outcome": "y", "treatment": "w", "covariates": COVARIATES, **roles}
    )
    if "weight" not in roles:
        return study
    return study.with_(
        weight=frame["weight"].to_numpy()
    )  # as R had them: over their mean, ties between splits break otherwise


def said_by(fit):
    held = fit.heldout
    return dict(zip(COLUMNS, (held.cate, fit.variance, held.outcome_mean, held.propensity), strict=True))


@pytest.mark.parametrize("name", FORESTS)
def test_the_oracles_are_rebuilt(name):
    roles, options = FORESTS[name]
    study = study_of(ROWS, **roles)
    fit = CausalForest(num_trees=1000, seed=42, num_threads=2, **options).fit(study)
    for column, values in said_by(fit).items():
        assert np.abs(values - ROWS[f"{name}_{column}"]).max() < EXACT, column
    assert (
        np.abs(scores(study, fit.heldout).gamma - ROWS[f"{name}_gamma"]).max() < 1e-10
    )  # sums of larger terms


def test_another_seed_would_be_caught():
    fit = CausalForest(num_trees=1000, seed=43, num_threads=2).fit(study_of(ROWS))
    assert np.abs(fit.heldout.cate - ROWS["plain_cate"]).max() > 1e6 * EXACT


RSCRIPT = """
suppressMessages(library(grf))
d <- matrix(readBin("data", "double", 1e6), ncol = 11)
colnames(d) <- c("village", paste0("x", 1:6), "w", "y", "dose", "weight")
X <- d[, 2:7]; village <- d[, "village"]
gaps <- X; gaps[seq(1, nrow(X), 5), 2] <- NA
fit <- function(...) causal_forest(..., num.trees = 200, seed = 7, num.threads = 2)
forests <- list(
  plain = fit(X, d[, "y"], d[, "w"]),
  missing = fit(gaps, d[, "y"], d[, "w"], clusters = village),
  weighted = fit(X, d[, "y"], d[, "w"], sample.weights = d[, "weight"], honesty.fraction = .6, mtry = 3),
  dose = fit(X, d[, "y"], d[, "dose"], W.hat = rep(.25, nrow(X)), ci.group.size = 4, alpha = .1),
  tuned = fit(X, d[, "y"], d[, "w"], tune.parameters = c("alpha", "mtry"), tune.num.trees = 50,
              tune.num.reps = 10, tune.num.draws = 50)
)
for (f in forests) {
  p <- predict(f, estimate.variance = TRUE)
  new <- predict(f, gaps[1:50, ], estimate.variance = TRUE)
  said <- c(p$predictions, p$variance.estimates, f$Y.hat, f$W.hat, get_scores(f), new$predictions, new$variance.estimates)
  out <- if (exists("out")) c(out, said) else said
}
writeBin(out, "said")
"""
TUNING = {
    "tune_parameters": ("alpha", "mtry"),
    "tune_num_trees": 50,
    "tune_num_reps": 10,
    "tune_num_draws": 50,
}
LIVE = {
    "plain": ({}, {}),
    "missing": ({"cluster": "village"}, {}),
    "weighted": ({"weight": "weight"}, {"honesty_fraction": 0.6, "mtry": 3}),
    "dose": ({"treatment": "dose"}, {"propensity": 0.25, "ci_group_size": 4, "alpha": 0.1}),
    "tuned": ({}, TUNING),
}
N, NEW = 400, 50


@pytest.fixture(scope="module")
def rscript(tmp_path_factory):
    """What plain `Rscript` says to each call: forest -> its numbers, in a row."""
    folder = tmp_path_factory.mktemp("rscript")
    data = ROWS[["village", *COVARIATES, "w", "y", "dose", "weight"]].iloc[:N].to_numpy(dtype=float)
    data.ravel(order="F").tofile(folder / "data")
    (folder / "run.R").write_text(RSCRIPT)
    libraries = ":".join(client.worker().describe()["libraries"])
    command = [shutil.which("Rscript"), "--vanilla", "run.R"]
    subprocess.run(command, cwd=folder, env={"R_LIBS": libraries, "PATH": "/usr/bin:/bin"}, check=True)
    said = np.fromfile(folder / "said").reshape(len(LIVE), 5 * N + 2 * NEW)
    return dict(zip(LIVE, said, strict=True))


@pytest.mark.parametrize("name", LIVE)
def test_every_bit_is_that_of_rscript(name, rscript):
    roles, options = LIVE[name]
    frame, gaps = ROWS.iloc[:N], ROWS.iloc[:N].copy()
    gaps.loc[gaps.index[::5], "x2"] = np.nan
    study = study_of(gaps if name == "missing" else frame, **roles)
    fit = CausalForest(num_trees=200, seed=7, num_threads=1, **options).fit(study)  # threads change no number
    held, new = fit.heldout, fit.cate(gaps.iloc[:NEW])
    cate, variance, outcome_mean, propensity, gamma = rscript[name][: 5 * N].reshape(5, N)
    estimate, new_variance = rscript[name][5 * N :].reshape(2, NEW)
    assert np.array_equal(held.cate, cate)
    assert np.array_equal(fit.variance, variance)
    assert np.array_equal(held.outcome_mean, outcome_mean)
    assert np.array_equal(held.propensity, propensity)
    assert np.array_equal(new["estimate"], estimate)
    assert np.array_equal(new["std_error"], np.sqrt(new_variance))
    assert np.abs(scores(study, held).gamma - gamma).max() < 1e-10  # ours and R's order of sums
