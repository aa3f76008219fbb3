"""What every picture shares: size, colours that the colour-blind can tell apart, quiet axes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from matplotlib import rcParams
from matplotlib.lines import Line2D

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
    """Axis names and a title at the house's size."""
    ax.set_xlabel(plain(x), fontsize=FONT)
    ax.set_ylabel(plain(y), fontsize=FONT)
    if title:
        ax.set_title(plain(title), fontsize=FONT, loc="left")
    return ax


def legend(
    ax: Axes, engines: Iterable[str], *, where: Literal["above", "best", "upper left"] = "best"
) -> None:
    """A legend of engines, where there are two or more to tell apart."""
    chosen = looks(engines)
    if len(chosen) < 2:
        return
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            marker=look.marker,
            markersize=4,
            linewidth=1.2,
            label=plain(name) if not name.startswith("_") else f" {plain(name)}",
        )
        for name, look in chosen.items()
    ]
    if where == "above":
        ax.legend(
            handles=handles,
            loc="lower right",  # may grow to the left, over the names of rows
            bbox_to_anchor=(1, 1),
            ncols=min(len(handles), 4),
            frameon=False,
            fontsize=FONT - 1,
            borderaxespad=0.2,
            handlelength=1.5,
            columnspacing=1.0,
        )
    else:
        ax.legend(handles=handles, loc=where, frameon=False, fontsize=FONT - 1, handlelength=1.5)


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
