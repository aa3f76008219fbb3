"""What each branch of the deep engine (exact kernel, Gram matrix, panel) hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hte_bridge.engine import HeldOut

Array = npt.NDArray[np.float64]


class Posterior(Protocol):
    """Posterior of the effect surface tau(x), for covariates in the study's encoded, filled columns."""

    def moments(self, covariates: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of tau at each row of ``covariates`` (m, q): two arrays (m,)."""

    def draws(self, covariates: Array, n_draws: int, seed: int) -> Array:
        """Joint draws of tau at the rows of ``covariates`` (m, q): array (n_draws, m)."""

    def average(self, covariates: Array, weights: Array) -> tuple[Array, Array]:
        """Means (g,) and covariance (g, g) of the averages ``weights @ tau`` for weights (g, m)."""

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON values from which the branch's ``restore`` rebuilds this posterior bit for bit."""


@dataclass(frozen=True, eq=False)
class Branch:
    """Result of one branch.

    Parameters
    ----------
    kind : str
        ``"kernel"``, ``"gram"`` or ``"panel"``: the switch taken.
    heldout : HeldOut
        Cross-fitted predictions in the study's order.
    posterior : Posterior
        From all rows.
    notes : tuple of str
        Sentences for every row of the table (a net that lost to the linear model, a large nugget...).
    info : mapping
        Diagnostics that JSON can hold: held-out losses, shares of variance, degrees of freedom, seconds.
    converged : bool
        False: no interval is offered, and a note says so.
    structure : mapping
        ``importance`` (q,), ``pairs`` (q, q), and further arrays; empty where none was sought.
    """

    kind: str
    heldout: HeldOut
    posterior: Posterior
    notes: tuple[str, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    converged: bool = True
    structure: Mapping[str, Array] = field(default_factory=dict)
