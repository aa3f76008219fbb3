"""The scales of the exact kernel model, their places in one vector of logarithms, and their priors."""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma, log, pi

import numpy as np
import torch

from hte_bridge.arrays import Array


@dataclass(frozen=True)
class Priors:
    """Priors of the hyperparameters, weak and fixed once for all designs."""

    # of log lengths, about log(2 sqrt p) for standardised covariates
    length_sd: float = 0.6**-0.5
    # of those beyond it for an effect, which most covariates are thought not to bend
    long_sd: float = 0.2**-0.5
    # of log weights of an additive effect below -log(p) / 2: most are thought to be near none
    faint_sd: float = long_sd
    # and of those above
    strong_sd: float = 0.7
    # of the exponential prior on the sd of a cluster's effect, in units of 1 / sd(Y)
    cluster_rate: float = 1.0
    # logs below this are the same model to machine precision
    lowest: float = -12.0
    # and above this
    highest: float = 12.0


PRIORS = Priors()


@dataclass(frozen=True)
class SurfaceLayout:
    """Places of one surface in the vector: log sds of its linear and of its Matern part, then p numbers for its metric.

    The sd of the linear part has an exponential prior with ``rate``, that of the Matern part a gamma one with ``rate`` and ``shape``. The
    metric of the Matern part is a log length per covariate or, with ``index``, the weights of one index: the distance of two
    units is then that of their indices.

    Log lengths have a normal prior; with ``sparse`` a two-piece normal one (Wallis, 2014, Statistical Science 29(1)), wide
    towards long ones, under which a covariate is likely to be all but left out of the Matern part.

    With ``additive`` the surface is a sum of functions of one covariate each (``splines.py``): the first two numbers are the log sds
    that their linear and their curved parts have in common, the metric the log weights of the covariates, two-piece normal too.

    ``groups`` says of each column which of the p covariates it belongs to, where some have several (``categories.py``): such columns share
    their number in the metric. An index has a weight for each column.
    """

    start: int
    p: int
    rate: float
    shape: float = 1.0
    index: bool = False
    sparse: bool = False
    additive: bool = False
    groups: tuple[int, ...] = ()

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.groups) or self.p

    @property
    def linear(self) -> int:
        """Place of the log sd of the linear part."""
        return self.start

    @property
    def matern(self) -> int:
        """Place of the log sd of the Matern part, or of the curved part."""
        return self.start + 1

    @property
    def deviations(self) -> list[int]:
        """Places of the two log sds."""
        return [self.linear, self.matern]

    @property
    def metric(self) -> slice:
        """Places of the log lengths, of the index's weights, or of an additive surface's log weights."""
        return slice(self.start + 2, self.start + 2 + (self.columns if self.index else self.p))

    def spread_out(self, theta: torch.Tensor) -> torch.Tensor:
        """The metric's number for each column."""
        metric = theta[self.metric]
        return metric[list(self.groups)] if self.groups and not self.index else metric

    def gathered(self, each: torch.Tensor) -> torch.Tensor:
        """Sums over the columns of each number of the metric: what ``spread_out`` did, transposed."""
        if not self.groups or self.index:
            return each
        return each.new_zeros(self.p).index_add_(0, torch.as_tensor(self.groups, device=each.device), each)

    @property
    def curving(self) -> tuple[float, ...]:
        """One for each column that has values to curve along, zero for those of a category; empty where all have."""
        return tuple(float(self.groups.count(each) == 1) for each in self.groups)

    @property
    def metric_centre(self) -> float:
        """Prior mean of a log length, of an index's weight, or of a log weight."""
        if self.additive:
            return -0.5 * float(np.log(self.p))
        return 0.0 if self.index else float(np.log(2.0 * np.sqrt(self.p)))

    @property
    def metric_sds(self) -> tuple[float, float]:
        """Prior sds of the metric's numbers below and above their centre; those of weights give the index an sd of about one."""
        if self.index:
            return self.p**-0.5, self.p**-0.5
        if self.additive:
            return PRIORS.faint_sd, PRIORS.strong_sd
        return PRIORS.length_sd, PRIORS.long_sd if self.sparse else PRIORS.length_sd

    def metric_precision(self, off: torch.Tensor) -> torch.Tensor:
        """Prior precision (p,) of the metric's numbers that are ``off`` (p,) their centre."""
        below, above = self.metric_sds
        return torch.where(off > 0.0, off.new_tensor(above**-2), off.new_tensor(below**-2))


