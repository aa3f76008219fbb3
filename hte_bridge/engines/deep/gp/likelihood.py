"""Log posterior of the hyperparameters, with its gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, pi

import torch

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.covariance import Data, Space, covariance
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
        total = covariance(rows, theta, self.surfaces, self.cluster, space)
        if not factored(total, space.factor):
            return -float("inf")
        value = -float(torch.log(torch.diagonal(space.factor)).sum())
        weights = solved(space.factor, rows.y)
        value -= 0.5 * float(rows.y @ weights)
        # the derivative by the covariance; symmetric, so its transpose, which is stored by rows
        slope = inverted(space.factor, space.slope).T.addr_(weights, weights, beta=-0.5, alpha=0.5)
        gradient[0] += 2.0 * torch.exp(2.0 * theta[0]) * (torch.diagonal(slope) * rows.noise).sum()
        if self.cluster is not None and space.same is not None:
            inside = torch.dot(slope.view(-1), space.same.view(-1))
            gradient[self.cluster] += 2.0 * torch.exp(2.0 * theta[self.cluster]) * inside
        for surface, room, both in zip(self.surfaces, space.rooms, space.both, strict=True):
            own = slope if both is None else torch.mul(slope, both, out=total)
            surface.kind.add_gradient(gradient, own, rows.x, theta, surface, room)
        return value - 0.5 * rows.n * LOG_2PI


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
        at = torch.as_tensor(theta)
        value, gradient = self.scales.prior(at)
        at, likelihood = at.to(self.device), gradient.new_zeros(gradient.shape, device=self.device)
        for part in self.parts:
            value += self.power * part.add(at, likelihood)
        return value, (gradient + self.power * likelihood.cpu()).numpy()
