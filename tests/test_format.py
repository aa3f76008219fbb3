"""Printed tables: every figure, note and version is there, in every format, and nothing is lost to its width."""

import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from maketables import ETable

from hte_bridge.format import WIDTH, shorten, to_html, to_latex, to_markdown, to_text
from hte_bridge.format.figures import DASH, Figures, figures
from hte_bridge.format.layout import layout
from hte_bridge.table import Estimate, Table

ENGINES = ("feols", "grf", "deep")
META = {
    "n": 2830,
    "n_clusters": 119,
    "cluster": "villnum",
    "treated_share": 0.78,
    "propensity": {"feols": [0.012, 0.86], "grf": [0.3, 0.9]},
    "folds": 5,
    "seed": 7,
    "names": {"outcome": "got", "treatment": "any", "covariates": ["age", "hiv_2004"], "fixed_effects": []},
    "dropped": {"missing outcome got": 1926, "missing age": 64},
    "warnings": ["feols: overlap is weak; `ato` stays valid"],
    "notes": {"grf": ["few trees"]},
    "versions": {"grf": "2.6.1", "numpy": "2.4", "R": "4.2.2"},
}


def table():
    rows = []
    for engine in ENGINES:
        note = "few trees" if engine == "grf" else ""
        rows += [
            Estimate("ate", 0.4481, 0.0217, engine=engine, df=118, vcov="CRV1 (villnum)", note=note),
            Estimate(
                "projection", 1794.34, 670.82, term="hiv_2004", engine=engine, df=118, vcov="HC3", note=note
            ),
        ]
    rows.append(Estimate.missing("att", "no overlap", engine="grf").with_(note="few trees"))
    rows.append(Estimate.missing("projection", "F test", term="joint", engine="deep", test=(0.796, 0.53)))
    return Table(tuple(rows), META)


WRITERS = {"text": to_text, "markdown": to_markdown, "latex": to_latex, "html": to_html}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_format_holds_every_figure_note_and_version(write):
    text = (
        re.sub(r"\s+", " ", write(table(), long=True))
        .replace("{}", "")
        .replace(r"\_", "_")
        .replace(r"\%", "%")
    )
    figures = ["0.4481", "0.0217", "[0.4051, 0.4911]", "1,794.3", "670.8", "0.530", "statistic 0.796"]
    said = [
        "n = 2,830",
        "119 clusters (villnum)",
        "treated 78.0%",
        "1,990 rows dropped",
        "0.012 to 0.860 (feols)",
    ]
    said += ["5 folds, seed 7", "grf 2.6.1", "No overlap", "Few trees", "overlap is weak", "118 df", "HC3"]
    for each in figures + said:
        assert each in text


def test_engines_stand_side_by_side_whatever_the_order_of_rows():
    cells = layout(table()).cells
    assert [row[:3] for row in cells[:3]] == [(engine, "ate", "") for engine in ENGINES]
    shuffled = Table(tuple(table().rows[i] for i in (4, 2, 0, 1, 3, 5, 6, 7)), META)
    assert [row[0] for row in layout(shuffled).cells[:3]] == list(reversed(ENGINES))


def test_a_note_said_by_several_rows_is_one_footnote():
    made = layout(table())
    assert made.footnotes.count("Few trees.") == 1
    marked = [row[0] for row, marks in zip(made.cells, made.marks, strict=True) if marks]
    assert marked == ["grf", "grf", "deep", "grf"]


def test_text_fits_the_page_and_keeps_every_figure_of_long_names():
    long = Estimate("projection", -12345.678, 678.9, term="a" * 60 + "_tail", engine="a long label", df=9)
    lines = to_text(Table((*table().rows, long), META), long=True).splitlines()
    assert max(map(len, lines)) <= WIDTH
    at = next(k for k, line in enumerate(lines) if "-12,345.7" in line)
    label = "".join(line[lines[0].index("term") :].split("  ")[0] for line in lines[at : at + 9])
    assert label.startswith(long.term)  # wrapped, nothing of it lost


def test_decimal_points_stand_under_one_another():
    rows = [
        line
        for line in to_text(table(), long=True).splitlines()
        if line.startswith(ENGINES) and " ate " in line
    ]
    rows += [line for line in to_text(table(), long=True).splitlines() if "1,794.3" in line]
    assert len({re.search(r"\d\.\d", line).start() for line in rows}) == 1


def test_engines_share_decimals_and_small_errors_keep_three_figures():
    rows = [Estimate("ate", 1.0, 0.00123, engine="a"), Estimate("ate", 1.0, 0.5, engine="b")]
    assert figures(rows) == [Figures(5), Figures(5)]
    assert figures([Estimate("ate", 1794.0, 671.0)]) == [Figures(1)]


def printed(estimate, std_error):
    return layout(Table((Estimate("ate", estimate, std_error),))).cells[0][3:6]


@pytest.mark.parametrize(
    ("estimate", "std_error", "cells"),
    [
        (1.168e-9, 1.70e-10, ("1.168e-09", "0.170e-09", "[0.835e-09, 1.501e-09]")),
        (8.48120609753e11, 1.363e11, ("8.48e+11", "1.36e+11", "[5.81e+11, 11.15e+11]")),
        (-3.2e-310, 1e-311, ("-3.200e-310", "0.100e-310", "[-3.396e-310, -3.004e-310]")),
        (1.7e308, 1e307, ("1.700e+308", "0.100e+308", DASH)),
        (0.0, 2e-6, ("0.00e-06", "2.00e-06", "[-3.92e-06, 3.92e-06]")),
        (0.5, 1.2e-8, ("0.500000", "1.20e-08", "[0.500000, 0.500000]")),
        (123_456_789.12, 5_432.1, ("123,456,789.1", "5,432.1", "[123,446,142.4, 123,467,435.8]")),
        (0.00023, 0.00011, ("0.000230", "0.000110", "[0.000014, 0.000446]")),
    ],
)
def test_numbers_read_at_any_magnitude(estimate, std_error, cells):
    assert tuple(printed(estimate, std_error)) == cells


