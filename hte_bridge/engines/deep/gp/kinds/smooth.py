"""A smooth surface: a line, and a Matern-3/2 process with one length per covariate."""

from __future__ import annotations

from math import log, sqrt
from typing import ClassVar

import torch

from hte_bridge.engines.deep.gp.kinds.layout import KindName, MetricPrior, Room, SurfaceLayout
from hte_bridge.engines.deep.gp.kinds.line import add_gradient_of_deviations, line_columns, line_rise
from hte_bridge.engines.deep.gp.kinds.matern import ROOT3, arrays, matern
from hte_bridge.engines.deep.gp.priors import PRIORS


class Smooth:
    """Matern-3/2 with a length per covariate (Rasmussen and Williams, 2006, eqs. 4.17 and 5.9); the metric is their logarithms."""

    # as outcome models call it
    name: ClassVar[KindName] = "smooth"
    # whether it has a correlation beside its explicit columns
    curved: ClassVar[bool] = True

    def width(self, p: int, columns: int) -> int:
        """A length for each covariate."""
        return p

    def prior(self, p: int, sparse: bool) -> MetricPrior:
        """Centred where two units are .7 lengths apart, in the root of the mean of squares."""
        centre = log(2.0 * sqrt(p))
        return MetricPrior(centre, PRIORS.length_sd, PRIORS.long_sd if sparse else PRIORS.length_sd, centre)

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
        """Root of three times the distance (n, m) between the rows of a (n, p) and b (m, p)."""
        inverse = ROOT3 * torch.exp(-surface.spread_out(theta))
        left, right = a * inverse, b * inverse
        ends = (left * left).sum(1, keepdim=True), (right * right).sum(1, keepdim=True)
        # |l - r|^2 = |l|^2 + |r|^2 - 2 l'r as one product of matrices
        left = torch.cat([left, ends[0], torch.ones_like(ends[0])], 1)
        right = torch.cat([-2.0 * right, torch.ones_like(ends[1]), ends[1]], 1)
        return torch.mm(left, right.T, out=out).clamp_(min=0.0).sqrt_()

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
        """d correlation / d log length_j = 3 decay (x_j - x_j')^2 / length_j^2, summed as two products of matrices."""
        correlation, work = room.both
        variance = add_gradient_of_deviations(gradient, slope, correlation, x, theta, surface)
        weight = work.mul_(slope)
        spread = 2.0 * (weight.sum(1) @ (x * x) - (x * (weight @ x)).sum(0))
        each = 3.0 * variance * spread * torch.exp(-2.0 * surface.spread_out(theta))
        gradient[surface.metric] += surface.gathered(each)

    def rise(
        self,
        x: torch.Tensor,
        seen: torch.Tensor,
        weight: torch.Tensor,
        theta: torch.Tensor,
        surface: SurfaceLayout,
    ) -> torch.Tensor:
        """d correlation / d x_j = 3 decay (x_j' - x_j) / length_j^2."""
        decay = matern(self.distance(seen, x, theta, surface, None), None)[1] * weight[:, None]
        bend = torch.exp(-2.0 * surface.spread_out(theta)) * (decay.T @ seen - decay.sum(0)[:, None] * x)
        return 3.0 * torch.exp(2.0 * theta[surface.bent]) * bend + line_rise(seen, weight, theta, surface)


SMOOTH = Smooth()
