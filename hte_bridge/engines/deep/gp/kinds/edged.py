"""A surface with edges: a line, and the process that a forest of random trees averages to."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from hte_bridge.arrays import slices
from hte_bridge.engines.deep.gp.kinds.layout import MetricPrior, Room, SurfaceLayout
from hte_bridge.engines.deep.gp.kinds.line import Curved
from hte_bridge.engines.deep.gp.priors import PRIORS

IN_CACHE = 65_536  # numbers of a matrix that stay in a processor's own cache


class Edged(Curved):
    """``exp(-sum_j |x_j - x_j'| / length_j)``, the Mondrian kernel; the metric is the logarithms of the lengths.

    The chance that no cut of a Mondrian forest, at a rate of one per length along each covariate, falls between two units (Balog,
    Lakshminarayanan, Ghahramani, Roy and Teh, 2016, UAI 32). BART's sum of trees has a limit of this kind (Linero, 2017, Statistics and
    Probability Letters 131). Its surfaces are continuous nowhere in their slope: they jump as readily as they bend.
    """

    name = "edged"
    has_lengths = True

    def prior(self, p: int, sparse: bool) -> MetricPrior:
        """Centred where half a cut or so parts two units drawn at random: their distances along p covariates add up."""
        centre = log(2.0 * p)
        return MetricPrior(centre, PRIORS.length_sd, PRIORS.long_sd if sparse else PRIORS.length_sd, centre)

    def ends(self, x: Tensor, theta: Tensor, surface: SurfaceLayout) -> tuple[Tensor, Tensor]:
        """The rows in lengths."""
        scaled = x * torch.exp(-surface.spread_out(theta)).to(x.dtype)
        return scaled, scaled

    def between(self, left: Tensor, right: Tensor, surface: SurfaceLayout, room: Room | None) -> Tensor:
        """The Mondrian kernel."""
        alone, together = by_covariate(surface)
        own = slice(None) if not together else list(alone)
        far = torch.cdist(left[:, own], right[:, own], p=1.0)
        for columns in together.values():
            far.add_(euclidean(left[:, columns], right[:, columns]))
        return torch.neg(far, out=(room or Room()).correlation).exp_()

    def sums(self, slope: Tensor, a: Tensor, b: Tensor, surface: SurfaceLayout, room: Room) -> Tensor:
        """d correlation / d log length_j = correlation |x_j - x_j'| / length_j, some rows and a column at a time."""
        first, (near, work) = self.sums_of_deviations(slope, a, b, room), room.both
        weight, moved = near.mul_(slope), slope.new_zeros(surface.p)
        alone, together = by_covariate(surface)
        left, right = (each.T[list(alone)].contiguous() for each in (a, b))
        step = max(1, IN_CACHE // max(1, len(b)))
        for here in slices(len(a), step):
            own, room_here = weight[here].view(-1), work[here]
            for u, v, place in zip(left, right, alone.values(), strict=True):
                apart = torch.sub(u[here, None], v[None, :], out=room_here).abs_()
                moved[place] += torch.dot(apart.view(-1), own)
        for place, columns in together.items():
            moved[place] = torch.dot(euclidean(a[:, columns], b[:, columns]).view(-1), weight.view(-1))
        return torch.cat([first, moved])

    def add_gradient(self, gradient: Tensor, sums: Tensor, theta: Tensor, surface: SurfaceLayout) -> None:
        """The sums times v / length_j."""
        variance, rest = self.add_gradient_of_deviations(gradient, sums, theta, surface)
        gradient[surface.metric] += variance * torch.exp(-theta[surface.metric]) * rest

    def rise(self, x: Tensor, seen: Tensor, weight: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """d correlation / d x_j = correlation sign(x_j' - x_j) / length_j, but at the units themselves, where it has a kink.

        Along a category it goes straight to the other level.
        """
        near = self.correlation(seen, x, theta, surface) * weight[:, None]
        inverse, bend = torch.exp(-theta[surface.metric]), torch.zeros_like(x)
        alone, together = by_covariate(surface)
        for column, place in alone.items():
            way = torch.sign(seen[:, column, None] - x[None, :, column])
            bend[:, column] = (near * way).sum(0) * inverse[place]
        for place, columns in together.items():
            pull = near / euclidean(seen[:, columns], x[:, columns]).clamp(min=1e-12)
            way = pull.T @ seen[:, columns] - pull.sum(0)[:, None] * x[:, columns]
            bend[:, columns] = way * inverse[place]
        return torch.exp(2.0 * theta[surface.bent]) * bend + self.line_rise(seen, weight, theta, surface)


def by_covariate(surface: SurfaceLayout) -> tuple[dict[int, int], dict[int, list[int]]]:
    """Of each column that is all of a covariate its place in the metric, and of each category's place its columns."""
    groups = surface.groups or tuple(range(surface.p))
    alone = {column: place for column, place in enumerate(groups) if groups.count(place) == 1}
    several = [place for place in dict.fromkeys(groups) if groups.count(place) > 1]
    return alone, {place: [k for k, own in enumerate(groups) if own == place] for place in several}


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Distance (n, m) between rows of a and b, exactly zero where they are the same: levels of a category are all as far from one another."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


EDGED = Edged()
