"""Outcome models weighed by their evidence, and in each draws of the hyperparameters: the posterior from all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.hmc import hamiltonian
from hte_bridge.engines.deep.gp.jumps import jumped
from hte_bridge.engines.deep.gp.laplace import Laplace, importance_weights
from hte_bridge.engines.deep.gp.modes import MODES, Candidate, along_an_index, as_a_sum, search
from hte_bridge.engines.deep.gp.posterior import Component, KernelPosterior, component
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.gp.search import ModelSearch, model_search
from hte_bridge.engines.deep.gp.splines import PER_COVARIATE
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.store.devices import doubles_on
from hte_bridge.engines.deep.store.threads import side_by_side, threads
from hte_bridge.progress import steps
from hte_bridge.study import Study


@dataclass(frozen=True)
class AverageOptions:
    """How models and draws are weighed, and how many draws there are."""

    # the evidence counts with the power of one over this
    coarsening: float = 3.0
    # a draw of the scales with less weight is left out
    lightest_draw: float = 1e-3
    # a form with a smaller share has no chain of its own
    chain_share: float = 0.2
    # of a model, with up to ``full_draws_rows`` rows
    fewest_draws: int = 4
    # and with more
    fewest_draws_of_many: int = 3
    # rows from which draws are fewer: each is dearer, and the scales are better known
    full_draws_rows: int = 1_000
    # of additive effects, as a share of the rows
    most_functions: float = 0.5
    # a form with a smaller share is left out
    least_share: float = 0.05
    # and on a subset, where the evidence is weaker, one with less than this
    least_share_on_fewer: float = 0.005
    # on which models are weighed between the few where their search began and all
    rows_between: tuple[int, ...] = (500, 1_000)
    # of the search for the scales, in shares of the log posterior
    tolerance: float = 1e-5


AVERAGE = AverageOptions()
Weighed = tuple[Candidate, Laplace]  # a model at its mode, and the normal approximation there


def approximate(candidate: Candidate) -> Laplace:
    """Normal approximation of the posterior of a candidate's scales."""
    return Laplace.at(candidate.mode, candidate.model.rows, candidate.model.scales)


def height(pair: Weighed) -> float:
    """Log evidence of a candidate, with the form's prior odds."""
    return pair[1].log_evidence + pair[0].model.form.log_odds


def weigh(pairs: list[Weighed], least: float) -> tuple[list[Weighed], Array]:
    """Candidates that count, and the share of each.

    Shares are proportional to the cube root of evidence times prior odds; those below ``least`` are set to none. A full power would trust
    the evidence too far: every form is a simplification, and the best of several simplifications gets nearly all of it on differences that
    the next sample would undo (Yang and Zhu, 2018, PNAS 115(8)); nor is Laplace's formula true to some nats where the posterior of the
    scales is as wide as here. A power below one is a posterior given that the data are only near the model's (Miller and Dunson, 2019, JASA
    114(527)).
    """
    heights = np.array([height(pair) for pair in pairs])
    share = np.exp((heights - heights.max()) / AVERAGE.coarsening)
    kept = np.flatnonzero(share / share.sum() >= least)
    return [pairs[k] for k in kept.tolist()], share[kept] / share[kept].sum()


def effective_draws(weights: Array) -> float:
    """Effective number of draws behind normalised weights (Kong, 1992)."""
    return float(1.0 / (weights**2).sum())


def mixed_posterior(
    study: Study, propensity: Array, options: Options
) -> tuple[KernelPosterior, dict[str, Any], bool]:
    """Posterior mixed over outcome models by their evidence and, in each, over draws of the hyperparameters; what it says of itself; whether modes were found.

    With many rows models and modes are found on an even subset of ``scale_rows``, then moved to the mode on all rows.
    """
    first = model_search(Sample.either(study, propensity, device=doubles_on(options)), options, study.binary)
    tried = candidates(first, options.seed, options.n_jobs)
    everyone = first.everyone()
    chosen, share = chosen_of(tried, everyone, options.seed, options.n_jobs)
    weighed = list(zip(chosen, share.tolist(), strict=True))
    parts = lighter_left_out(drawn(weighed, options, first))
    info = said(first, tried, weighed, parts)
    info["outlying"] = int((everyone.bare.noise != first.sample.bare.noise).sum())
    converged = all(each.mode.converged for each, _ in chosen)
    return KernelPosterior(first.sample.units, tuple(parts)), info, converged


