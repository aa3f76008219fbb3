"""Model search on few rows: outcome models and hyperparameters, how the errors' variance moves, and which units lie far out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.gp.heteroskedastic import ErrorVariance, error_variance
from hte_bridge.engines.deep.gp.laplace import Mode
from hte_bridge.engines.deep.gp.modes import MODES, Candidate, search, search_kinds
from hte_bridge.engines.deep.gp.outcome_models import OutcomeModel
from hte_bridge.engines.deep.gp.outliers import noise_shift, outlying, weighed_down
from hte_bridge.engines.deep.gp.posterior import Component, Model, component
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.options import Options
from hte_bridge.study import Study


@dataclass(frozen=True)
class SearchOptions:
    """The model search on few rows."""

    # in which the errors' variances are fitted to what a model that knows of them leaves
    variance_rounds: int = 2
    # share of the distance at which a model is hopeless that chance alone may make on few rows
    chance: float = 0.25
    # log posterior by which a model may trail, at scales that are nearly those of its mode, and still lead at that
    contending: float = 2.0


SEARCH = SearchOptions()


@dataclass(frozen=True, eq=False)
class ModelSearch:
    """Where a fit begins.

    Parameters
    ----------
    sample : Sample
        All units, with their errors' variances.
    plain : Sample
        Those on which forms and scales are sought.
    small : Sample
        The same, outlying units weighed down where there are such.
    begin : mapping of OutcomeModel to Mode
        Scales of each form found on a few rows, the best form first.
    errors : ErrorVariance, optional
        How the variances move.
    """

    sample: Sample
    plain: Sample
    small: Sample
    begin: dict[OutcomeModel, Mode]
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
        form, mode = next(iter(self.begin.items()))
        model = self.small.model(form)
        theta = mode.theta + self._shift(model, mode.theta, self.plain)
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


def model_search(
    samples: Sequence[Sample],
    options: Options,
    binary: bool,
    near: Mapping[OutcomeModel, Mode] | None = None,
) -> ModelSearch:
    """Outcome models and hyperparameters found on few rows, how the errors' variance moves, and which units lie far out.

    Of several samples, the same units by other columns, that with the best model on the few rows is kept. With ``near``, scales found on other
    rows of the kind, these models alone are followed from there.
    """
    bare, few, found = best_columns(samples, options, binary, near)
    errors = error_variance(few, found, few.choices(options, binary), binary)
    if errors is None:
        sample, plain, begin = bare, few, found
    else:
        settled = refitted(errors, few, options, binary)
        sample, plain = settled.applied(bare), settled.applied(few)
        begin, errors = first_search(plain, options, binary), settled
    small, at_small = outlying(plain, begin, lambda each: first_search(each, options, binary))
    return ModelSearch(sample, plain, small, at_small, errors)


def best_columns(
    samples: Sequence[Sample],
    options: Options,
    binary: bool,
    near: Mapping[OutcomeModel, Mode] | None = None,
) -> tuple[Sample, Sample, dict[OutcomeModel, Mode]]:
    """The sample with the best model, its few rows, and the hyperparameters of each model found on them."""
    tried = []
    for each in samples:
        few = each.thinned(options.scale_rows, options.seed)
        found = searched(few, options, binary) if near is None else followed(few, near)
        tried.append((each, few, *found))
    best = max(range(len(tried)), key=lambda k: tried[k][2])  # the first of equals
    sample, few, _, begin = tried[best]
    return sample, few, begin


def refitted(errors: ErrorVariance, few: Sample, options: Options, binary: bool) -> ErrorVariance:
    """The errors' variance, fitted to what models leave that know of it; of events it follows from their mean."""
    for _ in range(0 if few.events else SEARCH.variance_rounds):
        begin = first_search(errors.applied(few), options, binary)
        errors = errors.again(few, errors.applied(few), begin)
    return errors


def first_search(sample: Sample, options: Options, binary: bool) -> dict[OutcomeModel, Mode]:
    """Scales of each form on few rows, where a search takes a tenth of the time; forms that trail far even there are left out.

    On half of the rows a form trails by half as much; with fewer yet chance has too large a part to leave out many more.
    """
    return searched(sample, options, binary)[1]


def searched(sample: Sample, options: Options, binary: bool) -> tuple[float, dict[OutcomeModel, Mode]]:
    """What ``first_search`` finds, and the log posterior of the best form."""
    few = sample.thinned(MODES.first_rows, options.seed)
    found = sought(few, options, binary)
    trailing = MODES.hopeless * max(SEARCH.chance, few.bare.n / sample.bare.n)
    kept = {each.model.form: each.mode for each in found if each.value > found[0].value - trailing}
    return found[0].value, kept


def followed(sample: Sample, near: Mapping[OutcomeModel, Mode]) -> tuple[float, dict[OutcomeModel, Mode]]:
    """The same of the models that some scales are of, from these; one that trails far on all of the sample's rows is left out."""
    found = search(sample.rows, list(near), MODES.tolerance, near)
    kept = {each.model.form: each.mode for each in found if each.value > found[0].value - SEARCH.contending}
    return found[0].value, kept


def sought(few: Sample, options: Options, binary: bool) -> list[Candidate]:
    """Each outcome model at its most probable hyperparameters on these rows, by the kinds of surface that suit it, the best first."""
    return search_kinds(few.rows, few.choices(options, binary))
