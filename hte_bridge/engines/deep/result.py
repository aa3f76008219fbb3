"""What each route of the deep engine (Gaussian process, basis of features, panel) hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from hte_bridge.arrays import Array
from hte_bridge.engine import HeldOut


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
class FullFit:
    """What the fit to all rows found.

    Parameters
    ----------
    posterior : Posterior
    info : mapping
        Its diagnostics that JSON can hold: forms, draws, noise, seconds.
    converged : bool
        False: no interval is offered, and a note says so.
    structure : mapping or callable
        Or what makes it when it is first asked for. ``pairs`` (q, q) and ``pairs_sd``: strength of each pair, and its spread; empty where none was sought.
    """

    posterior: Posterior
    info: Mapping[str, Any] = field(default_factory=dict)
    converged: bool = True
    structure: Mapping[str, Array] | Callable[[], Mapping[str, Array]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Branch:
    """Result of one branch.

    Parameters
    ----------
    kind : str
        ``"kernel"``, ``"gram"``, ``"panel"`` or ``"stream"``: the switch taken.
    heldout : HeldOut
        Cross-fitted predictions in the study's order.
    fitted : FullFit or callable
        The fit to all rows, or what makes it when it is first asked for: the rows of a table need the held-out predictions alone.
    notes : tuple of str
        Sentences for every row of the table (a net that lost to the linear model, a large nugget...).
    info : mapping
        Diagnostics that JSON can hold: held-out losses, shares of variance, degrees of freedom, seconds.
    """

    kind: str
    heldout: HeldOut
    fitted: FullFit | Callable[[], FullFit]
    notes: tuple[str, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def full(self) -> FullFit:
        """The fit to all rows, made at the first call."""
        return self.fitted() if callable(self.fitted) else self.fitted

    @property
    def at_once(self) -> bool:
        """Whether the fit to all rows came with the held-out predictions, and does not wait to be asked for."""
        return not callable(self.fitted)

    @property
    def posterior(self) -> Posterior:
        """Posterior from all rows."""
        return self.full.posterior

    @property
    def converged(self) -> bool:
        """Whether the fit to all rows ended at a mode."""
        return self.full.converged

    @cached_property
    def structure(self) -> Mapping[str, Array]:
        """What the fit to all rows says of covariates and pairs."""
        found = self.full.structure
        return found() if callable(found) else found
