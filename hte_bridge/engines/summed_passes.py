"""Passes that take effects out of columns on disk: sums by level, and the triangle of what is left, by whoever makes a study's passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from hte_bridge.arrays import Array, Codes
from hte_bridge.scaling import Standard, power
from hte_bridge.stream import Part, Store
from hte_bridge.stream.levels import at_rows
from hte_bridge.stream.standard import triangle_of


@dataclass(frozen=True, eq=False)
class Kept:
    """Columns (n, k) on disk, with codes and weights of their rows: small, and pickled without arrays.

    Parameters
    ----------
    store : Store
    columns, weight : str
        Names there; the columns row after row.
    effects : str, optional
        Codes (n, F); one level for all without.
    sizes : tuple of int
        Numbers of levels.
    standard : Standard
    """

    store: Store
    columns: str
    weight: str
    effects: str | None
    sizes: tuple[int, ...]
    standard: Standard

    def at(self, rows: slice) -> Array:
        """Columns (m, k) less their means, over a power of two near their spreads; zeros where they have none."""
        moved = self.store.read_rows(self.columns, rows)
        moved -= self.standard.centre
        moved *= np.where(self.standard.scale > 0, 1 / power(self.standard.scale), 0.0)
        return moved

    def codes(self, rows: slice) -> Codes:
        """Codes (m, F) of some rows."""
        if self.effects is None:
            return np.zeros((rows.stop - rows.start, 1), dtype=np.int64)
        return np.array(self.store.read(self.effects)[rows])

    def held(self, rows: slice) -> Array:
        """Weights (m,) of some rows."""
        return np.array(self.store.read(self.weight)[rows])


@dataclass(frozen=True, eq=False)
class LevelSums:
    """Of a part: which levels its rows meet, of all effects one after another, weighted sums of the columns by these, and sums of squares (k,)."""

    kept: Kept

    def __call__(self, part: Part) -> tuple[Codes, Array, Array]:
        columns, weight = self.kept.at(part.rows), self.kept.held(part.rows)
        places, sums, start = [], [], 0
        for codes, size in zip(self.kept.codes(part.rows).T, self.kept.sizes, strict=True):
            seen, place = np.unique(codes, return_inverse=True)
            shape = (len(codes), len(seen))
            own = sparse.csr_array((weight, place.reshape(-1), np.arange(len(codes) + 1)), shape=shape)
            places.append(start + seen)
            sums.append(own.T @ columns)
            start += size
        return np.concatenate(places), np.vstack(sums), weight @ columns**2


@dataclass(frozen=True, eq=False)
class Triangle:
    """Of a part: R (k, k) of its columns less what their levels' coefficients say, under the weights.

    Parameters
    ----------
    kept : Kept
    levels : str
        Name of the coefficients (k, L).
    """

    kept: Kept
    levels: str

    def __call__(self, part: Part) -> Array:
        out = self.kept.at(part.rows)
        out -= at_rows(self.kept.store.read(self.levels).T, self.kept.codes(part.rows), self.kept.sizes)
        out *= np.sqrt(self.kept.held(part.rows))[:, None]
        return triangle_of(out)


def stacked(one: Array, other: Array) -> Array:
    """R of two triangles."""
    return triangle_of(np.vstack([one, other]))
