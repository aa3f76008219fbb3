"""Covariance of the exact kernel model, and the log posterior of its scales with its gradient.

    y = mu(x) + r tau(x) + cluster effect + error,     r = t - e(x)

mu and tau are Gaussian processes: a constant of large variance, two linear parts, and a Matern-3/2 part with one length per covariate
(Rasmussen and Williams, 2006, Gaussian Processes for Machine Learning, eqs. 4.17 and 5.9). In one linear part all covariates count
alike, in the other as 1 / length^2: a covariate that matters for the curve is likely to matter for the line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hte_bridge.engines.deep.scales import Scales, Surface

CONSTANT_VARIANCE = 1e3  # of the constants of mu and tau, in squared units of sd(Y): as good as no prior
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
    residual : tensor (n,), optional
        t - e(x); ``None`` where the model has no tau.
    noise : tensor (n,)
        Variance of each unit's error as a multiple of the common one: the inverse of its weight.
    cluster : tensor (n,), optional
        Codes, where errors share a part within clusters.
    """

    x: torch.Tensor
    y: torch.Tensor
    noise: torch.Tensor
    residual: torch.Tensor | None = None
    cluster: torch.Tensor | None = None

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.y)

    def take(self, rows: torch.Tensor) -> Rows:
        """Keep some units."""
        return Rows(
            self.x[rows],
            self.y[rows],
            self.noise[rows],
            None if self.residual is None else self.residual[rows],
            None if self.cluster is None else self.cluster[rows],
        )


@dataclass(frozen=True, eq=False)
class Pieces:
    """A surface's kernel between rows, and what its gradient needs."""

    linear: torch.Tensor
    tied: torch.Tensor
    matern: torch.Tensor
    decay: torch.Tensor  # exp(-sqrt(3) distance)


def relevance(theta: torch.Tensor, surface: Surface) -> torch.Tensor:
    """Share (p,) of each covariate in the tied linear part: 1 / length^2, summing to one."""
    return torch.softmax(-2.0 * theta[surface.lengths], dim=0)


def pieces(a: torch.Tensor, b: torch.Tensor, theta: torch.Tensor, surface: Surface) -> Pieces:
    """Linear and Matern-3/2 kernels between the rows of a (n, p) and b (m, p)."""
    inverse = ROOT3 * torch.exp(-theta[surface.lengths])
    left, right = a * inverse, b * inverse
    sums = (left * left).sum(1)[:, None] + (right * right).sum(1)[None, :]
    scaled = torch.addmm(sums, left, right.T, alpha=-2.0).clamp_(min=0.0).sqrt_()  # sqrt(3) distance
    decay = torch.exp(-scaled)
    variances = torch.exp(2.0 * theta[surface.deviations])
    linear = torch.mm(a * (variances[0] / surface.p), b.T)
    tied = torch.mm(a * (variances[1] * relevance(theta, surface)), b.T)
    return Pieces(linear, tied, scaled.add_(1.0).mul_(decay).mul_(variances[2]), decay)


def surface_kernel(a: torch.Tensor, b: torch.Tensor, theta: torch.Tensor, surface: Surface) -> torch.Tensor:
    """Prior covariance (n, m) of a surface between the rows of a and b, its constant included."""
    part = pieces(a, b, theta, surface)
    return part.linear + part.tied + part.matern + CONSTANT_VARIANCE


def surface_variance(a: torch.Tensor, theta: torch.Tensor, surface: Surface) -> torch.Tensor:
    """Prior variance (n,) of a surface at the rows of a."""
    variances = torch.exp(2.0 * theta[surface.deviations])
    slopes = variances[0] / surface.p + variances[1] * relevance(theta, surface)
    return CONSTANT_VARIANCE + variances[2] + (a * a) @ slopes


def covariance(rows: Rows, theta: torch.Tensor, scales: Scales) -> tuple[torch.Tensor, list[Pieces]]:
    """Covariance (n, n) of the outcome, noise included, and the pieces of each surface."""
    total = torch.diag(torch.exp(2.0 * theta[0]) * rows.noise)
    parts = []
    for surface, load in zip(scales.surfaces, (None, rows.residual), strict=False):
        part = pieces(rows.x, rows.x, theta, surface)
        prior = part.linear + part.tied + part.matern + CONSTANT_VARIANCE
        total += prior if load is None else prior * load[:, None] * load[None, :]
        parts.append(part)
    if scales.clustered and rows.cluster is not None:
        total += torch.exp(2.0 * theta[scales.cluster]) * (rows.cluster[:, None] == rows.cluster[None, :])
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
    # the derivative by the covariance
    slope = torch.outer(weights, weights).sub_(torch.cholesky_inverse(factor)).mul_(0.5)
    slopes[0] += 2.0 * torch.exp(2.0 * theta[0]) * (torch.diagonal(slope) * rows.noise).sum()
    for surface, part, load in zip(scales.surfaces, parts, (None, rows.residual), strict=False):
        seen = slope if load is None else slope * load[:, None] * load[None, :]
        add_surface_gradient(slopes, seen, part, rows.x, theta, surface)
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
    gradient[surface.linear] += 2.0 * (slope * part.linear).sum()
    gradient[surface.tied] += 2.0 * (slope * part.tied).sum()
    gradient[surface.matern] += 2.0 * (slope * part.matern).sum()
    # d matern / d log length_j = 3 variance decay (x_j - x_j')^2 / length_j^2, summed as two matrix products
    weight = slope * part.decay
    spread = 2.0 * (weight.sum(1) @ (x * x) - (x * (weight @ x)).sum(0))
    factor = 3.0 * torch.exp(2.0 * theta[surface.matern])
    gradient[surface.lengths] += factor * spread * torch.exp(-2.0 * theta[surface.lengths])
    # the shares of the tied linear part move with the lengths too
    share = relevance(theta, surface)
    by_share = torch.exp(2.0 * theta[surface.tied]) * (x * (slope @ x)).sum(0)
    gradient[surface.lengths] -= 2.0 * share * (by_share - share @ by_share)
