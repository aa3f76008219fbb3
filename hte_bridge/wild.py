"""p-values and intervals of rows by the wild cluster bootstrap: for few clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import TooFewClusters
from hte_bridge.table import Ends, Estimate

FEW = 12  # of so many clusters and fewer every turn of signs is taken, 4,096 at most
EXACT = 1e-12  # studentised means that differ by less are the same: ties of an enumeration
REACHES = 2.0 ** np.arange(-6, 15)  # in standard errors: where an interval's end is looked for
UNFIT = "this row has no influence values: no other error can be formed for it"


def wild_bootstrap(
    rows: Sequence[Estimate],
    cluster: Codes,
    *,
    weight: Array | None = None,
    draws: int = 999,
    seed: int = 0,
    factor: float = 1.0,
) -> list[Estimate]:
    """p-values and intervals by the wild cluster bootstrap with the null imposed: for few clusters.

    Each draw turns the signs of whole clusters among those that are in the row; every turn is taken once where there are
    at most 12 clusters or fewer turns than ``draws``, and the test is then exact for symmetric errors. Under the null each
    cluster moves by its share of the row: of the weight of its units, or of the treatment's variation for a coefficient. A
    p-value is never below 2 / 2^G: the signs as they are, and all turned, reach what is seen. The interval holds the values
    that the test does not reject. Cameron, Gelbach and Miller (2008), REStat 90(3); for a mean the regression is on a constant.

    Parameters
    ----------
    cluster : array (n,)
        Codes 0..G-1.
    weight : array (n,), optional
        Of the units; ones by default. A row over some units has a share in their clusters alone.
    draws : int, default 999
    seed : int
    factor : float, default 1
        Of a panel's rows from scores: the factor of their errors for degrees of freedom that effects took (``Scores.inflation``).

    Raises
    ------
    TooFewClusters
        If the study has one cluster; a row in one cluster says so instead.
    """
    n_clusters = int(cluster.max()) + 1
    if n_clusters < 2:
        raise TooFewClusters(n_clusters)
    weight = np.ones(len(cluster)) if weight is None else weight
    return [
        _wild(row, cluster, weight, draws, seed, 1.0 if row.estimand == "coefficient" else factor)
        for row in rows
    ]


def _wild(row: Estimate, cluster: Codes, weight: Array, draws: int, seed: int, inflation: float) -> Estimate:
    nothing = (np.nan, np.nan)
    if row.influence is None or not row.std_error > 0:
        return row.with_(std_error=np.nan, test=nothing, interval=nothing, note=UNFIT)
    share = np.bincount(cluster, _share(row, weight)).astype(np.float64)
    inside = share > 0
    moved = np.bincount(cluster, row.influence, minlength=len(share)).astype(np.float64)[inside]
    if inside.sum() < 2:
        note = str(TooFewClusters(int(inside.sum())))
        return row.with_(std_error=np.nan, test=nothing, interval=nothing, influence=None, note=note)
    signs = _signs(int(inside.sum()), draws, seed)
    turned = Turned.of(row, moved, share[inside] / share.sum(), signs, inflation)
    what = f"all {len(signs):,} draws of signs" if turned.every else f"{len(signs):,} draws"
    return row.with_(
        test=(row.statistic, turned.p_value(0.0)),
        interval=Ends(turned, row.level),
        vcov=f"wild cluster bootstrap, {what}",
        n_clusters=int(inside.sum()),
    )


def _share(row: Estimate, weight: Array) -> Array:
    """Share (n,) of each unit in a row: its own, else the weight of the units that the row is about."""
    if row.share is not None:
        return row.share
    assert row.influence is not None
    used = weight if row.n_obs >= len(weight) else np.where(row.influence != 0, weight, 0.0)
    return used / used.sum()


def _signs(n_clusters: int, draws: int, seed: int) -> Array:
    """Rademacher signs (draws, G); every combination once where clusters are few or that is fewer."""
    if n_clusters <= FEW or (n_clusters < 30 and 2**n_clusters <= draws):
        bits = (np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters)) & 1
        return (1.0 - 2.0 * bits).astype(np.float64)
    rng = np.random.default_rng(seed)
    return 1.0 - 2.0 * rng.integers(0, 2, (draws, n_clusters)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Turned:
    """Sums over clusters of a row's influence and shares with their signs turned (draws,): all that its test needs.

    In units of the row's error: outcomes of any size do as well.
    """

    estimate: float
    std_error: float
    moved: Array
    share: Array
    parts: tuple[Array, Array, Array, Array]
    inflation: float
    every: bool

    @classmethod
    def of(cls, row: Estimate, moved: Array, share: Array, signs: Array, inflation: float) -> Turned:
        """From cluster totals (G,) of influence and share, and signs (draws, G)."""
        unit = moved / row.std_error  # a cluster's total under the null is share * (estimate - null) + moved
        parts = (signs @ unit, signs @ share, signs @ (share * unit), signs @ share**2)
        every = len(signs) == 2 ** len(share)
        return cls(row.estimate, row.std_error, unit, share, parts, inflation, every)

    def p_value(self, null: float) -> float:
        """Share of the turns whose studentised mean is as far from the null as what is seen; what is seen counts as one of them."""
        gap = (self.estimate - null) / self.std_error
        moved, share = self.moved, self.share
        mean = self.parts[0] + gap * self.parts[1]
        cross = self.parts[2] + gap * self.parts[3]
        square = float(moved @ moved) + 2 * gap * float(share @ moved) + gap**2 * float(share @ share)
        spread = np.maximum(square - 2 * mean * cross + mean**2 * float(share @ share), 0.0)
        seen = abs(gap) / float(moved @ moved) ** 0.5 / self.inflation
        reached = int((np.abs(mean) >= seen * (1 - EXACT) * np.sqrt(spread)).sum())
        p = reached / len(mean) if self.every else (1 + reached) / (1 + len(mean))
        return max(p, 2.0 ** (1 - len(share)))

    def __call__(self, level: float) -> tuple[float, float]:
        """Ends of the smallest interval that holds every value not rejected; infinite where the test rejects none on a side."""
        return self._end(-1.0, 1 - level), self._end(1.0, 1 - level)

    def _end(self, side: float, alpha: float) -> float:
        zero = (
            -side * self.estimate / self.std_error
        )  # so that the interval holds zero where its test does not reject it
        reaches = np.unique(np.append(REACHES, zero) if 0 < zero < REACHES[-1] else REACHES)
        stays = [self._stays(side * reach, alpha) for reach in reaches]
        if stays[-1]:
            return side * np.inf
        last = max((j for j, each in enumerate(stays) if each), default=-1)
        low, high = (float(reaches[last]) if last >= 0 else 0.0), float(reaches[last + 1])
        while high - low > 1e-9 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self._stays(side * middle, alpha) else (low, middle)
        return self.estimate + side * low * self.std_error

    def _stays(self, reach: float, alpha: float) -> bool:
        return self.p_value(self.estimate + reach * self.std_error) > alpha + EXACT
