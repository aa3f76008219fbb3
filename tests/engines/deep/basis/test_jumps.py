"""Steps in what a fit leaves: found where they are, of what they scale, and not in noise."""

from __future__ import annotations

import numpy as np
import pytest

from hte_bridge.engines.deep.basis.features import Block, ramps
from hte_bridge.engines.deep.basis.jumps import EFFECT, MEAN, jumps

N, BINS = 40_000, 12


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    x, t = rng.normal(size=(N, 3)), rng.gamma(2.0, 0.7, size=N)
    blocks = [
        Block(
            f"ramp {j}",
            "ramp",
            (j,),
            {"knots": np.quantile(x[:, j], np.linspace(0, 1, BINS + 1))},
            drift=j == 1,
        )
        for j in range(3)
    ]
    return x, t, rng.normal(size=N) * (0.5 + 0.2 * t), blocks


def found(data, left):
    x, t, noise, blocks = data
    return jumps(blocks, x, np.arange(N), t, noise + left, np.ones(N))


def left_by_ramps(data, along, scale, at):
    """What a step leaves once the effect has ramps along its covariate."""
    x, _, _, blocks = data
    step = scale * (x[:, along] > at)
    held = scale[:, None] * np.column_stack(
        [np.ones(N), ramps(x[:, along].astype(np.float32), blocks[along].arrays["knots"])]
    )
    return step - held @ np.linalg.lstsq(held, step, rcond=None)[0]


def test_noise_has_no_steps(data):
    assert found(data, 0.0) == []


@pytest.mark.parametrize("at", ["on a knot", "between"])
@pytest.mark.parametrize("scaling", [EFFECT, 2])
def test_a_step_is_found_where_it_is(data, at, scaling):
    x, t, _, blocks = data
    knots = blocks[0].arrays["knots"]
    place = knots[6] if at == "on a knot" else 0.4 * knots[6] + 0.6 * knots[7]
    scale = t if scaling == EFFECT else t * x[:, scaling]
    (only,) = found(data, 0.8 * left_by_ramps(data, 0, scale, place))
    assert (only.along, only.scaling) == (0, scaling)
    near = np.array(only.knots)
    assert np.diff(near[np.searchsorted(near, place) - 1 :][:2]) < 0.02  # a bin is .2 wide there


def test_a_step_of_the_mean_is_sought_where_mu_has_ramps(data):
    ones = np.ones(N)
    assert MEAN in [each.scaling for each in found(data, left_by_ramps(data, 1, ones, 0.1))]
    assert MEAN not in [each.scaling for each in found(data, left_by_ramps(data, 0, ones, 0.1))]


def test_finer_knots_follow_the_step(data):
    x, t, _, _ = data
    left = left_by_ramps(data, 0, t, 0.13)
    (only,) = found(data, left)
    held = t[:, None] * only.block(["a", "b", "c"], (0,), True, False).raw(x.astype(np.float32))
    after = left - held @ np.linalg.lstsq(held, left, rcond=None)[0]
    assert after.var() < 0.15 * left.var()


def test_values_too_few_for_cells_have_none(data):
    x, t, noise, _ = data
    rough = x.copy()
    rough[:, 0] = np.round(x[:, 0])
    few = [Block("ramp 0", "ramp", (0,), {"knots": np.unique(rough[:, 0])})]
    assert jumps(few, rough[:200], np.arange(200), t[:200], noise[:200], np.ones(200)) == []
