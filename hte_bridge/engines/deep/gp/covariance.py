"""Covariance of the Gaussian process model of the outcome.

    y = sum over surfaces of load * surface(x) + cluster effect + error

A surface is a Gaussian process: a constant of large variance, and what its kind (``kinds/``) makes of the covariates. Which surfaces there
are, and what loads each row puts on them, is said in ``outcome_models.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from hte_bridge.engines.deep.gp.kinds.layout import Room, SurfaceLayout


@dataclass(frozen=True)
class CovarianceRule:
    """Fixed parts of the covariance."""

    # of a surface's constant, in squared units of sd(Y): as good as no prior
    constant_variance: float = 1e3
    # below, the CPU evaluates the log posterior as quickly as a CUDA device
    cuda_rows: int = 400


COVARIANCE = CovarianceRule()


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
        if self.device == "cpu" or self.n < COVARIANCE.cuda_rows:
            return self
        x, y, noise, loads = (each.to(self.device) for each in (self.x, self.y, self.noise, self.loads))
        cluster = None if self.cluster is None else self.cluster.to(self.device)
        return replace(self, x=x, y=y, noise=noise, loads=loads, cluster=cluster)


@dataclass(frozen=True, eq=False)
class Space:
    """Arrays (n, n) that evaluations write over one after the other: the system takes as long to hand out new ones as we to fill them.

    Parameters
    ----------
    total, factor, slope : tensor (n, n)
        The covariance, its Cholesky factor, and the derivative by it; the last two stored by columns, as LAPACK does.
    rooms : tuple of Room
        Of each surface, as its kind asks.
    both : tuple of tensor (n, n)
        For each surface the products of two units' loads; none where all loads are one.
    same : tensor (n, n), optional
        One where two units are of one cluster, else zero; none without clusters.
    """

    total: torch.Tensor
    factor: torch.Tensor
    slope: torch.Tensor
    rooms: tuple[Room, ...]
    both: tuple[torch.Tensor | None, ...]
    same: torch.Tensor | None

    @classmethod
    def of(cls, rows: Data, surfaces: Sequence[SurfaceLayout]) -> Space:
        """Space for the covariance of ``rows`` with one surface per load."""
        total, factor, slope = (rows.x.new_empty(rows.n, rows.n) for _ in range(3))
        rooms = tuple(each.kind.room(rows.x, total) for each in surfaces)
        both = (None if bool((load == 1.0).all()) else torch.outer(load, load) for load in rows.loads)
        of = rows.cluster
        same = None if of is None else (of[:, None] == of[None, :]).to(total.dtype)
        return cls(total, factor.T, slope.T, rooms, tuple(both), same)


def explicit_columns(
    a: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout, room: Room | None = None
) -> torch.Tensor:
    """Columns (n, q) whose products are the covariance of a surface but for its curved part: those of its kind, and its constant."""
    own = surface.kind.columns(a, theta, surface, room)
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
    curved = surface.kind.correlation(a, b, theta, surface, None).mul_(variance)
    return curved.addmm_(line, explicit_columns(b, theta, surface).T)


def surface_variance(a: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout) -> torch.Tensor:
    """Prior variance (n,) of a surface at the rows of a."""
    curved = torch.exp(2.0 * theta[surface.bent]) if surface.kind.curved else 0.0
    return explicit_columns(a, theta, surface).square().sum(1) + curved


def covariance(
    rows: Data, theta: torch.Tensor, surfaces: Sequence[SurfaceLayout], cluster: int | None, space: Space
) -> torch.Tensor:
    """Covariance (n, n) of the outcome, noise included; it and the correlation of each surface are left in ``space``.

    ``cluster`` is the place of the clusters' log sd, where the model has it.
    """
    columns = [
        explicit_columns(rows.x, theta, surface, room) * load[:, None]
        for surface, room, load in zip(surfaces, space.rooms, rows.loads, strict=True)
    ]
    lines = torch.cat(columns, 1)
    total = torch.mm(lines, lines.T, out=space.total)
    for surface, room, both in zip(surfaces, space.rooms, space.both, strict=True):
        if not surface.kind.curved:
            continue
        correlation = surface.kind.correlation(rows.x, rows.x, theta, surface, room)
        variance = float(torch.exp(2.0 * theta[surface.bent]))
        if both is None:
            total.add_(correlation, alpha=variance)
        else:
            total.addcmul_(correlation, both, value=variance)
    if cluster is not None and space.same is not None:
        total.add_(space.same, alpha=float(torch.exp(2.0 * theta[cluster])))
    total.diagonal().add_(torch.exp(2.0 * theta[0]) * rows.noise)
    return total
