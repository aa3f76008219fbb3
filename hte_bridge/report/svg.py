"""Pictures as SVG that stands inside a page and takes its colours, so that dark and light both read."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure

from hte_bridge.plot.style import COLUMN, GREY, quiet
from hte_bridge.shown import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, PAPER = "#010203", "#ffffff"  # stand for the page's own colours until the picture is in the page
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # words stay words: they can be searched, copied and read aloud
    "svg.hashsalt": "hte_bridge",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "font.sans-serif": ["DejaVu Sans"],
}
SIZE = (COLUMN[0] * 1.35, COLUMN[1] * 1.3)  # a picture stands alone in its column of the page


def svg(draw: Callable[[Axes], Axes], *, key: str, title: str, size: tuple[float, float] = SIZE) -> str:
    """An ``<svg>`` element that draws what ``draw`` puts into axes.

    Parameters
    ----------
    draw : callable
        Takes axes and draws into them.
    key : str
        Put before every id, so that several pictures can stand in one page.
    title : str
        Read aloud in place of the picture.
    size : (float, float)
        Inches.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(SETTINGS), quiet():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<!--.*?-->", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], key), drawn)  # never the words between the tags
    head = drawn[: drawn.index(">") + 1]
    view = re.search(r'viewBox="[^"]+"', head)
    opened = f'<svg {view[0] if view else ""} role="img" aria-label="{_attribute(title)}" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return opened + drawn[len(head) :].strip()


def _tag(tag: str, key: str) -> str:
    """A tag with ids of its own picture and with the page's colours."""
    tag = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', tag)
    tag = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", tag)
    for colour, name in ((INK, "currentColor"), (GREY.lower(), "var(--muted)"), (PAPER, "var(--page)")):
        tag = tag.replace(colour, name)
    return tag


def _attribute(text: str) -> str:
    return visible(text).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
