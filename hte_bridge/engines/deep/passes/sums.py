"""The first pass: sums of each block, added up by folds in one order whoever makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from hte_bridge.engines.deep.basis.features import Basis
from hte_bridge.engines.deep.basis.normal_equations import SUMS, NormalEquations, normal_equations
from hte_bridge.engines.deep.passes.ordered import Ordered, RowBlock
from hte_bridge.engines.deep.passes.swept_sums import swept_sums
from hte_bridge.engines.deep.store.checkpoint import Checkpoint
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.stream import Runner


@dataclass(frozen=True, eq=False)
class SumsOf:
    """Sums of a block: what a worker is sent, small beside what comes back.

    Parameters
    ----------
    ordered : Ordered
    basis : Basis
    drift : array (K,)
    device : str
    checkpoint : Checkpoint
        Where a block's sums are left until their fold's are.
    """

    ordered: Ordered
    basis: Basis
    drift: npt.NDArray[np.bool_]
    device: str
    checkpoint: Checkpoint

    def __call__(self, block: RowBlock) -> tuple[NormalEquations, str]:
        """The sums, and what went wrong in storing them."""
        with threads(1):
            return self.checkpoint.attempt(name_of(block), SUMS, self.make, block)

    def make(self, block: RowBlock) -> NormalEquations:
        """The sums, from the block's rows."""
        rows, unit = self.ordered.read(block)
        if self.ordered.swept:
            return swept_sums(rows, unit, self.basis, self.drift, self.device)
        return normal_equations(rows, self.basis, self.drift, self.device)


def name_of(block: RowBlock) -> str:
    """Of a block's sums in a folder of checkpoints."""
    return f"sums-{block.fold}-{block.start}"


def added(
    left: tuple[NormalEquations, str], right: tuple[NormalEquations, str]
) -> tuple[NormalEquations, str]:
    """Both sums, in new memory: a part that is added twice, by a worker that was lost, is the same."""
    return left[0] + right[0], left[1] or right[1]


def sums_by_fold(work: SumsOf, runner: Runner) -> list[NormalEquations]:
    """Sums of each fold; those that a folder of checkpoints holds are not made again."""
    found: list[NormalEquations] = []
    for fold, own in groupby(work.ordered.blocks, key=lambda block: block.fold):
        found.append(of_fold(work, fold, list(own), runner))
    return found


def of_fold(work: SumsOf, fold: int, blocks: Sequence[RowBlock], runner: Runner) -> NormalEquations:
    """Sums of one fold, whose blocks' files go once it has one."""
    kept, name = work.checkpoint, f"sums-{fold}"
    there = kept.read(name, SUMS)
    if there is not None:
        return there
    whole, trouble = runner.map_sum(work, blocks, added)
    kept.say(trouble)
    trouble = kept.write(name, SUMS, whole)
    kept.say(trouble)
    if kept.folder is not None and not trouble:
        for block in blocks:
            kept.path(name_of(block)).unlink(missing_ok=True)
    return whole
