"""Covariance of the Gaussian process model of the outcome.

    y = sum over surfaces of load * surface(x) + cluster effect + error

A surface is a Gaussian process: a constant of large variance, a linear part, and a Matern-3/2 part with one length per covariate
(Rasmussen and Williams, 2006, Gaussian Processes for Machine Learning, eqs. 4.17 and 5.9); an additive one has a spline of each
covariate in place of the last. Which surfaces there are, and what loads each row puts on them, is said in ``outcome_models.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from hte_bridge.engines.deep.gp.hyperparameters import SurfaceLayout
from hte_bridge.engines.deep.gp.splines import PER_COVARIATE, functions


@dataclass(frozen=True)
class CovarianceRule:
    """Fixed parts of the covariance."""

    # of a surface's constant, in squared units of sd(Y): as good as no prior
    constant_variance: float = 1e3
    # below, the CPU evaluates the log posterior as quickly as a CUDA device
    cuda_rows: int = 400


COVARIANCE = CovarianceRule()

ROOT3 = 3.0**0.5


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
class Pieces:
    """A surface's Matern-3/2 correlation between rows, and what its gradient needs."""

    matern: torch.Tensor  # (1 + sqrt(3) distance) exp(-sqrt(3) distance)
    decay: torch.Tensor  # exp(-sqrt(3) distance)


@dataclass(frozen=True, eq=False)
class Space:
    """Arrays (n, n) that evaluations write over one after the other: the system takes as long to hand out new ones as we to fill them.

    Parameters
    ----------
    total, factor, slope : tensor (n, n)
        The covariance, its Cholesky factor, and the derivative by it; the last two stored by columns, as LAPACK does.
    parts : tuple of Pieces
        Of each surface that bends; an additive one has none.
    shapes : tuple of tensor (n, p, ``PER_COVARIATE``)
        Of each additive surface, its functions at the rows; none of the others.
    both : tuple of tensor (n, n)
        For each surface the products of two units' loads; none where all loads are one.
    same : tensor (n, n), optional
        One where two units are of one cluster, else zero; none without clusters.
    """

    total: torch.Tensor
    factor: torch.Tensor
    slope: torch.Tensor
    parts: tuple[Pieces | None, ...]
    shapes: tuple[torch.Tensor | None, ...]
    both: tuple[torch.Tensor | None, ...]
    same: torch.Tensor | None

    @classmethod
    def of(cls, rows: Data, surfaces: Sequence[SurfaceLayout]) -> Space:
        """Space for the covariance of ``rows`` with one surface per load."""
        total, factor, slope = (rows.x.new_empty(rows.n, rows.n) for _ in range(3))
        parts = tuple(
            None if each.additive else Pieces(torch.empty_like(total), torch.empty_like(total))
            for each in surfaces
        )
        shapes = tuple(functions(rows.x) if each.additive else None for each in surfaces)
        both = (None if bool((load == 1.0).all()) else torch.outer(load, load) for load in rows.loads)
        of = rows.cluster
        same = None if of is None else (of[:, None] == of[None, :]).to(total.dtype)
        return cls(total, factor.T, slope.T, parts, shapes, tuple(both), same)


