"""Agreement of two engines: figures by hand, a tree that finds where they part, errors that allow for clusters."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from hte_bridge import Feols, Folds, compare
from hte_bridge.between.agreement import agreement, rules, top
from hte_bridge.engines.given import Given
from hte_bridge.engines.meta import Meta
from hte_bridge.errors import InvalidOption
from hte_bridge.estimands.ties import without_offsets
from tests.helpers.studies import study_of

STUDY = study_of(n=1_000, cluster="village")
HELD = Feols().fit(STUDY).heldout
X1 = STUDY.frame["x1"].to_numpy()


def columns(cate, name):
    held = {"cate": cate, "outcome_mean": HELD.outcome_mean, "propensity": HELD.propensity}
    return Given(held, name=name, held_out=True)


def agreed(one, two, **options):
    return agreement(compare(STUDY, [columns(one, "a"), columns(two, "b")], seed=1), **options)


def row_of(table, estimand, term=""):
    return next(row for row in table.rows if (row.estimand, row.term) == (estimand, term))


TAU = 1 + X1
OTHER = TAU + 2.0 * (X1 > 0.5) + 0.1 * np.random.default_rng(1).normal(size=STUDY.n)
TABLE = agreed(TAU, OTHER)


def test_figures_are_those_by_hand():
    fold = Folds.make(STUDY, 5, 1).fold
    inside = [each - np.array([each[fold == k].mean() for k in range(5)])[fold] for each in (TAU, OTHER)]
    assert abs(row_of(TABLE, "correlation").estimate - np.corrcoef(*inside)[0, 1]) < 1e-12
    signs = [np.sign(each + whole.mean()) for each, whole in zip(inside, (TAU, OTHER), strict=True)]
    assert abs(row_of(TABLE, "same_sign").estimate - np.mean(signs[0] == signs[1])) < 1e-12
    tops = []
    for each in (TAU, OTHER):
        taken = np.zeros(STUDY.n)
        for k in range(5):
            rows = np.flatnonzero(fold == k)
            taken[rows[np.argsort(-each[rows])]] = np.clip(len(rows) / 5 - np.arange(len(rows)), 0, 1)
        tops.append(taken)
    both = np.minimum(*tops)
    assert abs(row_of(TABLE, "top_fifth", "overlap").estimate - both.sum() / tops[0].sum()) < 1e-9
    assert row_of(TABLE, "top_fifth", "both").n_obs == round(both.sum())


def test_the_error_of_a_correlation_is_that_of_its_jackknife():
    values = []
    fold = Folds.make(STUDY, 5, 1).fold
    inside = [without_offsets(each, fold, STUDY.weight) for each in (TAU, OTHER)]
    for village in range(40):
        keep = STUDY.cluster != village
        values.append(np.corrcoef(inside[0][keep], inside[1][keep])[0, 1])
    jackknife = (39 / 40 * np.sum((np.array(values) - np.mean(values)) ** 2)) ** 0.5
    row = row_of(TABLE, "correlation")
    assert "it is no test that effects differ" in row.note
    assert abs(row.std_error / jackknife - 1) < 0.15  # the two differ in second order, 40 clusters
    assert row.df == 39


def test_the_tree_finds_where_they_part():
    rows = [row for row in TABLE.rows if row.estimand == "parting"]
    assert rows[0].term.startswith("x1 > 0.")
    assert abs(rows[0].estimate - 2) < 0.1
    assert rows[0].engine == "b - a"
    assert "doubly robust effect there" in rows[0].note
    assert sum(row.n_obs for row in rows) == 400  # two of five folds measure what three have found
    assert "They part most where x1 > 0." in TABLE.reading


def test_engines_that_differ_by_nothing_have_one_leaf():
    table = agreed(TAU, TAU + 0.0)
    rows = [row for row in table.rows if row.estimand == "parting"]
    assert [row.term for row in rows] == ["everyone"]
    assert abs(row_of(table, "top_fifth", "overlap").estimate - 1) < 1e-12
    assert row_of(table, "top_fifth", "b alone").note == "no unit is in this group"
    assert "They part" not in table.reading
    assert np.isnan(row_of(table, "same_sign").std_error)


def test_a_rule_says_each_bound_once():
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(500, 2))
    tree = DecisionTreeRegressor(max_depth=2, random_state=0).fit(
        x, 3.0 * (x[:, 0] > 0.3) + 2.0 * (x[:, 0] > 0.7)
    )
    found = sorted(rules(tree, ["age", "sex"]).values())
    assert [rule.count("age") for rule in found] == [1, 1, 1]
    assert any(" < age <= " in rule for rule in found)


def test_a_flat_effect_has_no_correlation():
    table = agreed(TAU, np.ones(STUDY.n))
    assert np.isnan(row_of(table, "correlation").estimate)
    assert "one of them does not differ within folds" in table.reading


def test_depth_is_a_whole_number_and_two_engines_are_needed():
    with pytest.raises(InvalidOption, match="`depth` must be a whole number"):
        agreed(TAU, OTHER, depth=0)
    with pytest.raises(InvalidOption, match="need two with held-out predictions"):
        agreement(compare(STUDY, [Feols()], seed=1))


def test_the_top_fifth_is_of_weight():
    weight = np.array([4.0, 1, 1, 1, 1, 1, 1])  # a fifth of ten is two
    one_fold = np.zeros(7, dtype=int)
    assert top(np.arange(7.0), one_fold, weight).tolist() == [0.0] * 5 + [1.0, 1.0]
    assert top(-np.arange(7.0), one_fold, weight).tolist() == [0.5] + [0.0] * 6  # half of the heavy unit
    tied = np.array([1.0, 1, 1, 1, 1, 0, 0])  # eight of ten share a fifth
    assert top(tied, one_fold, weight).tolist() == [0.25] * 5 + [0.0] * 2


def test_panels_and_doses_agree_too():
    for study in (study_of(n=400, dose=True), study_of(n=400, fixed_effects="village", cluster="village")):
        held = Feols().fit(study).heldout
        mine = {name: getattr(held, name) for name in vars(held)}
        table = compare(
            study, [Feols(), Given(mine | {"cate": held.cate * 2}, name="twice", held_out=True)], seed=0
        )
        assert abs(row_of(agreement(table), "correlation").estimate - 1) < 1e-12
    binary = study_of(n=400)
    table = compare(binary, [Feols(), Meta("T", LinearRegression()), Meta("R", LinearRegression())], seed=1)
    assert len({row.engine for row in agreement(table).rows}) == 6


def test_an_engine_agrees_with_itself_without_a_p_value():
    for other in (TAU, TAU + 1e-15, 3 * TAU):
        row = row_of(agreed(TAU, other), "correlation")
        assert row.estimate == 1.0
        assert np.isnan([row.std_error, row.p_value]).all()
    parting = row_of(agreed(TAU, TAU * (1 + 1e-16)), "parting", "everyone")
    assert parting.estimate == 0.0
    assert np.isnan(parting.p_value)
