"""The exact kernel branch: cross-sections of some thousand rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed

from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.beginning import FOLD_TOLERANCE, Begun, Sample, begun
from hte_bridge.engines.deep.candidates import (
    Candidate,
    along_an_index,
    approximate,
    as_a_sum,
    height,
    search,
    weigh,
)
from hte_bridge.engines.deep.contract import Branch, Whole
from hte_bridge.engines.deep.devices import device_of, doubles_on
from hte_bridge.engines.deep.inside import mean_without_part
from hte_bridge.engines.deep.kernel_posterior import Component, KernelPosterior, component
from hte_bridge.engines.deep.mixture import Laplace, effective, hamiltonian, importance
from hte_bridge.engines.deep.nets import NetOptions
from hte_bridge.engines.deep.nuisance import CrossFitted, crossfit, left_out_twice, standard_learners
from hte_bridge.engines.deep.outlying import far_out
from hte_bridge.engines.deep.splines import PER_COVARIATE
from hte_bridge.engines.deep.structure import average, probe
from hte_bridge.engines.deep.threads import threads
from hte_bridge.engines.deep.treatment import Treatment, centre_treatment, parts_of
from hte_bridge.progress import steps
from hte_bridge.study import Folds, Study

if TYPE_CHECKING:
    from hte_bridge.engines.deep import Deep

PROBED, PROBED_ROWS = 6, 100  # draws of the scales, and units, at which the structure of tau is read
LIGHTEST = 1e-3  # a draw of the scales with less weight is left out
FEWEST_DRAWS, FEWEST_OF_MANY = 8, 4  # of a form, with up to and with more than ``FULL_DRAWS`` rows
CHAIN_ROWS = 3_000  # up to which the scales are drawn by a chain; beyond, where it takes many minutes, from the normal approximation
FULL_DRAWS = 1_000  # rows from which draws are fewer: each is dearer, and the scales are better known
MOST_FUNCTIONS = 0.5  # of additive effects, as a share of the rows
COUNTS = 0.05  # a form with a smaller share is left out
COUNTS_ON_FEWER = 0.005  # and on a subset, where the evidence is weaker, one with less than this
TOLERANCE = 1e-6  # of the search for the scales, in shares of the log posterior


def fit_kernel(study: Study, folds: Folds, options: Deep) -> Branch:
    """Cross-fitted predictions of the kernel model now, and its posterior from all rows when it is asked for.

    Raises
    ------
    DidNotConverge
        If the covariance is not positive definite at any scales tried.
    InvalidOption
        If the device asked for is not there.
    """
    began = time.perf_counter()
    device_of(options)  # a device that is not there is refused before anything else
    treatment, predicted, mean = parts_held_out(study, folds, options)
    heldout, losses, notes = held_out(study, folds, treatment, predicted, mean)
    info = {"losses": losses, "seconds": round(time.perf_counter() - began, 2)} | treatment.info
    on_all_rows = partial(fit_whole, study, treatment.mean, options)
    return Branch("kernel", heldout, on_all_rows, (*treatment.notes, *notes), info)


def parts_held_out(
    study: Study, folds: Folds, options: Deep
) -> tuple[Treatment, list[Predicted], CrossFitted]:
    """The treatment's mean, what kernel fits say of the fold that each has not seen, and the stacked outcome mean."""
    nets = NetOptions(hidden=options.hidden, epochs=options.epochs, n_nets=options.n_nets)
    treatment = centre_treatment(study, folds, nets, options.seed, "cpu", options.n_jobs)
    part, without = parts_of(study, folds), treatment.seen_without(folds.n_folds)
    work = [delayed(other_means)(study, folds, options, nets)]
    work += [
        delayed(predict_fold)(study, *fold, mean, part, options)
        for fold, mean in zip(folds, without, strict=True)
    ]
    side_by_side = Parallel(n_jobs=options.n_jobs, prefer="threads")
    others, *predicted = side_by_side(steps(work, "deep: kernel fits", len(work)))
    return treatment, predicted, stacked(study, folds, part, others, predicted, options, nets)


