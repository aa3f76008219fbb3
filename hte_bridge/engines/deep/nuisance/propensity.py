"""The treatment given x, cross-fitted: what is subtracted from it, and the note where it was clipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.nuisance.crossfit import (
    CrossFitted,
    Learner,
    Splits,
    Twice,
    plain_learners,
    standard_learners,
)
from hte_bridge.engines.deep.nuisance.networks import NetOptions, Scale
from hte_bridge.engines.deep.store.arrays import State
from hte_bridge.engines.deep.store.checkpoint import NOWHERE, Checkpoint, Format
from hte_bridge.study import Folds, Study

MoreLearners = Callable[[Study], dict[str, Learner]]
# of a study, its folds, parts and seed, and the fits side by side: held out (n,), and (K, n, 1) without a fold and without a unit's own part
ByFold = Callable[[Study, Folds, Codes, int, int | None], tuple[Array, Array]]


@dataclass(frozen=True)
class PropensityRule:
    """How far a propensity may go, and how many parts are left out beside a fold."""

    # a propensity is kept within this and one minus it: lower trades variance for bias at thin overlap
    lowest: float = 0.01
    # of the rows, each left out beside a fold: with many folds fits would go with the square of their number
    most_parts: int = 5


PROPENSITY = PropensityRule()


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
    without : array (K, n), optional
        E[T | x] by models that saw neither the unit nor, in row k, fold k; not a number for the units of fold k. ``None`` where it was not made.
    """

    mean: Array
    variance: Array | None
    notes: tuple[str, ...] = ()
    crossfitted: CrossFitted | None = None
    without: Array | None = None

    @property
    def info(self) -> dict[str, Any]:
        """Losses and shares of the candidates, for the fit's record; nothing where the propensity is known."""
        fit = self.crossfitted
        return (
            {} if fit is None else {"treatment_losses": dict(fit.loss), "treatment_shares": dict(fit.share)}
        )

    def in_units(self, zero: float, unit: float) -> Treatment:
        """The same of a treatment moved by ``zero`` and divided by ``unit``."""
        variance = None if self.variance is None else self.variance / unit**2
        without = None if self.without is None else (self.without - zero) / unit
        return replace(self, mean=(self.mean - zero) / unit, variance=variance, without=without)

    def seen_without(self, n_folds: int) -> Array:
        """E[T | x] (K, n) as the model sees it that predicts fold k; at the units of the fold the one that did not see it."""
        if self.without is None:
            return np.tile(self.mean, (n_folds, 1))
        return np.where(np.isnan(self.without), self.mean, self.without)


def halves(study: Study, folds: Folds) -> Codes:
    """Each of two folds in two: clusters whole, else arm by arm. Code (n,) of the half of each unit."""
    half = np.empty(study.n, dtype=np.int64)
    for k, (_, own) in enumerate(folds):
        arms = [own[study.treatment[own] == arm] for arm in (0.0, 1.0)] if study.binary else [own]
        if study.clustered:
            half[own] = 2 * k + np.unique(study.cluster[own], return_inverse=True)[1] % 2
            continue
        for arm in arms:  # one after the other: which is called 1 changes nothing
            half[arm] = 2 * k + np.argsort(np.argsort(study.treatment[arm], kind="stable")) % 2
    return half


def parts_of(study: Study, folds: Folds) -> Codes:
    """Code (n,) of the part of each unit that is left out beside a fold: its fold or, of two, a half of it."""
    return folds.fold % PROPENSITY.most_parts if folds.n_folds > 2 else halves(study, folds)


def splits_of(study: Study, folds: Folds, seed: int, n_jobs: int | None = None) -> Splits:
    """A study's units, its folds, and the parts that are left out beside each."""
    return Splits(study.filled, study.weight, folds.fold, parts_of(study, folds), seed, n_jobs)


