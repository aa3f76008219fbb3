"""Jumps beside surfaces by points answer as the covariance with these boxes does."""

from dataclasses import replace

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep.gp.borders import Pairs, with_boxes
from hte_bridge.engines.deep.gp.inducing import ByPoints, induced
from hte_bridge.engines.deep.gp.outcome_models import outcome_models
from hte_bridge.engines.deep.gp.posterior import KernelPosterior
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.simulate import steps

STEP, CORNER, OTHER = (
    ((0, 0.01, True),),
    ((1, 0.5, True), (2, 0.25, False)),
    ((1, 0.5, True), (2, -0.3, False)),
)
ROUNDING = 1e-6  # two points of a pair lie a hundred-thousandth apart


@pytest.fixture(scope="module")
def edged():
    """A model with edges of 200 rows at where its search begins, by all rows as points, and new rows."""
    made = steps(200, seed=1)
    study = hb.Study.from_frame(made.frame(), outcome="y", treatment="t", covariates=made.columns)
    sample = Sample.of(study, np.full(study.n, 0.5))
    model = sample.model(outcome_models(10.0, True)[0].of_kinds("edged", "edged"))
    by = ByPoints.of(model.scales.start(), model, [model.rows.x] * len(model.scales.surfaces))
    return sample.units, by, steps(40, seed=2).covariates


def jumping(model, boxes):
    """The model whose effect jumps at these boxes."""
    held = tuple(boxes if share else () for share in model.form.effect)
    return replace(model, scales=replace(model.scales, boxes=held))


@pytest.mark.parametrize(
    "boxes", [(STEP,), (STEP, CORNER, OTHER), (STEP, STEP)], ids=["one", "three", "twice"]
)
def test_boxes_beside_are_those_of_the_covariance(edged, boxes):
    units, by, new = edged
    model = jumping(by.model, boxes)
    beside = with_boxes(by.told(1.0), by, model, seed=1)
    within = induced(1.0, by.theta.numpy(), model, by.points)
    for own, its in zip(
        *(KernelPosterior(units, (each,)).moments(new) for each in (beside, within)), strict=True
    ):
        np.testing.assert_allclose(own, its, atol=ROUNDING)


def test_boxes_that_are_sums_of_others_have_no_pairs_of_their_own(edged):
    assert Pairs.across(edged[1].model.rows.x, (STEP, STEP), 1) is None
    assert len(Pairs.across(edged[1].model.rows.x, (STEP, CORNER, OTHER), 1).above) == 3
