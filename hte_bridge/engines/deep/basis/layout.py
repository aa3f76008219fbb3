"""Which blocks are in the model of all rows, and which in each fold's held-out model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.blocks import (
    BLOCKS,
    Sizes,
    clique_blocks,
    everything_blocks,
    main_blocks,
    pair_blocks,
    varying_slope_blocks,
)
from hte_bridge.engines.deep.basis.features import Block, knots
from hte_bridge.engines.deep.basis.interactions import Structure


@dataclass(frozen=True)
class LayoutRule:
    """How many blocks there may be."""

    # ramps of a network's column
    network_bins: int = 16
    # of each fold's own networks, for its held-out model
    fold_pairs: int = 4
    # distinct covariates of an effect's levels, below which networks hear few pairs
    few_groups: int = 100
    # pairs at most that then get tilts without having been heard
    unheard_pairs: int = 24
    # the block on all covariates is this much wider where no pair stands out
    wider: float = 2.5
    # covariates that get functions of their own, at most; all get a linear term
    most_leading: int = 60
    # points for each of them, at least
    points_per_leading: int = 400


LAYOUT = LayoutRule()
SEED_OF_EVERYTHING, SEED_OF_MORE, SEED_OF_PAIRS = (
    1_000,
    1_500,
    2_000,
)  # added, so that no two blocks share frequencies


def room(z: Array, alone: bool = False) -> tuple[int, Sizes]:
    """How many covariates get functions of their own at points (m, q), ``alone`` where each is one row, and how large blocks are."""
    most = int(np.clip(len(z) // LAYOUT.points_per_leading, BLOCKS.wide, LAYOUT.most_leading))
    return most, Sizes.of(len(z), min(most, z.shape[1]), alone)


def layout(
    z: Array,
    names: Sequence[str],
    absorbed: Sequence[int],
    found: Sequence[Structure],
    overall: Structure,
    worth: Sequence[float],
    seed: int,
    alone: bool = False,
) -> list[Block]:
    """Blocks that the structure asks for: those of all networks for the model of all rows, and each fold's own.

    ``worth`` is rows * Var(T) / Var(Y) on all rows, then without each fold: pairs of an effect that is not ``loud`` are not asked for.
    ``alone`` says that each point is one row.
    A held-out model uses what the networks of its fold asked for and nothing else, so that no outcome of the fold
    has a say in its own prediction.
    """
    most, sizes = room(z, alone)
    leading = [np.argsort(-each.importance, kind="stable")[:most] for each in (overall, *found)]
    blocks = main_blocks(z, names, absorbed, sizes, seed, [set(each.tolist()) for each in leading])
    blocks += everything_blocks(z.shape[1], sizes.everything, seed + SEED_OF_EVERYTHING)
    loud = [each.loud(own) for each, own in zip((overall, *found), worth, strict=True)]
    plain = [each.crowded and heard for each, heard in zip((overall, *found), loud, strict=True)]
    if any(plain):  # covariates act together and no pair stands out: more features on all of them
        number = int(LAYOUT.wider * sizes.everything)
        more = everything_blocks(z.shape[1], number, seed + SEED_OF_MORE, "more ")
        blocks += [replace(block, folds=_folds(plain), main=plain[0]) for block in more]
    main, wanted = asked_for(found, overall, loud, sizes)
    for each, holders in sorted(wanted.items()):
        make = pair_blocks if len(each) == 2 else clique_blocks
        made = make(z, names, each, sizes, seed + seed_of(each, z.shape[1]))
        blocks += [replace(block, folds=tuple(holders), main=each in main) for block in made]
    return blocks


def asked_for(
    found: Sequence[Structure], overall: Structure, loud: Sequence[bool], sizes: Sizes
) -> tuple[set[Any], dict[Any, list[int]]]:
    """Pairs and cliques of the model of all rows; and for every one that is asked for, the folds whose own networks did."""
    main: set[Any] = set()
    if loud[0]:
        main = {*overall.strongest(sizes.pairs), *overall.cliques(sizes.cliques), *overall.prominent()}
    wanted: dict[Any, list[int]] = {each: [] for each in main}
    for fold, own in enumerate(found):
        if loud[fold + 1]:
            for each in {*own.strongest(LAYOUT.fold_pairs), *own.cliques(1), *own.prominent()}:
                wanted.setdefault(each, []).append(fold)
    return main, wanted


def seed_of(columns: tuple[int, ...], q: int) -> int:
    """A seed for each pair or clique of q covariates, apart from those of its neighbours and of other blocks.

    Examples
    --------
    >>> seed_of((0, 1), 5), seed_of((0, 2), 5)
    (2010, 2020)
    """
    return SEED_OF_PAIRS + 10 * int(np.ravel_multi_index(columns, (q,) * len(columns)))


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
    asked = [set(each.leading_pairs(LAYOUT.unheard_pairs, together)) for each in (overall, *found)]
    blocks = []
    for pair in sorted(set().union(*asked)):
        heard = next((each for each in there if each.kind == "tilt" and set(each.columns) == set(pair)), None)
        holds = [pair in own for own in asked]
        if heard is not None:  # what has it already keeps its own
            had = [heard.main, *(heard.folds is None or k in heard.folds for k in range(len(found)))]
            holds = [new and not old for new, old in zip(holds, had, strict=True)]
        if any(holds):
            made = varying_slope_blocks(z, names, pair, sizes)
            blocks += [replace(block, folds=_folds(holds), main=holds[0]) for block in made]
    return blocks


def _folds(flags: Sequence[bool]) -> tuple[int, ...]:
    """Folds whose flag is set; the first flag is that of all rows."""
    return tuple(k for k, flag in enumerate(flags[1:]) if flag)


def net_blocks(z: Array, first: int) -> list[Block]:
    """Each network column as it is and recoded by ramps; no held-out model may use them."""
    blocks = []
    for k in range(z.shape[1]):
        drift = k == z.shape[1] - 1
        at = knots(z[:, k], LAYOUT.network_bins)
        blocks.append(Block(f"network {k}", "linear", (first + k,), folds=(), drift=drift))
        if len(at) > 2:
            blocks.append(Block(f"network {k} ramps", "ramp", (first + k,), {"knots": at}, (), drift))
    return blocks
