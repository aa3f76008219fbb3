"""Curves over the share treated or the money spent: targeting operator characteristic, gain at a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hte_bridge.errors import InvalidData
from hte_bridge.plot.asked import BUDGETS, numbers_of, rows_about, second
from hte_bridge.plot.style import GREY, axes, beside, label, legend, looks, zero_line
from hte_bridge.plot.ticks import numbers
from hte_bridge.table import Estimate, Table, frame_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Curve = pd.DataFrame | Table | Sequence[Estimate]

OVER_RANDOM = ", over random"  # ends the term of a row that compares a budget with spending it at random


def toc(curve: Curve, ax: Axes | None = None) -> Axes:
    """Targeting operator characteristic: effect among the units ranked first, less the average effect.

    Yadlowsky, Fleming, Shah, Brunskill and Wager (2025), JASA 120(549).

    Parameters
    ----------
    curve : DataFrame, Table, or sequence of Estimate
        A comparison without such rows is asked for its ``toc()``. Columns ``share`` in (0, 1], ``estimate``, and ``conf_low``,
        ``conf_high`` for a band; ``engine`` where there are several rankings. Rows have the share in their term, ``"q = 0.2"``.
    """
    curve = _frame(rows_about(curve, ("toc",), lambda asked: asked.toc()), "share", ("toc",))
    ax = _curve(curve, "share", axes(ax), scale=100)
    ax.set_xlim(0, 100)
    return label(ax, x="units treated, % by ranking", y=numbers(ax, "y", "effect less the average"))


def budget(
    curve: Curve,
    cost: str | Axes | None = None,
    ax: Axes | None = None,
    *,
    per: str = "unit",
) -> Axes:
    """Gain of the learned rule at every budget, with the gain of treating at random for comparison.

    Sverdrup, Wu, Athey and Wager (2025), Journal of Econometrics.

    Parameters
    ----------
    curve : DataFrame, Table, or sequence of Estimate
        A comparison without such rows is asked for its policies at ten budgets. Columns ``budget`` (cost per unit), ``estimate`` (gain per unit, in units of the outcome), and ``conf_low``,
        ``conf_high`` for a band; ``engine`` where there are several rules; ``random`` for the baseline. Rows are those of ``policy(budget=...)``.
    cost : str, optional
        Column of a comparison's costs, by default 1 for each unit treated; axes may stand here too.
    per : str
        What budget and gain are counted per.
    """
    column, ax = second(cost, ax)
    curve = _frame(rows_about(curve, ("gain",), lambda asked: _policies(asked, column)), "budget", ("gain",))
    ax = _curve(curve, "budget", axes(ax))
    if "random" in curve:
        baseline = curve.sort_values("budget").drop_duplicates("budget")
        ax.plot(baseline["budget"], baseline["random"], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        last = baseline.iloc[-1]
        beside(ax, "random", float(last["random"]))
    ax.set_xlim(0, float(curve["budget"].max()))
    text = numbers(ax, "x", f"budget per {per}")
    return label(ax, x=text, y=numbers(ax, "y", f"gain per {per}"))


def _policies(table: Any, column: str | None) -> Table:
    """Rules at budgets from a tenth of what treating everybody costs to all of it."""
    price = 1.0 if column is None else numbers_of(table, column)
    every = float(np.average(np.broadcast_to(price, table.study.n), weights=table.study.weight))
    policies: Table = table.policy(cost=price, budget=[round(share * every, 12) for share in BUDGETS])
    return policies


def _frame(curve: Curve, x: str, estimands: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame, their place on the axis read from terms such as ``"q = 0.2"``."""
    if isinstance(curve, pd.DataFrame):
        return curve
    rows = curve.rows if isinstance(curve, Table) else curve
    rows = [row for row in rows if row.estimand in estimands] or rows
    frame = frame_of(rows)
    frame = frame.assign(
        **{x: pd.to_numeric(frame["term"].str.rpartition("=")[2].str.strip(), errors="coerce")}
    )
    over = frame[frame["term"].str.endswith(OVER_RANDOM)].copy()
    if len(over):  # the gain at random is the gain less what it is over random
        over["term"] = over["term"].str.removesuffix(OVER_RANDOM)
        other = over.set_index(["engine", "term"])["estimate"]
        key = pd.MultiIndex.from_frame(frame[["engine", "term"]])
        frame["random"] = frame["estimate"].to_numpy() - other.reindex(key).to_numpy()
    return frame.dropna(subset=[x, "estimate"])


def _curve(curve: pd.DataFrame, x: str, ax: Axes, scale: float = 1.0) -> Axes:
    missing = [name for name in (x, "estimate") if name not in curve]
    if missing:
        raise InvalidData(
            f"The curve must have the columns `{x}` and `estimate`. {', '.join(f'`{each}`' for each in missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; it has {', '.join(map(str, curve.columns)) or 'none'}."
        )
    zero_line(ax)
    engines = curve["engine"] if "engine" in curve else pd.Series("", index=curve.index)
    chosen = looks(engines)
    for engine, look in chosen.items():
        part = curve[engines == engine].sort_values(x)
        at = scale * part[x].to_numpy(float)
        if {"conf_low", "conf_high"} <= set(part) and np.isfinite(part["conf_low"]).any():
            ax.fill_between(
                at, part["conf_low"], part["conf_high"], color=look.colour, alpha=0.18, linewidth=0
            )
        ax.plot(at, part["estimate"], color=look.colour, linewidth=1.4)
    legend(ax, chosen)
    return ax
