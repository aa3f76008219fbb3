"""Cells beside a jump have a variance of their own: where it is, of what it scales, and none where noise varies or nothing jumps."""

from __future__ import annotations

import numpy as np
import pytest

from hte_bridge.engines.deep.basis.beside import Beside, Place, beside, elsewhere, seen_at, within_cells
from hte_bridge.engines.deep.basis.data import SlopeGroups
from hte_bridge.engines.deep.basis.features import Basis, Block
from hte_bridge.engines.deep.basis.jumps import EFFECT, MEAN, Jump
from hte_bridge.engines.deep.basis.posterior import EffectPosterior

N, CELLS, NEAR = 60_000, 24, 11
MISSED = 0.4  # sd of tau that is missed in the one cell
NONE = np.zeros((N, 0), dtype=np.int64)
KNOTS = tuple(np.linspace(-0.5, 0.5, CELLS + 1).tolist())


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    x, t = rng.uniform(-1, 1, size=(N, 3)), 1.0 + rng.normal(size=N)
    near = (x[:, 0] > KNOTS[NEAR]) & (x[:, 0] < KNOTS[NEAR + 1])
    return x, t, near, rng.choice([-1.0, 1.0], N), rng.normal(size=N)


def found(data, left, scalings=(EFFECT,), treatment=None, effects=NONE):
    x, t, *_ = data
    places = Place.of([Jump(0, each, (-1.0, *KNOTS, 1.0), (KNOTS[0], KNOTS[-1])) for each in scalings])
    treatment = t if treatment is None else treatment
    return beside(places, seen_at(places, halves(x)), left, treatment, np.ones(N), effects, 0.0, 1.0)


