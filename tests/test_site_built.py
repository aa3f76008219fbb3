"""The built site in a real browser and by its links; `make site` builds it, `make site-test` runs this on every page."""

import json
import os
import re
import shutil
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import hte_bridge

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "site"
WIDTHS, SCHEMES = (375, 1280), ("light", "dark")
SOME = ("index", "start", "howto/experiment", "method", "cost", "reference/compare", "coming_from/fixest")

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").is_file(), reason="the site is not built: make site"
)


class Links(HTMLParser):
    """Targets of a page, and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        self.targets += [found[key] for key in ("href", "src") if found.get(key)]


@cache
def links(path):
    return Links(path.read_text(encoding="utf8"))


def every():
    return sorted(path for path in SITE.rglob("*.html") if path.name != "404.html")


def dead(page):
    """Targets within the site that are not there."""
    for target in links(page).targets:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file() or (
            parts.fragment and file.suffix == ".html" and unquote(parts.fragment) not in links(file).anchors
        ):
            yield target


def test_no_link_is_dead():
    assert {
        str(page.relative_to(SITE)): found for page in every() if (found := sorted(set(dead(page))))
    } == {}


def test_pages_ask_for_nothing_outside():
    asked = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=\"(?:https?:)?//|<link[^>]+rel=\"(?:stylesheet|preload|preconnect)\"[^>]+href=\"(?:https?:)?//"
    )
    assert [str(page) for page in every() if asked.search(page.read_text(encoding="utf8"))] == []


def test_every_public_name_and_method_has_an_entry():
    anchors = set().union(*(links(page).anchors for page in (SITE / "reference").glob("*.html")))
    lacking = []
    for name in hte_bridge.__all__:
        each = getattr(hte_bridge, name)
        own = f"{each.__module__}.{each.__qualname__}"
        lacking += [own] if own not in anchors else []
        for key, member in vars(each).items() if isinstance(each, type) else ():
            said = getattr(getattr(each, key, member), "__doc__", None) or getattr(member, "__doc__", None)
            callable_ = callable(member) or isinstance(member, classmethod | staticmethod | property)
            if not key.startswith("_") and callable_ and said and f"{own}.{key}" not in anchors:
                lacking.append(f"{own}.{key}")
    assert lacking == []


def test_the_machine_readable_list_names_every_page_of_ours():
    listed = set(re.findall(r"\]\(([\w/.-]+)\)", (SITE / "llms.txt").read_text(encoding="utf8")))
    pages = {
        name
        for name in json.loads((SITE / "pages.json").read_text(encoding="utf8"))
        if not name.startswith(("reference/", "examples/"))
    }
    assert pages <= listed
    assert "--8<--" not in (full := (SITE / "llms-full.txt").read_text(encoding="utf8"))
    assert "hb.compare(" in full


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with api.sync_playwright() as driver:
        # the sandbox needs rights that a container's root does not have; the pages are our own
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def opened(browser):
    made = []

    def at(width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        made.append(page)
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        return page

    yield at
    for page in made:
        page.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_error_no_scroll_no_request(opened, width, scheme):
    page = opened(width, scheme)
    chosen = every() if os.environ.get("SITE_TEST") == "all" else [SITE / f"{name}.html" for name in SOME]
    wide, plain = [], page.locator("body")
    for file in chosen:
        page.goto(file.as_uri())
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wide.append(file.name)
        assert plain.get_attribute("data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
    assert (wide, page.said) == ([], [])
    assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_search_answers_without_a_server(opened):
    page = opened()
    page.goto((SITE / "index.html").as_uri())
    page.locator("input.md-search__input").click()
    page.locator("input.md-search__input").press_sequentially("wild bootstrap", delay=20)
    hits = page.locator(".md-search-result__item a")
    hits.first.wait_for(timeout=10_000)
    assert any("clusters" in (hits.nth(k).get_attribute("href") or "") for k in range(hits.count()))
    assert page.said == []


def test_the_calculator_answers(opened):
    page = opened()
    page.goto((SITE / "cost.html").as_uri())
    seconds = []
    for rows in ("1000", "100000"):
        page.locator("#cost-n").fill(rows)
        cells = page.locator("#cost-table tbody tr", has_text="grf").locator("td").all_inner_texts()
        assert cells[2].endswith("GB")
        seconds.append(cells[1])
    assert seconds[0].split(" ")[1] == "s"
    assert "min" in seconds[1]
    assert page.said == []


def test_tabs_of_python_and_r_change_together(opened):
    page = opened()
    page.goto((SITE / "start.html").as_uri())
    page.locator("label", has_text=re.compile("^R$")).first.click()
    assert page.get_by_text("hte_study(df, got").first.is_visible()
    assert page.said == []
