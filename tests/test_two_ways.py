"""Clusters two ways: feols as pyfixest, rows as their pseudo-values by pyfixest, folds by what hangs together."""

import numpy as np
import pandas as pd
import pyfixest
import pytest

import hte_bridge as hb
from hte_bridge.crossed import variance
from hte_bridge.errors import InvalidData
from hte_bridge.folds import held_together

N = 300
ROLES = {"outcome": "y", "treatment": "d", "covariates": ["x"]}
WAYS = {"CRV1": "village + year"}


def shocked(seed: int = 1, villages: int = 20, years: int = 12) -> pd.DataFrame:
    """Outcomes move by village and by year, and so does the treatment."""
    rng = np.random.default_rng(seed)
    village, year = rng.integers(0, villages, N), rng.integers(0, years, N)
    a, b = rng.normal(size=villages)[village], rng.normal(size=years)[year]
    frame = pd.DataFrame({"village": village, "year": year, "x": rng.normal(size=N)})
    frame["d"] = (a + b + rng.normal(size=N) > 0).astype(int)
    error = rng.normal(size=villages)[village] + rng.normal(size=years)[year] + rng.normal(size=N)
    frame["y"] = frame["d"] * (1 + frame["x"]) + error
    return frame


FRAME = shocked()
STUDY = hb.Study.from_frame(FRAME, cluster=["village", "year"], **ROLES)
TABLE = hb.compare(STUDY, ["feols"], seed=1)


def test_feols_is_pyfixest_clustered_two_ways():
    model = pyfixest.feols("y ~ d + x", FRAME, vcov=WAYS)
    row = TABLE.rows[0]
    assert abs(row.estimate - model.coef()["d"]) < 1e-10
    assert abs(row.std_error - model.se()["d"]) < 1e-10
    assert abs(row.p_value - model.pvalue()["d"]) < 1e-8
    assert row.vcov == "CRV1 (village + year)"
    products = pyfixest.feols("y ~ d + x + dx", FRAME.assign(dx=FRAME["d"] * FRAME["x"]), vcov=WAYS)
    found = TABLE.cate(pd.DataFrame({"x": [0.0]}), "feols")
    assert abs(found["std_error"].iloc[0] - products.se()["d"]) < 1e-10


def test_rows_from_scores_are_their_pseudo_values_by_pyfixest():
    once = hb.Study.from_frame(FRAME, cluster="village", **ROLES)
    one_way = hb.compare(once, ["feols"], estimands=["ate", "att", "ato", "projection"], seed=1)
    again = one_way.with_vcov(WAYS)
    two = hb.compare(STUDY, ["feols"], estimands=["ate", "att", "ato", "projection"], seed=1)
    for ours, theirs in zip(two.rows, again.rows, strict=True):
        if ours.estimand == "coefficient":
            continue
        assert ours.estimate == theirs.estimate or np.isnan(ours.estimate)
        if np.isfinite(theirs.std_error):
            assert abs(ours.std_error - theirs.std_error) < 1e-12
            assert ours.df == theirs.df
    joint = [row for row in two.rows if row.term == "joint"]
    assert np.isnan(joint[0].p_value)
    assert "clusters are two-way" in joint[0].note


def test_every_verb_has_errors_by_both():
    for table in (TABLE.gate(FRAME["x"] > 0), TABLE.average("ate")):
        for row in table.rows:
            if np.isfinite(row.estimate):
                assert row.vcov == "CRV1 (village + year)"
                assert abs(row.std_error**2 - variance(row.influence, STUDY)) < 1e-12
    both = hb.compare(STUDY, [hb.Feols(), hb.Feols(label="again", plain=False)], estimands=["ate"], seed=1)
    assert {row.vcov for row in both.differences().rows if row.std_error > 0} <= {"CRV1 (village + year)"}
    assert TABLE.with_vcov("hetero").rows[2].vcov == "hetero"  # as it was asked for


