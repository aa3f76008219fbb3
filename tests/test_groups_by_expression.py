"""Groups by an expression on columns: the same rows as of a column made by hand, read by our grammar, unknown where it is unknown."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.errors import InvalidOption


@pytest.fixture(scope="module")
def table():
    rng, n = np.random.default_rng(0), 150
    made = pd.DataFrame(
        {"x": rng.normal(size=n), "age": rng.integers(20, 50, n), "town": rng.choice(list("ab"), n)}
    )
    made["d"] = rng.integers(0, 2, n)
    made.loc[:9, "x"] = np.nan
    made["y"] = made["d"] * (1 + made["x"].fillna(0)) + rng.normal(size=n)
    made["odd > name"] = made["age"] % 2
    return hb.compare(
        hb.Study.from_frame(made, outcome="y", treatment="d", covariates=["x", "age", "town"]), [hb.Feols()]
    )


def same(made, other):
    names = ["estimate", "std_error", "conf_low", "conf_high", "p_value", "df"]
    pd.testing.assert_frame_equal(made.to_frame()[names], other.to_frame()[names])


def test_a_condition_has_two_groups_and_unknown_rows_are_in_neither(table):
    frame = table.study.frame
    by_hand = np.where(frame["x"].isna(), None, np.where(frame["x"] > 0, "z", "a"))
    made = table.gate("x > 0")
    assert [row.term for row in made.rows] == ["not (x > 0)", "x > 0", "equal"]
    same(made, table.gate(by_hand))
    (row,) = made.hypothesis("gate[x > 0] = gate[not (x > 0)]").rows
    assert row.estimate == pytest.approx(made.rows[1].estimate - made.rows[0].estimate)


def test_what_is_divided_by_zero_is_in_no_group(table):
    assert [row.term for row in table.gate("x // (x > 0)").rows if row.n_obs]
    assert not [row.term for row in table.gate("x // 0").rows if row.n_obs]


def test_numbers_of_few_values_are_groups_and_many_are_cut(table):
    made = table.gate("age // 10")
    assert [row.term for row in made.rows] == ["age // 10 = 2", "age // 10 = 3", "age // 10 = 4", "equal"]
    same(made, table.gate(table.study.frame["age"] // 10))
    same(table.gate("age * 2", bins=[60]), table.gate(table.study.frame["age"] * 2, bins=[60]))
    assert len(table.gate("x + age").rows) == 5


def test_a_column_of_such_a_name_is_the_column(table):
    same(table.gate("odd > name"), table.gate(table.study.frame["odd > name"]))
    assert len(table.gate("age > 30 and town == 'a'").rows) == 3


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("x > ", "cannot be read"),
        ("1 + 1", "names no column"),
        ("agee // 10", "age"),
        ("__import__('os').system('x')", "by"),
        ("age.real", "attribute"),
        ("agee", "must be a column"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(table, by, said):
    with pytest.raises(InvalidOption, match=said):
        table.gate(by)
