"""Centre and spread of covariates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hte_bridge.arrays import Array


@dataclass(frozen=True, eq=False)
class Scaler:
    """Centre and spread of each covariate; a covariate with one value has spread 1."""

    centre: Array
    spread: Array

    @classmethod
    def of(cls, x: Array, weight: Array | None = None) -> Scaler:
        """From the rows of x (n, p), weighted."""
        centre = np.average(x, axis=0, weights=weight)
        spread = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=weight))
        return cls(centre, np.where(spread > 1e-12 * (1 + np.abs(centre)), spread, 1.0))

    def __call__(self, x: Array) -> Array:
        return np.asarray((x - self.centre) / self.spread)