def test_statements_about_rows_have_errors_by_both():
    own = next(row for row in TABLE.rows if row.estimand == "coefficient")
    ate = next(row for row in TABLE.rows if row.estimand == "ate")
    groups = TABLE.gate("x > 0")
    low, high = groups.rows[0], groups.rows[1]
    said = groups.hypothesis(f"gate['{high.term}'] = 2 * gate['{low.term}']").rows[0]
    assert abs(said.std_error**2 - variance(high.influence - 2 * low.influence, STUDY)) < 1e-12
    assert (said.vcov, said.df, said.n_clusters) == ("CRV1 (village + year)", low.df, 12)
    scaled = own.influence * own.std_error / variance(own.influence, STUDY) ** 0.5
    against = TABLE.hypothesis("ate = coefficient[d]").rows[0]
    assert abs(against.std_error**2 - variance(ate.influence - scaled, STUDY)) < 1e-12


def test_the_cluster_that_is_few_is_named():
    few = shocked(years=6)
    table = hb.compare(hb.Study.from_frame(few, cluster=["village", "year"], **ROLES), ["feols"], seed=1)
    said = " ".join(str(table).split())
    assert "few clusters of `year`, as in" in said
    assert "(of 6)" in said


def test_by_hand():
    psi = np.random.default_rng(2).normal(size=N)
    first = FRAME.groupby("village").indices
    second = FRAME.groupby("year").indices
    cells = FRAME.groupby(["village", "year"]).indices
    squares = [sum(psi[rows].sum() ** 2 for rows in way.values()) for way in (first, second, cells)]
    fewer = min(len(first), len(second))
    by_hand = fewer / (fewer - 1) * (squares[0] + squares[1] - squares[2])
    assert abs(variance(psi, STUDY) - by_hand) < 1e-10


def test_folds_hold_out_the_first_or_what_hangs_together():
    assert np.array_equal(held_together(STUDY, 5), STUDY.cluster)
    folds = hb.Folds.make(STUDY, seed=1)
    assert (pd.Series(folds.fold).groupby(STUDY.cluster).nunique() == 1).all()
    apart = FRAME.assign(year=FRAME["village"] // 2)  # ten pairs of villages, each of one year
    study = hb.Study.from_frame(apart, cluster=["village", "year"], **ROLES)
    folds = hb.Folds.make(study, seed=1)
    assert (pd.Series(folds.fold).groupby(apart["year"].to_numpy()).nunique() == 1).all()
    assert "5 folds by what hangs together by village or year" in str(hb.compare(study, ["feols"], seed=1))
    assert "5 folds by village, seed 1" in str(TABLE)
    assert "20 clusters (village), 12 clusters (year)" in str(TABLE)


def test_missing_in_either_is_dropped_and_parts_keep_both():
    gaps = FRAME.assign(year=FRAME["year"].where(FRAME.index % 10 != 0))
    study = hb.Study.from_frame(gaps, cluster=["village", "year"], **ROLES)
    assert study.dropped == {"missing cluster year": N // 10}
    half = study.subset(np.arange(0, study.n, 2))
    assert len(half.second_cluster) == half.n
    assert "clusters of year" in repr(study)
    with pytest.raises(InvalidData, match="or two for errors clustered two ways"):
        hb.Study.from_frame(FRAME, cluster=["village", "year", "x"], **ROLES)
    same = hb.Study.from_frame(FRAME, cluster=["village"], **ROLES)
    assert same.second_cluster is None


def test_intervals_by_one_cluster_are_too_short_and_by_both_are_not():
    """The mean of outcomes with shocks by village and by year: known, without a learner."""
    hits, short = 0, 0
    rng, draws = np.random.default_rng(5), 300
    village, year = np.repeat(np.arange(25), 25), np.tile(np.arange(25), 25)
    frame = pd.DataFrame(
        {"village": village, "year": year, "x": rng.normal(size=625), "d": rng.integers(0, 2, 625)}
    )
    study = hb.Study.from_frame(frame.assign(y=rng.normal(size=625)), cluster=["village", "year"], **ROLES)
    from scipy import stats

    t = stats.t.ppf(0.975, 24)
    for _ in range(draws):
        y = rng.normal(size=25)[village] + rng.normal(size=25)[year] + rng.normal(size=625)
        psi = (y - y.mean()) / 625
        hits += abs(y.mean()) < t * variance(psi, study) ** 0.5
        short += abs(y.mean()) < t * (25 / 24 * (np.bincount(village, psi) ** 2).sum()) ** 0.5
    band = 4 * (0.95 * 0.05 / draws) ** 0.5
    assert hits / draws > 0.95 - band
    assert short / draws < 0.95 - band
