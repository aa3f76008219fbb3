"""Pictures of what an engine leans on: overlap, importance of covariates, pairs that act together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hte_bridge.errors import InvalidData
from hte_bridge.plot.style import COLUMN, FONT, GREY, LIGHT, axes, label, legend, looks, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hte_bridge.arrays import Array

EDGES = np.linspace(0, 1, 41)


def overlap(propensities: Mapping[str, Array] | Array, treatment: Array, ax: Axes | None = None) -> Axes:
    """Held-out propensities of the treated (above the line) and the untreated (below), by engine.

    Parameters
    ----------
    propensities : array (n,), or mapping of engine to array (n,)
    treatment : array (n,)
        Zeros and ones.

    Raises
    ------
    InvalidData
        If lengths differ.
    """
    named = dict(propensities) if isinstance(propensities, Mapping) else {"": propensities}
    treated = np.asarray(treatment) == 1
    ax = axes(ax)
    chosen = looks(named)
    for engine, values in named.items():
        if len(values) != len(treated):
            raise InvalidData(
                f"Propensities and `treatment` must have the same length. {len(values):,} and {len(treated):,} were "
                "given. Take both from the same study."
            )
        for arm, sign in ((treated, 1), (~treated, -1)):
            height = sign * 100 * np.histogram(np.asarray(values)[arm], EDGES)[0] / max(arm.sum(), 1)
            ax.stairs(height, EDGES, color=chosen[engine].colour, linewidth=1.2)
            ax.stairs(height, EDGES, color=chosen[engine].colour, alpha=0.15, fill=True)
    ax.axhline(0, color=GREY, linewidth=0.7)
    for text, y, va in (("treated", 0.98, "top"), ("untreated", 0.02, "bottom")):
        ax.text(0.01, y, text, transform=ax.transAxes, va=va, fontsize=FONT - 1, color=GREY)
    ax.set_xlim(0, 1)
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    legend(ax, chosen, where="above")
    return label(ax, x="propensity, held out", y="% of the arm")


def importance(
    values: pd.Series, ax: Axes | None = None, *, std_error: pd.Series | None = None, top: int = 12
) -> Axes:
    """Importance of covariates for the CATE, largest first; ``values`` is indexed by covariate, any scale.

    With ``std_error``, of the same index, a line shows one standard error each way.
    """
    shown = values.sort_values(ascending=False).head(top)
    ax = axes(ax, (COLUMN[0], 0.6 + 0.17 * len(shown)))
    ax.barh(range(len(shown)), shown.to_numpy(float), color="#0072B2", height=0.65)
    if std_error is not None:
        spread = std_error.reindex(shown.index).to_numpy(float)
        ax.errorbar(shown.to_numpy(float), range(len(shown)), xerr=spread, fmt="none", ecolor="black", lw=0.8)
    ax.set_yticks(range(len(shown)), [plain(name) for name in shown.index])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    more = f" (first {top} of {len(values)})" if len(values) > top else ""
    return label(ax, x=f"importance{more}")


def pairs(matrix: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Strength of pairs of covariates in the CATE: a square frame (p, p), one name per row and column."""
    ax = axes(ax, (COLUMN[0], COLUMN[0] * 0.9))
    values = np.where(np.tri(len(matrix), dtype=bool), matrix.to_numpy(float), np.nan)
    image = ax.imshow(values, cmap="cividis_r", vmin=0)
    names = [plain(name) for name in matrix.columns]
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_facecolor("none")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7)
    bar.outline.set_edgecolor(LIGHT)
    bar.ax.tick_params(labelsize=FONT - 1, length=2)
    bar.set_label("strength of the pair", fontsize=FONT)
    return ax
