"""What grf says about one data set (tests/oracles, made by make.R), rebuilt without R."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hte_bridge.engine import HeldOut
from hte_bridge.estimands.averages import atc, ate, ato, att
from hte_bridge.estimands.projection import projection
from hte_bridge.scores import Scores

ORACLES = Path(__file__).parent / "oracles"
ROWS = pd.read_csv(ORACLES / "rows.csv")
GRF = pd.read_csv(ORACLES / "grf.csv").set_index(["forest", "fun", "term"])
EXACT = 1e-10  # both sides are double precision sums over 1,200 units
BINARY = ("plain", "clustered", "clustered_equal", "weighted")


def scores_of(forest: str) -> Scores:
    """The scores of one of the oracle's forests from its held-out columns."""
    held = HeldOut(*(ROWS[f"{forest}_{name}"].to_numpy() for name in ("cate", "outcome_mean", "propensity")))
    y, w = ROWS["y"].to_numpy(), ROWS["w"].to_numpy(dtype=float)
    e = held.propensity
    gamma = held.cate + (w - e) / (e * (1 - e)) * (y - held.outcome_mean - (w - e) * held.cate)
    sizes = ROWS.groupby("village")["y"].transform("size").to_numpy()
    weight = {"weighted": ROWS["weight"].to_numpy(), "clustered_equal": 1 / sizes}.get(
        forest, np.ones(len(y))
    )
    cluster = None if forest == "plain" else ROWS["village"].to_numpy()
    return Scores(gamma, weight, cluster, y, w, held, cluster_name=None if forest == "plain" else "village")


@pytest.mark.parametrize("forest", BINARY)
def test_scores_are_those_of_grf(forest):
    assert np.abs(scores_of(forest).gamma - ROWS[f"{forest}_gamma"]).max() < EXACT


@pytest.mark.parametrize("forest", BINARY)
@pytest.mark.parametrize("target", ["all", "treated", "control", "overlap"])
def test_average_effects_are_those_of_grf(forest, target):
    scores = scores_of(forest)
    row = {
        "all": lambda: ate(scores),
        "treated": lambda: att(scores, heterogeneity="independent"),
        "control": lambda: atc(scores, heterogeneity="independent"),
        "overlap": lambda: ato(scores),
    }[target]()
    said = GRF.loc[(forest, "average_treatment_effect", target)]
    assert abs(row.estimate - said["estimate"]) < EXACT
    assert abs(row.std_error - said["std_error"]) < EXACT


@pytest.mark.parametrize("forest", BINARY)
def test_a_subset_is_that_of_grf(forest):
    row = ate(scores_of(forest).where(ROWS["x5"].to_numpy() == 1))
    said = GRF.loc[(forest, "average_treatment_effect subset x5 == 1", "all")]
    assert abs(row.estimate - said["estimate"]) < EXACT
    assert abs(row.std_error - said["std_error"]) < EXACT


@pytest.mark.parametrize("forest", BINARY)
@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC3", "overlap HC3"])
def test_projections_are_those_of_grf(forest, kind):
    rows = projection(
        scores_of(forest),
        ROWS[["x2", "x5"]].to_numpy(dtype=float),
        ["x2", "x5"],
        vcov=kind.split()[-1],
        overlap="overlap" in kind,
    )
    for row in rows[:-1]:
        said = GRF.loc[(forest, f"best_linear_projection x2 x5 {kind}", row.term)]
        assert abs(row.estimate - said["estimate"]) < EXACT
        assert abs(row.std_error - said["std_error"]) < EXACT


def test_the_error_of_the_treated_allows_for_clusters_by_default():
    scores = scores_of("clustered")
    assert att(scores).std_error != att(scores, heterogeneity="independent").std_error
    # as the treated units' CATE is summed: by cluster with G / (G - 1), and the correction as grf has it
    treated, cate, village = scores.treatment == 1, scores.heldout.cate, scores.cluster
    surface = np.where(treated, cate - cate[treated].mean(), 0.0) / treated.sum()
    by_village = np.bincount(village, surface)
    n = village.max() + 1
    grf = att(scores, heterogeneity="independent").std_error
    expected = grf**2 - surface @ surface + n / (n - 1) * by_village @ by_village
    assert abs(att(scores).std_error - expected**0.5) < 1e-12
    together = Scores(  # CATEs that villages share: grf's sum over units is too small, ours is not
        scores.gamma,
        cluster=village,
        outcome=scores.outcome,
        treatment=scores.treatment,
        heldout=replace(scores.heldout, cate=np.arange(n)[village] / 10.0),
    )
    assert att(together).std_error > 1.2 * att(together, heterogeneity="independent").std_error
    plain = scores_of("plain")
    assert att(plain).std_error == att(plain, heterogeneity="independent").std_error


def test_the_average_slope_of_a_dose_is_that_of_grf():
    cluster = ROWS["village"].to_numpy()
    row = ate(Scores(ROWS["dose_gamma"].to_numpy(), cluster=cluster))
    said = GRF.loc[("dose", "average_treatment_effect", "all")]
    assert abs(row.estimate - said["estimate"]) < EXACT
    assert abs(row.std_error - said["std_error"]) < EXACT
