"""Clusters two ways: the error of a row from its influence values by both (Cameron, Gelbach and Miller, 2011, JBES 29(2))."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.estimate import Ends
from hte_bridge.lost import inflation
from hte_bridge.study import Study
from hte_bridge.table import Estimate

NO_TEST = "no test: clusters are two-way, for which a joint test is not made; read the single rows"
NO_ERROR = "no interval: clusters are two-way, and this row's error is not a sum over units"
NEGATIVE = "no interval: the variance by both clusters, less that by their cells, is not positive"


def variance(influence: Array, study: Study) -> float:
    """Squared totals by the first cluster and by the second, less those by their cells, times G / (G - 1) for the fewer, as pyfixest counts.

    Parameters
    ----------
    influence : array (n,)
        Zero for rows that a row of the table leaves out.
    study : Study
        With two clusters.
    """
    return float(covariance(influence[:, None], study)[0, 0])


def covariance(influence: Array, study: Study) -> Array:
    """Covariance (k, k) of estimates with influence values (n, k), as ``variance`` counts; NaN where one of the two has a single cluster.

    It need not be positive: the third term is taken away.
    """
    used = influence.any(axis=1)
    ways = codes_of_ways(study)
    fewer = min(len(np.unique(each[used])) for each in ways[:2])
    if fewer < 2:
        return np.full((influence.shape[1],) * 2, np.nan)
    totals = [np.column_stack([np.bincount(each, weights=own) for own in influence.T]) for each in ways]
    first, second, cells = (each.T @ each for each in totals)
    return np.asarray(fewer / (fewer - 1) * (first + second - cells))


def two_way(study: Study) -> Study | None:
    """The study where it has clusters two ways, else nothing."""
    return study if study.second_cluster is not None else None


def codes_of_ways(study: Study) -> list[Codes]:
    """Codes (n,) of the first cluster, the second, and of their cells."""
    assert study.second_cluster is not None
    cell = study.cluster * (int(study.second_cluster.max()) + 1) + study.second_cluster
    return [study.cluster, study.second_cluster, np.unique(cell, return_inverse=True)[1].reshape(-1)]


def crossed(rows: Sequence[Estimate], study: Study) -> list[Estimate]:
    """Rows with errors by both clusters of a study; themselves where it has one or none. A regression's coefficient has its own already."""
    if study.second_cluster is None:
        return list(rows)
    factor = inflation(study, codes_of_ways(study)[:2])
    return [row if row.estimand == "coefficient" else _by_both(row, study, factor) for row in rows]


def _by_both(row: Estimate, study: Study, factor: float) -> Estimate:
    label = f"CRV1 ({study.names.cluster} + {study.names.second_cluster})"
    if row.vcov == label:
        return row
    if row.influence is None:
        if row.test is not None and not np.isfinite(row.estimate):
            return row.with_(test=(np.nan, np.nan), note=NO_TEST)
        bare = not row.std_error > 0 and row.interval is None and row.test is None
        return row if bare else row.with_(std_error=np.nan, test=None, interval=None, note=NO_ERROR)
    found = variance(row.influence, study)
    before = row.std_error
    error = factor * found**0.5 if found > 0 else np.nan
    used = row.influence != 0
    fewer = min(len(np.unique(each[used])) for each in codes_of_ways(study)[:2])
    band = row.interval
    if band is not None and before > 0:  # it keeps its critical value
        band = _scaled(band, row, error / before)
    changes = {} if found > 0 else {"note": NEGATIVE}
    return row.with_(
        std_error=error,
        df=max(fewer - 1, 1),
        vcov=label,
        n_clusters=fewer,
        test=None,
        interval=band,
        **changes,
    )


def _scaled(band: tuple[float, float], row: Estimate, by: float) -> tuple[float, float]:
    """A band about an estimate, so many times as wide, at any level that the band knows."""

    def ends(given: tuple[float, float]) -> tuple[float, float]:
        low, high = (row.estimate + by * (end - row.estimate) for end in given)
        return low, high

    return Ends(lambda level: ends(band.at(level)), band.level) if isinstance(band, Ends) else ends(band)
