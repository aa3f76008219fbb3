"""What kernel models say of the units of one part after the other from those of the others, so that shares of a stack are learned honestly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.gp.laplace import find_mode
from hte_bridge.engines.deep.gp.modes import MODES, Candidate
from hte_bridge.engines.deep.gp.posterior import Component, Model, component, cross
from hte_bridge.engines.deep.gp.sample import even_subset
from hte_bridge.engines.deep.gp.search import ModelSearch


@dataclass(frozen=True)
class PartRule:
    """When hyperparameters are found anew without a part."""

    # units up to which hyperparameters are found anew without each part: with more a part tells little of them
    sought_again_rows: int = 300
    # of such a search, from the scales found with the part
    most_steps: int = 12


PARTS = PartRule()


def mean_without_part(
    first: ModelSearch, best: Candidate, at: Component, propensity: Array, part: Codes, seed: int
) -> Array:
    """E[Y | x] (n,) of each unit from the units of the other parts. Where one part is all there is nothing is left out.

    In a small sample its scales must not have seen the part either: they follow the few units, and shares learned with them go to the kernel alone.
    In a larger one all parts are predicted from one factor, by blocks of the inverse (Rasmussen and Williams, 2006, section 5.4.2).

    Parameters
    ----------
    first : ModelSearch
    best : Candidate
        Found on its few rows.
    at : Component
        At the scales found on all units.
    propensity, part : array (n,)
        Mean of each unit's treatment; code of its part.
    seed : int
        Of the few rows.
    """
    units = first.sample.units
    combination = at.model.form.mean(units.dose(propensity), units.error_sd(at.model.rows.x))
    if len(np.unique(part)) == 1 or len(part) > PARTS.sought_again_rows:
        found = without_own_part(at, combination, part)
    else:
        found = np.empty(len(part))
        for each in np.unique(part):
            own, rest = (torch.as_tensor(np.flatnonzero(where)) for where in (part == each, part != each))
            few = part[even_subset(len(part), best.model.rows.n, seed)] != each
            there = without(first, best, at, rest, torch.as_tensor(np.flatnonzero(few)))
            joint = cross(there.model, at.model.rows.x[own], there.theta, combination[:, own])
            found[own] = (there.solved @ joint).cpu().numpy()
    return found * units.outcome_sd + units.outcome_mean


def without_own_part(at: Component, combination: torch.Tensor, part: Codes) -> Array:
    """A combination (s, n) of the surfaces at each unit (n,), from the units of the other parts, at the same scales."""
    parts = [torch.as_tensor(np.flatnonzero(part == each)) for each in np.unique(part)]
    inverse = torch.cholesky_inverse(at.factor) if len(parts) > 1 else None
    found = torch.empty_like(at.solved)
    for own in parts:  # where one part is all there is nothing is left out
        solved = at.solved if inverse is None else solved_without(at.solved, inverse, own)
        found[own] = solved @ cross(at.model, at.model.rows.x[own], at.theta, combination[:, own])
    return np.asarray(found.cpu().numpy())


def solved_without(solved: torch.Tensor, inverse: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Inverse of the covariance of all units but ``own``, times their outcomes (n,), from that of all; zero at ``own``.

    Examples
    --------
    >>> k = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]]).double()
    >>> y = torch.tensor([1.0, 2.0, 3.0]).double()
    >>> inverse = torch.linalg.inv(k)
    >>> found = solved_without(inverse @ y, inverse, torch.tensor([1]))
    >>> [round(float(each), 9) for each in found], [round(float(each), 9) for each in y[[0, 2]] / 2.0]
    ([0.5, 0.0, 1.5], [0.5, 1.5])
    """
    columns = inverse[:, own]
    found = solved - columns @ torch.linalg.solve(columns[own], solved[own])
    found[own] = 0.0
    return found


def without(
    first: ModelSearch, best: Candidate, at: Component, rest: torch.Tensor, few: torch.Tensor
) -> Component:
    """The model of some units at scales found on some of the few rows, from those found on all of them."""
    form, sought = best.model.form, best.model.rows.take(few)
    mode = find_mode(sought, best.model.scales, best.mode.theta, PARTS.most_steps, MODES.tolerance)
    theta = mode.theta if mode.converged or np.isfinite(mode.value) else best.mode.theta
    return component(1.0, theta + first.shift(best), Model.of(form, at.model.rows.take(rest)))
