"""Where an effect jumps, to within a few of many rows: boxes drawn on a coarse grid of cuts (``jumps.py``) are moved on finer ones.

With many rows a jump is known to lie between two that are close, while cuts to choose among are few: what lies between the nearest of them and
the jump would be taken for curvature, or missed. So cuts near those of the boxes that were drawn are drawn among in turn, from nearer each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.jumps import (
    JUMPS,
    Candidates,
    Told,
    balanced,
    candidates,
    columns_of,
    cuts_at,
    drawn,
    gains,
)
from hte_bridge.engines.deep.gp.kinds.boxes import Box
from hte_bridge.engines.deep.gp.posterior import Model, active


@dataclass(frozen=True)
class FinerJumps:
    """Cuts near those that were drawn."""

    # shares of the rows on either side within which they lie, in turn
    within: tuple[float, ...] = (0.1, 0.025, 0.006)
    # of each side of a box
    cuts: int = 8
    # covariates and pairs of them, at most, near whose best box others are tried before any is drawn
    best: int = 16


FINER_JUMPS = FinerJumps()


def effect_jumps(model: Model) -> bool:
    """Whether all surfaces that make the effect have edges: with many rows what makes the mean jump is not taken for the effect's."""
    return all(surface.kind.name == "edged" for surface, _, _ in active(model))


Tell = Callable[[torch.Tensor], Told]


def with_finer_jumps(model: Model, theta: torch.Tensor, told: Tell, rng: np.random.Generator) -> Model:
    """``jumps.with_jumps``, with cuts as near as the rows tell them."""
    among = candidates(model, theta, rng) if effect_jumps(model) else None
    if among is None or not among.boxes:
        return model
    coarse = told(columns_of(model, among))
    found = with_best(model, among, coarse, told, rng)
    for within in FINER_JUMPS.within[1:]:
        if not any(found.scales.boxes):
            return model
        around = near(found, theta, within, rng)
        found = having(model, around, told(columns_of(model, around)), rng)
    return found if any(found.scales.boxes) else model


def having(model: Model, among: Candidates, told: Told, rng: np.random.Generator) -> Model:
    """The model with boxes drawn among some."""
    boxes = among.by_surface(drawn(told, among, rng), len(model.scales.rates))
    return replace(model, scales=replace(model.scales, boxes=boxes))


def with_best(model: Model, among: Candidates, coarse: Told, told: Tell, rng: np.random.Generator) -> Model:
    """The model with boxes drawn among some and, of the best of each covariate and pair, others near it: a cut that is off gains little itself."""
    x, best = model.rows.x.numpy(), best_of_each(among, coarse)
    for within in FINER_JUMPS.within[:2]:
        moved = [(k, box) for k, own in best for box in balanced(x, [own, *shifted(x, own, within, rng)])]
        parents = [k for k, _ in moved]
        chance = among.log_chance[parents] - np.log(FINER_JUMPS.cuts)
        finer = Candidates(among.surface[parents], [box for _, box in moved], among.variance[parents], chance)
        of_finer = told(columns_of(model, finer))
        gain = gains(of_finer.size, of_finer.target, finer.variance, [], {})
        best = [
            (k, max((gain[j], moved[j][1]) for j in range(len(moved)) if parents[j] == k)[1])
            for k in dict.fromkeys(parents)
        ]
    return having(model, joined(among, finer), coarse.beside(of_finer), rng)


def best_of_each(among: Candidates, told: Told) -> list[tuple[int, Box]]:
    """Of each surface's boxes of the same covariates the one that gains most, beside its place; the most gaining of these."""
    gain = gains(told.size, told.target, among.variance, [], {})
    found: dict[tuple[int, ...], int] = {}
    for k in np.argsort(-gain, kind="stable").tolist():
        found.setdefault((int(among.surface[k]), *(side[0] for side in among.boxes[k])), k)
    return [(k, among.boxes[k]) for k in list(found.values())[: FINER_JUMPS.best]]


def joined(first: Candidates, second: Candidates) -> Candidates:
    """All of both."""
    arrays = (
        np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("surface", "variance", "log_chance")
    )
    surface, variance, chance = arrays
    return Candidates(surface, first.boxes + second.boxes, variance, chance)


def near(model: Model, theta: torch.Tensor, within: float, rng: np.random.Generator) -> Candidates:
    """The boxes of a model, and each with one of its cuts moved; together as likely before the data as the one was."""
    x = model.rows.x.numpy()
    places, boxes, variance, chance = [], [], [], []
    for place, (surface, own) in enumerate(zip(model.scales.surfaces, model.scales.boxes, strict=True)):
        for box in dict.fromkeys(own):
            moved = balanced(x, list(dict.fromkeys([box, *shifted(x, box, within, rng)])))
            of_sort = (
                JUMPS.step / JUMPS.cuts / x.shape[1] if len(box) == 1 else (1.0 - JUMPS.step) / JUMPS.corners
            )
            places += [place] * len(moved)
            boxes += moved
            variance += [float(torch.exp(2.0 * theta[surface.bent]))] * len(moved)
            chance += [np.log(of_sort / max(len(moved), 1))] * len(moved)
    return Candidates(np.array(places, dtype=np.int64), boxes, np.array(variance), np.array(chance))


def shifted(x: Array, box: Box, within: float, rng: np.random.Generator) -> list[Box]:
    """A box with one cut moved, to a random place in each of so many parts of the rows near it."""
    found: list[Box] = []
    for place, (column, cut, above) in enumerate(box):
        share = float((x[:, column] <= cut).mean())
        parts = (np.arange(FINER_JUMPS.cuts) + rng.random(FINER_JUMPS.cuts)) / FINER_JUMPS.cuts
        at = share + within * (2.0 * parts - 1.0)
        for own in cuts_at(x[:, column], at[(at >= 0.0) & (at < 1.0)]):
            found.append((*box[:place], (column, own, above), *box[place + 1 :]))
    return found
