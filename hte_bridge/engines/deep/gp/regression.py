"""Gaussian process regression as a candidate for a nuisance, and curves of one covariate each where rows are many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.categories import Categories, groups_of
from hte_bridge.engines.deep.gp.covariance import Data
from hte_bridge.engines.deep.gp.laplace import find_mode, on_more_rows
from hte_bridge.engines.deep.gp.outcome_models import ALONE
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, Model, component
from hte_bridge.engines.deep.gp.sample import even_subset
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.engines.deep.nuisance.crossfit import Learner
from hte_bridge.engines.deep.nuisance.gam import gam
from hte_bridge.engines.deep.nuisance.networks import Predict
from hte_bridge.engines.deep.nuisance.standard import Standard
from hte_bridge.study import Study


@dataclass(frozen=True)
class RegressionRule:
    """When a Gaussian process is a candidate, and on how many rows its hyperparameters are sought."""

    # from here the kernel candidate costs more than it earns, and curves of one covariate each take its place
    most_rows: int = 3_000
    # on which the search begins
    first_rows: int = 200
    # and ends, a few steps later
    rows: int = 400
    # of the search, in shares of the log posterior
    tolerance: float = 1e-4


REGRESSION = RegressionRule()


def smooth_learners(study: Study) -> dict[str, Learner]:
    """With up to 3,000 rows a Gaussian process, with more an additive model."""
    if study.n > REGRESSION.most_rows:
        return {"additive": gam}
    return {"kernel": partial(kernel_learner, groups=groups_of(study))}


def kernel_learner(
    x: Array,
    y: Array,
    weight: Array,
    seed: int,
    before: Mapping[str, Predict],
    groups: tuple[int, ...] = (),
) -> Predict:
    """Gaussian process regression at the most probable scales, as a candidate for a nuisance; ``groups`` are the covariates of the columns."""
    standard = Standard.of(x, weight)
    centre = float(np.average(y, weights=weight))
    spread = float(np.sqrt(np.average((y - centre) ** 2, weights=weight))) or 1.0
    noise = torch.as_tensor(weight.mean() / weight)
    loads = torch.ones(1, len(y), dtype=torch.float64)
    categories = Categories.of(groups, standard.centre, standard.spread)
    own = torch.as_tensor(categories(standard(x)))
    rows = Data(own, torch.as_tensor((y - centre) / spread), noise, loads, groups=categories.groups)
    units = Standardisation(standard.centre, standard.spread, centre, spread, turn=categories.turn)
    model = Model.of(ALONE, rows)
    only = component(1.0, found_scales(model, seed), model)
    return lambda new: KernelPosterior(units, (only,)).mean(new) + centre


def found_scales(model: Model, seed: int) -> Array:
    """Scales (size,) close to the most probable ones: sought on few rows, refined on more."""
    first, more = (
        model.rows.take(torch.as_tensor(even_subset(model.rows.n, most, seed)))
        for most in (REGRESSION.first_rows, REGRESSION.rows)
    )
    found = find_mode(first, model.scales, max_steps=60, tolerance=REGRESSION.tolerance)
    if first.n == more.n:
        return found.theta
    return on_more_rows(found, more, model.scales).theta
