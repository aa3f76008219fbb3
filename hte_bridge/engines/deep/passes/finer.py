"""Finer knots where models of many rows miss a jump: blocks that are added to a design before its sums are made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.features import Basis, Block
from hte_bridge.engines.deep.passes.models import FoldModel, WholeModel


def finer_blocks(
    whole: WholeModel, models: list[FoldModel], made: Design, names: Sequence[str]
) -> list[Block]:
    """Blocks with finer knots, each for the models whose own rows showed the jump."""
    shared = {block.columns[0] for block in made.basis.blocks if block.kind == "ramp" and block.drift}
    wanted = {
        each: [k for k, own in enumerate(models) if each in own.jumps] for own in models for each in own.jumps
    }
    wanted |= {each: wanted.get(each, []) for each in whole.jumps}
    return [
        each.block(names, holders, each in whole.jumps, each.along in shared)
        for each, holders in sorted(wanted.items())
    ]


def with_blocks(made: Design, blocks: list[Block]) -> Design:
    """The design with more blocks, scaled on its rows' points."""
    if not blocks:
        return made
    basis = made.basis
    more = Basis.fit(blocks, made.rows.points, basis.centre, basis.scale)
    drift = np.repeat([block.drift for block in blocks], [block.size for block in blocks])
    return replace(made, basis=basis.joined(more), drift=np.concatenate([made.drift, drift]))
