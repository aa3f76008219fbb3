"""Imports point down: the layer table of docs/architecture.md, held against what the modules import."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "hte_bridge"
CONFINED = {  # library -> where it may be imported
    "torch": ("engines/deep/",),
    "rpy2": ("rlink/worker.py",),
    "pyfixest": ("engines/regressed.py", "inference.py"),
}
ENGINES = (
    "feols",
    "forest",
    "deep",
    "meta",
    "stack",
    "econml",
    "given",
)  # know neither each other nor scores
OUTSIDE = {"estimands": {"numpy", "scipy", "pandas"}, "scores": {"numpy", "scipy"}}


@dataclass(frozen=True)
class Layer:
    number: int
    rooms: frozenset[str]
    may: frozenset[str]  # rooms of other layers


@dataclass(frozen=True)
class Import:
    file: str  # relative to the package
    line: int
    target: str  # "hte_bridge.table", "torch.nn"


def read_layers(text: str) -> list[Layer]:
    """The table's lines: number, rooms in backticks, what they may import ("1-8" or names in backticks)."""
    lines = re.findall(r"^\| (\d+)[^|]*\| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
    rooms = {
        int(number): re.findall(r"`([a-z_]+)/?`", re.sub(r"\([^)]*\)+", "", made))
        for number, made, _ in lines
    }
    layers = []
    for number, _, may in lines:
        named = set(re.findall(r"`([a-z_]+)/?`", may))
        if upto := re.search(r"1–(\d+)", may) or re.fullmatch(r"(1)\b.*", may):
            named |= {room for below in range(1, int(upto[1]) + 1) for room in rooms[below]}
        if "everything" in may:
            named |= {room for below in range(1, int(number)) for room in rooms[below]}
        layers.append(Layer(int(number), frozenset(rooms[int(number)]), frozenset(named)))
    return layers


class Imports(ast.NodeVisitor):
    """Every import of a file, wherever it stands, except under ``if TYPE_CHECKING``."""

    def __init__(self, file: str) -> None:
        self.file, self.found = file, []

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                self.visit(other)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [Import(self.file, node.lineno, alias.name) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            here = [PACKAGE, *Path(self.file).parent.parts]
            base = ".".join([*here[: len(here) - node.level + 1], *filter(None, [base])])
        # `from hte_bridge import table` names a module, `from hte_bridge.table import Table` a thing in one
        names = [f"{base}.{alias.name}" for alias in node.names] if base == PACKAGE else [base]
        self.found += [Import(self.file, node.lineno, name) for name in names]


def imports(package: Path) -> Iterator[Import]:
    for path in sorted(package.rglob("*.py")):
        walker = Imports(path.relative_to(package).as_posix())
        walker.visit(ast.parse(path.read_text(encoding="utf8")))
        yield from walker.found


def room(dotted: str) -> str:
    """First name below the package: ``hte_bridge.engines.feols`` -> ``engines``."""
    parts = dotted.removesuffix(".py").replace("/", ".").split(".")
    parts = parts[1:] if parts[0] == PACKAGE else parts
    return parts[0] if parts else "__init__"


def engine(dotted: str) -> str | None:
    match = re.match(rf"(?:{PACKAGE}[./])?engines[./](\w+)", dotted)
    return match[1] if match and match[1] in ENGINES else None


def violations(package: Path, layers: list[Layer]) -> list[str]:
    home = {room: layer for layer in layers for room in layer.rooms}
    said = []
    for each in imports(package):
        where, here, library = f"{each.file}:{each.line}", room(each.file), each.target.split(".")[0]
        if here not in home:
            said.append(f"{where}: `{here}` is in no layer of docs/architecture.md")
        elif library == PACKAGE:
            there = room(each.target)
            there = (
                there if there in home else "__init__"
            )  # a thing of the package itself, such as __version__
            same = home[there] is home[here]
            if not (there == here or same or there in home[here].may):
                said.append(f"{where}: `{here}` may not import `{there}`")
            elif engine(each.file) and engine(each.target) not in (None, engine(each.file)):
                said.append(f"{where}: engines do not know each other, `{each.target}` is one")
        elif library in CONFINED and not each.file.startswith(CONFINED[library]):
            said.append(f"{where}: `{library}` may be imported only in {', '.join(CONFINED[library])}")
        elif here in OUTSIDE and not (library in OUTSIDE[here] or library in STANDARD):
            said.append(f"{where}: `{here}` needs {', '.join(sorted(OUTSIDE[here]))} alone, not `{library}`")
    return said


def graph(package: Path) -> dict[str, set[str]]:
    """Each module of the package -> modules that it imports, wherever the import stands, for types alone too."""
    files = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        files[".".join([PACKAGE, *parts]).removesuffix(".__init__")] = path
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        here = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = here[: len(here) - node.level + 1] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                inside = {f"{base}.{alias.name}" for alias in node.names}
                found[name] |= (inside & files.keys()) or {base}
        found[name] = (found[name] & files.keys()) - {name}
    return found


def rings(found: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that import one another, directly or by way of others (Tarjan, 1972, SIAM J. Computing 1(2))."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    out: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in sorted(found[name]):
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            ring = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(ring) > 1:
                out.append(sorted(ring))

    for name in sorted(found):
        if name not in number:
            visit(name)
    return out


STANDARD = sys.stdlib_module_names
LAYERS = read_layers((ROOT / "docs" / "architecture.md").read_text(encoding="utf8"))


def test_the_table_is_read_whole():
    assert [layer.number for layer in LAYERS] == list(range(12, 0, -1))
    assert {"errors", "progress"} <= LAYERS[-1].rooms
    assert not LAYERS[-1].may
    assert {"report", "plot"} <= next(layer.rooms for layer in LAYERS if layer.number == 10)
    assert next(layer.may for layer in LAYERS if layer.number == 2) == LAYERS[-1].rooms


def test_imports_point_down():
    assert violations(ROOT / PACKAGE, LAYERS) == []


PLANTED = {
    "upward": ("table.py", "from hte_bridge.engine import Fit", "`table` may not import `engine`"),
    "upward, nested": (
        "scores.py",
        "def f():\n    import hte_bridge.engines.feols",
        "`scores` may not import `engines`",
    ),
    "upward, relative": (
        "plot/curve.py",
        "from ..comparing import compare",
        "`plot` may not import `comparing`",
    ),
    "upward, through the front": ("study.py", "import hte_bridge as hb", "`study` may not import `__init__`"),
    "another engine": (
        "engines/deep/fit.py",
        "from hte_bridge.engines.feols import Feols",
        "know each other",
    ),
    "torch": ("estimands/averages.py", "import torch.nn", "`torch` may be imported only in engines/deep/"),
    "rpy2": (
        "rlink/client.py",
        "from rpy2 import rinterface",
        "`rpy2` may be imported only in rlink/worker.py",
    ),
    "pyfixest": (
        "engines/deep/fit.py",
        "import pyfixest",
        "`pyfixest` may be imported only in engines/regressed.py",
    ),
    "heavy scores": ("scores.py", "import sklearn", "`scores` needs numpy, scipy alone"),
    "no layer": ("utils.py", "import os", "`utils` is in no layer"),
}


@pytest.mark.parametrize(("file", "code", "sentence"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_caught(tmp_path, file, code, sentence):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf8")
    (said,) = violations(tmp_path, LAYERS)
    assert sentence in said


def test_what_is_allowed_passes(tmp_path):
    path = tmp_path / "engines" / "regressed.py"
    path.parent.mkdir()
    lines = ["import pyfixest", "from hte_bridge.table import Estimate", "from .linear import interacted"]
    path.write_text(
        "\n".join([*lines, "if TYPE_CHECKING:", "    from hte_bridge.scores import Scores"]), encoding="utf8"
    )
    assert violations(tmp_path, LAYERS) == []


def test_no_module_imports_what_imports_it():
    assert rings(graph(ROOT / PACKAGE)) == []


RINGS = {
    "two, at the top": {"a.py": "import hte_bridge.b", "b.py": "from hte_bridge import a"},
    "three, in a function": {
        "a.py": "from hte_bridge.b import x",
        "b.py": "def f():\n    from hte_bridge.c import y",
        "c.py": "import hte_bridge.a",
    },
    "for types alone": {
        "a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hte_bridge.b import X",
        "b.py": "from hte_bridge.a import Y",
    },
    "through a package": {
        "room/__init__.py": "from hte_bridge.room.a import A",
        "room/a.py": "from hte_bridge.b import B",
        "b.py": "from .room import A",
    },
}


@pytest.mark.parametrize("files", RINGS.values(), ids=RINGS)
def test_a_planted_ring_is_caught(tmp_path, files):
    for file, code in files.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf8")
    (ring,) = rings(graph(tmp_path))
    assert len(ring) == len(files)
