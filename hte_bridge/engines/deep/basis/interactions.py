"""Which covariates, pairs and cliques a surface uses: its sensitivities and mixed differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hte_bridge.arrays import Array, Codes

Function = Callable[[Array], Array]


@dataclass(frozen=True)
class InteractionRule:
    """Which covariates and pairs are the structure."""

    # of a standard deviation, each way
    step: float = 0.7
    # points at which sensitivities are read
    probes: int = 1_000
    # and of the exact kernel, at each draw
    few_probes: int = 100
    # of its hyperparameters, the heaviest
    draws: int = 6
    # units at which the posterior's effect is moved along each covariate
    moved: int = 50
    # pairs are sought among the most important covariates
    paired_covariates: int = 16
    # a pair weaker than this share of the strongest is left to the block on all covariates
    pair_share: float = 0.003
    # and so is one that is not this many times the median strength
    pair_stands_out: float = 2.0
    # of the squared importance of a covariate: weaker pairs are what networks make of noise
    audible: float = 0.002
    # of the largest importance: from here on a covariate may have pairs that the networks do not hear
    leading_share: float = 0.1
    # covariates up to which all products of two are in the model
    all_products: int = 24
    # of the largest importance: with more covariates, those beyond have pairs that no network heard
    prominent: float = 0.5
    # so many at most
    prominent_pairs: int = 3
    # share of the largest importance squared, from where on covariates act together
    crowded: float = 0.01
    # rows times the share of Var(Y) that tau's changes explain; networks of a constant effect reach .3 to .4
    loud: float = 3.0
    # the strongest pair is this many times the median where tau has a structure of few pairs
    sparse: float = 8.0
    # of the strongest pair: all three pairs of a clique are above it
    clique_share: float = 0.12


INTERACTIONS = InteractionRule()


@dataclass(frozen=True, eq=False)
class Structure:
    """What one network, or several, made of the covariates.

    Parameters
    ----------
    importance : array (q,)
        Root mean squared change of the surface over a step of .7 sd each way.
    pairs : array (q, q)
        Mean squared mixed difference of the surface over such steps; symmetric, zero diagonal.
    pairs_sd : array (q, q), optional
        Its spread between the surfaces that were averaged: networks of different folds, or draws of the scales.
    """

    importance: Array
    pairs: Array
    pairs_sd: Array | None = None

    def arrays(self) -> dict[str, Array]:
        """What a reader is shown of it: pairs, and their spread where that is known."""
        return {"pairs": self.pairs} | ({} if self.pairs_sd is None else {"pairs_sd": self.pairs_sd})

    @property
    def sparse(self) -> bool:
        """Whether some pair stands far out, so that a few pairs are the structure."""
        live = self.pairs[self.pairs > 0]
        return bool(len(live) and live.max() > INTERACTIONS.sparse * np.median(live))

    @property
    def crowded(self) -> bool:
        """Whether covariates act together, but no few pairs of them are the structure."""
        return not self.sparse and bool(self.pairs.max() > INTERACTIONS.crowded * self.importance.max() ** 2)

    def loud(self, worth: float) -> bool:
        """Whether tau changes with the covariates by more than what networks make of noise; ``worth`` is rows * Var(T) / Var(Y)."""
        return worth * float(self.importance @ self.importance) > INTERACTIONS.loud

    def strongest(self, most: int) -> list[tuple[int, int]]:
        """Pairs that stand out, strongest first."""
        upper = np.triu(self.pairs, 1)
        live = upper[upper > 0]
        if not len(live):
            return []
        bar = max(INTERACTIONS.pair_share * live.max(), INTERACTIONS.pair_stands_out * float(np.median(live)))
        bar = max(bar, INTERACTIONS.audible * float(self.importance.max()) ** 2)
        order = np.argsort(-upper, axis=None, kind="stable")[:most]
        found = [(int(k // len(upper)), int(k % len(upper))) for k in order]
        return [(i, j) for i, j in found if upper[i, j] > bar]

    def pairs_above(self, share: float) -> list[tuple[int, int]]:
        """Pairs of covariates that each have this share of the largest importance; by product of importances."""
        own = self.importance / max(float(self.importance.max()), 1e-300)
        found = combinations(np.flatnonzero(own > share).tolist(), 2)
        return sorted(found, key=lambda pair: -own[pair[0]] * own[pair[1]])

    def leading_pairs(self, most: int, together: Sequence[Codes]) -> list[tuple[int, int]]:
        """Pairs of covariates that matter each alone, but for those fixed ``together`` within one effect."""
        sets = [set(each.tolist()) for each in together]
        found = self.pairs_above(INTERACTIONS.leading_share)
        return [pair for pair in found if not any(own.issuperset(pair) for own in sets)][:most]

    def prominent(self) -> list[tuple[int, int]]:
        """Pairs of the covariates that matter most, each alone, where products of all are too many for the model.

        Among many covariates networks stop early, and hear what each does but not what two do together.
        """
        if len(self.importance) <= INTERACTIONS.all_products:
            return []
        return self.pairs_above(INTERACTIONS.prominent)[: INTERACTIONS.prominent_pairs]

    def cliques(self, most: int) -> list[tuple[int, int, int]]:
        """Triples whose three pairs are all strong, strongest weakest pair first."""
        pairs = {
            pair
            for pair in self.strongest(40)
            if self.pairs[pair] > INTERACTIONS.clique_share * self.pairs.max()
        }
        nodes = sorted({node for pair in pairs for node in pair})
        found = [trio for trio in combinations(nodes, 3) if set(combinations(trio, 2)) <= pairs]
        weakest = [min(self.pairs[pair] for pair in combinations(trio, 2)) for trio in found]
        return [found[k] for k in np.argsort(-np.asarray(weakest), kind="stable")[:most]] if found else []


def probe(surface: Function, z: Array, seed: int, probes: int | None = None) -> Structure:
    """Sensitivities and mixed differences of a surface at standardised points (m, q).

    Friedman & Popescu (2008), Annals of Applied Statistics 2(3), for finite steps in place of partial dependence.
    """
    chosen = np.random.default_rng(seed).permutation(len(z))[
        : INTERACTIONS.probes if probes is None else probes
    ]
    z = z[np.sort(chosen)]

    def at(*moves: dict[int, float]) -> Array:
        """The surface (moves, points) after each of some moves."""
        return surface(np.concatenate([_moved(z, each) for each in moves])).reshape(len(moves), -1)

    importance = sensitivities(surface, z)
    pairs = np.zeros((len(importance), len(importance)))
    leading = np.sort(np.argsort(-importance, kind="stable")[: INTERACTIONS.paired_covariates])
    for i, j in combinations(leading.tolist(), 2):
        corners = [
            {i: a * INTERACTIONS.step, j: b * INTERACTIONS.step}
            for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
        ]
        mixed = np.array([1.0, -1.0, -1.0, 1.0]) @ at(*corners)
        pairs[i, j] = pairs[j, i] = np.mean((mixed / 4) ** 2)
    return Structure(importance, pairs)


def sensitivities(surface: Function, z: Array) -> Array:
    """Root mean squared change (q,) of a surface at points (m, q) over a step along each covariate."""
    found = []
    for j in range(z.shape[1]):
        up, down = (surface(_moved(z, {j: step})) for step in (INTERACTIONS.step, -INTERACTIONS.step))
        found.append(np.sqrt(np.mean((up - down) ** 2)) / 2)
    return np.array(found)


def _moved(z: Array, moves: dict[int, float]) -> Array:
    out = z.copy()
    for j, step in moves.items():
        out[:, j] += step
    return out


def average(parts: Sequence[Structure]) -> Structure:
    """Mean of several structures, and the spread of pairs where there are two or more."""
    importance, pairs = ([getattr(part, name) for part in parts] for name in ("importance", "pairs"))
    spread = np.std(pairs, axis=0, ddof=1) if len(parts) > 1 else None
    return Structure(np.sqrt(np.mean(np.square(importance), axis=0)), np.mean(pairs, axis=0), spread)