@pytest.mark.parametrize("power", range(-300, 300, 7))
def test_estimate_and_error_are_read_back_to_three_digits_at_any_magnitude(power):
    shown = printed(4.56 * 10.0**power, 1.23 * 10.0**power)
    for text, value in zip(shown, (4.56, 1.23), strict=False):
        assert float(text.replace(",", "")) == pytest.approx(value * 10.0**power, rel=0.005)
    assert len(shown[0]) <= 13


def test_an_engine_at_another_magnitude_keeps_its_own_figures():
    rows = (Estimate("ate", 0.45, 0.02, engine="feols"), Estimate("ate", 3e12, 1e11, engine="astray"))
    assert [row[3] for row in layout(Table(rows)).cells] == ["0.4500", "3.000e+12"]


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_points_stand_under_one_another_at_any_magnitude(scale):
    rows = tuple(
        Estimate("ate", each * scale, 0.1 * scale, engine=name) for name, each in (("a", 1.0), ("b", -12.0))
    )
    lines = to_text(Table(rows), long=True).splitlines()[2:4]
    assert len({re.search(r"\d\.\d", line).start() for line in lines}) == 1


def test_what_is_not_a_number_is_a_dash():
    cells = next(row for row in layout(table()).cells if row[1] == "att")
    assert cells[3:] == (DASH,) * 4
    assert Figures().text(np.inf) == DASH


def test_latex_has_stars_only_when_asked_and_says_what_they_mean():
    assert "*" not in to_latex(table())
    starred = to_latex(table(), stars=True)
    assert "0.4481***" in starred
    assert "*** p $<$ 0.01" in starred


def test_latex_escapes_and_balances():
    terms = ("50% of $x_1 &", "{y}~\\z^2 #")
    text = to_latex(
        Table(tuple(Estimate("ate", 1.0, 0.1, term=each, engine="[mine]") for each in terms), {"notes": {}})
    )
    assert r"50\% of \$x\_1 \&" in text
    assert r"\{y\}\textasciitilde{}\textbackslash{}z\textasciicircum{}2 \#" in text
    assert re.search(
        r"^\{\}\[mine\]", text, re.MULTILINE
    )  # not the optional argument of the line end before it
    assert text.count(r"\begin{") == text.count(r"\end{")


def test_html_escapes_what_data_say():
    text = to_html(Table((Estimate("ate", 1.0, 0.1, term="<script>", note="a < b"),)))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_html_is_read_back_with_the_same_rows():
    cells = layout(table()).cells
    frame = pd.read_html(StringIO(to_html(table(), long=True)), converters={"estimate": str}, thousands=None)[
        0
    ]
    assert frame["engine"].tolist() == [row[0] for row in cells]
    assert frame["estimate"].tolist() == [row[3] for row in cells]


@pytest.mark.parametrize("rows", [(), (Estimate("ate", 1.0),)], ids=["none", "one"])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_bare_tables_print(write, rows):
    assert "estimand" in write(Table(rows))


def test_shortened_names_stay_apart():
    names = [f"income_of_household_in_{year}" for year in (2001, 2002)]
    assert len({shorten(name, 14) for name in names}) == 2
    assert all(len(shorten(name, 14)) == 14 for name in names)


def test_levels_are_said():
    assert "90 % interval" in to_text(Table((Estimate("ate", 1.0, 0.1, level=0.9),)))
    mixed = Table((Estimate("ate", 1.0, 0.1, level=0.9), Estimate("att", 1.0, 0.1)))
    assert "conf. interval" in to_text(mixed)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of maketables itself, where pandas is 3.1
def test_maketables_prints_our_rows_beside_a_regression():
    import pyfixest

    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"any": rng.integers(0, 2, 200), "x": rng.normal(size=200)})
    frame["got"] = 0.4 * frame["any"] + rng.normal(size=200)
    model = pyfixest.feols("got ~ any + x", data=frame, vcov="hetero")
    latex = ETable([model, *table().models()]).make(type="tex")
    (line,) = [each for each in latex.splitlines() if each.startswith("any ")]
    assert line.count("0.448") == len(ENGINES)  # the average effect stands beside the coefficient
    assert line.count("(0.022)") == len(ENGINES)
    assert "119" in latex


def test_models_do_not_give_two_rows_one_name():
    rows = (Estimate("coefficient", 0.45, 0.02, term="any"), Estimate("ate", 0.44, 0.02))
    (model,) = Table(rows, META).models()
    frame = model.__maketables_coef_table__
    assert frame.index.tolist() == ["any"]
    assert frame["b"].tolist() == [0.44]
    assert Table(rows, META).models("")[0].__maketables_coef_table__.index.tolist() == ["any", "ate"]


def test_glance_has_a_line_per_engine():
    frame = table().glance()
    assert frame["engine"].tolist() == list(ENGINES)
    assert frame["rows"].tolist() == [2, 3, 3]
    assert frame["rows_without_interval"].tolist() == [0, 1, 0]
    assert table().tidy("grf")["engine"].unique().tolist() == ["grf"]


def test_markdown_shows_what_data_say():
    text = to_markdown(Table((Estimate("ate", 1.0, 0.1, term="<b>a|b*</b>", engine="grf"),)))
    assert r"\<b>a\|b\*\</b>" in text
    assert "<0.001" in text
