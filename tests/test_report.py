"""The report: what it says is what the rows say; in a real browser it asks for nothing and everybody can read it."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from hte_bridge.errors import UnwritableFolder
from hte_bridge.plot import agreement, toc
from hte_bridge.report import report
from hte_bridge.report.citations import WORKS, bibtex, works
from hte_bridge.report.methods import methods
from hte_bridge.report.reading import average, blocks, intervals
from hte_bridge.table import Estimate, Table

ENGINES = ("feols", "grf", "deep")
WIDTHS, SCHEMES = (375, 1280), ("light", "dark")
LEAST_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3


def table():
    rows = [Estimate("coefficient", 0.451, 0.0227, term="any", engine="feols", df=118, vcov="CRV1 (villnum)")]
    rows += [
        Estimate(name, 0.44 + 0.01 * i, 0.02, engine=engine, df=118, vcov="CRV1 (villnum)")
        for name in ("ate", "ato")
        for i, engine in enumerate(ENGINES)
    ]
    rows += [
        Estimate("projection", 0.01 * i, 0.03, term="a very long name of a covariate", engine=engine)
        for i, engine in enumerate(ENGINES)
    ]
    rows += [Estimate.missing("projection", "F test", term="joint", engine="grf", test=(0.8, 0.53))]
    rows += [Estimate.missing("att", "no <overlap> & no interval", engine="deep")]
    return Table(
        tuple(rows),
        {
            "n": 2830,
            "n_clusters": 119,
            "cluster": "villnum",
            "treated_share": 0.78,
            "treatment": "binary",
            "propensity": {"grf": [0.02, 0.9]},
            "folds": 5,
            "seed": 1,
            "names": {"outcome": "got", "treatment": "any", "covariates": ["age", "distvct", "hiv2004"]},
            "dropped": {"missing outcome got": 1926},
            "warnings": ["grf: overlap is weak; `ato` stays valid"],
            "versions": {"grf": "2.6.1", "pyfixest": "0.60.0"},
            "engines": {"grf": {"num_trees": 2000, "seed": 1}},
        },
    )


def curve():
    rows = [Estimate("toc", 0.5 - 0.05 * k, 0.1, term=f"q = {k / 10:g}", engine="grf") for k in range(1, 11)]
    return Table(tuple(rows))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "effects.html"
    more = {"Differences": Table((Estimate("difference", 0.01, 0.02, term="grf - feols"),))}
    more |= {"Targeting": lambda ax: toc(curve(), ax)}
    cates = np.random.default_rng(1).normal(size=(2, 3000))  # so many points are drawn as an image
    more |= {"Agreement": lambda ax: agreement(*cates, ax, names=("grf", "deep"))}
    return report(table(), path, more=more)


@pytest.fixture(scope="module")
def page(written):
    return written.read_text(encoding="utf8")


class Parsed(HTMLParser):
    """Ids, open tags and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *each) for each in attrs]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.words.append(data)


def test_every_number_of_the_table_is_on_the_page(page):
    words = " ".join(Parsed(page).words)
    for row in table().rows:
        if np.isfinite(row.estimate):
            assert f"{row.estimate:.3f}"[:5] in words
    for said in ("119 clusters", "seed 1", "2.6.1", "num_trees 2000", "1,926"):
        assert said in words


def test_warnings_stand_before_any_row(page):
    assert page.index("overlap is weak") < page.index("<table")


def test_nothing_is_asked_from_elsewhere(page):
    outside = [
        each
        for each in Parsed(page).attributes
        if each[1] in ("src", "href", "xlink:href", "data", "action", "srcset")
        and not each[2].startswith(("#", "data:image/png"))
    ]
    assert outside == []
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!#)|@import", page)


