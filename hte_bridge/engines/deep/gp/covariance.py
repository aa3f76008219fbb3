"""Covariance of the Gaussian process model of the outcome.

    y = sum over surfaces of load * surface(x) + cluster effect + error

A surface is a Gaussian process: a constant of large variance, and what its kind (``kinds/``) makes of the covariates. Which surfaces there
are, and what loads each row puts on them, is said in ``outcome_models.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from hte_bridge.engines.deep.gp.kinds.boxes import inside
from hte_bridge.engines.deep.gp.kinds.layout import Room, SurfaceLayout


@dataclass(frozen=True)
class CovarianceRule:
    """Fixed parts of the covariance."""

    # of a surface's constant, in squared units of sd(Y): as good as no prior
    constant_variance: float = 1e3


COVARIANCE = CovarianceRule()

CUDA_ROWS = 400  # below, the CPU evaluates the log posterior as quickly as a CUDA device
STRIP_ROWS = 128  # of the covariance, on the CPU: what is done to a strip stays in the processor's own cache


@dataclass(frozen=True, eq=False)
class Data:
    """Units as the covariance sees them.

    Parameters
    ----------
    x : tensor (n, p)
        Standardised covariates.
    y : tensor (n,)
        Outcome, centred, in units of its standard deviation.
    noise : tensor (n,)
        Variance of each unit's error as a multiple of the common one: the inverse of its weight.
    loads : tensor (s, n)
        What each of s surfaces is multiplied by in each unit's outcome.
    cluster : tensor (n,), optional
        Codes, where errors share a part within clusters.
    device : str
        Where the log posterior of the scales is evaluated; the tensors themselves lie on the CPU.
    groups : tuple of int
        Of each column: which covariate it belongs to. Empty: each is one.
    """

    x: torch.Tensor
    y: torch.Tensor
    noise: torch.Tensor
    loads: torch.Tensor
    cluster: torch.Tensor | None = None
    device: str = "cpu"
    groups: tuple[int, ...] = ()

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.y)

    def take(self, rows: torch.Tensor) -> Data:
        """Keep some units."""
        cluster = None if self.cluster is None else self.cluster[rows]
        x, y, noise, loads = self.x[rows], self.y[rows], self.noise[rows], self.loads[:, rows]
        return replace(self, x=x, y=y, noise=noise, loads=loads, cluster=cluster)

    def moved(self) -> Data:
        """The same with its tensors on ``device``, or as they are where so few rows are as quick on the CPU."""
        if self.device == "cpu" or self.n < CUDA_ROWS:
            return self
        x, y, noise, loads = (each.to(self.device) for each in (self.x, self.y, self.noise, self.loads))
        cluster = None if self.cluster is None else self.cluster.to(self.device)
        return replace(self, x=x, y=y, noise=noise, loads=loads, cluster=cluster)


@dataclass(frozen=True, eq=False)
class Strip:
    """Some rows of the covariance's lower triangle: so many units, against all up to the last of them.

    Parameters
    ----------
    own, upto : slice
        These units; all up to the last of them.
    rooms : tuple of Room
        Of each surface, as its kind asks.
    both : tuple of tensor
        For each surface the products of two units' loads; none where all loads are one.
    same : tensor, optional
        One where two units are of one cluster, else zero; none without clusters.
    """

    own: slice
    upto: slice
    rooms: tuple[Room, ...]
    both: tuple[torch.Tensor | None, ...]
    same: torch.Tensor | None

    @classmethod
    def of(cls, rows: Data, surfaces: Sequence[SurfaceLayout], own: slice) -> Strip:
        """Space for these units of ``rows``, with one surface per load."""
        upto = slice(0, own.stop)
        like = rows.x.new_empty(own.stop - own.start, own.stop)
        rooms = tuple(each.kind.room(rows.x[upto], like) for each in surfaces)
        both = (
            None if bool((load == 1.0).all()) else torch.outer(load[own], load[upto]) for load in rows.loads
        )
        of = rows.cluster
        same = None if of is None else (of[own, None] == of[None, upto]).to(like.dtype)
        return cls(own, upto, rooms, tuple(both), same)

    def part(self, matrix: torch.Tensor) -> torch.Tensor:
        """Its part of an array (n, n)."""
        return matrix[self.own, self.upto]


@dataclass(frozen=True, eq=False)
class Space:
    """Arrays that evaluations write over one after the other: the system takes as long to hand out new ones as we to fill them.

    All are symmetric, so that only their lower triangles are filled, strip by strip.

    Parameters
    ----------
    total : tensor (n, n)
        The covariance, by rows; then its Cholesky factor, then its inverse.
    strips : tuple of Strip
    slopes : tuple of tensor
        Two as large as the largest strip: for the derivative by the covariance, and that by one surface's share of it.
    """

    total: torch.Tensor
    strips: tuple[Strip, ...]
    slopes: tuple[torch.Tensor, torch.Tensor]

    @classmethod
    def of(cls, rows: Data, surfaces: Sequence[SurfaceLayout]) -> Space:
        """Space for the covariance of ``rows`` with one surface per load."""
        n = rows.n
        most = STRIP_ROWS if rows.x.device.type == "cpu" else max(n, 1)
        own = (slice(start, min(start + most, n)) for start in range(0, max(n, 1), most))
        strips = tuple(Strip.of(rows, surfaces, each) for each in own)
        first, second = (rows.x.new_empty(min(most, n) * n) for _ in range(2))
        return cls(rows.x.new_empty(n, n), strips, (first, second))


def explicit_columns(
    a: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout, room: Room | None = None
) -> torch.Tensor:
    """Columns (n, q) whose products are the covariance of a surface but for its curved part: those of its kind, its jumps, and its constant."""
    own = surface.kind.columns(a, theta, surface, room)
    if surface.boxes:
        own = torch.cat([own, inside(a, surface.boxes) * torch.exp(theta[surface.bent])], 1)
    constant = torch.full((len(a), 1), COVARIANCE.constant_variance**0.5, dtype=a.dtype, device=a.device)
    return torch.cat([own, constant], 1)


def surface_kernel(
    a: torch.Tensor,
    b: torch.Tensor,
    theta: torch.Tensor,
    surface: SurfaceLayout,
    load: torch.Tensor | None = None,
) -> torch.Tensor:
    """Prior covariance (n, m) of a surface, times ``load`` (n,) at the rows of a, with the surface at the rows of b."""
    variance, line = torch.exp(2.0 * theta[surface.bent]), explicit_columns(a, theta, surface)
    if load is not None:
        variance, line = (variance * load)[:, None], line * load[:, None]
    if not surface.kind.curved:
        return line @ explicit_columns(b, theta, surface).T
    curved = surface.kind.correlation(a, b, theta, surface).mul_(variance)
    return curved.addmm_(line, explicit_columns(b, theta, surface).T)


def surface_variance(a: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout) -> torch.Tensor:
    """Prior variance (n,) of a surface at the rows of a."""
    curved = torch.exp(2.0 * theta[surface.bent]) if surface.kind.curved else 0.0
    return explicit_columns(a, theta, surface).square().sum(1) + curved


def covariance(
    rows: Data, theta: torch.Tensor, surfaces: Sequence[SurfaceLayout], cluster: int | None, space: Space
) -> torch.Tensor:
    """Lower triangle of the covariance (n, n) of the outcome, noise included; it and the correlations of each surface are left in ``space``.

    ``cluster`` is the place of the clusters' log sd, where the model has it.
    """
    variances = [float(torch.exp(2.0 * theta[each.bent])) for each in surfaces]
    columns = [
        explicit_columns(rows.x, theta, surface, room) * load[:, None]
        for surface, room, load in zip(surfaces, space.strips[-1].rooms, rows.loads, strict=True)
    ]
    lines = torch.cat(columns, 1)
    ends = [each.kind.ends(rows.x, theta, each) for each in surfaces]
    for strip in space.strips:
        total = torch.mm(lines[strip.own], lines[strip.upto].T, out=strip.part(space.total))
        for k, (surface, (left, right)) in enumerate(zip(surfaces, ends, strict=True)):
            if not surface.kind.curved:
                continue
            near = surface.kind.between(left[strip.own], right[strip.upto], surface, strip.rooms[k])
            both = strip.both[k]
            if both is None:
                total.add_(near, alpha=variances[k])
            else:
                total.addcmul_(near, both, value=variances[k])
        if cluster is not None and strip.same is not None:
            total.add_(strip.same, alpha=float(torch.exp(2.0 * theta[cluster])))
    space.total.diagonal().add_(torch.exp(2.0 * theta[0]) * rows.noise)
    return space.total
