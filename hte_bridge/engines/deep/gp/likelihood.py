"""Log posterior of the hyperparameters, with its gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, pi

import torch

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.covariance import Data, Space, Strip, covariance
from hte_bridge.engines.deep.gp.hyperparameters import Hyperparameters
from hte_bridge.engines.deep.gp.kinds.layout import SurfaceLayout
from hte_bridge.engines.deep.store.symmetric import factored, inverted, solved

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
        matrix = covariance(rows, theta, self.surfaces, self.cluster, space)
        if not factored(matrix):
            return -float("inf")
        value = -float(torch.log(torch.diagonal(matrix)).sum())
        weights = solved(matrix, rows.y)
        value -= 0.5 * float(rows.y @ weights)
        inverted(matrix)
        noise = 0.5 * (
            weights.square() - torch.diagonal(matrix)
        )  # the derivative by each unit's own variance
        gradient[0] += 2.0 * torch.exp(2.0 * theta[0]) * (noise * rows.noise).sum()
        inside: torch.Tensor | float = 0.0
        sums: list[torch.Tensor | float] = [0.0 for _ in self.surfaces]
        for strip in space.strips:
            slope, a, b = self.slope(strip, weights), rows.x[strip.own], rows.x[strip.upto]
            if strip.same is not None:
                inside = inside + torch.dot(slope.view(-1), strip.same.view(-1))
            for k, surface in enumerate(self.surfaces):
                both = strip.both[k]
                own = slope if both is None else torch.mul(slope, both, out=like(space.slopes[1], slope))
                sums[k] = sums[k] + surface.kind.sums(own, a, b, surface, strip.rooms[k])
        if self.cluster is not None:
            gradient[self.cluster] += 2.0 * torch.exp(2.0 * theta[self.cluster]) * inside
        for surface, total in zip(self.surfaces, sums, strict=True):
            surface.kind.add_gradient(gradient, torch.as_tensor(total), theta, surface)
        return value - 0.5 * rows.n * LOG_2PI

    def slope(self, strip: Strip, weights: torch.Tensor) -> torch.Tensor:
        """The derivative by a strip of the covariance, of which each pair of units is there once: that by both of its places."""
        inverse = strip.part(self.space.total)
        out = like(self.space.slopes[0], inverse)
        torch.addr(inverse, weights[strip.own], weights[strip.upto], beta=-1.0, out=out)
        square = out[:, strip.own].tril_()
        square.diagonal().mul_(0.5)
        return out


def like(space: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """The first numbers of a space as an array of the shape of a matrix."""
    return space[: matrix.numel()].view(matrix.shape)


class LogPosterior:
    """Log marginal likelihood plus log prior of the log scales given some rows, and its gradient.

    The likelihood counts with ``power``: that of few rows stands for as many times as many of the same kind. Units that share no surface and no cluster (treated and controls, under ``arms``) are apart: two factors of half the size. It writes
    over its own arrays: one thread at a time.
    """

    def __init__(self, rows: Data, scales: Hyperparameters, power: float = 1.0) -> None:
        rows = rows.moved()
        self.scales, self.device, self.power, self.n = scales, rows.x.device, power, rows.n
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

    def value(self, theta: Array) -> float:
        """Value alone."""
        return self(theta)[0]

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Value, minus infinity where a covariance is not positive definite, and gradient (size,) at scales (size,)."""
        value, gradient = self.scales.prior(theta)
        at = torch.as_tensor(theta, device=self.device)
        likelihood = torch.zeros_like(at)
        for part in self.parts:
            value += self.power * part.add(at, likelihood)
        return value, gradient + self.power * likelihood.cpu().numpy()
