"""Paired differences: right in size, equal to what the rows say, and honest where there is nothing to pair."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from hte_bridge import Feols, compare
from hte_bridge.between.differences import difference, differences
from hte_bridge.engines.given import Given
from hte_bridge.engines.meta import Meta
from hte_bridge.errors import InvalidOption
from hte_bridge.estimands.averages import ate
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate, Table
from tests.helpers.studies import study_of

DRAWS, LEVEL = 1_000, 0.05
BAND = 4 * (LEVEL * (1 - LEVEL) / DRAWS) ** 0.5  # rejections are Binomial: 4 standard errors


def size(pairing, seed):
    """Share of draws in which two engines with the same effect are told apart; 40 clusters of 5."""
    rng, cluster, rejected = np.random.default_rng(seed), np.repeat(np.arange(40), 5), 0
    for _ in range(DRAWS):
        shared = rng.normal(size=200) + rng.normal(size=40)[cluster]  # both engines score the same units
        own = [rng.normal(size=40)[cluster] * 0.3 + 0.3 * rng.normal(size=200) for _ in range(2)]
        first, second = (Scores(1 + shared + each, cluster=cluster, cluster_name="c") for each in own)
        rejected += pairing(first, second) < LEVEL
    return rejected / DRAWS


def paired(first, second):
    return difference(ate(first), ate(second), first).p_value


def unpaired(first, second):
    one, other = ate(first), ate(second)
    return Estimate(
        "ate", one.estimate - other.estimate, (one.std_error**2 + other.std_error**2) ** 0.5, df=one.df
    ).p_value


def unclustered(first, second):
    flat = [Scores(each.gamma) for each in (first, second)]
    return paired(*flat)


def test_equal_engines_are_told_apart_as_often_as_the_level_says():
    assert abs(size(paired, seed=1) - LEVEL) < BAND


def test_errors_added_as_if_unpaired_would_be_caught():  # the test above is able to fail
    assert size(unpaired, seed=1) < LEVEL - BAND


def test_errors_without_clusters_would_be_caught():
    assert size(unclustered, seed=1) > LEVEL + BAND


STUDY = study_of(n=600, cluster="village")
TABLE = compare(STUDY, [Feols(), Meta("T", LinearRegression()), Meta("R", LinearRegression())], seed=1)
ROWS = differences(TABLE).rows


def row_of(engine, estimand, term="", rows=ROWS):
    return next(row for row in rows if (row.engine, row.estimand, row.term) == (engine, estimand, term))


@pytest.mark.parametrize("estimand", ["ate", "att", "ato"])
def test_a_difference_is_that_of_the_scores(estimand):
    row = row_of("meta-R - feols", estimand)
    mine, theirs = (TABLE.where(engine=name, estimand=estimand).rows[0] for name in ("meta-R", "feols"))
    assert row.estimate == mine.estimate - theirs.estimate
    assert row.std_error < 0.5 * (mine.std_error**2 + theirs.std_error**2) ** 0.5
    assert row.df == 39


def test_the_error_of_an_ate_difference_is_that_of_the_mean_score_difference():
    gap = TABLE.scores("meta-T").gamma - TABLE.scores("feols").gamma
    expected = ate(Scores(gap, STUDY.weight, STUDY.cluster))
    row = row_of("meta-T - feols", "ate")
    assert abs(row.estimate - expected.estimate) < 1e-12
    assert abs(row.std_error - expected.std_error) < 1e-12


def test_every_pair_has_its_rows_and_the_slopes_a_joint_test():
    assert list(dict.fromkeys(row.engine for row in ROWS)) == [
        "meta-T - feols",
        "meta-R - feols",
        "meta-R - meta-T",
    ]
    joint = row_of("meta-T - feols", "projection", "joint")
    assert 0 <= joint.p_value <= 1
    assert "agree on all 4 terms" in joint.note


def test_the_average_effect_is_set_against_the_coefficient():
    row = row_of("meta-T - feols", "ate", "ate less coefficient")
    slope = TABLE.where(engine="feols", estimand="coefficient").rows[0]
    assert row.estimate == TABLE.where(engine="meta-T", estimand="ate").rows[0].estimate - slope.estimate
    assert 0 < row.std_error < slope.std_error
    backwards = compare(STUDY, [Meta("T", LinearRegression()), Feols()], seed=1)
    other = row_of("feols - meta-T", "ate", "coefficient less ate", differences(backwards).rows)
    assert abs(other.estimate + row.estimate) < 1e-12
    assert abs(other.std_error - row.std_error) < 1e-12


def test_shuffled_rows_and_renamed_clusters_change_nothing():
    order = np.random.default_rng(1).permutation(STUDY.n)
    first, second = TABLE.scores("meta-T"), TABLE.scores("feols")
    here = difference(ate(first), ate(second), first)
    moved = [
        Scores(each.gamma[order], cluster=[f"v{c}" for c in each.cluster[order]]) for each in (first, second)
    ]
    there = difference(ate(moved[0]), ate(moved[1]), moved[0])
    assert abs(here.std_error - there.std_error) < 1e-12


def test_a_subset_counts_its_own_clusters():
    first, second = TABLE.scores("meta-T"), TABLE.scores("feols")
    few = STUDY.cluster < 10
    rows = []
    for each in (first, second):
        part = ate(each.where(few))
        influence = np.zeros(STUDY.n)
        influence[few] = part.influence
        rows.append(part.with_(influence=influence))
    row = difference(*rows, first)
    expected = ate(Scores((first.gamma - second.gamma)[few], cluster=STUDY.cluster[few]))
    assert (row.df, row.n_obs) == (9, few.sum())
    assert abs(row.std_error - expected.std_error) < 1e-12


def test_without_influence_there_is_a_difference_and_no_error():
    posterior = Estimate("ate", 1.0, 0.1, engine="deep")
    row = difference(posterior, ate(TABLE.scores("feols")), TABLE.scores("feols"))
    assert np.isnan(row.std_error)
    assert np.isfinite(row.estimate)
    assert "deep holds no influence values" in row.note


def test_what_has_no_estimate_says_so():
    absent = Estimate.missing("ate", "it could not run", engine="grf")
    row = difference(absent, ate(TABLE.scores("feols")), TABLE.scores("feols"))
    assert row.note == "no estimate by grf: it could not run"


def test_the_same_rows_have_no_error():
    fit = TABLE.fits["meta-T"]
    copy = Given(fit.heldout, name="copy", held_out=True)
    table = compare(STUDY, [Meta("T", LinearRegression()), copy], seed=1)
    row = row_of("copy - meta-T", "ate", rows=differences(table).rows)
    assert row.estimate == 0
    assert np.isnan(row.p_value)
    assert "the same up to rounding" in row.note


def test_one_engine_or_a_table_from_a_file_is_refused():
    with pytest.raises(InvalidOption, match="need rows of two engines"):
        differences(compare(STUDY, [Feols()], seed=1))
    with pytest.raises(InvalidOption, match="Call compare"):
        differences(Table(TABLE.rows))


def test_a_panel_compares_slopes():
    study = study_of(n=600, fixed_effects="village", cluster="village")
    held = Feols().fit(study).heldout
    other = Given(
        {
            name: getattr(held, name) + (0.1 * study.covariates[:, 1] if name == "cate" else 0)
            for name in vars(held)
            if getattr(held, name) is not None
        },
        name="other",
        held_out=True,
    )
    rows = differences(compare(study, [Feols(), other], seed=0)).rows
    assert row_of("other - feols", "ape", rows=rows).std_error > 0
    assert row_of("other - feols", "ape", "ape less coefficient", rows=rows).std_error > 0


def test_the_paragraph_stands_under_the_table():
    table = differences(TABLE)
    assert str(table).endswith("miss something.")
    assert "<p>Each difference is paired" in table._repr_html_()
