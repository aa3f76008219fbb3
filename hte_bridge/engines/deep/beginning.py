"""Where a kernel fit begins: units as the kernel sees them, scales found on few of them, and what their errors are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.candidates import HOPELESS, Candidate, search
from hte_bridge.engines.deep.canonical import GRID
from hte_bridge.engines.deep.categories import Categories, groups_of
from hte_bridge.engines.deep.error_variance import ErrorVariance, error_variance
from hte_bridge.engines.deep.forms import Form, forms, forms_at_levels
from hte_bridge.engines.deep.kernel import Rows
from hte_bridge.engines.deep.kernel_posterior import Component, Model, component
from hte_bridge.engines.deep.nets import Standard
from hte_bridge.engines.deep.outlying import noise_shift, outlying, weighed_down
from hte_bridge.engines.deep.units import Units
from hte_bridge.study import Study

if TYPE_CHECKING:
    from hte_bridge.engines.deep import Deep

FIRST_ROWS = 250  # on which the search for forms and scales begins
ROUNDS = 2  # in which the errors' variances are fitted to what a model that knows of them leaves
FOLD_TOLERANCE = 1e-5  # of a search that only begins another, or serves a point prediction


@dataclass(frozen=True, eq=False)
class Sample:
    """Some units of a study, standardised by those units alone, before a form puts its loads on them.

    Parameters
    ----------
    bare : Rows
    units : Units
    treatment, propensity : array (n,)
    leveled : bool
        Whether the outcome is such that its errors may vary with its level: it has two values, or is never negative.
    """

    bare: Rows
    units: Units
    treatment: Array
    propensity: Array
    leveled: bool = False

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
        standard = Standard.of(x, weight)
        mean, sd = middle_and_sd(y, weight)  # of one value, as among few events: an effect of zero
        # each covariate points towards higher outcomes, so that the units it came in, sign included, change nothing
        towards = np.where((weight * (y - mean)) @ standard(x) < 0, -1.0, 1.0)
        spread = standard.spread * towards
        categories = Categories.of(groups_of(study, columns), standard.centre, spread)
        bare = Rows(
            x=torch.as_tensor(np.ascontiguousarray(categories(standard(x) * towards))),
            y=torch.as_tensor(np.round((y - mean) / sd / GRID) * GRID),
            noise=torch.as_tensor(weight.mean() / weight),
            loads=torch.zeros(0, len(y), dtype=torch.float64),
            cluster=torch.as_tensor(study.cluster[rows].copy()) if study.clustered else None,
            device=device,
            groups=categories.groups,
        )
        dose = (0.0, 1.0) if study.binary else middle_and_sd(study.treatment[rows], weight)
        units = Units(standard.centre, spread, mean, sd, None, categories.turn, columns, *dose)
        return cls(bare, units, study.treatment[rows], propensity[rows], has_level(y))

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

    def rows(self, form: Form) -> Rows:
        """The units under a form."""
        spread = self.units.error_sd(self.bare.x)
        dose, mean = self.units.dose(self.treatment), self.units.dose(self.propensity)
        return replace(self.bare, loads=form.loads(dose, mean, spread))

    def model(self, form: Form) -> Model:
        """A form of the model with these units."""
        return Model.of(form, self.rows(form))

    @property
    def events(self) -> bool:
        """Whether the outcome has two values."""
        return len(torch.unique(self.bare.y)) <= 2

    def choices(self, options: Deep, binary: bool) -> list[Form]:
        """Forms to choose among."""
        if self.units.level is not None:
            return forms_at_levels(options.effect_rate, self.events)
        return forms(options.effect_rate, binary and not self.events)

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


@dataclass(frozen=True, eq=False)
class Begun:
    """Where a fit begins.

    Parameters
    ----------
    sample : Sample
        All units, with their errors' variances.
    plain : Sample
        Those on which forms and scales are sought.
    small : Sample
        The same, outlying units weighed down where there are such.
    begin : mapping of Form to array
        Scales of each form found on a few rows, the best form first.
    errors : ErrorVariance, optional
        How the variances move.
    """

    sample: Sample
    plain: Sample
    small: Sample
    begin: dict[Form, Array]
    errors: ErrorVariance | None

    def noise_root(self, study: Study, rows: Codes, propensity: Array) -> Array:
        """Root (m,) of the error variance of some of the study's units, as a multiple of the common one."""
        variance = study.weight.mean() / study.weight[rows]
        if self.errors is not None:
            x = self.sample.units.standardise(study.filled[rows]).numpy()
            variance = variance * self.errors.multiples(x, study.treatment[rows], propensity[rows])
        return np.asarray(np.sqrt(variance))

    def everyone(self) -> Sample:
        """All units, for the search: outlying ones weighed down, as they lie out from what the few say."""
        if self.small.bare.n == self.sample.bare.n:
            return self.small
        form, theta = next(iter(self.begin.items()))
        model = self.small.model(form)
        theta = theta + self._shift(model, theta, self.plain)
        return weighed_down(self.sample, self.sample.model(form), theta) or self.sample

    def shift(self, candidate: Candidate) -> Array | float:
        """What to add to log scales (size,) of a candidate where all units get their full weight again."""
        plain = self.plain if candidate.model.rows.n == self.plain.bare.n else self.sample
        return self._shift(candidate.model, candidate.mode.theta, plain)

    def at_full_weight(self, parts: list[Component], candidate: Candidate) -> list[Component]:
        """A candidate's draws of the scales with all units at their full weight."""
        if torch.equal(candidate.model.rows.noise, self.sample.bare.noise):
            return parts
        model, shift = self.sample.model(candidate.model.form), self.shift(candidate)
        return [component(each.weight, each.theta.numpy() + shift, model) for each in parts]

    @staticmethod
    def _shift(model: Model, theta: Array, plain: Sample) -> Array | float:
        even = torch.equal(model.rows.noise, plain.bare.noise)
        return 0.0 if even else noise_shift(model, theta, plain)


