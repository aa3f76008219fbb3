"""Engines as columns: every estimate over its error, labels whole at any width, and LaTeX that plain LaTeX compiles."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from hte_bridge.format import to_html, to_latex, to_markdown, to_text
from hte_bridge.format.layout import layout
from hte_bridge.table import Estimate, Table

ENGINES = ("feols", "grf", "deep")
SAID = {"notes": {"deep": ["the network did not beat the line"]}, "names": {}}


def table(engines=ENGINES, terms=("age", "distance to the clinic"), meta=SAID):
    rows = [Estimate("coefficient", 0.45, 0.02, term="any", engine=engines[0], df=118, vcov="CRV1 (v)")]
    for k, engine in enumerate(engines):
        note = "the network did not beat the line" if engine == "deep" else ""
        rows.append(
            Estimate("ate", 0.4461 + k / 1000, 0.022, engine=engine, df=118, vcov="CRV1 (v)", note=note)
        )
        rows += [
            Estimate("projection", -0.00212 * (j + 1), 0.0018, term=term, engine=engine, note=note)
            for j, term in enumerate(terms)
        ]
        rows.append(Estimate.missing("projection", note, term="joint", engine=engine, test=(0.889, 0.449)))
    return Table(tuple(rows), meta)


def test_engines_are_columns_and_an_error_stands_under_its_estimate():
    lines = to_text(table()).splitlines()
    assert lines[0].split() == ["estimand", "term", "feols", "grf", "deep", "[1]"]
    at = next(k for k, line in enumerate(lines) if line.startswith("ate"))
    assert lines[at].split() == ["ate", "0.4461", "0.4471", "0.4481"]
    assert lines[at + 1].split() == ["(0.0220)"] * 3
    assert [each.start() for each in re.finditer(r"\d\.", lines[at])] == [
        each.start() for each in re.finditer(r"\d\.", lines[at + 1])
    ]
    text = to_text(table())
    assert "Standard errors in parentheses" in text
    assert text.count("did not beat") == 1  # said of every row of an engine: at its head


def test_an_engine_without_an_answer_has_a_dash_at_each_term_of_the_others():
    rows = [
        Estimate("projection", 1.0, 0.1, term=term, engine="feols")
        for term in ("a: age", "a: size", "b: age")
    ]
    made = Table((*rows, Estimate.missing("projection", "no overlap", engine="grf", term="a")))
    lines = to_text(made, long=False).splitlines()
    terms = [line.split()[-1] for line in lines if ": age" in line or ": size" in line]
    assert terms == ["—", "—", "1.000"]
    assert lines[0].endswith("grf [1]")
    assert sum("—" in line for line in lines) == 2  # no line of its own
    (row,) = (line for line in to_text(made, long=True).splitlines() if line.startswith("grf"))
    assert row.split()[2] == "a"


def test_a_note_that_two_rows_share_is_one_footnote_of_both():
    ranked = "each fold ranked by earlier folds; 80 units"  # one note, though it has a semicolon
    rows = [
        Estimate("gates", 1.0, 0.1, term=term, engine=each, note=ranked)
        for each in ENGINES
        for term in ("G1", "G2")
    ]
    rows += [
        Estimate.missing("gates", f"F test; {ranked}", term="equal", engine=each, test=(1.0, 0.3))
        for each in ENGINES
    ]
    rows += [Estimate("ate", 1.0, 0.1, engine=each, note="few trees; 9 outcomes lie far") for each in ENGINES]
    said = to_text(Table(tuple(rows)))
    assert said.count("ranked by earlier folds") == 1
    assert next(line for line in said.splitlines() if line.split()[:1] == ["equal"]).endswith("[1,2]")
    assert "Few trees; 9 outcomes lie far." in said


def test_laws_of_one_question_are_told_apart_by_terms():
    law = {"G1": "HC3, joint over 2", "G2": "HC3, joint over 2", "highest - lowest": "HC3"}
    rows = [
        Estimate("gates", 1.0, 0.1, df=9, term=term, engine=each, vcov=vcov)
        for each in ENGINES
        for term, vcov in law.items()
    ]
    said = " ".join(to_text(Table(tuple(rows))).split())
    assert "HC3, joint over 2, t with 9 df (gates); HC3, t with 9 df (gates highest - lowest)." in said


def test_long_form_is_an_option_in_every_format():
    for write in (to_text, to_markdown, to_latex, to_html):
        wide, long = write(table()), write(table(), long=True)
        assert "95" not in wide.split("Standard")[0]
        assert "interval" in long
        assert "(0.0220)" in wide


def test_a_table_of_one_engine_has_a_row_for_each_estimate():
    assert to_text(table(("grf",))).startswith("engine")
    assert "(0.0220)" in to_text(table(("grf",)), long=False)


def test_the_frame_underneath_is_as_it_was():
    frame = table().to_frame()
    assert len(frame) == 13
    assert frame["engine"].nunique() == 3


@pytest.mark.parametrize("width", [45, 60, 80, 140])
@pytest.mark.parametrize("long", [False, True])
def test_no_width_cuts_a_label_or_makes_two_rows_alike(width, long):
    terms = [f"robustness value: {what} to 0" for what in ("estimate", "interval", "band")]
    made = table([f"causal forest {k}" for k in range(6)], terms)
    text = to_text(made, width=width, long=long)
    body = text.split("Standard errors")[0]
    assert "…" not in body
    assert max(map(len, body.splitlines())) <= max(width, 100 if long else 0)
    assert all(body.count(word) >= 1 for word in ("estimate", "interval", "band"))
    figures = re.findall(r"\d\.\d{4}\b", body)
    assert figures.count("0.4461") == 1 + 6 * long * 0


def test_the_page_is_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "52")
    made = table([f"engine {k}" for k in range(8)])
    narrow = str(made)
    assert max(map(len, narrow.splitlines())) <= 52
    monkeypatch.setenv("COLUMNS", "150")
    assert len(str(made).splitlines()) < len(narrow.splitlines())


def test_what_an_error_does_not_tell_stands_under_it():
    band = {"interval": (0.1, 0.9), "test": (2.0, 0.04)}
    rows = tuple(Estimate("gate", 0.5, 0.1, term="old", engine=each, **band) for each in ENGINES)
    lines = to_text(Table(rows)).splitlines()
    assert [lines[k].split("  ")[-1].strip() for k in (2, 3, 4, 5)] == [
        "0.500",
        "(0.100)",
        "[0.100, 0.900]",
        "p 0.040",
    ]
    assert "in brackets" in to_text(Table(rows))


def test_footnotes_that_say_why_a_figure_is_missing_come_first():
    rows = [
        Estimate("ate", 1.0, 0.1, engine="a", note="a small remark"),
        Estimate("ate", 1.0, 0.1, engine="b"),
    ]
    rows += [Estimate.missing("att", "no unit is treated", engine="a"), Estimate("att", 1.0, 0.1, engine="b")]
    assert layout(Table(tuple(rows)), long=False).footnotes[0] == "No unit is treated."


def test_what_every_row_says_is_a_note_of_the_table_and_no_footnote():
    rows = tuple(Estimate("ate", 1.0, 0.1, engine=each, note="gaps are filled") for each in ENGINES)
    made = layout(Table(rows), long=None)
    assert made.footnotes == ()
    assert "Gaps are filled." in made.notes


def test_headings_of_figures_are_aligned_as_their_figures_in_a_notebook():
    html = to_html(table())
    assert re.search(r'<th scope="col" class="number" style="text-align: right">grf</th>', html)
    assert html.count("<td") == sum(map(len, layout(table(), long=None).cells))


# ---- LaTeX -----------------------------------------------------------------------------------------------------------


def test_latex_names_its_packages_and_has_real_minus_signs():
    text = to_latex(table())
    assert text.splitlines()[0] == r"% Needs in the preamble: \usepackage{booktabs}"
    assert "$-$0.00212" in text
    assert not re.search(r"(?<!\$)-0\.", text)
    many = to_latex(table(terms=[f"x{k}" for k in range(60)]))
    assert "longtable" in many.splitlines()[0]
    assert r"\endhead" in many


def odd():
    rng = np.random.default_rng(0)
    term = "E[Y | x] at 5% & _x^2 ~ \\n {a} < b > c # $d ü ß é — … τ β ≥ − ₂ 年 ą ł đ « ’ naïve e\u0301 "
    rows = [
        Estimate("ate", rng.normal(), 0.1, engine=each, term=term, note=f"Var(T | x) of {term}")
        for each in "ab"
    ]
    return Table((*rows, Estimate("ate", -1e12, 1e11, engine="[c]", term="* starred")), {"notes": {}})


def broad():
    """Long labels, long figures and more engines than a page holds."""
    terms = [f"(most - free) - (some - free): district_of_residence_{k}" for k in range(3)]
    rows = [
        Estimate(
            "projection",
            -1234567.8 * (k + 1),
            98765.4,
            term=term,
            engine=f"forest number {k}",
            note="few trees",
        )
        for k in range(7)
        for term in terms
    ]
    return Table(tuple(rows))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
@pytest.mark.parametrize(
    ("made", "size"),
    [
        (table(), "10pt"),
        (odd(), "10pt"),
        (table(terms=[f"x_{k}" for k in range(90)]), "12pt"),
        (broad(), "11pt"),
    ],
    ids=["usual", "odd", "long", "broad"],
)
@pytest.mark.parametrize("long", [False, True])
def test_plain_latex_compiles_every_table_within_the_lines_of_a_page(made, size, long, tmp_path):
    text = made.to_latex(long=long)
    packages = re.findall(r"\\usepackage\{([^}]*)\}", text.splitlines()[0])
    page = [
        f"\\documentclass[{size}]{{article}}",
        *(rf"\usepackage{{{each}}}" for each in packages),
        r"\begin{document}",
        text,
    ]
    (tmp_path / "t.tex").write_text("\n".join([*page, r"\end{document}"]), encoding="utf8")
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(
        run, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_labels_that_are_wrapped_in_latex_lose_nothing():
    made = Table(tuple(sorted(broad().rows, key=lambda row: row.term)))
    body = to_latex(made, long=True).replace("{}", "").replace(r"\_", "_").splitlines()
    cells = [line.split("&") for line in body if "&" in line and not line.startswith("engine")]
    assert len(cells) > 2 * len(made.rows)
    said = "".join(line[2] for line in cells)
    assert said.replace(" ", "") == "".join(row.term for row in made.rows).replace(" ", "")