def fit_whole(study: Study, propensity: Array, options: Deep) -> Whole:
    """Posterior from all rows, and the structure that it shows.

    Raises
    ------
    DidNotConverge
        If the covariance is not positive definite at any scales tried.
    """
    began = time.perf_counter()
    with threads(1):
        posterior, info, converged = mixed_posterior(study, propensity, options)
        structure = structure_of(posterior, study.filled.shape[1], options.seed)
    info["posterior_seconds"] = round(time.perf_counter() - began, 2)
    return Whole(posterior, info, converged, structure)


def outlying_note(count: int, n: int) -> tuple[str, ...]:
    """A sentence where outcomes lie far out.

    Examples
    --------
    >>> outlying_note(2, 1_300)
    ('2 of 1,300 outcomes lie far from what the other units predict: they count in full, and averages lean on them.',)
    >>> outlying_note(0, 1_300)
    ()
    """
    if not count:
        return ()
    lies = "outcomes lie" if count > 1 else "outcomes lies"
    them = (
        "they count in full, and averages lean on them"
        if count > 1
        else "it counts in full, and averages lean on it"
    )
    return (f"{count:,} of {n:,} {lies} far from what the other units predict: {them}.",)


def held_out(
    study: Study,
    folds: Folds,
    treatment: Treatment,
    predicted: Sequence[Predicted],
    mean: CrossFitted,
) -> tuple[HeldOut, dict[str, float], tuple[str, ...]]:
    """Effect of each fold from a kernel fit of the others, at its most probable form and scales, and the stacked outcome mean.

    Beside them the held-out losses, and sentences for the table.
    """
    residual = study.treatment - treatment.mean
    cate, root = np.zeros((2, study.n))
    for (_, test), found in zip(folds, predicted, strict=True):
        cate[test], root[test] = found.cate, found.noise_root
    stacked, losses = mean.prediction, dict(mean.loss)
    losses["effect"] = weighted_loss(study, stacked + residual * cate)
    ate = np.average(residual * (study.outcome - stacked), weights=study.weight)
    ate /= np.average(residual**2, weights=study.weight)
    losses["constant effect"] = weighted_loss(study, stacked + residual * ate)
    verdict = mean.verdict("the outcome")
    heldout = HeldOut(cate, stacked, treatment.mean, treatment.variance)
    far = far_out((study.outcome - stacked - residual * cate) / root, study.outcome)
    return heldout, losses, (*([verdict] if verdict else []), *outlying_note(far, study.n))


def other_means(study: Study, folds: Folds, options: Deep, nets: NetOptions) -> CrossFitted:
    """The outcome's mean held out by a constant, the linear model and the network."""
    with threads(1):
        return crossfit(
            study.filled,
            study.outcome,
            folds.fold,
            standard_learners("mean", nets),
            weight=study.weight,
            seed=options.seed + 2,
            name="outcome",
        )


def stacked(
    study: Study,
    folds: Folds,
    part: Codes,
    others: CrossFitted,
    predicted: Sequence[Predicted],
    options: Deep,
    nets: NetOptions,
) -> CrossFitted:
    """The outcome's mean of each fold, stacked from kernel, constant, linear model and network by shares that have not seen the fold."""
    kernel, inside = np.zeros(study.n), np.full((folds.n_folds, study.n, 1), np.nan)
    for k, ((train, test), found) in enumerate(zip(folds, predicted, strict=True)):
        kernel[test], inside[k, train, 0] = found.mean, found.inside
    share = left_out_twice(
        study.filled,
        study.outcome,
        folds.fold,
        part,
        standard_learners("mean", nets),
        weight=study.weight,
        seed=options.seed + 2,
        n_jobs=options.n_jobs,
        beside=inside,
    ).share
    every = {"kernel": kernel} | dict(others.candidates)
    loss = dict(others.loss) | {"kernel": weighted_loss(study, kernel)}
    both = replace(others, candidates=every, loss=loss)
    return both.restacked(study.outcome, folds.fold, study.weight, share)


