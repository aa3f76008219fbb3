"""Trained networks of tau(x) and mu(x), as they are kept and asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from hte_bridge.arrays import Array, slices
from hte_bridge.engines.deep.store.checkpoint import Format

Inputs = Literal["plain", "ramps"]
CHUNK_POINTS = 16_384


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several trained networks of one kind, each with a linear part.

    Parameters
    ----------
    at : tuple of array
        Knots of each covariate, where its ramps are shown beside it.
    layers : tuple of array
        Weights (E, in, out) and shifts (E, 1, out), layer after layer: those of tau, then those of mu.
    slopes : array (2, q + 1)
        Linear part of tau and of mu: constant, then slopes.
    scale : float
        Of the networks' output.
    """

    at: tuple[Array, ...]
    layers: tuple[npt.NDArray[np.float32], ...]
    slopes: Array
    scale: float

    def surfaces(self, z: Array) -> tuple[Array, Array]:
        """Tau and mu (m,) at standardised points (m, q), averaged over the networks."""
        tau, mu = self._at(z, (0, 1))
        return tau, mu

    def tau(self, z: Array) -> Array:
        """Tau alone."""
        return self._at(z, (0,))[0]

    def mu(self, z: Array) -> Array:
        """Mu alone."""
        return self._at(z, (1,))[0]

    def _at(self, z: Array, which: tuple[int, ...]) -> Array:
        found = np.empty((len(which), len(z)))
        with torch.no_grad():
            tensors = [torch.as_tensor(each) for each in self.layers]
            half = len(tensors) // 2
            for here in slices(len(z), CHUNK_POINTS):
                part = torch.as_tensor(z[here], dtype=torch.float32)
                shown = encode(part, self.at)[None]
                for place, k in enumerate(which):
                    own = tensors[k * half : (k + 1) * half]
                    values = forward(shown.expand(len(own[0]), -1, -1), own).mean(dim=0)
                    found[place, here] = values.numpy()
        slopes = self.slopes[list(which)]
        return np.asarray(self.scale * found + slopes[:, [0]] + slopes[:, 1:] @ z.T)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays and JSON values from which ``restore`` rebuilds the ensemble."""
        arrays: dict[str, Any] = {f"layer{k}": each for k, each in enumerate(self.layers)}
        arrays |= {f"at{k}": each for k, each in enumerate(self.at)} | {"slopes": self.slopes}
        values = {"layers": len(self.layers), "at": len(self.at), "scale": self.scale}
        return arrays, values

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Ensemble:
        """Rebuild what ``state`` took apart."""
        at = tuple(arrays[f"at{k}"] for k in range(values["at"]))
        layers = tuple(arrays[f"layer{k}"] for k in range(values["layers"]))
        return cls(at, layers, arrays["slopes"], values["scale"])


ENSEMBLE = Format(Ensemble.state, Ensemble.restore)


def encode(z: torch.Tensor, at: tuple[Array, ...]) -> torch.Tensor:
    """Standardised points (m, q) as they are, followed by their ramps where there are knots."""
    if not at:
        return z
    parts = [z]
    for j, own in enumerate(at):
        lower = torch.as_tensor(own[:-1], dtype=z.dtype, device=z.device)
        width = torch.as_tensor(np.diff(own), dtype=z.dtype, device=z.device)
        parts.append(((z[:, [j]] - lower) / width).clamp(0, 1))
    return torch.cat(parts, dim=1)


def forward(x: torch.Tensor, layers: list[torch.Tensor]) -> torch.Tensor:
    """Outputs (E, m) of E networks at their inputs (E, m, c)."""
    for k in range(0, len(layers), 2):
        x = torch.baddbmm(layers[k + 1], x, layers[k])
        if k < len(layers) - 2:
            x = torch.nn.functional.silu(x)
    return x[..., 0]


def ensemble_columns(ensembles: Sequence[Ensemble], z: Array) -> Array:
    """Tau of each ensemble, then the mean of their mu."""
    surfaces = [each.surfaces(z) for each in ensembles]
    taus, mus = zip(*surfaces, strict=True)
    return np.column_stack([*taus, np.mean(mus, axis=0)])