@dataclass(frozen=True)
class Hyperparameters:
    """Layout of the log scales: noise, one surface after the other, cluster sd.

    Parameters
    ----------
    p : int
        Covariates.
    rates : tuple of float
        Of each surface: the rate of the priors on the sds of its parts, in units of 1 / sd(Y).
    shapes : tuple of float
        Of each surface: the shape of the gamma prior on the sd of its Matern part; one, an exponential, by default.
    index, sparse : tuple of bool
        Of each surface: whether its metric is one index, and whether its lengths are likely to be long; none is by default.
    clustered : bool
        Whether the model has a random effect per cluster.
    additive : tuple of bool
        Of each surface: whether it is a sum of functions of one covariate each; none is by default.
    groups : tuple of int
        Of each column: which of the p covariates it belongs to. Empty: each is one.

    Examples
    --------
    >>> Hyperparameters(p=2, rates=(1.0, 8.0)).size
    9
    """

    p: int
    rates: tuple[float, ...]
    shapes: tuple[float, ...] = ()
    index: tuple[bool, ...] = ()
    sparse: tuple[bool, ...] = ()
    clustered: bool = False
    additive: tuple[bool, ...] = ()
    groups: tuple[int, ...] = ()

    @property
    def surfaces(self) -> tuple[SurfaceLayout, ...]:
        """The surfaces, in the order of ``rates``."""
        none = (False,) * len(self.rates)
        shapes = self.shapes or (1.0,) * len(self.rates)
        kinds = self.index or none, self.sparse or none, self.additive or none
        found: list[SurfaceLayout] = []
        for part in zip(self.rates, shapes, *kinds, strict=True):
            start = found[-1].metric.stop if found else 1
            found.append(SurfaceLayout(start, self.p, *part, self.groups))
        return tuple(found)

    @property
    def cluster(self) -> int:
        """Place of the log sd of the random effect of a cluster."""
        return int(self.surfaces[-1].metric.stop)

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.cluster + int(self.clustered)

    def start(self) -> Array:
        """Where the search begins: half the variance is noise; parts at their prior mean, half of sd(Y) at most."""
        theta = np.zeros(self.size)
        theta[0] = 0.5 * np.log(0.5)
        for surface in self.surfaces:
            theta[surface.deviations] = np.log(min(0.5, 1.0 / surface.rate))
            theta[surface.metric] = surface.p**-0.5 if surface.index else surface.metric_centre
        if self.clustered:
            theta[self.cluster] = np.log(0.2)
        return theta

    def bounds(self) -> list[tuple[float, float]]:
        """Box for the search; the noise sd stays above 0.003 of sd(Y)."""
        box = [(PRIORS.lowest, PRIORS.highest)] * self.size
        box[0] = (-6.0, 2.0)
        return box

    def prior(self, theta: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Log prior density of the logarithms (Jacobian included) and its gradient; that of the noise is flat."""
        gradient = torch.zeros_like(theta)
        value = 0.0
        deviations = [(s.linear, s.rate, 1.0) for s in self.surfaces]
        deviations += [(s.matern, s.rate, s.shape) for s in self.surfaces]
        if self.clustered:
            deviations.append((self.cluster, PRIORS.cluster_rate, 1.0))
        for place, rate, shape in deviations:  # a gamma density of the sd, seen from its logarithm
            sd = float(theta[place].exp())
            value += shape * (log(rate) + float(theta[place])) - rate * sd - lgamma(shape)
            gradient[place] = shape - rate * sd
        for surface in self.surfaces:
            off = theta[surface.metric] - surface.metric_centre
            slope = surface.metric_precision(off) * off
            value -= 0.5 * float(slope @ off)
            value -= len(off) * (log(sum(surface.metric_sds) / 2.0) + 0.5 * log(2.0 * pi))
            gradient[surface.metric] = -slope
        return value, gradient

    def prior_curvature(self, theta: Array) -> Array:
        """Minus the second derivatives (size,) of the log prior, which has none across scales."""
        curved = np.zeros(self.size)
        for surface in self.surfaces:
            curved[surface.deviations] = surface.rate * np.exp(theta[surface.deviations])
            off = torch.as_tensor(theta[surface.metric] - surface.metric_centre)
            curved[surface.metric] = surface.metric_precision(off).numpy()
        if self.clustered:
            curved[self.cluster] = PRIORS.cluster_rate * np.exp(theta[self.cluster])
        return curved
