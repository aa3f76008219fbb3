"""A random sample of a study of files, whole clusters, for engines that need all of their rows in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from hte_bridge.arrays import Codes
from hte_bridge.keys import seeded

Study = Any  # it lies above
WHOLE = 200_000  # rows up to which such an engine is given all of them
SAMPLE = 100_000  # rows of a sample, beyond


def in_memory(study: Study, seed: int) -> tuple[Study, str]:
    """A study in memory for an engine that cannot read it part by part, and what its rows say of that: all rows where they are few, else a sample.

    Parameters
    ----------
    study : Study
        Of files.
    seed : int
        Same seed, same sample: chance belongs to the rows' labels, as that of folds does.
    """
    if study.n <= WHOLE:
        return study.subset(slice(None)), ""
    chosen = study.subset(places(study, SAMPLE, seed))
    whole = f", whole clusters of `{study.names.cluster}`" if study.clustered else ""
    return chosen, (
        f"fitted to a random sample of {chosen.n:,} of {study.n:,} rows{whole}, as this engine needs all of its rows in memory; no row of it is "
        "compared with other engines' row by row"
    )


def places(study: Study, rows: int, seed: int) -> Codes:
    """Places (m,) of about so many rows: units are drawn by lot until they hold them, clusters whole, else the levels of the widest effect."""
    if study.clustered:
        unit = np.asarray(study.cluster)
    elif study.fixed_effects.shape[1]:
        unit = study.fixed_effects[:, int(np.argmax([len(each) for each in study.effect_levels]))]
    else:
        return np.sort(np.argsort(seeded(study.keys, seed), kind="stable")[:rows])
    sizes = np.bincount(unit)
    lot = np.full(len(sizes), np.iinfo(np.uint64).max)
    np.minimum.at(lot, unit, seeded(study.keys, seed))
    order = np.argsort(lot, kind="stable")
    drawn = np.zeros(len(sizes), dtype=bool)
    drawn[order[: int(np.searchsorted(np.cumsum(sizes[order]), rows)) + 1]] = True
    return np.flatnonzero(drawn[unit])
