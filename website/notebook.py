"""A page with runnable code as a notebook: its text as markdown cells, its python blocks as code cells."""

from __future__ import annotations

import json
import re

RUNS = "<!-- runs"  # how a page says that its python blocks run: website.pages
R_TAB = re.compile(r'^=== "R"\n(?:\n|    .*\n)*', re.MULTILINE)
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```\n", re.MULTILINE | re.DOTALL
)


def of(markdown: str) -> str:
    """The notebook of a page that runs; empty for any other page."""
    if RUNS not in markdown:
        return ""
    markdown = R_TAB.sub("", markdown)
    cells: list[dict[str, object]] = []
    at = 0
    for block in BLOCK.finditer(markdown):
        if block["language"] not in ("python", "text"):
            continue
        cells += prose(markdown[at : block.start()])
        at = block.end()
        if block["language"] == "python":
            code = re.sub(rf"^{block['indent']}", "", block["code"], flags=re.MULTILINE).rstrip()
            cells.append(
                {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": code}
            )
        elif cells and cells[-1]["cell_type"] == "code":
            cells[-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": block["code"]}]
    cells += prose(markdown[at:])
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}, indent=1)


def prose(text: str) -> list[dict[str, object]]:
    """A markdown cell, where there is text: marks of tabs and comments of ours are left out."""
    said = re.sub(
        r"^=== .*\n|^<!--.*?-->\n?|^\[This page as a notebook\].*\n", "", text, flags=re.MULTILINE
    ).strip()
    return [{"cell_type": "markdown", "metadata": {}, "source": said}] if said else []
