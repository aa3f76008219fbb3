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
    has_lengths = True

    def prior(self, p: int, sparse: bool) -> MetricPrior:
        """Centred where two units are .7 lengths apart, in the root of the mean of squares."""
        centre = log(2.0 * sqrt(p))
        return MetricPrior(centre, PRIORS.length_sd, PRIORS.long_sd if sparse else PRIORS.length_sd, centre)

    def ends(self, x: Tensor, theta: Tensor, surface: SurfaceLayout) -> tuple[Tensor, Tensor]:
        """Such that |l - r|^2 = |l|^2 + |r|^2 - 2 l'r is one product of matrices, in lengths over the root of three."""
        scaled = x * (ROOT3 * torch.exp(-surface.spread_out(theta)))
        size = (scaled * scaled).sum(1, keepdim=True)
        one = torch.ones_like(size)
        return torch.cat([scaled, size, one], 1), torch.cat([-2.0 * scaled, one, size], 1)

    def distance(self, left: Tensor, right: Tensor, out: Tensor | None) -> Tensor:
        """Between rows in units of the lengths."""
        return torch.mm(left, right.T, out=out).clamp_(min=0.0).sqrt_()

    def sums(self, slope: Tensor, a: Tensor, b: Tensor, surface: SurfaceLayout, room: Room) -> Tensor:
        """d correlation / d log length_j = 3 decay (x_j - x_j')^2 / length_j^2, summed as products of matrices."""
        first = self.sums_of_deviations(slope, a, b, room)
        weight = room.both[1].mul_(slope)
        spread = weight.sum(1) @ (a * a) + weight.sum(0) @ (b * b) - 2.0 * (a * (weight @ b)).sum(0)
        return torch.cat([first, spread])

    def add_gradient(self, gradient: Tensor, sums: Tensor, theta: Tensor, surface: SurfaceLayout) -> None:
        """The sums times 3 v / length_j^2."""
        variance, rest = self.add_gradient_of_deviations(gradient, sums, theta, surface)
        each = 3.0 * variance * rest * torch.exp(-2.0 * surface.spread_out(theta))
        gradient[surface.metric] += surface.gathered(each)

    def rise(self, x: Tensor, seen: Tensor, weight: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """d correlation / d x_j = 3 decay (x_j' - x_j) / length_j^2."""
        decay = self.decay(seen, x, theta, surface) * weight[:, None]
        bend = torch.exp(-2.0 * surface.spread_out(theta)) * (decay.T @ seen - decay.sum(0)[:, None] * x)
        return 3.0 * torch.exp(2.0 * theta[surface.bent]) * bend + self.line_rise(
            seen, weight, theta, surface
        )


SMOOTH = Smooth()
