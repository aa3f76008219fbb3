"""The second account of an effect beyond the exact kernel: a surface that jumps, by features of the Laplace kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import expit

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.basis.cells import Cells
from hte_bridge.engines.deep.basis.coefficients import posterior
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.features import Basis, Block, ranks
from hte_bridge.engines.deep.basis.interactions import INTERACTIONS, sensitivities
from hte_bridge.engines.deep.basis.posterior import EffectPosterior
from hte_bridge.engines.deep.basis.solve import Solved, solve
from hte_bridge.engines.deep.store.linear_algebra import eigen
from hte_bridge.study import Study


@dataclass(frozen=True)
class EdgeRule:
    """Features of a surface with edges, and how its account is weighed."""

    # of the most important covariate, in sds of its ranks; short ones for steps near one another
    lengths: tuple[float, ...] = (2.5, 8.0)
    # times the shortest: a covariate with a longer one hardly matters
    longest: float = 64.0
    # points to a feature, at least
    points_per_feature: int = 10
    # features of a surface at one length, at most
    features: int = 300
    # points beyond which there are fewer, as the work grows with both
    points: int = 20_000
    # and beyond which there is no second account: it takes minutes, and data find steps by functions of single covariates
    most_points: int = 50_000
    # landmarks for each feature
    landmarks: int = 3
    # quantiles at which ranks are known
    quantiles: int = 65
    # of the evidence, in the shares of the two accounts: less than with few rows (``gp/model_average.py``), as no account is exact
    power: float = 1 / 10
    # below which an account is left out
    least_share: float = 0.02


EDGES = EdgeRule()
SEED_OF_EDGES = 3_000
OF_ONE_COVARIATE = ("constant", "linear", "ramp")  # kinds of one covariate that the account keeps


def with_edges(
    study: Study, made: Design, cells: Cells, solved: Solved, surface: EffectPosterior, seed: int
) -> tuple[EffectPosterior, float]:
    """The posterior mixed with that of a surface with edges, in proportion to a power of the evidence; and the share of the latter.

    Both are of the same rows, at the same temper. What many blocks say of steps is too sure, as each has a variance that fits them, and what the
    surface with edges says of smooth effects is too cautious: the evidence tells which is nearer.

    Parameters
    ----------
    study : Study
    made : Design
        Of the first account.
    cells : Cells
    solved : Solved
        The first account.
    surface : EffectPosterior
        Its posterior.
    seed : int
        Of the landmarks.
    """
    if (
        made.note or len(made.rows.points) > EDGES.most_points or not made.q
    ):  # no room, or rough functions of single covariates will do
        return surface, 0.0
    second = edged(made, seed)
    sums = cells.whole(second)
    again = solve(second, sums, temper=solved.layer.temper)
    ahead = again.layer.log_evidence - solved.layer.log_evidence
    share = float(expit(EDGES.power * ahead))
    if share < EDGES.least_share:
        return surface, 0.0
    other, _ = posterior(study, second, sums, again)
    return surface.mixed(replace(other, nugget=other.nugget + left_out(second, again)), share), share


def edged(made: Design, seed: int) -> Design:
    """The design of the second account: lines, a rough function of each leading covariate, and surfaces of all covariates that jump.

    The lengths of tau's surface and of mu's follow what networks say of the importance of each covariate to either.
    """
    z = ((made.rows.points - made.basis.centre) / made.basis.scale)[:, : made.q]
    own = [block for block in made.basis.blocks if block.main and block.kind in OF_ONE_COVARIATE]
    blocks = [block for block in own if max(block.columns, default=0) < made.q]
    for k, importance in enumerate((made.structure.importance, importance_for_mean(made, z, seed))):
        for scale in EDGES.lengths:
            arrays = landmarks(z, scale * stretches(importance), seed + SEED_OF_EDGES + k)
            name = f"edges ({scale:g})"
            blocks.append(Block(name, "edged", tuple(range(made.q)), arrays, drift=k == 1, effect=k == 0))
    basis = Basis.fit(blocks, made.rows.points, made.basis.centre, made.basis.scale)
    drift = np.repeat([block.drift for block in blocks], [block.size for block in blocks])
    rows = replace(made.rows, groups=())
    return replace(made, rows=rows, basis=basis, drift=drift)


def importance_for_mean(made: Design, z: Array, seed: int) -> Array:
    """Root mean square over the networks of the importance (q,) of each covariate for mu."""
    some = z[np.sort(np.random.default_rng(seed).permutation(len(z))[: INTERACTIONS.probes])]
    return np.asarray(
        np.sqrt(np.mean([sensitivities(net.mu, some) ** 2 for fold in made.nets for net in fold], axis=0))
    )


def stretches(importance: Array) -> Array:
    """How many times longer than the shortest the length of each covariate (q,) is.

    Of a surface with the Laplace kernel the mean squared change along a covariate goes with one over its length.

    Examples
    --------
    >>> stretches(np.array([1.0, 0.5, 0.0])).tolist()
    [1.0, 4.0, 64.0]
    """
    square = importance**2 / max(float((importance**2).max()), 1e-300)
    return np.asarray(1.0 / np.maximum(square, 1.0 / EDGES.longest))


def landmarks(z: Array, lengths: Array, seed: int) -> dict[str, Array]:
    """Arrays of an edged block at points (m, q): leading eigenfunctions of the kernel among some of them (Williams & Seeger, 2001, NIPS 13).

    Random binnings (Rahimi & Recht, 2007, NIPS 20) have the same kernel; of them many times as many are needed for the same functions, as most
    tell apart what the data cannot.
    """
    number = EDGES.features * min(1.0, (EDGES.points / len(z)) ** 0.5)
    number = int(np.clip(number, 8, max(8, len(z) // EDGES.points_per_feature)))
    at = np.quantile(z, np.linspace(0, 1, EDGES.quantiles), axis=0)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(z))[: EDGES.landmarks * number])
    points = np.unique(ranks(z[chosen], at) / lengths, axis=0)
    values, vectors = eigen(np.exp(-cdist(points, points, "cityblock")))
    number = min(number, int((values > 1e-8 * values[-1]).sum()))
    root = vectors[:, ::-1][:, :number] / np.sqrt(values[::-1][:number])
    return {"quantiles": at, "lengths": lengths, "points": points, "root": np.ascontiguousarray(root)}


def left_out(made: Design, solved: Solved) -> float:
    """Variance of tau that the kernels hold and their features do not, on average over the points."""
    basis, total = made.basis, 0.0
    step = max(1, len(made.rows.points) // 4_000)
    z = ((made.rows.points[::step] - basis.centre) / basis.scale).astype(np.float32)
    for k, block in enumerate(basis.blocks):
        if block.kind == "edged" and block.effect and block.name in solved.names:
            held = float(np.mean((block.raw(z).astype(np.float64) ** 2).sum(axis=1)))
            scale = float(basis.feature_scale[basis.owner == k][0]) ** 2
            variance = float(solved.layer.variance[solved.names.index(block.name)])
            total += variance * scale * max(1.0 - held, 0.0)
    return total
