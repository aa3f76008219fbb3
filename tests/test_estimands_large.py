"""Least squares part by part: the numbers of the same columns in memory."""

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.errors import NotIdentified
from hte_bridge.estimands import large, means, projection, regression
from hte_bridge.estimands.regression import least_squares
from hte_bridge.scores import Scores
from hte_bridge.simulate.panel import panel
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


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_the_joint_test_of_many_clusters_goes_part_by_part(parts, monkeypatch, cluster):
    rng = np.random.default_rng(2)
    x, weight = rng.normal(2010, 5, (300, 2)), rng.choice([0.0, 1.0, 2.0], 300)
    codes = 2 * cluster(rng)  # half of the codes have no row
    y = 0.1 * x[:, 0] + rng.normal(size=300)
    known = projection.score_test(y, x, weight, codes, 1.1)
    monkeypatch.setattr(projection, "LARGE", 0)
    parts(0)
    found = projection.score_test(y, x, weight, codes, 1.1)
    assert found == pytest.approx(known, rel=1e-9)


def test_a_constant_beside_large_columns_lies_on_disk(monkeypatch):
    x = np.random.default_rng(1).normal(size=(50, 2))
    known = large.with_one(x)
    monkeypatch.setattr(large, "LARGE", 0)
    assert isinstance(large.with_one(x), np.memmap)
    assert np.array_equal(large.with_one(x), known)


def test_rows_of_a_study_of_files_lie_on_disk_and_say_the_same(tmp_path, monkeypatch):
    frame = panel("linear", n_rows=900, n_users=30, n_vendors=9, n_periods=6, seed=2).frame()
    frame.to_parquet(tmp_path / "a.parquet")
    roles = {"outcome": "y", "treatment": "t", "covariates": ["a", "U0", "V0"], "fixed_effects": ["period"]}
    engines = [hb.Feols(), hb.Deep(epochs=2, hidden=(4,), n_folds=2)]
    memory = hb.compare(hb.Study.from_frame(frame, **roles), engines[:1], seed=1)
    stored = hb.compare(hb.Study.from_parquet(tmp_path, **roles), engines, seed=1)
    apart = []
    for most in (10**9, 1):
        monkeypatch.setattr("hte_bridge.estimands.moments.LARGE", most)
        apart.append(stored.differences().rows)
    told = [row for row in (*stored.rows, *apart[1]) if row.influence is not None]
    assert len(told) > 10
    assert [row for row in told if not isinstance(row.influence, np.memmap)] == []
    ours = [row for row in stored.rows if row.engine == "feols"]
    for one, other in [*zip(ours, memory.rows, strict=True), *zip(*apart, strict=True)]:
        assert one.std_error == pytest.approx(other.std_error, rel=1e-7, nan_ok=True)
        assert one.p_value == pytest.approx(other.p_value, rel=1e-5, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_means_of_groups_one_by_one_are_those_of_all_at_once(monkeypatch, cluster):
    rng = np.random.default_rng(2)
    scores = Scores(rng.normal(size=300), weight=rng.uniform(0.5, 2, 300), cluster=cluster(rng))
    member = means.members(rng.integers(-1, 4, 300), 4)
    values = np.where(member[:, 3] > 0, 2.5, scores.gamma)  # of the last group one number
    known = means.group_means(values, member, scores)
    monkeypatch.setattr(means, "LARGE", 0)
    found = means.group_means(values, member, scores)
    for name in ("mean", "influence", "covariance", "df", "size"):
        assert np.abs(getattr(found, name) - getattr(known, name)).max() < 1e-12, name
    assert isinstance(found.influence, np.memmap)
    assert abs(found.overlap - known.overlap) < 1e-12
    assert found.n_live == known.n_live
