"""What every picture shares: size, colours that the colour-blind can tell apart, quiet axes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN = (3.4, 2.5)  # inches: one column of a journal's page
# Okabe and Ito (2008); light, dark and hue all differ, markers differ too, so print in grey works
KNOWN = {"": ("#0072B2", "o"), "feols": ("#0072B2", "o"), "grf": ("#E69F00", "s"), "deep": ("#009E73", "^")}
SPARE = (("#CC79A7", "D"), ("#56B4E9", "v"), ("#D55E00", "P"), ("#000000", "X"), ("#8C7B00", "<"))
GREY = "#6B6B6B"
LIGHT = "#DADADA"
FONT = 8


@dataclass(frozen=True)
class Look:
    """Colour and marker of one engine."""

    colour: str
    marker: str


def looks(engines: Iterable[str]) -> dict[str, Look]:
    """A look for each engine; feols, grf and deep have the same in every picture.

    Examples
    --------
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


def label(ax: Axes, x: str = "", y: str = "", title: str = "") -> Axes:
    """Axis names and a title at the house's size."""
    ax.set_xlabel(x, fontsize=FONT)
    ax.set_ylabel(y, fontsize=FONT)
    if title:
        ax.set_title(title, fontsize=FONT, loc="left")
    return ax


def legend(
    ax: Axes, engines: Iterable[str], *, where: Literal["above", "best", "upper left"] = "best"
) -> None:
    """A legend of engines, where there are two or more to tell apart."""
    chosen = looks(engines)
    if len(chosen) < 2:
        return
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=4, linewidth=1.2, label=name)
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
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(2, 0),
        textcoords="offset points",
        va="center",
        fontsize=FONT - 1.5,
        color=GREY,
    )
