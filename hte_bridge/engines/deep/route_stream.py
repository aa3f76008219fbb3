"""A study whose rows lie on disk: structure on a sample, sums of all rows by folds, held-out predictions in a second pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from hte_bridge.arrays import Array, Codes
from hte_bridge.cores import cores
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.basis.centring import Moved
from hte_bridge.engines.deep.basis.data import Rows, unique_rows
from hte_bridge.engines.deep.basis.design import Design, design
from hte_bridge.engines.deep.basis.fixed_effects import ELIMINATION
from hte_bridge.engines.deep.basis.mixed_model import Clock, beaten, info_of, unexplained
from hte_bridge.engines.deep.basis.networks import Send
from hte_bridge.engines.deep.basis.normal_equations import NormalEquations, total
from hte_bridge.engines.deep.basis.room import NUMBER, Shape
from hte_bridge.engines.deep.basis.solve import spread_of
from hte_bridge.engines.deep.canonical import Seen
from hte_bridge.engines.deep.checks import check_other_folds
from hte_bridge.engines.deep.nuisance.propensity import PROPENSITY
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.passes.finer import finer_blocks, with_blocks
from hte_bridge.engines.deep.passes.models import FoldModel, WholeModel, fold_model, whole_model
from hte_bridge.engines.deep.passes.ordered import Ordered, points_of, swept_effect
from hte_bridge.engines.deep.passes.predict import PredictedRows, PredictionsOf, predictions
from hte_bridge.engines.deep.passes.probe import Probe, chosen_clusters, thinned
from hte_bridge.engines.deep.passes.sums import SumsOf, sums_by_fold
from hte_bridge.engines.deep.result import Branch, FullFit
from hte_bridge.engines.deep.store.checkpoint import Checkpoint
from hte_bridge.engines.deep.store.memory import GB, Budget
from hte_bridge.engines.trends import doubts
from hte_bridge.errors import NotEnoughMemory
from hte_bridge.keys import mixed, seeded
from hte_bridge.lost import lost_to_effects
from hte_bridge.stream import Cluster, Left, Processes, Runner, Serial, Store, parts_of
from hte_bridge.stream.store import release
from hte_bridge.study import Folds, Study


@dataclass(frozen=True)
class SampleRule:
    """On which rows the structure is found, and how much is held at once."""

    # at most
    rows: int = 100_000
    # levels of the effect with most of them, at most: of a million users with ten rows each few would have two in a sample of rows
    units: int = 10_000
    # rows, up to which a study is fitted in memory: to exact or cross-fitted nuisances, and where there are clusters to models that are held against
    # clusters left out, which sums cannot tell
    in_memory: int = 20_000
    # rows, from which on processes that make passes are let go between two of them: what they hold is then more than starting them again costs
    rest: int = 2_000_000
    # models fitted side by side, at most: each holds a few matrices as wide as the basis
    side_by_side: int = 4


SAMPLE = SampleRule()
PAIR = 16  # bytes of an entry of a sparse array


@dataclass(frozen=True)
class Places:
    """Who makes the passes, what memory there is, how much of it the levels' system takes, and how many models are fitted side by side."""

    runner: Runner
    budget: Budget
    pairs: float
    side_by_side: int


STRUCTURE = "Networks found the structure on {sample:,} of {rows:,} rows; effects and errors are from all."


def wants_memory(study: Study) -> bool:
    """Whether a study of files is fitted in memory, as the frame of its rows is: one of few rows, or with controls.

    Raises
    ------
    NotEnoughMemory
        If there are controls and many rows.
    """
    if study.controls is None:
        return study.n <= SAMPLE.in_memory
    if study.n > SAMPLE.rows:
        raise NotEnoughMemory(
            f"Deep learns from controls in memory, on up to {SAMPLE.rows:,} rows. There are {study.n:,}. Name the controls among the covariates."
        )
    return True


