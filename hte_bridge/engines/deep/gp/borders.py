"""Jumps beside surfaces that are known by points: features of their own, so that nothing is factored again.

A surface by points is a few features, and a box is one more: the factor grows by as many rows as there are boxes. At new rows all is asked through
covariances with points (``inducing.Induced``). What a box is worth there is the difference of the covariances with two points that lie
on either side of its border, a hundred-thousandth of a standard deviation apart, between which the rest of the surface does not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import linalg

from hte_bridge.engines.deep.gp.inducing import ByPoints, Induced, at_points, induced
from hte_bridge.engines.deep.gp.kinds.boxes import Box, inside
from hte_bridge.engines.deep.gp.posterior import Model


@dataclass(frozen=True)
class BorderRule:
    """Where boxes are asked."""

    # from a border, in standard deviations: told apart in single precision too
    distance: float = 1e-5
    # pairs tried at each border
    pairs: int = 4
    # of the last pivot, where pairs tell all boxes apart
    least: float = 1e-6


BORDERS = BorderRule()


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of points, as many as boxes, that tell these apart.

    Parameters
    ----------
    above, below : tensor (k, p)
    crossed : tensor (k, k)
        By how much each box differs between the points of each pair.
    """

    above: torch.Tensor
    below: torch.Tensor
    crossed: torch.Tensor

    @classmethod
    def across(cls, x: torch.Tensor, boxes: Sequence[Box], seed: int) -> Pairs | None:
        """Pairs across the borders of boxes at rows x (n, p); none where boxes are sums of one another."""
        rng = np.random.default_rng(seed)
        above: list[torch.Tensor] = []
        below: list[torch.Tensor] = []
        for box in boxes:
            for place, (column, cut, _) in enumerate(box):
                others = [(*box[:place], *box[place + 1 :])]
                there = np.flatnonzero(inside(x, others)[:, 0].numpy()) if others[0] else np.arange(len(x))
                base = x[torch.as_tensor(rng.choice(there, min(BORDERS.pairs, len(there)), replace=False))]
                for found, side in ((above, 1.0), (below, -1.0)):
                    own = base.clone()
                    own[:, column] = cut + side * BORDERS.distance * max(1.0, abs(cut))
                    found.append(own)
        first, second = torch.cat(above), torch.cat(below)
        crossed = inside(first, boxes) - inside(second, boxes)
        _, upper, order = linalg.qr(crossed.numpy().T, mode="economic", pivoting=True)
        count = len(boxes)
        if len(first) < count or abs(upper[count - 1, count - 1]) < BORDERS.least:
            return None
        kept = torch.as_tensor(order[:count].astype(np.int64))
        return cls(first[kept], second[kept], crossed[kept])

    def take(self, own: torch.Tensor, at: torch.Tensor, sd: float) -> torch.Tensor:
        """What makes features (r + k, m + 2 k) of covariances with a surface's points and these: those of ``own`` (r, m) as if there were no boxes,
        of which ``at`` (m, k) says which hold the points; then the boxes', of standard deviation ``sd``."""
        held = torch.linalg.inv(self.crossed)
        across = torch.cat([held, -held], 1)  # from covariances with the pairs to boxes, times their variance
        apart = torch.cat([own, -own @ at @ across], 1)
        return torch.cat([apart, torch.cat([own.new_zeros(len(held), own.shape[1]), across / sd], 1)])


def with_boxes(part: Induced, by: ByPoints, model: Model, seed: int) -> Induced:
    """A draw of the scales, ``part`` of ``by``, with boxes at which the surfaces of ``model`` jump beside.

    Raises
    ------
    DidNotConverge
        If a covariance is not positive definite.
    """
    rows, theta = by.model.rows, by.theta
    points, takes, places = list(by.points), list(by.takes), by.places
    start = by.wide.shape[1]
    for k, surface in enumerate(model.scales.surfaces):
        if not surface.boxes:
            continue
        pairs, sd = Pairs.across(rows.x, surface.boxes, seed), float(torch.exp(theta[surface.bent]))
        if pairs is None:
            return replace(
                induced(part.weight, theta.numpy(), model, by.points), log_posterior=part.log_posterior
            )
        takes[k] = pairs.take(by.takes[k], inside(points[k], surface.boxes), sd)
        points[k] = torch.cat([points[k], pairs.above, pairs.below])
        places[k] = np.append(places[k], start + np.arange(len(surface.boxes)))
        start += len(surface.boxes)
    factor, mean = bordered(by, torch.cat(columns_of_boxes(model, theta), 1))
    return at_points(replace(part, root=factor, solved=mean, model=model), points, takes, places)


def heights_of(by: ByPoints, model: Model, rng: np.random.Generator) -> torch.Tensor:
    """A draw of the heights (k,) of a model's boxes, over their standard deviation, one surface's after the other's; all else is integrated out."""
    beside = torch.cat(columns_of_boxes(model, by.theta), 1)
    factor, mean = bordered(by, beside)
    count = beside.shape[1]
    normal = torch.as_tensor(rng.normal(size=(count, 1)))
    own = torch.linalg.solve_triangular(factor[-count:, -count:].T, normal, upper=True)[:, 0]
    return (mean[-count:] + own) * torch.cat(sds_of_boxes(model, by.theta))


def net_of_boxes(model: Model, jumping: Model, heights: torch.Tensor) -> Model:
    """A model of some rows whose outcomes are net of the boxes of another of the same form, given their heights (k,)."""
    there = replace(jumping, rows=model.rows)
    taken = torch.cat(columns_of_boxes(there, None), 1) @ heights
    return replace(model, rows=replace(model.rows, y=model.rows.y - taken))


def sds_of_boxes(model: Model, theta: torch.Tensor) -> list[torch.Tensor]:
    """Of each surface that has boxes their standard deviations (k,) before the data."""
    own = [surface for surface in model.scales.surfaces if surface.boxes]
    return [torch.exp(theta[each.bent]).expand(len(each.boxes)) for each in own]


def columns_of_boxes(model: Model, theta: torch.Tensor | None) -> list[torch.Tensor]:
    """Of each surface that has boxes what they add to the outcomes of the rows (n, k), for heights of one, or of their standard deviation."""
    pairs = zip(model.scales.surfaces, model.rows.loads, strict=True)
    own = [inside(model.rows.x, each.boxes) * load[:, None] for each, load in pairs if each.boxes]
    if theta is None:
        return own
    return [each * sd for each, sd in zip(own, sds_of_boxes(model, theta), strict=True)]


def bordered(by: ByPoints, beside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor (r + k, r + k) and mean (r + k,) with columns (n, k) beside all surfaces' features."""
    found, taken = by.halved(beside)
    corner = beside.T @ found - taken.T @ taken
    corner.diagonal().add_(1.0)
    size, count = by.factor.shape[0], beside.shape[1]
    factor = by.factor.new_zeros(size + count, size + count)
    factor[:size, :size], factor[size:, :size] = by.factor, taken.T
    factor[size:, size:] = torch.linalg.cholesky(corner)
    target = torch.cat([by.wide.T @ by.weighed, beside.T @ by.weighed])
    return factor, torch.cholesky_solve(target[:, None], factor)[:, 0]
