"""A surface along one index: a line, and a Matern-3/2 process of a weighted sum of the covariates."""

from __future__ import annotations

import torch
from torch import Tensor

from hte_bridge.engines.deep.gp.kinds.layout import MetricPrior, Room, SurfaceLayout
from hte_bridge.engines.deep.gp.kinds.matern import ROOT3, Matern


class Index(Matern):
    """The distance of two units is that of their indices (Garnett, Osborne and Hennig, 2014, UAI 30); the metric is the index's weights."""

    name = "index"

    def width(self, p: int, columns: int) -> int:
        """A weight for each column."""
        return columns

    def prior(self, p: int, sparse: bool) -> MetricPrior:
        """Of such a size that the index has an sd of about one; a search needs a direction to begin with."""
        return MetricPrior(0.0, p**-0.5, p**-0.5, p**-0.5)

    def ends(self, x: Tensor, theta: Tensor, surface: SurfaceLayout) -> tuple[Tensor, Tensor]:
        """The index, in lengths over the root of three."""
        index = x @ (ROOT3 * theta[surface.metric])
        return index, index

    def distance(self, left: Tensor, right: Tensor, out: Tensor | None) -> Tensor:
        """Between indices."""
        return torch.sub(left[:, None], right[None, :], out=out).abs_()

    def sums(self, slope: Tensor, a: Tensor, b: Tensor, surface: SurfaceLayout, room: Room) -> Tensor:
        """d correlation / d weight_j = -3 decay (u - u') (x_j - x_j'), u = x'w the index: products (p, p) that meet w."""
        first = self.sums_of_deviations(slope, a, b, room)
        weight = room.both[1].mul_(slope)
        mixed = a.T @ (weight @ b)
        own = a.T @ (weight.sum(1)[:, None] * a) + b.T @ (weight.sum(0)[:, None] * b)
        return torch.cat([first, (own - mixed - mixed.T).view(-1)])

    def add_gradient(self, gradient: Tensor, sums: Tensor, theta: Tensor, surface: SurfaceLayout) -> None:
        """The products times -3 v w."""
        variance, rest = self.add_gradient_of_deviations(gradient, sums, theta, surface)
        metric = theta[surface.metric]
        gradient[surface.metric] -= 3.0 * variance * (rest.view(len(metric), -1) @ metric)

    def rise(self, x: Tensor, seen: Tensor, weight: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """d correlation / d x_j = 3 decay (u' - u) weight_j."""
        decay, metric = self.decay(seen, x, theta, surface) * weight[:, None], theta[surface.metric]
        bend = (decay.T @ (seen @ metric) - decay.sum(0) * (x @ metric))[:, None] * metric
        return 3.0 * torch.exp(2.0 * theta[surface.bent]) * bend + self.line_rise(
            seen, weight, theta, surface
        )


INDEX = Index()
