"""Units in which grf is given outcome and dose, so that its absolute limits are far from the data; and its nuisances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import frexp
from typing import Any

import numpy as np
import numpy.typing as npt

from hte_bridge.alignment import by_label
from hte_bridge.arrays import Array
from hte_bridge.engine import HeldOut
from hte_bridge.errors import InvalidOption
from hte_bridge.study import Study

# grf returns a variance of 0 where sqrt(2 / groups) times the variance between trees is below 1e-10 (its
# ObjectiveBayesDebiaser), and no splits where a node's sum of squares of the treatment is: limits in the units of the
# data. From 2^-7 up neither was met with up to 100,000 trees; up to 2^100 no square overflows.
LEAST, MOST = 2.0**-7, 2.0**100
FURTHEST = 1000  # powers of two beyond this are no finite number


@dataclass(frozen=True)
class Units:
    """Powers of two that multiply outcome and treatment before the forest grows.

    They change no bit of what grf says: significands stay, exponents move along. Within grf's own range nothing is
    multiplied.

    Parameters
    ----------
    outcome, treatment : int
        Exponents; 0 leaves the column as it is.

    Examples
    --------
    >>> units = Units.between(outcome=1e-6, treatment=1.0)
    >>> units, float(units.given(np.array([1e-6]))[0])
    (Units(outcome=20, treatment=0), 1.048576)
    >>> float(units.effect(np.array([1.048576]))[0])
    1e-06
    >>> Units.between(outcome=30000.0, treatment=0.5)
    Units(outcome=0, treatment=0)
    """

    outcome: int = 0
    treatment: int = 0

    @classmethod
    def of(cls, study: Study) -> Units:
        """For a study; 0 and 1 of a binary treatment stay."""
        treatment = 1.0 if study.binary else spread(study.treatment)
        made = cls.between(spread(study.outcome), treatment)
        return cls(made.outcome) if study.binary else made

    @classmethod
    def between(cls, outcome: float, treatment: float) -> Units:
        """For standard deviations of outcome and treatment; effects are in units of their ratio."""
        sds = [each for each in (outcome, treatment) if each > 0]
        ratio = [outcome / treatment] if len(sds) == 2 else []
        if all(LEAST <= each <= MOST for each in sds + ratio):
            return cls()
        return cls(_exponent(outcome), _exponent(treatment))

    @property
    def moved(self) -> bool:
        """Whether a column is multiplied."""
        return self != Units()

    def given(self, outcome: Array) -> Array:
        """The outcome, or its mean, as grf is given it."""
        return np.ldexp(outcome, self.outcome) if self.outcome else outcome

    def given_treatment(self, treatment: Array) -> Array:
        """The treatment, or its mean, as grf is given it."""
        return np.ldexp(treatment, self.treatment) if self.treatment else treatment

    def mean(self, values: Array) -> Array:
        """E[Y | x] out of grf, in units of the outcome."""
        return np.ldexp(values, -self.outcome) if self.outcome else values

    def propensity(self, values: Array, power: int = 1) -> Array:
        """E[W | x] (or, with power 2, a variance) out of grf, in units of the treatment."""
        return np.ldexp(values, -power * self.treatment) if self.treatment else values

    def effect(self, values: Array, power: int = 1) -> Array:
        """Effect or its standard error (with power 2 its variance) out of grf, in units of outcome per treatment."""
        return np.ldexp(values, power * (self.treatment - self.outcome)) if self.moved else values

    def heldout(self, made: Mapping[str, Any]) -> HeldOut:
        """Held-out columns of a forest, in units of the study."""
        variance = made["treatment_variance"]
        return HeldOut(
            self.effect(made["cate"]),
            self.mean(made["outcome_mean"]),
            self.propensity(made["propensity"]),
            None if variance is None else self.propensity(variance, power=2),
        )


def spread(values: Array) -> float:
    """Standard deviation; neither overflows nor underflows.

    Examples
    --------
    >>> spread(np.array([0.0, 2e-200])), spread(np.array([5.0, 5.0]))
    (1e-200, 0.0)
    """
    if not len(values) or values.min() == values.max():
        return 0.0
    largest = float(np.abs(values).max())
    return float(np.std(values / largest)) * largest


def _exponent(sd: float) -> int:
    """Power of two that brings a standard deviation into [1, 2)."""
    return int(np.clip(1 - frexp(sd)[1], -FURTHEST, FURTHEST)) if sd > 0 else 0


def nuisance(name: str, given: float | npt.ArrayLike | None, study: Study) -> Array | None:
    """A nuisance handed over, as (n,) numbers; one number holds for all. A Series is matched by its labels, an array by position.

    Raises
    ------
    InvalidOption
        If it does not fit the study's rows, is not finite, or says that a binary treatment was certain.
    """
    if given is None:
        return None
    values, n = np.asarray(by_label(study, given, name), dtype=np.float64), study.n
    if values.ndim == 0:
        values = np.full(n, float(values))
    if values.shape != (n,):
        raise InvalidOption(
            f"`{name}` must have one value for each of the study's {n:,} rows. It has shape {values.shape}. Predict "
            "the rows that the study kept, in its order."
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InvalidOption(
            f"`{name}` must be finite. {len(bad):,} of {n:,} values are not; the first is in row {bad[0]}. Predict "
            "those rows too."
        )
    certain = np.flatnonzero((values <= 0) | (values >= 1))
    if name == "propensity" and study.binary and len(certain):
        raise InvalidOption(
            f"`propensity` must be strictly between 0 and 1: the chance of treatment, not the treatment itself. {len(certain):,} "
            f"of {n:,} values are not; the first is {values[certain[0]]:g}, in row {certain[0]}. Predict it held out, drop "
            "units whose treatment was certain, or leave `propensity` out."
        )
    return values
