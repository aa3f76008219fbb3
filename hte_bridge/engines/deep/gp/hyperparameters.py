"""The scales of the exact kernel model, their places in one vector of logarithms, and their priors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, lgamma, log, log1p, pi

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.kinds.boxes import Box
from hte_bridge.engines.deep.gp.kinds.every import KINDS
from hte_bridge.engines.deep.gp.kinds.layout import KindName, SurfaceLayout
from hte_bridge.engines.deep.gp.priors import PRIORS


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
        Of each surface: the shape of the gamma prior on the sd of its curved part; one, an exponential, by default.
    kinds : tuple of {"smooth", "edged", "index", "additive"}
        Of each surface; smooth by default.
    sparse : tuple of bool
        Of each surface: whether most covariates are thought to bend it little; none is by default.
    clustered : bool
        Whether the model has a random effect per cluster.
    groups : tuple of int
        Of each column: which of the p covariates it belongs to. Empty: each is one.
    known : bool
        Whether the rates are, also those of an effect.
    boxes : tuple of tuple of Box
        Of each surface: where it jumps; nowhere by default.
    tied : bool
        Whether slopes are tied to lengths, as in all but files of before.

    Examples
    --------
    >>> Hyperparameters(p=2, rates=(1.0, 8.0)).size
    9
    """

    p: int
    rates: tuple[float, ...]
    shapes: tuple[float, ...] = ()
    kinds: tuple[KindName, ...] = ()
    sparse: tuple[bool, ...] = ()
    clustered: bool = False
    groups: tuple[int, ...] = ()
    known: bool = False
    boxes: tuple[tuple[Box, ...], ...] = ()
    tied: bool = True

    @cached_property
    def surfaces(self) -> tuple[SurfaceLayout, ...]:
        """The surfaces, in the order of ``rates``."""
        count = len(self.rates)
        smooth: KindName = "smooth"
        kinds = self.kinds or (smooth,) * count
        shapes, sparse = self.shapes or (1.0,) * count, self.sparse or (False,) * count
        found: list[SurfaceLayout] = []
        boxes = self.boxes or ((),) * count
        for kind, rate, shape, few, own in zip(kinds, self.rates, shapes, sparse, boxes, strict=True):
            start = found[-1].metric.stop if found else 1
            layout = SurfaceLayout(start, self.p, KINDS[kind], rate, shape, few, self.groups, own, self.tied)
            found.append(layout)
        return tuple(found)

    @property
    def cluster(self) -> int:
        """Place of the log sd of the random effect of a cluster."""
        return int(self.surfaces[-1].metric.stop)

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.cluster + int(self.clustered)

    @cached_property
    def deviations(self) -> list[tuple[int, float, float, bool]]:
        """Of each sd but the noise's: its place, the rate and the shape of its prior, and whether that rate is not known: of an effect."""
        found = [(s.linear, s.rate, 1.0, s.sparse and not self.known) for s in self.surfaces]
        found += [(s.bent, s.rate, s.shape, s.sparse and not self.known) for s in self.surfaces]
        return found + [(self.cluster, PRIORS.cluster_rate, 1.0, False)] * self.clustered

    def start(self) -> Array:
        """Where the search begins: half the variance is noise; parts at their prior mean, half of sd(Y) at most."""
        theta = np.zeros(self.size)
        theta[0] = 0.5 * np.log(0.5)
        for surface in self.surfaces:
            theta[surface.deviations] = np.log(min(0.5, 1.0 / surface.rate))
            theta[surface.metric] = surface.metric_prior.start
        if self.clustered:
            theta[self.cluster] = np.log(0.2)
        return theta

    def bounds(self) -> list[tuple[float, float]]:
        """Box for the search; the noise sd stays above 0.003 of sd(Y)."""
        box = [(PRIORS.lowest, PRIORS.highest)] * self.size
        box[0] = (-6.0, 2.0)
        return box

    def prior(self, theta: Array) -> tuple[float, Array]:
        """Log prior density of the logarithms (Jacobian included) and its gradient; that of the noise is flat."""
        gradient, value = np.zeros(self.size), 0.0
        for place, rate, shape, tailed in self.deviations:
            own, gradient[place], _ = log_density(float(theta[place]), rate, shape, tailed)
            value += own
        for surface in self.surfaces:
            prior = surface.metric_prior
            off = theta[surface.metric] - prior.centre
            slope = surface.metric_precision(off) * off
            value -= 0.5 * float(slope @ off)
            value -= len(off) * (log((prior.below + prior.above) / 2.0) + 0.5 * log(2.0 * pi))
            gradient[surface.metric] = -slope
        return value, gradient

    def prior_curvature(self, theta: Array) -> Array:
        """Minus the second derivatives (size,) of the log prior, which has none across scales."""
        curved = np.zeros(self.size)
        for surface in self.surfaces:
            curved[surface.metric] = surface.metric_precision(
                theta[surface.metric] - surface.metric_prior.centre
            )
        for place, rate, shape, tailed in self.deviations:
            curved[place] = log_density(float(theta[place]), rate, shape, tailed)[2]
        return curved


def log_density(log_sd: float, rate: float, shape: float, tailed: bool) -> tuple[float, float, float]:
    """Log prior density of the logarithm of a part's sd, its slope, and minus its second derivative.

    A gamma density of the sd; where it is ``tailed`` its rate is not known itself and has one too, with mean ``rate``: the sd is then a beta prime
    variable (Johnson, Kotz and Balakrishnan, 1995, Continuous Univariate Distributions 2, section 27.8.1).

    Examples
    --------
    >>> [round(log_density(np.log(2.0), 1.0, 1.0, tailed)[0], 2) for tailed in (False, True)]
    [-1.31, -1.39]
    >>> [round(log_density(np.log(8.0), 1.0, 1.0, tailed)[0], 2) for tailed in (False, True)]
    [-5.92, -2.75]
    """
    tail = PRIORS.rate_shape
    scaled = rate * exp(log_sd)
    if not tailed:
        return shape * log(scaled) - scaled - lgamma(shape), shape - scaled, scaled
    scaled /= tail
    share, both = scaled / (1.0 + scaled), shape + tail
    value = shape * log(scaled) - both * log1p(scaled) + lgamma(both) - lgamma(shape) - lgamma(tail)
    return value, shape - both * share, both * share * (1.0 - share)
