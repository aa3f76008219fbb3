"""What a kind of surface answers, and where a surface's numbers stand in the vector of log scales."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.kinds.boxes import Box

KindName = Literal["smooth", "edged", "index", "additive"]


class MetricPrior(NamedTuple):
    """A two-piece normal prior (Wallis, 2014, Statistical Science 29(1)) of each number of a surface's metric, and where a search begins."""

    centre: float
    below: float
    above: float
    start: float


@dataclass(frozen=True, eq=False)
class Room:
    """What a surface's evaluations between rows a (n, p) and b (m, p), of which a are the last, write over, one after the other.

    Parameters
    ----------
    correlation, work : tensor (n, m), optional
        Correlation of the curved part, and a second array; none of a kind that is all explicit columns.
    shapes : tensor (m, p, ``PER_COVARIATE``), optional
        An additive surface's functions at the rows of b.
    """

    correlation: Tensor | None = None
    work: Tensor | None = None
    shapes: Tensor | None = None

    @property
    def both(self) -> tuple[Tensor, Tensor]:
        """The two arrays, of a kind that has them."""
        assert self.correlation is not None
        assert self.work is not None
        return self.correlation, self.work

    def first(self, n: int) -> Room:
        """The arrays' first n rows."""
        return Room(*(each[:n] for each in self.both))


class Kind(ABC):
    """A kind of surface: how it bends, on top of the constant that every surface has.

    Its covariance is ``sd^2`` times a correlation between rows, plus products of explicit columns; either may be missing.
    """

    # as outcome models call it
    name: ClassVar[KindName]
    # whether it has a correlation beside its explicit columns
    curved: ClassVar[bool]

    def width(self, p: int, columns: int) -> int:
        """How many numbers its metric has, of p covariates in so many columns: one for each covariate."""
        return p

    @abstractmethod
    def prior(self, p: int, sparse: bool) -> MetricPrior:
        """Of each of these numbers; ``sparse`` where most covariates are thought to bend the surface little."""

    @abstractmethod
    def room(self, x: Tensor, like: Tensor) -> Room:
        """Space for evaluations of some of the rows x (m, p), the last n of them, against all; ``like`` is an array (n, m)."""

    @abstractmethod
    def ends(self, x: Tensor, theta: Tensor, surface: SurfaceLayout) -> tuple[Tensor, Tensor]:
        """Rows x (n, p) at these scales as ``between`` takes them: from the left (n, ...) and from the right."""

    @abstractmethod
    def between(self, left: Tensor, right: Tensor, surface: SurfaceLayout, room: Room | None) -> Tensor:
        """Correlation (n, m) of the curved part between rows as ``ends`` has them, in ``room`` where there is one."""

    def correlation(
        self, a: Tensor, b: Tensor, theta: Tensor, surface: SurfaceLayout, room: Room | None = None
    ) -> Tensor:
        """Correlation (n, m) of the curved part between the rows of a (n, p) and b (m, p), in ``room`` where there is one."""
        left, right = self.ends(a, theta, surface)[0], self.ends(b, theta, surface)[1]
        return self.between(left, right, surface, room)

    @abstractmethod
    def columns(self, a: Tensor, theta: Tensor, surface: SurfaceLayout, room: Room | None) -> Tensor:
        """Explicit columns (n, q) at the rows of a, each with prior variance one."""

    @abstractmethod
    def sums(self, slope: Tensor, a: Tensor, b: Tensor, surface: SurfaceLayout, room: Room) -> Tensor:
        """Sums (q,) over pairs of rows of a (n, p) and b (m, p), of which the slopes by the surface's numbers are multiples.

        ``slope`` (n, m) is that by its covariance between them; ``room`` holds what ``between`` left, and is written over.
        """

    @abstractmethod
    def add_gradient(self, gradient: Tensor, sums: Tensor, theta: Tensor, surface: SurfaceLayout) -> None:
        """Add the slopes by the surface's numbers to ``gradient`` (size,), from the sums over all pairs."""

    @abstractmethod
    def rise(self, x: Tensor, seen: Tensor, weight: Tensor, theta: Tensor, surface: SurfaceLayout) -> Tensor:
        """Gradient (m, p) at x (m, p) of the sum over rows ``seen`` (n, p) of weight (n,) times the covariance with them."""


@dataclass(frozen=True)
class SurfaceLayout:
    """Places of one surface in the vector: log sds of its linear and of its curved part, then the numbers of its metric.

    The sd of the linear part has an exponential prior with ``rate``, that of the curved part a gamma one with ``rate`` and ``shape``; of an effect
    (``sparse``) the rate is not known itself. What the metric's numbers are, and their prior, the ``kind`` says.

    ``groups`` says of each column which of the p covariates it belongs to, where some have several (``categories.py``): such columns share
    their number in the metric. An index has a weight for each column.

    ``boxes`` are where it jumps (``jumps.py``), by about as much as its curved part varies. The line's slopes are ``tied`` to the lengths, but in
    files of before.
    """

    start: int
    p: int
    kind: Kind
    rate: float
    shape: float = 1.0
    sparse: bool = False
    groups: tuple[int, ...] = ()
    boxes: tuple[Box, ...] = ()
    tied: bool = True

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.groups) or self.p

    @property
    def linear(self) -> int:
        """Place of the log sd of the linear part."""
        return self.start

    @property
    def bent(self) -> int:
        """Place of the log sd of the curved part."""
        return self.start + 1

    @property
    def deviations(self) -> list[int]:
        """Places of the two log sds."""
        return [self.linear, self.bent]

    @cached_property
    def metric(self) -> slice:
        """Places of the metric's numbers."""
        return slice(self.start + 2, self.start + 2 + self.kind.width(self.p, self.columns))

    @cached_property
    def metric_prior(self) -> MetricPrior:
        """Prior of each of them."""
        return self.kind.prior(self.p, self.sparse)

    def metric_precision(self, off: Array) -> Array:
        """Prior precision (p,) of the metric's numbers that are ``off`` (p,) their centre."""
        prior = self.metric_prior
        return np.where(off > 0.0, prior.above**-2, prior.below**-2)

    def spread_out(self, theta: Tensor) -> Tensor:
        """The covariates' numbers, one for each column."""
        return self.spread(theta[self.metric])

    def spread(self, each: Tensor) -> Tensor:
        """Numbers (p,) of the covariates, one for each column."""
        return each[list(self.groups)] if self.groups else each

    def gathered(self, each: Tensor) -> Tensor:
        """Sums over the columns of each covariate: what ``spread_out`` did, transposed."""
        if not self.groups:
            return each
        return each.new_zeros(self.p).index_add_(0, torch.as_tensor(self.groups, device=each.device), each)

    @property
    def curving(self) -> tuple[float, ...]:
        """One for each column that has values to curve along, zero for those of a category; empty where all have."""
        return tuple(float(self.groups.count(each) == 1) for each in self.groups)
