"""Least squares part by part: the numbers of the same columns in memory."""

import numpy as np
import pytest

from hte_bridge.errors import NotIdentified
from hte_bridge.estimands import large, regression
from hte_bridge.estimands.regression import least_squares
from hte_bridge.stream import study

CLUSTERS = {
    "alone": lambda rng: np.arange(300),
    "many": lambda rng: np.unique(rng.integers(0, 60, 300), return_inverse=True)[1],
    "one tells a column": lambda rng: np.where(np.arange(300) < 20, 0, 1 + np.arange(300) // 40),
}


@pytest.fixture
def parts(monkeypatch):
    """Everything is large, and a part small."""
    monkeypatch.setattr(study, "PART", 70)
    monkeypatch.setattr(study.parts_of, "__defaults__", (70,))
    monkeypatch.setattr(large, "BLOCK", 50)
    return lambda size: monkeypatch.setattr(regression, "LARGE", size)


@pytest.mark.parametrize("vcov", ["HC0", "HC1", "HC3"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_parts_and_columns_in_memory_agree(parts, vcov, weighted, cluster):
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(300), rng.normal(2010, 5, (300, 2)), np.arange(300) < 20])
    y, codes = x @ [1.0, 0.2, -0.3, 2.0] + rng.normal(size=300), cluster(rng)
    weight = rng.uniform(0.5, 2, 300) if weighted else np.ones(300)
    known = least_squares(y, x, weight, codes, vcov)
    parts(0)
    found = least_squares(y, x, weight, codes, vcov)
    assert found.reasons == known.reasons
    for name in ("coefficients", "covariance", "bread", "influence", "shares"):
        gap = np.abs(getattr(found, name) - getattr(known, name))
        assert np.nanmax(gap) < 1e-9 * max(np.nanmax(np.abs(getattr(known, name))), 1.0), name
        assert (np.isnan(getattr(found, name)) == np.isnan(getattr(known, name))).all(), name


def test_collinear_columns_are_refused_in_parts_too(parts):
    x = np.column_stack([np.ones(300), np.arange(300.0), 2 * np.arange(300.0) + 1])
    parts(0)
    with pytest.raises(NotIdentified, match="collinear"):
        least_squares(np.arange(300.0), x, np.ones(300), np.arange(300))


def test_a_constant_beside_large_columns_lies_on_disk(monkeypatch):
    x = np.random.default_rng(1).normal(size=(50, 2))
    known = large.with_one(x)
    monkeypatch.setattr(large, "LARGE", 0)
    assert isinstance(large.with_one(x), np.memmap)
    assert np.array_equal(large.with_one(x), known)
