"""The house of the deep engine is as its pages say: formulas in the files that they name, and one way through the rooms."""

from __future__ import annotations

import ast
import re
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ENGINE = ROOT / "hte_bridge" / "engines" / "deep"
METHOD = (ROOT / "docs" / "method.md").read_text(encoding="utf8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf8")
PAIRS = re.findall(r"^\| (.+) \| (`[\w/]+\.py`, .+) \|$", METHOD, re.MULTILINE)
WAY = re.search(r"^fit\.py -> .+?(?=^```)", ARCHITECTURE, re.MULTILINE | re.DOTALL)
MOST_FILES = 12


def defined(file: str) -> set[str]:
    tree = ast.parse((ENGINE / file).read_text(encoding="utf8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize(("formula", "where"), PAIRS, ids=[where for _, where in PAIRS])
def test_a_formula_of_the_method_is_in_the_file_that_the_page_names(formula, where):
    for part in where.split("; "):
        file, *names = re.findall(r"`([^`]+)`", part)
        assert set(names) <= defined(file), f"{formula}: {file}"
        assert names


def test_every_displayed_formula_is_in_the_list():
    body = METHOD.partition("## 4.")[0]
    inline = [
        each
        for each in re.findall(r"(?<!\$)\$([^$]+)\$(?!\$)", body)
        if "leftarrow" in each or "^{-}" in each
    ]
    listed = re.sub(r"\s+", " ", " ".join(formula for formula, _ in PAIRS))
    assert len(PAIRS) > 20
    for each in inline:
        assert re.sub(r"\s+", " ", each) in listed, each


def test_the_way_of_an_interval_is_short_and_enters_no_room_twice():
    assert WAY is not None
    files = re.findall(r"[\w/]+\.py", WAY[0])
    assert len(files) <= MOST_FILES
    rooms = [room for room, _ in groupby(file.rpartition("/")[0] for file in files)]
    assert len(rooms) == len(set(rooms))
    for place, file in enumerate(files[1:], start=1):  # each is imported by one that comes before it
        name = "hte_bridge.engines.deep." + file.removesuffix(".py").replace("/", ".")
        before = "".join((ENGINE / each).read_text(encoding="utf8") for each in files[:place])
        assert f"from {name} import" in before, file


def test_the_picture_names_every_file():
    drawn = ARCHITECTURE.partition("## The deep engine")[2].partition("```")[2].partition("```")[0]
    named = set(re.findall(r"[a-z_]+", drawn))
    there = {path.stem for path in ENGINE.rglob("*.py")} - {"__init__"}
    assert there - named == set()


def test_rooms_import_rooms_below_them():
    """Modules of one room may import those of rooms that follow it, and the options and result at the door."""
    order = ["gp", "basis", "nuisance", "read", "store"]
    for path in ENGINE.glob("*/**/*.py"):
        room = path.relative_to(ENGINE).parts[0]
        for other in re.findall(r"from hte_bridge\.engines\.deep\.(\w+)", path.read_text(encoding="utf8")):
            if other in order and other != room:
                assert (room, other) in ALLOWED, f"{path.name} imports {other}"


ALLOWED = {
    ("passes", "basis"),
    ("passes", "nuisance"),
    ("passes", "store"),
    ("gp", "nuisance"),
    ("gp", "store"),
    ("basis", "gp"),  # how a study was standardised, and errors that vary with the outcome's level
    ("basis", "nuisance"),
    ("basis", "store"),
    ("nuisance", "basis"),  # a curve of one covariate is a block of features
    ("nuisance", "store"),
    ("read", "nuisance"),
    ("read", "basis"),
    ("read", "store"),
}
