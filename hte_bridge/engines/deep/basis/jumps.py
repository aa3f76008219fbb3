"""Where the effect jumps between two knots: found in what a fit leaves, and given finer knots there.

Piecewise-linear blocks follow a jump as far as two knots are near; from a million rows on what they miss of it is more than all noise. Windows of
two bins of each covariate are held against a step anywhere within, of the effect, of the effect times another covariate, and of the mean, as for
breaks at an unknown place (Andrews, 1993, Econometrica 61(4)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import sparse

from hte_bridge.arrays import Array, Codes, slices
from hte_bridge.engines.deep.basis.features import Block


@dataclass(frozen=True)
class BreakRule:
    """How jumps are sought, and how finely they are followed."""

    # cells of a bin, between which a step may lie
    cells: int = 16
    # standard errors of a step, at least: the largest of some ten thousand by chance is 4.5
    least: float = 5.0
    # cells on each side of a step that get a knot of their own
    around: int = 12
    # places of knots are multiples of this many cells, so that folds that see the same step ask for the same knots
    apart: int = 8
    # steps of a model, at most, the largest first
    most: int = 24
    # covariates that may scale a step, at most
    scaling: int = 12
    # of a study, up to which jumps are not sought: noise is larger than what knots miss
    few_rows: int = 100_000
    # rows that are asked, about
    rows: int = 300_000
    # share of a step's sum of squares that a line with a bend must leave
    collinear: float = 1e-6


BREAKS = BreakRule()
CHUNK = 65_536  # rows looked at together
EFFECT, MEAN = -1, -2  # what a step scales, where that is no covariate


@dataclass(frozen=True, order=True)
class Jump:
    """A step along a covariate.

    Parameters
    ----------
    along : int
    scaling : int
        Covariate whose part in the effect steps; ``EFFECT`` for the effect itself, ``MEAN`` for mu.
    knots : tuple of float
        Where finer knots go, standardised.
    around : tuple of float
        First and last of those that are a cell apart: the jump lies between them.
    """

    along: int
    scaling: int
    knots: tuple[float, ...]
    around: tuple[float, float]

    @property
    def cells(self) -> tuple[float, ...]:
        """Knots that are a cell apart."""
        return tuple(each for each in self.knots if self.around[0] <= each <= self.around[1])

    def is_of(self, block: Block) -> bool:
        """Whether a block has the finer knots of this jump of the effect."""
        columns = (self.along,) if self.scaling < 0 else (self.scaling, self.along)
        same = block.effect and block.columns == columns and self.scaling != MEAN
        return same and np.array_equal(block.arrays.get("knots", ()), self.knots)

    def block(self, names: Sequence[str], holders: Sequence[int], main: bool, shared: bool) -> Block:
        """The finer knots as a block, for the models of all rows (``main``) and of the folds ``holders``; ``shared`` with mu."""
        label = names[self.along] if self.scaling < 0 else f"{names[self.scaling]} {names[self.along]}"
        mean = self.scaling == MEAN
        made = Block(
            f"jump {'mu ' if mean else ''}{label} ({self.knots[len(self.knots) // 2]:.2f})",
            "ramp" if self.scaling < 0 else "tilt",
            (self.along,) if self.scaling < 0 else (self.scaling, self.along),
            {"knots": np.array(self.knots)},
            tuple(holders),
            drift=mean or (self.scaling == EFFECT and shared),
            main=main,
        )
        return replace(made, effect=not mean)


def jumps(
    ramps: Sequence[Block],
    z: Array,
    place: Codes,
    treatment: Array,
    residual: Array,
    weight: Array,
) -> list[Jump]:
    """Steps that a fit's residuals show, the clearest first.

    Parameters
    ----------
    ramps : sequence of Block
        Of single covariates: they say where bins are, and which covariates may scale a step.
    z : array (m, c)
        Standardised points.
    place : array (n,)
        Of each row among the points.
    treatment, residual, weight : array (n,)
        The residual net of the effects.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x, t = rng.normal(size=(20_000, 1)), rng.normal(size=20_000)
    >>> plain = Block("ramp x", "ramp", (0,), {"knots": np.quantile(x, np.linspace(0, 1, 5))})
    >>> left = rng.normal(size=20_000) + t * (x[:, 0] > 0.3)
    >>> [(each.along, each.scaling, round(each.knots[14], 1)) for each in jumps([plain], x, np.arange(20_000), t, left, np.ones(20_000))]
    [(0, -1, 0.3)]
    """
    found: list[tuple[float, Jump]] = []
    scaling = [block.columns[0] for block in ramps][: BREAKS.scaling]
    for block in ramps:
        along = block.columns[0]
        cuts = cells(z[:, along], block.arrays["knots"])
        if len(cuts) < 4 * BREAKS.cells:
            continue
        multiples = [EFFECT, *([MEAN] if block.drift else []), *(each for each in scaling if each != along)]
        sums = cell_sums(z, place, along, cuts, multiples, treatment, residual, weight)
        found += [
            (score, Jump(along, scaled, *finer(cuts, at)))
            for score, scaled, at in steps(sums, cuts, multiples)
        ]
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return [each for _, each in found[: BREAKS.most]]


def cells(column: Array, knots: Array) -> Array:
    """Borders of the cells: of each bin between two knots, quantiles of the points within; empty where values are too few.

    Examples
    --------
    >>> len(cells(np.linspace(0, 1, 1_001), np.linspace(0, 1, 5))), len(cells(np.array([0.0, 1.0]), np.array([0.0, 1.0])))
    (65, 0)
    """
    order = np.sort(column)
    found = []
    for low, high in pairwise(knots.tolist()):
        inside = order[np.searchsorted(order, low) : np.searchsorted(order, high, side="right")]
        if len(inside) <= BREAKS.cells:
            return np.zeros(0)
        found.append(np.quantile(inside, np.linspace(0, 1, BREAKS.cells + 1))[:-1])
    return np.append(np.concatenate(found), knots[-1])


def cell_sums(
    z: Array,
    place: Codes,
    along: int,
    cuts: Array,
    multiples: Sequence[int],
    treatment: Array,
    residual: Array,
    weight: Array,
) -> Array:
    """Sums (6, cells, multiples) of u^2, u^2 p, u^2 p^2, u r, u r p and (u r)^2: u what a step scales, p the place along the covariate."""
    number = len(cuts) - 1
    total = np.zeros((number, 6 * len(multiples)))
    for here in slices(len(place), CHUNK):
        x, t, r = z[place[here]], treatment[here], residual[here]
        p, w = x[:, along], weight[here]
        columns = [t * x[:, k] if k >= 0 else t if k == EFFECT else np.ones(len(t)) for k in multiples]
        u = np.column_stack(columns)
        square, moved = w[:, None] * u**2, (w * r)[:, None] * u
        parts = [square, square * p[:, None], square * p[:, None] ** 2, moved, moved * p[:, None], moved**2]
        cell = np.clip(np.searchsorted(cuts, p, side="right") - 1, 0, number - 1)
        where = sparse.csr_array((np.ones(len(p)), cell, np.arange(len(p) + 1)), shape=(len(p), number))
        total += where.T @ np.hstack(parts)
    return np.moveaxis(total.reshape(number, 6, len(multiples)), 1, 0)


def steps(sums: Array, cuts: Array, multiples: Sequence[int]) -> list[tuple[float, int, int]]:
    """The clearest step of each window that is clear enough: its size in standard errors, what it scales, and the cell about which it lies."""
    found: dict[tuple[int, int], float] = {}
    for start in range(0, len(cuts) - 2 * BREAKS.cells, BREAKS.cells):
        score = step_scores(sums[:, start : start + 2 * BREAKS.cells], cuts[start + BREAKS.cells])
        best = score.argmax(axis=0)
        for k, multiple in enumerate(multiples):
            if score[best[k], k] > BREAKS.least:
                at = BREAKS.apart * round((start + 1 + best[k]) / BREAKS.apart)
                found[multiple, at] = max(found.get((multiple, at), 0.0), float(score[best[k], k]))
    kept: list[tuple[float, int, int]] = []
    for (multiple, at), clear in sorted(found.items(), key=lambda each: -each[1]):
        if not any(other == multiple and abs(at - there) < BREAKS.around for _, other, there in kept):
            kept.append((clear, multiple, at))  # windows overlap: a step is found by two
    return kept


def finer(cuts: Array, at: int) -> tuple[tuple[float, ...], tuple[float, float]]:
    """Knots at the cells around one, and at the outer bins, beyond which ramps go on; and the first and the last of the former."""
    inner = cuts[max(at - BREAKS.around, 0) : at + BREAKS.around + 1]
    outer = cuts[[0, BREAKS.cells, -1 - BREAKS.cells, -1]]
    return tuple(np.unique(np.concatenate([inner, outer])).tolist()), (float(inner[0]), float(inner[-1]))


def step_scores(sums: Array, knot: float) -> Array:
    """Standard errors (cells - 1, multiples) by which a step behind each cell of a window differs from none.

    Beside the step stand what blocks hold: u, u p and a bend of u p at the window's ``knot``, which are taken out of step and residual.
    """
    half = sums.shape[1] // 2
    upper = (np.arange(sums.shape[1]) >= half)[:, None]
    a, b, c, r, s, q = sums
    bend_a, bend_b = upper * (b - knot * a), upper * (c - knot * b)  # u^2 (p - knot)+, and times p
    bend_c = upper * (c - 2 * knot * b + knot**2 * a)
    inner = np.array([[a, b, bend_a], [b, c, bend_b], [bend_a, bend_b, bend_c]]).sum(
        axis=2
    )  # (3, 3, multiples)
    right = np.array([r, s, upper * (s - knot * r)]).sum(axis=1)
    behind = np.array(
        [each[::-1].cumsum(axis=0)[::-1][1:] for each in (a, b, bend_a)]
    )  # (3, steps, multiples)
    step, moved = behind[0], r[::-1].cumsum(axis=0)[::-1][1:]
    gram = np.moveaxis(inner, 2, 0)
    ridge = BREAKS.collinear**2 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    solved = np.linalg.solve(gram + ridge + np.finfo(float).tiny * np.eye(3), np.moveaxis(behind, 2, 0))
    left = moved - np.einsum("mks,km->sm", solved, right)
    spread = step - np.einsum("mks,ksm->sm", solved, behind)
    noise = q.sum(axis=0) / np.maximum(a.sum(axis=0), np.finfo(float).tiny)
    clear = spread > BREAKS.collinear * np.maximum(step, np.finfo(float).tiny)
    return np.where(clear, np.abs(left) / np.sqrt(np.maximum(spread * noise, np.finfo(float).tiny)), 0.0)
