"""Held-out propensities and outcome means: near the truth where a constant is not, and clipped with a note."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep.gp.regression import smooth_learners
from hte_bridge.engines.deep.nuisance.networks import NetOptions
from hte_bridge.engines.deep.nuisance.propensity import PROPENSITY, centre_treatment
from hte_bridge.simulate import dose, nie_wager
from tests.helpers.studies import cross_section

NETS = NetOptions(hidden=(8,), epochs=5)
HALF = 0.5  # of the squared error of a constant


@pytest.fixture(scope="module", params=["kernel", "gram"])
def fitted(request):
    draw = nie_wager(400, seed=2, setup="C", d=5)
    engine = hb.Deep(
        seed=1, n_folds=2, epochs=10, hidden=(16,), kernel_max_rows=3_000 * (request.param == "kernel")
    )
    return draw, engine.fit(cross_section(draw))


def test_held_out_propensity_follows_the_truth(fitted):
    draw, fit = fitted
    assert np.mean((fit.heldout.propensity - draw.propensity) ** 2) < HALF * draw.propensity.var()
    assert fit.heldout.treatment_variance is None


def test_held_out_outcome_mean_follows_the_truth(fitted):
    draw, fit = fitted
    assert np.mean((fit.heldout.outcome_mean - draw.outcome_mean) ** 2) < HALF * draw.outcome_mean.var()


def centred(study, folds=2):
    return centre_treatment(
        study, hb.Folds.make(study, folds, 1), NETS, 1, "cpu", smooth_learners, twice=False
    )


def test_a_known_propensity_is_taken_as_it_is():
    draw = nie_wager(60, seed=1, setup="A", d=5)
    found = centred(cross_section(draw, propensity=0.3))
    assert (found.mean == 0.3).all()
    assert found.info == {}


def test_propensities_at_the_edge_are_set_to_its_ends_and_counted():
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    frame = pd.DataFrame(
        {"x": x, "d": ((x + 0.05 * rng.normal(size=200)) > 0) * 1, "y": x + rng.normal(size=200)}
    )
    found = centred(hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"]))
    low = PROPENSITY.lowest
    assert (found.mean.min(), found.mean.max()) == (low, 1 - low)
    (note,) = [each for each in found.notes if "were set to its ends" in each]
    outside = int(((found.mean == low) | (found.mean == 1 - low)).sum())
    assert note.startswith(f"{outside} of 200 propensities lay outside [0.01, 0.99]")


def test_a_dose_has_a_mean_and_a_variance():
    draw = dose(300, seed=1, p=4)
    found = centred(cross_section(draw))
    assert np.mean((found.mean - draw.propensity) ** 2) < HALF * draw.propensity.var()
    assert found.variance is not None
    assert found.variance.mean() == pytest.approx(1.0, abs=0.3)  # the dose varies by one about its mean
