"""Sums over rows by cells: folds, and the parts of them that are left out in turn where the shares of a stacked mean are learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from hte_bridge.arrays import Codes
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.normal_equations import SUMS, NormalEquations, normal_equations, total
from hte_bridge.engines.deep.store.checkpoint import Checkpoint
from hte_bridge.progress import steps


@dataclass(frozen=True, eq=False)
class TrainingFolds:
    """What the models that predict a fold are fitted to.

    Parameters
    ----------
    made : Design
        Of blocks that such models may use.
    parts : mapping of int to NormalEquations
        Sums of the other folds' rows, by the parts that are left out in turn where shares of a stack are learned.
    rows : Rows
        All rows, with T - e(X) as models see it that did not see the fold.
    """

    made: Design
    parts: Mapping[int, NormalEquations]
    rows: Rows

    def sums(self, without: int | None = None) -> NormalEquations:
        """Of all parts, or but for one; where that one is all there is it stays. Added up: what is subtracted leaves its rounding behind."""
        kept = [each for part, each in self.parts.items() if part != without]
        return total(kept or list(self.parts.values()))


@dataclass(frozen=True, eq=False)
class Cells:
    """Which cell holds each row.

    Parameters
    ----------
    code, part : array (n,)
        Of the cell, which lies in one fold, and of the part that it is left out with.
    checkpoint : Checkpoint
        Where each cell's sums are left.
    n_jobs : int, optional
        Cells side by side.
    """

    code: Codes
    part: Codes
    checkpoint: Checkpoint
    n_jobs: int | None

    @classmethod
    def of(cls, fold: Codes, part: Codes | None, checkpoint: Checkpoint, n_jobs: int | None) -> Cells:
        """Folds, each cut where it lies in several parts; without parts folds alone."""
        part = np.zeros_like(fold) if part is None else part
        code = np.unique(fold * (int(part.max()) + 1) + part, return_inverse=True)[1]
        return cls(code.reshape(-1), part, checkpoint, n_jobs)

    def sums(self, made: Design, leave: int | None = None) -> dict[int, NormalEquations]:
        """Of each cell, but for those of one fold."""
        rows = made.rows
        kept = self.checkpoint.under(rows, made.basis, made.drift)
        names = np.unique(self.code[rows.fold != leave]).tolist()
        # threads of this process, whatever the backend: the rows of a cell are too many to be sent elsewhere
        found = Parallel(n_jobs=self.n_jobs, backend="threading")(
            delayed(kept.remember)(
                f"sums-{k}",
                SUMS,
                normal_equations,
                rows.at(self.code == k),
                made.basis,
                made.drift,
                made.device,
            )
            for k in steps(names, "deep: Gram matrix")
        )
        return dict(zip(names, found, strict=True))

    def whole(self, made: Design) -> NormalEquations:
        """Of all rows."""
        return total(list(self.sums(made).values()))

    def each_fold(
        self, made: Design, found: dict[int, NormalEquations], unseen: Sequence[Rows] | None
    ) -> list[Callable[[], TrainingFolds]]:
        """For each fold what makes its ``TrainingFolds``: from the cells' sums or, with rows as its models are to see them, from sums of their own."""
        if unseen is None:
            return [partial(self.others, k, made, found) for k in range(int(made.rows.fold.max()) + 1)]
        return [partial(self.others_alone, k, made, own) for k, own in enumerate(unseen)]

    def others(self, fold: int, made: Design, found: dict[int, NormalEquations]) -> TrainingFolds:
        """What models of a fold are fitted to, from the sums of (at least) the other folds' cells."""
        by_part: dict[int, list[NormalEquations]] = {}
        for k in np.unique(self.code[made.rows.fold != fold]).tolist():
            by_part.setdefault(int(self.part[self.code == k][0]), []).append(found[k])
        return TrainingFolds(made, {part: total(each) for part, each in by_part.items()}, made.rows)

    def others_alone(self, fold: int, made: Design, rows: Rows) -> TrainingFolds:
        """The same from sums of their own, of blocks that such models may use: not a bit depends on what other folds, or all, ask for."""
        own = made.alone(fold, rows)
        return self.others(fold, own, self.sums(own, leave=fold))
