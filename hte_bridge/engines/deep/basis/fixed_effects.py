"""Fixed effects: leave the normal equations by block elimination, and come back with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.csgraph import connected_components

from hte_bridge.arrays import Array, Codes, slices
from hte_bridge.engines.deep.store.linear_algebra import eigen
from hte_bridge.stream.conjugate import conjugate
from hte_bridge.stream.widest import eliminated, widest_first


@dataclass(frozen=True)
class EliminationOptions:
    """How effects are eliminated, and up to how many have slopes."""

    # beside the largest effect: two effects of 20,000 levels in all stay dense
    dense_levels: int = 10_000
    # beyond, the rank comes from a pivoted Cholesky factor: an eigenbasis takes minutes
    eigen_levels: int = 3_000
    # net of a swept effect: more are solved for step by step
    swept_levels: int = 3_000
    # of the largest eigenvalue, below which a direction is redundant
    rank_tolerance: float = 1e-9
    # random slopes of effects beyond this number cost more than they explain
    most_slopes: int = 1_600


ELIMINATION = EliminationOptions()

JITTER = 1e-10
SOLVED_COLUMNS = 256  # right-hand sides at once


def dummies(codes: Codes, sizes: Sequence[int]) -> sparse.csr_array:
    """All dummies of all effects (n, L), one per effect and row; a single column of ones without effects."""
    n = len(codes)
    if not len(sizes):
        return sparse.csr_array(np.ones((n, 1)))
    shift = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    columns = (codes + shift).ravel()
    pointer = np.arange(n + 1) * len(sizes)
    return sparse.csr_array((np.ones(len(columns)), columns, pointer), shape=(n, int(sum(sizes))))


@dataclass(frozen=True, eq=False)
class Elimination:
    """A generalised inverse of D'D: the largest effect is diagonal, the others are its Schur complement.

    Up to ``ELIMINATION.dense_levels`` levels beside the largest effect the complement is dense and its null space, one
    direction per redundant level, is left out; beyond, a sparse LU factor of the slightly shifted D'D is used.
    Both solve the same consistent systems.

    Parameters
    ----------
    order : array (L,)
        Levels, those of the largest effect first.
    first : int
        Number of levels of the largest effect.
    inverse : array (first,)
        One over the weight of each such level; zero where it is empty.
    border : sparse array (first, L - first)
        Weight shared by each such level and each other level.
    complement : array (L - first, r), optional
        Factor of the complement's generalised inverse, ``complement @ complement.T``.
    lu : object, optional
        What solves for all levels in place of ``complement``: a sparse factor, or steps (``Stepwise``).
    rank : int
        Rank of D.
    """

    order: Codes
    first: int
    inverse: Array
    border: sparse.csr_array
    complement: Array | None
    lu: Any
    rank: int

    @classmethod
    def of(
        cls, gram: sparse.csr_array, sizes: Sequence[int], dense_levels: int = ELIMINATION.dense_levels
    ) -> Elimination:
        """Factor D'D (L, L) of effects with these numbers of levels."""
        levels = gram.shape[0]
        order, first = widest_first(sizes) if len(sizes) else (np.arange(levels), 1)  # the constant
        ordered = sparse.csr_array(gram)[order][:, order]
        diagonal = ordered.diagonal()[:first]
        inverse = np.divide(1.0, diagonal, out=np.zeros(first), where=diagonal > 0)
        border = sparse.csr_array(ordered[:first, first:])
        occupied = int((diagonal > 0).sum())
        if levels - first <= dense_levels:
            scaled = sparse.diags_array(inverse) @ border
            schur = (ordered[first:, first:] - border.T @ scaled).toarray()
            factor, rank = _inverse_factor(schur)
            return cls(order, first, inverse, border, factor, None, occupied + rank)
        weight = ordered.diagonal()
        shifted = ordered + sparse.diags_array(np.where(weight > 0, JITTER * weight.max(), 1.0))
        lu = sparse.linalg.splu(sparse.csc_array(shifted), diag_pivot_thresh=0.0)
        spare = _redundant(ordered, sizes)
        return cls(order, first, inverse, border, None, lu, int((weight > 0).sum()) - spare)

    @classmethod
    def net_of_another(
        cls, gram: sparse.csr_array, sizes: Sequence[int], size: Array, swept: int
    ) -> Elimination:
        """Factor D'D (L, L) net of one more effect, ``swept`` of whose levels hold rows; ``size`` (L,) is its diagonal before.

        Of more levels nothing is factored: conjugate gradients solve for them, in memory linear in the pairs of levels that share a level of the
        swept effect.
        """
        levels = gram.shape[0]
        if levels > ELIMINATION.swept_levels:
            steps = Stepwise.of(gram, size)
            rank = swept + steps.rank(sizes)
            nothing = sparse.csr_array((0, levels))
            return cls(np.arange(levels), 0, np.zeros(0), nothing, None, steps, rank)
        scale = np.sqrt(np.divide(1.0, size, out=np.zeros(levels), where=size > 0))
        factor, rank = _inverse_factor(scale[:, None] * gram.toarray() * scale, largest=1.0)
        nothing = sparse.csr_array((0, levels))
        return cls(np.arange(levels), 0, np.zeros(0), nothing, scale[:, None] * factor, None, swept + rank)

    def solve(self, right: Array, squares: Array | None = None) -> Array:
        """``pinv(D'D) @ right`` up to the null space of D, for right (L, k) or (L,) in the range of D'.

        ``squares`` (k,), where they are known the columns' sums of squares, tell what of the right-hand side is rounding.
        """
        right = np.asarray(right, dtype=np.float64)
        table = right.reshape(len(self.order), -1)
        out = np.empty_like(table)
        for some in slices(table.shape[1], SOLVED_COLUMNS):
            block = table[self.order, some]
            if isinstance(self.lu, Stepwise):
                out[self.order, some] = self.lu.solve(block, 0.0 if squares is None else squares[some])
            else:
                out[self.order, some] = self._solve(block)
        return out.reshape(right.shape)

    def _solve(self, block: Array) -> Array:
        """The same for some columns (L, k), rows in ``order``."""
        if self.lu is not None:
            return np.asarray(self.lu.solve(np.ascontiguousarray(block)))
        complement = self.complement
        assert complement is not None
        return eliminated(block, self.inverse, self.border, lambda right: complement @ (complement.T @ right))

    def root(self) -> tuple[Array, Iterator[Array]]:
        """Inverse of D'D as ``diag(d) + R @ R.T``, rows in the order of the levels: d (L,), and some columns (L, k) of R at a time."""
        complement = self.complement
        if complement is None:
            raise ValueError("A root needs the dense complement.")
        diagonal = np.zeros(len(self.order))
        diagonal[self.order[: self.first]] = self.inverse

        def columns() -> Iterator[Array]:
            for here in slices(complement.shape[1], SOLVED_COLUMNS):
                some = complement[:, here]
                wide = np.empty((len(self.order), some.shape[1]))
                wide[self.order[: self.first]] = -self.inverse[:, None] * (self.border @ some)
                wide[self.order[self.first :]] = some
                yield wide

        return diagonal, columns()

    def centred_variance(self, span: slice, component: Codes, weight: Array) -> Array:
        """Variances (size,) of the centred levels of one effect, for noise of variance one.

        From the dense complement, or level by level from the sparse factor.
        """
        if self.complement is not None:
            diagonal, wide = self.root()
            return centred_variance(diagonal[span], (part[span] for part in wide), component, weight)
        size, found = span.stop - span.start, np.zeros(span.stop - span.start)
        for some in slices(size, SOLVED_COLUMNS):
            chosen = np.arange(size)[some]
            unit = np.zeros((size, len(chosen)))
            unit[chosen, np.arange(len(chosen))] = 1.0
            unit = centred(unit, component, weight)
            right = np.zeros((len(self.order), len(chosen)))
            right[span] = unit
            found[chosen] = (unit * self.solve(right)[span]).sum(axis=0)
        return found