def fit_stream(study: Study, folds: Folds, options: Options) -> Branch:
    """Fit a study of files by two passes over its rows, which its own runner makes; one in memory is fitted in the same way.

    Parameters
    ----------
    study : Study
        What is held of its rows in memory is what ``HeldOut`` has.
    folds : Folds
    options : Options

    Raises
    ------
    DidNotConverge
        If a network's loss is not finite from any seed, or the Gram matrix is singular.
    InvalidOption
        If the folder of checkpoints cannot be made.
    NotEnoughMemory
        If effects have more levels than fit.
    NotIdentified
        If the treatment of a cross-section does not vary without some fold.
    UnwritableFolder
        If the disk is full.
    """
    if not study.fixed_effects.shape[1]:
        check_other_folds(study, folds)
    clock, checkpoint = Clock(), Checkpoint.of(options.checkpoint)
    runner, store = workplace(study)
    shift, side_by_side = shift_of(study), options.n_jobs or cores_of(runner)
    outcome, treatment = study.outcome - shift.outcome, (study.treatment - shift.dose) / shift.unit
    sample, few, seen = sampled(study, folds, options, shift)
    own, dose = replace(options, n_jobs=side_by_side), seen.study.treatment
    made = design(seen.study, seen.order.folds(few), own, dose, checkpoint, send=sender(runner, store))
    clock.done("networks")
    ordered = Ordered.of(study, folds, outcome, treatment, seen.encode_columns, store)
    ordered = replace(ordered, blank=len(made.basis.centre) - made.q)
    probe = probe_of(study, folds, outcome, treatment, seen, ordered)
    made = made.without_networks(probe.rows)
    places = Places(runner, Budget.of(options), pairs_of(study, folds, ordered), side_by_side)
    check_memory(made, ordered, folds.n_folds, places.budget, places.pairs)
    clock.done("order")
    if checkpoint.folder is not None:
        data = (outcome, treatment, study.weight, study.fixed_effects, study.covariates, folds.fold)
        checkpoint = checkpoint.under(data, made.basis, made.drift)
    work = SumsOf(ordered, made.basis, made.drift, made.device, checkpoint)
    made, whole, models = models_of(work, made, probe, study, seen.study.filled_names, places, clock)
    light = replace(made, rows=probe.rows.at(np.arange(0)))
    effects = whole.solved.model.system.elimination if made.rows.sizes else None
    predict = PredictionsOf(ordered, light, models, whole.coefficients, whole.base)
    found = predictions(predict, runner, effects, *means_of(study, shift))
    rested(runner, study.n)
    whole = unexplained_by(whole, made, found, treatment, study, seen.encode_columns)
    release(study.covariates, study.fixed_effects, study.outcome, study.treatment, study.weight)
    clock.done("held out")
    info = info_of(made, whole.solved, whole.inflation, shift.unit) | {"losses": found.loss, "rows": study.n}
    info |= {"sample": sample.n, "blocks": len(ordered.blocks), "seconds": clock.seconds}
    notes = notes_of(study, sample, made, whole, found, shift)
    surface = FullFit(
        whole.surface.per(shift.unit),
        converged=whole.solved.layer.converged,
        structure=made.structure.arrays(),
    )
    return Branch("stream", held_out(study, found, shift), surface, notes, info)


def models_of(
    work: SumsOf,
    made: Design,
    probe: Probe,
    study: Study,
    names: Sequence[str],
    places: Places,
    clock: Clock,
) -> tuple[Design, WholeModel, list[FoldModel]]:
    """The model of all rows and those of the folds; of many rows fitted anew, with a pass more, where the first ones miss a jump.

    Where finer knots would not fit into memory, models stay what they are, and what they miss is in the variance that no block explains.
    """
    weighted = study.weighted and not study.clustered
    sums = sums_by_fold(work, places.runner)
    rested(places.runner, study.n)
    clock.done("sums")
    whole, models = fitted_to(sums, made, probe, weighted, places.side_by_side)
    clock.done("models")
    blocks = finer_blocks(whole, models, made, names)
    finer = with_blocks(made, blocks)
    if not blocks or forecast(finer, work.ordered, len(sums), places.pairs) > places.budget.bytes:
        return made, whole, models
    del sums
    checkpoint = work.checkpoint
    if checkpoint.folder is not None:
        checkpoint = checkpoint.under(finer.basis, finer.drift)
    work = replace(work, basis=finer.basis, drift=finer.drift, checkpoint=checkpoint)
    sums = sums_by_fold(work, places.runner)
    rested(places.runner, study.n)
    clock.done("sums with jumps")
    again, models = fitted_to(sums, finer, probe, weighted, places.side_by_side)
    clock.done("models with jumps")
    return finer, replace(again, jumps=(*whole.jumps, *again.jumps)), models


