"""With many rows an effect's jumps are found where they are, whatever surface the mean has."""

from functools import partial

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep.gp.borders import heights_of, net_of_boxes
from hte_bridge.engines.deep.gp.finer_jumps import with_finer_jumps
from hte_bridge.engines.deep.gp.inducing import ByPoints
from hte_bridge.engines.deep.gp.jumps import with_jumps
from hte_bridge.engines.deep.gp.many_rows import told_by
from hte_bridge.engines.deep.gp.outcome_models import outcome_models
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.simulate import one_step

N, JUMP, HEIGHT = 6_000, 0.6, 1.5
NEAR = 0.02  # of the covariate, which is uniform: 120 rows; cuts to choose among are a tenth apart
N_DRAWS = 3


@pytest.fixture(scope="module")
def found():
    """A smooth mean and an effect with edges of rows whose effect jumps in the third covariate, by points, and what is standardised how."""
    made = one_step(N, seed=1)
    study = hb.Study.from_frame(made.frame(), outcome="y", treatment="t", covariates=made.columns)
    sample = Sample.of(study, np.full(N, 0.5))
    model = sample.model(outcome_models(10.0, True)[0].of_kinds("smooth", "edged"))
    points = [model.rows.x[:150]] * len(model.scales.surfaces)
    return sample.units, ByPoints.of(model.scales.start(), model, points)


def cuts(units, model):
    """Cuts along the third covariate, as it came."""
    own = [
        side[1]
        for boxes in model.scales.boxes
        for box in boxes
        if len(box) == 1
        for side in box
        if side[0] == 2
    ]
    return np.array(own) * units.spread[2] + units.centre[2]


def test_a_cut_is_moved_to_where_the_effect_jumps(found):
    units, by = found
    draws = [
        with_finer_jumps(by.model, by.theta, partial(told_by, by), np.random.default_rng(seed))
        for seed in range(N_DRAWS)
    ]
    nearest = [np.abs(cuts(units, each) - JUMP).min(initial=1.0) for each in draws]
    assert np.median(nearest) < NEAR
    coarse = with_jumps(by.model, by.theta, partial(told_by, by), np.random.default_rng(1))
    assert coarse is by.model  # beside a smooth mean, few rows have no jumps drawn


def test_what_is_net_of_boxes_jumps_no_more(found):
    units, by = found
    rng = np.random.default_rng(3)
    jumping = with_finer_jumps(by.model, by.theta, partial(told_by, by), rng)
    rest = net_of_boxes(by.model, jumping, heights_of(by, jumping, rng))
    x, tau = by.model.rows.x[:, 2] * units.spread[2] + units.centre[2], by.model.rows.loads[1]
    above, below = (x > JUMP) & (x < JUMP + 0.1), (x < JUMP) & (x > JUMP - 0.1)

    def jump(y):
        slopes = [float((tau * y)[own].sum() / (tau * tau)[own].sum()) for own in (above, below)]
        return (slopes[0] - slopes[1]) * units.outcome_sd

    assert jump(by.model.rows.y) > 0.6 * HEIGHT
    assert abs(jump(rest.rows.y)) < 0.4 * HEIGHT
