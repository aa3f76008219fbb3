"""Outcome and dose of a large sample or panel on their way into sums of squares: not far from zero, and the dose in units of its spread."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.engine import HeldOut
from hte_bridge.scaling import power
from hte_bridge.study import Study


@dataclass(frozen=True)
class CentringRule:
    """When an outcome or dose is moved."""

    # spreads from zero, beyond which an outcome is moved, and a dose centred: sums of squares would hold little but its place
    far: float = 32.0


CENTRING = CentringRule()


@dataclass(frozen=True)
class Moved:
    """What was taken off the outcome and off a dose, and what a dose was divided by.

    An outcome that is not far from zero stays as it is; one that is, is moved by a round number, which its last digits do not know. Of a
    panel's dose zero is where the effect is none, whatever the covariates; where zero is so far from all doses that this means nothing, as of a
    year, it is their mean.

    Parameters
    ----------
    outcome, dose, unit : float
    """

    outcome: float = 0.0
    dose: float = 0.0
    unit: float = 1.0

    @classmethod
    def of(cls, study: Study) -> Moved:
        """From a study.

        Examples
        --------
        >>> coarse_step(np.array([1.0, 2.0, 4.0])), coarse_step(np.array([2008.0, 2010.0, 2013.0]))
        (0.0, 2048.0)
        """
        outcome = coarse_step(study.outcome)
        if study.binary:
            return cls(outcome)
        centre, unit = float(study.treatment.mean()), float(study.treatment.std())
        return cls(outcome, centre if abs(centre) > CENTRING.far * unit else 0.0, unit or 1.0)

    def study(self, study: Study) -> Study:
        """The study with both moved."""
        dose = (study.treatment - self.dose) / self.unit
        return study.with_(outcome=study.outcome - self.outcome, treatment=dose)

    def back(self, heldout: HeldOut) -> HeldOut:
        """Held-out predictions in the study's own units."""
        variance = heldout.treatment_variance
        return replace(
            heldout,
            cate=heldout.cate / self.unit,
            outcome_mean=heldout.outcome_mean + self.outcome,
            propensity=heldout.propensity * self.unit + self.dose,
            treatment_variance=None if variance is None else variance * self.unit**2,
        )


def coarse_step(values: Array) -> float:
    """Multiple of a step much wider than the values' spread (n,) that is near them; zero where they are not far from it."""
    middle = float(np.median(values))
    spread = float(np.median(np.abs(values - middle))) or float(values.std())
    step = 2 * CENTRING.far * float(power(spread))
    return float(np.round(middle / step) * step) if abs(middle) > CENTRING.far * spread > 0 else 0.0