def candidates(first: ModelSearch, seed: int, n_jobs: int | None) -> list[Weighed]:
    """Every model that counts at its mode on the few rows where its search began, with the normal approximation there; then those that bend otherwise.

    Which of them lead, and which kinds of surface, is decided by what they are on more rows (``chosen_of``): on 250 of 500 chance has a large part.
    """
    few = first.small.thinned(MODES.first_rows, seed)
    if few.bare.n == first.small.bare.n:
        found = search(few.rows, list(first.begin), AVERAGE.tolerance, first.begin)
    else:
        found = [Candidate(few.model(form), mode) for form, mode in first.begin.items()]
    pairs = approximated([partial(same, each) for each in found], n_jobs)
    best_first = [each for each, _ in sorted(pairs, key=height, reverse=True)]
    return pairs + approximated(bent(best_first), n_jobs)


def same(candidate: Candidate) -> Candidate:
    """A candidate that is there already."""
    return candidate


def approximated(makers: Sequence[Callable[[], Candidate]], n_jobs: int | None) -> list[Weighed]:
    """Candidates, each with the normal approximation at its mode, made side by side."""

    def alone(make: Callable[[], Candidate]) -> Weighed:
        with threads(1):
            found = make()
            return found, approximate(found)

    jobs = side_by_side(n_jobs, tasks=len(makers))
    return list(Parallel(n_jobs=jobs, prefer="threads")(delayed(alone)(each) for each in makers))


def chosen_of(
    tried: list[Weighed], everyone: Sample, seed: int, n_jobs: int | None
) -> tuple[list[Weighed], Array]:
    """Models that count, at their modes on all rows, and their shares; on the way, on more and more rows, those that trail far are left behind."""
    few = tried[0][0].model.rows.n
    kept, share = weigh(
        tried, AVERAGE.least_share if few == everyone.bare.n else AVERAGE.least_share_on_fewer
    )
    for most in (*AVERAGE.rows_between, everyone.bare.n):
        if few < most <= everyone.bare.n:
            few, sample = most, everyone.thinned(most, seed)
            moved = Parallel(n_jobs=side_by_side(n_jobs), prefer="threads")(
                delayed(on_more)(*each, sample) for each in kept
            )
            kept, share = weigh(moved, AVERAGE.least_share)
    return kept, share


def drawn(weighed: list[tuple[Weighed, float]], options: Options, first: ModelSearch) -> list[Component]:
    """Draws of the hyperparameters of every model, each with its weight."""
    work = (delayed(mixture_of)(*pair, own, options, first) for pair, own in weighed)
    made = Parallel(n_jobs=side_by_side(options.n_jobs), prefer="threads")(
        steps(work, "deep: draws of the scales", len(weighed))
    )
    return [part for parts in made for part in parts]


def lighter_left_out(parts: list[Component]) -> list[Component]:
    """Draws that count, with weights that are shares."""
    total = sum(each.weight for each in parts)
    least = AVERAGE.lightest_draw * total
    return [replace(each, weight=each.weight / total) for each in parts if each.weight >= least]


def said(
    first: ModelSearch, tried: list[Weighed], weighed: list[tuple[Weighed, float]], parts: list[Component]
) -> dict[str, Any]:
    """What the posterior says of itself."""
    by_label = dict[str, float]()
    for (each, _), own in weighed:
        by_label[each.model.form.label] = by_label.get(each.model.form.label, 0.0) + own
    weights = np.array([each.weight for each in parts])
    noise = weights @ np.array([np.exp(2 * float(each.theta[0])) for each in parts])
    return {
        "scale_rows": tried[0][0].model.rows.n,
        "evaluations": sum(each.mode.evaluations for each, _ in tried),
        "forms": {label: round(own, 4) for label, own in by_label.items()},
        "draws": len(parts),
        "effective_draws": round(effective_draws(weights), 2),
        "noise_sd": float(np.sqrt(noise) * first.sample.units.outcome_sd),
        "error_variance": "constant" if first.errors is None else first.errors.text,
    }


