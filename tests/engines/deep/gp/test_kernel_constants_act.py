"""Numbers of the exact kernel that decide do decide: each, doubled or halved, changes what its own function says of some small input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hte_bridge.engines.deep.gp import (
    heteroskedastic,
    hmc,
    jumps,
    laplace,
    model_average,
    modes,
    regression,
    search,
    starts,
)
from hte_bridge.engines.deep.gp.kinds.additive import Additive
from hte_bridge.engines.deep.gp.kinds.smooth import Smooth
from hte_bridge.engines.deep.gp.outcome_models import outcome_models, outcome_models_at_levels
from hte_bridge.engines.deep.gp.outliers import usual_sd
from hte_bridge.engines.deep.options import Options
from hte_bridge.study import Folds
from tests.helpers.acting import CONSTANTS, idle
from tests.helpers.gaussian_process import CENTRED, example, posterior

RNG = np.random.default_rng


def of_priors():
    return [kind.prior(4, sparse) for kind in (Smooth(), Additive()) for sparse in (True, False)]


def of_outcome_models():
    return outcome_models(8.0, binary=True), outcome_models_at_levels(8.0, two_values=False)


@dataclass(frozen=True)
class Quartic:
    """A log posterior of two scales, of so many rows, that curves far less at its mode than away from it."""

    n: int
    steep: float = 1.0

    def __call__(self, theta):
        return -self.steep * float(np.sum(theta**4)), -4.0 * self.steep * theta**3


def of_climbs():
    return [
        (found.theta, found.evaluations)
        for n in (600, 1_500)
        for start in (1.0, 6.0)
        for found in [laplace.climb(np.full(2, start), np.eye(2), Quartic(n, 0.2))]
    ]


def of_starts_of_chains():
    around = SimpleNamespace(mode=SimpleNamespace(value=0.0), root=np.eye(2), at_normal=lambda z: z)
    return [hmc.begun(around, Quartic(10, steep), RNG(3)).z for steep in np.geomspace(0.01, 10.0, 20)]


def of_rows_of_chains():
    return [hmc.few_rows(SimpleNamespace(n=n, take=len), seed=1) for n in (700, 5_000, 9_000)]


def of_models_left_out():
    return [each.value for each in modes.ranked([SimpleNamespace(value=-float(k)) for k in range(40)])]


def of_numbers_of_draws():
    return [model_average.n_draws(n, share, 20) for n in (700, 1_500, 4_000) for share in (0.1, 0.5)]


def of_squares_that_vary():
    arm = np.arange(200.0) % 2
    sample = SimpleNamespace(
        bare=SimpleNamespace(x=torch.zeros(200, 1)), treatment=arm, propensity=arm, events=False
    )
    squares = RNG(1).exponential(size=200)
    return [
        heteroskedastic.heard(sample, squares + more * arm, False, 0.0) is None
        for more in np.linspace(0.0, 1.0, 80)
    ]


def of_evidence_for_variances():
    of = lambda value, noise: SimpleNamespace(
        value=value,
        mode=SimpleNamespace(theta=np.zeros(1)),
        model=SimpleNamespace(rows=SimpleNamespace(noise=np.full(3, noise))),
    )
    found = SimpleNamespace(applied=lambda few: few, slopes=[1.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heteroskedastic, "search", lambda *given: [of(5.0, 2.0)])
        few = SimpleNamespace(rows=None)
        return [heteroskedastic.evidence_for(found, few, (), of(0.0, was)) for was in (2.0, 1.5, 1.0, 0.5)]


@dataclass(frozen=True)
class Form:
    """An outcome model by its number."""

    number: int
    log_odds: float = 0.0


def candidates(n):
    """Models that trail one another by a third of a nat, on so many rows."""
    return [
        SimpleNamespace(
            value=-k / 3.0,
            mode=SimpleNamespace(value=-k / 3.0),
            model=SimpleNamespace(rows=SimpleNamespace(n=n), form=Form(k)),
        )
        for k in range(60)
    ]


@dataclass(frozen=True)
class Some:
    """As much of a sample as says how many rows it has."""

    n: int

    @property
    def bare(self):
        return self

    def thinned(self, most, seed):
        return Some(min(self.n, most))

    def rows(self, form):
        return None


def of_models_on_more_rows():
    pairs, on = [(each, each) for each in candidates(250)], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_average, "height", lambda pair: pair[1].value)
        patch.setattr(
            model_average, "on_more", lambda candidate, laplace, sample: (on.append(sample.n), laplace)
        )
        shares = [model_average.chosen_of(pairs, Some(n), 1, 1)[1] for n in (250, 300, 600, 3_000)]
    return shares, on


def of_models_that_trail():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("sought", "search"):
            patch.setattr(search, name, lambda *given: candidates(250))
        kept = [search.searched(Some(n), Options(), True)[1] for n in (300, 2_000)]
        return [len(each) for each in (*kept, search.followed(Some(300), {})[1])]


def of_starts_of_folds():
    options = Options(n_jobs=1)
    found = []
    for n, n_folds in ((120, 4), (120, 7), (220, 4), (500, 4), (500, 3), (500, 7)):
        study = SimpleNamespace(treatment=np.arange(n) % 2, propensity=np.full(n, 0.5))
        folds = Folds(np.arange(n) % n_folds, n_folds, 1)
        found.append(
            [None if each is None else len(each.rows) for each in starts.rests(study, folds, options)]
        )
    return found


def of_models_that_trail_at_a_start():
    of = SimpleNamespace(units=SimpleNamespace(columns=None))
    modes_of = {each.model.form: each.mode for each in candidates(250)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts, "best_columns", lambda *given: (of, None, modes_of))
        patch.setattr(starts.Sample, "either", lambda *given: [])
        rest = SimpleNamespace(rows=None, treatment_mean=lambda study, folds: None)
        return len(starts.start_of(SimpleNamespace(binary=True), None, rest, Options()).begin)


def of_kernels_or_curves():
    study = lambda n: SimpleNamespace(n=n, encoder=SimpleNamespace(columns=()), covariate_of=())
    return [list(regression.smooth_learners(study(n))) for n in (2_000, 5_000)]


def of_boxes():
    model, theta = example(CENTRED.of_kinds("edged", "edged"), n=100)
    with CONSTANTS["gp.jumps.numbers"].at(0.005):  # as with many rows
        some = jumps.candidates(model, torch.as_tensor(theta), RNG(2))
    among = jumps.candidates(model, torch.as_tensor(theta), RNG(3))
    heard = jumps.columns_of(model, among).numpy()
    told = jumps.Told(heard, heard, heard.T @ model.rows.y.numpy())
    parts = [posterior(model, [theta]).components[0]]
    drawn = [jumps.drawn(told, among, RNG(seed)) for seed in range(4)]
    return some.boxes, among.log_chance, drawn, [each.weight for each in jumps.shared_out(parts)]


def of_rows_of_a_regression():
    rows = SimpleNamespace(n=1_000, take=lambda chosen: SimpleNamespace(n=len(chosen)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regression, "find_mode", lambda few, scales, **options: few)
        patch.setattr(regression, "on_more_rows", lambda found, more, scales: (found.n, more.n))
        return regression.found_scales(SimpleNamespace(rows=rows, scales=None), seed=1)


def of_residuals():
    return usual_sd(RNG(1).standard_t(3, size=500))


# what acts in each, by module
ACTS: dict[Callable[[], object], str] = {
    of_priors: "gp.priors: faint_sd length_sd long_sd strong_sd",
    of_outcome_models: "gp.outcome_models: effect_shape outcome_rate",
    of_climbs: "gp.laplace: close few_steps longest_step many_rows most_steps",
    of_starts_of_chains: "gp.hmc: furthest_start",
    of_rows_of_chains: "gp.hmc: rows share_of_rows",
    of_models_left_out: "gp.modes: hopeless",
    of_numbers_of_draws: "gp.model_average: fewest_draws fewest_draws_of_many full_draws_rows",
    of_squares_that_vary: "gp.heteroskedastic: screen",
    of_evidence_for_variances: "gp.heteroskedastic: least_gain most_loss taken_over",
    of_models_on_more_rows: "gp.model_average: coarsening least_share least_share_on_fewer rows_between",
    of_models_that_trail: "gp.search: chance contending",
    of_starts_of_folds: "gp.starts: fewest_folds fewest_rows",
    of_models_that_trail_at_a_start: "gp.starts: trailing",
    of_kernels_or_curves: "gp.regression: most_rows",
    of_boxes: "gp.jumps: chance corners cuts draws least_share numbers places rounds step",
    of_rows_of_a_regression: "gp.regression: first_rows rows",
    of_residuals: "gp.outliers: central_sd central_share",
}


@pytest.mark.parametrize("scenario", ACTS, ids=lambda each: each.__name__.removeprefix("of_"))
def test_numbers_change_what_their_functions_say(scenario):
    assert idle(scenario, ACTS[scenario]) == []
