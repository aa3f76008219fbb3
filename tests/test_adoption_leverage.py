"""What fitting takes from residuals of small cells is given back to tests and intervals, and errors stay R's did's."""

import numpy as np
import pandas as pd
from scipy import linalg, stats

import hte_bridge as hb
from hte_bridge.staggered.leverage import by_regression, free_of, reach, wide_of

EXACT = 1e-10


def panel(n=24, seed=4):
    rng = np.random.default_rng(seed)
    unit, period = np.repeat(np.arange(n), 4), np.tile(np.arange(1, 5), n)
    first = np.array([0, 3, 4])[unit % 3]
    made = pd.DataFrame(
        {"id": unit, "t": period, "first": first, "x": rng.normal(size=n)[unit], "g": unit // 2}
    )
    return made.assign(y=(period >= first) * (first > 0) + rng.normal(size=4 * n), half=unit % 2)


def table_of(frame, **more):
    roles = {"outcome": "y", "unit": "id", "period": "t", "first_treated": "first", "controls": "never"}
    return hb.compare(
        hb.Study.from_frame(frame, **roles, **more), [hb.Feols()], estimands=["att_gt", "att_event"]
    )


def test_without_covariates_an_interval_is_that_of_unbiased_variances():
    frame = panel()
    row = next(row for row in table_of(frame).rows if row.term == "3, 3")
    wide = frame.pivot(index="id", columns="t", values="y")
    change, first = wide[3] - wide[2], frame.groupby("id")["first"].first()
    arms = [change[first == 3], change[first == 0]]
    welch = sum(arm.var(ddof=1) / len(arm) for arm in arms) ** 0.5
    did = sum(arm.var(ddof=0) / len(arm) for arm in arms) ** 0.5
    assert abs(row.std_error - did) < EXACT
    assert abs(np.linalg.norm(wide_of(row)) - welch) < EXACT
    reached = stats.t.ppf(0.975, free_of(row)) * welch
    assert abs(row.conf_high - row.estimate - reached) < 1e-6
    assert row.df < free_of(row)


def test_residuals_of_a_cluster_are_multiplied_by_the_inverse_root_of_what_fitting_leaves():
    rng = np.random.default_rng(1)
    x, cluster = np.column_stack([np.ones(14), rng.normal(size=(14, 2))]), np.arange(14) % 5
    inverse = np.linalg.inv(x.T @ x)
    residual = rng.normal(size=14)
    found = by_regression(residual, x, inverse, cluster)
    for each in range(5):
        rows = cluster == each
        left = np.eye(rows.sum()) - x[rows] @ inverse @ x[rows].T
        assert np.abs(found[rows] - linalg.inv(linalg.sqrtm(left)) @ residual[rows]).max() < EXACT
    own = by_regression(residual, x, inverse, np.arange(14))
    by_hand = residual / np.sqrt(1 - np.einsum("ij,jk,ik->i", x, inverse, x))
    assert np.abs(own - by_hand).max() < EXACT


def test_degrees_of_freedom_reach_as_far_as_the_longer_error():
    for free, ratio, level in ((40.0, 1.07, 0.95), (8.0, 1.2, 0.9), (200.0, 1.01, 0.99)):
        wanted = stats.t.ppf((1 + level) / 2, free) * ratio
        assert abs(stats.t.ppf((1 + level) / 2, reach(free, ratio, level)) - wanted) < 1e-8
    assert reach(12.0, 0.99, 0.95) == 12.0  # never longer degrees of freedom than there are clusters
    assert reach(1.0, 50.0, 0.95) == 0.5


def test_differences_and_joint_tests_allow_for_it_too():
    frame = panel()
    table = table_of(frame, covariates=["x"], cluster="g")
    first, second = (table.where(estimand="att_event").rows[k] for k in (1, 2))
    (row,) = [row for row in table.differences("event_times").rows if row.term == "1 - 0"]
    assert row.df < free_of(row) == min(free_of(first), free_of(second))
    tested = table.pretrends().rows[0]
    assert np.isfinite(tested.p_value)
    groups = table.differences("groups", by="half").rows
    apart = next(row for row in groups if " - " in row.term)
    equal = next(row for row in groups if row.term == "equal")
    told = np.bincount(np.arange(24) // 2, weights=wide_of(apart))
    assert abs(equal.statistic - apart.estimate**2 / (told @ told)) < 1e-8
