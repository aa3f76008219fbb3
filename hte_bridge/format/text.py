"""A layout as text of a given width: labels wrap, figures are never cut, and engines that do not fit go below one another."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hte_bridge.format.layout import Block, Layout, layout
from hte_bridge.progress import on_terminal
from hte_bridge.shown import shorten

if TYPE_CHECKING:
    from hte_bridge.estimate import HasRows

WIDTH = 100  # where there is no terminal
NARROWEST, WIDEST_NOTE = 40, 120
LEAST, READABLE = (
    8,
    12,
)  # characters to which labels of a column may be wrapped; and for the sake of another engine beside
LONG_WORD = 12  # characters beyond which a word of a label may be broken
LONGEST = 160  # characters of a label, beyond which its middle is left out
GAP = 2
FELT = 2.0  # seconds


def page_width() -> int:
    """Characters of a line: of the terminal, or of ``COLUMNS``; ``WIDTH`` where the output goes elsewhere."""
    told = os.environ.get("COLUMNS", "").isdigit() or on_terminal(sys.stdout)
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROWEST) if told else WIDTH


def to_text(
    table: HasRows, *, long: bool | None = None, stars: bool = False, width: int | None = None
) -> str:
    """The printed table, its notes and numbered footnotes beneath; see ``Table.to_text``.

    Examples
    --------
    >>> from hte_bridge.table import Estimate, Table
    >>> print(Table((Estimate("ate", 2.0, 0.5, engine="grf"),), {"n": 100, "seed": 1}))
    engine  estimand  term  estimate  std. error   95 % interval       p
    --------------------------------------------------------------------
    grf     ate                2.000       0.500  [1.020, 2.980]  <0.001
    n = 100.
    Seed 1.
    >>> print(Table((Estimate("ate", 2.0, 0.5, engine="grf"), Estimate("ate", 1.5, 0.4, engine="deep"))))
    estimand  term      grf     deep
    --------------------------------
    ate               2.000    1.500
                    (0.500)  (0.400)
    Standard errors in parentheses.
    """
    width = page_width() if width is None else max(width, NARROWEST)
    made = layout(table, stars=stars, long=long)
    lines: list[str] = []
    for part in panels(made, width):
        lines += [*([""] if lines else []), *_drawn(part, width)]
    costs = later(table.meta.get("later") or {})
    made = replace(made, notes=(*made.notes, *([costs] if costs else [])))
    return "\n".join([*lines, *under(made, width)])


def later(costs: Mapping[str, Mapping[str, float]]) -> str:
    """What the first of further questions will cost, where that is to be felt.

    Examples
    --------
    >>> later({"ranking": {"grf": 3.0, "deep": 9.2}, "cate": {"deep": 16.0}})
    'To come: gates, clan, rate, toc and policy first rank units by models of earlier folds, about 12 s; cate of deep makes its posterior first, about 16 s.'
    """
    ranking, said = sum(costs.get("ranking", {}).values()), []
    if ranking >= FELT:
        ranked = "gates, clan, rate, toc and policy first rank units by models of earlier folds"
        said.append(f"{ranked}, about {ranking:,.0f} s")
    for engine, seconds in costs.get("cate", {}).items():
        if seconds >= FELT:
            said.append(f"cate of {engine} makes its posterior first, about {seconds:,.0f} s")
    return f"To come: {'; '.join(said)}." if said else ""


def panels(made: Layout, width: int) -> Iterator[Layout]:
    """The layout itself where it fits; else its columns of figures in groups that do, if they are of engines."""
    sizes = [max(map(_length, column)) + GAP for column in zip(*_figures(made), strict=True)]
    room = width - sum(_narrowest(made, READABLE)) - GAP * (len(made.label_heads) - 1)
    if len(made.label_heads) > 2 or sum(sizes) <= room:
        yield made
        return
    start = 0
    while start < len(sizes):
        end = start + 1
        while end < len(sizes) and sum(sizes[start : end + 1]) <= room:
            end += 1
        yield made.part(start, end)
        start = end


def _figures(made: Layout) -> list[list[str]]:
    """Lines of heads and figures as they are drawn, decimal points under one another."""
    heads = [
        f"{head} {marks_text(marks)}".strip()
        for head, marks in zip(made.figure_heads, made.head_marks, strict=True)
    ]
    lines = [list(line) for block in made.blocks for line in block.lines]
    columns = [list(column) for column in zip(*lines, strict=True)] or [[] for _ in heads]
    marked = [
        [
            marks_text(block.cell_marks[at]) if not k else ""
            for block in made.blocks
            for k, _ in enumerate(block.lines)
        ]
        for at in range(len(heads))
    ]
    placed = [_with_marks(on_point(column), marks) for column, marks in zip(columns, marked, strict=True)]
    return [heads, *(list(line) for line in zip(*placed, strict=True))]


def _with_marks(column: list[str], marks: Sequence[str]) -> list[str]:
    most = max(map(len, marks), default=0)
    return [f"{cell} {mark:<{most}}" if most else cell for cell, mark in zip(column, marks, strict=True)]


def _narrowest(made: Layout, least: int = LEAST) -> list[int]:
    """How narrow each column of labels can be drawn: no word of ordinary length is broken, the table rather runs over."""
    columns = zip(made.label_heads, *(block.labels for block in made.blocks), strict=True)
    words = [
        max((_length(word) for label in column for word in label.split()), default=0) for column in columns
    ]
    return [
        min(size, max(least, min(word, LONG_WORD))) for size, word in zip(_widest(made), words, strict=True)
    ]


def _widest(made: Layout) -> list[int]:
    columns = zip(made.label_heads, *(block.labels for block in made.blocks), strict=True)
    return [max(map(_length, column)) for column in columns]


def _label_widths(made: Layout, room: int) -> list[int]:
    """Widths of the columns of labels: as they are, or narrower from the widest on until they fit."""
    sizes, least = _widest(made), _narrowest(made)
    while sum(sizes) > room and any(size > low for size, low in zip(sizes, least, strict=True)):
        at = max(
            (k for k in range(len(sizes)) if sizes[k] > least[k]), key=lambda k: (sizes[k] - least[k], k)
        )
        sizes[at] -= 1
    return sizes


def _drawn(made: Layout, width: int) -> list[str]:
    """Lines of the table, a rule under its heads."""
    heads, *figures = _figures(made)
    marks = [marks_text(block.marks) for block in made.blocks]
    sizes = [max(map(len, column)) for column in zip(heads, *figures, strict=True)]
    taken = sum(sizes) + GAP * (len(sizes) + len(made.label_heads) - 1)
    taken += (max(map(len, marks), default=0) + GAP) if any(marks) else 0
    label_sizes = _label_widths(made, width - taken)
    names = [
        shortened(labels, LONGEST) for labels in zip(*(each.labels for each in made.blocks), strict=True)
    ]
    sizes, lines, at = label_sizes + sizes, [], 0
    for k, block in enumerate(made.blocks):
        shown = [cut[label] for cut, label in zip(names, block.labels, strict=True)]
        own = figures[at : at + len(block.lines)]
        at += len(block.lines)
        lines += [""] * (k in made.breaks) + _block_lines(block, shown, own, marks[k], label_sizes, sizes)
    head = _joined([*made.label_heads, *heads], sizes, len(label_sizes))
    return [head, "-" * max(map(len, [head, *lines])), *lines]


def _block_lines(
    block: Block,
    labels: Sequence[str],
    figures: Sequence[Sequence[str]],
    mark: str,
    label_sizes: Sequence[int],
    sizes: Sequence[int],
) -> list[str]:
    wrapped = [wrap_label(label, size) for label, size in zip(labels, label_sizes, strict=True)]
    height = max(len(figures), *map(len, wrapped))
    lines = []
    for k in range(height):
        words = [part[k] if k < len(part) else "" for part in wrapped]
        cells = list(figures[k]) if k < len(figures) else [""] * len(block.cell_marks)
        line = _joined([*words, *cells], sizes, len(words))
        short = sum(sizes) + GAP * len(sizes) - _length(line)
        lines.append(line + " " * short + mark if mark and not k else line)
    return lines


def _joined(cells: Sequence[str], sizes: Sequence[int], labels: int) -> str:
    padded = [
        cell + " " * (size - _length(cell)) if k < labels else " " * (size - _length(cell)) + cell
        for k, (cell, size) in enumerate(zip(cells, sizes, strict=True))
    ]
    return (" " * GAP).join(padded).rstrip()


def _length(text: str) -> int:
    """Columns of a terminal that a text takes: two for each wide letter, none for what is set on another."""
    if text.isascii():
        return len(text)
    return sum(
        (1 + (unicodedata.east_asian_width(each) in "WF"))
        * (unicodedata.category(each) not in ("Mn", "Me", "Cf"))
        for each in text
    )


def wrap_label(text: str, width: int) -> list[str]:
    """A label in lines of ``width``; nothing of it is lost.

    Examples
    --------
    >>> wrap_label("robustness value: interval to 0", 16)
    ['robustness', 'value: interval', 'to 0']
    """
    size = max(width * len(text) // max(_length(text), 1), 1)  # fewer where letters are wide
    return textwrap.wrap(text, size, break_on_hyphens=False) or [""]


def under(made: Layout, width: int = WIDTH) -> list[str]:
    """Notes and footnotes wrapped to the width of the page."""
    width, lines = min(width, WIDEST_NOTE), list[str]()
    for note in made.notes:
        lines += textwrap.wrap(note, width, subsequent_indent="  ")
    for i, note in enumerate(made.footnotes, 1):
        lines += textwrap.wrap(f"[{i}] {note}", width, subsequent_indent="    ")
    return lines


def marks_text(marks: Sequence[int]) -> str:
    """``"[1,2]"``, or nothing."""
    return f"[{','.join(map(str, marks))}]" if marks else ""


def shortened(texts: Sequence[str], width: int) -> dict[str, str]:
    """Each text cut to ``width``; two that would read alike are numbered.

    Examples
    --------
    >>> shortened(["income_2001_net_of_tax", "income_2002_net_of_tax", "age"], 12)
    {'income_2001_net_of_tax': 'incom…of_tax', 'income_2002_net_of_tax': 'inc…_tax (2)', 'age': 'age'}
    """
    out: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        cut, number = shorten(text, width), 1
        while cut in out.values():
            number += 1
            mark = f" ({number})"
            cut = shorten(text, max(width - len(mark), 2)) + mark
        out[text] = cut
    return out


def on_point(column: Sequence[str]) -> list[str]:
    """Numbers, some in parentheses, padded on the right so that their decimal points stand under one another.

    Examples
    --------
    >>> on_point(["1.5", "(0.25)", "[1, 2]"])
    ['1.5  ', '(0.25)', '[1, 2]']
    """
    after = [len(cell.partition(".")[2]) for cell in column]
    numbers = [_is_figure(cell) for cell in column]
    most = max((n for n, number in zip(after, numbers, strict=True) if number), default=0)
    return [
        cell + " " * (most - n + ((most > 0) if "." not in cell else 0)) if number else cell
        for cell, n, number in zip(column, after, numbers, strict=True)
    ]


def _is_figure(cell: str) -> bool:
    return not cell.startswith(("[", "p ", "stat")) and any(each.isdigit() or each == "—" for each in cell)
