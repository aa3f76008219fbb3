"""Held-out effect of each fold from a Gaussian process fit of the others, and the stacked outcome mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.gp.leave_part_out import mean_without_part
from hte_bridge.engines.deep.gp.modes import MODES, Candidate, search
from hte_bridge.engines.deep.gp.outliers import far_out
from hte_bridge.engines.deep.gp.posterior import Component, KernelPosterior, component
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.gp.search import ModelSearch, model_search
from hte_bridge.engines.deep.gp.starts import Start
from hte_bridge.engines.deep.nuisance.crossfit import CrossFitted, plain_learners, squared_error
from hte_bridge.engines.deep.nuisance.propensity import Treatment, splits_of
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.store.devices import doubles_on
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.study import Folds, Study


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
    predicted: Sequence[FoldPrediction],
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
    losses["effect"] = squared_error(study.outcome, stacked + residual * cate, study.weight)
    ate = np.average(residual * (study.outcome - stacked), weights=study.weight)
    ate /= np.average(residual**2, weights=study.weight)
    losses["constant effect"] = squared_error(study.outcome, stacked + residual * ate, study.weight)
    verdict = mean.verdict("the outcome")
    heldout = HeldOut(cate, stacked, treatment.mean, treatment.variance)
    far = far_out((study.outcome - stacked - residual * cate) / root, study.outcome)
    return heldout, losses, (*([verdict] if verdict else []), *outlying_note(far, study.n))


def other_means(study: Study, folds: Folds, options: Options) -> CrossFitted:
    """The outcome's mean held out by a constant and the linear model."""
    with threads(1):
        splits = splits_of(study, folds, options.seed + 2)
        return splits.crossfit(study.outcome, plain_learners("mean"), "outcome")


def stacked(
    study: Study, folds: Folds, others: CrossFitted, predicted: Sequence[FoldPrediction], options: Options
) -> CrossFitted:
    """The outcome's mean of each fold, stacked from kernel, constant and linear model by shares that have not seen the fold."""
    kernel, inside = np.zeros(study.n), np.full((folds.n_folds, study.n, 1), np.nan)
    for k, ((train, test), found) in enumerate(zip(folds, predicted, strict=True)):
        kernel[test], inside[k, train, 0] = found.mean, found.inside
    splits = splits_of(study, folds, options.seed + 2, options.n_jobs)
    share = splits.left_out_twice(study.outcome, plain_learners("mean"), inside).share
    both = others.beside("kernel", kernel, study.outcome, study.weight)
    return both.restacked(study.outcome, folds.fold, study.weight, share)


@dataclass(frozen=True, eq=False)
class FoldPrediction:
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
    study: Study,
    train: Codes,
    test: Codes,
    propensity: Array,
    start: Start | None,
    part: Codes,
    options: Options,
) -> FoldPrediction:
    """Fit the units of ``train`` and predict those of ``test``; ``propensity`` and ``part`` are (n,)."""
    with threads(1):
        first, best, at = most_probable(study, propensity, train, options, start)
        x, post = study.filled[test], KernelPosterior(first.sample.units, (at,))
        inside = mean_without_part(first, best, at, propensity[train], part[train], options.seed)
        root = first.noise_root(study, test, propensity)
        return FoldPrediction(post.mean(x), post.outcome_mean(x, propensity[test]), root, inside)


def most_probable(
    study: Study, propensity: Array, train: Codes | slice, options: Options, start: Start | None = None
) -> tuple[ModelSearch, Candidate, Component]:
    """The model of the units of ``train`` at its most probable form and scales, on all of these; sought from a start where there is one."""
    device = doubles_on(options)
    if start is None:
        samples, near = Sample.either(study, propensity, train, device), None
    else:
        samples, near = [Sample.of(study, propensity, train, device, start.columns)], start.begin
    samples = [replace(each, at_mode=True) for each in samples]
    first = model_search(samples, options, study.binary, near)
    form, mode = next(iter(first.begin.items()))
    if start is not None and mode.n == first.small.bare.n:  # followed to all of these rows already
        best = Candidate(first.small.model(form), mode)
    else:
        best = search(first.small.rows, list(first.begin), MODES.tolerance, first.begin)[0]
    model = replace(best.model, rows=first.sample.rows(best.model.form))
    return first, best, component(1.0, best.mode.theta + first.shift(best), model)
