"""Passes over rows on disk: the same sums, the same held-out predictions, whoever makes them and in whatever parts."""

from __future__ import annotations

import numpy as np
import pytest

from hte_bridge.engines.deep.basis.data import Rows, unique_rows
from hte_bridge.engines.deep.basis.features import Basis, Block
from hte_bridge.engines.deep.basis.normal_equations import eliminate, normal_equations
from hte_bridge.engines.deep.passes.swept_sums import GROUPS, swept_sums

ROUNDING = 1e-9  # of the largest entry


def some_rows(effects: int, n: int = 600) -> Rows:
    """Rows of users sorted, with a vendor and a region above the user, which the user's effect takes up."""
    rng = np.random.default_rng(4)
    user = np.sort(rng.integers(0, 40, n))
    others = np.column_stack([rng.integers(0, 9, n), user % 3])[:, : effects - 1]
    x = np.column_stack([user / 10.0, rng.integers(0, 5, n), rng.normal(size=n)])
    _, place = unique_rows(x)
    codes = np.column_stack([user, others])
    sizes = tuple(int(each) + 1 for each in codes.max(axis=0))
    points = np.empty((place.max() + 1, 3))
    points[place] = x
    t = rng.normal(size=n)
    return Rows(
        x[:, 2] * t + rng.normal(size=n),
        t,
        rng.uniform(0.5, 2, n),
        codes,
        sizes,
        np.zeros(n, dtype=int),
        place,
        points,
    )


@pytest.mark.parametrize("effects", [1, 2, 3])
@pytest.mark.parametrize("most", [3, 512])
def test_sums_net_of_an_effect_are_those_that_eliminate_it(effects, most, monkeypatch):
    monkeypatch.setattr("hte_bridge.engines.deep.passes.swept_sums.GROUPS", type(GROUPS)(most))
    rows = some_rows(effects)
    blocks = [Block("constant", "constant", ()), Block("linear", "linear", (0, 1, 2), drift=True)]
    basis = Basis.fit(blocks, rows.points, np.zeros(3), np.ones(3))
    drift = np.array([False, True, True, True])
    columns = np.arange(7)
    whole = eliminate(normal_equations(rows, basis, drift), rows.sizes, columns, slopes=False)
    others = rows.effects[:, 1:] if effects > 1 else np.zeros((rows.n, 1), dtype=int)
    less = Rows(
        rows.outcome,
        rows.treatment,
        rows.weight,
        others,
        rows.sizes[1:] or (1,),
        rows.fold,
        rows.point,
        rows.points,
    )
    half = np.searchsorted(rows.effects[:, 0], 20)
    parts = [
        swept_sums(less.at(some), rows.effects[some, 0], basis, drift)
        for some in np.split(np.arange(rows.n), [half])
    ]
    found = eliminate(parts[0] + parts[1], less.sizes, columns, slopes=False)
    assert found.freedom == whole.freedom == rows.n - np.linalg.matrix_rank(rows.dummies().toarray())
    for name in ("gram", "target", "second"):
        ours, theirs = getattr(found, name), getattr(whole, name)
        assert np.abs(ours - theirs).max() < ROUNDING * np.abs(theirs).max(), name
