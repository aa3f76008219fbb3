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
    model, layer, scores, kish = solved.model, solved.layer, None, None
    if study.clustered:
        residual = within_clusters(model.system, layer, made.rows.effects, study.cluster) * solved.residual
        scores = cluster_scores(model, layer, residual, study.cluster)
    elif study.weighted:
        kish = float((made.rows.weight**2).mean())
    surface, covariance, inflation = robust(model, layer, scores, kish)
    cluster = study.cluster if study.clustered else None
    recovered = recover(made, whole, solved, covariance, model.of_effect(layer), cluster, inflation)
    return replace(surface, nugget=solved.nugget + reserve(made, solved), recovered=recovered), inflation


def robust(
    model: Regression, layer: LastLayer, scores: Array | None, kish: float | None
) -> tuple[EffectPosterior, Array, float]:
    """Surface without its nugget, covariance (live, live) of the coefficients, and how much clusters or weights add to its noise part.

    By ``scores`` (C, live) summed by cluster, or by the design effect of unequal weights (Kish, 1965).
    """
    covariance, inflation, live = layer.covariance, 1.0, layer.live
    if scores is not None:
        found = cluster_sandwich(model.system, layer, scores, model.of_effect(layer))
        covariance, inflation = found.covariance, layer.temper * max(found.ratio, 1.0)
    elif kish is not None:
        independent = covariance @ (model.system.gram[np.ix_(live, live)] / layer.noise) @ covariance
        covariance, inflation = covariance + (kish - 1) * independent, kish
    covariance = covariance + scale_uncertainty(layer, model.owner, (0,), model.made.device)
    return surface_of(model, layer, covariance), covariance, inflation


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
