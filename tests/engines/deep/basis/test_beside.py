"""Cells beside a jump have a variance of their own: where it is, of what it scales, and none where noise varies or nothing jumps."""

from __future__ import annotations

import numpy as np
import pytest

from hte_bridge.engines.deep.basis.beside import Place, beside, elsewhere, seen_at
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


def test_an_interval_beside_the_jump_is_longer_and_every_answer_agrees(data):
    x, t, near, sign, noise = data
    some, (one,) = np.vstack([x[near][:2], x[~near][:2]]), found(data, noise + MISSED * near * sign * t)
    from hte_bridge.engines.deep.basis.data import SlopeGroups
    from hte_bridge.engines.deep.basis.features import Basis, Block

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