@dataclass(frozen=True, eq=False)
class Predicted:
    """What the others' kernel fit says of a fold.

    Parameters
    ----------
    cate, mean, noise_root : array (m,)
        Effect and outcome mean of the fold's units, and the root of their errors' variances as a multiple.
    inside : array (n - m,)
        Outcome mean of the others, each without its own part.
    """

    cate: Array
    mean: Array
    noise_root: Array
    inside: Array


def predict_fold(
    study: Study, train: Codes, test: Codes, propensity: Array, part: Codes, options: Deep
) -> Predicted:
    """Fit the units of ``train`` and predict those of ``test``; ``propensity`` and ``part`` are (n,)."""
    with threads(1):
        first = begun(Sample.either(study, propensity, train, doubles_on(options)), options, study.binary)
        best = search(first.small.rows, list(first.begin), FOLD_TOLERANCE, first.begin)[0]
        model = replace(best.model, rows=first.sample.rows(best.model.form))
        at = component(1.0, best.mode.theta + first.shift(best), model)
        units, x = first.sample.units, study.filled[test]
        post = KernelPosterior(units, (at,))
        inside = mean_without_part(first, best, at, propensity[train], part[train], options.seed)
        root = first.noise_root(study, test, propensity)
        return Predicted(post.mean(x), post.outcome_mean(x, propensity[test]), root, inside)


def weighted_loss(study: Study, prediction: Array) -> float:
    """Weighted mean squared error of the outcome."""
    return float(np.average((study.outcome - prediction) ** 2, weights=study.weight))


def mixed_posterior(
    study: Study, propensity: Array, options: Deep
) -> tuple[KernelPosterior, dict[str, Any], bool]:
    """Posterior mixed over forms by their evidence and, in each, over draws of the scales.

    With many rows forms and scales are found on an even subset of ``scale_rows``, then moved to the mode on all rows.
    """
    first = begun(Sample.either(study, propensity, device=doubles_on(options)), options, study.binary)
    small, begin = first.small, first.begin
    pairs = [(each, approximate(each)) for each in search(small.rows, list(begin), TOLERANCE, begin)]
    tried = [each for each, _ in sorted(pairs, key=height, reverse=True)]
    pairs += [(each, approximate(each)) for each in bent(tried)]
    whole = small.bare.n == study.n
    chosen, share = weigh(pairs, COUNTS if whole else COUNTS_ON_FEWER)
    searched = first.everyone()
    if not whole:
        chosen, share = weigh([on_all(each, laplace, searched) for each, laplace in chosen], COUNTS)
    parts: list[Component] = []
    weighed = list(zip(chosen, share.tolist(), strict=True))
    for (candidate, laplace), own in steps(weighed, "deep: draws of the scales"):
        parts += mixture_of(candidate, laplace, own, options, first)
    total = sum(each.weight for each in parts)
    parts = [replace(each, weight=each.weight / total) for each in parts if each.weight >= LIGHTEST * total]
    weights = np.array([each.weight for each in parts])
    noise = weights @ np.array([np.exp(2 * float(each.theta[0])) for each in parts])
    info = {
        "scale_rows": small.bare.n,
        "evaluations": sum(each.mode.evaluations for each, _ in pairs),
        "forms": {each.model.form.label: round(own, 4) for (each, _), own in weighed},
        "draws": len(parts),
        "effective_draws": round(effective(weights), 2),
        "noise_sd": float(np.sqrt(noise) * first.sample.units.outcome_sd),
        "error_variance": "constant" if first.errors is None else first.errors.text,
        "outlying": int((searched.bare.noise != first.sample.bare.noise).sum()),
    }
    converged = all(each.mode.converged for each, _ in chosen)
    return KernelPosterior(first.sample.units, tuple(parts)), info, converged


