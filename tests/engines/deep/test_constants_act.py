"""Numbers that decide do decide: each, doubled or halved, changes what its own function says of some small input; the exact kernel's stand apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from hte_bridge.engines.deep import accounts, route_basis
from hte_bridge.engines.deep.basis import blocks, coarse, features, interactions, layout, room
from hte_bridge.engines.deep.basis.networks import TauNetOptions
from hte_bridge.engines.deep.basis.problem import Problem
from hte_bridge.engines.deep.basis.variance_components import variance_components
from hte_bridge.engines.deep.gp import (
    starts,
)
from hte_bridge.engines.deep.nuisance import gam, quadratic_ridge
from hte_bridge.engines.deep.nuisance.logistic import logistic_ridge
from hte_bridge.engines.deep.nuisance.propensity import parts_of
from hte_bridge.engines.deep.nuisance.training import from_some_seed
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.passes.probe import thinned
from hte_bridge.engines.deep.store import memory
from hte_bridge.errors import DidNotConverge
from hte_bridge.study import Folds
from tests.helpers.acting import CONSTANTS, idle

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


def of_variances():
    rng = RNG(1)
    x = rng.normal(size=(300, 60))
    y = x[:, :20] @ rng.normal(size=20) + 0.1 * x[:, 20:40] @ rng.normal(size=20) + rng.normal(size=300)
    owner = np.repeat(np.arange(3), 20)
    return variance_components(Problem(x.T @ x, x.T @ y, float(y @ y), 300, owner)).mean


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
    of_curves: "nuisance.gam: bins most_work",
    of_ridges: "nuisance.quadratic_ridge: linear_penalty most_work noise_to_signal",
    of_propensities_near_an_end: "nuisance.propensity: lowest",
    of_parts: "nuisance.propensity: most_parts",
    of_failed_networks: "nuisance.training: restarts",
    of_levels_with_many_rows: "passes.probe: of_level",
    of_a_hardly_varying_propensity: "route_basis: least_variation",
    of_memory: "store.memory: share_of_free",
    of_variances: "basis.variance_components: close fewest_steps longest stride",
}


@pytest.mark.parametrize("scenario", ACTS, ids=lambda each: each.__name__.removeprefix("of_"))
def test_numbers_change_what_their_functions_say(scenario):
    assert idle(scenario, ACTS[scenario]) == []
