"""The users' pages: plain words, and figures that are those of the code."""

import re
from pathlib import Path

import pytest

from hte_bridge import Deep

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name != "architecture.md")
INSIDE = re.compile(r"\b(waist|must|required)\b", re.IGNORECASE)
QUOTED = re.compile(r"```.*?```|`[^`]*`|^>.*$", re.DOTALL | re.MULTILINE)  # code, and what an error says


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_the_users_pages_speak_to_users(page):
    """What the house tells itself (its waist, what it must reach) is no news to a reader."""
    said = QUOTED.sub("", page.read_text(encoding="utf8"))
    assert [found[0] for found in INSIDE.finditer(said)] == []


def test_inside_words_would_be_seen():
    assert INSIDE.search("Every engine passes the same waist.")


def test_the_readme_says_first_what_deep_is_at_which_size():
    """In one sentence, within the first twenty lines, with the switch that the engine takes."""
    head = "\n".join((ROOT / "README.md").read_text(encoding="utf8").splitlines()[:20])
    (said,) = re.findall(r"\* `deep`:(.*?)\n(?:\*|\n)", head, re.DOTALL)
    assert "Gaussian process" in said
    assert f"{Deep().kernel_max_rows:,} rows" in said
    assert "networks" in said
    assert "random features" in said
    assert ". " not in said
