"""Pictures of the CATE: sorted, against a covariate, one engine against another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hte_bridge.errors import InvalidData
from hte_bridge.plot.asked import along, effects, two
from hte_bridge.plot.style import GREY, axes, beside, entitle, label, legend, looks, zero_line
from hte_bridge.plot.ticks import names as name_ticks
from hte_bridge.plot.ticks import numbers, spaced
from hte_bridge.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hte_bridge.arrays import Array

    Frames = pd.DataFrame | Mapping[str, pd.DataFrame] | Table

COLUMNS = ["estimate", "conf_low", "conf_high"]
FEW = 10  # a covariate with at most so many values is drawn value by value
BINS = 20
MOST_NAMED = 40  # levels of a category along an axis


def by_engine(frames: Frames) -> dict[str, pd.DataFrame]:
    """Frames by engine, with NaN for ends that a frame does not have.

    Raises
    ------
    InvalidData
        If a frame has no column ``estimate``, or no row with one.
    """
    if isinstance(frames, Table):
        frames = effects(frames)
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
    frames : DataFrame, mapping of engine to DataFrame, or Comparison
        Columns ``estimate``, and ``conf_low``, ``conf_high`` for a band; of a comparison the held-out effects, which have none.
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
        beside(ax, "average", average)
    ax.set_xlim(0, 100)
    legend(ax, chosen)
    return label(ax, x="units, % from smallest effect", y=numbers(ax, "y", "CATE"))


def cate_against(
    frames: Frames, covariate: pd.Series | Array | str, ax: Axes | None = None, *, name: str = ""
) -> Axes:
    """The CATE against one covariate, engines overlaid.

    Few values are drawn one by one, a grid of new rows as a line; many units as medians of the estimates, and of the ends of their pointwise
    intervals, over 20 bins of equal size. It is a picture of predictions, not of a partial effect: other
    covariates move along.

    Parameters
    ----------
    frames : DataFrame, mapping of engine to DataFrame, or Comparison
        As ``cate`` returns them, m rows each.
    covariate : array (m,) or str
        In the rows' order. Of a comparison a column's name: along a covariate, for a unit typical in the others, with pointwise
        intervals; along another column of the data the held-out effects.
    name : str, optional
        Of the axis; a Series' own name by default.

    Raises
    ------
    InvalidData
        If the covariate has another length than a frame.
    """
    if isinstance(frames, Table):
        if not isinstance(covariate, str):
            raise InvalidData(
                "With a comparison, `covariate` must be the name of a column. An array was given. Write "
                "cate_against(table, 'age'), or hand over what `cate` returns with the array."
            )
        frames, covariate, along_what = along(frames, covariate)
        name = name or along_what
    named = by_engine(frames)
    values, levels = _numbers(covariate)
    for engine, frame in named.items():
        if len(frame) != len(values):
            raise InvalidData(
                f"`covariate` must have one value for each row of the CATE. It has {len(values):,}; the frame"
                f"{f' of {engine}' if engine else ''} has {len(frame):,}. Take it from the data given to `cate`."
            )
    own, ax = ax is None, axes(ax)
    zero_line(ax)
    chosen = looks(named)
    place, few = _bins(values)
    few = few or levels is not None
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
    text = name or str(getattr(covariate, "name", None) or "covariate")
    if levels is not None:
        name_ticks(ax, levels, own)
    elif few:
        spaced(ax, list(place.dropna()))
    else:
        text = numbers(ax, "x", text)
    legend(ax, chosen)
    return label(ax, x=text, y=numbers(ax, "y", "CATE"))


def agreement(
    first: pd.Series | Array | Table,
    second: pd.Series | Array | None = None,
    ax: Axes | None = None,
    *,
    names: tuple[str, str] | None = None,
) -> Axes:
    """One engine's CATE against another's, with the line of agreement, their correlation and share of like signs.

    Parameters
    ----------
    first, second : array (n,)
        CATEs of the same units, in units of the outcome; or a comparison alone, whose held-out effects are taken.
    names : tuple of str
        The engines; of a comparison by default its last two.
    """
    if isinstance(first, Table):
        first, second, names = two(first, names)
    names = names or ("first", "second")
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
    across, up = numbers(ax, "x", f"CATE, {names[0]}"), numbers(ax, "y", f"CATE, {names[1]}")
    label(ax, x=across, y=up)
    return entitle(ax, f"{said}same sign {np.mean(np.sign(x) == np.sign(y)):.0%}", weight="normal")


def _numbers(covariate: Any) -> tuple[Array, list[str] | None]:
    """The values as numbers; of a category, the places of its levels, and their names."""
    series = pd.Series(np.asarray(covariate) if not isinstance(covariate, pd.Series) else covariate)
    if pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series):
        return series.to_numpy(dtype=float, na_value=np.nan), None
    codes, levels = pd.factorize(series, sort=not isinstance(series.dtype, pd.CategoricalDtype))
    if len(levels) > MOST_NAMED:
        raise InvalidData(
            f"A picture along a column of names must have at most {MOST_NAMED} of them. {len(levels):,} were found. "
            "Draw `gates` of a coarser grouping."
        )
    return np.where(codes < 0, np.nan, codes).astype(float), [str(each) for each in levels]


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
