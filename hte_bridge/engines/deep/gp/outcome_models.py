"""Ways to write the outcome as surfaces of the covariates; the evidence says which the data prefer.

``centred``: Y = m(x) + (T - e(x)) tau(x) + error (Robinson, 1988, Econometrica 56(4)). The effect is a surface of its own, thought to be
simpler than the outcome's mean, and errors in e and m reach it only through their product.

``baseline``: Y = mu0(x) + T tau(x) + error. Where e(x) is rough and mu0 is not, m = mu0 + e tau is rougher than mu0.

``arms``: Y = (1 - T) mu0(x) + T mu1(x) + error with independent surfaces, for a binary treatment (Alaa and van der Schaar, 2017, NeurIPS
30). It is the better account where treated and controls have little in common, so that their difference is no simpler than either.

Each of them says only which surfaces there are; of what *kind* a surface is (smooth, edged, along one index, a sum of curves: ``kinds/``) is
another matter, and any goes with any.

Of outcomes whose errors vary with their level (amounts, counts, yes or no) the first may have an effect thought to be as large as the error is:
tau(x) = sd(x) f(x). In a canonical-link model a shift of the linear predictor moves the mean by the variance (McCullagh and Nelder, 1989, section
2.2.4), and of amounts by a per cent; rare events are where events are rare. Thought to be as large everywhere, the effect is taken to be what it
is where errors are small, as those rows weigh most.

The last two lean on the prior of mu0 under confounding (Hahn, Murray and Carvalho, 2020, Bayesian Analysis 15(3), section 4), the first does
not: they count as much only on strong evidence, which is what ``MODEL_PRIORS.log_odds`` says (Kass and Raftery, 1995, JASA 90(430), 2 log B > 6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.hyperparameters import Hyperparameters
from hte_bridge.engines.deep.gp.kinds.layout import KindName


@dataclass(frozen=True)
class ModelPriors:
    """Priors on surfaces, and odds of the outcome models before the data."""

    # of the exponential prior on the sds of a surface of outcomes, in units of 1 / sd(Y)
    outcome_rate: float = 1.0
    # of the gamma prior on the sd of the effect's curved part: an effect that bends not at all is not what it begins at
    effect_shape: float = 2.0
    # before the data, of each form but the centred one, and of an additive effect, which allows no interactions
    log_odds: float = -3.0
    # rate of an effect with edges, over that of another: what jumps moves by more than what bends
    edged_rate: float = 0.3
    # of an effect without edges beside a mean that has them: what makes the one jump is there for the other
    unlike_log_odds: float = -5.0


MODEL_PRIORS = ModelPriors()

Name = Literal["centred", "baseline", "arms", "alone"]


@dataclass(frozen=True)
class OutcomeModel:
    """How an outcome is made of surfaces.

    Parameters
    ----------
    name : {"centred", "baseline", "arms", "alone"}
        ``alone`` is one surface without a treatment: a nuisance.
    effect : tuple of float
        The effect is this combination of the surfaces.
    rates, shapes : tuple of float
        Of the priors on each surface's sds.
    kinds : tuple of {"smooth", "edged", "index", "additive"}
        Of each surface; smooth by default.
    relative : bool
        Whether the surfaces that make the effect are multiples of the error's standard deviation at x.
    at_mode : bool
        Whether it is read at its mode alone, and the rates of the effect's priors are taken as known.

    Examples
    --------
    >>> outcome_models(8.0, binary=True)[2].loads(np.array([0.0, 1.0]), np.array([0.5, 0.5])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    >>> outcome_models(8.0, binary=True)[0].loads(np.array([0.0, 1.0]), np.array([0.5, 0.5])).tolist()
    [[1.0, 1.0], [-0.5, 0.5]]
    """

    name: Name
    effect: tuple[float, ...]
    rates: tuple[float, ...]
    shapes: tuple[float, ...]
    kinds: tuple[KindName, ...] = ()
    relative: bool = False
    at_mode: bool = False

    @property
    def each_kind(self) -> tuple[KindName, ...]:
        """Kind of each surface."""
        smooth: KindName = "smooth"
        return self.kinds or (smooth,) * len(self.rates)

    @property
    def effect_kind(self) -> KindName:
        """Kind of the surfaces that make the effect."""
        return next(kind for kind, share in zip(self.each_kind, self.effect, strict=True) if share != 0.0)

    @property
    def label(self) -> str:
        """Name for a reader; what is not said is smooth."""
        kinds = [each for each in dict.fromkeys([self.effect_kind, *self.each_kind]) if each != "smooth"]
        said = [each if each == self.effect_kind else f"{each} mean" for each in kinds]
        return ", ".join([self.name, *["relative"] * self.relative, *said])

    @property
    def log_odds(self) -> float:
        """Log prior odds against the centred form whose effect may bend as it likes."""
        own = 0.0 if self.name in ("centred", "alone") else MODEL_PRIORS.log_odds
        unlike = self.mean_kind == "edged" and self.effect_kind != "edged"
        own += MODEL_PRIORS.unlike_log_odds * unlike
        return own + MODEL_PRIORS.log_odds * (self.effect_kind == "additive")

    def loads(
        self, treatment: Array, propensity: Array, error_sd: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What the surfaces are multiplied by in the outcomes of these units (s, n), whose errors have the sds (n,)."""
        ones = np.ones_like(treatment)
        found = {
            "centred": [ones, treatment - propensity],
            "baseline": [ones, treatment],
            "arms": [ones - treatment, treatment],
            "alone": [ones],
        }[self.name]
        loads = torch.as_tensor(np.stack(found))
        for k, share in enumerate(self.effect):
            if self.relative and share != 0.0 and error_sd is not None:
                loads[k] *= error_sd
        return loads

    def mean(self, propensity: Array, error_sd: torch.Tensor) -> torch.Tensor:
        """Combination (s, n) of the surfaces that is E[Y | x]: the outcome's loads, their expectation over T."""
        return self.loads(propensity, propensity, error_sd)

    def scales(self, p: int, clustered: bool, groups: tuple[int, ...] = ()) -> Hyperparameters:
        """Layout of the scales with p columns, which belong to covariates as ``groups`` says, or each to one of its own."""
        sparse = tuple(self.name != "alone" and share != 0.0 for share in self.effect)
        jumps = [
            kind == "edged" and few and 0.0 in self.effect
            for kind, few in zip(self.each_kind, sparse, strict=True)
        ]
        rates = tuple(
            rate * (MODEL_PRIORS.edged_rate if own else 1.0)
            for rate, own in zip(self.rates, jumps, strict=True)
        )
        covariates = max(groups) + 1 if groups else p
        return Hyperparameters(
            covariates, rates, self.shapes, self.each_kind, sparse, clustered, groups, self.at_mode
        )

    @property
    def mean_kind(self) -> KindName:
        """Kind of the outcome's mean: of the surface that is no part of the effect, where there is one."""
        return self.each_kind[0]

    def of_kinds(self, mean: KindName, effect: KindName) -> OutcomeModel:
        """The same outcome model with a mean and an effect of these kinds; where both are of the same surfaces, they are of the mean's."""
        apart = 0.0 in self.effect
        chosen = (effect if apart and share != 0.0 else mean for share in self.effect)
        return replace(self, kinds=tuple(chosen))

    def with_effect(self, kind: KindName) -> OutcomeModel:
        """The same outcome model, whose effect is of another kind; the other surfaces stay what they are."""
        each = zip(self.each_kind, self.effect, strict=True)
        return replace(self, kinds=tuple(was if share == 0.0 else kind for was, share in each))


def outcome_models(effect_rate: float, binary: bool) -> list[OutcomeModel]:
    """Forms to choose among, the centred one first; the rate is that of the effect's own surface."""
    own = (MODEL_PRIORS.outcome_rate, effect_rate), (1.0, MODEL_PRIORS.effect_shape)
    found = [OutcomeModel("centred", (0.0, 1.0), *own), OutcomeModel("baseline", (0.0, 1.0), *own)]
    return (
        [
            *found,
            OutcomeModel(
                "arms", (-1.0, 1.0), (MODEL_PRIORS.outcome_rate, MODEL_PRIORS.outcome_rate), (1.0, 1.0)
            ),
        ]
        if binary
        else found
    )


def outcome_models_at_levels(effect_rate: float, two_values: bool) -> list[OutcomeModel]:
    """Forms to choose among where errors vary with the level of the outcome: a centred effect relative to it and, but of events, others too.

    Independent arms are not among them, nor effects of events that are not relative: where events are rare, their surfaces have spikes at the few
    that they saw. Nor are relative ones beside a ``baseline``: that goes with the level too, and what its surface misses they would take.
    """
    plain = outcome_models(effect_rate, binary=False)
    return [replace(plain[0], relative=True), *([] if two_values else plain)]


ALONE = OutcomeModel("alone", (1.0,), (MODEL_PRIORS.outcome_rate,), (1.0,))