@dataclass(frozen=True, eq=False)
class Stepwise:
    """D'D of effects net of a swept one, never factored: it is multiplied with until a solution stands (``stream.conjugate``).

    Parameters
    ----------
    gram : sparse array (L, L)
        Without the levels that the swept effect takes up, whose rows and columns are zero.
    """

    gram: sparse.csr_array

    @classmethod
    def of(cls, gram: sparse.csr_array, size: Array) -> Stepwise:
        """From D'D (L, L) and its diagonal (L,) before the effect was swept."""
        live = (gram.diagonal() > ELIMINATION.rank_tolerance * size).astype(np.float64)
        keep = sparse.diags_array(live)
        return cls(sparse.csr_array(keep @ gram @ keep))

    def solve(self, right: Array, squares: Array | float = 0.0) -> Array:
        """The levels' coefficients (L, k)."""
        diagonal = self.gram.diagonal()
        own = np.where((diagonal > 0)[:, None], right, 0.0)
        return conjugate(lambda columns: self.gram @ columns, own, diagonal, squares)

    def rank(self, sizes: Sequence[int]) -> int:
        """Of the largest effect exactly, one less than its levels in each component; of the others from what it leaves of them.

        Where these are too many for a factor, each is taken to lose one in each component of all effects.
        """
        order, wide = widest_first(sizes)
        front, rest = order[:wide], order[wide:]
        own = Stepwise(sparse.csr_array(self.gram[front][:, front]))
        first = _levels_less_components(own.gram, np.zeros(len(front), dtype=np.int64))
        if not len(rest):
            return first
        if len(rest) > ELIMINATION.eigen_levels:
            return _levels_less_components(self.gram, np.repeat(np.arange(len(sizes)), sizes))
        between, corner = self.gram[front][:, rest].toarray(), self.gram[rest][:, rest].toarray()
        scale = np.sqrt(
            np.divide(1.0, corner.diagonal(), out=np.zeros(len(rest)), where=corner.diagonal() > 0)
        )
        left = corner - between.T @ own.solve(between, corner.diagonal())
        return first + _inverse_factor(scale[:, None] * left * scale, largest=1.0)[1]


