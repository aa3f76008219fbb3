"""What can be read over coffee: functions of less than sixty lines beside their docstring, files of four hundred at the most."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hte_bridge"
LONGEST_FUNCTION, LONGEST_FILE = 59, 400


def too_long(source: str) -> list[str]:
    """Functions, and the file itself, that have more lines than that."""
    found = [f"file: {lines}"] if (lines := len(source.splitlines())) > LONGEST_FILE else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said = node.body[0] if ast.get_docstring(node) else None
            size = node.end_lineno - node.lineno + 1 - (said.end_lineno - said.lineno + 1 if said else 0)
            found += [f"{node.name}: {size}"] if size > LONGEST_FUNCTION else []
    return found


def test_functions_and_files_are_short():
    sources = {path: path.read_text(encoding="utf8") for path in sorted(PACKAGE.rglob("*.py"))}
    found = {path.relative_to(PACKAGE).as_posix(): too_long(source) for path, source in sources.items()}
    assert {path: said for path, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "source", ["x = 1\n" * 401, "def long():\n    '''What.'''\n" + "    x = 1\n" * 59 + "    return x\n"]
)
def test_what_is_too_long_would_be_caught(source):
    assert len(too_long(source)) == 1
