"""Rows of some whole clusters or units, in memory: what sums cannot tell is asked of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.cluster import cluster_scores, design_ratio
from hte_bridge.engines.deep.basis.composite_likelihood import COMPOSITE
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.regression import Regression
from hte_bridge.engines.deep.basis.residual import residuals
from hte_bridge.engines.deep.basis.variance_components import LastLayer
from hte_bridge.engines.deep.passes.ordered import net_of_levels


@dataclass(frozen=True)
class ProbeSize:
    """How many rows are asked."""

    # rows, about
    rows: int = 200_000
    # clusters, at least, whatever their size
    clusters: int = 40
    # rows of a level of the swept effect, about, where it is no cluster: many levels say more than many rows of few
    of_level: int = 100


PROBE = ProbeSize()


@dataclass(frozen=True, eq=False)
class Probe:
    """Some whole clusters.

    Parameters
    ----------
    rows : Rows
        With the codes of all levels, but for the swept effect.
    unit : array (n,), optional
        Level of the swept effect.
    cluster : array (n,)
        Of the study, or where it has none of the swept effect: codes of the clusters in the probe.
    clustered : bool
        Whether the study has clusters.
    share : float
        Of the weight of all rows that these hold.
    """

    rows: Rows
    unit: Codes | None
    cluster: Codes
    clustered: bool
    share: float

    def at(self, chosen: Codes) -> Probe:
        """Some of the rows, as ``share`` of some of all rows."""
        code = np.unique(self.cluster[chosen], return_inverse=True)[1].reshape(-1)
        unit = None if self.unit is None else self.unit[chosen]
        return replace(self, rows=self.rows.at(chosen), unit=unit, cluster=code)

    def within(self, values: Array) -> Array:
        """Values (n,) less the means of the swept effect's levels."""
        if self.unit is None:
            return values
        return net_of_levels(values[:, None], self.rows.weight, self.unit)[:, 0]

    def residual(self, model: Regression, mean: Array) -> Array:
        """Outcome (n,) less features and effects."""
        here = replace(model, made=replace(model.made, rows=self.rows))
        return self.within(residuals(here, mean))


def chosen_clusters(cluster: Codes, keys: npt.NDArray[Any]) -> Codes:
    """Rows of clusters drawn whole, in the order of the clusters' random keys (G,), until there are enough.

    Examples
    --------
    >>> len(chosen_clusters(np.repeat(np.arange(3), 5), np.array([2, 0, 1])))
    15
    """
    sizes = np.bincount(cluster, minlength=len(keys))
    order = np.argsort(keys, kind="stable")
    order = order[sizes[order] > 0]
    enough = int(np.searchsorted(np.cumsum(sizes[order]), PROBE.rows)) + 1
    taken = np.zeros(len(keys), dtype=np.bool_)
    taken[order[: max(enough, PROBE.clusters)]] = True
    return np.flatnonzero(taken[cluster])


def thinned(level: Codes, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which rows (n,) are kept of large levels, by their random keys: about as many of each.

    Examples
    --------
    >>> bool(thinned(np.zeros(50, dtype=np.int64), np.arange(50, dtype=np.uint64)).all())
    True
    """
    share = PROBE.of_level / np.bincount(level)[level]
    return np.asarray(keys / float(np.iinfo(np.uint64).max) < share)


def tempered(model: Regression, probe: Probe, swept: int, max_steps: int | None = None) -> LastLayer:
    """Variances from the marginal likelihood, to the power of one over the design effect of clusters (``basis.composite_likelihood``)."""
    layer = model.fit(max_steps=max_steps)
    for _ in range(COMPOSITE.rounds if probe.clustered else 0):
        ratio = design_ratio(model, layer, scores_of(model, layer, probe, swept))
        if ratio < COMPOSITE.grown:
            break
        layer = model.fit(max_steps=max_steps, temper=layer.temper * ratio)
    return layer


def scores_of(model: Regression, layer: LastLayer, probe: Probe, swept: int) -> Array:
    """Sums of scores (C, live) of the probe's clusters, as large as if they were all.

    Residuals are net of the swept effect within each of its levels, so that columns need not be. Levels that lie in one cluster each cost the
    sums nothing (``basis.cluster.within_clusters``).
    """
    left = max(model.system.freedom - layer.spent, 1.0)
    inside = swept if probe.unit is not None else 0
    size = (model.system.n / (left + inside)) ** 0.5
    residual = size * probe.residual(model, layer.mean)
    here = replace(model, made=replace(model.made, rows=probe.rows))
    return cluster_scores(here, layer, residual, probe.cluster) / probe.share**0.5
