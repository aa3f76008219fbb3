"""Whether a forest will fit in memory, forecast from a small one before it is grown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.errors import NotEnoughMemory
from hte_bridge.free_memory import available
from hte_bridge.rlink import client

ROUGH_BYTES = 150  # more than a tree has been seen to take per row, copies in growing and predicting included
# Peak over R's own size of a forest, as bench/bridge.py saw it (7.2 with 2,000 trees on 20,000 rows): R's form, the
# nuisance forests, C++ forms while growing and predicting, and what R has not yet collected.
COPIES = 8.0
# The same within fixed effects, where outcome and treatment's means are handed over and forests of the rounds are let go: 2.3 with 1,000 trees
# on 10,000 rows and with 500 on 50,000, and half as much again for safety.
COPIES_WITHIN = 3.5
PROBE_TREES, PROBE_ROWS = 20, 5_000
FREE_SHARE = 0.5  # below this share of free memory, by the rough figure, no forecast is needed


def forecast(
    covariates: Array,
    outcome: Array,
    treatment: Array,
    num_trees: int,
    options: Mapping[str, Any],
    copies: float = COPIES,
) -> int:
    """Bytes at the peak of growing a forest of ``num_trees`` on these rows: a small one, scaled.

    A tree's size is near linear in its rows, as leaves are filled to ``min.node.size``.

    Parameters
    ----------
    covariates : array (n, p)
    outcome, treatment : array (n,)
    num_trees : int
    options : mapping
        Further options of ``grf::causal_forest``.
    copies : float
        Peak over R's own size of the forest.
    """
    n = len(outcome)
    rows = np.random.default_rng(0).permutation(n)[:PROBE_ROWS]
    arrays = {"X": covariates[rows], "Y": outcome[rows], "W": treatment[rows]}
    size = client.call("forest_tree_bytes", arrays, {**options, "num.trees": PROBE_TREES})
    return int(copies * size * num_trees * n / len(rows))


def check(
    covariates: Array,
    outcome: Array,
    treatment: Array,
    num_trees: int,
    options: Mapping[str, Any],
    copies: float = COPIES,
) -> None:
    """The forest will fit; costs nothing where that is plain.

    Parameters
    ----------
    covariates : array (n, p)
    outcome, treatment : array (n,)
    num_trees : int
    options : mapping
        As in ``forecast``.
    copies : float
        As in ``forecast``.

    Raises
    ------
    NotEnoughMemory
        With the forecast, what is free, and a number of trees that would fit.
    """
    free = available()
    if ROUGH_BYTES * num_trees * len(outcome) < FREE_SHARE * free:
        return
    needed = forecast(covariates, outcome, treatment, num_trees, options, copies)
    if needed > free:
        fits = int(num_trees * free / needed) // 100 * 100
        advice = f"`num_trees={fits}` would fit" if fits else "Use fewer rows"
        raise NotEnoughMemory(
            f"A forest must fit in memory. {num_trees:,} trees on {len(outcome):,} rows would take about "
            f"{needed / 2**30:.1f} GiB (forecast from {PROBE_TREES} trees); {free / 2**30:.1f} GiB are free. "
            f"{advice}; or say `memory_override=True` to try."
        )
