"""Pictures of the CATE: sorted, against a covariate, one engine against another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hte_bridge.errors import InvalidData
from hte_bridge.plot.style import FONT, GREY, axes, label, legend, looks, zero_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hte_bridge.arrays import Array

    Frames = pd.DataFrame | Mapping[str, pd.DataFrame]

COLUMNS = ["estimate", "conf_low", "conf_high"]
FEW = 10  # a covariate with at most so many values is drawn value by value
BINS = 20


def by_engine(frames: Frames) -> dict[str, pd.DataFrame]:
    """Frames by engine, with NaN for ends that a frame does not have.

    Raises
    ------
    InvalidData
        If a frame has no column ``estimate``, or no row with one.
    """
    named = {"": frames} if isinstance(frames, pd.DataFrame) else dict(frames)
    for engine, frame in named.items():
        if "estimate" not in frame or not np.isfinite(frame["estimate"]).any():
            raise InvalidData(
                "A picture of the CATE needs a column `estimate` with numbers, as `cate` returns it. "
                f"The frame{f' of {engine}' if engine else ''} has {', '.join(map(str, frame.columns)) or 'no columns'}."
            )
    return {engine: frame.reindex(columns=COLUMNS).astype(float) for engine, frame in named.items()}


def cate_sorted(frames: Frames, ax: Axes | None = None, *, average: float | None = None) -> Axes:
    """The CATE of every unit from smallest to largest, with its pointwise interval as a band.

    Parameters
    ----------
    frames : DataFrame, or mapping of engine to DataFrame
        Columns ``estimate``, and ``conf_low``, ``conf_high`` for a band.
    ax : Axes, optional
    average : float, optional
        Drawn as a line: how far the curve leaves it is what heterogeneity would look like, noise included.

    Returns
    -------
    Axes
        Share of units against effect, in units of the outcome.
    """
    named = by_engine(frames)
    ax = axes(ax)
    zero_line(ax)
    chosen = looks(named)
    for engine, frame in named.items():
        ordered = frame.dropna(subset="estimate").sort_values("estimate")
        share = (np.arange(len(ordered)) + 0.5) / len(ordered)
        _banded(ax, 100 * share, ordered, chosen[engine].colour)
    if average is not None:
        ax.axhline(average, color=GREY, linewidth=0.8)
    ax.set_xlim(0, 100)
    legend(ax, chosen, where="upper left")
    return label(ax, x="units, % from smallest effect", y="CATE")


def cate_against(
    frames: Frames, covariate: pd.Series | Array, ax: Axes | None = None, *, name: str = ""
) -> Axes:
    """The CATE against one covariate, engines overlaid.

    Few values are drawn one by one, a grid of new rows as a line; many units as medians of the estimates, and of the ends of their pointwise
    intervals, over 20 bins of equal size. It is a picture of predictions, not of a partial effect: other
    covariates move along.

    Parameters
    ----------
    frames : DataFrame, or mapping of engine to DataFrame
        As ``cate`` returns them, m rows each.
    covariate : array (m,)
        In the rows' order.
    name : str, optional
        Of the axis; a Series' own name by default.

    Raises
    ------
    InvalidData
        If the covariate has another length than a frame.
    """
    named = by_engine(frames)
    values = np.asarray(covariate, dtype=float)
    for engine, frame in named.items():
        if len(frame) != len(values):
            raise InvalidData(
                f"`covariate` must have one value for each row of the CATE. It has {len(values):,}; the frame"
                f"{f' of {engine}' if engine else ''} has {len(frame):,}. Take it from the data given to `cate`."
            )
    ax = axes(ax)
    zero_line(ax)
    chosen = looks(named)
    place, few = _bins(values)
    for i, (engine, frame) in enumerate(named.items()):
        binned = frame.groupby(place).median()
        look = chosen[engine]
        if few:
            width = 0.06 * float(np.ptp(values[np.isfinite(values)]) or 1.0)
            at = binned.index.to_numpy(float) + width * (i - (len(named) - 1) / 2)
            ends = [binned["estimate"] - binned["conf_low"], binned["conf_high"] - binned["estimate"]]
            ax.errorbar(
                at, binned["estimate"], ends, fmt=look.marker, color=look.colour, markersize=4, elinewidth=1.2
            )
        else:
            _banded(ax, binned.index.to_numpy(float), binned, look.colour)
    if few:
        ax.set_xticks(np.unique(place.dropna()))
    legend(ax, chosen, where="above")
    return label(ax, x=name or str(getattr(covariate, "name", None) or "covariate"), y="CATE")


def agreement(
    first: pd.Series | Array, second: pd.Series | Array, ax: Axes | None = None, *, names: tuple[str, str]
) -> Axes:
    """One engine's CATE against another's, with the line of agreement, their correlation and share of like signs.

    Parameters
    ----------
    first, second : array (n,)
        CATEs of the same units, in units of the outcome.
    names : tuple of str
        The engines.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    ax = axes(ax)
    ax.scatter(
        x,
        y,
        s=5,
        alpha=max(0.3, min(0.8, 250 / max(len(x), 1))),
        color="#0072B2",
        linewidths=0,
        rasterized=len(x) > 2000,
    )
    ax.axline((float(x.mean()), float(x.mean())), slope=1, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    constant = np.ptp(x) == 0 or np.ptp(y) == 0
    said = "" if constant else f"correlation {np.corrcoef(x, y)[0, 1]:.2f}, "
    ax.set_title(
        f"{said}same sign {np.mean(np.sign(x) == np.sign(y)):.0%}", fontsize=FONT - 1, loc="left", color=GREY
    )
    return label(ax, x=f"CATE, {names[0]}", y=f"CATE, {names[1]}")


def _bins(values: Array) -> tuple[pd.Series, bool]:
    """Where each unit is drawn, and whether that is its own value."""
    series = pd.Series(values)
    if series.nunique() <= FEW:
        return series, True
    if len(series) <= 5 * BINS:  # a grid of new rows, drawn as it is
        return series, False
    edges = np.unique(series.quantile(np.linspace(0, 1, BINS + 1)).to_numpy())
    code = pd.Series(np.clip(np.searchsorted(edges, values) - 1, 0, len(edges) - 2)).where(series.notna())
    return code.map(series.groupby(code).median()), False


def _banded(ax: Axes, x: Array, frame: pd.DataFrame, colour: str) -> None:
    """A line, and a band where the frame has ends."""
    if frame["conf_low"].notna().any():
        ax.fill_between(x, frame["conf_low"], frame["conf_high"], color=colour, alpha=0.18, linewidth=0)
    ax.plot(x, frame["estimate"], color=colour, linewidth=1.4)