def bent(tried: Sequence[Candidate]) -> Sequence[Callable[[], Candidate]]:
    """What makes the best form with a smooth effect, and the centred one where that is another, with an effect along one index and with an additive one.

    Independent arms have no additive effect, and none has where covariates are so many that the functions are too.
    """
    smooth = [each for each in tried if each.model.form.effect_kind == "smooth"]
    if not smooth:
        return []
    rows, best = smooth[0].model.rows, smooth[0].model.form
    centred = (
        each
        for each in smooth
        if each.model.form.name == "centred" and each.model.form.relative == best.relative
    )
    plain = list(dict.fromkeys((smooth[0], next(centred, smooth[0]))))
    flat = sum(
        1 for each in rows.groups if rows.groups.count(each) > 1
    )  # columns of categories: one function each
    few = PER_COVARIATE * (rows.x.shape[1] - flat) + flat <= AVERAGE.most_functions * rows.n
    summed = [each for each in plain if few and each.model.form.name != "arms"]
    return [partial(along_an_index, each, AVERAGE.tolerance) for each in plain] + [
        partial(as_a_sum, each, AVERAGE.tolerance) for each in summed
    ]


def on_more(candidate: Candidate, laplace: Laplace, sample: Sample) -> tuple[Candidate, Laplace]:
    """A candidate found on fewer rows, at its mode on a sample; the curvature grows with the rows."""
    model = replace(candidate.model, rows=sample.rows(candidate.model.form))
    with threads(1):
        wide = laplace.on_more(model.rows, model.scales)
    return Candidate(model, wide.mode), wide


def mixture_of(
    candidate: Candidate, laplace: Laplace, share: float, options: Options, first: ModelSearch
) -> list[Component]:
    """Draws of a form's scales, with weights that sum to the form's share.

    By Hamiltonian Monte Carlo; of a form with a small share, from the normal approximation with importance
    weights. Where all of its surfaces have edges, each with a draw of jumps.
    """
    with threads(1):
        return jumped(parts_of_mixture(candidate, laplace, share, options, first), options.seed)


def parts_of_mixture(
    candidate: Candidate, laplace: Laplace, share: float, options: Options, first: ModelSearch
) -> list[Component]:
    """The draws of the scales alone, with as many threads as there are."""
    model = candidate.model
    number = n_draws(model.rows.n, share, options.draws)
    if share < AVERAGE.chain_share:
        thetas, density = laplace.draw(number, options.seed)
        parts = [component(share, theta, model) for theta in thetas]
        weights = importance_weights(np.array([each.log_posterior for each in parts]), density)
        parts = [replace(each, weight=share * float(w)) for each, w in zip(parts, weights, strict=True)]
        return first.at_full_weight(parts, candidate)
    made: dict[bytes, Component] = {}

    def exact(theta: Array) -> float:
        made[theta.tobytes()] = part = component(1.0, theta, model)
        return part.log_posterior

    thetas = hamiltonian(laplace, model.rows, model.scales, number, options.seed, exact)
    distinct, count = np.unique(thetas, axis=0, return_counts=True)  # a trajectory not taken repeats the last
    parts = [
        replace(made.get(theta.tobytes()) or component(1.0, theta, model), weight=share * float(w))
        for theta, w in zip(distinct, count / len(thetas), strict=True)
    ]
    return first.at_full_weight(parts, candidate)


def n_draws(n: int, share: float, most: int) -> int:
    """Draws of a form's scales: as many as its share asks, fewer with many rows.

    Examples
    --------
    >>> n_draws(500, 0.5, 20), n_draws(500, 0.1, 20), n_draws(4_000, 0.5, 20)
    (10, 4, 3)
    """
    fewest = AVERAGE.fewest_draws if n <= AVERAGE.full_draws_rows else AVERAGE.fewest_draws_of_many
    return min(max(fewest, round(most * share * min(1.0, AVERAGE.full_draws_rows / n))), most)
