"""The gallery shows every picture there is, small enough to be committed, by code that saves what the page links to."""

import re
from pathlib import Path

import pytest

from hte_bridge import plot

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "howto" / "gallery.md").read_text(encoding="utf8")
CODE = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
LINKED = re.findall(r"!\[[^\]]*\]\(\.\./pictures/([^)]+)\)", PAGE)
MOST_BYTES = 60_000
ELSEWHERE = {"event_times"}  # on the page of staggered adoption


def test_every_function_is_shown():
    assert set(plot.__all__) - ELSEWHERE <= set(re.findall(r"plot\.(\w+)\(", CODE))


def test_what_the_page_shows_is_what_its_code_saves():
    assert re.findall(r'"([\w-]+\.png)"', CODE) == LINKED
    compile(CODE, "gallery.md", "exec")


@pytest.mark.parametrize("name", LINKED)
def test_pictures_are_small(name):
    assert 1_000 < (DOCS / "pictures" / name).stat().st_size < MOST_BYTES
