"""What an adoption's columns must hold: a sentence each, and what is dropped is counted."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.cli import app
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified

ROLES = {"outcome": "y", "unit": "id", "period": "t", "first_treated": "g"}


def panel(n=60, periods=4, starts=(0, 3, 4)):
    rng = np.random.default_rng(1)
    unit, period = np.repeat(np.arange(n), periods), np.tile(np.arange(1, periods + 1), n)
    start = np.array(starts)[unit % len(starts)]
    y = rng.normal(size=n)[unit] + period / 2 + (period >= start) * (start > 0) + rng.normal(size=n * periods)
    return pd.DataFrame({"id": unit, "t": period, "g": start, "y": y, "x": rng.normal(size=n)[unit]})


def study(frame, **options):
    return hb.Study.from_frame(frame, **(ROLES | options))


def only(table, estimand):
    return {row.term: row for row in table.where(estimand=estimand).rows}


def changed(**columns):
    return panel().assign(**columns)


def ends(frame):
    return frame.assign(g=frame["g"].where(~((frame["id"] == 1) & (frame["t"] == 4)), 0))


SENTENCES = {
    "duplicate unit and period": (
        lambda: study(pd.concat([panel(), panel().head(2)])),
        InvalidData,
        "A unit must have one row a period. 2 rows repeat one; the first is `id` 0 in `t` 1",
    ),
    "a start that varies": (
        lambda: study(ends(panel())),
        InvalidData,
        "must be the same in all rows of a unit. `g` varies within 1 units; the first is `id` 1. A treatment that ends",
    ),
    "a dummy in place of the start": (
        lambda: study(panel().assign(g=lambda df: ((df["t"] >= df["g"]) & (df["g"] > 0)).astype(int))),
        InvalidData,
        "It looks like the treatment itself",
    ),
    "a treatment of a unit that never adopts": (
        lambda: study(panel().assign(d=1), treatment="d"),
        InvalidData,
        "of unit 0 is 1 in 1, and the unit is never treated",
    ),
    "anticipation longer than the panel": (
        lambda: study(panel(), anticipation=5),
        NotIdentified,
        "after the first period and the 5 in which treatment may be foreseen",
    ),
    "a treatment that ends": (
        lambda: study(
            panel().assign(d=lambda df: ((df["t"] == df["g"]) & (df["g"] > 0)).astype(int)), treatment="d"
        ),
        InvalidData,
        "A treatment that ends is no adoption",
    ),
    "one period": (
        lambda: study(panel().query("t == 2")),
        InvalidData,
        "two periods or more. `t` has one, 2",
    ),
    "nobody adopts": (
        lambda: study(changed(g=0)),
        NotIdentified,
        "Some unit must adopt after the first period",
    ),
    "everybody from the start": (
        lambda: study(changed(g=1)),
        InvalidData,
        "Some units must be untreated in the first period",
    ),
    "no never treated": (
        lambda: study(panel(starts=(3, 4)), controls="never"),
        NotIdentified,
        "No unit of `g` is never treated",
    ),
    "all at once": (
        lambda: study(panel(starts=(3,))),
        NotIdentified,
        "All units of `g` are first treated in one period",
    ),
    "text": (
        lambda: study(panel().assign(t=lambda df: "y" + df["t"].astype(str))),
        InvalidData,
        "numbers or dates",
    ),
    "text outcome": (lambda: study(changed(y="a")), InvalidData, "`outcome` must be numeric"),
    "two clocks": (
        lambda: study(panel().assign(t=lambda df: pd.to_datetime(df["t"], unit="D"))),
        InvalidData,
        "on one clock. `t` holds dates and `g` numbers",
    ),
    "a unit in two clusters": (
        lambda: study(panel().assign(c=lambda df: df["t"] % 2), cluster="c"),
        InvalidData,
        "A unit must lie in one cluster. `c` varies within 60 units",
    ),
    "zero as a period": (
        lambda: study(panel().assign(t=lambda df: df["t"] - 1, g=lambda df: df["g"].replace(4, np.nan))),
        InvalidData,
        "`first_treated` 0 must mean never treated",
    ),
    "minus one for never": (
        lambda: study(panel().assign(g=lambda df: df["g"].replace(0, -1))),
        InvalidData,
        "`g` holds -1 where periods begin in 1: it reads like a code for never",
    ),
    "a word for never": (
        lambda: study(panel().assign(g=lambda df: df["g"].astype(object).where(df["g"] > 0, "never"))),
        InvalidData,
        "numbers that count periods, missing for never",
    ),
    "two clusters": (
        lambda: study(panel().assign(c=1), cluster=["c", "x"]),
        InvalidOption,
        "`cluster` of an adoption must name one column. 2 were given: c, x.",
    ),
    "other controls": (lambda: study(panel(), controls=["x"]), InvalidOption, "'not_yet' or 'never'"),
    "anticipation": (
        lambda: study(panel(), anticipation=-1),
        InvalidOption,
        "`anticipation` must be a number of periods",
    ),
    "weights": (lambda: study(panel(), weight="x"), InvalidOption, "must have no `weight`"),
    "no period": (
        lambda: hb.Study.from_frame(panel(), outcome="y", unit="id", first_treated="g"),
        InvalidOption,
        "`period` was not given",
    ),
    "no such column": (lambda: study(panel(), first_treated="gg"), InvalidData, "The nearest is `g`"),
    "two roles": (lambda: study(panel(), covariates=["y"]), InvalidData, "`y` is `outcome` and `covariates`"),
    "a covariate that is constant": (
        lambda: study(changed(x="a"), covariates=["x"]),
        InvalidData,
        "must vary",
    ),
    "no treatment at all": (
        lambda: hb.Study.from_frame(panel(), outcome="y", covariates=["x"]),
        InvalidData,
        "`treatment` must name a column",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_bad_input_is_a_sentence(case):
    ask, error, sentence = SENTENCES[case]
    with pytest.raises(error) as raised:
        ask()
    assert sentence in str(raised.value)


def test_treated_in_the_first_period_are_dropped_and_counted():
    frame = panel().assign(g=lambda df: df["g"].mask(df["id"] < 6, 1))
    made = study(frame)
    assert made.n == 54
    assert dict(made.dropped) == {"treated in the first period": 24}
    assert any("6 units of 60 are treated by 1, the first period" in each for each in made.notes)
    assert study(frame, anticipation=2).dropped["treated in the first period"] > 24


def test_gaps_are_kept_and_a_cell_uses_what_it_has():
    frame = panel()
    holes = frame.drop(index=frame.query("id < 5 and t == 2").index)
    missing = frame.assign(y=frame["y"].mask((frame["id"] < 5) & (frame["t"] == 2)))
    by_rows, by_values = (hb.compare(study(each), [hb.Feols()]) for each in (holes, missing))
    assert [row.estimate for row in by_rows.rows] == [row.estimate for row in by_values.rows]
    sizes = {(cell.cohort, cell.time): len(cell.units) for cell in study(holes).cells}
    assert sizes[3, 3] == 55 - 0  # base 2: five units are not seen
    assert sizes[4, 4] == 40
    assert any("5 of 240 pairs of unit and period are not seen" in each for each in study(holes).notes)
    assert study(missing).dropped == {"missing outcome y": 5}


def test_never_is_missing_infinite_or_zero_and_it_is_said():
    zero = study(panel())
    assert any("0 in `g` is taken as never treated" in each for each in zero.notes)
    expected = [row.estimate for row in hb.compare(zero, [hb.Feols()]).rows]
    for never in (np.nan, np.inf, 99):
        other = study(panel().assign(g=lambda df, never=never: df["g"].astype(float).replace(0, never)))
        assert [row.estimate for row in hb.compare(other, [hb.Feols()]).rows] == expected


def test_never_may_be_a_gap_among_whole_numbers(tmp_path):
    """Readers of CSV files and of Arrow keep such a column whole, with gaps of pandas' own, which are neither 0 nor not."""
    frame = panel().assign(g=lambda df: df["g"].replace(0, np.nan))
    frame.to_csv(tmp_path / "a.csv", index=False)
    nullable = frame.astype({"g": "Int64"})
    for data in (nullable, tmp_path / "a.csv"):
        assert np.array_equal(study(data).cohort, study(frame).cohort)


