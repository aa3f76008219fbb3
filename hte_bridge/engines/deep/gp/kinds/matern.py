"""The Matern-3/2 correlation at a distance (Rasmussen and Williams, 2006, Gaussian Processes for Machine Learning, eq. 4.17)."""

from __future__ import annotations

import torch

from hte_bridge.engines.deep.gp.kinds.layout import Room

ROOT3 = 3.0**0.5


def matern(scaled: torch.Tensor, work: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """``(1 + r) exp(-r)`` in place of r (n, m), a distance times the root of three, and ``exp(-r)``, which gradients need."""
    decay = torch.neg(scaled, out=work).exp_()
    return torch.addcmul(decay, scaled, decay, out=scaled), decay


def arrays(room: Room | None) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The two arrays of a room, none where there is none."""
    return (None, None) if room is None else (room.correlation, room.work)
