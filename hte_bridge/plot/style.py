"""What every picture shares: size, colours that the colour-blind can tell apart, quiet axes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rcParams
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from hte_bridge.format import shortened
from hte_bridge.format.neutral import latex
from hte_bridge.shown import shorten, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN = (3.4, 2.5)  # inches: one column of a journal's page
# Okabe and Ito (2008); light, dark and hue all differ, markers differ too, so print in grey works
KNOWN = {"": ("#0072B2", "o"), "feols": ("#0072B2", "o"), "grf": ("#E69F00", "s"), "deep": ("#009E73", "^")}
SPARE = (("#CC79A7", "D"), ("#56B4E9", "v"), ("#D55E00", "P"), ("#000000", "X"), ("#8C7B00", "<"))
GREY = "#6B6B6B"
LIGHT = "#DADADA"
FONT = 8
LONGEST = 60  # characters of a name in a picture
LONGEST_IN_LEGEND = 26
LETTER = 0.62  # width of a usual letter over the font's size


@dataclass(frozen=True)
class Look:
    """Colour and marker of one engine."""

    colour: str
    marker: str


def looks(engines: Iterable[str]) -> dict[str, Look]:
    """A look for each engine; feols, grf and deep have the same in every picture.

    Examples
    --------
    >>> from hte_bridge.plot.style import looks
    >>> looks(["grf", "mine"])["grf"]
    Look(colour='#E69F00', marker='s')
    """
    names = list(dict.fromkeys(engines))
    spare = [*SPARE, *(look for name, look in KNOWN.items() if name not in names)]
    others = iter(spare * (1 + len(names) // len(spare)))
    return {name: Look(*(KNOWN[name] if name in KNOWN else next(others))) for name in names}


def axes(ax: Axes | None, size: tuple[float, float] = COLUMN) -> Axes:
    """The axes handed in, or new ones at column width, dressed alike."""
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=size, layout="constrained", dpi=200)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(labelsize=FONT - 1, color=GREY, length=2.5)
    return ax


def plain(text: object) -> str:
    """A name as matplotlib prints it: dollars are no mathematics, hidden characters are written out, the longest are cut.

    Examples
    --------
    >>> from hte_bridge.plot.style import plain
    >>> plain("income, $ of 2010 $"), plain("a\\tb")
    ('income, \\\\$ of 2010 \\\\$', 'a\\\\tb')
    """
    shown = shorten(visible(text), LONGEST)
    if rcParams["text.usetex"]:
        return latex(shown)
    return shown.replace("$", r"\$") if rcParams["text.parse_math"] else shown


@contextmanager
def quiet() -> Iterator[None]:
    """Drawing without matplotlib's warnings of names that its font lacks or that leave axes little room."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph|constrained_layout not applied", category=UserWarning
        )
        yield


def label(ax: Axes, x: str = "", y: str = "", title: str = "") -> Axes:
    """Axis names and a title at the house's size, the title above the legend."""
    ax.set_xlabel("\n".join(wrapped(plain(x), ax)), fontsize=FONT)
    ax.set_ylabel("\n".join(wrapped(plain(y), ax, up=True)), fontsize=FONT)
    if title:
        entitle(ax, title)
    return ax


def wrapped(text: str, ax: Axes, up: bool = False) -> list[str]:
    """Lines of a name of an axis."""
    return wrap(text, max(int(0.8 * room(ax, up) / (LETTER * FONT)), 12)) or [""]


def entitle(ax: Axes, title: str, weight: str = "bold") -> Axes:
    """A title over all that the axes have drawn, legend included; what was one before is its second line."""
    first: Any = ax if ax.axison else next(iter(ax.child_axes), ax)  # of several panels
    said = [plain(title), *filter(None, [first.get_title(loc="left")])]
    shown = first.get_legend()
    lines = int(getattr(shown, "rows_of_names", 0)) if shown is not None else 0
    pad = 4.0 + lines * 1.6 * (FONT - 1) + (4.0 if lines else 0.0)
    across = max(int(room(ax) * 0.9 / (LETTER * FONT)), 16)
    text = "\n".join(fill(each, across) for each in said)
    first.set_title(
        text, fontsize=FONT if weight == "bold" else FONT - 1, fontweight=weight, loc="left", pad=pad
    )
    return ax


def width(text: str, size: float = FONT - 1) -> float:
    """Points that a line of text takes."""
    with quiet():
        return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0])


def room(ax: Axes, up: bool = False) -> float:
    """Points across, or up, that axes may take with all their names: their part of the figure, or the place they were put in."""
    ax = getattr(ax, "panel_of", ax)
    figure, spec = ax.get_figure(root=True), ax.get_subplotspec()
    if figure is None:
        return 72 * COLUMN[up]
    whole = 72 * float(figure.get_figheight() if up else figure.get_figwidth())
    if spec is None:
        return whole * float(ax.get_position().height if up else ax.get_position().width)
    grid = spec.get_gridspec()
    given = grid.get_height_ratios() if up else grid.get_width_ratios()
    ratios, span = np.asarray(given, dtype=float), spec.rowspan if up else spec.colspan
    return whole * float(ratios[span.start : span.stop].sum() / ratios.sum())


def distinct(names: Iterable[str], longest: int) -> dict[str, str]:
    """Names cut to at most ``longest`` characters, no two alike, ready to be drawn."""
    return {name: plain(cut) for name, cut in shortened([str(each) for each in names], longest).items()}


def legend(ax: Axes, engines: Iterable[str]) -> None:
    """A legend of engines over the axes, clear of what they draw, where there are two or more to tell apart."""
    chosen = looks(engines)
    if len(chosen) < 2:
        return
    cut = distinct(chosen, LONGEST_IN_LEGEND)
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            marker=look.marker,
            markersize=4,
            linewidth=1.2,
            label=cut[name] if not name.startswith("_") else f" {cut[name]}",
        )
        for name, look in chosen.items()
    ]
    across = _columns([width(each) for each in cut.values()], room(ax) - 2 * FONT)
    made = ax.legend(
        handles=handles,
        loc="lower right",  # may grow to the left, over the names of rows
        bbox_to_anchor=(1, 1),
        ncols=across,
        frameon=False,
        fontsize=FONT - 1,
        borderaxespad=0.2,
        handlelength=1.5,
        columnspacing=1.0,
    )
    made.rows_of_names = -(-len(handles) // across)  # type: ignore[attr-defined]


def _columns(widths: list[float], room: float) -> int:
    """Most columns of a legend whose widest names fit side by side."""
    beside = 4 * (FONT - 1)  # handle, its distance to the name, distance of columns
    for across in range(min(len(widths), 6), 1, -1):
        down = -(-len(widths) // across)  # filled column by column
        most = [max(widths[at : at + down]) for at in range(0, len(widths), down)]
        if sum(most) + beside * len(most) <= room:
            return across
    return 1


def zero_line(ax: Axes, *, vertical: bool = False, at: float = 0.0) -> None:
    """Where there is no effect."""
    (ax.axvline if vertical else ax.axhline)(at, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)), zorder=0)


def beside(ax: Axes, text: str, y: float) -> None:
    """A word to the right of the axes, at the height of the line that it names."""
    ax.annotate(
        plain(text),
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(2, 0),
        textcoords="offset points",
        va="center",
        fontsize=FONT - 1.5,
        color=GREY,
    )
