"""The house of the deep engine is as its pages say: formulas in the files that they name, and one way through the rooms."""

from __future__ import annotations

import ast
import re
import sys
from itertools import groupby
from pathlib import Path

import pytest

import hte_bridge as hb
from hte_bridge.simulate import dense

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


@pytest.fixture(scope="module")
def entered():
    """File of the engine -> files of it that call into it, in a fit of the exact process and the effects of three rows."""
    found: dict[str, set[str]] = {}

    def within(frame):
        name = frame.f_code.co_filename
        return name.removeprefix(f"{ENGINE}/") if name.startswith(f"{ENGINE}/") else None

    def watch(frame, event, _):
        file = within(frame) if event == "call" else None
        if file is None:
            return
        above = frame.f_back
        while above is not None and within(above) is None:
            above = above.f_back
        caller = within(above) if above is not None else "cate"
        if caller != file:
            found.setdefault(file, set()).add(caller)

    draw = dense(40, seed=1, p=1)
    study = hb.Study.from_frame(draw.frame(), outcome="y", treatment="t", covariates=draw.columns)
    engine = hb.Deep(seed=1, draws=4, n_folds=2, epochs=1, hidden=(4,), n_jobs=1)
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        engine.fit(study).cate(draw.frame().head(3))
    finally:
        sys.setprofile(before)
    return found


def test_a_fit_goes_the_way_that_the_picture_shows(entered):
    """Each file of the way is called by one that comes before it; between two of them lies nothing but the record of the result."""
    files = re.findall(r"[\w/]+\.py", WAY[0])
    for place, file in enumerate(files[1:], start=1):
        assert entered[file] & {*files[:place], "result.py"}, file
    assert "fit.py" in entered["result.py"]
    assert not entered.keys() & {"basis/mixed_model.py", "passes/models.py"}  # the other form's


SHARED = {
    "CHUNK",
    "CHUNK_POINTS",
    "JITTER",
    "Made",
}  # rows at a time, rounding, and a type of whatever is made


def test_a_class_or_constant_has_one_meaning():
    homes: dict[str, list[str]] = {}
    for path in sorted(ENGINE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf8")).body:
            names = [node.name] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.Assign):
                names = [each.id for each in node.targets if isinstance(each, ast.Name)]
            for name in names:
                homes.setdefault(name, []).append(path.stem)
    assert {name: where for name, where in homes.items() if len(where) > 1 and name not in SHARED} == {}


def said_of_parameters(node: ast.ClassDef | ast.FunctionDef) -> list[tuple[str, str]]:
    """Names and types of the parameters in a docstring."""
    lines = (ast.get_docstring(node) or "").partition("Parameters\n")[2].splitlines()
    found = [re.match(r"([a-z_][\w, ]*) : (.+)", line) for line in lines]
    return [(name, each[2]) for each in found if each for name in each[1].split(", ")]


def annotations(node: ast.ClassDef | ast.FunctionDef) -> dict[str, str]:
    if isinstance(node, ast.ClassDef):
        return {
            each.target.id: ast.unparse(each.annotation)
            for each in node.body
            if isinstance(each, ast.AnnAssign)
        }
    every = [*node.args.args, *node.args.kwonlyargs]
    return {each.arg: ast.unparse(each.annotation) for each in every if each.annotation}


def test_docstrings_name_the_classes_that_signatures_name():
    other = []
    for path in sorted(ENGINE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                there = annotations(node)
                for name, said in said_of_parameters(node):
                    classes = set(re.findall(r"\b[A-Z][A-Za-z]+\b", re.sub(r'"[^"]*"', "", said))) - {"None"}
                    if name in there and any(each not in there[name] for each in classes):
                        other.append(f"{path.stem}.{node.name}: {name} : {said}")
    assert other == []
