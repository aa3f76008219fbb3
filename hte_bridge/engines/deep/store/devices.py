"""Where a fit computes: the device that its options ask for."""

from __future__ import annotations

import torch

from hte_bridge.engines.deep.options import Options
from hte_bridge.errors import InvalidOption


def device_of(options: Options) -> str:
    """Device of the networks: CUDA where ``auto`` finds it.

    Raises
    ------
    InvalidOption
        If the device asked for is not there.
    """
    wanted = options.device
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there[wanted]:
        raise InvalidOption(
            f"`device` must be one that this machine has. {wanted!r} was asked for and is not there. Use `auto`."
        )
    return wanted


def doubles_on(options: Options) -> str:
    """Device of what needs double precision: MPS has none, so that the CPU stands in."""
    found = device_of(options)
    return "cpu" if found == "mps" else found
