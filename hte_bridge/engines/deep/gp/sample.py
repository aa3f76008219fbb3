"""Some units of a study as the Gaussian process sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.canonical import GRID
from hte_bridge.engines.deep.gp.categories import Categories, groups_of
from hte_bridge.engines.deep.gp.covariance import Data
from hte_bridge.engines.deep.gp.outcome_models import OutcomeModel, outcome_models, outcome_models_at_levels
from hte_bridge.engines.deep.gp.posterior import Model
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.engines.deep.nuisance.scaler import Scaler
from hte_bridge.engines.deep.options import Options
from hte_bridge.study import Study


@dataclass(frozen=True, eq=False)
class Sample:
    """Some units of a study, standardised by those units alone, before a form puts its loads on them.

    Parameters
    ----------
    bare : Data
    units : Standardisation
    treatment, propensity : array (n,)
    leveled : bool
        Whether the outcome is such that its errors may vary with its level: it has two values, or is never negative.
    residual : bool
        Whether it is what controls left of one (``route_controls.py``): the centred form alone is true of it.
    at_mode : bool
        Whether models are read at their modes alone. The rates of an effect's priors are then taken as known: a mode runs off along a long tail
        that draws average over.
    """

    bare: Data
    units: Standardisation
    treatment: Array
    propensity: Array
    leveled: bool = False
    residual: bool = False
    at_mode: bool = False

    @classmethod
    def of(
        cls,
        study: Study,
        propensity: Array,
        rows: Codes | slice = slice(None),
        device: str = "cpu",
        columns: Codes | None = None,
    ) -> Sample:
        """Standardise some rows of a study, and some of its columns; ``device`` is where the log posterior of scales is evaluated."""
        x, y, weight = study.filled[rows], study.outcome[rows], study.weight[rows]
        x = x if columns is None else x[:, columns]
        standard = Scaler.of(x, weight)
        mean, sd = middle_and_sd(y, weight)  # of one value, as among few events: an effect of zero
        # each covariate points towards higher outcomes, so that the units it came in, sign included, change nothing
        towards = np.where((weight * (y - mean)) @ standard(x) < 0, -1.0, 1.0)
        spread = standard.spread * towards
        categories = Categories.of(groups_of(study, columns), standard.centre, spread)
        bare = Data(
            x=torch.as_tensor(np.ascontiguousarray(categories(standard(x) * towards))),
            y=torch.as_tensor(np.round((y - mean) / sd / GRID) * GRID),
            noise=torch.as_tensor(weight.mean() / weight),
            loads=torch.zeros(0, len(y), dtype=torch.float64),
            cluster=torch.as_tensor(study.cluster[rows].copy()) if study.clustered else None,
            device=device,
            groups=categories.groups,
        )
        dose = (0.0, 1.0) if study.binary else middle_and_sd(study.treatment[rows], weight)
        units = Standardisation(standard.centre, spread, mean, sd, None, categories.turn, columns, *dose)
        residual = study.controls is not None
        return cls(bare, units, study.treatment[rows], propensity[rows], has_level(y), residual)

    @classmethod
    def either(
        cls, study: Study, propensity: Array, rows: Codes | slice = slice(None), device: str = "cpu"
    ) -> list[Sample]:
        """The sample, or two where some covariates have long tails: with such covariates themselves, and with their normal scores."""
        own = study.score_columns
        if not own:
            return [cls.of(study, propensity, rows, device)]
        every = np.arange(study.filled.shape[1])
        kept = [np.setdiff1d(every, list(left_out)) for left_out in zip(*own, strict=True)]
        return [cls.of(study, propensity, rows, device, columns) for columns in kept[::-1]]

    def rows(self, form: OutcomeModel) -> Data:
        """The units under a form."""
        spread = self.units.error_sd(self.bare.x)
        dose, mean = self.units.dose(self.treatment), self.units.dose(self.propensity)
        return replace(self.bare, loads=form.loads(dose, mean, spread))

    def model(self, form: OutcomeModel) -> Model:
        """A form of the model with these units."""
        return Model.of(form, self.rows(form))

    @property
    def events(self) -> bool:
        """Whether the outcome has two values."""
        return len(torch.unique(self.bare.y)) <= 2

    def choices(self, options: Options, binary: bool) -> list[OutcomeModel]:
        """Forms to choose among."""
        if self.units.level is not None:
            found = outcome_models_at_levels(options.effect_rate, self.events)
        else:
            found = outcome_models(options.effect_rate, binary and not self.events)
            found = found[:1] if self.residual else found
        return [replace(form, at_mode=self.at_mode) for form in found]

    def thinned(self, most: int, seed: int) -> Sample:
        """An even subset of ``most`` units, where there are more."""
        if self.bare.n <= most:
            return self
        chosen = even_subset(self.bare.n, most, seed)
        fewer = self.bare.take(torch.as_tensor(chosen))
        return replace(self, bare=fewer, treatment=self.treatment[chosen], propensity=self.propensity[chosen])


def middle_and_sd(values: Array, weight: Array) -> tuple[float, float]:
    """Weighted mean and standard deviation of values (n,); one where they are one value.

    Examples
    --------
    >>> middle_and_sd(np.array([1.0, 3.0]), np.ones(2)), middle_and_sd(np.array([0.1, 0.1, 0.1]), np.ones(3))
    ((2.0, 1.0), (0.1, 1.0))
    """
    if np.ptp(values) == 0:
        return float(values[0]), 1.0
    mean = float(np.average(values, weights=weight))
    mean += float(np.average(values - mean, weights=weight))  # far from zero the mean is itself rounded
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))


def even_subset(n: int, most: int, seed: int) -> Codes:
    """Places of ``most`` of n units, in their order; of all where there are no more."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).permutation(n)[:most])


def has_level(outcome: Array) -> bool:
    """Whether errors of such an outcome may vary with its level: it has two values, or is an amount or a count, never negative.

    Examples
    --------
    >>> has_level(np.array([1.0, 2.0, 1.0])), has_level(np.array([0.0, 2.5, 7.1])), has_level(np.array([-1.0, 2.5, 7.1]))
    (True, True, False)
    """
    return bool(outcome.min() >= 0.0) or len(np.unique(outcome)) <= 2
