"""One HTML file that says what a comparison found: no request leaves it, and it prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hte_bridge.errors import HteBridgeError
from hte_bridge.faults import Fault, Guard
from hte_bridge.format.layout import layout
from hte_bridge.format.words import sentence
from hte_bridge.plot.usual import EFFECTS, pictures
from hte_bridge.report.citations import bibtex, works
from hte_bridge.report.methods import methods, rebuild
from hte_bridge.report.reading import block, blocks, intervals, meanings
from hte_bridge.report.svg import svg
from hte_bridge.report.verdict import answer
from hte_bridge.sealed import whole_file
from hte_bridge.shown import visible
from hte_bridge.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["report"]


def report(
    table: Table,
    path: str | Path,
    *,
    title: str | None = None,
    more: Mapping[str, Table | Callable[[Axes], Axes]] | None = None,
) -> Path:
    """Write a table with its pictures, its reading, methods and citations to one HTML file.

    Parameters
    ----------
    table : Table or Comparison
        A table that was loaded has no units: its pictures show rows only.
    path : path
        Of the file; written whole or not at all.
    title : str, optional
        By default the question: the effect of the treatment on the outcome.
    more : mapping of str to Table or callable, optional
        Further sections by heading: tables such as ``table.differences()``, or functions that draw into axes.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UnwritableFolder
        If the folder cannot be made or written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hte_bridge import Table
    >>> from hte_bridge.report import report
    >>> import tempfile
    >>> from hte_bridge.table import Estimate
    >>> table = Table((Estimate("ate", 2.0, 0.5, engine="grf"),), {"n": 100, "seed": 1})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report(table, Path(folder) / "effects.html").name
    'effects.html'
    """
    path = Path(path)
    page = render(table, title=title, more=more or {})
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf8")
    return path


def render(table: Table, *, title: str | None, more: Mapping[str, Any]) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("hte_bridge", "report"),
        autoescape=True,
        finalize=_finalized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    asked = [*blocks(table), *(block(name, each) for name, each in more.items() if isinstance(each, Table))]
    drawn = [
        (
            each.title,
            _drawn(each.title, partial(svg, each.draw, key=f"p{i}", title=each.title, size=each.size)),
        )
        for i, each in enumerate(pictures(table))
    ]
    drawn += [
        (name, _drawn(name, partial(svg, each, key=f"m{i}", title=name)))
        for i, (name, each) in enumerate(more.items())
        if not isinstance(each, Table)
    ]
    first = drawn[:1] if drawn and drawn[0][0] == EFFECTS else []
    return environment.get_template("template.html").render(
        title=title or _question(table),
        answer=answer(table),
        answered=first,
        means=meanings([row for block in asked for row in block.rows]),
        recipe=table.meta.get("code") or "",
        style=Markup((files("hte_bridge.report") / "style.css").read_text(encoding="utf8")),
        warnings=[sentence(each) for each in table.meta.get("warnings") or ()],
        blocks=[(each, layout(Table(each.rows, {"notes": table.meta.get("notes") or {}}))) for each in asked],
        pictures=drawn[len(first) :],
        intervals=intervals(table.rows, bands=any(name.startswith("CATE ") for name in more)),
        notes=[note for note in layout(table).notes if not note.startswith("Warning")],
        methods=methods(table),
        bibtex=bibtex(works(table)),
        rebuild=rebuild(table),
        latex=table.to_latex(),
        markdown=table.to_markdown(),
    )


def _drawn(title: str, draw: Callable[[], str]) -> Markup:
    """A picture, or in its place why there is none: the rest of the page does not hang on it."""
    try:
        with Guard()("report", f"The picture {title}"):
            return Markup(draw())
    except HteBridgeError as error:
        trace = Markup("<details><summary>Traceback</summary><pre>{}</pre></details>")
        kept = trace.format(visible(error.traceback, lines=True)) if isinstance(error, Fault) else ""
        why = (
            f"{type(error.__cause__).__name__}: {error.__cause__}" if isinstance(error, Fault) else str(error)
        )
        return Markup("<p>This picture could not be drawn ({}).</p>{}").format(visible(why), kept)


def _finalized(value: Any) -> Any:
    """Texts of the page without characters that HTML cannot hold or that turn its order; what is HTML already stays."""
    return visible(value, lines=True) if type(value) is str else value


def _question(table: Table) -> str:
    names = table.meta.get("names") or {}
    return f"Effect of {names['treatment']} on {names['outcome']}" if names else "Treatment effects"


def _code(text: str) -> Markup:
    """Escaped text, with names in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(visible(text, lines=True)))))
