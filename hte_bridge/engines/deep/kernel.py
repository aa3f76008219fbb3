"""Covariance of the exact kernel model, and the log posterior of its scales with its gradient.

    y = sum over surfaces of load * surface(x) + cluster effect + error

A surface is a Gaussian process: a constant of large variance, a linear part, and a Matern-3/2 part with one length per covariate
(Rasmussen and Williams, 2006, Gaussian Processes for Machine Learning, eqs. 4.17 and 5.9). Which surfaces there are, and what loads
each row puts on them, is said in ``forms.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hte_bridge.engines.deep.scales import Scales, Surface

CONSTANT_VARIANCE = 1e3  # of a surface's constant, in squared units of sd(Y): as good as no prior
ROOT3 = 3.0**0.5


@dataclass(frozen=True, eq=False)
class Rows:
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
    """

    x: torch.Tensor
    y: torch.Tensor
    noise: torch.Tensor
    loads: torch.Tensor
    cluster: torch.Tensor | None = None

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.y)

    def take(self, rows: torch.Tensor) -> Rows:
        """Keep some units."""
        cluster = None if self.cluster is None else self.cluster[rows]
        return Rows(self.x[rows], self.y[rows], self.noise[rows], self.loads[:, rows], cluster)


@dataclass(frozen=True, eq=False)
class Pieces:
    """A surface's Matern-3/2 correlation between rows, and what its gradient needs."""

    matern: torch.Tensor  # (1 + sqrt(3) distance) exp(-sqrt(3) distance)
    decay: torch.Tensor  # exp(-sqrt(3) distance)


def distance(a: torch.Tensor, b: torch.Tensor, theta: torch.Tensor, surface: Surface) -> torch.Tensor:
    """Distance (n, m) between the rows of a (n, p) and b (m, p) in the surface's metric."""
    if surface.index:
        weight = theta[surface.metric]
        return ((a @ weight)[:, None] - (b @ weight)[None, :]).abs_()
    inverse = torch.exp(-theta[surface.metric])
    left, right = a * inverse, b * inverse
    sums = (left * left).sum(1)[:, None] + (right * right).sum(1)[None, :]
    return torch.addmm(sums, left, right.T, alpha=-2.0).clamp_(min=0.0).sqrt_()


def pieces(a: torch.Tensor, b: torch.Tensor, theta: torch.Tensor, surface: Surface) -> Pieces:
    """Matern-3/2 correlation between the rows of a (n, p) and b (m, p)."""
    scaled = distance(a, b, theta, surface).mul_(ROOT3)
    decay = torch.neg(scaled).exp_()
    return Pieces(scaled.add_(1.0).mul_(decay), decay)


def straight(a: torch.Tensor, theta: torch.Tensor, surface: Surface) -> torch.Tensor:
    """Columns (n, p + 1) whose products are the covariance of a surface's linear part and constant."""
    slope = torch.exp(theta[surface.linear]) * surface.p**-0.5
    return torch.cat(
        [a * slope, torch.full((len(a), 1), CONSTANT_VARIANCE**0.5, dtype=a.dtype, device=a.device)], 1
    )


def surface_kernel(a: torch.Tensor, b: torch.Tensor, theta: torch.Tensor, surface: Surface) -> torch.Tensor:
    """Prior covariance (n, m) of a surface between the rows of a and b, its constant included."""
    matern = pieces(a, b, theta, surface).matern.mul_(torch.exp(2.0 * theta[surface.matern]))
    return matern.addmm_(straight(a, theta, surface), straight(b, theta, surface).T)


def surface_variance(a: torch.Tensor, theta: torch.Tensor, surface: Surface) -> torch.Tensor:
    """Prior variance (n,) of a surface at the rows of a."""
    return straight(a, theta, surface).square().sum(1) + torch.exp(2.0 * theta[surface.matern])


