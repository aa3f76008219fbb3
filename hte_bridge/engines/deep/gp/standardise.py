"""How covariates and outcome were standardised, and how large errors are where they vary with the outcome's level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hte_bridge.arrays import Array, Codes


@dataclass(frozen=True)
class VarianceRange:
    """How far the errors' variance follows a covariate."""

    # sds of a covariate, beyond which the errors' variance stays as it is there
    farthest: float = 3.0


RANGE = VarianceRange()


@dataclass(frozen=True, eq=False)
class VarianceFunction:
    """Standard deviation of the errors as it moves with the level of the outcome.

    Parameters
    ----------
    line : array (q + 1,)
        Log of the variance or, of ``events``, log odds: constant, and slopes of the standardised covariates.
    events : bool
        Whether the outcome has two values, so that its variance is p (1 - p).
    scale : float
        Makes the mean square one over the sample that it comes from.
    """

    line: Array
    events: bool
    scale: float

    def sd(self, x: torch.Tensor) -> torch.Tensor:
        """At standardised covariates x (m, q): (m,)."""
        line = torch.as_tensor(self.line, device=x.device)
        along = line[0] + x.double().clamp(-RANGE.farthest, RANGE.farthest) @ line[1:]
        if self.events:
            along = torch.nn.functional.logsigmoid(along) + torch.nn.functional.logsigmoid(-along)
        return self.scale * torch.exp(0.5 * along)


@dataclass(frozen=True, eq=False)
class Standardisation:
    """How covariates and outcome were standardised, so that answers return in the user's units.

    Parameters
    ----------
    centre, spread : array (k,)
    outcome_mean, outcome_sd : float
    treatment_mean, treatment_sd : float
        Of a dose; zero and one of a binary treatment.
    level : VarianceFunction, optional
        Where errors vary with the level of the outcome.
    turn : array (k, k), optional
        Takes standardised covariates to the columns of the kernel, where some are categories (``categories.py``).
    columns : array (k,), optional
        Which of the q covariates the kernel sees; all by default.
    """

    centre: Array
    spread: Array
    outcome_mean: float
    outcome_sd: float
    level: VarianceFunction | None = None
    turn: Array | None = None
    columns: Codes | None = None
    treatment_mean: float = 0.0
    treatment_sd: float = 1.0

    @property
    def effect_sd(self) -> float:
        """What the model's effect is multiplied by: units of the outcome per unit of treatment."""
        return self.outcome_sd / self.treatment_sd

    def dose(self, treatment: Array) -> Array:
        """Treatments, or their means, as the model sees them."""
        return np.asarray((treatment - self.treatment_mean) / self.treatment_sd)

    def standardise(self, covariates: Array) -> torch.Tensor:
        """Covariates (m, q) as the kernel sees them."""
        seen = covariates if self.columns is None else covariates[:, self.columns]
        plain = (seen - self.centre) / self.spread
        return torch.as_tensor(np.ascontiguousarray(plain if self.turn is None else plain @ self.turn))

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays and JSON values of which it is made."""
        arrays: dict[str, Any] = {"centre": self.centre, "spread": self.spread}
        plain = ("outcome_mean", "outcome_sd", "treatment_mean", "treatment_sd")
        values: dict[str, Any] = {name: getattr(self, name) for name in plain}
        given = {"turn": self.turn, "columns": self.columns}
        arrays |= {name: value for name, value in given.items() if value is not None}
        if self.level is not None:
            arrays["level"] = self.level.line
            values |= {"events": self.level.events, "scale": self.level.scale}
        return arrays, values

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Standardisation:
        """Rebuild what ``state`` took apart."""
        level = (
            VarianceFunction(arrays["level"], values["events"], values["scale"])
            if "level" in arrays
            else None
        )
        plain = arrays["centre"], arrays["spread"], values["outcome_mean"], values["outcome_sd"]
        dose = values["treatment_mean"], values["treatment_sd"]
        return cls(*plain, level, arrays.get("turn"), arrays.get("columns"), *dose)

    def error_sd(self, x: torch.Tensor) -> torch.Tensor:
        """Standard deviation (m,) of the errors at standardised covariates x (m, q), as a multiple of a common one."""
        return x.new_ones(len(x), dtype=torch.float64) if self.level is None else self.level.sd(x)
