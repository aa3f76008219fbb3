"""A surface along one index: a line, and a Matern-3/2 process of a weighted sum of the covariates."""

from __future__ import annotations

from typing import ClassVar

import torch

from hte_bridge.engines.deep.gp.kinds.layout import KindName, MetricPrior, Room, SurfaceLayout
from hte_bridge.engines.deep.gp.kinds.line import add_gradient_of_deviations, line_columns, line_rise
from hte_bridge.engines.deep.gp.kinds.matern import ROOT3, arrays, matern


class Index:
    """The distance of two units is that of their indices (Garnett, Osborne and Hennig, 2014, UAI 30); the metric is the index's weights."""

    # as outcome models call it
    name: ClassVar[KindName] = "index"
    # whether it has a correlation beside its explicit columns
    curved: ClassVar[bool] = True

    def width(self, p: int, columns: int) -> int:
        """A weight for each column."""
        return columns

    def prior(self, p: int, sparse: bool) -> MetricPrior:
        """Of such a size that the index has an sd of about one; a search needs a direction to begin with."""
        return MetricPrior(0.0, p**-0.5, p**-0.5, p**-0.5)

    def room(self, x: torch.Tensor, like: torch.Tensor) -> Room:
        """Two arrays."""
        return Room.curved(like)

    def distance(
        self,
        a: torch.Tensor,
        b: torch.Tensor,
        theta: torch.Tensor,
        surface: SurfaceLayout,
        out: torch.Tensor | None,
    ) -> torch.Tensor:
        """Root of three times the distance (n, m) between the indices of the rows of a (n, p) and b (m, p)."""
        weight = ROOT3 * theta[surface.metric]
        return torch.sub((a @ weight)[:, None], (b @ weight)[None, :], out=out).abs_()

    def correlation(
        self, a: torch.Tensor, b: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout, room: Room | None
    ) -> torch.Tensor:
        """Matern-3/2."""
        first, second = arrays(room)
        return matern(self.distance(a, b, theta, surface, first), second)[0]

    def columns(
        self, a: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout, room: Room | None
    ) -> torch.Tensor:
        """The line."""
        return line_columns(a, theta, surface)

    def add_gradient(
        self,
        gradient: torch.Tensor,
        slope: torch.Tensor,
        x: torch.Tensor,
        theta: torch.Tensor,
        surface: SurfaceLayout,
        room: Room,
    ) -> None:
        """d correlation / d weight_j = -3 decay (u - u') (x_j - x_j'), u the index."""
        correlation, work = room.both
        variance = add_gradient_of_deviations(gradient, slope, correlation, x, theta, surface)
        weight = work.mul_(slope)
        index = x @ theta[surface.metric]
        gradient[surface.metric] -= 6.0 * variance * (x.T @ (index * weight.sum(1) - weight @ index))

    def rise(
        self,
        x: torch.Tensor,
        seen: torch.Tensor,
        weight: torch.Tensor,
        theta: torch.Tensor,
        surface: SurfaceLayout,
    ) -> torch.Tensor:
        """d correlation / d x_j = 3 decay (u' - u) weight_j."""
        decay = matern(self.distance(seen, x, theta, surface, None), None)[1] * weight[:, None]
        metric = theta[surface.metric]
        bend = (decay.T @ (seen @ metric) - decay.sum(0) * (x @ metric))[:, None] * metric
        return 3.0 * torch.exp(2.0 * theta[surface.bent]) * bend + line_rise(seen, weight, theta, surface)


INDEX = Index()
