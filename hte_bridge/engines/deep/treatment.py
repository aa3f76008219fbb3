"""The treatment given x, cross-fitted: what is subtracted from it, and the note where it was clipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hte_bridge.engine import Array
from hte_bridge.engines.deep.forms import ALONE
from hte_bridge.engines.deep.kernel import Rows
from hte_bridge.engines.deep.kernel_posterior import KernelPosterior, Model, component
from hte_bridge.engines.deep.mixture import find_mode
from hte_bridge.engines.deep.nets import NetOptions, Predict, Scale, Standard
from hte_bridge.engines.deep.nuisance import CrossFitted, Learner, crossfit, standard_learners
from hte_bridge.engines.deep.units import Units
from hte_bridge.study import Folds, Study

LOWEST_PROPENSITY = 0.01
KERNEL_ROWS = 1_500  # from here the kernel candidate costs more than it earns


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


def kernel_learner(x: Array, y: Array, weight: Array, seed: int, before: Mapping[str, Predict]) -> Predict:
    """Gaussian process regression at the most probable scales, as a candidate for a nuisance."""
    standard = Standard.of(x, weight)
    centre = float(np.average(y, weights=weight))
    spread = float(np.sqrt(np.average((y - centre) ** 2, weights=weight))) or 1.0
    noise = torch.as_tensor(weight.mean() / weight)
    loads = torch.ones(1, len(y), dtype=torch.float64)
    rows = Rows(torch.as_tensor(standard(x)), torch.as_tensor((y - centre) / spread), noise, loads)
    scales = ALONE.scales(x.shape[1], clustered=False)
    units = Units(standard.centre, standard.spread, centre, spread)
    model = Model(ALONE, rows, scales)
    only = component(1.0, find_mode(rows, scales, max_steps=60, tolerance=1e-6).theta, model)
    return lambda new: KernelPosterior(units, (only,)).mean(new) + centre


def learners(scale: Scale, n: int, options: NetOptions, device: str) -> dict[str, Learner]:
    """Constant, linear model and network; with up to 1,500 rows a Gaussian process too."""
    found = standard_learners(scale, options, device)
    return found | {"kernel": kernel_learner} if n <= KERNEL_ROWS else found


def centre_treatment(study: Study, folds: Folds, options: NetOptions, seed: int, device: str) -> Treatment:
    """Cross-fit the treatment on the covariates, or take the propensity that the study knows.

    A probability is kept within [0.01, 0.99] and the note says how many were outside. The variance of a dose is
    cross-fitted from squared residuals, kept above a twentieth of its mean.
    """
    if study.propensity is not None:
        return Treatment(study.propensity, None)
    x, y = study.filled, study.treatment
    scale: Scale = "probability" if study.binary else "mean"
    candidates = learners(scale, study.n, options, device)
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
