"""The exact Gaussian process, for cross-sections of some thousand rows: the steps of a fit in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.basis.interactions import INTERACTIONS, average, probe
from hte_bridge.engines.deep.gp.heldout import (
    FoldPrediction,
    held_out,
    most_probable,
    other_means,
    predict_fold,
    stacked,
)
from hte_bridge.engines.deep.gp.leave_part_out import PARTS
from hte_bridge.engines.deep.gp.model_average import mixed_posterior
from hte_bridge.engines.deep.gp.posterior import KernelPosterior
from hte_bridge.engines.deep.gp.regression import by_fold, smooth_learners
from hte_bridge.engines.deep.gp.starts import Rest, rests, starts
from hte_bridge.engines.deep.nuisance.crossfit import CrossFitted
from hte_bridge.engines.deep.nuisance.propensity import Treatment, centre_treatment, parts_of
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.result import Branch, FullFit
from hte_bridge.engines.deep.store.devices import device_of
from hte_bridge.engines.deep.store.threads import side_by_side, threads
from hte_bridge.progress import steps
from hte_bridge.study import Folds, Study


def fit_gp(study: Study, folds: Folds, options: Options) -> Branch:
    """Cross-fitted predictions of the kernel model now, and its posterior from all rows when it is asked for.

    Raises
    ------
    DidNotConverge
        If the covariance is not positive definite at any scales tried.
    InvalidOption
        If the device asked for is not there.
    """
    began = time.perf_counter()
    options = replace(options, n_jobs=side_by_side(options.n_jobs))
    device_of(options)  # a device that is not there is refused before anything else
    treatment, predicted, mean = parts_held_out(study, folds, options)
    heldout, losses, notes = held_out(study, folds, treatment, predicted, mean)
    info = {"losses": losses, "seconds": round(time.perf_counter() - began, 2)} | treatment.info
    on_all_rows = partial(fit_full, study, treatment.mean, options)
    return Branch("kernel", heldout, on_all_rows, (*treatment.notes, *notes), info)


def most_probable_effects(study: Study, folds: Folds, x: Array, options: Options) -> Array:
    """Effect (m,) at filled covariates (m, q), by a model of all units as each fold's held-out effects are made of the others."""
    treatment = centred(study, folds, options)
    first, _, at = most_probable(study, treatment.mean, slice(None), options)
    return KernelPosterior(first.sample.units, (at,)).mean(x)


def centred(
    study: Study, folds: Folds, options: Options, beside: Sequence[Rest | None] | None = None
) -> Treatment:
    """The treatment's mean by a constant, a line and a Gaussian process: in small samples one for each pair of folds left out."""
    given = study, folds, None, options.seed, "cpu"
    if study.n <= PARTS.sought_again_rows:
        return centre_treatment(*given, smooth_learners, options.n_jobs)
    near = [None if each is None else each.mode for each in beside or rests(study, folds, options)]
    return centre_treatment(*given, lambda study: {}, options.n_jobs, by_fold=partial(by_fold, near=near))


def parts_held_out(
    study: Study, folds: Folds, options: Options
) -> tuple[Treatment, list[FoldPrediction], CrossFitted]:
    """The treatment's mean, what kernel fits say of the fold that each has not seen, and the stacked outcome mean."""
    beside = rests(study, folds, options)
    treatment = centred(study, folds, options, beside)
    part, without = parts_of(study, folds), treatment.seen_without(folds.n_folds)
    work = [delayed(other_means)(study, folds, options)]
    work += [
        delayed(predict_fold)(study, *fold, mean, start, part, options)
        for fold, mean, start in zip(folds, without, starts(study, folds, beside, options), strict=True)
    ]
    others, *predicted = Parallel(n_jobs=options.n_jobs, prefer="threads")(
        steps(work, "deep: kernel fits", len(work))
    )
    return treatment, predicted, stacked(study, folds, others, predicted, options)


def fit_full(study: Study, propensity: Array, options: Options) -> FullFit:
    """Posterior from all rows, and what makes the structure that it shows.

    Raises
    ------
    DidNotConverge
        If the covariance is not positive definite at any scales tried.
    """
    began = time.perf_counter()
    with threads(1):
        posterior, info, converged = mixed_posterior(study, propensity, options)
    structure = partial(structure_of, posterior, study.filled.shape[1], options.seed)
    info["posterior_seconds"] = round(time.perf_counter() - began, 2)
    return FullFit(posterior, info, converged, structure)


def structure_of(posterior: KernelPosterior, n_columns: int, seed: int) -> dict[str, Array]:
    """Importance of each covariate for tau, and strength of pairs, with their spread between the heaviest draws of the scales."""
    heaviest = sorted(posterior.components, key=lambda each: -each.weight)[: INTERACTIONS.draws]
    centre, spread = np.zeros_like(posterior.units.centre), np.ones_like(posterior.units.centre)
    plain = replace(posterior.units, centre=centre, spread=spread, outcome_mean=0.0)
    z = posterior.rows.x.cpu().numpy()
    if plain.turn is not None:
        z = z @ np.linalg.inv(plain.turn)
    if plain.columns is not None:  # covariates that the kernel does not see do not count
        every = np.zeros((len(z), n_columns))
        every[:, plain.columns] = z
        z = every
    alone = (KernelPosterior(plain, (each.weighing(1.0),)) for each in heaviest)
    with threads(1):
        return average([probe(each.mean, z, seed, INTERACTIONS.few_probes) for each in alone]).arrays()
