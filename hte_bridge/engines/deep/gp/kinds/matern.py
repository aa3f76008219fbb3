"""Surfaces whose curved part is a Matern-3/2 process of a distance (Rasmussen and Williams, 2006, Gaussian Processes for Machine Learning, eq. 4.17)."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from hte_bridge.engines.deep.gp.kinds.layout import Room, SurfaceLayout
from hte_bridge.engines.deep.gp.kinds.line import Curved

ROOT3 = 3.0**0.5


class Matern(Curved):
    """A line and a Matern-3/2 process."""

    @abstractmethod
    def distance(self, left: Tensor, right: Tensor, out: Tensor | None) -> Tensor:
        """Root of three times the distance (n, m) between rows as ``ends`` has them."""

    def between(self, left: Tensor, right: Tensor, surface: SurfaceLayout, room: Room | None) -> Tensor:
        """Of the distance."""
        own = room or Room()
        return matern(self.distance(left, right, own.correlation), own.work)[0]

    def decay(self, a: Tensor, b: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """``exp`` of minus the distance (n, m), which gradients need."""
        left, right = self.ends(a, theta, surface)[0], self.ends(b, theta, surface)[1]
        return matern(self.distance(left, right, None), None)[1]


def matern(scaled: Tensor, work: Tensor | None) -> tuple[Tensor, Tensor]:
    """``(1 + r) exp(-r)`` in place of r (n, m), a distance times the root of three, and ``exp(-r)``."""
    decay = torch.neg(scaled, out=work).exp_()
    return torch.addcmul(decay, scaled, decay, out=scaled), decay
