"""Jumps of an effect with edges, drawn beside the scales.

The Mondrian process says that a surface may jump anywhere and nearly nowhere much: given its scales it smooths over the few large jumps that there
are, and is sure of it. So an effect with edges is thought to be that process plus a few boxes, on which it is higher or lower by about as much as
the process varies: steps along one covariate, or corners of two, as a tree of depth two has them (BART: Chipman, George and McCulloch, 2010, Annals
of Applied Statistics 4(1)). Where the boxes are the data seldom say; draws of them are what the interval is mixed over, wide near a jump and not
elsewhere.

Each of some places for a box is drawn given the others, by its evidence with the height integrated out, which is a change of rank one (a Gibbs
sampler over single effects: Wang, Sarkar, Carbonetto and Stephens, 2020, JRSS-B 82(5)). Cuts are drawn anew for each draw of the scales.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.gp.inducing import Induced
from hte_bridge.engines.deep.gp.kinds.boxes import Box, inside
from hte_bridge.engines.deep.gp.posterior import Component, Model, active, component


@dataclass(frozen=True)
class JumpRule:
    """What is thought of jumps before the data, and how they are drawn."""

    # boxes of an effect, at most
    places: int = 8
    # chance that there is a box at a place
    chance: float = 0.5
    # that it is a step along one covariate, not a corner of two
    step: float = 0.5
    # cuts along each covariate, of which steps are made
    cuts: int = 10
    # corners to choose among
    corners: int = 1_000
    # numbers of all candidates together: with more rows there are fewer
    numbers: int = 10_000_000
    # of the units a box holds and leaves out at least this share
    least_share: float = 0.03
    # in which all places are drawn one after the other
    rounds: int = 6
    # of each draw of the scales
    draws: int = 2


JUMPS = JumpRule()

Each = TypeVar("Each")
Part = TypeVar("Part", Component, Induced)


class Told(NamedTuple):
    """What the outcomes tell of columns C (n, k): C'S^-1 C is ``left.T @ right``, S being their covariance, and ``target`` (k,) C'S^-1 Y.

    Where ``taken`` (r, k) is there, its products with itself are still to be taken off the former.
    """

    left: Array
    right: Array
    target: Array
    taken: Array | None = None

    @property
    def size(self) -> Array:
        """The diagonal (k,) of C'S^-1 C."""
        found = np.einsum("ij,ij->j", self.left, self.right)
        return found if self.taken is None else found - np.einsum("ij,ij->j", self.taken, self.taken)

    def beside(self, other: Told) -> Told:
        """Of these columns, then those of another."""
        mine, its = self, other
        taken = None
        if mine.taken is not None and its.taken is not None:
            taken = np.hstack([mine.taken, its.taken])
        left, right = np.hstack([mine.left, its.left]), np.hstack([mine.right, its.right])
        return Told(left, right, np.append(mine.target, its.target), taken)

    def with_one(self, each: int) -> Array:
        """A column (k,) of it."""
        found = self.left.T @ self.right[:, each]
        return found if self.taken is None else found - self.taken.T @ self.taken[:, each]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes to choose among.

    Parameters
    ----------
    surface : array (k,)
        Place of the surface of the effect that each is of.
    boxes : list of Box
    variance : array (k,)
        Of its height, before the data.
    log_chance : array (k,)
        Of each, where there is one.
    """

    surface: Codes
    boxes: list[Box]
    variance: Array
    log_chance: Array

    def by_surface(self, chosen: Sequence[int], count: int) -> tuple[tuple[Box, ...], ...]:
        """The chosen ones of each of so many surfaces."""
        return tuple(tuple(self.boxes[k] for k in chosen if self.surface[k] == own) for own in range(count))


def may_jump(model: Model) -> bool:
    """Whether all of a model's surfaces have edges: what makes the mean jump is there for the effect."""
    return all(kind == "edged" for kind in model.form.each_kind)


def repeated(parts: Sequence[Part]) -> list[Part]:
    """Draws of a model's scales, each as many times as jumps are drawn beside it, with its weight in equal shares."""
    if not parts or not may_jump(parts[0].model):
        return list(parts)
    return shared_out(parts)


def shared_out(parts: Sequence[Part]) -> list[Part]:
    """Each as many times as jumps are drawn beside it."""
    shared = (replace(each, weight=each.weight / JUMPS.draws) for each in parts)
    return [each for each in shared for _ in range(JUMPS.draws)]


def jumped(parts: Sequence[Component], seed: int) -> list[Component]:
    """Draws of a model's scales, each with draws of jumps beside it."""
    found = []
    for k, each in enumerate(repeated(parts)):

        def told(columns: torch.Tensor, at: Component = each) -> Told:
            heard = at.heard(columns).numpy()
            return Told(heard, heard, heard.T @ at.heard(at.model.rows.y[:, None]).numpy()[:, 0])

        model = with_jumps(each.model, each.theta, told, np.random.default_rng([seed, k]))
        same = model is each.model
        found.append(each if same else component(each.weight, each.theta.cpu().numpy(), model))
    return found


def with_jumps(
    model: Model, theta: torch.Tensor, told: Callable[[torch.Tensor], Told], rng: np.random.Generator
) -> Model:
    """The model with jumps drawn given its scales; the same where it may not jump, or none was drawn."""
    if not may_jump(model):
        return model
    among = candidates(model, theta, rng)
    if not among.boxes:
        return model
    chosen = drawn(told(columns_of(model, among)), among, rng)
    if not chosen:
        return model
    boxes = among.by_surface(chosen, len(model.scales.rates))
    return replace(model, scales=replace(model.scales, boxes=boxes))


