"""How a table reads: one layout of labels, cells, notes and footnotes, written as text, markdown, LaTeX or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from hte_bridge.format.layout import layout
from hte_bridge.format.neutral import markdown, markdown_sentence
from hte_bridge.format.tex import to_latex
from hte_bridge.format.text import WIDTH, marks_text, page_width, shortened, to_text
from hte_bridge.shown import shorten

if TYPE_CHECKING:
    from jinja2 import Template

    from hte_bridge.estimate import HasRows

__all__ = [
    "WIDTH",
    "page_width",
    "shorten",
    "shortened",
    "to_html",
    "to_latex",
    "to_markdown",
    "to_text",
]

PAGE = """<div class="hte-bridge"><table>
<thead><tr>{% for head in made.label_heads %}<th scope="col" style="text-align: left">{{ head }}</th>{% endfor %}
{%- for head in made.figure_heads %}<th scope="col" class="number" style="text-align: right">{{ head }}
{%- if made.head_marks[loop.index0] %}<sup> {{ made.head_marks[loop.index0] | join(",") }}</sup>{% endif %}</th>{% endfor %}</tr></thead>
<tbody>{% for block in made.blocks %}{% set begins = loop.index0 in made.breaks %}{% for line in block.lines %}{% set first = loop.first %}
<tr{% if begins and first %} class="begins"{% endif %}>
{%- for label in block.labels %}<td style="text-align: left">{% if first %}{{ label }}
{%- if loop.last and made.marked_labels and block.marks %}<sup> {{ block.marks | join(",") }}</sup>{% endif %}{% endif %}</td>{% endfor %}
{%- for cell in line %}{% set own = block.cell_marks[loop.index0] if first else () %}<td class="number" style="text-align: right">{{ cell }}
{%- if own %}<sup> {{ own | join(",") }}</sup>{% endif %}
{%- if first and loop.last and not made.marked_labels and block.marks %}<sup> {{ block.marks | join(",") }}</sup>{% endif %}</td>{% endfor %}</tr>
{%- endfor %}{% endfor %}</tbody></table>
{% for note in made.notes %}<p class="{{ "warning" if note.startswith("Warning") else "note" }}">{{ note }}</p>
{% endfor %}{% if made.footnotes %}<ol>{% for note in made.footnotes %}<li>{{ note }}</li>{% endfor %}</ol>{% endif %}
</div>"""


def to_markdown(table: HasRows, long: bool | None = None) -> str:
    """The same as a markdown table; footnotes are numbered below it.

    Examples
    --------
    >>> from hte_bridge.table import Estimate, Table
    >>> print(Table((Estimate("ate", 2.0, 0.5, engine="grf"),)).to_markdown())
    | engine | estimand | term | estimate | std. error | 95 % interval | p | |
    |:--|:--|:--|--:|--:|--:|--:|:--|
    | grf | ate | | 2.000 | 0.500 | [1.020, 2.980] | <0.001 | |
    """
    made = layout(table, long=long)
    heads = [
        f"{markdown(head)} {marks_text(marks)}".strip()
        for head, marks in zip(made.figure_heads, made.head_marks, strict=True)
    ]
    lines = [_markdown_line([*made.label_heads, *heads, ""])]
    lines += ["|" + ":--|" * len(made.label_heads) + "--:|" * len(heads) + ":--|"]
    for block in made.blocks:
        for k, line in enumerate(block.lines):
            marks = block.cell_marks if not k else ((),) * len(line)
            figures = [f"{cell} {marks_text(each)}".strip() for cell, each in zip(line, marks, strict=True)]
            labels = list(map(markdown, block.labels)) if not k else [""] * len(block.labels)
            lines.append(_markdown_line([*labels, *figures, "" if k else marks_text(block.marks)]))
    lines += [f"\n{markdown_sentence(note)}" for note in made.notes]
    lines += [f"\n[{i}] {markdown_sentence(note)}" for i, note in enumerate(made.footnotes, 1)]
    return "\n".join(lines)


def _markdown_line(row: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in row)


def to_html(table: HasRows, long: bool | None = None) -> str:
    """The table and its notes as an HTML fragment without scripts, its columns aligned; every text is escaped."""
    return _page().render(made=layout(table, long=long))


@cache
def _page() -> Template:
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(PAGE)