def begun(samples: Sequence[Sample], options: Deep, binary: bool) -> Begun:
    """Scales of each form found on a few rows, how the errors' variances move, and which units lie far out.

    Of several samples, the same units by other columns, that with the best form on the few rows is kept.
    """
    sample, plain, best = samples[0], samples[0], -np.inf
    begin: dict[Form, Array] = {}
    for each in samples:
        few = each.thinned(options.scale_rows, options.seed)
        value, found = searched(few, options, binary)
        if not begin or value > best:
            sample, plain, begin, best = each, few, found, value
    errors = error_variance(plain, begin, plain.choices(options, binary), binary)
    if errors is not None:
        for _ in range(0 if plain.events else ROUNDS):  # of events it follows from their mean
            begin = first_search(errors.applied(plain), options, binary)
            errors = errors.again(plain, errors.applied(plain), begin)
        sample, plain = errors.applied(sample), errors.applied(plain)
        begin = first_search(plain, options, binary)
    small, begin = outlying(plain, begin, lambda each: first_search(each, options, binary))
    return Begun(sample, plain, small, begin, errors)


def has_level(outcome: Array) -> bool:
    """Whether errors of such an outcome may vary with its level: it has two values, or is an amount or a count, never negative.

    Examples
    --------
    >>> has_level(np.array([1.0, 2.0, 1.0])), has_level(np.array([0.0, 2.5, 7.1])), has_level(np.array([-1.0, 2.5, 7.1]))
    (True, True, False)
    """
    return bool(outcome.min() >= 0.0) or len(np.unique(outcome)) <= 2


def first_search(sample: Sample, options: Deep, binary: bool) -> dict[Form, Array]:
    """Scales of each form on few rows, where a search takes a tenth of the time; forms that trail far even there are left out.

    On half of the rows a form trails by half as much, and with fewer yet chance has too large a part to leave out more.
    """
    return searched(sample, options, binary)[1]


def searched(sample: Sample, options: Deep, binary: bool) -> tuple[float, dict[Form, Array]]:
    """What ``first_search`` finds, and the log posterior of the best form."""
    few = sample.thinned(FIRST_ROWS, options.seed)
    choices = sample.choices(options, binary)
    found = search(few.rows, choices, FOLD_TOLERANCE)
    trailing = HOPELESS * max(0.5, few.bare.n / sample.bare.n)
    kept = {each.model.form: each.mode.theta for each in found if each.value > found[0].value - trailing}
    return found[0].value, kept
