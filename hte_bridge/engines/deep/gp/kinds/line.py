"""What smooth, edged and index surfaces have in common: a linear part beside their curved one."""

from __future__ import annotations

import torch
from torch import Tensor

from hte_bridge.engines.deep.gp.kinds.layout import Kind, Room, SurfaceLayout


class Curved(Kind):
    """A line, and a process whose correlation is one at distance zero."""

    curved = True

    def room(self, x: Tensor, like: Tensor) -> Room:
        """Two arrays."""
        return Room(torch.empty_like(like), torch.empty_like(like))

    def columns(self, a: Tensor, theta: Tensor, surface: SurfaceLayout, room: Room | None) -> Tensor:
        """The line: its variance is that of its sd at standardised covariates, on average."""
        return a * (torch.exp(theta[surface.linear]) * surface.p**-0.5)

    def sums_of_deviations(self, slope: Tensor, a: Tensor, b: Tensor, room: Room) -> Tensor:
        """The first two sums, of which the slopes by the two log sds are multiples."""
        line = torch.dot((slope @ b).view(-1), a.reshape(-1))
        return torch.stack([line, torch.dot(slope.view(-1), room.both[0].view(-1))])

    def add_gradient_of_deviations(
        self, gradient: Tensor, sums: Tensor, theta: Tensor, surface: SurfaceLayout
    ) -> Tensor:
        """Add the slopes by the two log sds, and return the curved part's variance."""
        variances = torch.exp(2.0 * theta[surface.linear : surface.bent + 1])
        each = 2.0 * variances * sums[:2]
        gradient[surface.linear] += each[0] / surface.p
        gradient[surface.bent] += each[1]
        return variances[1]

    def line_rise(self, seen: Tensor, weight: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """Gradient (p,), the same everywhere, of the weighted sum (n,) of the line's covariance with rows ``seen`` (n, p)."""
        return torch.exp(2.0 * theta[surface.linear]) / surface.p * (weight @ seen)
