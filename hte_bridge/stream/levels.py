"""Fixed effects out of columns by sums over levels: what a level holds is summed once, and the system of all levels is solved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import linalg, sparse

from hte_bridge.arrays import Array, Codes
from hte_bridge.stream.conjugate import conjugate
from hte_bridge.stream.study import parts_of
from hte_bridge.stream.widest import eliminated, widest_first
from hte_bridge.sweeping import ABSORBED

DENSE = 3_000  # levels beside the widest effect up to which their system is factored
RANK = 1e-11  # of the largest eigenvalue, below which a direction is redundant
ROWS = 16_384  # of the widest effect at once, where its shared weights are dense


@dataclass(frozen=True, eq=False)
class Levels:
    """Generalised inverse of D'WD of the dummies D of all effects: the widest effect is diagonal, the others are its Schur complement.

    Memory is linear in levels and in the pairs of them that share a row. The complement of few levels is factored; of many it is only
    ever multiplied with, by conjugate gradients (Abowd, Creecy and Kramarz, 2002).

    Parameters
    ----------
    order : array (L,)
        Levels of all effects, one after another, those of the widest first.
    inverse : array (first,)
        One over the weight of each level of the widest effect; zero where it is empty.
    border : sparse array (first, rest)
        Weight shared by each such level and each other.
    corner : sparse array (rest, rest)
        Weights that the others share.
    root : array (rest, r), optional
        Of the complement's generalised inverse, ``root @ root.T``.
    """

    order: Codes
    inverse: Array
    border: sparse.csr_array
    corner: sparse.csr_array
    root: Array | None

    @classmethod
    def of(cls, effects: Codes, weight: Array, sizes: Sequence[int]) -> Levels:
        """From the codes (n, F) of some rows and their weights (n,)."""
        (order, first), widest = widest_first(sizes), int(np.argmax(sizes))
        rest = len(order) - first
        others = [place for place in range(len(sizes)) if place != widest]
        shift = dict(
            zip(others, np.concatenate([[0], np.cumsum([sizes[f] for f in others])]).tolist(), strict=False)
        )
        held = np.bincount(effects[:, widest], weights=weight, minlength=sizes[widest])
        inverse = np.divide(1.0, held, out=np.zeros(len(held)), where=held > 0)
        border = sparse.csr_array((first, rest))
        corner = sparse.csr_array((rest, rest))
        for f in others:
            border = border + _shared(effects[:, widest], effects[:, f] + shift[f], weight, border.shape)
            for g in others:
                corner = corner + _shared(
                    effects[:, f] + shift[f], effects[:, g] + shift[g], weight, corner.shape
                )
        root = _root(inverse, border, corner) if rest <= DENSE else None
        return cls(order, inverse, border, corner, root)

    def solve(self, sums: Array, squares: Array | float = 0.0) -> Array:
        """Coefficients (L, k) of all levels from weighted sums (L, k) of columns by level, up to what leaves D @ coefficients as it is.

        ``squares`` (k,), the columns' weighted sums of squares, tell what of the sums is rounding.

        Examples
        --------
        >>> codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> levels = Levels.of(codes, np.ones(4), (2, 2))
        >>> found = levels.solve(np.array([[3.0], [7.0], [4.0], [6.0]]))  # of 1, 2, 3, 4
        >>> (found[codes[:, 0]] + found[2 + codes[:, 1]]).ravel().round(9).tolist()
        [1.0, 2.0, 3.0, 4.0]
        """
        out, root = np.empty_like(sums), self.root
        if root is not None:
            others = lambda right: root @ (root.T @ right)
        else:
            others = partial(conjugate, self._complement, diagonal=self.corner.diagonal(), squares=squares)
        out[self.order] = eliminated(sums[self.order], self.inverse, self.border, others)
        return out

    def _complement(self, columns: Array) -> Array:
        return np.asarray(
            self.corner @ columns - self.border.T @ (self.inverse[:, None] * (self.border @ columns))
        )


def swept(values: Array, effects: Codes, weight: Array) -> Array:
    """``sweeping.within`` of columns (n, k) by the system of levels: quicker and smaller where rows are many and levels few.

    Examples
    --------
    >>> swept(np.array([[1.0], [3.0], [5.0], [9.0]]), np.array([[0], [0], [1], [1]]), np.ones(4)).ravel().tolist()
    [-1.0, 1.0, -2.0, 2.0]
    """
    sizes = tuple(int(codes.max()) + 1 for codes in effects.T)
    out = values - np.average(values, axis=0, weights=weight)
    size, sums, parts = (
        np.sqrt((out**2).mean(axis=0)),
        np.zeros((sum(sizes), values.shape[1])),
        parts_of(len(values)),
    )
    for part in parts:
        level_sums(out[part.rows], np.asarray(effects[part.rows]), np.asarray(weight[part.rows]), sizes, sums)
    coefficients = Levels.of(effects, weight, sizes).solve(sums, float(weight.sum()) * size**2)
    for part in parts:
        out[part.rows] -= at_rows(coefficients, np.asarray(effects[part.rows]), sizes)
    out[:, np.sqrt((out**2).mean(axis=0)) <= ABSORBED * size] = 0.0
    return out


def level_sums(values: Array, effects: Codes, weight: Array, sizes: Sequence[int], into: Array) -> None:
    """Add weighted sums of columns (m, k) by level to those of all effects (L, k), one effect after another."""
    start, m = 0, len(values)
    for codes, size in zip(effects.T, sizes, strict=True):
        here: Any = slice(start, start + size)
        place = codes
        if size > m:  # most levels have no row here
            seen, place = np.unique(codes, return_inverse=True)
            here = start + seen
        own = sparse.csr_array((weight, place, np.arange(m + 1)), shape=(m, size if size <= m else len(seen)))
        into[here] += own.T @ values
        start += size


def at_rows(coefficients: Array, effects: Codes, sizes: Sequence[int]) -> Array:
    """Sum (m, k) over the effects of the coefficients (L, k) of each row's levels."""
    out, start = np.zeros((len(effects), coefficients.shape[1])), 0
    for codes, size in zip(effects.T, sizes, strict=True):
        out += coefficients[start + codes]
        start += size
    return out


def _shared(left: Codes, right: Codes, weight: Array, shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.csr_array(sparse.coo_array((weight, (left, right)), shape=shape))


def _root(inverse: Array, border: sparse.csr_array, corner: sparse.csr_array) -> Array:
    """Root of the complement's generalised inverse; of a border with few zeros, products of dense rows are quicker than sparse ones."""
    complement = corner.toarray()
    if border.nnz < 0.02 * max(np.prod(border.shape), 1):
        complement -= (border.T @ (sparse.diags_array(inverse) @ border)).toarray()
    else:
        for begin in range(0, border.shape[0], ROWS):
            some = border[begin : begin + ROWS].toarray()
            complement -= some.T @ (inverse[begin : begin + ROWS, None] * some)
    if not len(complement):
        return np.zeros((0, 0))
    values, vectors = linalg.eigh(complement)
    kept = values > RANK * max(values[-1], np.finfo(float).tiny)
    return np.asarray(vectors[:, kept] / np.sqrt(values[kept]))
