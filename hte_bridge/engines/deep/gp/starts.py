"""Where searches of held-out models begin: one search without several folds serves each of these folds.

A search that begins anew takes most of a held-out model's time. None may begin at scales that have seen its fold; scales found without two or three
folds have seen none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from joblib import Parallel, delayed

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.gp.categories import groups_of
from hte_bridge.engines.deep.gp.laplace import Mode
from hte_bridge.engines.deep.gp.modes import MODES
from hte_bridge.engines.deep.gp.outcome_models import OutcomeModel
from hte_bridge.engines.deep.gp.regression import KernelRegression, kernel_learner
from hte_bridge.engines.deep.gp.sample import Sample, even_subset
from hte_bridge.engines.deep.gp.search import best_columns
from hte_bridge.engines.deep.nuisance.propensity import PROPENSITY
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.store.devices import doubles_on
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.study import Folds, Study


@dataclass(frozen=True)
class StartRule:
    """When folds share a start."""

    # from which they are taken in two groups; of fewer each is sought alone
    fewest_folds: int = 4
    # units of the other group, of which a start is made
    fewest_rows: int = 150
    # log posterior by which a model may trail there and still be followed in each fold
    trailing: float = 3.0


START = StartRule()


@dataclass(frozen=True, eq=False)
class Rest:
    """Some units of the folds beside a group of folds, and their treatment as a process that has seen no others.

    Parameters
    ----------
    rows : array (m,)
    treatment : KernelRegression, optional
        None where the propensity is known.
    """

    rows: Codes
    treatment: KernelRegression | None

    def treatment_mean(self, study: Study, folds: Folds) -> Array:
        """E[T | x] (n,) at these units, of each by those of other folds; zero elsewhere."""
        if self.treatment is None:
            assert study.propensity is not None
            return study.propensity
        found = np.zeros(study.n)
        own = self.treatment.without_own_part(folds.fold[self.rows])
        lowest = PROPENSITY.lowest
        found[self.rows] = np.clip(own, lowest, 1 - lowest) if study.binary else own
        return found

    @property
    def mode(self) -> Mode | None:
        """Scales of the treatment, from which those of a fold's process may be sought."""
        return None if self.treatment is None else self.treatment.mode


@dataclass(frozen=True, eq=False)
class Start:
    """Where a search begins.

    Parameters
    ----------
    columns : array, optional
        Columns of the study that the model sees; ``None``: all.
    begin : mapping of OutcomeModel to Mode
        Most probable scales of each model that is to be followed, the best first.
    """

    columns: Codes | None
    begin: dict[OutcomeModel, Mode]


def rests(study: Study, folds: Folds, options: Options) -> list[Rest | None]:
    """For each fold units of others that a start may be made of, the same ones for a group of folds; none where each is to be sought alone."""
    if folds.n_folds < START.fewest_folds:
        return [None] * folds.n_folds
    group = np.arange(folds.n_folds) * 2 // folds.n_folds

    def rest_of(own: int) -> Rest | None:
        every = np.flatnonzero(group[folds.fold] != own)
        rows = every[even_subset(len(every), MODES.first_rows, options.seed)]
        if len(rows) < START.fewest_rows or np.ptp(study.treatment[rows]) == 0:
            return None
        if study.propensity is not None:
            return Rest(rows, None)
        known = study.filled[rows], study.treatment[rows], study.weight[rows]
        with threads(1):
            return Rest(rows, kernel_learner(*known, options.seed, {}, groups_of(study)))

    found = Parallel(n_jobs=options.n_jobs, prefer="threads")(delayed(rest_of)(own) for own in (0, 1))
    return [found[own] for own in group.tolist()]


def starts(study: Study, folds: Folds, beside: Sequence[Rest | None], options: Options) -> list[Start | None]:
    """For each fold a start that has seen no outcome and no treatment of it: what the units beside it say, where there are such."""
    distinct = list(dict.fromkeys(each for each in beside if each is not None))
    made = Parallel(n_jobs=options.n_jobs, prefer="threads")(
        delayed(start_of)(study, folds, each, options) for each in distinct
    )
    found = dict(zip(distinct, made, strict=True))
    return [None if each is None else found[each] for each in beside]


def start_of(study: Study, folds: Folds, rest: Rest, options: Options) -> Start:
    """The models that count on some rows, by them alone."""
    with threads(1):
        propensity = rest.treatment_mean(study, folds)
        samples = Sample.either(study, propensity, rest.rows, doubles_on(options))
        samples = [replace(each, at_mode=True) for each in samples]
        sample, _, found = best_columns(samples, options, study.binary)
    best = max(mode.value + form.log_odds for form, mode in found.items())
    kept = {form: mode for form, mode in found.items() if mode.value + form.log_odds > best - START.trailing}
    return Start(sample.units.columns, kept)
