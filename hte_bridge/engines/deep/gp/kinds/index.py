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

    def distance(
        self, a: Tensor, b: Tensor, theta: Tensor, surface: SurfaceLayout, out: Tensor | None
    ) -> Tensor:
        """Between indices."""
        weight = ROOT3 * theta[surface.metric]
        return torch.sub((a @ weight)[:, None], (b @ weight)[None, :], out=out).abs_()

    def add_gradient(
        self, gradient: Tensor, slope: Tensor, x: Tensor, theta: Tensor, surface: SurfaceLayout, room: Room
    ) -> None:
        """d correlation / d weight_j = -3 decay (u - u') (x_j - x_j'), u the index."""
        variance = self.add_gradient_of_deviations(gradient, slope, x, theta, surface, room)
        weight = room.both[1].mul_(slope)
        index = x @ theta[surface.metric]
        gradient[surface.metric] -= 6.0 * variance * (x.T @ (index * weight.sum(1) - weight @ index))

    def rise(self, x: Tensor, seen: Tensor, weight: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """d correlation / d x_j = 3 decay (u' - u) weight_j."""
        decay, metric = self.decay(seen, x, theta, surface) * weight[:, None], theta[surface.metric]
        bend = (decay.T @ (seen @ metric) - decay.sum(0) * (x @ metric))[:, None] * metric
        return 3.0 * torch.exp(2.0 * theta[surface.bent]) * bend + self.line_rise(
            seen, weight, theta, surface
        )


INDEX = Index()
