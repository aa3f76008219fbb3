"""Which units are held out together: clusters whole, the shuffle belonging to the rows' labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from hte_bridge import checks
from hte_bridge.arrays import Codes
from hte_bridge.keys import deal_clusters, deal_rows, seeded
from hte_bridge.options import whole
from hte_bridge.shown import Arrays


def held_together(study: checks.Checked, n_folds: int) -> Codes:
    """Codes (n,) of what a fold holds whole: clusters; of two, what hangs together by either, or the first where that is in fewer than ``n_folds``.

    All villages meet in one year: villages and years are one such part.
    """
    first, second = study.cluster, study.second_cluster
    if second is None:
        return first
    size = int(first.max()) + 1
    nodes = size + int(second.max()) + 1
    ties = sparse.coo_matrix((np.ones(len(first)), (first, size + second)), shape=(nodes, nodes))
    number, label = sparse.csgraph.connected_components(ties, directed=False)
    return np.asarray(label[first], dtype=np.int64) if number >= n_folds else first


def folds_by(study: checks.Checked, n_folds: int) -> str:
    """What folds hold out of a study with two clusters, for the table's notes; empty elsewhere."""
    if study.second_cluster is None:
        return ""
    whole = held_together(study, n_folds) is study.cluster
    first, second = study.names.cluster, study.names.second_cluster
    return f" by {first}" if whole else f" by what hangs together by {first} or {second}"


@dataclass(frozen=True, eq=False, repr=False)
class Folds(Arrays):
    """Which fold holds each unit out; a cluster never straddles two folds.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge import Folds
    >>> folds = Folds(np.array([0, 1, 0, 1]), n_folds=2, seed=0)
    >>> [test.tolist() for train, test in folds]
    [[0, 2], [1, 3]]
    """

    fold: Codes
    n_folds: int
    seed: int

    @classmethod
    def make(cls, study: checks.Checked, n_folds: int = 5, seed: int = 0) -> Folds:
        """Folds of near equal size: clusters are shuffled and dealt; without clusters, arm by arm.

        With fixed effects and no cluster, the units of the effect with most levels stay together; if it has fewer levels than
        ``n_folds``, there is a fold for each level. The shuffle belongs to
        the index labels (see ``keys.row_keys``): rows in another order that bring their labels, or clusters under other names, keep
        their folds under the same seed.

        Raises
        ------
        InvalidOption
            If the seed is negative or there are fewer than two folds.
        InvalidData
            If there are fewer clusters, or units of an arm, than folds.
        """
        whole("seed", seed, 0)
        whole("n_folds", n_folds, 2, advice="Five is usual.")
        checks.enough_for_folds(study, n_folds)
        chance = seeded(study.keys, seed)
        if study.clustered:
            return cls(deal_clusters(held_together(study, n_folds), chance, n_folds), n_folds, seed)
        if study.fixed_effects.shape[1]:
            widest = study.fixed_effects[:, int(study.fixed_effects.max(axis=0).argmax())]
            n_folds = min(n_folds, int(widest.max()) + 1)
            return cls(deal_clusters(widest, chance, n_folds), n_folds, seed)
        return cls(deal_rows(chance, n_folds, study.treatment if study.binary else None), n_folds, seed)

    def __iter__(self) -> Iterator[tuple[Codes, Codes]]:
        for number in range(self.n_folds):
            held = self.fold == number
            yield np.flatnonzero(~held), np.flatnonzero(held)
