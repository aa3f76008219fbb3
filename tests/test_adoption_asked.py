"""An adoption's verbs: aggregations of some units, expressions as groups, and sentences for what it does not answer."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.comparison import Comparison
from hte_bridge.errors import InvalidData, InvalidOption
from hte_bridge.serve.session import Session
from hte_bridge.staggered.asked import INSTEAD

ROLES = {"outcome": "y", "unit": "id", "period": "t", "first_treated": "g", "covariates": ["x"]}


def panel(n=90, periods=4):
    rng = np.random.default_rng(5)
    unit, period = np.repeat(np.arange(n), periods), np.tile(np.arange(1, periods + 1), n)
    start, x = np.array([0, 3, 4])[unit % 3], rng.normal(size=n)[unit]
    gain = (period >= start) * (start > 0) * (1 + (x > 0))
    y = rng.normal(size=n)[unit] + period / 2 + gain + rng.normal(size=n * periods)
    return pd.DataFrame({"id": unit, "t": period, "g": start, "y": y, "x": x, "old": (x > 0).astype(int)})


@pytest.fixture(scope="module")
def table():
    return hb.compare(hb.Study.from_frame(panel(), **ROLES), [hb.Feols()], estimands=["att_simple"])


def said(rows):
    return [(row.term, row.estimate, row.std_error, row.df) for row in rows]


def test_each_aggregation_is_a_verb_and_the_row_that_compare_makes(table):
    whole = hb.compare(table.study, [hb.Feols()])
    for of in ("att_gt", "att_event", "att_group", "att_calendar", "att_simple"):
        assert said(getattr(table, of)().rows) == said(whole.where(estimand=of).rows)
        assert said(table.estimand(of).rows) == said(table.average(of).rows)
        assert of in dir(table)


def test_an_aggregation_of_some_units_is_that_of_their_group(table):
    by_group = {row.term: row for row in table.gate("old", of="att_event", joint=False).rows}
    for row in table.att_event("old == 1").rows:
        own = by_group[row.term.replace("old == 1", "old = 1")]
        assert (row.estimate, row.std_error, row.df) == (own.estimate, own.std_error, own.df)
    units = panel().drop_duplicates("id").set_index("id")["old"]
    for where in (units, units == 1, units.sample(frac=1, random_state=1), panel()["old"] == 1):
        assert said(table.att_simple(where, term="old == 1").rows) == said(table.att_simple("old == 1").rows)
    assert table.att_simple(units == 1).rows[0].term == "subset"


def test_units_whose_condition_is_unknown_are_counted_and_in_neither(table):
    units = pd.Series(np.where(np.arange(90) < 4, np.nan, 1.0), index=np.arange(90))
    row = table.att_simple(units).rows[0]
    assert "4 units whose condition is unknown before some treatment are in neither" in row.note
    assert row.n_obs == 86


def test_groups_may_be_expressions(table):
    columns, computed = table.gate("old").rows, table.gate("x > 0").rows
    assert [row.estimate for row in columns[:2]] == [row.estimate for row in computed[:2]]
    assert [row.term for row in computed[:3]] == ["not (x > 0)", "x > 0", "x > 0 - not (x > 0)"]
    assert table.differences("groups", by="x > 0").rows[0].p_value == columns[2].p_value
    assert table.pretrends(by="x > 0").rows[0].p_value == table.pretrends(by="old").rows[0].p_value
    assert len(table.gate("x // 1").rows) > 3
    assert table.plot(by="x > 0").get_legend() is not None


@pytest.mark.parametrize(
    ("ask", "kind", "sentence"),
    [
        (lambda t: t.gate("x > nothing"), InvalidOption, "`nothing` is not one of the columns"),
        (lambda t: t.gate("nothing"), InvalidOption, "The columns are `id`, `t`, `g`, `y`, `x`, `old`."),
        (lambda t: t.gate("x >"), InvalidOption, "`x >` cannot be read"),
        (lambda t: t.average("ate"), InvalidOption, "`estimand` must be one of att_gt"),
        (lambda t: t.att_simple("x > 99"), InvalidData, "`where` must take at least one unit. None of 90"),
        (lambda t: t.att_simple(np.ones(90)), InvalidOption, "`where` must be a column's name"),
        (
            lambda t: t.att_simple(pd.Series(np.full(90, 2.0))),
            InvalidData,
            "`where` must hold yes or no",
        ),
    ],
)
def test_bad_questions_get_a_sentence(table, ask, kind, sentence):
    with pytest.raises(kind) as error:
        ask(table)
    assert sentence in str(error.value)


def test_after_a_file_only_the_user_s_columns_are_named(table, tmp_path):
    loaded = hb.load(table.save(tmp_path / "t.hte", columns=["old"]))
    assert said(loaded.gate("x > 0").rows) == said(table.gate("x > 0").rows)
    with pytest.raises(InvalidOption) as error:
        loaded.gate("nothing")
    assert "cohort" not in str(error.value)
    assert "`old`" in str(error.value)
    with pytest.raises(InvalidOption, match="is not one of the columns"):
        loaded.projection("adopts")


def test_what_an_adoption_does_not_answer_says_what_does(table):
    """``table.rate()`` ended in a plain AttributeError; from R ``race`` ended in a fault."""
    for name in INSTEAD:
        assert not hasattr(table, name)
        with pytest.raises(
            InvalidOption, match=f"`{name}` must be asked of a treatment at one time"
        ) as error:
            getattr(table, name)
        with pytest.raises(InvalidOption, match="This table is of an adoption"):
            Session(None).verb(table, name, {})
        for asked in ("gates", "bands", "cate", "pretrends", "differences", "att_simple"):
            assert f"`{asked}(" not in str(error.value) or hasattr(table, asked)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        table.nonsense()


def test_every_verb_of_other_comparisons_is_one_of_its_own_or_says_why_not(table):
    for name in dir(Comparison):
        if not name.startswith("_") and callable(getattr(Comparison, name)) and not hasattr(table, name):
            with pytest.raises(InvalidOption, match="This table is of an adoption"):
                getattr(table, name)
