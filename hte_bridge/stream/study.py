"""A study whose rows lie on disk: the arrays of a ``Study`` as files, and parts of them for sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hte_bridge import parts
from hte_bridge.arrays import Array, Codes
from hte_bridge.encode import MeanFill
from hte_bridge.stream.runner import Runner, Serial
from hte_bridge.stream.store import Store, new_name

Study = Any  # it lies above

SUBSET = 1_000_000  # rows up to which some of a study's rows are a study in memory
PART = 131_072  # rows in a part: sums are made part by part, so that their bits do not depend on how files are cut


@dataclass(frozen=True)
class Part:
    """Rows from ``start`` up to ``stop``, the ``number``-th part of a study."""

    number: int
    start: int
    stop: int

    @property
    def rows(self) -> slice:
        """As a slice of arrays."""
        return slice(self.start, self.stop)


def parts_of(n: int, size: int = PART) -> tuple[Part, ...]:
    """Parts of n rows.

    Examples
    --------
    >>> [(part.start, part.stop) for part in parts_of(5, 2)]
    [(0, 2), (2, 4), (4, 5)]
    """
    return tuple(Part(k, start, min(start + size, n)) for k, start in enumerate(range(0, n, size)))


@dataclass(frozen=True, eq=False)
class StudyBatch:
    """Rows of a part, in memory: outcome, treatment and weight (m,), covariates ``x`` (m, q) without gaps, ``beside`` (m, r) with the
    controls among them, codes of effects (m, F) and clusters (m,), propensity (m,) where it is known."""

    part: Part
    outcome: Array
    treatment: Array
    x: Array
    beside: Array
    weight: Array
    effects: Codes
    cluster: Codes
    propensity: Array | None


@dataclass(frozen=True, eq=False)
class Rows:
    """How a part of a study of files is read, wherever its folder can be: small, and pickled without arrays.

    Parameters
    ----------
    store : Store
    names : mapping
        Name in the store of each array that the study has.
    filler, beside : MeanFill
        Of covariates, and of covariates and controls.
    """

    store: Store
    names: Mapping[str, str]
    filler: MeanFill
    beside: MeanFill

    def batch(self, part: Part) -> StudyBatch:
        """The rows of a part."""
        read = lambda name: self.column(self.names[name], part)
        raw = read("covariates")
        x = self.filler.transform(raw)
        return StudyBatch(
            part,
            read("outcome"),
            read("treatment"),
            x,
            self.beside.transform(np.hstack([raw, read("controls")])) if "controls" in self.names else x,
            read("weight"),
            read("fixed_effects"),
            read("cluster"),
            read("propensity") if "propensity" in self.names else None,
        )

    def column(self, name: str, part: Part) -> npt.NDArray[Any]:
        """A part of any stored array, such as predictions or folds that were put beside the study."""
        return np.array(self.store.read(name)[part.rows])


@dataclass(frozen=True, eq=False)
class Stored:
    """What makes a ``Study`` one of files larger than memory (``Study.stored``): the folder of its columns, and who makes its passes.

    The study's arrays are those of any other, as ``numpy.memmap``: rows of verbs are made from them by the same code, and the system keeps in
    memory what is in use. What needs many columns for each row goes part by part: ``study.stored.runner.map_sum(function,
    parts_of(study.n))``, with ``rows_of(study).batch(part)`` inside.

    Parameters
    ----------
    store : Store
        Where the arrays lie.
    runner : Runner
        Who makes the passes.
    """

    store: Store
    runner: Runner = field(default_factory=Serial)

    def filled(self, study: Study) -> Array:
        """Covariates (n, q) without gaps, on disk."""
        if not len(study.filler.flagged):
            return np.asarray(study.covariates)
        return self.made(study.covariates, study.filler.transform)

    def adjusted(self, study: Study) -> Study:
        """The study with its controls among its covariates, on disk."""
        both, name = [study.covariates, study.controls], new_name()
        with self.store.writing(name, (study.n, sum(each.shape[1] for each in both)), float) as out:
            for part in parts_of(study.n):
                out[part.rows] = np.hstack([each[part.rows] for each in both])
        return parts.with_controls(study, self.store.read(name))

    def keeps(self, rows: Codes) -> bool:
        """Whether a study of some rows stays one of files: where they are many, and in order."""
        return len(rows) > SUBSET and bool((np.diff(rows) > 0).all())

    def taken(self, columns: Array, rows: Codes) -> Array:
        """Some rows of columns (n, k), on disk."""
        name = new_name()
        with self.store.writing(name, (len(rows), columns.shape[1]), float) as out:
            for part in parts_of(len(rows)):
                out[part.rows] = columns[rows[part.rows]]
        return self.store.read(name)

    def made(self, columns: Array, function: Callable[[Array], Array]) -> Array:
        """A function of rows (n, k), part by part, as an array on disk."""
        name = new_name()
        with self.store.writing(name, (len(columns), function(np.array(columns[:1])).shape[1]), float) as out:
            for part in parts_of(len(columns)):
                out[part.rows] = function(np.array(columns[part.rows]))
        return self.store.read(name)


def rows_of(study: Study) -> Rows:
    """Reads parts of a study of files, here or in another process; arrays that are not on disk yet, such as a placebo's, are put there."""
    store, names = study.stored.store, {}
    for each in (
        "outcome",
        "treatment",
        "covariates",
        "weight",
        "fixed_effects",
        "cluster",
        "controls",
        "propensity",
    ):
        values = getattr(study, each)
        if values is None:
            continue
        names[each] = store.name_of(values) or new_name()
        if names[each] not in store:
            store.put(names[each], values)
    return Rows(store, names, study.filler, study.adjusted.filler)


def mean_fill(covariates: Array, weight: Array) -> MeanFill:
    """``MeanFill.of`` from sums over parts of (n, p).

    Examples
    --------
    >>> fill = mean_fill(np.array([[1.0], [np.nan], [3.0]]), np.ones(3))
    >>> fill.means, fill.flagged
    (array([2.]), array([0]))
    """
    n, p = covariates.shape
    total, known = np.zeros(p), np.zeros(p)
    gaps = np.zeros((p, (n + 7) // 8), dtype=np.uint8)  # a bit for each value
    for part in parts_of(n):
        here = np.asarray(covariates[part.rows])
        seen, w = ~np.isnan(here), np.asarray(weight[part.rows])
        known += seen.T @ w
        total += np.where(seen, here, 0.0).T @ w
        packed = np.packbits(~seen, axis=0).T
        gaps[:, part.start // 8 : part.start // 8 + packed.shape[1]] = packed
    first: dict[bytes, int] = {}
    for j in np.flatnonzero(gaps.any(axis=1)).tolist():
        first.setdefault(gaps[j].tobytes(), j)
    means = total / np.maximum(known, np.finfo(float).tiny)
    return MeanFill(means, np.array(list(first.values()), dtype=np.int64))
