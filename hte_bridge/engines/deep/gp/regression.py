"""Gaussian process regression as a candidate for a nuisance, and curves of one covariate each where rows are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from joblib import Parallel, delayed

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.gp.categories import Categories, groups_of
from hte_bridge.engines.deep.gp.covariance import Data
from hte_bridge.engines.deep.gp.laplace import Mode, find_mode, on_more_rows
from hte_bridge.engines.deep.gp.leave_part_out import without_own_part
from hte_bridge.engines.deep.gp.modes import MODES
from hte_bridge.engines.deep.gp.outcome_models import ALONE
from hte_bridge.engines.deep.gp.posterior import Component, KernelPosterior, Model, component
from hte_bridge.engines.deep.gp.sample import even_subset
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.engines.deep.nuisance.crossfit import Learner
from hte_bridge.engines.deep.nuisance.gam import gam
from hte_bridge.engines.deep.nuisance.networks import Predict
from hte_bridge.engines.deep.nuisance.scaler import Scaler
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.study import Folds, Study


@dataclass(frozen=True)
class RegressionRule:
    """When a Gaussian process is a candidate, and on how many rows its hyperparameters are sought."""

    # from here the kernel candidate costs more than it earns, and curves of one covariate each take its place
    most_rows: int = 3_000
    # on which the search begins
    first_rows: int = 200
    # and ends, a few steps later
    rows: int = 400


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
    near: Mode | None = None,
) -> KernelRegression:
    """Gaussian process regression at the most probable scales, as a candidate for a nuisance; ``groups`` are the covariates of the columns.

    They are sought from ``near``, scales found on other rows of the kind, where those are there.
    """
    standard = Scaler.of(x, weight)
    centre = float(np.average(y, weights=weight))
    spread = float(np.sqrt(np.average((y - centre) ** 2, weights=weight))) or 1.0
    noise = torch.as_tensor(weight.mean() / weight)
    loads = torch.ones(1, len(y), dtype=torch.float64)
    categories = Categories.of(groups, standard.centre, standard.spread)
    own = torch.as_tensor(categories(standard(x)))
    rows = Data(own, torch.as_tensor((y - centre) / spread), noise, loads, groups=categories.groups)
    units = Standardisation(standard.centre, standard.spread, centre, spread, turn=categories.turn)
    model = Model.of(ALONE, rows)
    mode = found_scales(model, seed, near)
    return KernelRegression(units, component(1.0, mode.theta, model), mode)


@dataclass(frozen=True, eq=False)
class KernelRegression:
    """A Gaussian process at its most probable scales, as a prediction function."""

    units: Standardisation
    only: Component
    mode: Mode

    def __call__(self, new: Array) -> Array:
        """Prediction (m,) at the rows of ``new`` (m, q)."""
        return KernelPosterior(self.units, (self.only,)).mean(new) + self.units.outcome_mean

    def without_own_part(self, part: Codes) -> Array:
        """Prediction (n,) at each of its own units from those of the other parts, at the same scales."""
        ones = torch.ones(1, len(part), dtype=torch.float64)
        return without_own_part(self.only, ones, part) * self.units.outcome_sd + self.units.outcome_mean


def by_fold(
    study: Study,
    folds: Folds,
    part: Codes,
    seed: int,
    n_jobs: int | None,
    near: Sequence[Mode | None] | None = None,
) -> tuple[Array, Array]:
    """E[T | x] (n,) of each fold by a process of the others; and (K, n, 1) of each of these without its own part, not a number for the fold.

    A process for each fold, whose factor leaves out one part of its units after the other. Its scales have seen the part, but not the fold; they are
    sought from those of ``near``, one for each fold, which have not either.
    """
    begin = near or [None] * folds.n_folds

    def fit(place: int, train: Codes, test: Codes) -> tuple[Array, Array]:
        with threads(1):
            known = study.filled[train], study.treatment[train], study.weight[train]
            model = kernel_learner(*known, seed + place, {}, groups_of(study), begin[place])
            return model(study.filled[test]), model.without_own_part(part[train])

    held, inside = np.zeros(study.n), np.full((folds.n_folds, study.n, 1), np.nan)
    work = (delayed(fit)(place, *fold) for place, fold in enumerate(folds))
    found = Parallel(n_jobs=n_jobs, prefer="threads")(work)
    for place, ((train, test), (outer, inner)) in enumerate(zip(folds, found, strict=True)):
        held[test], inside[place, train, 0] = outer, inner
    return held, inside


def found_scales(model: Model, seed: int, near: Mode | None = None) -> Mode:
    """Scales close to the most probable ones: sought on few rows, or found on others of the kind, and refined on more."""
    first, more = (
        model.rows.take(torch.as_tensor(even_subset(model.rows.n, most, seed)))
        for most in (REGRESSION.first_rows, REGRESSION.rows)
    )
    found = near or find_mode(first, model.scales, max_steps=60, tolerance=MODES.tolerance)
    return found if found.n == more.n and near is None else on_more_rows(found, more, model.scales)