def test_ids_are_unique_and_links_lead_somewhere(page):
    parsed = Parsed(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    links = [value for _, name, value in parsed.attributes if name in ("href", "xlink:href")]
    aims = [link[1:] for link in links if link.startswith("#")]
    aims += re.findall(r"url\(#([^)]+)\)", page)
    assert set(aims) <= set(parsed.ids)


def test_what_a_note_says_cannot_become_markup(page):
    assert "no &lt;overlap&gt; &amp; no interval" in page
    assert "<overlap>" not in page


def test_the_same_table_gives_the_same_bytes(tmp_path):
    assert (
        report(table(), tmp_path / "a.html").read_bytes() == report(table(), tmp_path / "b.html").read_bytes()
    )


def test_a_loaded_table_gives_the_same_report(tmp_path):
    table().save(tmp_path / "table.parquet")
    loaded = Table.load(tmp_path / "table.parquet")
    assert report(loaded, tmp_path / "a.html").read_text() == report(table(), tmp_path / "b.html").read_text()


def test_a_bare_table_can_be_reported(tmp_path):
    text = report(Table((Estimate("surprise", 1.0, 0.5),)), tmp_path / "bare.html").read_text(encoding="utf8")
    assert "Surprise" in text


def test_a_picture_that_cannot_be_drawn_costs_no_other_part_of_the_page(tmp_path):
    def broken(ax):
        raise ZeroDivisionError("<b>no axes</b>")

    made = Table((Estimate("ate", 2.0, 0.5, engine="grf"),), {"n": 100})
    page = report(made, tmp_path / "r.html", more={"Mine": broken}).read_text(encoding="utf8")
    assert "This picture could not be drawn (ZeroDivisionError: &lt;b&gt;no axes&lt;/b&gt;)." in page
    assert "<summary>Traceback</summary>" in page
    assert "[1.020, 2.980]" in page
    assert "Effects by engine" in page


def test_a_folder_that_cannot_be_written_is_said_and_stays_clean(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableFolder, match="must be one that can be written"):
        report(table(), tmp_path / "file" / "effects.html")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


READINGS = {
    "up": ([("a", 1.0, 0.1)], "d raises y by 1.00 (a) on average; the 95 % interval does not hold zero"),
    "down": ([("a", -1.0, 0.1)], "d lowers y by 1.00 (a)"),
    "both ways": ([("a", -0.1, 1.0), ("b", 0.1, 1.0)], "d moves y by -0.1 (a) and 0.1 (b)"),
    "zero": ([("a", 0.1, 1.0), ("b", 3.0, 1.0)], "interval of a holds zero"),
    "no interval": ([("a", 1.0, np.nan)], "a has no interval, so that says nothing about chance"),
}


@pytest.mark.parametrize(("values", "said"), READINGS.values(), ids=READINGS)
def test_averages_in_words(values, said):
    rows = [Estimate("ate", estimate, error, engine=engine) for engine, estimate, error in values]
    assert said in average(rows, {"names": {"outcome": "y", "treatment": "d"}})


def test_a_row_without_numbers_is_read_with_its_reason():
    reading = [each for block in blocks(table()) for each in block.reading]
    assert "deep gives no att: no <overlap> & no interval." in reading


def test_groups_are_read_from_least_to_most_with_their_test():
    rows = [
        Estimate("gate", value, 0.1, term=f"school = {k}", engine="grf")
        for k, value in enumerate((0.1, 0.9, 0.5))
    ]
    rows += [Estimate.missing("gate", "F test", term="equal", engine="grf", test=(9.0, 0.001))]
    (block,) = blocks(Table(tuple(rows)))
    assert block.reading == (
        "grf gate: from 0.10 (school = 0) to 0.90 (school = 1); 2 of 3 intervals lie off zero; groups differ by more "
        "than chance (test of equality, p = 0.001).",
    )


def test_a_table_with_a_paragraph_is_read_by_it():
    made = blocks(Table((Estimate("ate", 0.1, 0.1, engine="grf - feols"),), {"reading": "They agree."}))
    assert made[0].reading == ("They agree.",)


def test_citations_are_those_of_the_rows():
    keys = {work.key for work in works(table())}
    assert {"AtheyTibshiraniWager2019", "pyfixest", "LiangZeger1986", "LiMorganZaslavsky2018"} <= keys
    assert works(Table((Estimate("ate", 1.0, engine="feols"),)))[0].key == "pyfixest"
    assert "YadlowskyEtAl2025" not in keys


@pytest.mark.parametrize(
    ("kind", "said", "cited"),
    [
        ("kernel", "Gaussian process", "RasmussenWilliams2006"),
        ("panel", "features, some of which neural networks found", "FarrellLiangMisra2021"),
    ],
)
def test_the_methods_name_the_model_that_the_deep_engine_took(kind, said, cited):
    made = Table(
        (Estimate("ate", 1.0, engine="deep"),),
        {"engines": {"deep": {"kind": kind}}},
    )
    others = {"RasmussenWilliams2006", "FarrellLiangMisra2021"} - {cited}
    keys = {work.key for work in works(made)}
    assert said in methods(made)
    assert cited in keys
    assert not others & keys


def test_an_engine_with_dashes_alone_is_neither_named_nor_cited():
    rows = (Estimate("ape", 1.0, 0.1, engine="feols"), Estimate.missing("ape", "no effects", engine="grf"))
    assert "grf" not in methods(Table(rows))
    assert "grf" not in {work.key for work in works(Table(rows))}


def test_bands_of_cates_are_explained_by_engine_where_they_are_drawn(tmp_path):
    made = report(table(), tmp_path / "a.html", more={"CATE along age": lambda ax: toc(curve(), ax)})
    assert "on average over the units&#39; covariates and not at each point" in made.read_text("utf8")
    assert not any("Bands" in said for said in intervals(table().rows))


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_bibtex_is_balanced(work):
    text = bibtex([work])
    assert text.count("{") == text.count("}")
    assert re.match(r"@(article|book|inproceedings|manual|misc)\{\w+,\n  author = \{", text)


# a real browser -------------------------------------------------------------------------------------------------


def chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    if chromium() is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with api.sync_playwright() as driver:
        # the sandbox needs rights that a container's root does not have; the page is our own
        opened = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def opened(browser, written):
    pages = []

    def at(width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(written.as_uri())
        return page

    yield at
    for page in pages:
        page.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_browser_no_error_no_request_no_scroll(opened, written, width, scheme):
    page = opened(width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.said == []
    assert [each for each in page.asked if not each.startswith("data:")] == [written.as_uri()]
    wide = page.evaluate(
        "[...document.querySelectorAll('html, main, main *:not(svg *)')]"
        ".filter(each => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== 'inline')"
        ".map(each => each.tagName)"
    )
    assert wide == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_browser_axe_finds_no_violation(opened, width, scheme):
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    page = opened(width, scheme)
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf8"))
    found = page.evaluate("axe.run()")["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


def test_browser_axe_would_find_a_fault(opened):
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    page = opened()
    page.evaluate("document.querySelector('figure svg').removeAttribute('aria-label')")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf8"))
    assert "svg-img-alt" in [each["id"] for each in page.evaluate("axe.run()")["violations"]]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_browser_words_in_pictures_can_be_read(opened, scheme):
    """axe does not look into pictures: every text in them is held against the page's own ground."""
    page = opened(1280, scheme)
    colours = page.evaluate(
        "[...document.querySelectorAll('figure svg text')].map(each => getComputedStyle(each).fill)"
    )
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert len(colours) > 10
    assert min(contrast(each, ground) for each in set(colours)) >= LEAST_CONTRAST


def test_browser_dark_and_light_differ(opened):
    grounds = [opened(1280, s).evaluate("getComputedStyle(document.body).backgroundColor") for s in SCHEMES]
    assert luminance(grounds[0]) > 0.9 > 0.1 > luminance(grounds[1])


def test_browser_tables_are_copied_as_columns(opened):
    page = opened()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("button[data-copy=table-1]")
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert lines[0].split("\t")[:4] == ["engine", "estimand", "term", "estimate"]
    assert lines[1].split("\t")[:4] == ["feols", "coefficient", "any", "0.4510"]
    assert page.inner_text("#said") == "Copied."


def test_browser_prints_a_default_study_on_two_pages(opened):
    printed = opened().pdf(format="A4", prefer_css_page_size=True)
    assert printed[:5] == b"%PDF-"
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 2


def test_the_answer_stands_before_everything_else(page):
    first = page.index('class="answer"')
    assert first < page.index("<table")
    assert page.index("There is an effect") < page.index("<figure") < page.index("<nav")
    assert page.index("<figcaption>Effects by engine") < page.index("<nav")


def luminance(colour):
    value = np.array([int(each) for each in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)
