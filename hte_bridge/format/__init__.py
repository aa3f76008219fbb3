"""How a table reads: one layout of cells, notes and footnotes, written as text, markdown, LaTeX or HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from hte_bridge.format.layout import Layout, layout
from hte_bridge.format.neutral import latex, markdown, markdown_sentence
from hte_bridge.shown import shorten

if TYPE_CHECKING:
    from jinja2 import Template

    from hte_bridge.estimate import HasRows

WIDTH = 100
PAGE = """<div class="hte-bridge"><table>
<thead><tr>{% for head in made.heads %}<th scope="col">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in made.cells %}{% set marks = made.marks[loop.index0] %}
<tr{% if loop.index0 in made.breaks %} class="begins"{% endif %}>
{%- for cell in row %}<td{% if loop.index > 3 %} class="number"{% endif %}>{{ cell }}
{%- if loop.last and marks %}<sup> {{ marks | join(",") }}</sup>{% endif %}</td>{% endfor %}</tr>
{%- endfor %}</tbody></table>
{% for note in made.notes %}<p class="{{ "warning" if note.startswith("Warning") else "note" }}">{{ note }}</p>
{% endfor %}{% if made.footnotes %}<ol>{% for note in made.footnotes %}<li>{{ note }}</li>{% endfor %}</ol>{% endif %}
</div>"""


def to_text(table: HasRows) -> str:
    """The printed table, at most 100 columns wide, its notes and numbered footnotes beneath.

    Examples
    --------
    >>> from hte_bridge.table import Estimate, Table
    >>> print(Table((Estimate("ate", 2.0, 0.5, engine="grf"),), {"n": 100, "seed": 1}))
    engine  estimand  term  estimate  std. error   95 % interval       p
    --------------------------------------------------------------------
    grf     ate                2.000       0.500  [1.020, 2.980]  <0.001
    n = 100.
    Seed 1.
    """
    made = layout(table)
    lines = _drawn(made, {})
    widths: dict[int, int] = {}
    for column in (2, 0):  # only terms, then engines, can be cut without losing a figure
        over = max(map(len, lines)) - WIDTH
        if over > 0:
            longest = max(len(row[column]) for row in made.cells)
            widths[column] = max(longest - over, 8)
            lines = _drawn(made, widths)
    return "\n".join([*lines, *under(made)])


def _drawn(made: Layout, widths: Mapping[int, int]) -> list[str]:
    from tabulate import tabulate

    columns = [list(column) for column in zip(*made.cells, strict=True)] or [[] for _ in made.heads]
    for column, width in widths.items():
        cut = shortened(columns[column], width)
        columns[column] = [cut[cell] for cell in columns[column]]
    columns[3:5] = [on_point(columns[3]), on_point(columns[4])]
    body = [list(row) for row in zip(*columns, map(marks_text, made.marks), strict=True)]
    heads = [*made.heads, ""]
    for at in reversed(made.breaks):
        body.insert(at, [""] * len(heads))
    drawn = tabulate(
        [heads, *body],  # tabulate pads true headers by two more columns each
        tablefmt="plain",
        disable_numparse=True,
        preserve_whitespace=True,
        colalign=("left",) * 3 + ("right",) * 4 + ("left",),
    )
    head, *lines = [line.rstrip() for line in drawn.splitlines()]
    return [head, "-" * max(map(len, [head, *lines])), *lines]


def under(made: Layout) -> list[str]:
    """Notes and footnotes wrapped to the width of the page."""
    lines: list[str] = []
    for note in made.notes:
        lines += textwrap.wrap(note, WIDTH, subsequent_indent="  ")
    for i, note in enumerate(made.footnotes, 1):
        lines += textwrap.wrap(f"[{i}] {note}", WIDTH, subsequent_indent="    ")
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
    """Numbers padded on the right so that their decimal points stand under one another."""
    after = [len(cell.partition(".")[2]) for cell in column]
    most = max(after, default=0)
    return [
        cell + " " * (most - n + ((most > 0) if "." not in cell else 0))
        for cell, n in zip(column, after, strict=True)
    ]


def to_markdown(table: HasRows) -> str:
    """The same as a markdown table; footnotes are numbered below it.

    Examples
    --------
    >>> from hte_bridge.table import Estimate, Table
    >>> print(Table((Estimate("ate", 2.0, 0.5, engine="grf"),)).to_markdown())
    | engine | estimand | term | estimate | std. error | 95 % interval | p | |
    |:--|:--|:--|--:|--:|--:|--:|:--|
    | grf | ate | | 2.000 | 0.500 | [1.020, 2.980] | <0.001 | |
    """
    made = layout(table)
    lines = [_markdown_line([*made.heads, ""]), "|:--|:--|:--|--:|--:|--:|--:|:--|"]
    lines += [
        _markdown_line([*row, marks_text(marks)]) for row, marks in zip(made.cells, made.marks, strict=True)
    ]
    lines += [f"\n{markdown_sentence(note)}" for note in made.notes]
    lines += [f"\n[{i}] {markdown_sentence(note)}" for i, note in enumerate(made.footnotes, 1)]
    return "\n".join(lines)


def _markdown_line(row: Sequence[str]) -> str:
    named = [*map(markdown, row[:3]), *row[3:]]  # the rest are figures
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in named)


def to_html(table: HasRows) -> str:
    """The table and its notes as an HTML fragment without styles or scripts; every text is escaped."""
    return _page().render(made=layout(table))


@cache
def _page() -> Template:
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(PAGE)


def to_latex(table: HasRows, stars: bool = False) -> str:
    r"""A booktabs table with its notes, for ``booktabs`` and ``threeparttable``.

    Parameters
    ----------
    table : Table
    stars : bool, default False
        Mark p-values below 0.01, 0.05 and 0.1, and say so in the notes.

    Examples
    --------
    >>> from hte_bridge.table import Estimate, Table
    >>> print(Table((Estimate("ate", 2.0, 0.5, engine="grf"),)).to_latex())
    \begin{threeparttable}
    \begin{tabular}{lllrrrr}
    \toprule
    engine & estimand & term & estimate & std. error & 95 \% interval & p \\
    \midrule
    grf & ate &  & 2.000 & 0.500 & [1.020, 2.980] & $<$0.001 \\
    \bottomrule
    \end{tabular}
    \end{threeparttable}
    """
    made = layout(table, stars=stars)
    body = []
    for i, (row, marks) in enumerate(zip(made.cells, made.marks, strict=True)):
        mark = f"\\tnote{{{','.join(map(str, marks))}}}" if marks else ""
        body += [r"\addlinespace"] * (i in made.breaks) + [_latex_line(row, mark)]
    said = [rf"\item {{}}{latex(note)}" for note in made.notes]
    said += [rf"\item[{i}] {latex(note)}" for i, note in enumerate(made.footnotes, 1)]
    lines = [r"\begin{threeparttable}", rf"\begin{{tabular}}{{{'l' * 3 + 'r' * 4}}}", r"\toprule"]
    lines += [_latex_line(made.heads), r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    lines += [r"\begin{tablenotes}\footnotesize", *said, r"\end{tablenotes}"] if said else []
    return "\n".join([*lines, r"\end{threeparttable}"])


def _latex_line(row: Sequence[str], mark: str = "") -> str:
    first = "{}" if row[0].startswith(("[", "*")) else ""  # after the end of a row these would be its options
    return first + " & ".join(map(latex, row)) + mark + r" \\"
