"""The scales of the exact kernel model, their places in one vector of logarithms, and their priors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]

MU_RATE, TAU_RATE = 1.0, 8.0  # exponential priors on standard deviations, in units of sd(Y)
LENGTH_PRECISION = 0.6  # of log lengths, about log(2 sqrt p) for standardised covariates
UNUSED = -8.0  # log sd of a part that is left out, with a standard normal about it
LOWEST, HIGHEST = -12.0, 6.0  # logs beyond these are the same model to machine precision


@dataclass(frozen=True)
class Surface:
    """Places of one surface (mu or tau) in the vector: sds of its two linear parts and of the Matern part, lengths."""

    start: int
    p: int
    rate: float

    @property
    def linear(self) -> int:
        """Place of the log sd of the linear part in which all covariates count alike."""
        return self.start

    @property
    def tied(self) -> int:
        """Place of the log sd of the linear part in which a covariate counts as 1 / length^2."""
        return self.start + 1

    @property
    def matern(self) -> int:
        """Place of the log sd of the Matern part."""
        return self.start + 2

    @property
    def deviations(self) -> list[int]:
        """Places of the three log sds."""
        return [self.linear, self.tied, self.matern]

    @property
    def lengths(self) -> slice:
        """Places of the p log lengths."""
        return slice(self.start + 3, self.start + 3 + self.p)


@dataclass(frozen=True)
class Scales:
    """Layout of the log scales: noise, surface mu, surface tau (where there is a treatment), cluster sd.

    Parameters
    ----------
    p : int
        Covariates.
    effect : bool
        Whether the model has tau.
    clustered : bool
        Whether it has a random effect per cluster.
    tau_rate, mu_rate, length_precision : float
        Prior rates of the sds of tau's and of mu's parts; prior precision of log lengths.
    tied : bool
        Whether there is a linear part in which a covariate counts by its length.

    Examples
    --------
    >>> Scales(p=2, effect=True, clustered=False).size
    11
    """

    p: int
    effect: bool = True
    clustered: bool = False
    tau_rate: float = TAU_RATE
    mu_rate: float = MU_RATE
    length_precision: float = LENGTH_PRECISION
    tied: bool = True

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """mu, then tau where the model has it."""
        mu = Surface(1, self.p, self.mu_rate)
        return (mu, Surface(4 + self.p, self.p, self.tau_rate)) if self.effect else (mu,)

    @property
    def cluster(self) -> int:
        """Place of the log sd of the random effect of a cluster."""
        return 1 + len(self.surfaces) * (self.p + 3)

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.cluster + int(self.clustered)

    @property
    def length_centre(self) -> float:
        """Prior mean of a log length."""
        return float(np.log(2.0 * np.sqrt(self.p)))

    def start(self) -> Array:
        """Where the search begins: half the variance is noise, the rest mu's; tau's parts at their prior mean."""
        theta = np.zeros(self.size)
        theta[0] = 0.5 * np.log(0.5)
        for surface, sd in zip(self.surfaces, (0.5, 1.0 / self.tau_rate), strict=False):
            theta[surface.deviations] = np.log(sd)
            theta[surface.lengths] = self.length_centre
            theta[surface.tied] = np.log(sd) if self.tied else UNUSED
        if self.clustered:
            theta[self.cluster] = np.log(0.2)
        return theta

    def bounds(self) -> list[tuple[float, float]]:
        """Box for the search; the noise sd stays above 0.003 of sd(Y)."""
        box = [(LOWEST, HIGHEST)] * self.size
        box[0] = (-6.0, 2.0)
        return box

    def prior(self, theta: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Log prior density of the logarithms (Jacobian included) and its gradient."""
        gradient = torch.zeros_like(theta)
        value = 0.0
        deviations = [
            (place, s.rate) for s in self.surfaces for place in s.deviations if self.tied or place != s.tied
        ]
        if self.clustered:
            deviations.append((self.cluster, self.mu_rate))
        for place, rate in deviations:  # exponential with this rate, seen from its logarithm
            sd = float(theta[place].exp())
            value += float(theta[place]) - rate * sd
            gradient[place] = 1.0 - rate * sd
        for surface in self.surfaces:
            if not self.tied:
                gradient[surface.tied] = UNUSED - theta[surface.tied]
                value -= 0.5 * float(gradient[surface.tied]) ** 2
            off = theta[surface.lengths] - self.length_centre
            value -= 0.5 * self.length_precision * float(off @ off)
            gradient[surface.lengths] = -self.length_precision * off
        return value, gradient
