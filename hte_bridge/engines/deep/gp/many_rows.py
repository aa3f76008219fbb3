"""The exact kernel's own posterior given more rows than it takes: models sought on some of them, their surfaces learned from all by points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.borders import heights_of, net_of_boxes, with_boxes
from hte_bridge.engines.deep.gp.finer_jumps import effect_jumps, with_finer_jumps
from hte_bridge.engines.deep.gp.hmc import hamiltonian
from hte_bridge.engines.deep.gp.inducing import INDUCING, ByPoints, Induced, induced, n_points, points_of
from hte_bridge.engines.deep.gp.jumps import Told, repeated, shared_out, with_jumps
from hte_bridge.engines.deep.gp.laplace import Laplace, find_mode, importance_weights
from hte_bridge.engines.deep.gp.model_average import (
    AVERAGE,
    Weighed,
    approximated,
    candidates,
    chosen_of,
    height,
    lighter_left_out,
    n_draws,
    said,
    weigh,
)
from hte_bridge.engines.deep.gp.modes import Candidate, borrowed
from hte_bridge.engines.deep.gp.outcome_models import OutcomeModel
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, Model
from hte_bridge.engines.deep.gp.sample import even_subset
from hte_bridge.engines.deep.gp.search import ModelSearch
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.store.threads import side_by_side, threads


@dataclass(frozen=True)
class ManyRows:
    """Where there are more rows than the exact kernel takes."""

    # to which models are followed, at least; their likelihood then counts as many times as there are more
    followed: int = 1_000
    # up to which they are followed to all; beyond to fewer than that, the more rows there are, so that the work falls from there
    all_rows: int = 3_000

    def followed_of(self, n: int) -> int:
        """To how many of n rows models are followed.

        Examples
        --------
        >>> MANY.followed_of(2_000), MANY.followed_of(4_000), MANY.followed_of(20_000)
        (2000, 2250, 1000)
        """
        return min(n, max(self.followed, round(self.all_rows * min(1.0, self.all_rows / n))))


MANY = ManyRows()


@dataclass(frozen=True, eq=False)
class OfManyRows:
    """The posterior, what it says of itself, whether modes were found, and the log evidence of its best model, up to what all accounts share."""

    posterior: KernelPosterior
    info: dict[str, Any]
    converged: bool
    log_evidence: float


def posterior_of_many(first: ModelSearch, options: Options) -> OfManyRows:
    """Posterior mixed over outcome models and draws of the hyperparameters, as ``model_average.mixed_posterior`` makes it of fewer rows.

    Models are followed to some of the rows, whose likelihood counts as many times as there are more. Few rows hardly say of which kind a surface
    is: where there are more than are followed, both kinds are, and all rows say, by points, what each model is worth. A draw is taken or not by the posterior
    on all rows, by points.

    Raises
    ------
    DidNotConverge
        If the covariance is not positive definite at scales that were drawn.
    """
    tried = candidates(first, options.seed, options.n_jobs)
    some = replace(first, sample=first.sample.thinned(MANY.followed_of(first.sample.bare.n), options.seed))
    how = Followed(first, some, pool_of(first.sample.bare.x, options.seed), options)
    chosen, share = how.weighed(tried)
    found = Parallel(n_jobs=side_by_side(options.n_jobs), prefer="threads")(
        delayed(how.draws)(pair, own) for pair, own in zip(chosen, share.tolist(), strict=True)
    )
    parts = lighter_left_out([part for parts, _ in found for part in parts])
    info = said(first, tried, list(zip(chosen, share.tolist(), strict=True)), parts)
    converged = all(each.mode.converged for each, _ in chosen)
    highest = max(evidence for _, evidence in found)
    return OfManyRows(KernelPosterior(first.sample.units, tuple(parts)), info, converged, highest)


def of_other_kinds(tried: list[Weighed]) -> list[Callable[[], Candidate]]:
    """What makes, of the best centred and the best baseline model, those whose mean and effect are both smooth and both edged, where they are not there."""
    there = {kinds_of(each.model.form) for each, _ in tried}
    found: list[Callable[[], Candidate]] = []
    for name in ("centred", "baseline"):
        own = [
            pair
            for pair in tried
            if pair[0].model.form.name == name and pair[0].model.form.effect_kind in ("smooth", "edged")
        ]
        if own:
            best = max(own, key=height)[0]
            forms = [best.model.form.of_kinds(kind, kind) for kind in ("smooth", "edged")]
            found += [partial(near, best, form) for form in forms if kinds_of(form) not in there]
    return found


def kinds_of(form: OutcomeModel) -> tuple[object, ...]:
    """What makes a form: its name, whether effects are relative, and the kinds of its surfaces."""
    return form.name, form.relative, form.each_kind


def near(best: Candidate, form: OutcomeModel) -> Candidate:
    """A candidate of another form, sought from where one of the same loads ended."""
    model = Model.of(form, best.model.rows)
    start = borrowed(model.scales, best)
    return Candidate(model, find_mode(model.rows, model.scales, start, tolerance=AVERAGE.tolerance))


def pool_of(x: torch.Tensor, seed: int) -> torch.Tensor:
    """Some of the distinct rows of x (n, p), among which points are chosen."""
    distinct = np.unique(x.cpu().numpy(), axis=0)
    return torch.as_tensor(
        distinct[even_subset(len(distinct), round(INDUCING.pool * n_points(len(x))), seed)]
    )


@dataclass(frozen=True, eq=False)
class Followed:
    """How models found on some rows are asked on all.

    Parameters
    ----------
    first, some : ModelSearch
        With all units, and with those to which models were followed.
    pool : tensor (m, p)
        Rows among which points are chosen.
    options : Options
    """

    first: ModelSearch
    some: ModelSearch
    pool: torch.Tensor
    options: Options

    def weighed(self, tried: list[Weighed]) -> tuple[list[Weighed], Array]:
        """Models that count, at their modes on the rows that are followed, each with the normal approximation on all rows; and their shares.

        Where there are more rows than are followed, the evidence is what all rows say, but counts as that of as many as are followed: a model is no nearer to the truth because more is known.
        """
        seed, jobs = self.options.seed, self.options.n_jobs
        everyone = self.some.everyone()
        if everyone.bare.n == self.first.sample.bare.n:
            return chosen_of(tried, everyone, seed, jobs)
        both = [*tried, *approximated(of_other_kinds(tried), jobs)]
        kept, _ = chosen_of(both, everyone, seed, jobs)
        told = Parallel(n_jobs=side_by_side(jobs), prefer="threads")(
            delayed(self.on_all)(*each) for each in kept
        )
        return weigh(list(told), AVERAGE.least_share)

    def on_all(self, candidate: Candidate, laplace: Laplace) -> Weighed:
        """A model with the normal approximation on all rows, as high as its posterior is by points."""
        model, n = candidate.model, self.first.sample.bare.n
        with threads(1):
            wide = laplace.on_more(model.rows, model.scales, n)
            at, whole = wide.mode.theta + self.some.shift(candidate), self.whole(model)
            told = induced(1.0, at, whole, self.points(whole, at)).log_posterior
        beyond = wide.log_evidence - wide.mode.value
        counted = (told + beyond) * model.rows.n / n
        return candidate, replace(wide, mode=replace(wide.mode, value=counted - beyond), log_evidence=counted)

    def whole(self, model: Model) -> Model:
        """The same of all rows."""
        return replace(model, rows=self.first.sample.rows(model.form))

    def draws(self, pair: Weighed, share: float) -> tuple[list[Induced], float]:
        """Draws of a model's scales, with weights that sum to its share; and its log evidence."""
        (candidate, wide), seed = pair, self.options.seed
        model, shift = candidate.model, self.some.shift(candidate)
        whole = self.whole(model)
        with threads(1):
            made = dict[bytes, tuple[Induced, ByPoints]]()
            model, rest, wide, height = self.beside_jumps(model, whole, wide, shift)
            points = self.points(rest, wide.mode.theta + shift)

            def exact(theta: Array) -> float:
                by = ByPoints.of(theta + shift, rest, points)
                made[theta.tobytes()] = by.told(1.0), by
                return made[theta.tobytes()][0].log_posterior

            number = n_draws(whole.rows.n, share, self.options.draws)
            if share < AVERAGE.chain_share:
                thetas, density = wide.draw(number, seed)
                weights = importance_weights(np.array([exact(theta) for theta in thetas]), density)
            else:
                chain = hamiltonian(wide, model.rows, model.scales, number, seed, exact, whole.rows.n)
                thetas, count = np.unique(chain, axis=0, return_counts=True)
                weights = count / number
            for theta in thetas:
                if theta.tobytes() not in made:
                    exact(theta)
            parts: list[Induced] = []
            for place, (theta, weight) in enumerate(zip(thetas, weights.tolist(), strict=True)):
                part, by = made.pop(theta.tobytes())
                finely = place + 0.5 < len(thetas) * self.finely and effect_jumps(whole)
                own = [part.weighing(share * weight)]
                own = shared_out(own) if finely else repeated(own)
                by = replace(by, model=whole)  # jumps are asked of the outcomes as they are
                parts += [self.jumped(each, by, len(parts) + k, finely) for k, each in enumerate(own)]
        if height is None:
            height = evidence(wide, parts)
        return parts, height + model.form.log_odds

    def beside_jumps(
        self, model: Model, whole: Model, wide: Laplace, shift: Array | float
    ) -> tuple[Model, Model, Laplace, float | None]:
        """The model of the rows that are followed, and of all, net of a draw of its jumps, and the mode beside them; its log evidence before.

        Scales that were found without jumps take them for curvature: lengths are short and the surface varies much, everywhere. Given where it
        jumps, and by how much, they are those of what is left (a step of a Gibbs sampler); jumps are then drawn again from the outcomes as they are.
        """
        if not self.finely or not effect_jumps(model):
            return model, whole, wide, None
        at, rng = wide.mode.theta + shift, np.random.default_rng([self.options.seed, whole.rows.n])
        by = ByPoints.of(at, whole, self.points(whole, at))
        part = by.told(1.0)
        before = part.log_posterior + wide.log_evidence - wide.mode.value
        jumping = with_finer_jumps(whole, part.theta, partial(told_by, by), rng)
        if jumping is whole:
            return model, whole, wide, before
        heights = self.finely * heights_of(by, jumping, rng)
        model, rest = (net_of_boxes(each, jumping, heights) for each in (model, whole))
        return model, rest, wide.on_more(model.rows, model.scales, whole.rows.n), before

    @property
    def finely(self) -> float:
        """Share of the draws whose jumps are sought where many rows tell them, and of their heights that scales are found net of.

        None where the exact kernel ends, so that nothing jumps there but the effect; all from twice as many rows on.
        """
        return float(np.clip(self.first.sample.bare.n / MANY.all_rows - 1.0, 0.0, 1.0))

    def jumped(self, part: Induced, by: ByPoints, number: int, finely: bool) -> Induced:
        """A draw of the scales with a draw of jumps beside them, from the same by points."""
        whole, rng = by.model, np.random.default_rng([self.options.seed, number])
        seek = with_finer_jumps if finely else with_jumps
        model = seek(whole, part.theta, partial(told_by, by), rng)
        if model is not whole:
            return with_boxes(part, by, model, number)
        return by.told(part.weight) if self.finely and effect_jumps(whole) else part

    def points(self, model: Model, theta: Array) -> list[torch.Tensor]:
        """Points of each surface, chosen at the model's most probable scales."""
        at, seed = torch.as_tensor(theta), self.options.seed
        untold = INDUCING.untold * float(torch.exp(2.0 * at[0]) * model.rows.noise.mean())
        most = n_points(model.rows.n)
        return [points_of(self.pool, at, each, most, untold, seed) for each in model.scales.surfaces]


def told_by(by: ByPoints, columns: torch.Tensor) -> Told:
    """What the outcomes tell of columns (n, k) at a draw of the scales."""
    weighed, taken = (each.numpy() for each in by.halved(columns))
    return Told(columns.numpy(), weighed, (columns.T @ by.solved).numpy(), taken)


def evidence(laplace: Laplace, draws: list[Induced]) -> float:
    """Log evidence by Laplace's formula, the height of the mode from that of draws: these lie half a nat for each scale below, on average."""
    height = float(
        np.average([each.log_posterior for each in draws], weights=[each.weight for each in draws])
    )
    return height + 0.5 * len(laplace.root) + laplace.log_evidence - laplace.mode.value
