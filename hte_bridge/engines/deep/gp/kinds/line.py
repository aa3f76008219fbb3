"""What smooth, edged and index surfaces have in common: a linear part beside their curved one."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hte_bridge.engines.deep.gp.kinds.layout import Kind, Room, SurfaceLayout


class Curved(Kind):
    """A line, and a process whose correlation is one at distance zero."""

    curved = True
    # whether its metric is the logarithms of lengths, to which slopes are tied
    has_lengths: ClassVar[bool] = False

    def room(self, x: Tensor, like: Tensor) -> Room:
        """Two arrays."""
        return Room(torch.empty_like(like), torch.empty_like(like))

    def shares(self, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """Shares (p,) of the covariates in the line's variance, which sum to one and go with one over their lengths.

        Most covariates hardly bend a surface, and such a one hardly tilts it either: with a slope of its own for each of a dozen, of the same size
        beforehand, two thirds of an interval may come from those that do not matter.
        """
        if not self.ties(surface):
            return theta.new_full((surface.p,), 1.0 / surface.p)
        return torch.softmax(-theta[surface.metric], 0)

    def ties(self, surface: SurfaceLayout) -> bool:
        """Whether slopes are tied to lengths."""
        return self.has_lengths and surface.tied

    def columns(self, a: Tensor, theta: Tensor, surface: SurfaceLayout, room: Room | None) -> Tensor:
        """The line: its variance is that of its sd at standardised covariates, on average."""
        sds = torch.exp(theta[surface.linear]) * surface.spread(self.shares(theta, surface)).sqrt()
        return a * sds.to(a.dtype)

    def sums_of_deviations(self, slope: Tensor, a: Tensor, b: Tensor, room: Room) -> Tensor:
        """The first sums, of which the slopes by the line's shares (q columns) and by the curved part's log sd are multiples."""
        line = (a * (slope @ b)).sum(0)
        return torch.cat([line, torch.dot(slope.view(-1), room.both[0].view(-1))[None]])

    def add_gradient_of_deviations(
        self, gradient: Tensor, sums: Tensor, theta: Tensor, surface: SurfaceLayout
    ) -> tuple[Tensor, Tensor]:
        """Add the slopes by the two log sds and by the line's shares; return the curved part's variance and the sums that are left."""
        variances, q = torch.exp(2.0 * theta[surface.linear : surface.bent + 1]), surface.columns
        share = self.shares(theta, surface)
        each = variances[0] * share * surface.gathered(sums[:q])
        gradient[surface.linear] += 2.0 * each.sum()
        gradient[surface.bent] += 2.0 * variances[1] * sums[q]
        if self.ties(surface):
            gradient[surface.metric] += share * each.sum() - each
        return variances[1], sums[q + 1 :]

    def line_rise(self, seen: Tensor, weight: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """Gradient (q,), the same everywhere, of the weighted sum (n,) of the line's covariance with rows ``seen`` (n, q)."""
        each = torch.exp(2.0 * theta[surface.linear]) * surface.spread(self.shares(theta, surface))
        return each * (weight @ seen)