def scaled_distance(
    a: torch.Tensor,
    b: torch.Tensor,
    theta: torch.Tensor,
    surface: SurfaceLayout,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Square root of three times the distance (n, m) between the rows of a (n, p) and b (m, p) in the surface's metric."""
    if surface.index:
        weight = ROOT3 * theta[surface.metric]
        return torch.sub((a @ weight)[:, None], (b @ weight)[None, :], out=out).abs_()
    inverse = ROOT3 * torch.exp(-surface.spread_out(theta))
    left, right = a * inverse, b * inverse
    ends = (left * left).sum(1, keepdim=True), (right * right).sum(1, keepdim=True)
    # |l - r|^2 = |l|^2 + |r|^2 - 2 l'r as one product of matrices
    left = torch.cat([left, ends[0], torch.ones_like(ends[0])], 1)
    right = torch.cat([-2.0 * right, torch.ones_like(ends[1]), ends[1]], 1)
    return torch.mm(left, right.T, out=out).clamp_(min=0.0).sqrt_()


def pieces(
    a: torch.Tensor, b: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout, into: Pieces | None = None
) -> Pieces:
    """Matern-3/2 correlation between the rows of a (n, p) and b (m, p), written ``into`` arrays that are there."""
    first, second = (None, None) if into is None else (into.matern, into.decay)
    scaled = scaled_distance(a, b, theta, surface, first)
    decay = torch.neg(scaled, out=second).exp_()
    return Pieces(torch.addcmul(decay, scaled, decay, out=scaled), decay)


def explicit_columns(
    a: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout, shapes: torch.Tensor | None = None
) -> torch.Tensor:
    """Columns (n, q) whose products are the covariance of a surface's linear part and constant, or of an additive surface.

    ``shapes`` are the additive surface's functions at the rows of a (n, p), where they are there.
    """
    if surface.additive:
        shapes = functions(a) if shapes is None else shapes
        own = (shapes * additive_sds(theta, surface).to(a.dtype)).flatten(1)
    else:
        own = a * (torch.exp(theta[surface.linear]) * surface.p**-0.5)
    constant = torch.full((len(a), 1), COVARIANCE.constant_variance**0.5, dtype=a.dtype, device=a.device)
    return torch.cat([own, constant], 1)


def additive_sds(theta: torch.Tensor, surface: SurfaceLayout) -> torch.Tensor:
    """Prior sds (p, ``PER_COVARIATE``) of the coefficients of an additive surface's functions; a category has no curved ones."""
    common = theta[[surface.linear] + [surface.matern] * (PER_COVARIATE - 1)]
    found = torch.exp(surface.spread_out(theta)[:, None] + common)
    if surface.groups:
        found[:, 1:] *= found.new_tensor(surface.curving)[:, None]
    return found


def surface_kernel(
    a: torch.Tensor,
    b: torch.Tensor,
    theta: torch.Tensor,
    surface: SurfaceLayout,
    load: torch.Tensor | None = None,
) -> torch.Tensor:
    """Prior covariance (n, m) of a surface, times ``load`` (n,) at the rows of a, with the surface at the rows of b."""
    variance, line = torch.exp(2.0 * theta[surface.matern]), explicit_columns(a, theta, surface)
    if load is not None:
        variance, line = (variance * load)[:, None], line * load[:, None]
    if surface.additive:
        return line @ explicit_columns(b, theta, surface).T
    matern = pieces(a, b, theta, surface).matern.mul_(variance)
    return matern.addmm_(line, explicit_columns(b, theta, surface).T)


def surface_variance(a: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout) -> torch.Tensor:
    """Prior variance (n,) of a surface at the rows of a."""
    bent = 0.0 if surface.additive else torch.exp(2.0 * theta[surface.matern])
    return explicit_columns(a, theta, surface).square().sum(1) + bent


def covariance(
    rows: Data, theta: torch.Tensor, surfaces: Sequence[SurfaceLayout], cluster: int | None, space: Space
) -> torch.Tensor:
    """Covariance (n, n) of the outcome, noise included; it and the pieces of each surface are left in ``space``.

    ``cluster`` is the place of the clusters' log sd, where the model has it.
    """
    columns = [
        explicit_columns(rows.x, theta, surface, shapes) * load[:, None]
        for surface, shapes, load in zip(surfaces, space.shapes, rows.loads, strict=True)
    ]
    lines = torch.cat(columns, 1)
    total = torch.mm(lines, lines.T, out=space.total)
    for surface, part, both in zip(surfaces, space.parts, space.both, strict=True):
        if part is None:
            continue
        matern = pieces(rows.x, rows.x, theta, surface, part).matern
        variance = float(torch.exp(2.0 * theta[surface.matern]))
        if both is None:
            total.add_(matern, alpha=variance)
        else:
            total.addcmul_(matern, both, value=variance)
    if cluster is not None and space.same is not None:
        total.add_(space.same, alpha=float(torch.exp(2.0 * theta[cluster])))
    total.diagonal().add_(torch.exp(2.0 * theta[0]) * rows.noise)
    return total
