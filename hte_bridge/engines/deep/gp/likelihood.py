"""Log posterior of the hyperparameters, with its gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, pi

import torch

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.covariance import Data, Pieces, Space, additive_sds, covariance
from hte_bridge.engines.deep.gp.hyperparameters import Hyperparameters, SurfaceLayout
from hte_bridge.engines.deep.gp.splines import PER_COVARIATE

LOG_2PI = log(2.0 * pi)


@dataclass(frozen=True, eq=False)
class Together:
    """Units whose outcomes share surfaces, and the log density of these outcomes."""

    rows: Data
    surfaces: tuple[SurfaceLayout, ...]
    cluster: int | None
    space: Space

    def add(self, theta: torch.Tensor, gradient: torch.Tensor) -> float:
        """Log marginal likelihood (Rasmussen and Williams, eq. 5.8), whose slopes (eq. 5.9) are added to ``gradient``."""
        rows, space = self.rows, self.space
        total = covariance(rows, theta, self.surfaces, self.cluster, space)
        failed = torch.empty((), dtype=torch.int32, device=theta.device)
        torch.linalg.cholesky_ex(total, out=(space.factor, failed))
        if int(failed):
            return -float("inf")
        half = torch.linalg.solve_triangular(space.factor, rows.y[:, None], upper=False)
        value = -0.5 * float(half.square().sum()) - float(torch.log(torch.diagonal(space.factor)).sum())
        weights = torch.linalg.solve_triangular(space.factor.T, half, upper=True)[:, 0]
        # the derivative by the covariance; symmetric, so its transpose, which is stored by rows
        torch.cholesky_inverse(space.factor, out=space.slope)
        slope = space.slope.T.addr_(weights, weights, beta=-0.5, alpha=0.5)
        gradient[0] += 2.0 * torch.exp(2.0 * theta[0]) * (torch.diagonal(slope) * rows.noise).sum()
        if self.cluster is not None and space.same is not None:
            inside = torch.dot(slope.view(-1), space.same.view(-1))
            gradient[self.cluster] += 2.0 * torch.exp(2.0 * theta[self.cluster]) * inside
        kept = zip(self.surfaces, space.parts, space.shapes, space.both, strict=True)
        for surface, part, shapes, both in kept:
            own = slope if both is None else torch.mul(slope, both, out=total)
            if shapes is not None:
                add_additive_gradient(gradient, own, shapes, theta, surface)
            elif part is not None:
                add_surface_gradient(gradient, own, part, rows.x, theta, surface)
        return value - 0.5 * rows.n * LOG_2PI


class LogPosterior:
    """Log marginal likelihood plus log prior of the log scales given some rows, and its gradient.

    Units that share no surface and no cluster (treated and controls, under ``arms``) are apart: two factors of half the size. It writes
    over its own arrays: one thread at a time.
    """

    def __init__(self, rows: Data, scales: Hyperparameters) -> None:
        rows = rows.moved()
        self.scales, self.device = scales, rows.x.device
        cluster = scales.cluster if scales.clustered else None
        used = rows.loads != 0.0
        self.parts = []
        if cluster is None and bool((used.sum(0) == 1).all()):
            for surface, load, own in zip(scales.surfaces, rows.loads, used, strict=True):
                seen = replace(rows, loads=load[None]).take(own.nonzero()[:, 0])
                self.parts.append(Together(seen, (surface,), None, Space.of(seen, (surface,))))
        else:
            space = Space.of(rows, scales.surfaces)
            self.parts.append(Together(rows, scales.surfaces, cluster, space))

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Value, minus infinity where a covariance is not positive definite, and gradient (size,) at scales (size,)."""
        at = torch.as_tensor(theta)
        value, gradient = self.scales.prior(at)
        at, gradient = at.to(self.device), gradient.to(self.device)
        for part in self.parts:
            value += part.add(at, gradient)
        return value, gradient.cpu().numpy()


def add_surface_gradient(
    gradient: torch.Tensor,
    slope: torch.Tensor,
    part: Pieces,
    x: torch.Tensor,
    theta: torch.Tensor,
    surface: SurfaceLayout,
) -> None:
    """Add a surface's part of the gradient; ``slope`` is the derivative by its kernel (n, n). The pieces' decay is written over."""
    variance = torch.exp(2.0 * theta[surface.matern])
    line = torch.exp(2.0 * theta[surface.linear]) / surface.p
    gradient[surface.linear] += 2.0 * line * ((slope @ x) * x).sum()
    gradient[surface.matern] += 2.0 * variance * torch.dot(slope.view(-1), part.matern.view(-1))
    weight = part.decay.mul_(slope)
    total = weight.sum(1)
    if surface.index:  # d matern / d weight_j = -3 variance decay (u - u') (x_j - x_j'), u the index
        index = x @ theta[surface.metric]
        gradient[surface.metric] -= 6.0 * variance * (x.T @ (index * total - weight @ index))
        return
    # d matern / d log length_j = 3 variance decay (x_j - x_j')^2 / length_j^2, summed as two matrix products
    spread = 2.0 * (total @ (x * x) - (x * (weight @ x)).sum(0))
    each = 3.0 * variance * spread * torch.exp(-2.0 * surface.spread_out(theta))
    gradient[surface.metric] += surface.gathered(each)


def add_additive_gradient(
    gradient: torch.Tensor,
    slope: torch.Tensor,
    shapes: torch.Tensor,
    theta: torch.Tensor,
    surface: SurfaceLayout,
) -> None:
    """Add an additive surface's part of the gradient; ``slope`` is the derivative by its kernel (n, n), ``shapes`` its functions."""
    columns = (shapes * additive_sds(theta, surface)).flatten(1)
    each = 2.0 * (columns * (slope @ columns)).sum(0).view(surface.columns, PER_COVARIATE)
    gradient[surface.linear] += each[:, 0].sum()
    gradient[surface.matern] += each[:, 1:].sum()
    gradient[surface.metric] += surface.gathered(each.sum(1))