def halves(x):
    return [(0, x[: N // 2]), (N // 2, x[N // 2 :])]


def test_where_blocks_miss_nothing_no_cell_has_a_variance(data):
    assert found(data, data[-1]) == []


def test_the_cell_that_holds_the_step_has_what_is_missed_there(data):
    x, t, near, sign, noise = data
    (one,) = found(data, noise + MISSED * near * sign * t)
    assert np.flatnonzero(one.variance).tolist() == [NEAR]
    assert one.variance[NEAR] == pytest.approx(MISSED**2, abs=0.04)
    assert np.array_equal(elsewhere([one], halves(x), N) == 0, near)


def test_a_step_that_is_a_multiple_of_a_covariate_is_missed_in_proportion(data):
    x, t, near, sign, noise = data
    (one,) = found(data, noise + 2 * MISSED * near * sign * t * x[:, 1], (EFFECT, 1))
    assert (one.scaling, np.flatnonzero(one.variance).tolist()) == (1, [NEAR])
    assert one.at(x)[near] == pytest.approx(one.variance[NEAR] * x[near, 1] ** 2)


def test_what_a_mean_misses_at_the_same_place_is_not_the_effects(data):
    _, t, near, sign, noise = data
    assert found(data, noise + near * sign, (EFFECT, MEAN)) == []
    (one,) = found(data, noise + near * sign * (0.5 + MISSED * t), (EFFECT, MEAN))
    assert np.flatnonzero(one.variance).tolist() == [NEAR]


def test_where_the_treatment_hardly_varies_what_is_missed_counts_as_the_effects(data):
    _, t, near, sign, noise = data
    alike = np.where(t > 1, 0.5, -0.5)
    (one,) = found(data, noise + near * sign, (EFFECT, MEAN), alike)
    assert np.flatnonzero(one.variance).tolist() == [NEAR]


@pytest.mark.parametrize("varies", ["with x", "with the treatment", "between the arms"])
def test_noise_that_varies_is_no_jump(data, varies):
    x, t, _, _, noise = data
    arm = np.where(t > 1, 0.7, -0.3)
    size = {
        "with x": 1 + 0.2 * x[:, 0],
        "with the treatment": 1 + 0.3 * np.abs(t),
        "between the arms": 1 + arm,
    }
    assert found(data, noise * size[varies], treatment=arm if varies == "between the arms" else t) == []


def test_what_an_effect_takes_of_it_is_added_again(data):
    x, t, *_, noise = data
    of_unit, unit = np.sort(x[:300, 0]), np.arange(N) % 300  # what jumps is one for all rows of a unit
    x = np.column_stack([of_unit[unit], x[:, 1:]])
    near = (x[:, 0] > KNOTS[NEAR]) & (x[:, 0] < KNOTS[NEAR + 1])
    missed = near * np.where(unit % 2, MISSED, -MISSED) * t
    missed = missed - (np.bincount(unit, missed) / np.bincount(unit))[unit]
    (one,) = found((x, t), noise + missed, effects=unit[:, None])
    assert np.flatnonzero(one.variance).tolist() == [NEAR]
    assert one.variance[NEAR] == pytest.approx(MISSED**2, abs=0.04)


@pytest.mark.parametrize("scaling", [EFFECT, 1])
def test_a_step_within_a_cell_leaves_a_variance_there_that_covers_it(data, scaling):
    x, height = data[0], 0.7
    names, knots = ["x0", "x1", "x2"], (-1.0, *KNOTS, 1.0)
    jump = Jump(0, scaling, knots, (KNOTS[0], KNOTS[-1]))
    basis = Basis.fit([jump.block(names, (0,), True, False)], x, np.zeros(3), np.ones(3))
    features, step = basis.features(x).astype(float), height * (x[:, 0] > 0.03)
    scale = np.ones(N) if scaling == EFFECT else x[:, scaling]
    held = np.column_stack([features, np.ones(N), scale])
    fitted, line = np.linalg.lstsq(held, np.column_stack([step, x[:, 0]]) * scale[:, None], rcond=None)[0].T
    missed, mean = step * scale - held @ fitted, fitted[: features.shape[1]]
    unsure = 0.02 * np.eye(len(mean))
    (one,) = within_cells(basis, mean, unsure, [jump])
    said = one.at(x)
    for near in (np.abs(x[:, 0] - 0.03) < 0.02, said > 0):
        assert 0.5 < (missed[near] ** 2).mean() / said[near].mean() < 2
    assert (missed[said > 0] ** 2).sum() > 0.95 * (missed[np.abs(x[:, 0]) < 0.4] ** 2).sum()
    assert within_cells(basis, line[: len(mean)], unsure, [jump]) == []


def test_variance_that_is_known_is_not_found_again(data):
    x, t, near, sign, noise = data
    known = Beside(0, EFFECT, np.array(KNOTS), np.where(np.arange(CELLS) == NEAR, MISSED**2, 0.0))
    places = Place.of([Jump(0, EFFECT, KNOTS, (KNOTS[0], KNOTS[-1]))])
    seen = seen_at(places, halves(x), [known])
    assert beside(places, seen, noise + MISSED * near * sign * t, t, np.ones(N), NONE, 0.0, 1.0) == []


def test_an_interval_beside_the_jump_is_longer_and_every_answer_agrees(data):
    x, t, near, sign, noise = data
    some, (one,) = np.vstack([x[near][:2], x[~near][:2]]), found(data, noise + MISSED * near * sign * t)
    basis = Basis.fit([Block("linear", "linear", (0, 1, 2), {})], x, np.zeros(3), np.ones(3))
    surface = EffectPosterior(
        basis, [], SlopeGroups((), ()), np.zeros(3), np.zeros((3, 1)), np.zeros(0), 0.01, beside=(one,)
    )
    variance = surface.moments(some)[1] ** 2
    assert variance == pytest.approx([0.01 + one.variance[NEAR]] * 2 + [0.01] * 2)
    assert np.diag(surface.average(some, np.eye(4))[1]) == pytest.approx(variance)
    assert surface.draws(some, 4_000, 1).var(axis=0) == pytest.approx(variance, rel=0.15)
    assert surface.per(2.0).moments(some)[1] ** 2 == pytest.approx(variance / 4)
    again = EffectPosterior.restore(*surface.state())
    assert np.array_equal(again.moments(some)[1] ** 2, variance)