def test_units_of_unknown_cluster_are_dropped_and_counted():
    """They were one cluster more, under the name of the last."""
    frame = panel().assign(v=lambda df: (df["id"] // 6).where(df["id"] >= 6).astype("Int64"))
    for village in (frame["v"], frame["v"].astype(object).where(frame["v"].notna(), " ")):
        made = study(frame.assign(v=village), cluster="v")
        assert made.n == 54
        assert made.n_clusters == 9
        assert made.dropped == {"missing cluster v": 24}


def test_names_and_order_of_units_move_no_lot_and_levels_without_units_have_no_group():
    frame = panel().assign(town=lambda df: np.where(df["id"] % 4 < 2, "a", "b"))
    towns = pd.Categorical(frame["town"], categories=["never", "a", "b"])
    plain, other = (
        hb.compare(study(each, covariates=["x"]), [hb.Feols()], seed=1)
        for each in (frame, frame.assign(id=[f"u{900 - k}" for k in frame["id"]], town=towns))
    )
    for one, two in ((plain.bands(), other.bands()), (plain.gate("town"), other.gate("town"))):
        assert [row.term for row in one.rows] == [row.term for row in two.rows]
        assert np.allclose(
            *[[row.p_value for row in each.rows] for each in (one, two)], rtol=1e-9, atol=0, equal_nan=True
        )


def test_labels_by_row_are_found_by_row_in_any_order():
    """The rows' labels 0 to 59 are units' too: groups of a Series in another order were those of other rows."""
    frame = panel().assign(town=lambda df: np.where(df["id"] % 4 < 2, "a", "b"))
    table = hb.compare(study(frame, covariates=["x"]), [hb.Feols()], seed=1)
    turned = table.gate(frame["town"].sample(frac=1.0, random_state=1))
    assert [row.estimate for row in turned.rows[:2]] == [row.estimate for row in table.gate("town").rows[:2]]


def test_dates_count_by_their_place():
    frame = panel()
    day = pd.Series(
        pd.to_datetime(["2001-01-31", "2001-04-30", "2001-07-31", "2001-10-31"]), index=[1, 2, 3, 4]
    )
    dated = study(frame.assign(t=frame["t"].map(day), g=frame["g"].map(day)))
    rows = only(hb.compare(dated, [hb.Feols()]), "att_gt")
    plain = only(hb.compare(study(frame), [hb.Feols()]), "att_gt")
    assert rows["2001-07-31, 2001-10-31"].estimate == plain["3, 4"].estimate
    assert "1" in only(hb.compare(dated, [hb.Feols()]), "att_event")


def test_cohorts_of_one_unit_have_an_estimate_without_an_interval():
    frame = panel().assign(g=lambda df: df["g"].mask(df["id"] == 0, 2))
    row = only(hb.compare(study(frame), [hb.Feols()]), "att_gt")["2, 2"]
    assert np.isfinite(row.estimate)
    assert np.isnan(row.conf_low)
    assert "no interval" in row.note


def test_a_cell_without_comparison_units_has_a_row_that_says_so():
    frame = panel(starts=(0, 3, 4))
    gone = frame.drop(index=frame.query("g == 0 and t == 4").index)
    rows = only(hb.compare(study(gone, controls="never"), [hb.Feols()]), "att_gt")
    assert np.isnan(rows["4, 4"].estimate)
    assert "no unit is left to compare with" in rows["4, 4"].note
    assert np.isfinite(rows["3, 3"].estimate)


def test_without_never_treated_the_last_cohort_serves_as_comparison():
    made = study(panel(starts=(2, 3, 4)))
    assert made.own.tolist() == [2.0, 3.0]
    assert made.periods.tolist() == [1.0, 2.0, 3.0]
    assert any("no unit is untreated from 4 on" in each for each in made.notes)


def test_covariates_that_move_count_at_the_base_and_it_is_said():
    frame = panel()
    moved = frame.assign(x=frame["x"] + 5 * (frame["t"] >= frame["g"]) * (frame["g"] > 0))
    made = study(moved, covariates=["x"])
    assert any("`x` moves within units" in each for each in made.notes)
    own, same = (hb.compare(each, [hb.Feols()]) for each in (made, study(frame, covariates=["x"])))
    assert only(own, "att_gt")["3, 3"].estimate == only(same, "att_gt")["3, 3"].estimate


def test_covariates_that_tell_adopters_apart_lose_the_cell_and_say_why():
    frame = panel().assign(x=lambda df: (df["g"] == 3) * 10.0 + df["x"] / 100)
    row = only(hb.compare(study(frame, covariates=["x"]), [hb.Feols()]), "att_gt")["3, 3"]
    assert np.isnan(row.estimate)
    assert "covariates tell adopters from comparison units" in row.note


def test_questions_that_cannot_be_asked():
    table = hb.compare(study(panel()), [hb.Feols()], estimands=["att_simple"])
    with pytest.raises(InvalidOption, match="must name an engine that ran"):
        table.cate(panel(), "grf")
    with pytest.raises(InvalidOption, match="`between` must be one of"):
        table.differences("terms")
    with pytest.raises(InvalidOption, match="Differences need rows of two engines"):
        table.differences()
    with pytest.raises(InvalidOption, match="`by` must be a column's name"):
        table.gate([1, 2])
    with pytest.raises(InvalidOption, match="`of` must be one of att_gt"):
        table.gate("x", of="att")
    assert "needs covariates" in table.gates(2).rows[0].note
    assert [row.estimand for row in table.rows] == ["att_simple"]
    with pytest.raises(InvalidOption, match="must be among coefficient, att_gt"):
        hb.compare(study(panel()), [hb.Feols()], estimands=["ate"])
    with pytest.raises(InvalidOption, match="`adoption` must be"):
        hb.Feols(adoption="ols")


def test_from_the_shell(tmp_path):
    from typer.testing import CliRunner

    panel().to_csv(tmp_path / "panel.csv", index=False)
    roles = ["--outcome", "y", "--unit", "id", "--period", "t", "--first-treated", "g"]
    asked = [
        "compare",
        str(tmp_path / "panel.csv"),
        *roles,
        "--engines",
        "feols",
        "--out",
        str(tmp_path / "out"),
    ]
    said = CliRunner().invoke(app, [*asked, "--controls", "never"])
    assert said.exit_code == 0, said.output
    assert "att_event" in said.output
    names = {each.name for each in (tmp_path / "out").iterdir()}
    assert names == {"table.csv", "table.parquet", "table.tex", "table.md", "report.html", "event_times.png"}


def test_columns_of_the_user_s_are_never_those_of_the_stack():
    """A covariate called as the stack calls the change was the change: effects were zero, with errors of zero."""
    frame = panel()
    plain = hb.compare(study(frame, covariates=["x"]), [hb.Feols()], estimands=["att_gt"])
    for name in ("change of y", "cohort of g", "t since g", "adopts in g", "cluster of id"):
        other = study(frame.rename(columns={"x": name}), covariates=[name])
        found = hb.compare(other, [hb.Feols()], estimands=["att_gt"])
        assert [row.estimate for row in found.rows] == [row.estimate for row in plain.rows], name


def test_categories_of_numbers_or_dates_are_read_as_what_they_stand_for():
    frame = panel()
    day = pd.to_datetime(pd.Series({t: f"200{t}-01-01" for t in range(1, 5)}))
    dated = frame.assign(t=pd.Categorical(frame["t"].map(day)), g=pd.Categorical(frame["g"].map(day)))
    numbered = frame.assign(t=pd.Categorical(frame["t"]), g=pd.Categorical(frame["g"].replace(0, np.nan)))
    for each in (dated, numbered):
        assert np.array_equal(study(each).cells[-1].change, study(frame).cells[-1].change)
    assert study(numbered).clock.text(3.0) == "3"
    assert study(dated).clock.text(2.0) == "2003-01-01"


def test_one_cluster_may_stand_in_a_list():
    frame = panel().assign(c=lambda df: df["id"] // 4)
    assert study(frame, cluster=["c"]).n_clusters == 15
