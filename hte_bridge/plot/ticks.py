"""Marks along axes that never print over one another: numbers as few as fit, names wrapped, turned, or one of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, Formatter, MaxNLocator

from hte_bridge.format import shortened
from hte_bridge.plot.style import FONT, LETTER, distinct, room, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALL = FONT - 1
LINE = 1.25 * SMALL  # points from one line of names to the next
DRAWN = 0.68  # share of the room across that is left for the axes beside names and numbers
TURNED = 26  # characters of a name that stands upright
LEAST, MOST = 1e-3, 1e5  # numbers outside are written with a power of ten that the axis names once
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Short(Formatter):
    """Numbers with as many digits as tell the marks apart, over a power of ten."""

    def __init__(self, power: int, marks: Sequence[float] = ()) -> None:
        self.power, self.marks = power, np.asarray(marks, dtype=float)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """All numbers of an axis."""
        self.marks = np.asarray(values, dtype=float)
        return [self(value) for value in values]

    def __call__(self, x: float, pos: int | None = None) -> str:
        """One number."""
        locs = np.unique(self.marks) / 10.0**self.power
        step = float(np.diff(locs).min()) if len(locs) > 1 else abs(x / 10.0**self.power) or 1.0
        digits = min(max(0, -math.floor(math.log10(step) + 1e-9)), 12)
        if abs(step * 10**digits - round(step * 10**digits)) > 1e-6:
            digits += 1  # marks at 0.25
        text = f"{x / 10.0**self.power:.{digits}f}"
        return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def numbers(ax: Axes, which: str, text: str, share: float = DRAWN) -> str:
    """Put numbers along one axis, as many as fit; the name of the axis, with the power of ten that they leave out."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    low, high = axis.get_view_interval()
    size = max(abs(low), abs(high))
    power = 0
    if size and np.isfinite(size) and not LEAST <= size < MOST:
        power = 3 * math.floor(math.log10(size) / 3)
    form = Short(power)
    if which == "x":
        marks = MaxNLocator(5).tick_values(low, high)
        widest = max(map(width, form.format_ticks(list(marks))))
        axis.set_major_locator(MaxNLocator(int(np.clip(room(ax) * share / (widest + 12), 1, 5))))
    else:
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(form)
    return f"{text} (×10{str(power).translate(RAISED)})" if power else text


def names(ax: Axes, texts: Sequence[str], own: bool = False) -> None:
    """Names at 0, 1, ... along the bottom: side by side where they fit, else upright, else one of several.

    A figure that is the picture's ``own`` grows by the height of names that stand upright.
    """
    place = room(ax) * DRAWN / max(len(texts), 1)
    across = int(place / (LETTER * SMALL)) - 1
    cut = distinct(texts, 60)
    wrapped = [fill(cut[text], across, break_long_words=False) if across > 3 else cut[text] for text in texts]
    fits = all(text.count("\n") < 3 and max(map(width, text.split("\n"))) < place - 4 for text in wrapped)
    if across > 3 and fits:
        ax.set_xticks(range(len(texts)), wrapped)
        return
    every = max(1, math.ceil(LINE / place))
    shown = list(range(0, len(texts), every))
    cut = distinct(texts, TURNED)
    figure = ax.get_figure(root=True)
    if own and figure is not None:
        figure.set_figheight(float(figure.get_figheight()) + max(map(width, cut.values())) / 72)
    ax.set_xticks(shown, [cut[texts[at]] for at in shown], rotation=90, va="top", ha="center")
    ax.tick_params(axis="x", pad=2)


def spaced(ax: Axes, values: Sequence[float]) -> None:
    """Marks at these values and no others, left out where they would touch the one before."""
    low, high = ax.get_xlim()
    each = sorted(set(map(float, values)))
    form = Short(0, each)
    points = room(ax) * DRAWN / ((high - low) or 1.0)
    kept: list[float] = []
    for value in each:
        if not kept or (value - kept[-1]) * points > (width(form(value)) + width(form(kept[-1]))) / 2 + 6:
            kept.append(value)
    ax.xaxis.set_major_locator(FixedLocator(kept))
    ax.xaxis.set_major_formatter(form)


def rows_of_names(ax: Axes, texts: Sequence[str], at: Sequence[float], inches: float, span: float) -> None:
    """Names at heights along the left, the first on top; one of several where the axes are too low for all.

    Parameters
    ----------
    inches : float
        That the axes are high.
    span : float
        In units of ``at``.
    """
    gaps = np.diff(sorted(at))
    step = 72 * inches * (float(gaps.min()) if len(gaps) else span) / span
    lines = max((text.count("\n") + 1 for text in texts), default=1)
    if lines > 1 and LINE * lines > 1.05 * step:
        whole = [" ".join(text.split("\n")) for text in texts]
        cut, lines = shortened(whole, TURNED - 4), 1  # dollars are escaped already
        texts = [cut[text] for text in whole]
    every = max(1, math.ceil(LINE * lines / max(step, 1e-9) - 0.05))
    ax.set_yticks(list(at)[::every], list(texts)[::every])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
