"""A shallow tree that says whom to treat, found by exact search; policytree's is asked of R."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidOption

CUTS = 64  # cut points per covariate; a covariate with fewer values is searched in full


@dataclass(frozen=True)
class Leaf:
    """Treat or not."""

    treat: bool

    def predict(self, x: Array) -> npt.NDArray[np.bool_]:
        """Whether to treat each row of ``x`` (n, p)."""
        return np.full(len(x), self.treat)

    def text(self, names: Sequence[str]) -> str:
        """``treat`` or ``do not treat``."""
        return "treat" if self.treat else "do not treat"


@dataclass(frozen=True)
class Split:
    """One question: is ``column`` at most ``cut``?"""

    column: int
    cut: float
    below: Split | Leaf
    above: Split | Leaf

    def predict(self, x: Array) -> npt.NDArray[np.bool_]:
        """Whether to treat each row of ``x`` (n, p)."""
        return np.where(x[:, self.column] <= self.cut, self.below.predict(x), self.above.predict(x))

    def text(self, names: Sequence[str]) -> str:
        """The tree in words."""
        name = names[self.column]
        return (
            f"if {name} <= {self.cut:.4g}: ({self.below.text(names)}); otherwise: ({self.above.text(names)})"
        )


def shallow_tree(x: Array, gain: Array, *, depth: int = 2, cuts: int = CUTS) -> Split | Leaf:
    """Tree of depth 0, 1 or 2 with the largest total gain of the units it treats.

    Exact over the cut points searched, and exact outright where no covariate has more than ``cuts`` values: then it
    is the tree of R's policytree. Zhou, Athey and Wager (2023), Operations Research 71(1). Cost: p^2 (n + cuts^2).

    Parameters
    ----------
    x : array (n, p)
        Without gaps.
    gain : array (n,)
        Weighted score less cost of treating each unit.
    depth : {0, 1, 2}
    cuts : int

    Raises
    ------
    InvalidOption
        For another depth.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.tree import shallow_tree
    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> shallow_tree(x, np.array([-1.0, -1.0, 2.0, 1.0]), depth=1).text(["age"])
    'if age <= 1: (do not treat); otherwise: (treat)'
    """
    if depth not in (0, 1, 2):
        raise InvalidOption(
            f"`depth` must be 0, 1 or 2. {depth} was given. Deeper trees need tree='policytree'."
        )
    leaf = Leaf(bool(gain.sum() > 0))
    if depth == 0 or not x.shape[1]:
        return leaf
    borders = [_borders(column, cuts) for column in x.T]
    place = [np.searchsorted(edges, column, side="left") for edges, column in zip(borders, x.T, strict=True)]
    best, column, cut = max(float(gain.sum()), 0.0), -1, 0
    for j, edges in enumerate(borders):
        if not len(edges):
            continue
        reward = _rewards(place, gain, j, len(edges), borders if depth == 2 else None)
        where = int(np.argmax(reward))
        if reward[where] > best + 1e-12 * abs(best):
            best, column, cut = float(reward[where]), j, where
    if column < 0:
        return leaf
    below = place[column] <= cut
    return Split(
        column,
        float(borders[column][cut]),
        shallow_tree(x[below], gain[below], depth=depth - 1, cuts=len(x)),
        shallow_tree(x[~below], gain[~below], depth=depth - 1, cuts=len(x)),
    )


def _borders(column: Array, cuts: int) -> Array:
    """Cut points: all values but the largest, or quantiles where there are more than ``cuts``."""
    values = np.unique(column)
    if len(values) <= cuts:
        return values[:-1]
    return np.unique(np.quantile(column, np.linspace(0, 1, cuts + 2)[1:-1], method="lower"))


def _rewards(place: list[Codes], gain: Array, j: int, n_cuts: int, borders: list[Array] | None) -> Array:
    """Best gain (n_cuts,) of a first split of covariate j at each cut, with leaves or best second splits below."""
    first = np.cumsum(np.bincount(place[j], gain, minlength=n_cuts + 1))
    left, right = first[:-1], first[-1] - first[:-1]
    below, above = np.maximum(left, 0.0), np.maximum(right, 0.0)
    for k, edges in enumerate(borders or []):
        width = len(edges) + 1
        if width == 1:
            continue
        table = np.bincount(place[j] * width + place[k], gain, minlength=(n_cuts + 1) * width)
        sums = np.cumsum(np.cumsum(table.reshape(n_cuts + 1, width), axis=0), axis=1)
        low, whole = sums[:-1, :-1], sums[-1, :-1]
        below = np.maximum(below, _two_leaves(low, left))
        above = np.maximum(above, _two_leaves(whole - low, right))
    return below + above


def _two_leaves(part: npt.NDArray[Any], total: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Largest gain (b,) over second cuts, from sums (b, c) of the part at most the cut and totals (b,)."""
    return (np.maximum(part, 0.0) + np.maximum(total[:, None] - part, 0.0)).max(axis=1)
