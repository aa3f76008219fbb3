"""Runs the code of the site's pages and writes what it prints into them: `make pages`, or python -m website.pages [FILE ...].

A page that begins with `<!-- runs -->` has its python blocks run in order, in one namespace and a folder of its own; what a block prints
stands in the ``text`` block after it. `<!-- runs: slow -->` says that the suite shall not run it. A picture that a block saves is kept in
docs/pictures.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from website import cost

DOCS = Path(__file__).parent.parent / "docs"
WIDTH = "88"  # characters that a page shows beside its lists
PICTURES = DOCS / "pictures"
RUNS = re.compile(r"^<!-- runs(: slow)? -->$", re.MULTILINE)
BLOCK = re.compile(
    r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```\n(?P<said>\n+(?P=indent)```text\n.*?^(?P=indent)```\n)?",
    re.MULTILINE | re.DOTALL,
)
VERSIONS = re.compile(
    r"^Versions: .*?(?=^\S(?<!V)|\Z)", re.MULTILINE | re.DOTALL
)  # the line and its indented followers


@dataclass(frozen=True)
class Ran:
    """One block: where it stands, its code, what the page says that it prints, and what it printed."""

    at: re.Match[str]
    code: str
    said: str
    printed: str


def pages(slow: bool) -> list[Path]:
    """Pages that run: all, or those that take a second or two."""
    found = [(path, RUNS.search(path.read_text(encoding="utf8"))) for path in sorted(DOCS.rglob("*.md"))]
    return [path for path, mark in found if mark and (slow or not mark[1])]


def run(text: str, folder: Path) -> Iterator[Ran]:
    """Run the blocks of a page in order, in ``folder``."""
    names: dict[str, Any] = {"__name__": "__page__"}
    for found in BLOCK.finditer(text):
        code = textwrap.dedent(found["code"])
        out = io.StringIO()
        width, costs = (
            patch.dict(os.environ, COLUMNS=WIDTH),
            patch("hte_bridge.format.text.FELT", float("inf")),
        )
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            width,
            costs,
        ):  # seconds differ by machine
            exec(compile(code, "<page>", "exec"), names)
        said = textwrap.dedent(found["said"] or "").strip().removeprefix("```text\n").removesuffix("```")
        yield Ran(found, code, plain(said), plain(out.getvalue()))


def plain(text: str) -> str:
    """Printed text without blanks at the ends of lines and at its end."""
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def lasting(text: str) -> str:
    """What does not change with the machine: the text without the versions of what made it."""
    return VERSIONS.sub("", text + "\n").strip()


def rewritten(text: str, folder: Path) -> str:
    """The page with what its blocks print now."""
    parts, at = [], 0
    for ran in run(text, folder):
        indent = ran.at["indent"]
        parts += [text[at : ran.at.start()], f"{indent}```python\n{ran.at['code']}{indent}```\n"]
        if ran.printed:
            # versions alone are no news: the page stays as it is on another machine
            shown = ran.said if lasting(ran.said) == lasting(ran.printed) else ran.printed
            parts.append("\n" + textwrap.indent(f"```text\n{shown}\n```\n", indent))
        at = ran.at.end()
    return "".join(parts) + text[at:]


def main(names: list[str]) -> None:
    """Rewrite the pages named, or all."""
    os.environ.setdefault("MPLBACKEND", "agg")
    for path in [Path(name).resolve() for name in names] or pages(slow=True):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            text = path.read_text(encoding="utf8")
            path.write_text(rewritten(text, Path(folder)), encoding="utf8")
            for picture in Path(folder).glob("*.png"):
                PICTURES.mkdir(exist_ok=True)
                shutil.copy(picture, PICTURES / picture.name)
        print(f"ran {path.relative_to(DOCS)} in {time.perf_counter() - began:.0f} s", flush=True)
    if not names:
        cost.main()


if __name__ == "__main__":
    main(sys.argv[1:])
