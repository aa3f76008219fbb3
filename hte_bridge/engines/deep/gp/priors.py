"""Priors of the scales of the exact kernel model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Priors:
    """Priors of the hyperparameters, weak and fixed once for all designs."""

    # of log lengths about their centre, for standardised covariates
    length_sd: float = 0.6**-0.5
    # of those beyond it for an effect, which most covariates are thought not to bend
    long_sd: float = 0.2**-0.5
    # of log weights of an additive effect below -log(p) / 2: most are thought to be near none
    faint_sd: float = long_sd
    # and of those above
    strong_sd: float = 0.7
    # of the gamma prior on the rates of an effect's sds, which are not known either: large effects are thought rare, not impossible
    rate_shape: float = 2.0
    # of the exponential prior on the sd of a cluster's effect, in units of 1 / sd(Y)
    cluster_rate: float = 1.0
    # logs below this are the same model to machine precision
    lowest: float = -12.0
    # and above this
    highest: float = 12.0


PRIORS = Priors()
