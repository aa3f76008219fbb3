"""A layout on a page of LaTeX: widths estimated from letters, and what makes it fit: smaller letters, labels in lines, engines below one another.

Widths are in em of the letters in which the document is set. A line of the article class has 33 to 35, whatever the size of its letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hte_bridge.format.layout import Block, Layout
from hte_bridge.format.neutral import FOREIGN
from hte_bridge.format.text import marks_text

PAGE = 33.0  # of 32.9 to 34.5 with 10pt to 12pt
COMFORTABLE, NARROW, LEAST = 10.0, 6.0, 3.0
"""To which labels are wrapped before letters grow smaller; before engines go below one another; at all."""
RAISED = 0.8  # width of raised figures beside others


@dataclass(frozen=True)
class Size:
    """Letters of a table: the command, how wide they are, and the space between two columns (em of the document).

    Smaller letters are wider for their size: those of 10pt, 11pt and 12pt documents, the widest of the three.
    """

    command: str
    scale: float
    gap: float

    def room(self, columns: int) -> float:
        """What is left of a line for letters, in em of this size."""
        return (PAGE - self.gap * (columns - 1)) / self.scale


PLAIN = Size("", 1.0, 1.2)
SMALLER = (
    Size(r"\small\setlength{\tabcolsep}{5pt}", 0.93, 1.0),
    Size(r"\footnotesize\setlength{\tabcolsep}{4pt}", 0.85, 0.8),
    Size(r"\scriptsize\setlength{\tabcolsep}{3pt}", 0.8, 0.6),
)

WIDTHS = {  # of Computer Modern, rounded up
    **dict.fromkeys(" il.,:;[]!'|", 0.34),
    **dict.fromkeys("fjrst()-I_`/", 0.4),
    **dict.fromkeys("0123456789acegoz", 0.5),
    **dict.fromkeys("mwABCDEFGHKLMNOPQRTUVWXYZ%<>=+—", 0.85),
}
OTHER = 0.56


@dataclass(frozen=True)
class OnPage:
    """A part of a table that fits: its size, and for each column of labels how wide it may be."""

    made: Layout
    size: Size
    labels: tuple[float, ...]


def em(text: str) -> float:
    """Width of a text in em.

    Examples
    --------
    >>> round(em("0.4461"), 2), round(em("-1"), 2)
    (2.84, 1.35)
    """
    signs = len(re.findall(r"(?<![\w.)])-(?=[\d.])", text))  # a minus is wider than a hyphen
    foreign = len("".join(FOREIGN.findall(text)))  # written by their numbers
    return (
        sum(WIDTHS.get(each, OTHER if each.isascii() else 1.0) for each in text)
        + 0.45 * signs
        + 3.2 * foreign
    )


def on_pages(made: Layout) -> Iterator[OnPage]:
    """The whole table in the largest letters in which it fits; else, where its columns are engines, parts of it."""
    for least, sizes in ((COMFORTABLE, (PLAIN, *SMALLER[:2])), (NARROW, (PLAIN, *SMALLER))):
        for size in sizes:
            if labels := _fitting(made, size, least):
                yield OnPage(made, size, labels)
                return
    size = SMALLER[-1]
    if len(made.label_heads) > 2:  # a row for each estimate: nothing to put below
        yield _smallest(made)
        return
    figures, names = _figures(made), _narrowest(made, NARROW)
    start = 0
    while start < len(figures):
        end = start + 1
        while end < len(figures) and sum(names) + sum(figures[start : end + 1]) <= size.room(
            len(names) + end + 1 - start
        ):
            end += 1
        yield _smallest(made.part(start, end))
        start = end


def _smallest(made: Layout) -> OnPage:
    """In the smallest letters, its labels as narrow as they must be: perhaps wider than the page."""
    size = SMALLER[-1]
    labels = _fitting(made, size, NARROW) or _fitting(made, size, LEAST)
    return OnPage(made, size, labels or tuple(_narrowest(made, LEAST)))


def lines_of(block: Block, labels: Sequence[float]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Labels and figures line by line: a label that is wrapped goes on beside the figures."""
    parts = [wrapped(label, width) for label, width in zip(block.labels, labels, strict=True)]
    height = max(len(block.lines), *map(len, parts))
    blank = ("",) * len(block.cell_marks)
    return [
        (
            tuple(each[k] if k < len(each) else "" for each in parts),
            block.lines[k] if k < len(block.lines) else blank,
        )
        for k in range(height)
    ]


def wrapped(label: str, width: float) -> list[str]:
    """A label in lines of ``width`` em; words that are wider break after a mark, or stay.

    Examples
    --------
    >>> wrapped("robustness value: interval to 0", 8)
    ['robustness value:', 'interval to 0']
    """
    lines = [""]
    for word in _pieces(label, width):
        if lines[-1] and em((lines[-1] + word).rstrip()) > width:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += word
    return [*lines[:-1], lines[-1].rstrip()]


def _pieces(label: str, width: float) -> list[str]:
    """Words with the blank after them; of one that is too wide its parts between marks."""
    words = re.findall(r"\S+\s*", label)
    return [
        part
        for word in words
        for part in (
            re.findall(r"[^_.:/]+[_.:/]*\s*|[_.:/]+\s*", word) if em(word.strip()) > width else [word]
        )
    ]


def _fitting(made: Layout, size: Size, least: float) -> tuple[float, ...]:
    """Widths of the columns of labels with which the table fits, none narrower than ``least`` or its longest word; empty if there are none."""
    room = size.room(len(made.heads)) - sum(_figures(made))
    labels, low = _widest(made), _narrowest(made, least)
    if sum(low) > room:
        return ()
    while sum(labels) > room:
        over = [width - bound for width, bound in zip(labels, low, strict=True)]
        at = over.index(max(over))
        labels[at] -= min(over[at], max(sum(labels) - room, 0.5), 0.5 + over[at] / 2)
    return tuple(labels)


def _widest(made: Layout) -> list[float]:
    columns = zip(made.label_heads, *(block.labels for block in made.blocks), strict=True)
    marks = max((em(marks_text(block.marks)) for block in made.blocks), default=0.0) * RAISED
    found = [max(map(em, column)) for column in columns]
    return [*found[:-1], found[-1] + marks * made.marked_labels]


def _narrowest(made: Layout, least: float) -> list[float]:
    columns = zip(made.label_heads, *(block.labels for block in made.blocks), strict=True)
    words = [
        max((em(piece.rstrip()) for label in column for piece in _pieces(label, least)), default=0.0)
        for column in columns
    ]
    return [min(wide, max(least, word)) for wide, word in zip(_widest(made), words, strict=True)]


def _figures(made: Layout) -> list[float]:
    """Widths of the columns of figures with their marks."""
    marked = [
        [
            (head, marks),
            *(
                (cell, block.cell_marks[at] if not k else ())
                for block in made.blocks
                for k, cell in _cells(block, at)
            ),
        ]
        for at, (head, marks) in enumerate(zip(made.figure_heads, made.head_marks, strict=True))
    ]
    return [max(em(cell) + RAISED * em(marks_text(marks)) for cell, marks in column) for column in marked]


def _cells(block: Block, at: int) -> Iterator[tuple[int, str]]:
    return ((k, line[at]) for k, line in enumerate(block.lines))