def unexplained_by(
    whole: WholeModel,
    made: Design,
    found: PredictedRows,
    treatment: Array,
    study: Study,
    encode: Callable[[Array], Array],
) -> WholeModel:
    """The model of all rows with the variance of the effect that its blocks leave: of all rows, as at ten million what half of them say is noise."""
    point = np.unique(points_of(study), return_inverse=True)[1].reshape(-1)
    weight = np.asarray(study.weight)
    arm = np.asarray(study.treatment).astype(np.int64) if study.binary else None

    def standardised() -> Iterator[tuple[int, Array]]:
        centre, scale = made.basis.centre[: made.q], made.basis.scale[: made.q]
        for part in parts_of(study.n):
            x = encode(np.asarray(study.covariates[part.rows]))
            yield part.rows.start, (x - centre) / scale

    rest = arm, point, study.fixed_effects, standardised
    return whole.with_residuals(made, found.left, treatment, weight / weight.mean(), *rest)


def notes_of(
    study: Study, sample: Study, made: Design, whole: WholeModel, found: PredictedRows, shift: Moved
) -> tuple[str, ...]:
    """Sentences for every row of the table."""
    spread = max(spread_of(made, whole.solved), 1e-300)
    notes = (
        *filter(None, (made.note,)),
        *unexplained(whole.solved, spread, shift.unit),
        *beaten(found.loss),
        *doubts(sample),
    )
    return notes if sample.n == study.n else (STRUCTURE.format(sample=sample.n, rows=study.n), *notes)


def fitted_to(
    sums: list[NormalEquations], made: Design, probe: Probe, weighted: bool, n_jobs: int
) -> tuple[WholeModel, list[FoldModel]]:
    """The model of all rows, and that of each fold.

    In threads: sums are too large to be sent about, and factors of matrices leave Python alone.
    """
    jobs = [delayed(whole_model)(made, total(sums), probe, weighted)]
    jobs += [delayed(fold_model)(made, fold, sums, probe) for fold in range(len(sums))]
    whole, *models = Parallel(n_jobs=min(n_jobs, SAMPLE.side_by_side), backend="threading")(jobs)
    return whole, models


def rested(runner: Runner, n: int) -> None:
    """Between two passes over many rows the processes that make them are let go, with what they hold."""
    if n >= SAMPLE.rest:
        runner.rest()


def cores_of(runner: Runner) -> int:
    """How many processes or threads this machine may have for what is no pass."""
    if isinstance(runner, Cluster):
        return cores()
    return runner.count if isinstance(runner, Processes) else 1


def sender(runner: Runner, store: Store) -> Send | None:
    """Has networks trained by the workers of a cluster, who read the sample from the disk that they share."""
    if not isinstance(runner, Cluster):
        return None
    return lambda function, jobs: runner.map(Left.of(function, store), jobs)


def workplace(study: Study) -> tuple[Runner, Store]:
    """Who makes the passes, and a folder of this fit's own beside the study's."""
    stored = study.stored
    if stored is None:
        return Serial(), Store.temporary()
    return stored.runner, Store.temporary(stored.store.folder.parent)


def sampled(
    study: Study, folds: Folds, options: Options, shift: Moved | None = None
) -> tuple[Study, Folds, Seen]:
    """A random sample with its folds, outcome and treatment moved, and as the engine sees it; the same at every call."""
    shift = shift or shift_of(study)
    rows = sample_rows(study, folds, options.seed)
    own = study.subset(rows)
    own = own.with_(outcome=own.outcome - shift.outcome, treatment=(own.treatment - shift.dose) / shift.unit)
    few = Folds(folds.fold[rows], folds.n_folds, folds.seed)
    return own, few, Seen.of(own, few)


def shift_of(study: Study) -> Moved:
    """As ``Moved.of``; without effects the treatment is centred too."""
    shift = Moved.of(study)
    if study.fixed_effects.shape[1]:
        return shift
    return replace(shift, dose=float(np.average(study.treatment, weights=study.weight)))


def sample_rows(study: Study, folds: Folds, seed: int) -> Codes:
    """Places of a random sample: units of the effect with most levels, and of their rows as many as there is room for."""
    keys, effects = seeded(study.keys, seed), study.fixed_effects
    rows = np.arange(study.n)
    if effects.shape[1]:
        widest = np.asarray(effects[:, int(np.argmax([len(each) for each in study.effect_levels]))])
        levels = int(widest.max()) + 1
        if levels > SAMPLE.units:
            order = np.argsort(seeded(mixed(np.arange(levels, dtype=np.uint64)), seed), kind="stable")
            taken = np.zeros(levels, dtype=np.bool_)
            taken[order[: SAMPLE.units]] = True
            rows = np.flatnonzero(taken[widest])
    if len(rows) > SAMPLE.rows:
        rows = rows[np.argpartition(keys[rows], SAMPLE.rows)[: SAMPLE.rows]]
    return np.sort(rows)


