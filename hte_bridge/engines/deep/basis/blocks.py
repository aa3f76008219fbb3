"""The blocks of features that each part of a structure asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.basis.features import Block, frequencies, knots
from hte_bridge.engines.deep.basis.interactions import INTERACTIONS


@dataclass(frozen=True)
class BlockRule:
    """How fine blocks are."""

    # of functions of single covariates, all together
    points_per_feature: int = 16
    # and of smooth ones where each point is one row: the work goes with the square and cube of features; ramps follow jumps, and stay
    rows_per_feature: int = 48
    # covariates beyond which the block on all of them is stretched, as distances grow with their number
    wide: int = 12
    # values of a covariate, at most, that a slope walks along
    walked_values: int = 256
    # points to such a value, at least, on average
    points_per_step: int = 500
    # standard deviations from one of these values to the next
    closest: float = 1e-3
    # of functions of the product of a clique's covariates, in units of its inverse hyperbolic sine
    product_scale: float = 0.5
    # lengths, in sds: shorter than a pair's, as what three do together bends where all three do
    clique_scales: tuple[float, ...] = (
        0.7,
        1.7,
    )


BLOCKS = BlockRule()


@dataclass(frozen=True)
class Sizes:
    """Numbers of features; larger tables afford more.

    Parameters
    ----------
    bins, single : int
        Ramps and frequencies per covariate.
    pair, mesh : int
        Frequencies at each of two scales, and ramps each way, for a pair.
    clique, everything : int
        Frequencies at each of two scales, for a clique and for all covariates.
    pairs, cliques : int
        How many at most.
    """

    bins: int = 24
    single: int = 12
    pair: int = 48
    mesh: int = 10
    clique: int = 375
    everything: int = 150
    pairs: int = 6
    cliques: int = 2

    @classmethod
    def of(cls, n_points: int, n_leading: int, alone: bool = False) -> Sizes:
        """Sizes for this many distinct points and covariates with functions of their own; ``alone``, where each point is one row.

        Examples
        --------
        >>> Sizes.of(500_000, 12).bins, Sizes.of(10_000, 25).bins, Sizes.of(10_000, 25).single, Sizes.of(10_000, 25, alone=True).single
        (24, 12, 6, 2)
        """
        wide = float(np.clip((n_points / 100_000) ** (0.6 if alone else 0.4), 0.1 if alone else 0.25, 1.0))
        each = n_points // (BLOCKS.points_per_feature * max(n_leading, 1))  # features of one covariate
        smooth = n_points // (BLOCKS.rows_per_feature * max(n_leading, 1)) if alone else each
        return cls(
            bins=int(np.clip(min(n_points // 100, each // 2), 4, 24)),
            single=int(np.clip(min(n_points // 200, smooth // 4), 2, 12)),
            pair=int(48 * wide),
            mesh=int(np.clip(12 * wide, 5, 10)),
            clique=int(375 * wide),
            everything=int(150 * wide),
            pairs=6 if n_points > 10_000 else 4,
        )


def main_blocks(
    z: Array,
    names: Sequence[str],
    absorbed: Sequence[int],
    sizes: Sizes,
    seed: int,
    leading: Sequence[set[int]],
) -> list[Block]:
    """Constant, linear, all products, and a rough and a smooth function of each leading covariate.

    What an effect absorbs (a function of covariates that are fixed within it) has no place in mu. ``leading`` holds
    the covariates with functions of their own for the model of all rows, then for each fold's held-out model.
    """
    q = z.shape[1]
    gone = set(absorbed)
    free = [j for j in range(q) if j not in gone]
    blocks = [Block("constant", "constant", ())]
    for columns, label, drift in ((sorted(gone), "linear", False), (free, "linear free", True)):
        if columns:
            blocks.append(Block(label, "linear", tuple(columns), drift=drift))
    if 2 <= q <= INTERACTIONS.all_products:
        flat = tuple(k for pair in combinations(range(q), 2) for k in pair)
        blocks.append(Block("products", "products", flat, drift=True))
    for j in sorted(set().union(*leading)):
        at = knots(z[:, j], sizes.bins)
        folds = None if q <= len(leading[0]) else tuple(k for k, own in enumerate(leading[1:]) if j in own)
        given: dict[str, Any] = {"folds": folds, "drift": j not in gone, "main": j in leading[0]}
        if len(at) > 2:
            blocks.append(Block(f"ramp {names[j]}", "ramp", (j,), {"knots": at}, **given))
        if len(at) > 6:
            omega = frequencies(1, sizes.single, np.ones(1), seed + j)
            blocks.append(Block(f"smooth {names[j]}", "fourier", (j,), {"omega": omega}, **given))
    return blocks


def smooth_blocks(
    label: str,
    columns: tuple[int, ...],
    number: int,
    scales: Sequence[float],
    seed: int,
    *,
    stretch: float = 1.0,
    drift: bool = True,
) -> list[Block]:
    """Smooth functions of some columns at some scales, with this many frequencies each."""
    q, found = len(columns), []
    for k, scale in enumerate(scales):
        omega = frequencies(q, number, np.full(q, stretch * scale), seed + k)
        found.append(Block(f"{label} ({scale:g})", "fourier", columns, {"omega": omega}, drift=drift))
    return found


def everything_blocks(q: int, number: int, seed: int, label: str = "") -> list[Block]:
    """Smooth functions of all covariates at two scales, with this many frequencies each."""
    stretch = max(1.0, (q / BLOCKS.wide) ** 0.5)
    return smooth_blocks(f"{label}everything", tuple(range(q)), number, (2.0, 5.0), seed, stretch=stretch)


def pair_blocks(
    z: Array,
    names: Sequence[str],
    pair: tuple[int, int],
    sizes: Sizes,
    seed: int,
) -> list[Block]:
    """Two smooth scales, each covariate times the ramps of the other, and ramps times ramps."""
    i, j = pair
    label = f"{names[i]} {names[j]}"
    blocks = smooth_blocks(f"smooth {label}", pair, sizes.pair, (1.0, 2.5), seed)
    blocks += varying_slope_blocks(z, names, pair, sizes)
    left, right = knots(z[:, i], sizes.mesh), knots(z[:, j], sizes.mesh)
    if len(left) > 2 and len(right) > 2:
        blocks.append(Block(f"mesh {label}", "mesh", pair, {"knots": left, "other": right}))
    return blocks


def varying_slope_blocks(z: Array, names: Sequence[str], pair: tuple[int, int], sizes: Sizes) -> list[Block]:
    """Each covariate of a pair times the ramps of the other.

    Where the other has few values with many points to each, also times ramps from value to value: a random walk, which follows a jump
    that lies between two of them.
    """
    blocks = []
    for first, second in (pair, pair[::-1]):
        at = knots(z[:, second], sizes.bins)
        if len(at) > 2:
            label = f"tilt {names[first]} {names[second]}"
            blocks.append(Block(label, "tilt", (first, second), {"knots": at}))
        every = np.unique(z[:, second])
        if 2 * len(at) < len(every) <= min(BLOCKS.walked_values, len(z) // BLOCKS.points_per_step):
            label = f"walk {names[first]} {names[second]}"
            blocks.append(Block(label, "tilt", (first, second), {"knots": steps_of(every, at)}))
    return blocks


def steps_of(values: Array, at: Array) -> Array:
    """Knots at sorted distinct values, a thousandth of an sd apart, between the coarser outer bins of ``at``, beyond which ramps go on.

    Examples
    --------
    >>> steps_of(np.array([0.0, 1.0, 2.0, 2.0001, 3.0, 4.0]), np.array([0.0, 1.0, 3.0, 4.0])).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    inner = values[(values > at[1]) & (values < at[-2])]
    found = np.concatenate([at[:2], inner, at[-2:]])
    return found[np.diff(found, prepend=-np.inf) > BLOCKS.closest]


def clique_blocks(
    z: Array, names: Sequence[str], trio: tuple[int, int, int], sizes: Sizes, seed: int
) -> list[Block]:
    """Smooth functions of three covariates at two scales, and functions of their product.

    What three covariates do together is often a bent product, one of them scaling what two others do; along it one dimension is enough,
    where a function of all three needs many features. Where it is something else the evidence leaves these blocks out.
    """
    label = " ".join(names[j] for j in trio)
    blocks = smooth_blocks(f"smooth {label}", trio, sizes.clique, BLOCKS.clique_scales, seed, drift=False)
    at = knots(z[:, list(trio)].prod(axis=1), sizes.bins)
    if len(at) > 6:
        omega = frequencies(
            1, 2 * sizes.single, np.full(1, BLOCKS.product_scale), seed + len(BLOCKS.clique_scales)
        )
        blocks.append(Block(f"product ramp {label}", "product ramp", trio, {"knots": at}))
        blocks.append(Block(f"product smooth {label}", "product fourier", trio, {"omega": omega}))
    return blocks
