"""A smooth surface: a line, and a Matern-3/2 process with one length per covariate."""

from __future__ import annotations

from math import log, sqrt

import torch
from torch import Tensor

from hte_bridge.engines.deep.gp.kinds.layout import MetricPrior, Room, SurfaceLayout
from hte_bridge.engines.deep.gp.kinds.matern import ROOT3, Matern
from hte_bridge.engines.deep.gp.priors import PRIORS


class Smooth(Matern):
    """Matern-3/2 with a length per covariate (Rasmussen and Williams, 2006, eqs. 4.17 and 5.9); the metric is their logarithms."""

    name = "smooth"

    def prior(self, p: int, sparse: bool) -> MetricPrior:
        """Centred where two units are .7 lengths apart, in the root of the mean of squares."""
        centre = log(2.0 * sqrt(p))
        return MetricPrior(centre, PRIORS.length_sd, PRIORS.long_sd if sparse else PRIORS.length_sd, centre)

    def distance(
        self, a: Tensor, b: Tensor, theta: Tensor, surface: SurfaceLayout, out: Tensor | None
    ) -> Tensor:
        """Between rows in units of the lengths."""
        inverse = ROOT3 * torch.exp(-surface.spread_out(theta))
        left, right = a * inverse, b * inverse
        ends = (left * left).sum(1, keepdim=True), (right * right).sum(1, keepdim=True)
        # |l - r|^2 = |l|^2 + |r|^2 - 2 l'r as one product of matrices
        left = torch.cat([left, ends[0], torch.ones_like(ends[0])], 1)
        right = torch.cat([-2.0 * right, torch.ones_like(ends[1]), ends[1]], 1)
        return torch.mm(left, right.T, out=out).clamp_(min=0.0).sqrt_()

    def add_gradient(
        self, gradient: Tensor, slope: Tensor, x: Tensor, theta: Tensor, surface: SurfaceLayout, room: Room
    ) -> None:
        """d correlation / d log length_j = 3 decay (x_j - x_j')^2 / length_j^2, summed as two products of matrices."""
        variance = self.add_gradient_of_deviations(gradient, slope, x, theta, surface, room)
        weight = room.both[1].mul_(slope)
        spread = 2.0 * (weight.sum(1) @ (x * x) - (x * (weight @ x)).sum(0))
        each = 3.0 * variance * spread * torch.exp(-2.0 * surface.spread_out(theta))
        gradient[surface.metric] += surface.gathered(each)

    def rise(self, x: Tensor, seen: Tensor, weight: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """d correlation / d x_j = 3 decay (x_j' - x_j) / length_j^2."""
        decay = self.decay(seen, x, theta, surface) * weight[:, None]
        bend = torch.exp(-2.0 * surface.spread_out(theta)) * (decay.T @ seen - decay.sum(0)[:, None] * x)
        return 3.0 * torch.exp(2.0 * theta[surface.bent]) * bend + self.line_rise(
            seen, weight, theta, surface
        )


SMOOTH = Smooth()