def probe_of(
    study: Study, folds: Folds, outcome: Array, treatment: Array, seen: Seen, ordered: Ordered
) -> Probe:
    """Rows of some whole clusters, or units of the swept effect, or rows."""
    place = swept_effect(study.fixed_effects, folds.fold) if ordered.swept else None
    unit = None if place is None else np.asarray(study.fixed_effects[:, place])
    cluster = np.asarray(study.cluster) if study.clustered or unit is None else unit
    keys = mixed(np.arange(int(cluster.max()) + 1, dtype=np.uint64))
    rows = np.arange(study.n)
    if unit is not None and not study.clustered:
        rows = np.flatnonzero(thinned(unit, seeded(study.keys, 0)))
    rows = rows[chosen_clusters(cluster[rows], keys)]
    x = seen.encode_columns(np.asarray(study.covariates[rows]))
    first, point = unique_rows(x)
    others = np.delete(np.asarray(study.fixed_effects[rows]), [] if place is None else [place], axis=1)
    if place is not None and not others.shape[1]:
        others = np.zeros((len(rows), 1), dtype=np.int64)
    found = Rows(
        outcome[rows],
        treatment[rows],
        np.asarray(study.weight[rows]) / float(study.weight.mean()),
        others,
        ordered.sizes,
        folds.fold[rows],
        point,
        np.hstack([x[first], np.zeros((len(first), ordered.blank))]),
        (),
        None,
        study.treatment[rows].astype(np.int64) if study.binary else None,
    )
    share = float(study.weight[rows].sum() / study.weight.sum())
    code = np.unique(cluster[rows], return_inverse=True)[1].reshape(-1)
    return Probe(found, None if unit is None else unit[rows], code, study.clustered, share)


def pairs_of(study: Study, folds: Folds, ordered: Ordered) -> float:
    """Bytes that the system of the levels takes, at most: of few a square matrix, of many those pairs that share a level of the swept effect."""
    levels = sum(ordered.sizes)
    if not ordered.swept or levels <= ELIMINATION.swept_levels:
        return NUMBER * float(levels) ** 2
    place = swept_effect(study.fixed_effects, folds.fold)
    rows = np.bincount(np.asarray(study.fixed_effects[:, place]))
    return PAIR * min(float(levels) ** 2, float((rows.astype(float) ** 2).sum()) * len(ordered.sizes) ** 2)


def check_memory(made: Design, ordered: Ordered, n_folds: int, budget: Budget, pairs: float) -> None:
    """Refuse sums by levels and features that would not fit beside ``pairs`` bytes of the levels' system.

    Raises
    ------
    NotEnoughMemory
        With the forecast.
    """
    levels, width = sum(ordered.sizes), made.basis.size + int(made.drift.sum())
    wanted = forecast(made, ordered, n_folds, pairs)
    if wanted > budget.bytes:
        raise NotEnoughMemory(
            "Deep keeps sums of each feature by each level of an effect, but for the effect with most levels whose levels each lie in one "
            f"fold. With {levels:,} levels and {width:,} features they would take {wanted / GB:,.1f} GB, and {budget.text}, may be "
            "taken. Cluster by the effect with most levels, so that folds hold its levels whole, or leave an effect out."
        )


def forecast(made: Design, ordered: Ordered, n_folds: int, pairs: float) -> float:
    """Bytes that sums and models take, with ``pairs`` for the levels' system of each."""
    shape = Shape(sum(ordered.sizes), 0, made.rows.n, n_folds, min(n_folds, SAMPLE.side_by_side))
    return shape.forecast(made.basis.size + int(made.drift.sum())) + pairs * (n_folds + 1)


def means_of(study: Study, shift: Moved) -> tuple[tuple[float, float] | None, Array | None]:
    """Of a cross-section, where the treatment's mean must lie, and the mean where it is known, in the passes' units."""
    if study.fixed_effects.shape[1]:
        return None, None
    if study.propensity is not None:
        return None, (np.asarray(study.propensity) - shift.dose) / shift.unit
    if not study.binary:
        return None, None
    return (PROPENSITY.lowest - shift.dose, 1 - PROPENSITY.lowest - shift.dose), None


def held_out(study: Study, found: PredictedRows, shift: Moved) -> HeldOut:
    """Predictions in the study's units."""
    panel = study.fixed_effects.shape[1] > 0
    variance: Any = found.variance if panel or not study.binary else None
    lost = lost_to_effects(study) if panel else 0.0
    return shift.back(HeldOut(found.cate, found.outcome_mean, found.propensity, variance, lost))
