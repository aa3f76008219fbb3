"""The nugget: found where the blocks miss a part of the effect, and not made of noise."""

import numpy as np
import pytest

from hte_bridge.engines.deep.basis import residual as misfit


def test_nugget_is_found_and_none_where_none_is():
    rng = np.random.default_rng(13)
    t, noise = 1 + rng.normal(size=30_000), rng.normal(size=30_000)
    found, _ = misfit.nugget(noise + 0.4 * t * rng.normal(size=30_000), t, np.ones(30_000))
    none, level = misfit.nugget(noise, t, np.ones(30_000))
    four_errors = 4 * (2 / 30_000) ** 0.5  # of a variance near one
    assert abs(found - 0.16) < four_errors
    assert none < four_errors
    assert abs(level - 1) < 2 * four_errors


@pytest.mark.parametrize("reach", [0.0, 0.03, 0.1])
def test_a_propensity_near_one_half_makes_no_nugget_of_noise(reach):
    """T^2 hardly varies then: a nugget read off it was 2, with noise of variance one and nothing left unexplained."""
    rng = np.random.default_rng(14)
    found = []
    for _ in range(20):
        e = rng.uniform(0.5 - reach, 0.5 + reach, 3_000)
        t = rng.binomial(1, e) - e
        found.append(misfit.nugget(rng.normal(size=3_000), t, np.ones(3_000))[0])
    assert max(found) < 0.3
    assert np.mean(np.array(found) > 0) <= 0.2


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.3), (0.1, 0.5)])
def test_treated_units_that_vary_more_are_no_nugget(low, high):
    """Units differ in their own effects; an interval for the mean effect at x does not hold them."""
    rng = np.random.default_rng(15)
    e = rng.uniform(low, high, 20_000)
    arm = rng.binomial(1, e)
    residual = rng.normal(size=20_000) * (1 + arm)
    found, _ = misfit.nugget(residual, arm - e, np.ones(20_000), arm)
    naive, _ = misfit.nugget(residual, arm - e, np.ones(20_000))
    assert found < 0.4
    assert naive > 1


def test_a_large_nugget_is_found_within_the_arms():
    rng = np.random.default_rng(16)
    e = rng.uniform(0.1, 0.9, 50_000)
    arm = rng.binomial(1, e)
    residual = rng.normal(size=50_000) + (arm - e) * rng.normal(size=50_000)
    found, noise = misfit.nugget(residual, arm - e, np.ones(50_000), arm)
    assert abs(found - 1) < 0.3
    assert abs(noise - 1) < 0.1


def test_wild_errors_are_no_nugget():
    """Student's t with two degrees of freedom: by the error that is right for normal ones a quarter of the draws had one, .24 on average."""
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        t = rng.normal(size=5_000)
        found.append(misfit.nugget(rng.standard_t(2, size=5_000), t, np.ones(5_000))[0])
    assert np.mean(np.array(found) > 0) < 0.15
    assert np.mean(found) < 0.05
