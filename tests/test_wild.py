"""The wild cluster bootstrap against the enumeration of all signs: weights, groups, coefficients; what no sign vector can say."""

import numpy as np
import pandas as pd
import pytest

from hte_bridge import Feols, Study, compare
from hte_bridge.estimands.averages import ate
from hte_bridge.scores import Scores
from hte_bridge.wild import wild_bootstrap
from tests.helpers.enumerated import exact


def drawn(seed, clusters=8, n=240):
    rng = np.random.default_rng(seed)
    cluster = np.append(np.arange(clusters), rng.integers(0, clusters, n - clusters))
    weight = np.exp(rng.normal(size=clusters))[cluster] * rng.exponential(size=n)
    return 0.6 + rng.normal(size=clusters)[cluster] + rng.normal(size=n), weight, cluster


@pytest.mark.parametrize("clusters", [2, 5, 8, 11])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_weighted_mean_has_the_p_value_of_the_enumeration(clusters, seed):
    gamma, weight, cluster = drawn(seed, clusters)
    row = ate(Scores(gamma, weight, cluster))
    found = wild_bootstrap([row], cluster, weight=weight)[0]
    assert abs(found.p_value - exact(gamma, weight, cluster)) < 1e-12
    assert found.p_value >= 2 / 2**clusters
    for scale in (1e-150, 1e12):
        scaled = wild_bootstrap([ate(Scores(gamma * scale, weight, cluster))], cluster, weight=weight * 1e-9)[
            0
        ]
        assert scaled.p_value == found.p_value
        np.testing.assert_allclose(np.array(scaled.interval), scale * np.array(found.interval), rtol=1e-6)


def test_the_interval_is_that_of_the_test():
    for seed in range(40):
        gamma, weight, cluster = drawn(seed, 9)
        row = wild_bootstrap([ate(Scores(gamma, weight, cluster))], cluster, weight=weight)[0]
        assert (row.conf_low <= 0 <= row.conf_high) == (row.p_value > 0.05)
        for end, inward in ((row.conf_low, 1), (row.conf_high, -1)):
            step = 1e-3 * row.std_error * inward
            assert exact(gamma, weight, cluster, end + step) > 0.05
            assert exact(gamma, weight, cluster, end - step) <= 0.05


def test_a_level_that_signs_cannot_reach_has_no_end():
    gamma, weight, cluster = drawn(3, 4)
    row = wild_bootstrap([ate(Scores(gamma + 50, weight, cluster))], cluster, weight=weight)[0]
    assert row.p_value == 2 / 2**4
    assert (row.conf_low, row.conf_high) == (-np.inf, np.inf)


def table_of(seed, weighted):
    gamma, weight, cluster = drawn(seed, 9, 450)
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=450), "d": rng.integers(0, 2, 450), "g": cluster, "w": weight})
    frame["y"] = frame.d * gamma + rng.normal(size=450)
    frame["k"] = np.where(frame.g < 5, "a", "b")
    study = Study.from_frame(
        frame,
        outcome="y",
        treatment="d",
        covariates=["x"],
        cluster="g",
        propensity=0.5,
        **({"weight": "w"} if weighted else {}),
    )
    return frame, compare(study, [Feols()], seed=1, estimands=["ate"])


@pytest.mark.parametrize("weighted", [False, True])
def test_groups_and_subsets_turn_the_signs_of_their_own_clusters(weighted):
    frame, table = table_of(2, weighted)
    scores = table.scores("feols")
    groups = table.wild_bootstrap(table.gate("k")).rows[:2]
    subset = table.wild_bootstrap(table.average("ate", where="g > 2 and x > 0")).rows[0]
    chosen = [(frame.k == "a"), (frame.k == "b"), (frame.g > 2) & (frame.x > 0)]
    for row, mask in zip([*groups, subset], chosen, strict=True):
        inside = mask.to_numpy()
        codes = np.unique(scores.cluster[inside], return_inverse=True)[1]
        assert abs(row.p_value - exact(scores.gamma[inside], scores.weight[inside], codes)) < 1e-12
        assert row.p_value >= 2 / 2 ** (codes.max() + 1)
        assert row.n_clusters == codes.max() + 1


@pytest.mark.parametrize("weighted", [False, True])
def test_a_coefficient_moves_each_cluster_by_its_share_of_the_treatments_variation(weighted):
    """One regressor and a constant: under the null the restricted residuals y - mean - b0 (d - mean) have their signs turned."""
    frame, table = table_of(4, weighted)
    row = next(each for each in table.wild_bootstrap().rows if each.term == "d, no covariates")
    weight = table.study.weight
    y, d = (frame[name] - np.average(frame[name], weights=weight) for name in "yd")
    slope = float((weight * d * y).sum() / (weight * d * d).sum())
    # a pseudo-outcome whose weighted mean, weights w d^2, is the slope: cluster totals are those of the score
    pseudo, share = np.where(d == 0, 0.0, y / d), (weight * d * d).to_numpy()
    assert abs(np.average(pseudo, weights=share) - slope) < 1e-12
    assert abs(row.p_value - exact(np.asarray(pseudo), share, frame.g.to_numpy())) < 1e-12


def test_many_clusters_are_drawn_and_what_is_seen_counts():
    gamma, weight, cluster = drawn(5, 40, 800)
    row = wild_bootstrap([ate(Scores(gamma + 9, weight, cluster))], cluster, weight=weight, draws=199)[0]
    assert row.p_value == 1 / 200
    assert "199 draws" in row.vcov
