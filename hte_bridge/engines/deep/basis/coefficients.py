"""Posterior of the effect surface from the coefficients: robust to clusters, with what the blocks leave."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.basis.cluster import cluster_sandwich, cluster_scores, within_clusters
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.normal_equations import NormalEquations
from hte_bridge.engines.deep.basis.posterior import EffectPosterior
from hte_bridge.engines.deep.basis.recovered_effects import recover
from hte_bridge.engines.deep.basis.regression import Regression
from hte_bridge.engines.deep.basis.solve import Solved
from hte_bridge.engines.deep.basis.variance_components import LastLayer, scale_uncertainty
from hte_bridge.engines.deep.store.linear_algebra import eigen
from hte_bridge.study import Study


@dataclass(frozen=True)
class ReserveRule:
    """What blocks that were set aside may still hold."""

    # degrees of freedom that each block of tau that was set aside may still hold
    degrees_of_freedom: float = 0.5
    # directions with less than this share of the coefficients' variance are left out of the root
    dropped: float = 1e-9


RESERVE = ReserveRule()


def posterior(
    study: Study, made: Design, whole: NormalEquations, solved: Solved
) -> tuple[EffectPosterior, float]:
    """Surface with the nugget, cluster-robust where clusters were named, and the recovered effects."""
    model, layer = solved.model, solved.layer
    system = model.system
    covariance, inflation = layer.covariance, 1.0
    live = layer.live
    is_tau = model.of_effect(layer)
    if study.clustered:
        residual = within_clusters(system, layer, made.rows.effects, study.cluster) * solved.residual
        scores = cluster_scores(model, layer, residual, study.cluster)
        robust = cluster_sandwich(system, layer, scores, is_tau)
        covariance, inflation = robust.covariance, layer.temper * max(robust.ratio, 1.0)
    elif study.weighted:
        inflation = float((made.rows.weight**2).mean())  # Kish (1965): the design effect of unequal weights
        independent = covariance @ (system.gram[np.ix_(live, live)] / layer.noise) @ covariance
        covariance = covariance + (inflation - 1) * independent
    covariance = covariance + scale_uncertainty(layer, model.owner, (0,), made.device)
    surface = surface_of(model, layer, covariance)
    cluster = study.cluster if study.clustered else None
    recovered = recover(made, whole, solved, covariance, is_tau, cluster, inflation)
    return replace(surface, nugget=solved.nugget + reserve(made, solved), recovered=recovered), inflation


def reserve(made: Design, solved: Solved) -> float:
    """Variance of tau that the blocks set aside may still hold.

    The likelihood of a small variance is flat: it cannot tell none from half a degree of freedom. A block set aside
    has variance zero at the mode, and this much on average.
    """
    model = solved.model
    inside = model.columns < made.basis.size
    size = np.bincount(model.owner, weights=model.system.gram.diagonal())
    blocks = np.unique(model.owner[: len(model.columns)][inside])
    gone = [
        k
        for k in blocks
        if solved.layer.variance[k] == 0 and size[k] > 0 and "network" not in solved.names[k]
    ]
    return float(sum(RESERVE.degrees_of_freedom * solved.layer.noise / size[k] for k in gone))


def surface_of(model: Regression, layer: LastLayer, covariance: Array) -> EffectPosterior:
    """Keep the blocks of tau that are live, their coefficients, and a root of their covariance (live, live)."""
    made, columns, owner, slopes = model.made, model.columns, model.owner, model.slopes
    width, narrow = made.basis.size, int(made.drift.sum())
    everywhere = np.concatenate([columns, width + narrow + np.arange(len(owner) - len(columns))])
    position = everywhere[layer.live]
    tau = (position < width) | (position >= width + narrow)
    inside = covariance[np.ix_(tau, tau)]
    kept_features = position[tau][position[tau] < width]
    kept_blocks = np.unique(made.basis.owner[kept_features])
    small = made.basis.keep(kept_blocks.tolist())
    seen = position[tau][position[tau] >= width + narrow] - width - narrow
    count = sum(made.rows.group_sizes) if slopes else 0
    place = np.concatenate([np.arange(len(kept_features)), len(kept_features) + seen])
    mean = np.zeros(len(kept_features) + count)
    mean[place] = layer.mean[layer.live][tau]
    root = np.zeros((len(mean), len(inside)))
    root[place] = _root(inside, made.device)
    uses_nets = any(max(block.columns, default=0) >= made.q for block in small.blocks)
    families = len(made.rows.group_sizes) if slopes else 0
    variance = layer.variance[len(layer.variance) - families :]
    groups = made.slopes if slopes else replace(made.slopes, columns=(), keys=())
    nets = made.nets if uses_nets else []
    return EffectPosterior(small, nets, groups, mean, _trim(root), np.asarray(variance), 0.0)


def _root(covariance: Array, device: str) -> Array:
    values, vectors = eigen(covariance, device)
    return vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0))


def _trim(root: Array) -> Array:
    """Leave out the directions that hold almost none of the variance."""
    mass = (root**2).sum(axis=0)
    left = np.cumsum(mass[::-1])[::-1]
    return np.ascontiguousarray(root[:, left > RESERVE.dropped * mass.sum()])