def columns_of(model: Model, among: Candidates) -> torch.Tensor:
    """What each box (n, k) adds to the outcomes of the rows, for each unit of its height."""
    return inside(model.rows.x, among.boxes) * model.rows.loads[torch.as_tensor(among.surface)].T


def candidates(model: Model, theta: torch.Tensor, rng: np.random.Generator) -> Candidates:
    """Boxes of each surface of the effect, as high as its curved part is large; none by categories, whose levels have no order."""
    x = model.rows.x.cpu().numpy()
    groups = model.rows.groups or tuple(range(x.shape[1]))
    lines = [k for k, own in enumerate(groups) if groups.count(own) == 1]
    steps, corners = balanced(x, steps_along(x, lines, rng)), balanced(x, corners_of(x, lines, rng))
    most = JUMPS.numbers // len(x)
    if len(steps) + len(corners) > most:
        steps, corners = some(steps, most // 2, rng), some(corners, most // 2, rng)
    boxes = steps + corners
    # where there are none of one sort, boxes are of the other
    share = JUMPS.step * bool(steps), (1.0 - JUMPS.step) * bool(corners)
    sizes = len(steps), len(corners)
    chance = np.repeat(
        [own / max(size, 1) / max(sum(share), 1e-9) for own, size in zip(share, sizes, strict=True)], sizes
    )
    used = [surface for surface, _, _ in active(model)]
    places = [model.scales.surfaces.index(surface) for surface in used]
    return Candidates(
        np.repeat(places, len(boxes)),
        boxes * len(used),
        np.repeat([float(torch.exp(2.0 * theta[surface.bent])) for surface in used], len(boxes)),
        np.tile(np.log(chance), len(used)) - np.log(len(used)),
    )


def steps_along(x: Array, columns: Sequence[int], rng: np.random.Generator) -> list[Box]:
    """What lies above each of some cuts along each column."""
    return [((j, cut, True),) for j in columns for cut in cuts_along(x[:, j], JUMPS.cuts, rng)]


def corners_of(x: Array, columns: Sequence[int], rng: np.random.Generator) -> list[Box]:
    """The four corners at cuts along two columns, so many cuts as make the number wanted; of very many pairs some."""
    pairs = list(combinations(columns, 2))
    number = max(1, int(np.sqrt(JUMPS.corners / max(4 * len(pairs), 1))))
    cuts = {j: cuts_along(x[:, j], number, rng) for j in columns}
    return [
        ((j, first, up), (k, second, right))
        for j, k in some(pairs, JUMPS.corners // 4, rng)
        for first, second, up, right in product(cuts[j], cuts[k], (True, False), (True, False))
    ]


def cuts_along(column: Array, number: int, rng: np.random.Generator) -> list[float]:
    """Cuts between values of a column (n,): at a random quantile of each of so many parts.

    Examples
    --------
    >>> cuts_along(np.array([0.0, 0.0, 1.0, 1.0]), 5, np.random.default_rng(1))
    [0.5]
    """
    return cuts_at(column, (np.arange(number) + rng.random(number)) / number)


def cuts_at(column: Array, shares: Array) -> list[float]:
    """Cuts between values of a column (n,), with these shares of the rows below.

    Examples
    --------
    >>> cuts_at(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.3, 0.9]))
    [1.5]
    """
    below, values = np.sort(column)[(shares * len(column)).astype(int)], np.unique(column)
    above = np.searchsorted(values, below) + 1
    inner = above < len(values)
    return np.unique((below[inner] + values[above[inner]]) / 2.0).tolist()


def balanced(x: Array, boxes: list[Box]) -> list[Box]:
    """Boxes that hold enough of the rows x (n, p), and leave enough."""
    share = inside(torch.as_tensor(x), boxes).mean(0).numpy()
    least = JUMPS.least_share
    return [box for box, own in zip(boxes, share.tolist(), strict=True) if least < own < 1.0 - least]


def some(found: list[Each], most: int, rng: np.random.Generator) -> list[Each]:
    """``most`` of them, in their order; all where there are no more."""
    if len(found) <= most:
        return found
    return [found[k] for k in np.sort(rng.permutation(len(found))[:most]).tolist()]


def drawn(told: Told, among: Candidates, rng: np.random.Generator) -> list[int]:
    """Candidates that a chain of draws ends at, by place."""
    gram: dict[int, Array] = {}
    places: list[int | None] = [None] * JUMPS.places
    size = told.size
    prior = np.append(np.log(JUMPS.chance) + among.log_chance, np.log1p(-JUMPS.chance))
    for place in list(range(JUMPS.places)) * JUMPS.rounds:
        others = [each for k, each in enumerate(places) if k != place and each is not None]
        for each in others:
            if each not in gram:
                gram[each] = told.with_one(each)
        heights = prior + np.append(gains(size, told.target, among.variance, others, gram), 0.0)
        chance = np.exp(heights - heights.max())
        at = int(rng.choice(len(chance), p=chance / chance.sum()))
        places[place] = at if at < len(among.boxes) else None
    return [each for each in places if each is not None]


def gains(
    size: Array, target: Array, variance: Array, others: list[int], gram: dict[int, Array]
) -> npt.NDArray[np.float64]:
    """Log evidence (k,) that each candidate adds to others that are there, with all heights integrated out."""
    if others:
        beside = np.array([gram[each] for each in others])
        inner = np.linalg.inv(beside[:, others] + np.diag(1.0 / variance[others]))
        size = np.maximum(size - ((inner @ beside) * beside).sum(0), 0.0)
        target = target - beside.T @ (inner @ target[others])
    return 0.5 * target**2 / (1.0 / variance + size) - 0.5 * np.log1p(variance * size)
