r"""A layout as LaTeX that plain LaTeX compiles: of packages only booktabs, and longtable beyond a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hte_bridge.format.layout import Block, Layout, layout
from hte_bridge.format.neutral import latex

if TYPE_CHECKING:
    from hte_bridge.estimate import HasRows
    from hte_bridge.format.remarks import Marks

PAGE_LINES = 40  # of a table; one with more goes over pages
MINUS = re.compile(r"(?<![\w.)])-(?=[\d.])")


def to_latex(table: HasRows, stars: bool = False, long: bool | None = None) -> str:
    r"""A booktabs table with its notes; see ``Table.to_latex``.

    Examples
    --------
    >>> from hte_bridge.table import Estimate, Table
    >>> print(Table((Estimate("ate", -2.0, 0.5, engine="grf"),)).to_latex())
    % Needs in the preamble: \usepackage{booktabs}
    \begin{tabular}{lllrrrr}
    \toprule
    engine & estimand & term & estimate & std. error & 95 \% interval & p \\
    \midrule
    grf & ate &  & $-$2.000 & 0.500 & [$-$2.980, $-$1.020] & $<$0.001 \\
    \bottomrule
    \end{tabular}
    """
    made = layout(table, stars=stars, long=long)
    body: list[str] = []
    for k, block in enumerate(made.blocks):
        body += [r"\addlinespace"] * (k in made.breaks) + _block(block)
    heads = [_words(head) + _marks(()) for head in made.label_heads]
    heads += [
        _words(head) + _marks(marks) for head, marks in zip(made.figure_heads, made.head_marks, strict=True)
    ]
    spec = "l" * len(made.label_heads) + ("r" if len(made.label_heads) > 2 else "c") * len(made.figure_heads)
    write = _over_pages if len(body) > PAGE_LINES else _on_a_page
    return "\n".join(write(spec, _row(heads), body, _notes(made)))


def _on_a_page(spec: str, head: str, body: Sequence[str], notes: Sequence[str]) -> list[str]:
    under = (
        [r"\par\smallskip\noindent", r"\begin{minipage}{\linewidth}\footnotesize", *notes, r"\end{minipage}"]
        if notes
        else []
    )
    return [
        r"% Needs in the preamble: \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *under,
    ]


def _over_pages(spec: str, head: str, body: Sequence[str], notes: Sequence[str]) -> list[str]:
    under = [r"\par\begingroup\footnotesize", *notes, r"\par\endgroup"] if notes else []
    columns = len(spec)
    return [
        r"% Needs in the preamble: \usepackage{booktabs,longtable}",
        rf"\begin{{longtable}}{{{spec}}}",
        r"\toprule",
        head,
        r"\midrule",
        r"\endfirsthead",
        r"\toprule",
        head,
        r"\midrule",
        r"\endhead",
        r"\midrule",
        rf"\multicolumn{{{columns}}}{{r}}{{continued}} \\",
        r"\endfoot",
        r"\bottomrule",
        r"\endlastfoot",
        *body,
        r"\end{longtable}",
        *under,
    ]


def _block(block: Block) -> list[str]:
    """Lines of a label."""
    labels = list(map(_words, block.labels))
    labels[-1] += _marks(block.marks)
    rows = []
    for k, line in enumerate(block.lines):
        marks = block.cell_marks if not k else ((),) * len(line)
        figures = [_figure(cell) + _marks(each) for cell, each in zip(line, marks, strict=True)]
        rows.append(_row([*(labels if not k else [""] * len(labels)), *figures]))
    return rows


def _notes(made: Layout) -> list[str]:
    said = [rf"{_words(note)}\par" for note in made.notes]
    return said + [rf"\textsuperscript{{{k}}} {_words(note)}\par" for k, note in enumerate(made.footnotes, 1)]


def _row(cells: Sequence[str]) -> str:
    first = (
        "{}" if cells[0].startswith(("[", "*")) or not cells[0] else ""
    )  # after the end of a row: its options
    return first + " & ".join(cells) + r" \\"


def _words(text: str) -> str:
    return MINUS.sub("$-$", latex(text))


def _figure(text: str) -> str:
    return MINUS.sub("$-$", latex(text))


def _marks(marks: Marks) -> str:
    return rf"\textsuperscript{{{','.join(map(str, marks))}}}" if marks else ""
