"""From a study to the last layer's columns: points, networks, structure, basis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.blocks import Basis, Block, knots
from hte_bridge.engines.deep.checkpoint import NOWHERE, Checkpoint
from hte_bridge.engines.deep.devices import device_of, doubles_on
from hte_bridge.engines.deep.points import Rows, SlopeGroups, constant_columns, distinct
from hte_bridge.engines.deep.structure import (
    WIDE,
    Sizes,
    Structure,
    average,
    clique_blocks,
    everything_blocks,
    main_blocks,
    pair_blocks,
    probe,
    tilt_blocks,
)
from hte_bridge.engines.deep.tau_nets import Ensemble, TauNetOptions, crossfit_nets
from hte_bridge.study import Folds, Study

if TYPE_CHECKING:
    from hte_bridge.engines.deep import Deep


NET_BINS = 16
FOLD_PAIRS = 4  # of each fold's own networks, for its held-out model
MOST_GROUPS = 1_600  # random slopes beyond this number cost more than they explain
FEW_GROUPS = 100  # distinct covariates of an effect's levels, below which networks hear few pairs
UNHEARD = 24  # pairs at most that then get tilts without having been heard
WIDER = 2.5  # the block on all covariates is this much wider where no pair stands out
MOST_LEADING, POINTS_PER_LEADING = (
    60,
    400,
)  # covariates that get functions of their own, and points for each; all get a linear term


@dataclass(frozen=True, eq=False)
class Design:
    """What the last layer needs.

    Parameters
    ----------
    rows : Rows
        Its ``points`` hold the covariates, then the networks' cross-fitted columns.
    basis : Basis
    drift : array (K,)
        Features that belong to mu as well.
    nets : list of list of Ensemble
        Per fold; each kind of input gives a column of tau, all together one of mu.
    structure : Structure
        Mean over the networks.
    slopes : SlopeGroups
    q : int
        Covariates.
    device : str
        Where sums over rows and the Gram matrix's factors are found.
    """

    rows: Rows
    basis: Basis
    drift: npt.NDArray[np.bool_]
    nets: list[list[Ensemble]]
    structure: Structure
    slopes: SlopeGroups
    q: int
    device: str = "cpu"

    def columns(self, fold: int | None = None, networks: bool = False) -> Codes:
        """Features (tau, then mu) that may be used for all rows, or by models that must not have seen ``fold``."""
        blocks = self.basis.blocks
        if fold is None:
            kept = [each.main and (networks or max(each.columns, default=0) < self.q) for each in blocks]
        else:
            kept = [each.folds is None or fold in each.folds for each in blocks]
        allowed = np.array(kept)[self.basis.owner]
        return np.flatnonzero(np.concatenate([allowed, allowed[self.drift]]))

    def alone(self, fold: int, rows: Rows) -> Design:
        """Some rows with the blocks that models may use which must not have seen ``fold``: no other fold's wishes move a bit of theirs."""
        blocks = self.basis.blocks
        chosen = [j for j, each in enumerate(blocks) if each.folds is None or fold in each.folds]
        kept = np.isin(self.basis.owner, chosen)
        return replace(self, rows=rows, basis=self.basis.keep(chosen), drift=self.drift[kept])

    def owner(self, columns: Codes, slopes: bool) -> tuple[Codes, list[str]]:
        """Block of each chosen column, numbered without gaps, and the blocks' names; slopes come last."""
        own = self.basis.owner
        label = np.concatenate([own, own[self.drift] + len(self.basis.blocks)])[columns]
        used, code = np.unique(label, return_inverse=True)
        blocks = self.basis.blocks
        names = [
            blocks[k].name if k < len(blocks) else f"mu: {blocks[k - len(blocks)].name}"
            for k in used.tolist()
        ]
        parts = [code.reshape(-1)]
        if slopes:
            for k, size in enumerate(self.rows.group_sizes):
                parts.append(np.full(size, len(used) + k))
                names.append(f"slopes {k}")
        return np.concatenate(parts), names


def net_options(options: Deep) -> TauNetOptions:
    """Networks of tau as the engine's options ask for them."""
    return TauNetOptions(
        plain=2 * options.n_nets,
        ramps=options.n_nets,
        hidden=options.hidden,
        epochs=options.epochs,
        device=device_of(options),
    )


