"""Names that would be commands elsewhere: in every format they are read back as the text that they are, and as nothing else."""

import csv
import re
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

import hte_bridge as hb
from hte_bridge import plot
from hte_bridge.format.neutral import from_spreadsheet, spreadsheet
from hte_bridge.report import report
from hte_bridge.shown import first_names, visible
from hte_bridge.table import Estimate, Table

HOSTILE = [
    '=HYPERLINK("http://evil.example","x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
    "[free](https://evil.example)",
    "![pixel](https://evil.example/p.png)",
    "<https://evil.example>",
    "https://evil.example/x",
    "www.evil.example",
    "me@evil.example",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></script><svg onload=alert(1)>",
    "]]> <!-- x -->",
    "{{ 7 * 7 }} {% if x %}",
    "``[x](javascript:alert`1`)`",
    "a | b | c",
    "a\nb",
    "a\r\nb\tc",
    "\x00\x07\x1b[31mred\x1b[0m",
    "\u202eevil\u202c",
    "a\u200bb\ufeffc\u2028d",
    "\ud800half",
    r"\input{/etc/passwd} \write18{ls}",
    r"\\ \hline",
    "50% of $x_1 & {y}~^2 #",
    "$a$ and $b$",
    "price in $ of 2010, $",
    "**bold** _it_ ~~no~~ `code`",
    "*starred",
    "[optional]",
    "größe, 年齢, العمر, 👩\u200d🌾",
    'id="p0-x" #010203',
    "x" * 5000,
    "'=quoted",
]
SHOWN = {each: visible(each) for each in HOSTILE}
IDS = [f"{k}" for k in range(len(HOSTILE))]


def table(name, note=""):
    names = {
        "outcome": name,
        "treatment": name,
        "covariates": [name, "x"],
        "fixed_effects": [],
        "cluster": name,
        "weight": name,
        "propensity": None,
    }
    meta = {"n": 9, "names": names, "cluster": name, "n_clusters": 3, "dropped": {f"missing {name}": 2}}
    meta |= {"warnings": [f"{name}: careful"], "notes": {name: [f"note on {name}"]}}
    meta |= {"versions": {name: name}, "engines": {name: {name: name}}}
    rows = (
        Estimate(
            "ate",
            1.0,
            0.1,
            engine=name,
            term=name,
            vcov=f"CRV1 ({name})",
            note=note or f"see `{name}` and {name}",
        ),
        Estimate("projection", 1.0, 0.1, engine="grf", term=f"{name} = {name}"),
    )
    return Table(rows, meta)


