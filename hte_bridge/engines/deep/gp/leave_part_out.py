"""What kernel models say of the units of one part after the other from those of the others, so that shares of a stack are learned honestly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.gp.laplace import find_mode
from hte_bridge.engines.deep.gp.modes import Candidate
from hte_bridge.engines.deep.gp.posterior import Component, Model, component, cross
from hte_bridge.engines.deep.gp.sample import even_subset
from hte_bridge.engines.deep.gp.search import SEARCH, ModelSearch


@dataclass(frozen=True)
class PartRule:
    """When hyperparameters are found anew without a part."""

    # units up to which hyperparameters are found anew without each part: with more a part tells little of them
    sought_again_rows: int = 1_000
    # of such a search, from the scales found with the part
    most_steps: int = 12


PARTS = PartRule()


def mean_without_part(
    first: ModelSearch, best: Candidate, at: Component, propensity: Array, part: Codes, seed: int
) -> Array:
    """E[Y | x] (n,) of each unit from the units of the other parts. Where one part is all there is nothing is left out.

    Its scales must not have seen the part either: they follow the few units of a small sample, and shares learned with them go to the kernel alone.

    Parameters
    ----------
    first : Begun
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
    found = torch.empty_like(at.solved)
    several = len(np.unique(part)) > 1
    for each in np.unique(part):
        own = torch.as_tensor(np.flatnonzero(part == each))
        rest = torch.as_tensor(np.flatnonzero(part != each)) if several else own
        few = part[even_subset(len(part), best.model.rows.n, seed)] != each
        if several and len(part) <= PARTS.sought_again_rows:
            there = without(first, best, at, rest, torch.as_tensor(np.flatnonzero(few)))
        else:
            there = component(1.0, at.theta.cpu().numpy(), Model.of(at.model.form, at.model.rows.take(rest)))
        joint = cross(there.model, at.model.rows.x[own], there.theta, combination[:, own])
        found[own] = there.solved @ joint
    return np.asarray(found.cpu().numpy() * units.outcome_sd + units.outcome_mean)


def without(
    first: ModelSearch, best: Candidate, at: Component, rest: torch.Tensor, few: torch.Tensor
) -> Component:
    """The model of some units at scales found on some of the few rows, from those found on all of them."""
    form, sought = best.model.form, best.model.rows.take(few)
    mode = find_mode(sought, best.model.scales, best.mode.theta, PARTS.most_steps, SEARCH.tolerance)
    theta = mode.theta if mode.converged or np.isfinite(mode.value) else best.mode.theta
    return component(1.0, theta + first.shift(best), Model.of(form, at.model.rows.take(rest)))
