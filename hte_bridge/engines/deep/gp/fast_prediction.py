"""Scores for very many new rows: the kernel posterior in single precision, with what decides the last digits taken out first.

At one draw of the scales the variance of tau at x is c(x) - k(x)' S^-1 k(x), S the outcomes' covariance. Two things make it unfit for single
precision as it stands, and slow. The surfaces' constants, whose variance is as good as infinite, cancel between the two terms: linear parts
and constants enter k = M + F h through few columns F, and their part of the variance is found in double precision once. And S^-1 costs n^2
for each row, where the curved parts M(x) vary in few directions: with S = L L' only those in which L^-1 M moves over the units are kept.
What is left out can only make an interval longer (``FAST.dropped``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from hte_bridge.engines.deep.gp.covariance import Data, explicit_columns
from hte_bridge.engines.deep.gp.kinds.layout import Room, SurfaceLayout


@dataclass(frozen=True)
class FastRule:
    """What prediction in single precision leaves out."""

    # share of the posterior variance that the directions left out add, on average over the units
    dropped: float = 1e-2


FAST = FastRule()


class Draw(Protocol):
    """One draw of the scales, as far as a score asks it."""

    @property
    def theta(self) -> torch.Tensor:
        """Log scales (size,)."""

    @property
    def solved(self) -> torch.Tensor:
        """Takes prior covariances with the rows (n,) to the mean."""

    def heard(self, joint: torch.Tensor) -> torch.Tensor:
        """L^-1 times columns (n, k)."""

    def back(self, directions: torch.Tensor) -> torch.Tensor:
        """The transpose of L^-1 times directions (r, k)."""


LoadedSurface = tuple[
    SurfaceLayout, torch.Tensor, float
]  # a surface, its loads (n,), and its share in the effect


@dataclass(frozen=True, eq=False)
class Bent:
    """A surface's curved part as new rows meet it.

    Parameters
    ----------
    surface : SurfaceLayout
    seen : tensor (n_s, p)
        Units that carry the surface.
    onto : tensor (r + q + 1, n_s)
        Takes correlations with these units to r directions of L^-1 M, to q numbers that meet h, and to the mean.
    """

    surface: SurfaceLayout
    seen: torch.Tensor
    onto: torch.Tensor


@dataclass(frozen=True, eq=False)
class Scorer:
    """Mean and variance of tau at new rows, at one draw of the scales.

    Parameters
    ----------
    theta : tensor (size,)
        Log scales.
    surfaces : tuple of SurfaceLayout
        That make the effect.
    bent : tuple of Bent
        Of those with a curved part.
    rank : int
        Number of directions.
    slopes : tensor (q,)
        Mean of the coefficients of h.
    spread : tensor (q, q)
        What h'Ah adds to the variance.
    variance : float
        Of the curved parts, before the data.
    """

    theta: torch.Tensor
    surfaces: tuple[SurfaceLayout, ...]
    bent: tuple[Bent, ...]
    rank: int
    slopes: torch.Tensor
    spread: torch.Tensor
    variance: float

    @classmethod
    def of(
        cls,
        rows: Data,
        parts: Sequence[LoadedSurface],
        at: Draw,
    ) -> Scorer:
        """From the rows, the surfaces of the effect, and what the outcomes tell at one draw of the scales, all in double precision."""
        theta, solved = at.theta, at.solved
        ends = [explicit_columns(rows.x, theta, surface) for surface, _, _ in parts]
        lines = torch.cat(
            [each * (share * load)[:, None] for each, (_, load, share) in zip(ends, parts, strict=True)], 1
        )
        prior = torch.cat(
            [
                each.new_full((each.shape[1],), share**2)
                for each, (_, _, share) in zip(ends, parts, strict=True)
            ]
        )
        weights = at.back(at.heard(lines))
        spread = torch.diag(prior) - lines.T @ weights
        curved = [
            (surface, share * load * torch.exp(2.0 * theta[surface.bent]), share)
            for surface, load, share in parts
            if surface.kind.curved
        ]
        variance = float(sum(share**2 * torch.exp(2.0 * theta[surface.bent]) for surface, _, share in curved))
        bends = rows.x.new_zeros(rows.n, rows.n)
        for surface, load, _ in curved:
            bends += load[:, None] * surface.kind.correlation(rows.x, rows.x, theta, surface)
        heard = at.heard(bends)
        values, vectors = torch.linalg.eigh(heard @ heard.T / rows.n)
        own = torch.cat(ends, 1)
        posterior = variance - heard.square().sum(0) + ((own @ spread) * own).sum(1)
        posterior -= 2.0 * (own * (bends.T @ weights)).sum(1)
        kept = torch.cumsum(values.clamp(min=0.0), 0) > FAST.dropped * posterior.mean()
        # the directions' transpose times L^-1, without the inverse
        onto = at.back(vectors[:, kept])
        onto = torch.cat([onto, weights, solved[:, None]], 1).T
        bent = []
        for surface, load, _ in curved:
            carried = load != 0.0
            bent.append(
                Bent(surface, rows.x[carried].float(), (onto * load)[:, carried].float().contiguous())
            )
        slopes = (lines.T @ solved).float()
        surfaces = tuple(surface for surface, _, _ in parts)
        return cls(theta.float(), surfaces, tuple(bent), int(kept.sum()), slopes, spread.float(), variance)

    def __call__(self, x: torch.Tensor, space: Room) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance (m,) at standardised rows (m, p) in single precision; ``space`` (n, m) is written over."""
        ends = torch.cat([explicit_columns(x, self.theta, surface) for surface in self.surfaces], 1)
        found = torch.zeros(self.rank + len(self.spread) + 1, len(x), dtype=x.dtype)
        for each in self.bent:
            own, kind = space.first(len(each.seen)), each.surface.kind
            found.addmm_(each.onto, kind.correlation(each.seen, x, self.theta, each.surface, own))
        directions, crossed, mean = found[: self.rank], found[self.rank : -1], found[-1]
        lines = ends @ self.spread - 2.0 * crossed.T
        variance = self.variance + (lines * ends).sum(1) - directions.square_().sum(0)
        return mean + ends @ self.slopes, variance
