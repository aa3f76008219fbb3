"""Statements about rows: the same figures as paired differences, contrasts and the delta method by hand, and sentences for what cannot be read."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hte_bridge as hb
from hte_bridge.errors import InvalidOption

TOLERANCE = 1e-12  # the same sums in another order


@pytest.fixture(scope="module")
def table():
    rng, n = np.random.default_rng(0), 200
    made = pd.DataFrame(
        {"x": rng.normal(size=n), "region": rng.choice(["old", "new", "far"], n), "g": np.arange(n) // 4}
    )
    made["d"] = rng.integers(0, 2, n)
    made["y"] = made["d"] * (1 + made["x"]) + rng.normal(size=n)
    study = hb.Study.from_frame(made, outcome="y", treatment="d", covariates=["x", "region"], cluster="g")
    held = hb.Feols().fit(study).heldout
    other = hb.HeldOut(held.cate + 0.3 * study.covariates[:, 0], held.outcome_mean, held.propensity)
    return hb.compare(study, [hb.Feols(), hb.Given(other, name="other", held_out=True)], seed=1)


def only(made):
    (row,) = made.rows
    return row


def test_two_engines_are_compared_as_differences_compares_them(table):
    row = only(table.hypothesis("ate[other] = ate[feols]"))
    pair = table.differences().where(estimand="ate", term="").rows[0]
    assert abs(row.estimate - pair.estimate) < TOLERANCE
    assert abs(row.std_error - pair.std_error) < TOLERANCE
    assert row.df == pair.df
    assert row.term == "ate[other] = ate[feols]"
    assert row.engine == "other, feols"


def test_one_row_against_a_number_keeps_its_own_error_and_law(table):
    for name in ("ate[feols]", "projection[feols, x]", "coefficient[feols, d]"):
        row = only(table.hypothesis(f"2 * {name} = 1"))
        estimand, _, inside = name.partition("[")
        own = next(
            each
            for each in table.rows
            if each.estimand == estimand
            and each.engine == "feols"
            and each.term in (inside.split(", ")[-1][:-1], "")
        )
        assert abs(row.std_error - 2 * own.std_error) < TOLERANCE * own.std_error
        assert row.df == own.df
        t = (2 * own.estimate - 1) / (2 * own.std_error)
        assert abs(row.p_value - 2 * stats.t.sf(abs(t), own.df)) < TOLERANCE


def test_groups_are_set_against_each_other_for_every_engine(table):
    groups = table.gate("region", joint=False)
    found = groups.hypothesis("gate[new] = 2 * gate[old]")
    assert [row.engine for row in found.rows] == ["feols", "other"]
    for row in found.rows:
        new, old = (
            next(
                each for each in groups.rows if each.engine == row.engine and each.term == f"region = {name}"
            )
            for name in ("new", "old")
        )
        assert abs(row.estimate - (new.estimate - 2 * old.estimate)) < TOLERANCE
        both = new.influence - 2 * old.influence
        totals = np.bincount(table.study.cluster, both)
        live = np.bincount(table.study.cluster, both != 0) > 0
        by_hand = np.sqrt(live.sum() / (live.sum() - 1) * (totals**2).sum())
        assert row.std_error == pytest.approx(by_hand, rel=0.02)  # each row counts its own clusters
        assert row.conf_low < row.estimate < row.conf_high


def test_a_curve_has_the_error_of_the_delta_method(table):
    ate = next(row for row in table.rows if (row.engine, row.estimand) == ("feols", "ate"))
    row = only(table.hypothesis("exp(ate[feols]) / 2 - 1"))
    assert abs(row.estimate - (np.exp(ate.estimate) / 2 - 1)) < TOLERANCE
    assert abs(row.std_error - np.exp(ate.estimate) / 2 * ate.std_error) < TOLERANCE
    att = next(row for row in table.rows if (row.engine, row.estimand) == ("feols", "att"))
    ratio = only(table.hypothesis("ate[feols] / att[feols] = 1"))
    line = only(
        table.hypothesis(
            f"ate[feols] * {1 / att.estimate!r} - att[feols] * {ate.estimate / att.estimate**2!r}"
        )
    )
    assert abs(ratio.std_error - line.std_error) < 1e-9


def test_several_statements_give_a_row_each_and_rows_have_numbers(table):
    found = table.hypothesis(["ate = att", "b1 = b2", "projection[feols, region[new]] = 0"])
    assert len(found.rows) == 4
    assert found.rows[2].term == "b1 = b2"
    quoted = table.hypothesis('projection[feols, "region[new]"] = 0')
    assert quoted.rows[0].estimate == found.rows[3].estimate
    assert "ate = att" in str(found)


def test_the_same_row_twice_is_no_difference(table):
    row = only(table.hypothesis("ate[feols] - ate[feols] = 0"))
    assert row.estimate == 0
    assert np.isnan(row.std_error)
    assert "the same up to rounding" in row.note


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("atee = 0", "`atee` is none"),
        ("1 = 2", "names none"),
        ("ate[feols] = ate[other] = 0", "more than one"),
        ("ate[feols", "does not close"),
        ("projection[feols] = 0", "must stand for one row"),
        ("ate[feols] > 0", "no part of a hypothesis"),
        ("__import__('os') = 0", "must name rows"),
        ("ate[feols].real", "attribute"),
        ("sin(ate[feols])", "must name rows"),
        ("b99 = 0", "none of"),
        ("", "empty"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(table, text, said):
    with pytest.raises(InvalidOption, match=said):
        table.hypothesis(text)


def test_a_row_without_influence_says_so(table):
    row = only(table.sensitivity().where(engine="feols").hypothesis("b1 = 0"))
    assert np.isnan(row.std_error)
    assert "no influence values" in row.note
