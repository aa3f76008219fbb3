"""Numbers that decide do decide: each, doubled or halved, changes what its own function says of some small input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.constants import FACTORS, constants
from hte_bridge.digest import fingerprint
from hte_bridge.engines.deep import accounts, route_basis
from hte_bridge.engines.deep.basis import blocks, coarse, features, interactions, layout, room
from hte_bridge.engines.deep.basis.networks import TauNetOptions
from hte_bridge.engines.deep.basis.problem import Problem
from hte_bridge.engines.deep.basis.variance_components import variance_components
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
from hte_bridge.engines.deep.nuisance import gam, quadratic_ridge
from hte_bridge.engines.deep.nuisance.logistic import logistic_ridge
from hte_bridge.engines.deep.nuisance.propensity import parts_of
from hte_bridge.engines.deep.nuisance.training import from_some_seed
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.passes.probe import thinned
from hte_bridge.engines.deep.store import memory
from hte_bridge.errors import DidNotConverge
from hte_bridge.study import Folds
from tests.helpers.gaussian_process import CENTRED, example, posterior

CONSTANTS = {each.name: each for each in constants()}
RNG = np.random.default_rng


def surfaces(q, number=40):
    """Structures as networks of noise and of a few pairs make them."""
    for seed in range(number):
        rng = RNG(seed)
        importance = rng.exponential(size=q) ** 2
        pairs = np.triu(np.outer(importance, importance) * rng.exponential(size=(q, q)) ** 2 * 0.02, 1)
        yield interactions.Structure(importance, pairs + pairs.T)


def of_structures():
    even, few = np.triu(RNG(1).uniform(1.0, 3.0, (8, 8)), 1), np.full((8, 8), 1e-9)
    few[0, 1:4] = 1.0, 0.004, 0.0025
    lone = [interactions.Structure(np.full(8, 0.01), pairs + pairs.T) for pairs in (even, np.triu(few, 1))]
    return [
        (each.strongest(6), each.cliques(3), each.prominent(), each.leading_pairs(24, [np.arange(3)]), each.sparse, each.crowded, each.loud(0.05))
        for each in (*lone, *surfaces(8), *surfaces(30))
    ]  # fmt: skip


def of_probes():
    z = RNG(1).normal(size=(3_000, 20))
    found = interactions.probe(lambda x: x[:, 0] * x[:, 19] + x.sum(axis=1), z, seed=1)
    return found.importance, found.pairs


def of_layout():
    z = RNG(1).normal(size=(14_000, 40))
    z[:, 1] = np.round(z[:, 1] * 4) / 4  # few values
    names, found = [f"x{j}" for j in range(40)], list(surfaces(40, 4))
    crowded = interactions.Structure(np.ones(40), 0.1 * (1 - np.eye(40)))
    made = layout.layout(z, names, [0], [found[0], crowded], crowded, [9e9] * 3, seed=1)
    made += layout.unheard_blocks(z, names, [crowded], crowded, made, [np.arange(2)])
    made += layout.net_blocks(z[:, :2], 40)
    return [(each.name, each.columns, each.folds, each.main, each.arrays) for each in made], layout.room(
        z[:, :5], True
    )


def of_layouts_blocks():
    z, names = RNG(1).normal(size=(500, 15)), [f"x{j}" for j in range(15)]
    sizes = [blocks.Sizes.of(14_000, 10, alone) for alone in (False, True)]
    made = blocks.clique_blocks(z, names, (1, 2, 3), sizes[0], seed=1) + blocks.everything_blocks(
        15, 20, seed=1
    )
    return sizes, [each.arrays for each in made]


def of_a_walk():
    values = RNG(1).choice(np.arange(200) * 1.5e-3, 150_000)
    z = np.column_stack([RNG(2).normal(size=len(values)), values])
    return [each.arrays for each in blocks.varying_slope_blocks(z, ["a", "b"], (0, 1), blocks.Sizes(bins=8))]


def of_features():
    z = RNG(1).normal(size=(9_000, 3))
    (wide,) = blocks.smooth_blocks("all", (0, 1, 2), 110, (2.0,), seed=1)
    (narrow,) = blocks.smooth_blocks("one", (0,), 5, (3.0,), seed=1)
    ramp = features.Block("ramp", "ramp", (0,), {"knots": features.knots(z[:, 0], 250)})
    many = [np.resize(z, (n, 3)) for n in (40_000, 60_000, 400_000)]
    some = (
        (wide, z),
        (wide, z[:1_500]),
        (wide, many[2]),
        (narrow, z),
        (narrow, many[0]),
        (narrow, many[1]),
        (ramp, z),
    )
    thin = [features.condensed(*each).arrays for each in some]
    return thin, features.Basis.fit([wide], z, z.mean(0), z.std(0)).feature_scale


def of_coarser_problems():
    rng = RNG(1)
    x = rng.normal(size=(900, 100)) * np.exp(-np.arange(100) / 25.0)
    problem = Problem(x.T @ x, x.T @ rng.normal(size=900), 900.0, 900, np.zeros(100, dtype=np.int64))
    many = [replace(problem, freedom=rows) for rows in (900, 40_000, 60_000)]
    return [coarse.directions(each, np.arange(k))[1] for each in many for k in (5, 12, 40, 100)]


def of_accounts():
    return [accounts.share_of_blocks(n, ahead) for n in (3_100, 4_000, 10_000, 45_000, 49_000) for ahead in (-45.0, -20.0, 0.0, 30.0)]  # fmt: skip


def of_room():
    shape = room.Shape(levels=500, slopes=0, rows=100_000, cells=6, at_once=4)
    many = blocks.smooth_blocks("all", (0, 1), 14, (1.0,), seed=1)
    return (
        shape.forecast(1_500),
        [shape.within(k, memory.Budget(1e12)).at_once for k in range(500, 4_000, 100)],
        room.thinned(many[0]) is None,
    )


def of_logistic_regressions():
    x = RNG(1).normal(size=(20_100, 1))
    y = 1.0 * (RNG(2).logistic(size=len(x)) < x[:, 0])
    rare, some = np.flatnonzero(y == 1)[:7], np.flatnonzero(y == 0)[:60]
    few = np.concatenate([rare, some])
    halves = [np.concatenate([np.flatnonzero(y == 1)[:k], some]) for k in (6, 15)]
    sized = [(x[:n], y[:n]) for n in (10_100, 20_100)]
    return [
        logistic_ridge(a, b, np.ones(len(b))) for a, b in [*sized, *((x[k], y[k]) for k in (few, *halves))]
    ]


def of_networks_schedules():
    return [TauNetOptions(epochs=99).epochs_for(n) for n in (10_000, 100_000, 10_000_000)]


def of_priors():
    return [kind.prior(4, sparse) for kind in (Smooth(), Additive()) for sparse in (True, False)]


def of_outcome_models():
    return outcome_models(8.0, binary=True), outcome_models_at_levels(8.0, two_values=False)


def of_variances():
    rng = RNG(1)
    x = rng.normal(size=(300, 60))
    y = x[:, :20] @ rng.normal(size=20) + 0.1 * x[:, 20:40] @ rng.normal(size=20) + rng.normal(size=300)
    owner = np.repeat(np.arange(3), 20)
    return variance_components(Problem(x.T @ x, x.T @ y, float(y @ y), 300, owner)).mean


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


def of_curves():
    return [gam.bins(n, p) for n, p in ((5_000, 10), (1_000_000, 60))]


def of_ridges():
    x = RNG(1).normal(size=(60, 2))
    ridge = quadratic_ridge.QuadraticRidge.of(x, np.ones(60))
    with CONSTANTS["nuisance.quadratic_ridge.most_work"].at(0.004):  # as with many covariates
        large = quadratic_ridge.QuadraticRidge.of(RNG(2).normal(size=(60, 40)), np.ones(60)) is None
    return ridge.predict(np.arange(20), x[:, 0] ** 2 + x[:, 1]), large


def of_propensities_near_an_end():
    own = np.linspace(0.0, 0.1, 50)
    rest = starts.Rest(np.arange(50), SimpleNamespace(without_own_part=lambda part: own))
    return rest.treatment_mean(SimpleNamespace(n=50, binary=True), Folds(np.arange(50) % 2, 2, 1))


def of_rows_of_a_regression():
    rows = SimpleNamespace(n=1_000, take=lambda chosen: SimpleNamespace(n=len(chosen)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regression, "find_mode", lambda few, scales, **options: few)
        patch.setattr(regression, "on_more_rows", lambda found, more, scales: (found.n, more.n))
        return regression.found_scales(SimpleNamespace(rows=rows, scales=None), seed=1)


def of_residuals():
    return usual_sd(RNG(1).standard_t(3, size=500))


@dataclass(frozen=True)
class Folded:
    """As much of a study as parts of folds need."""

    n: int = 24


def of_parts():
    return parts_of(Folded(), Folds(np.arange(24) % 12, 12, 1))


def of_failed_networks():
    tried = []
    with pytest.raises(DidNotConverge) as said:
        from_some_seed(tried.append, 1, 7, "nothing")
    return tried, str(said.value)


def of_levels_with_many_rows():
    keys = RNG(1).integers(0, 2**63, 2_000, dtype=np.uint64) * np.uint64(2)
    return thinned(np.arange(2_000) % 4, keys)


def of_a_hardly_varying_propensity():
    rng, fold = RNG(1), np.arange(400) % 4
    found = []
    for spread in (0.006, 0.015):
        study = type("Study", (), {"treatment": rng.integers(0, 2, 400).astype(float)})()
        mean = 0.5 + spread * rng.choice([-1.0, 1.0], 400)
        treatment = type("Treatment", (), {"mean": mean, "crossfitted": True})()
        found.append(route_basis.beside_constant(study, Folds(fold, 4, 1), treatment) is None)
    return found


def of_memory():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "available", lambda: 10_000_000_000)
        return memory.Budget.of(Options()).bytes


# what acts in each, by module
ACTS: dict[Callable[[], object], str] = {
    of_structures: "basis.interactions: all_products audible clique_share leading_share loud prominent prominent_pairs pair_share pair_stands_out",
    of_probes: "basis.interactions: paired_covariates probes step",
    of_layout: "basis.layout: fold_pairs most_leading network_bins points_per_leading unheard_pairs wider",
    of_layouts_blocks: "basis.blocks: clique_scales points_per_feature product_scale rows_per_feature wide",
    of_a_walk: "basis.blocks: closest points_per_step walked_values",
    of_features: "basis.features: dropped_points least_dropped many many_waves most_dropped normalising_points tail_df waves_points",
    of_coarser_problems: "basis.coarse: block block_of_many mass rows",
    of_accounts: "accounts: kernel_rows least_share most_ahead most_rows power",
    of_room: "basis.room: fewest_frequencies row side_by_side squares tables",
    of_logistic_regressions: "nuisance.logistic: fewest one_penalty_rows with_few with_many",
    of_networks_schedules: "basis.networks: fewest_epochs most_epochs rows_seen",
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
    of_curves: "nuisance.gam: bins most_work",
    of_ridges: "nuisance.quadratic_ridge: linear_penalty most_work noise_to_signal",
    of_propensities_near_an_end: "nuisance.propensity: lowest",
    of_rows_of_a_regression: "gp.regression: first_rows rows",
    of_residuals: "gp.outliers: central_sd central_share",
    of_parts: "nuisance.propensity: most_parts",
    of_failed_networks: "nuisance.training: restarts",
    of_levels_with_many_rows: "passes.probe: of_level",
    of_a_hardly_varying_propensity: "route_basis: least_variation",
    of_memory: "store.memory: share_of_free",
    of_variances: "basis.variance_components: close fewest_steps longest stride",
}


def moves(scenario, name, before):
    """Whether a number, doubled or halved, changes what a function says; that it then says nothing is a change."""
    for factor in FACTORS.values():
        with CONSTANTS[name].at(factor):
            try:
                now = fingerprint(scenario())
            except (ValueError, IndexError):
                return True
        if now != before:
            return True
    return False


@pytest.mark.parametrize("scenario", ACTS, ids=lambda each: each.__name__.removeprefix("of_"))
def test_numbers_change_what_their_functions_say(scenario):
    module, _, fields = ACTS[scenario].partition(": ")
    before = fingerprint(scenario())
    assert [each for each in fields.split() if not moves(scenario, f"{module}.{each}", before)] == []