def covariance(rows: Rows, theta: torch.Tensor, scales: Scales) -> tuple[torch.Tensor, list[Pieces]]:
    """Covariance (n, n) of the outcome, noise included, and the pieces of each surface."""
    surfaces = list(zip(scales.surfaces, rows.loads, strict=True))
    columns = torch.cat([straight(rows.x, theta, surface) * load[:, None] for surface, load in surfaces], 1)
    total = columns @ columns.T
    parts = []
    for surface, load in surfaces:
        part = pieces(rows.x, rows.x, theta, surface)
        sized = load * torch.exp(theta[surface.matern])
        total.addcmul_(part.matern, torch.outer(sized, sized))
        parts.append(part)
    if scales.clustered and rows.cluster is not None:
        total += torch.exp(2.0 * theta[scales.cluster]) * (rows.cluster[:, None] == rows.cluster[None, :])
    total.diagonal().add_(torch.exp(2.0 * theta[0]) * rows.noise)
    return total, parts


def log_posterior(
    theta: torch.Tensor, rows: Rows, scales: Scales, gradient: bool = True
) -> tuple[float, torch.Tensor]:
    """Log marginal likelihood plus log prior of the log scales, and the gradient (Rasmussen and Williams, eq. 5.9).

    Returns
    -------
    value : float
        Minus infinity where the covariance is not positive definite.
    gradient : tensor (scales.size,)
    """
    total, parts = covariance(rows, theta, scales)
    factor, failed = torch.linalg.cholesky_ex(total)
    prior, slopes = scales.prior(theta)
    if int(failed):
        return -float("inf"), torch.zeros_like(theta)
    weights = torch.cholesky_solve(rows.y[:, None], factor)[:, 0]
    likelihood = -0.5 * float(rows.y @ weights) - float(torch.log(torch.diagonal(factor)).sum())
    likelihood -= 0.5 * rows.n * float(np.log(2 * np.pi))
    if not gradient:
        return likelihood + prior, slopes
    # the derivative by the covariance; symmetric, so its transpose, which is stored by rows
    slope = torch.cholesky_inverse(factor).T.addr_(weights, weights, beta=-0.5, alpha=0.5)
    slopes[0] += 2.0 * torch.exp(2.0 * theta[0]) * (torch.diagonal(slope) * rows.noise).sum()
    for surface, part, load in zip(scales.surfaces, parts, rows.loads, strict=True):
        add_surface_gradient(slopes, slope * torch.outer(load, load), part, rows.x, theta, surface)
    if scales.clustered and rows.cluster is not None:
        same = rows.cluster[:, None] == rows.cluster[None, :]
        slopes[scales.cluster] += 2.0 * torch.exp(2.0 * theta[scales.cluster]) * slope[same].sum()
    return likelihood + prior, slopes


def add_surface_gradient(
    gradient: torch.Tensor,
    slope: torch.Tensor,
    part: Pieces,
    x: torch.Tensor,
    theta: torch.Tensor,
    surface: Surface,
) -> None:
    """Add a surface's part of the gradient; ``slope`` is the derivative by its kernel (n, n)."""
    variance = torch.exp(2.0 * theta[surface.matern])
    line = torch.exp(2.0 * theta[surface.linear]) / surface.p
    gradient[surface.linear] += 2.0 * line * ((slope @ x) * x).sum()
    gradient[surface.matern] += 2.0 * variance * torch.dot(slope.view(-1), part.matern.view(-1))
    weight = slope.mul_(part.decay)
    total = weight.sum(1)
    if surface.index:  # d matern / d weight_j = -3 variance decay (u - u') (x_j - x_j'), u the index
        index = x @ theta[surface.metric]
        gradient[surface.metric] -= 6.0 * variance * (x.T @ (index * total - weight @ index))
        return
    # d matern / d log length_j = 3 variance decay (x_j - x_j')^2 / length_j^2, summed as two matrix products
    spread = 2.0 * (total @ (x * x) - (x * (weight @ x)).sum(0))
    gradient[surface.metric] += 3.0 * variance * spread * torch.exp(-2.0 * theta[surface.metric])