@pytest.mark.parametrize("name", HOSTILE, ids=IDS)
def test_a_csv_file_holds_no_formula_and_gives_the_name_back(name, tmp_path):
    table(name).save(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    stored = name.encode("utf8", "backslashreplace").decode()
    for column in ("engine", "term"):
        cell = rows[0][column]
        assert not re.match(r"[=+@\t\r\n＝＋－＠]|-(?!\d+(\.\d+)?$)", cell)
        assert from_spreadsheet(cell) == stored
    assert [float(row["estimate"]) for row in rows] == [1.0, 1.0]
    assert float(rows[0]["conf_low"]) == table(name).rows[0].conf_low


@pytest.mark.parametrize("text", ["-1.5", "1", "-1e-5", "it's", "grf - feols", "(-1, 2]", "'single'"])
def test_numbers_and_plain_texts_stay_as_they_are(text):
    assert spreadsheet(text) == text == from_spreadsheet(text)


@pytest.mark.parametrize("name", HOSTILE, ids=IDS)
def test_a_parquet_file_gives_the_name_back(name, tmp_path):
    table(name).save(tmp_path / "t.parquet")
    row = Table.load(tmp_path / "t.parquet").rows[0]
    assert row.term == name.encode("utf8", "backslashreplace").decode()


def cells_of(text):
    """Texts of the first table that a markdown reader finds, and what else it sees anywhere."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    kinds, cells, inside = set(), [], False
    for token in tokens:
        kinds |= {token.type, *(each.type for each in token.children or ())}
        inside = token.type == "td_open" or (inside and token.type != "td_close")
        if token.type == "inline" and inside:
            cells.append("".join(each.content for each in token.children or ()))
    return cells, kinds


DANGEROUS = {
    "link_open",
    "image",
    "html_inline",
    "html_block",
    "em_open",
    "strong_open",
    "s_open",
    "fence",
    "heading_open",
}


@pytest.mark.parametrize("name", HOSTILE, ids=IDS)
def test_markdown_shows_the_name_and_holds_no_link_image_or_tag(name):
    cells, kinds = cells_of(table(name).to_markdown())
    assert cells[0] == cells[2] == SHOWN[name].strip()
    assert len(cells) == 16
    assert not kinds & (DANGEROUS | {"code_block", "bullet_list_open", "blockquote_open"})
    bare = re.sub(r"`[^`]*`", "", table(name, note="x").to_markdown())
    assert not re.search(r"[a-z]://|www\.|(?<!\\)@", bare)  # of these GitHub makes links without brackets


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.cells, self.comments = [], [], [], 0
        self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag in ("td", "th"):
            self._cell = []

    def handle_data(self, data):
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self._cell is not None:
            self.cells.append("".join(self._cell))
            self._cell = None

    def handle_comment(self, data):
        self.comments += 1


def clean(text):
    return not any(
        unicodedata.category(each) in ("Cc", "Cs") or each in "\u202e\u202c\u200b\u2028\ufeff"
        for each in text.replace("\n", "")
    )


TAGS = {"div", "table", "thead", "tbody", "tr", "th", "td", "p", "sup", "ol", "li"}


@pytest.mark.parametrize("name", HOSTILE, ids=IDS)
def test_html_holds_the_name_as_text_and_no_tag_of_it(name):
    text = table(name)._repr_html_()
    page = Page(text)
    assert set(page.tags) <= TAGS
    assert {key for key, _ in page.attributes} <= {"class", "scope", "style"}
    assert {value for key, value in page.attributes if key == "style"} <= {
        f"text-align: {side}" for side in ("left", "right")
    }
    assert page.cells[7].strip() == page.cells[9].strip() == SHOWN[name].strip()
    assert clean(text)


@pytest.mark.parametrize(
    "name", ["".join(HOSTILE), *(each for each in HOSTILE if re.search("<|{{|p0|HYPER", each))]
)
def test_the_report_is_the_page_of_a_harmless_name(name, tmp_path):
    def drawn(ax):
        ax.text(0.5, 0.5, plot.style.plain(name))
        return ax

    def page(given):
        path = report(table(given), tmp_path / "r.html", more={given: drawn, f"CATE {given}": table(given)})
        return path.read_text(encoding="utf8")

    text, other = page(name), Page(page("harmless"))
    made = Page(text)
    harmless = [
        "text",
        "tspan",
        "g",
        "use",
        "path",
        "defs",
        "code",
    ]  # a long or short word is drawn in other parts
    assert [each for each in made.tags if each not in harmless] == [
        each for each in other.tags if each not in harmless
    ]
    assert {key for key, _ in made.attributes} <= {key for key, _ in other.attributes} | {"y", "x"}
    assert made.comments == 0
    assert text.count("<script") == text.count("</script>") == 1
    assert clean(text)
    assert all(
        value is None or "evil" not in value
        for key, value in made.attributes
        if key in ("href", "src", "style")
    )


BROKEN = re.compile(r"(?<!\\)(?:\\\\)*[%#_]")


@pytest.mark.parametrize("name", HOSTILE, ids=IDS)
def test_latex_prints_the_name_and_keeps_rows_columns_and_groups(name):
    text, other = table(name).to_latex(), table("harmless").to_latex()
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    figures = [row for row in rows if re.split(r"(?<!\\)&", row)[3].strip()]
    assert len(figures) == 3  # labels wider than the page go on in lines without figures
    assert len(text.splitlines()) - len(rows) == len(other.splitlines()) - other.count("\\\\\n")
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == 6
        assert not row.startswith(("[", "*"))
    commands = set(re.findall(r"\\([A-Za-z]+)", text)) - set(re.findall(r"\\([A-Za-z]+)", other))
    assert commands <= {"textbackslash", "textasciitilde", "textasciicircum", "textbar", "dots"} | {
        "ifdefined",
        "Umathchar",
        "else",
        "fi",
        "scriptsize",
    }
    left = re.sub(r"\\[&%$#_{}]|\$[-<>]\$", "", text.split("\n", 1)[1])  # the first line is a comment of ours
    assert not re.search(r"[%#$~^]", left)
    assert not re.search(r"_", re.sub(r"\\footnotesize", "", left))
    assert left.count("{") == left.count("}")


@pytest.mark.parametrize("name", HOSTILE, ids=IDS)
def test_the_printed_table_has_a_line_a_row_and_no_hidden_character(name):
    text = str(table(name))
    assert clean(text)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.endswith("<0.001") or "<0.001  [" in line for line in lines) == 2


def test_names_are_seen_whole_or_cut_in_the_middle():
    assert first_names([0, ("a", 1), "b\nc"]) == "0, ('a', 1), b\\nc"
    assert len(first_names(["x" * 5000])) == 60
    assert visible("naïve e\u0301 日本 👩\u200d🌾") == "naïve e\u0301 日本 👩\u200d🌾"
    assert visible("a\u200db\u00ad") == "a\\u200db\\xad"


# ---- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["$a$ and $b$", "in $ of 2010, $", "a\nb\x1b[0m\t", "x" * 5000, "_x^{y}\\frac", "年"]
)
@pytest.mark.filterwarnings("ignore:Glyph")  # the font of the pictures has no Chinese
def test_every_picture_draws_with_the_name_as_words(name):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"estimate": rng.normal(size=60), "conf_low": -1.0, "conf_high": 1.0})
    curve = pd.DataFrame({"share": [0.5, 1.0], "estimate": [1.0, 0.0], "engine": name})
    both = {name: frame, "b": frame}
    square = pd.DataFrame(np.eye(2), columns=[name, "b"], index=[name, "b"])
    groups = [Estimate("gate", 1.0, 0.1, term=f"{name} = {k}", engine=name) for k in (1, 2)]
    draws = [
        lambda ax: plot.coefficients([*table(name).rows, Estimate("ate", 1.0, term=f"{name}$")], ax),
        lambda ax: plot.gates([*groups, Estimate("gate", 1.0, term=name)], ax),
        lambda ax: plot.gates(groups, ax),
        lambda ax: plot.cate_sorted(both, ax),
        lambda ax: plot.cate_against(both, rng.normal(size=60), ax, name=name),
        lambda ax: plot.agreement(frame["estimate"], frame["conf_low"], ax, names=(name, name)),
        lambda ax: plot.toc(pd.concat([curve, curve.assign(engine="b")]), ax),
        lambda ax: plot.overlap({name: np.full(60, 0.5), "b": np.full(60, 0.4)}, np.arange(60) % 2, ax),
        lambda ax: plot.importance(pd.Series([1.0, 2.0], index=[name, "b"]), ax),
        lambda ax: plot.pairs(square, ax),
    ]
    figure = Figure(figsize=(20, 9))
    for ax, draw in zip(figure.subplots(2, 5).ravel(), draws, strict=True):
        draw(ax)
    figure.canvas.draw()


def test_dollars_in_a_name_are_drawn_as_dollars():
    ax = Figure().subplots()
    plot.style.label(ax, x="$a$ of $b$")
    assert ax.xaxis.label._preprocess_math(ax.xaxis.label.get_text()) == ("$a$ of $b$", False)


# ---- a study of such names -------------------------------------------------------------------------------------------


def test_a_comparison_of_such_columns_and_levels_prints_saves_draws_and_reports(tmp_path):
    rng = np.random.default_rng(0)
    names = [each for each in HOSTILE if "\ud800" not in each]
    frame = pd.DataFrame(rng.normal(size=(300, len(names))), columns=names)
    frame["level"] = pd.Series(names).sample(300, replace=True, random_state=0).to_numpy()
    frame["d"] = np.arange(300) % 2
    study = hb.Study.from_frame(frame, outcome=names[0], treatment="d", covariates=[*names[1:], "level"])
    comparison = hb.compare(study, [hb.Feols()])
    assert "It ended in" not in str(comparison)
    asked = comparison.gate("level")
    assert len({row.term for row in asked.rows}) == len(asked.rows)
    for text in (
        repr(study),
        repr(comparison.fits["feols"]),
        str(comparison),
        str(asked),
        asked._repr_html_(),
    ):
        assert clean(text)
    for ending in ("csv", "parquet"):
        assert comparison.save(tmp_path / f"t.{ending}").exists()
    assert clean(comparison.report(tmp_path / "r.html").read_text(encoding="utf8"))


def test_columns_named_by_numbers_and_tuples_print_and_draw(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(100, 4)))
    frame[1] = np.arange(100) % 2
    table = hb.compare(hb.Study.from_frame(frame, outcome=0, treatment=1, covariates=[2, 3]), [hb.Feols()])
    assert "Outcome 0, treatment 1; covariates 2, 3." in str(table)
    assert "projection" in repr(table)
    table.report(tmp_path / "r.html")
    table.save(tmp_path / "t.parquet")
    assert str(Table.load(tmp_path / "t.parquet")) == str(Table(table.rows, table.meta))


def test_a_message_of_several_lines_is_one_sentence():
    text = str(Table((Estimate.missing("ate", "R stopped:\n  object 'a'\n\tnot found", engine="grf"),)))
    assert "[1] R stopped: object 'a' not found." in text
