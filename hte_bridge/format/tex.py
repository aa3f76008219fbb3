r"""A layout as LaTeX that plain LaTeX compiles: of packages only booktabs, and longtable beyond a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hte_bridge.format.layout import Block, Layout, layout
from hte_bridge.format.neutral import latex
from hte_bridge.format.page import OnPage, lines_of, on_pages

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
    \begingroup\small\setlength{\tabcolsep}{5pt}
    \noindent\begin{tabular}{@{}lllrrrr@{}}
    \toprule
    engine & estimand & term & estimate & std. error & 95 \% interval & p \\
    \midrule
    grf & ate &  & $-$2.000 & 0.500 & [$-$2.980, $-$1.020] & $<$0.001 \\
    \bottomrule
    \end{tabular}
    \par\endgroup
    """
    made = layout(table, stars=stars, long=long)
    written = [_part(each) for each in on_pages(made)]
    packages = r"{booktabs,longtable}" if any(long for long, _ in written) else r"{booktabs}"
    lines = [rf"% Needs in the preamble: \usepackage{packages}"]
    for k, (_, body) in enumerate(written):
        lines += [*([r"\par\bigskip"] if k else []), *body]
    notes = _notes(made)
    if notes and written[-1][0]:
        lines += [r"\par\begingroup\footnotesize", *notes, r"\par\endgroup"]
    elif notes:
        lines += [
            r"\par\smallskip\noindent",
            r"\begin{minipage}{\linewidth}\footnotesize",
            *notes,
            r"\end{minipage}",
        ]
    return "\n".join(lines)


def _part(page: OnPage) -> tuple[bool, list[str]]:
    """Whether it goes over pages, and the lines of a table that fits a line of the page."""
    made, body = page.made, list[str]()
    for k, block in enumerate(made.blocks):
        body += [r"\addlinespace"] * (k in made.breaks) + _block(block, page.labels)
    heads = [_words(head) for head in made.label_heads]
    heads += [
        _words(head) + _marks(marks) for head, marks in zip(made.figure_heads, made.head_marks, strict=True)
    ]
    letters = [
        "l" * len(made.label_heads),
        ("r" if len(made.label_heads) > 2 else "c") * len(made.figure_heads),
    ]
    spec = rf"@{{}}{''.join(letters)}@{{}}"
    long = len(body) > PAGE_LINES
    if not long:
        body = [line.removesuffix("*") if line.endswith(r"\\*") else line for line in body]
    lines = (_over_pages if long else _on_a_page)(spec, _row(heads), body)
    smaller = page.size.command
    return long, [rf"\begingroup{smaller}", *lines, r"\par\endgroup"] if smaller else lines


def _on_a_page(spec: str, head: str, body: Sequence[str]) -> list[str]:
    return [
        rf"\noindent\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _over_pages(spec: str, head: str, body: Sequence[str]) -> list[str]:
    columns = head.count(" & ") + 1
    return [
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
    ]


def _block(block: Block, widths: Sequence[float]) -> list[str]:
    """Lines of a label, wrapped beside its figures; they stay on one page."""
    rows, found = [], lines_of(block, widths)
    for k, (labels, line) in enumerate(found):
        marks = block.cell_marks if not k else ((),) * len(line)
        words = list(map(_words, labels))
        words[-1] += _marks(block.marks) if not k else ""
        figures = [_figure(cell) + _marks(each) for cell, each in zip(line, marks, strict=True)]
        rows.append(_row([*words, *figures]) + "*" * (k < len(found) - 1))
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