def rows_of(
    study: Study, folds: Folds, treatment: Array, beside: Array | None = None
) -> tuple[Rows, SlopeGroups, list[int]]:
    """Rows with one point per distinct covariates and fold, slope groups, and the covariates that effects absorb."""
    x = study.filled
    first, place = distinct(x)
    sizes = tuple(len(levels) for levels in study.effect_levels)
    fixed = [
        constant_columns(x, codes, size) for codes, size in zip(study.fixed_effects.T, sizes, strict=True)
    ]
    pair, point = np.unique(place * folds.n_folds + folds.fold, return_inverse=True)
    points = x[first][pair // folds.n_folds]
    slopes, groups = SlopeGroups.of(points, [each for each in fixed if len(each)])
    if sum(len(key) for key in slopes.keys) > MOST_GROUPS:
        slopes, groups = SlopeGroups((), ()), ()
    rows = Rows(
        study.outcome,
        treatment,
        study.weight / study.weight.mean(),
        study.fixed_effects,
        sizes,
        folds.fold,
        point.reshape(-1),
        points,
        groups,
        beside,
        study.treatment.astype(np.int64) if study.binary else None,
    )
    return rows, slopes, sorted({int(j) for each in fixed for j in each} | idle(study))


def idle(study: Study) -> set[int]:
    """Covariates of a panel that move under treatment alone, such as the periods since it began: where T is 0 they have one value.

    A function of them is the same column with and without the treatment, so that the data cannot part it between mu and the effect; it is the
    effect's.
    """
    if not (study.binary and study.fixed_effects.shape[1]):
        return set()
    x = study.filled
    alone = np.ptp(x[study.treatment == 0], axis=0) == 0
    return set(np.flatnonzero(alone & (np.ptp(x, axis=0) > 0)).tolist())


def design(
    study: Study,
    folds: Folds,
    options: Deep,
    treatment: Array,
    checkpoint: Checkpoint = NOWHERE,
    beside: Array | None = None,
    unseen: Array | None = None,
) -> Design:
    """Train the networks, read their structure, and lay out the blocks.

    Parameters
    ----------
    study : Study
    folds : Folds
    options : Deep
    treatment : array (n,)
        T, or T - e(X) in a cross-section.
    checkpoint : Checkpoint
        Where trained networks are left.
    beside : array (n,), optional
        Of a cross-section: a column of the outcome's mean whose coefficient has no prior.
    unseen : array (K, n), optional
        The treatment as the networks are to see it that must not have seen a fold, where that is not as it is.
    """
    rows, slopes, absorbed = rows_of(study, folds, treatment, beside)
    centre, scale = study.filled.mean(axis=0), study.filled.std(axis=0)
    scale = np.where(scale > 1e-12 * (1 + np.abs(centre)), scale, 1.0)
    z = (rows.points - centre) / scale
    seen_by = [rows] * folds.n_folds
    if unseen is not None:
        seen_by = [replace(rows, treatment=each) for each in unseen]
    nets = crossfit_nets(seen_by, z, options.seed, net_options(options), options.n_jobs, checkpoint)
    found = [average([probe(net.tau, z, options.seed + k) for net in fold]) for k, fold in enumerate(nets)]
    overall = average(found)
    names = study.filled_names
    # a fold's own outcomes have no say in the blocks of its held-out model
    seen = [folds.fold != k for k in (-1, *range(folds.n_folds))]
    worth = [
        float(each.sum() * np.var(own.treatment[each]) / max(np.var(study.outcome[each]), 1e-300))
        for own, each in zip((rows, *seen_by), seen, strict=True)
    ]
    blocks = layout(z, names, absorbed, found, overall, worth, options.seed)
    if any(len(keys) < FEW_GROUPS for keys in slopes.keys):
        blocks += unheard_blocks(z, names, found, overall, blocks, slopes.columns)
    extra = net_columns(nets, z, rows)
    wide = np.hstack([rows.points, extra])
    spread = extra.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    centre, scale = np.append(centre, extra.mean(axis=0)), np.append(scale, spread)
    wide_z = (extra - centre[len(names) :]) / scale[len(names) :]
    blocks += net_blocks(wide_z, len(names))
    basis = Basis.fit(blocks, wide, centre, scale)
    drift = np.repeat([block.drift for block in blocks], [block.size for block in blocks])
    rows = replace(rows, points=wide)
    return Design(rows, basis, drift, nets, overall, slopes, len(names), doubles_on(options))


def room(z: Array) -> tuple[int, Sizes]:
    """How many covariates get functions of their own at points (m, q), and how large blocks are."""
    most = int(np.clip(len(z) // POINTS_PER_LEADING, WIDE, MOST_LEADING))
    return most, Sizes.of(len(z), min(most, z.shape[1]))


def layout(
    z: Array,
    names: Sequence[str],
    absorbed: Sequence[int],
    found: Sequence[Structure],
    overall: Structure,
    worth: Sequence[float],
    seed: int,
) -> list[Block]:
    """Blocks that the structure asks for: those of all networks for the model of all rows, and each fold's own.

    ``worth`` is rows * Var(T) / Var(Y) on all rows, then without each fold: pairs of an effect that is not ``loud`` are not asked for.
    A held-out model uses what the networks of its fold asked for and nothing else, so that no outcome of the fold
    has a say in its own prediction.
    """
    most, sizes = room(z)
    leading = [np.argsort(-each.importance, kind="stable")[:most] for each in (overall, *found)]
    blocks = main_blocks(z, names, absorbed, sizes, seed, [set(each.tolist()) for each in leading])
    blocks += everything_blocks(z.shape[1], sizes.everything, seed + 1_000)
    loud = [each.loud(own) for each, own in zip((overall, *found), worth, strict=True)]
    plain = [each.crowded and heard for each, heard in zip((overall, *found), loud, strict=True)]
    if any(plain):  # covariates act together and no pair stands out: more features on all of them
        more = everything_blocks(z.shape[1], int(WIDER * sizes.everything), seed + 1_500, "more ")
        blocks += [replace(block, folds=_folds(plain), main=plain[0]) for block in more]
    main = {*overall.strongest(sizes.pairs), *overall.cliques(sizes.cliques)} if loud[0] else set()
    main |= set(overall.prominent()) if loud[0] else set()
    wanted: dict[Any, list[int]] = {each: [] for each in main}
    for fold, own in enumerate(found):
        for each in {*own.strongest(FOLD_PAIRS), *own.cliques(1), *own.prominent()} if loud[fold + 1] else []:
            wanted.setdefault(each, []).append(fold)
    for each, holders in sorted(wanted.items()):
        make = pair_blocks if len(each) == 2 else clique_blocks
        made = make(
            z,
            names,
            each,
            sizes,
            seed + 2_000 + 10 * int(np.ravel_multi_index(each, (z.shape[1],) * len(each))),
        )
        blocks += [replace(block, folds=tuple(holders), main=each in main) for block in made]
    return blocks


def unheard_blocks(
    z: Array,
    names: Sequence[str],
    found: Sequence[Structure],
    overall: Structure,
    there: Sequence[Block],
    together: Sequence[Codes],
) -> list[Block]:
    """Tilts of pairs across effects that no network heard, for an effect with few levels; the evidence decides on them.

    With 30 users the networks of a fold see 24 values of each of their covariates and miss pairs that count (docs/benchmarks.md, few_users_20k).
    """
    _, sizes = room(z)
    asked = [set(each.leading_pairs(UNHEARD, together)) for each in (overall, *found)]
    blocks = []
    for pair in sorted(set().union(*asked)):
        heard = next((each for each in there if each.kind == "tilt" and set(each.columns) == set(pair)), None)
        holds = [pair in own for own in asked]
        if heard is not None:  # what has it already keeps its own
            had = [heard.main, *(heard.folds is None or k in heard.folds for k in range(len(found)))]
            holds = [new and not old for new, old in zip(holds, had, strict=True)]
        if any(holds):
            made = tilt_blocks(z, names, pair, sizes)
            blocks += [replace(block, folds=_folds(holds), main=holds[0]) for block in made]
    return blocks


def _folds(flags: Sequence[bool]) -> tuple[int, ...]:
    """Folds whose flag is set; the first flag is that of all rows."""
    return tuple(k for k, flag in enumerate(flags[1:]) if flag)


def net_columns(nets: list[list[Ensemble]], z: Array, rows: Rows) -> Array:
    """Columns (m, k + 1) of the networks at each point, from the networks that did not see the point's fold."""
    fold = np.zeros(len(z), dtype=np.int64)
    fold[rows.point] = rows.fold
    out = np.empty((len(z), len(nets[0]) + 1))
    for k, own in enumerate(nets):
        held = np.flatnonzero(fold == k)
        out[held] = ensemble_columns(own, z[held])
    return out


def ensemble_columns(ensembles: Sequence[Ensemble], z: Array) -> Array:
    """Tau of each ensemble, then the mean of their mu."""
    surfaces = [each.surfaces(z) for each in ensembles]
    taus, mus = zip(*surfaces, strict=True)
    return np.column_stack([*taus, np.mean(mus, axis=0)])


def net_blocks(z: Array, first: int) -> list[Block]:
    """Each network column as it is and recoded by ramps; no held-out model may use them."""
    blocks = []
    for k in range(z.shape[1]):
        drift = k == z.shape[1] - 1
        at = knots(z[:, k], NET_BINS)
        blocks.append(Block(f"network {k}", "linear", (first + k,), folds=(), drift=drift))
        if len(at) > 2:
            blocks.append(Block(f"network {k} ramps", "ramp", (first + k,), {"knots": at}, (), drift))
    return blocks
