"""A table as strings: labels, cells, notes beneath it and numbered footnotes, before any format writes them.

Engines are columns where a question has an answer of several (the estimate over its error), rows otherwise or where asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hte_bridge.format.figures import DASH, Figures, figures
from hte_bridge.format.notes import notes
from hte_bridge.format.remarks import Marks, Remarks, remarks
from hte_bridge.format.words import coverage, p_value, star_note, stars
from hte_bridge.shown import visible

if TYPE_CHECKING:
    from hte_bridge.estimate import Estimate, HasRows

Key = tuple[str, str]


@dataclass(frozen=True)
class Block:
    """What belongs to one label: several lines where an error stands under its estimate.

    Parameters
    ----------
    labels : tuple of str
        As many as the layout has heads of labels.
    lines : tuple of tuple of str
        Each as long as the heads of figures.
    marks : tuple of int
        Footnotes of all of it.
    cell_marks : tuple of tuple of int
        Footnotes of each cell of the first line.
    """

    labels: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    marks: Marks = ()
    cell_marks: tuple[Marks, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A table as strings: what every format writes.

    Parameters
    ----------
    label_heads, figure_heads : tuple of str
    head_marks : tuple of tuple of int
        Footnotes of each head of figures.
    blocks : tuple of Block
    footnotes : tuple of str
        Footnote k is number k + 1; those that say why a figure is missing come first.
    notes : tuple of str
        Sentences under the table that are true of all of it.
    breaks : tuple of int
        Blocks before which a new estimand begins.
    """

    label_heads: tuple[str, ...]
    figure_heads: tuple[str, ...]
    head_marks: tuple[Marks, ...]
    blocks: tuple[Block, ...]
    footnotes: tuple[str, ...]
    notes: tuple[str, ...]
    breaks: tuple[int, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of labels and of figures."""
        return self.label_heads + self.figure_heads

    @property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """A line each, labels first; blank labels where a line belongs to the one above."""
        blank = ("",) * len(self.label_heads)
        return tuple(
            (block.labels if not k else blank) + line
            for block in self.blocks
            for k, line in enumerate(block.lines)
        )

    @property
    def marked_labels(self) -> bool:
        """Whether footnotes of a block stand at its label: where engines are columns."""
        return "engine" not in self.label_heads

    @property
    def marks(self) -> tuple[Marks, ...]:
        """Footnotes of each block as a whole."""
        return tuple(block.marks for block in self.blocks)

    def part(self, start: int, end: int) -> Layout:
        """Some of the columns of figures, and the blocks that have figures in them."""
        blocks = [
            replace(
                block,
                lines=tuple(line[start:end] for line in block.lines if any(line[start:end])),
                cell_marks=block.cell_marks[start:end],
            )
            for block in self.blocks
        ]
        kept = [k for k, block in enumerate(blocks) if block.lines]
        return replace(
            self,
            figure_heads=self.figure_heads[start:end],
            head_marks=self.head_marks[start:end],
            blocks=tuple(blocks[k] for k in kept),
            breaks=tuple(kept.index(k) for k in self.breaks if k in kept),
        )


def layout(table: HasRows, stars: bool = False, long: bool | None = True) -> Layout:
    """Labels, cells, notes and footnotes of a table; engines that answer the same question stand together.

    Parameters
    ----------
    table : Table
    stars : bool, default False
    long : bool, optional
        A row for each estimate; with ``False`` a column for each engine; ``None`` decides by the table.
    """
    rows = together(table.rows)
    wide = by_columns(table) if long is None else not long
    made = (_columns if wide else _rows)(rows, table.meta.get("notes") or {}, stars)
    said = [
        visible(" ".join(note.split())) for note in notes(rows, table.meta, beneath(made) if wide else "")
    ]
    return replace(made, notes=(*said, *made.notes, *([star_note()] if stars else [])))


def by_columns(table: HasRows) -> bool:
    """Whether engines are columns by default: where some question has an answer of several."""
    keys = [(row.estimand, row.term) for row in table.rows]
    return table.meta.get("form") != "rows" and len(set(keys)) < len(keys)


def together(rows: Sequence[Estimate]) -> list[Estimate]:
    """Rows ordered by estimand, then term, then engine, each in order of first appearance."""
    estimands = list(dict.fromkeys(row.estimand for row in rows))
    keys = list(dict.fromkeys((row.estimand, row.term) for row in rows))
    keys.sort(key=lambda key: estimands.index(key[0]))
    order = {key: i for i, key in enumerate(keys)}
    return sorted(rows, key=lambda row: order[row.estimand, row.term])


def _rows(rows: Sequence[Estimate], of_engines: Mapping[str, Sequence[str]], starred: bool) -> Layout:
    """A row for each estimate."""
    said = remarks(rows, of_engines)
    blocks = []
    for row, by in zip(rows, figures(rows), strict=True):
        labels = (visible(row.engine), visible(row.estimand), visible(row.term))
        blocks.append(Block(labels, (_line(row, by, starred),), said.marks(row), ((),) * 4))
    heads = ("estimate", "std. error", f"{coverage(rows)} interval", "p")
    breaks = _breaks([row.estimand for row in rows])
    return Layout(
        ("engine", "estimand", "term"), heads, ((),) * 4, tuple(blocks), said.footnotes, said.common, breaks
    )


def _columns(rows: Sequence[Estimate], of_engines: Mapping[str, Sequence[str]], starred: bool) -> Layout:
    """A column for each engine; under an estimate its error, and what the error does not tell."""
    rows = _beside_others(rows)
    said = remarks(rows, of_engines)
    engines = tuple(dict.fromkeys(row.engine for row in rows))
    found: dict[Key, dict[str, Estimate]] = {}
    for row in rows:
        found.setdefault((row.estimand, row.term), {})[row.engine] = row
    by = dict(zip(map(id, rows), figures(rows), strict=True))
    heads = tuple(said.of_all([row for row in rows if row.engine == name]) for name in engines)
    blocks, before = [], ""
    for (estimand, term), answers in found.items():
        labels = (visible(estimand) if estimand != before else "", visible(term))
        before = estimand
        blocks.append(_block(labels, [answers.get(name) for name in engines], said, heads, by, starred))
    return Layout(
        ("estimand", "term"),
        tuple(map(visible, engines)),
        heads,
        tuple(blocks),
        said.footnotes,
        said.common,
        _breaks([estimand for estimand, _ in found]),
    )


def _beside_others(rows: Sequence[Estimate]) -> list[Estimate]:
    """A row that stands for a whole question without an answer, at each term to which other engines have one: no line of its own."""
    terms = dict.fromkeys((row.estimand, row.term) for row in rows if math.isfinite(row.estimate) or row.test)
    known = {(row.estimand, row.term, row.engine) for row in rows}
    out: list[Estimate] = []
    for row in rows:
        whole = not math.isfinite(row.estimate) and not row.test and (row.estimand, row.term) not in terms
        start = f"{row.term}: " if row.term else ""
        own = [
            term
            for estimand, term in terms
            if whole
            and estimand == row.estimand
            and term.startswith(start)
            and (estimand, term, row.engine) not in known
        ]
        out += [row.with_(term=term) for term in own] or [row]
    return together(out)


def _block(
    labels: tuple[str, ...],
    answers: Sequence[Estimate | None],
    said: Remarks,
    heads: Sequence[Marks],
    by: Mapping[int, Figures],
    starred: bool,
) -> Block:
    """One question: the engines' answers side by side."""
    given = [row for row in answers if row is not None]
    shared = said.of_all(given) if len(given) > 1 else ()
    marks, stacks = [], []
    for row, head in zip(answers, heads, strict=True):
        own = () if row is None else said.marks(row)
        marks.append(tuple(mark for mark in own if mark not in {*head, *shared}))
        stacks.append([] if row is None else _stack(row, by[id(row)], starred))
    height = max(map(len, stacks))
    lines = tuple(tuple(stack[k] if k < len(stack) else "" for stack in stacks) for k in range(height))
    in_heads = set(heads[0]).intersection(*heads) if heads else set()
    return Block(labels, lines, tuple(mark for mark in shared if mark not in in_heads), tuple(marks))


def _stack(row: Estimate, by: Figures, starred: bool) -> list[str]:
    """An estimate, its error in parentheses, an interval of its own in brackets, and a p-value that is not that of its t."""
    ends = _ends(row, by)
    if _only_test(row):
        return [f"stat. {row.statistic:.3g}", f"p {p_value(row.p_value)}"]
    lines = [by.text(row.estimate) + (stars(row.p_value) if starred else "")]
    lines += [f"({by.error(row.std_error)})"] if row.std_error > 0 else []
    own = row.interval is not None or not row.std_error > 0
    lines += [ends] if own and ends != DASH else []
    return lines + ([f"p {p_value(row.p_value)}"] if row.test and math.isfinite(row.p_value) else [])


def beneath(made: Layout) -> str:
    """What parentheses and brackets hold, as words before the kinds of errors."""
    below = [cell for block in made.blocks for line in block.lines[1:] for cell in line]
    words = ["in parentheses"] if any(cell.startswith("(") for cell in below) else []
    return ", intervals ".join([*words, *(["in brackets"] if any(cell[:1] == "[" for cell in below) else [])])


def _line(row: Estimate, by: Figures, starred: bool) -> tuple[str, ...]:
    """Estimate, error, interval and p-value of one row as strings."""
    star = stars(row.p_value) if starred else ""
    test = f"statistic {row.statistic:.3g}" if _only_test(row) else ""
    return (
        by.text(row.estimate) + star,
        by.error(row.std_error),
        test or _ends(row, by),
        p_value(row.p_value),
    )


def _ends(row: Estimate, by: Figures) -> str:
    ends = (by.text(row.conf_low), by.text(row.conf_high))
    return DASH if DASH in ends else f"[{ends[0]}, {ends[1]}]"


def _only_test(row: Estimate) -> bool:
    """Whether a row is a test and nothing else."""
    return row.test is not None and not math.isfinite(row.estimate) and math.isfinite(row.statistic)


def _breaks(estimands: Sequence[str]) -> tuple[int, ...]:
    """Where another estimand begins, unless both have a single row."""
    changed = [i for i in range(1, len(estimands)) if estimands[i] != estimands[i - 1]]
    return tuple(
        i for i in changed if max(estimands.count(estimands[i]), estimands.count(estimands[i - 1])) > 1
    )
