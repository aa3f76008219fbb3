"""A study's rows on disk in the order of the passes, cut into blocks that one worker takes at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hte_bridge.arrays import Array, Codes, slices
from hte_bridge.engines.deep.basis.data import Rows, unique_rows
from hte_bridge.keys import mixed
from hte_bridge.lost import nested
from hte_bridge.stream import Store
from hte_bridge.study import Folds, Study

# rows are cut into blocks by their number alone, so that sums are the same however many workers there are
BLOCKS_OF_ROWS = 40  # about so many
FEWEST_ROWS, MOST_ROWS = 2_000, 400_000  # of a block: no crumbs, and what a worker holds
CHUNK = 131_072  # rows written at once


@dataclass(frozen=True)
class RowBlock:
    """Rows ``start`` to ``stop`` of one fold, the rows of each level of the swept effect among them whole."""

    fold: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Ordered:
    """Where the ordered rows lie, and what each worker needs to read a block of them; pickled without arrays.

    Rows are sorted by fold, by the level of the swept effect in a random order, by their covariates, and then by all else that they hold:
    where they stood in the files, and in what parts they were read, moves no bit of a sum.

    Parameters
    ----------
    store : Store
    blocks : tuple of RowBlock
    sizes : tuple of int
        Numbers of levels of the effects but for the swept one; one level for all where that is the only effect.
    swept : bool
        Whether an effect is swept: that with most levels of those whose levels each lie in one fold.
    blank : int
        Columns of zeros behind the covariates, where a basis has networks' columns.
    """

    store: Store
    blocks: tuple[RowBlock, ...]
    sizes: tuple[int, ...]
    swept: bool
    blank: int = 0

    @classmethod
    def of(
        cls,
        study: Study,
        folds: Folds,
        outcome: Array,
        treatment: Array,
        encode: Callable[[Array], Array],
        store: Store,
    ) -> Ordered:
        """Sort and store the rows of a study: ``encode`` gives the covariates (m, q) of raw ones (m, p) as the engine sees them."""
        effects, fold = study.fixed_effects, np.asarray(folds.fold)
        place = swept_effect(effects, fold)
        unit = np.zeros(study.n, dtype=np.int64) if place is None else np.asarray(effects[:, place])
        others = np.delete(np.arange(effects.shape[1]), [] if place is None else [place])
        order = order_of(study, fold, unit)
        columns: dict[str, tuple[Any, Any]] = {
            "outcome": (outcome, float),
            "treatment": (treatment, float),
            "weight": (study.weight, float),
            "unit": (unit, np.int64),
            "place": (np.arange(study.n), np.int64),
        }
        for name, (column, kind) in columns.items():
            store.put(f"ordered {name}", np.asarray(column)[order].astype(kind))
        with store.writing(
            "ordered effects", (study.n, max(len(others), int(place is not None))), np.int64
        ) as out:
            out[...] = 0
            for j, effect in enumerate(others):
                out[:, j] = np.asarray(effects[:, effect])[order]
        width = encode(np.asarray(study.covariates[:1])).shape[1]
        with store.writing("ordered x", (study.n, width), float) as out:
            for here in slices(study.n, CHUNK):
                out[here] = encode(np.asarray(study.covariates[order[here]]))
        sizes = tuple(len(study.effect_levels[effect]) for effect in others)
        if place is not None and not sizes:
            sizes = (1,)
        return cls(store, blocks_of(fold[order], unit[order], place is not None), sizes, place is not None)

    def column(self, name: str, block: RowBlock) -> Array:
        """A stored column of a block's rows."""
        return np.array(self.store.read(f"ordered {name}")[block.start : block.stop])

    def read(self, block: RowBlock) -> tuple[Rows, Codes]:
        """A block's rows, and the level of the swept effect of each."""
        x = self.column("x", block)
        first, place = unique_rows(x)
        points = np.hstack([x[first], np.zeros((len(first), self.blank))])
        n = block.stop - block.start
        rows = Rows(
            self.column("outcome", block),
            self.column("treatment", block),
            self.column("weight", block),
            self.column("effects", block).astype(np.int64),
            self.sizes,
            np.full(n, block.fold),
            place,
            points,
        )
        return rows, self.column("unit", block).astype(np.int64)


def swept_effect(effects: Codes, fold: Codes) -> int | None:
    """The effect with most levels of those whose levels each lie in one fold; ``None`` where there is none."""
    inside = [j for j in range(effects.shape[1]) if nested(np.asarray(effects[:, j]), fold)]
    return max(inside, key=lambda j: int(effects[:, j].max()), default=None)


def order_of(study: Study, fold: Codes, unit: Codes) -> Codes:
    """Places (n,) of the rows in their order."""
    rest, others = np.zeros(study.n), (study.outcome, study.treatment, study.weight, *study.fixed_effects.T)
    direction = directions(study.covariates.shape[1] + len(others))[study.covariates.shape[1] :]
    for weight, column in zip(direction, others, strict=True):
        rest += weight * np.asarray(column)
    return np.lexsort([rest, points_of(study), mixed(unit.astype(np.uint64)), fold])


def points_of(study: Study) -> Array:
    """A number for each row (n,), the same where covariates are: their sum in random directions."""
    covariates, point = study.covariates, np.zeros(study.n)
    for j, direction in enumerate(directions(covariates.shape[1])):
        column = np.asarray(covariates[:, j])
        seen = column[~np.isnan(column)]
        scale = float(np.abs(seen).max(initial=0.0)) or 1.0
        point += direction * np.where(np.isnan(column), np.pi, column / scale)
    return point


def directions(count: int) -> Array:
    """Random numbers (count,), always the same."""
    return np.random.default_rng(0).normal(size=count)


def blocks_of(fold: Codes, unit: Codes, whole: bool) -> tuple[RowBlock, ...]:
    """Blocks of sorted rows (n,), cut where a fold ends and, once they are large enough, where a unit does.

    Examples
    --------
    >>> blocks_of(np.array([0, 0, 1]), np.array([4, 4, 2]), whole=True)
    (RowBlock(fold=0, start=0, stop=2), RowBlock(fold=1, start=2, stop=3))
    """
    n = len(fold)
    most = int(np.clip(n // BLOCKS_OF_ROWS, FEWEST_ROWS, MOST_ROWS))
    ends = np.append(np.flatnonzero(np.diff(fold)) + 1, n)
    cuts = np.append(np.flatnonzero(np.diff(unit)) + 1, n) if whole else np.arange(1, n + 1)
    found, start = [], 0
    for end in ends.tolist():
        while start < end:
            far = cuts[min(int(np.searchsorted(cuts, start + most)), len(cuts) - 1)]
            stop = min(int(far), end)
            if end - stop < most // 2:  # no crumbs
                stop = end
            found.append(RowBlock(int(fold[start]), start, stop))
            start = stop
    return tuple(found)


def net_of_levels(values: Array, weight: Array, code: Codes) -> Array:
    """Values (n, k) less the weighted means of their levels (n,).

    Examples
    --------
    >>> net_of_levels(np.array([[1.0], [3.0], [7.0]]), np.ones(3), np.array([5, 5, 2])).ravel().tolist()
    [-1.0, 1.0, 0.0]
    """
    level = np.unique(code, return_inverse=True)[1].reshape(-1)
    total = np.bincount(level, weights=weight)
    means = [np.bincount(level, weights=weight * column) / total for column in values.T]
    return np.asarray(values - np.column_stack(means)[level])