def centre_treatment(
    study: Study,
    folds: Folds,
    options: NetOptions | None,
    seed: int,
    device: str,
    smooth: MoreLearners,
    n_jobs: int | None = None,
    twice: bool = True,
    kept: Checkpoint = NOWHERE,
    by_fold: ByFold | None = None,
) -> Treatment:
    """Cross-fit the treatment on the covariates, or take the propensity that the study knows.

    What predicts fold k is fitted to the outcomes of the others, their treatments centred. Cross-fitted in the usual way, e-hat of a unit j
    there has seen T of the units of fold k; where T was one, e-hat is higher around it, Y - (T - e-hat) tau too, and with it E[Y | x] predicted at
    the very unit whose T was one. Doubly robust scores then miss the average effect by a share of it, on average: the
    effective parameters of e-hat over n. So each fold has an e-hat of the others that has not seen it (``Treatment.without``).

    A probability is kept within [0.01, 0.99] and the note says how many were outside. The variance of a dose is
    cross-fitted from squared residuals, kept above a twentieth of its mean.

    Parameters
    ----------
    study : Study
    folds : Folds
    options : NetOptions, optional
        Without them no network is a candidate.
    seed : int
    device : str
        Of the networks.
    smooth : callable
        From a study to candidates beside constant, line and network: smooth surfaces or curves.
    n_jobs : int, optional
        Fits side by side.
    twice : bool
        Whether each fold is left out of what the others' e-hat, and the shares of its own, are made of: ten fits more with five folds.
    kept : Checkpoint
        Where finished work is left.
    by_fold : callable, optional
        A candidate, ``"kernel"``, that leaves parts out of one fit for each fold; with ``twice``.
    """
    if study.propensity is not None:
        return Treatment(study.propensity, None)
    splits = splits_of(study, folds, seed, n_jobs)
    own = candidates("probability" if study.binary else "mean", options, device) | smooth(study)
    fit = kept.remember("propensity", CROSSFITTED, splits.crossfit, study.treatment, own, "propensity")
    without = None
    if twice:
        inside = None
        if by_fold is not None:
            held, inside = by_fold(study, folds, splits.part, seed, n_jobs)
            fit = fit.beside("kernel", held, study.treatment, study.weight)
        found = kept.remember("without", TWICE, splits.left_out_twice, study.treatment, own, inside)
        fit = fit.restacked(study.treatment, folds.fold, study.weight, found.share)
        without = found.mean
    verdict = fit.verdict("the treatment")
    notes: tuple[str, ...] = (verdict,) if verdict else ()
    mean = fit.prediction
    if study.binary:
        mean = np.clip(mean, PROPENSITY.lowest, 1 - PROPENSITY.lowest)
        without = None if without is None else np.clip(without, PROPENSITY.lowest, 1 - PROPENSITY.lowest)
        outside = int((mean != fit.prediction).sum())
        if outside:
            notes += (
                f"{outside:,} of {study.n:,} propensities lay outside [0.01, 0.99] and were set to its ends.",
            )
    variance = None
    if not study.binary:
        simple = candidates("mean", options, device)
        variance = kept.remember("variance", ARRAY, spread, splits, study.treatment, mean, simple)
    return Treatment(mean, variance, notes, fit, without)


def spread(splits: Splits, treatment: Array, mean: Array, simple: Mapping[str, Learner]) -> Array:
    """Var(T | x) (n,) of a dose: squared residuals, cross-fitted."""
    squares = (treatment - mean) ** 2
    fit = replace(splits, seed=splits.seed + 1).crossfit(squares, simple, "variance of treatment")
    return np.maximum(fit.prediction, 0.05 * float(np.average(squares, weights=splits.weight)))


def candidates(scale: Scale, options: NetOptions | None, device: str) -> dict[str, Learner]:
    """Constant, line and, with options, network."""
    return plain_learners(scale) if options is None else standard_learners(scale, options, device)


def crossfitted_state(made: CrossFitted) -> State:
    """Held-out predictions as arrays and JSON values, without the models: none is asked again."""
    arrays = {f"candidates/{name}": each for name, each in made.candidates.items()}
    values: dict[str, Any] = {"loss": dict(made.loss), "share": dict(made.share)}
    return arrays | {"prediction": made.prediction}, values


def crossfitted_restored(arrays: Mapping[str, Any], values: Mapping[str, Any]) -> CrossFitted:
    """Rebuild what ``crossfitted_state`` took apart."""
    own = {name: arrays[f"candidates/{name}"] for name in values["share"]}
    return CrossFitted(arrays["prediction"], own, values["loss"], values["share"])


CROSSFITTED = Format(crossfitted_state, crossfitted_restored)


TWICE: Format[Twice] = Format(
    lambda made: ({"candidates": made.candidates, "share": made.share}, {}),
    lambda arrays, values: Twice(arrays["candidates"], arrays["share"]),
)


ARRAY: Format[Array] = Format(lambda found: ({"values": found}, {}), lambda arrays, values: arrays["values"])