def _levels_less_components(gram: sparse.csr_array, effect: Codes) -> int:
    """Levels (L,) that hold anything, less one for each effect in each connected component."""
    live = np.flatnonzero(gram.diagonal() > 0)
    pairs = np.unique(np.column_stack([_components(gram)[live], effect[live]]), axis=0)
    return len(live) - len(pairs)


def _inverse_factor(matrix: Array, largest: float | None = None) -> tuple[Array, int]:
    """Factor F with ``F @ F.T`` a generalised inverse of a positive semidefinite matrix, and its rank.

    What is redundant is told by ``largest``, by default the matrix's own largest eigenvalue (or, where it is wide, diagonal element).
    """
    if not len(matrix):
        return np.zeros((0, 0)), 0
    if len(matrix) <= ELIMINATION.eigen_levels:
        values, vectors = eigen(matrix)
        keep = values > ELIMINATION.rank_tolerance * (largest or max(values[-1], 1e-300))
        return vectors[:, keep] / np.sqrt(values[keep]), int(keep.sum())
    tolerance = ELIMINATION.rank_tolerance * (largest or matrix.diagonal().max())
    factor, pivot, rank, _ = linalg.lapack.dpstrf(matrix, lower=1, tol=tolerance)
    kept = pivot[:rank] - 1
    lower = np.tril(factor[:rank, :rank])
    out = np.zeros((len(matrix), rank))
    out[kept] = linalg.solve_triangular(lower, np.eye(rank), lower=True).T
    return out, int(rank)


def _redundant(gram: sparse.csr_array, sizes: Sequence[int]) -> int:
    """Redundant levels: exact for two effects (one per component); a further effect loses one per component."""
    components = _components(gram)[gram.diagonal() > 0]
    return len(np.unique(components)) * max(len(sizes) - 1, 0)


def _components(gram: sparse.csr_array) -> Codes:
    _, labels = connected_components(gram, directed=False)
    return np.asarray(labels, dtype=np.int64)


def components_of(gram: sparse.csr_array, sizes: Sequence[int]) -> list[Codes]:
    """Connected component of each level of each effect: within one, levels can be compared.

    Abowd, Creecy & Kramarz (2002) for two effects. With more, an effect is compared through the graph of the two
    largest effects, and a smaller effect through all of them.

    Examples
    --------
    >>> codes = np.array([[0, 0], [1, 0], [2, 1]])
    >>> design = dummies(codes, [3, 2])
    >>> [part.tolist() for part in components_of(sparse.csr_array(design.T @ design), [3, 2])]
    [[0, 0, 1], [0, 1]]
    """
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    spans = [np.arange(a, b) for a, b in pairwise(start)]
    largest = sorted(np.argsort(-np.asarray(sizes), kind="stable")[:2].tolist())
    pair = np.concatenate([spans[f] for f in largest]) if spans else np.empty(0, dtype=np.int64)
    labels = np.zeros(gram.shape[0], dtype=np.int64)
    if len(pair):
        labels[pair] = _components(sparse.csr_array(gram)[pair][:, pair])
    everything = _components(gram)
    return [labels[span] if f in largest else everything[span] for f, span in enumerate(spans)]


def centred(values: Array, component: Codes, weight: Array) -> Array:
    """Values (L,) or (L, k) minus the mean over the levels of their component that hold rows."""
    live = (weight > 0).astype(np.float64)
    count = np.maximum(np.bincount(component, weights=live), 1.0)
    table = values.reshape(len(values), -1)
    pick = sparse.csr_array((live, (component, np.arange(len(values)))), shape=(len(count), len(values)))
    means = (pick @ table) / count[:, None]
    return (table - means[component]).reshape(values.shape)


def centred_variance(diagonal: Array, wide: Iterable[Array], component: Codes, weight: Array) -> Array:
    """Variances (L,) of centred levels whose covariance is ``diag(diagonal)`` plus ``part @ part.T`` for each part (L, k) of ``wide``."""
    live = (weight > 0).astype(np.float64)
    count = np.maximum(np.bincount(component, weights=live), 1.0)[component]
    total = np.bincount(component, weights=diagonal * live)[component]
    own = diagonal * (1 - 2 / count) + total / count**2
    for part in wide:
        own = own + (centred(part, component, weight) ** 2).sum(axis=1)
    return np.asarray(own)
