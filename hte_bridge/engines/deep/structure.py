"""Which covariates, pairs and cliques the networks use, and the blocks that this structure asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.blocks import Block, frequencies, knots

Surface = Callable[[Array], Array]

STEP = 0.7  # of a standard deviation, each way
PROBES = 1_000
PAIRED_COVARIATES = 16  # pairs are sought among the most important covariates
PAIR_SHARE = 0.003  # a pair weaker than this share of the strongest is left to the block on all covariates
PAIR_STANDS_OUT = 2.0  # and so is one that is not this many times the median strength
POINTS_PER_FEATURE = 16  # of functions of single covariates, all together
WIDE = (
    12  # covariates beyond which the block on all of them is stretched, as distances grow with their number
)
AUDIBLE = 0.002  # of the squared importance of a covariate: weaker pairs are what networks make of noise
LEADING_SHARE = (
    0.1  # of the largest importance: from here on a covariate may have pairs that the networks do not hear
)
ALL_PRODUCTS = 24  # covariates up to which all products of two are in the model
PROMINENT = (
    0.5  # of the largest importance: with more covariates, those beyond have pairs that no network heard,
)
PROMINENT_PAIRS = 3  # so many at most
TOGETHER = 0.01  # likewise, from where on covariates act together
WALKED = 256  # values of a covariate, at most, that a slope walks along
POINTS_PER_STEP = 500  # points to such a value, at least, on average
CLOSEST = 1e-3  # standard deviations from one of these values to the next
LOUD = 3.0  # rows times the share of Var(Y) that tau's changes explain; networks of a constant effect reach .3 to .4
SPARSE = 8.0  # the strongest pair is this many times the median where tau has a structure of few pairs
PRODUCT_SCALE = (
    0.5  # of functions of the product of a clique's covariates, in units of its inverse hyperbolic sine
)
CLIQUE_SCALES = (
    0.7,
    1.7,
)  # lengths, in sds: shorter than a pair's, as what three do together bends where all three do
CLIQUE_SHARE = 0.12


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
    def of(cls, n_points: int, n_leading: int) -> Sizes:
        """Sizes for this many distinct points and covariates with functions of their own.

        Examples
        --------
        >>> Sizes.of(500_000, 12).bins, Sizes.of(10_000, 25).bins
        (24, 12)
        """
        wide = float(np.clip((n_points / 100_000) ** 0.4, 0.25, 1.0))
        each = n_points // (POINTS_PER_FEATURE * max(n_leading, 1))  # features of one covariate
        return cls(
            bins=int(np.clip(min(n_points // 100, each // 2), 4, 24)),
            single=int(np.clip(min(n_points // 200, each // 4), 2, 12)),
            pair=int(48 * wide),
            mesh=int(np.clip(12 * wide, 5, 10)),
            clique=int(375 * wide),
            everything=int(150 * wide),
            pairs=6 if n_points > 10_000 else 4,
        )


@dataclass(frozen=True, eq=False)
class Structure:
    """What one network, or several, made of the covariates.

    Parameters
    ----------
    importance : array (q,)
        Root mean squared change of the surface over a step of .7 sd each way.
    pairs : array (q, q)
        Mean squared mixed difference of the surface over such steps; symmetric, zero diagonal.
    importance_sd, pairs_sd : array, optional
        Spread of both between the surfaces that were averaged: networks of different folds, or draws of the scales.
    """

    importance: Array
    pairs: Array
    importance_sd: Array | None = None
    pairs_sd: Array | None = None

    def arrays(self) -> dict[str, Array]:
        """What is known, by name."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in named if value is not None}

    @property
    def sparse(self) -> bool:
        """Whether some pair stands far out, so that a few pairs are the structure."""
        live = self.pairs[self.pairs > 0]
        return bool(len(live) and live.max() > SPARSE * np.median(live))

    @property
    def crowded(self) -> bool:
        """Whether covariates act together, but no few pairs of them are the structure."""
        return not self.sparse and bool(self.pairs.max() > TOGETHER * self.importance.max() ** 2)

    def loud(self, worth: float) -> bool:
        """Whether tau changes with the covariates by more than what networks make of noise; ``worth`` is rows * Var(T) / Var(Y)."""
        return worth * float(self.importance @ self.importance) > LOUD

    def strongest(self, most: int) -> list[tuple[int, int]]:
        """Pairs that stand out, strongest first."""
        upper = np.triu(self.pairs, 1)
        live = upper[upper > 0]
        if not len(live):
            return []
        bar = max(PAIR_SHARE * live.max(), PAIR_STANDS_OUT * float(np.median(live)))
        bar = max(bar, AUDIBLE * float(self.importance.max()) ** 2)
        order = np.argsort(-upper, axis=None, kind="stable")[:most]
        found = [(int(k // len(upper)), int(k % len(upper))) for k in order]
        return [(i, j) for i, j in found if upper[i, j] > bar]

    def leading_pairs(self, most: int, together: Sequence[Codes]) -> list[tuple[int, int]]:
        """Pairs of covariates that matter each alone, but for those fixed ``together`` within one effect; by product of importances."""
        share = self.importance / max(float(self.importance.max()), 1e-300)
        sets = [set(each.tolist()) for each in together]
        leading = combinations(np.flatnonzero(share > LEADING_SHARE).tolist(), 2)
        found = [pair for pair in leading if not any(own.issuperset(pair) for own in sets)]
        return sorted(found, key=lambda pair: -share[pair[0]] * share[pair[1]])[:most]

    def prominent(self) -> list[tuple[int, int]]:
        """Pairs of the covariates that matter most, each alone, where products of all are too many for the model.

        Among many covariates networks stop early, and hear what each does but not what two do together.
        """
        if len(self.importance) <= ALL_PRODUCTS:
            return []
        share = self.importance / max(float(self.importance.max()), 1e-300)
        found = combinations(np.flatnonzero(share > PROMINENT).tolist(), 2)
        return sorted(found, key=lambda pair: -share[pair[0]] * share[pair[1]])[:PROMINENT_PAIRS]

    def cliques(self, most: int) -> list[tuple[int, int, int]]:
        """Triples whose three pairs are all strong, strongest weakest pair first."""
        pairs = {pair for pair in self.strongest(40) if self.pairs[pair] > CLIQUE_SHARE * self.pairs.max()}
        nodes = sorted({node for pair in pairs for node in pair})
        found = [trio for trio in combinations(nodes, 3) if set(combinations(trio, 2)) <= pairs]
        weakest = [min(self.pairs[pair] for pair in combinations(trio, 2)) for trio in found]
        return [found[k] for k in np.argsort(-np.asarray(weakest), kind="stable")[:most]] if found else []


def probe(surface: Surface, z: Array, seed: int, probes: int = PROBES) -> Structure:
    """Sensitivities and mixed differences of a surface at standardised points (m, q).

    Friedman & Popescu (2008), Annals of Applied Statistics 2(3), for finite steps in place of partial dependence.
    """
    chosen = np.random.default_rng(seed).permutation(len(z))[:probes]
    z = z[np.sort(chosen)]
    q = z.shape[1]

    def at(*moves: dict[int, float]) -> Array:
        """The surface (moves, points) after each of some moves."""
        return surface(np.concatenate([_moved(z, each) for each in moves])).reshape(len(moves), -1)

    steps = (at({j: STEP}, {j: -STEP}) for j in range(q))
    importance = np.array([np.sqrt(np.mean((up - down) ** 2)) / 2 for up, down in steps])
    pairs = np.zeros((q, q))
    leading = np.sort(np.argsort(-importance, kind="stable")[:PAIRED_COVARIATES])
    for i, j in combinations(leading.tolist(), 2):
        corners = [{i: a * STEP, j: b * STEP} for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        mixed = np.array([1.0, -1.0, -1.0, 1.0]) @ at(*corners)
        pairs[i, j] = pairs[j, i] = np.mean((mixed / 4) ** 2)
    return Structure(importance, pairs)


def _moved(z: Array, moves: dict[int, float]) -> Array:
    out = z.copy()
    for j, step in moves.items():
        out[:, j] += step
    return out


def average(parts: Sequence[Structure]) -> Structure:
    """Mean of several structures, and their spread where there are two or more."""
    importance, pairs = ([getattr(part, name) for part in parts] for name in ("importance", "pairs"))
    spread = (np.std(each, axis=0, ddof=1) if len(parts) > 1 else None for each in (importance, pairs))
    return Structure(np.sqrt(np.mean(np.square(importance), axis=0)), np.mean(pairs, axis=0), *spread)


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
    if 2 <= q <= ALL_PRODUCTS:
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


def everything_blocks(q: int, number: int, seed: int, label: str = "") -> list[Block]:
    """Smooth functions of all covariates at two scales, with this many frequencies each."""
    stretch = max(1.0, (q / WIDE) ** 0.5)
    return [
        Block(
            f"{label}everything ({scale:g})",
            "fourier",
            tuple(range(q)),
            {"omega": frequencies(q, number, np.full(q, stretch * scale), seed + k)},
            drift=True,
        )
        for k, scale in enumerate((2.0, 5.0))
    ]


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
    blocks = [
        Block(
            f"smooth {label} ({scale:g})",
            "fourier",
            pair,
            {"omega": frequencies(2, sizes.pair, np.full(2, scale), seed + k)},
            drift=True,
        )
        for k, scale in enumerate((1.0, 2.5))
    ]
    blocks += tilt_blocks(z, names, pair, sizes)
    left, right = knots(z[:, i], sizes.mesh), knots(z[:, j], sizes.mesh)
    if len(left) > 2 and len(right) > 2:
        blocks.append(Block(f"mesh {label}", "mesh", pair, {"knots": left, "other": right}))
    return blocks


def tilt_blocks(z: Array, names: Sequence[str], pair: tuple[int, int], sizes: Sizes) -> list[Block]:
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
        if 2 * len(at) < len(every) <= min(WALKED, len(z) // POINTS_PER_STEP):
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
    return found[np.diff(found, prepend=-np.inf) > CLOSEST]


def clique_blocks(
    z: Array, names: Sequence[str], trio: tuple[int, int, int], sizes: Sizes, seed: int
) -> list[Block]:
    """Smooth functions of three covariates at two scales, and functions of their product.

    What three covariates do together is often a bent product, one of them scaling what two others do; along it one dimension is enough,
    where a function of all three needs many features. Where it is something else the evidence leaves these blocks out.
    """
    label = " ".join(names[j] for j in trio)
    blocks = [
        Block(
            f"smooth {label} ({scale:g})",
            "fourier",
            trio,
            {"omega": frequencies(3, sizes.clique, np.full(3, scale), seed + k)},
        )
        for k, scale in enumerate(CLIQUE_SCALES)
    ]
    at = knots(z[:, list(trio)].prod(axis=1), sizes.bins)
    if len(at) > 6:
        omega = frequencies(1, 2 * sizes.single, np.full(1, PRODUCT_SCALE), seed + len(CLIQUE_SCALES))
        blocks.append(Block(f"product ramp {label}", "product ramp", trio, {"knots": at}))
        blocks.append(Block(f"product smooth {label}", "product fourier", trio, {"omega": omega}))
    return blocks
