"""The treatment given x, cross-fitted: what is subtracted from it, and the note where it was clipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from hte_bridge.engine import Array
from hte_bridge.engines.deep.additive import additive
from hte_bridge.engines.deep.categories import Categories, groups_of
from hte_bridge.engines.deep.forms import ALONE
from hte_bridge.engines.deep.kernel import Rows
from hte_bridge.engines.deep.kernel_posterior import KernelPosterior, Model, component
from hte_bridge.engines.deep.mixture import find_mode
from hte_bridge.engines.deep.nets import NetOptions, Predict, Scale, Standard
from hte_bridge.engines.deep.nuisance import CrossFitted, Learner, crossfit, left_out_twice, standard_learners
from hte_bridge.engines.deep.units import Units
from hte_bridge.study import Codes, Folds, Study

LOWEST_PROPENSITY = 0.01
MOST_PARTS = 5  # of the rows, each left out beside a fold: with many folds fits would go with the square of their number
KERNEL_ROWS = 1_500  # from here the kernel candidate costs more than it earns, and curves of one covariate each take its place


@dataclass(frozen=True, eq=False)
class Treatment:
    """E[T | x] and Var(T | x) of each unit, by models that did not see it.

    Parameters
    ----------
    mean : array (n,)
    variance : array (n,), optional
        ``None`` for a binary treatment, where it follows from the mean.
    notes : tuple of str
    crossfitted : CrossFitted, optional
        ``None`` where the propensity is known.
    """

    mean: Array
    variance: Array | None
    notes: tuple[str, ...] = ()
    crossfitted: CrossFitted | None = None


def halves(study: Study, folds: Folds) -> Codes:
    """Each of two folds in two: clusters whole, else arm by arm. Code (n,) of the half of each unit."""
    half = np.empty(study.n, dtype=np.int64)
    for k, (_, own) in enumerate(folds):
        unit = (
            study.cluster[own]
            if study.clustered
            else np.argsort(np.argsort(study.treatment[own], kind="stable"))
        )
        half[own] = 2 * k + np.unique(unit, return_inverse=True)[1] % 2
    return half


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
    rows = Rows(own, torch.as_tensor((y - centre) / spread), noise, loads, groups=categories.groups)
    units = Units(standard.centre, standard.spread, centre, spread, turn=categories.turn)
    model = Model.of(ALONE, rows)
    only = component(1.0, find_mode(rows, model.scales, max_steps=60, tolerance=1e-6).theta, model)
    return lambda new: KernelPosterior(units, (only,)).mean(new) + centre


def learners(
    scale: Scale, n: int, options: NetOptions, device: str, groups: tuple[int, ...] = ()
) -> dict[str, Learner]:
    """Constant, linear model and network; with up to 1,500 rows a Gaussian process too, with more an additive model."""
    found = standard_learners(scale, options, device)
    if n > KERNEL_ROWS:
        return found | {"additive": additive}
    return found | {"kernel": partial(kernel_learner, groups=groups)}


def mean_without(
    study: Study,
    folds: Folds,
    treatment: Treatment,
    options: NetOptions,
    seed: int,
    device: str,
    n_jobs: int | None,
) -> Array:
    """E[T | x] of each unit (K, n) by models that saw neither it nor, in row k, fold k; the known one where it is known.

    What predicts fold k is fitted to the outcomes of the others, their treatments centred. Cross-fitted in the usual way, e-hat of a unit j
    there has seen T of the units of fold k; where T was one, e-hat is higher around it, Y - (T - e-hat) tau too, and with it E[Y | x] predicted at
    the very unit whose T was one. Doubly robust scores then miss the average effect by a share of it, on average: the
    effective parameters of e-hat over n.
    """
    if treatment.crossfitted is None:
        return np.tile(treatment.mean, (folds.n_folds, 1))
    scale: Scale = "probability" if study.binary else "mean"
    candidates = learners(scale, study.n, options, device, groups_of(study))
    part = folds.fold % MOST_PARTS if folds.n_folds > 2 else halves(study, folds)
    found = left_out_twice(
        study.filled,
        study.treatment,
        folds.fold,
        part,
        candidates,
        weight=study.weight,
        seed=seed,
        n_jobs=n_jobs,
    )
    if study.binary:
        found = np.clip(found, LOWEST_PROPENSITY, 1 - LOWEST_PROPENSITY)
    return np.where(np.isnan(found), treatment.mean, found)


def centre_treatment(study: Study, folds: Folds, options: NetOptions, seed: int, device: str) -> Treatment:
    """Cross-fit the treatment on the covariates, or take the propensity that the study knows.

    A probability is kept within [0.01, 0.99] and the note says how many were outside. The variance of a dose is
    cross-fitted from squared residuals, kept above a twentieth of its mean.
    """
    if study.propensity is not None:
        return Treatment(study.propensity, None)
    x, y = study.filled, study.treatment
    scale: Scale = "probability" if study.binary else "mean"
    candidates = learners(scale, study.n, options, device, groups_of(study))
    fit = crossfit(x, y, folds.fold, candidates, weight=study.weight, seed=seed, name="propensity")
    verdict = fit.verdict("the treatment")
    notes: tuple[str, ...] = (verdict,) if verdict else ()
    if study.binary:
        mean = np.clip(fit.prediction, LOWEST_PROPENSITY, 1 - LOWEST_PROPENSITY)
        outside = int((mean != fit.prediction).sum())
        if outside:
            notes += (
                f"{outside:,} of {study.n:,} propensities lay outside [0.01, 0.99] and were set to its ends.",
            )
        return Treatment(mean, None, notes, fit)
    squares = (y - fit.prediction) ** 2
    simple = standard_learners("mean", options, device)
    spread = crossfit(
        x, squares, folds.fold, simple, weight=study.weight, seed=seed + 1, name="variance of treatment"
    )
    floor = 0.05 * float(np.average(squares, weights=study.weight))
    return Treatment(fit.prediction, np.maximum(spread.prediction, floor), notes, fit)