def bent(tried: Sequence[Candidate]) -> list[Candidate]:
    """The first form, and the centred one where that is another, with an effect along one index and with an additive one.

    Independent arms have no additive effect, and none has where covariates are so many that the functions are too.
    """
    rows = tried[0].model.rows
    best = tried[0].model.form
    plain = [
        each
        for each in tried
        if each.model.form == best
        or (each.model.form.name == "centred" and each.model.form.relative == best.relative)
    ]
    flat = sum(
        1 for each in rows.groups if rows.groups.count(each) > 1
    )  # columns of categories: one function each
    few = PER_COVARIATE * (rows.x.shape[1] - flat) + flat <= MOST_FUNCTIONS * rows.n
    summed = [each for each in plain if few and each.model.form.name != "arms"]
    return [along_an_index(each, TOLERANCE) for each in plain] + [
        as_a_sum(each, TOLERANCE) for each in summed
    ]


def on_all(candidate: Candidate, laplace: Laplace, sample: Sample) -> tuple[Candidate, Laplace]:
    """A candidate found on a subset, at its mode on all rows; the curvature grows with the rows."""
    model = replace(candidate.model, rows=sample.rows(candidate.model.form))
    wide = laplace.on_more(model.rows, model.rows.n / candidate.model.rows.n, model.scales)
    return Candidate(model, wide.mode), wide


def mixture_of(
    candidate: Candidate, laplace: Laplace, share: float, options: Deep, first: Begun
) -> list[Component]:
    """Draws of a form's scales, with weights that sum to the form's share.

    By Hamiltonian Monte Carlo or, where that takes minutes, from the normal approximation with importance weights.
    """
    model = candidate.model
    fewest = FEWEST_DRAWS if model.rows.n <= FULL_DRAWS else FEWEST_OF_MANY
    number = max(fewest, round(options.draws * share * min(1.0, FULL_DRAWS / model.rows.n)))
    number = min(number, options.draws)
    if model.rows.n > CHAIN_ROWS:
        thetas, density = laplace.draw(2 * number, options.seed)
        parts = [component(share, theta, model) for theta in thetas]
        weights = importance(np.array([each.log_posterior for each in parts]), density)
        parts = [replace(each, weight=share * float(w)) for each, w in zip(parts, weights, strict=True)]
        return first.at_full_weight(parts, candidate)
    thetas, _, _ = hamiltonian(laplace, model.rows, model.scales, number, options.seed)
    distinct, count = np.unique(thetas, axis=0, return_counts=True)  # a trajectory not taken repeats the last
    weights = share * count / len(thetas)
    parts = [component(float(w), theta, model) for w, theta in zip(weights, distinct, strict=True)]
    return first.at_full_weight(parts, candidate)


def structure_of(posterior: KernelPosterior, n_columns: int, seed: int) -> dict[str, Array]:
    """Importance of each covariate for tau, and strength of pairs, with their spread between the heaviest draws of the scales."""
    heaviest = sorted(posterior.components, key=lambda each: -each.weight)[:PROBED]
    centre, spread = np.zeros_like(posterior.units.centre), np.ones_like(posterior.units.centre)
    plain = replace(posterior.units, centre=centre, spread=spread, outcome_mean=0.0)
    z = posterior.rows.x.cpu().numpy()
    if plain.turn is not None:
        z = z @ np.linalg.inv(plain.turn)
    if plain.columns is not None:  # covariates that the kernel does not see do not count
        every = np.zeros((len(z), n_columns))
        every[:, plain.columns] = z
        z = every
    alone = (KernelPosterior(plain, (replace(each, weight=1.0),)) for each in heaviest)
    return average([probe(each.mean, z, seed, PROBED_ROWS) for each in alone]).arrays()
