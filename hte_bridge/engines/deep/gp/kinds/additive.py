"""A sum of curves: a line and a smoothing spline of each covariate (``splines.py``), all of it explicit columns."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from hte_bridge.engines.deep.gp.kinds.layout import Kind, MetricPrior, Room, SurfaceLayout
from hte_bridge.engines.deep.gp.priors import PRIORS
from hte_bridge.engines.deep.gp.splines import PER_COVARIATE, functions, slopes


class Additive(Kind):
    """Functions of one covariate each (Hastie and Tibshirani, 1990, Generalized Additive Models).

    The two sds are those that their linear and their curved parts have in common, the metric the log weights of the covariates.
    """

    name = "additive"
    curved = False

    def prior(self, p: int, sparse: bool) -> MetricPrior:
        """Most covariates are thought to have a weight near none."""
        centre = -0.5 * log(p)
        return MetricPrior(centre, PRIORS.faint_sd, PRIORS.strong_sd, centre)

    def room(self, x: Tensor, like: Tensor) -> Room:
        """The functions at the rows."""
        return Room(shapes=functions(x))

    def ends(self, x: Tensor, theta: Tensor, surface: SurfaceLayout) -> tuple[Tensor, Tensor]:
        """The rows."""
        return x, x

    def between(self, left: Tensor, right: Tensor, surface: SurfaceLayout, room: Room | None) -> Tensor:
        """None: what it adds to explicit columns is nothing."""
        return left.new_zeros(len(left), len(right))

    def sds(self, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """Prior sds (p, ``PER_COVARIATE``) of the functions' coefficients; a category has no curved ones."""
        common = theta[[surface.linear] + [surface.bent] * (PER_COVARIATE - 1)]
        found = torch.exp(surface.spread_out(theta)[:, None] + common)
        if surface.groups:
            found[:, 1:] *= found.new_tensor(surface.curving)[:, None]
        return found

    def columns(self, a: Tensor, theta: Tensor, surface: SurfaceLayout, room: Room | None) -> Tensor:
        """The functions times their coefficients' sds."""
        shapes = functions(a) if room is None or room.shapes is None else room.shapes[-len(a) :]
        return (shapes * self.sds(theta, surface).to(a.dtype)).flatten(1)

    def sums(self, slope: Tensor, a: Tensor, b: Tensor, surface: SurfaceLayout, room: Room) -> Tensor:
        """Each function's share of the covariance."""
        assert room.shapes is not None
        right = room.shapes.flatten(1)
        return (right[-len(a) :] * (slope @ right)).sum(0)

    def add_gradient(self, gradient: Tensor, sums: Tensor, theta: Tensor, surface: SurfaceLayout) -> None:
        """It goes with the square of its coefficient's sd."""
        each = 2.0 * sums.view(surface.columns, PER_COVARIATE) * self.sds(theta, surface).square()
        gradient[surface.linear] += each[:, 0].sum()
        gradient[surface.bent] += each[:, 1:].sum()
        gradient[surface.metric] += surface.gathered(each.sum(1))

    def rise(self, x: Tensor, seen: Tensor, weight: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """The functions' own derivatives."""
        sds = self.sds(theta, surface)
        return (slopes(x) * sds**2 * torch.einsum("n,npk->pk", weight, functions(seen))).sum(-1)


ADDITIVE = Additive()
