"""Controls: what they and the covariates say of outcome and treatment is taken off both, and the effect is sought in what is left.

Y - m(x, c) = (T - e(x, c)) tau(x) + error with m and e cross-fitted on covariates and controls (Robinson, 1988, Econometrica 56(4); Nie and Wager,
2021, Biometrika 108(2)). Of the accounts of the outcome only the centred one is true of such residuals. Within fixed effects the controls' part of
both, and of the effect times the treatment's, is a line in controls and their squares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from hte_bridge.arrays import Array, Codes, at
from hte_bridge.encode import MeanFill
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.canonical import Order, Seen
from hte_bridge.engines.deep.gp.heldout import held_out, predict_fold
from hte_bridge.engines.deep.gp.regression import REGRESSION, smooth_learners
from hte_bridge.engines.deep.nuisance.crossfit import CrossFitted, standard_learners
from hte_bridge.engines.deep.nuisance.networks import NetOptions
from hte_bridge.engines.deep.nuisance.propensity import Treatment, centre_treatment, parts_of, splits_of
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.result import Branch
from hte_bridge.engines.deep.route_basis import CROSS_SECTION, fit_basis
from hte_bridge.engines.deep.route_gp import fit_full
from hte_bridge.engines.deep.route_panel import fit_panel
from hte_bridge.engines.deep.store.devices import device_of
from hte_bridge.progress import steps
from hte_bridge.scaling import Standard, slopes
from hte_bridge.study import Folds, Study
from hte_bridge.sweeping import within


@dataclass(frozen=True, eq=False)
class TakenOff:
    """E[Y | x, c] and the treatment's mean, in the order of the rows as the engine sees them.

    Parameters
    ----------
    mean : CrossFitted
    without : array (K, n)
        E[Y | x, c] by models that saw neither the unit nor, in row k, fold k; at the units of fold k the one that did not see them.
    treatment : Treatment
    """

    mean: CrossFitted
    without: Array
    treatment: Treatment

    @classmethod
    def of(cls, study: Study, folds: Folds, options: Options) -> TakenOff:
        """Cross-fit outcome and treatment on covariates and controls; ``study`` is as the user made it, and so are the rows found."""
        wide = Seen.of(study.adjusted, folds)
        own, dealt = wide.study, wide.order.folds(folds)
        many = study.n > REGRESSION.most_rows
        epochs = min(options.epochs, CROSS_SECTION.epochs) if many else options.epochs
        nets = NetOptions(hidden=options.hidden, epochs=epochs, n_nets=options.n_nets)
        twice = study.n <= CROSS_SECTION.twice_rows
        treatment = centre_treatment(
            own, dealt, nets, options.seed, "cpu", smooth_learners, options.n_jobs, twice
        )
        candidates = standard_learners("mean", nets) | smooth_learners(own)
        splits = splits_of(own, dealt, options.seed + 2, options.n_jobs)
        mean = splits.crossfit(own.outcome, candidates, "outcome")
        without = np.tile(mean.prediction, (folds.n_folds, 1))
        if twice:
            found = splits.left_out_twice(own.outcome, candidates)
            mean = mean.restacked(own.outcome, dealt.fold, own.weight, found.share)
            without = np.where(np.isnan(found.mean), mean.prediction, found.mean)
        return cls(mean, without, treatment).at(np.argsort(wide.order.rows))

    def at(self, rows: Codes) -> TakenOff:
        """The same of rows in another order."""
        treatment = at(self.treatment, rows, "mean", "variance")
        if treatment.without is not None:
            treatment = replace(treatment, without=treatment.without[:, rows])
        return TakenOff(at(self.mean, rows, "prediction"), self.without[:, rows], treatment)


def fit_controlled(study: Study, folds: Folds, options: Options) -> tuple[Order, Branch]:
    """Fit a study with controls: how its rows were sorted, and the branch.

    Raises
    ------
    DidNotConverge, InvalidOption
        As the branches do.
    """
    seen = Seen.of(study, folds)
    own, dealt = seen.study, seen.order.folds(folds)
    if study.fixed_effects.shape[1]:
        return seen.order, within_effects(own, dealt, options)
    taken = TakenOff.of(study, folds, options).at(seen.order.rows)
    if study.n > options.kernel_max_rows:
        return seen.order, large(own, dealt, taken, options)
    return seen.order, exact(own, dealt, taken, options)


def exact(study: Study, folds: Folds, taken: TakenOff, options: Options) -> Branch:
    """The exact kernel on what is left of outcome and treatment."""
    device_of(options)  # a device that is not there is refused
    treatment, part = taken.treatment, parts_of(study, folds)
    each_fold = zip(folds, treatment.seen_without(folds.n_folds), taken.without, strict=True)
    work = [
        delayed(predict_fold)(study.with_(outcome=study.outcome - mean), *fold, e, None, part, options)
        for fold, e, mean in each_fold
    ]
    side_by_side = Parallel(n_jobs=options.n_jobs, prefer="threads")
    predicted = side_by_side(steps(work, "deep: kernel fits", len(work)))
    heldout, losses, notes = held_out(study, folds, treatment, predicted, taken.mean)
    left = study.with_(outcome=study.outcome - taken.mean.prediction)
    on_all_rows = partial(fit_full, left, treatment.mean, options)
    info = {"losses": losses} | treatment.info
    return Branch("kernel", heldout, on_all_rows, (*treatment.notes, *notes), info)


def large(study: Study, folds: Folds, taken: TakenOff, options: Options) -> Branch:
    """The Gram form on what is left of outcome and treatment."""
    mean = taken.mean.prediction
    branch = fit_basis(study.with_(outcome=study.outcome - mean), folds, options, taken.treatment)
    held = branch.heldout
    return replace(branch, heldout=replace(held, outcome_mean=held.outcome_mean + mean))


def within_effects(study: Study, folds: Folds, options: Options) -> Branch:
    """The panel's networks on what lines in the controls leave of outcome and treatment."""
    outcome, treatment = lines_off(study, folds)
    left = study.with_(outcome=outcome, treatment=treatment, binary=False)
    branch = fit_panel(left, folds, options)
    held = branch.heldout
    whole = HeldOut(
        held.cate,
        study.outcome - outcome + held.outcome_mean,
        study.treatment - treatment + held.propensity,
        held.treatment_variance,
        held.lost,
    )
    return replace(branch, heldout=whole)


def lines_off(study: Study, folds: Folds) -> tuple[Array, Array]:
    """Outcome and treatment (n,) of a panel less the controls' lines, each fold's fitted to the others.

    T less its line in the controls is what varies beyond them; Y less their own line, and less the effect (linear in x) times the treatment's
    line, is the effect times what is left of T, beside a function of x. Errors of the lines enter as products.
    """
    assert study.controls is not None
    beside = MeanFill.of(study.controls, study.weight).transform(study.controls)
    z = Standard.of(beside, study.weight)(beside)
    x = Standard.of(study.filled, study.weight)(study.filled)
    c, own = np.column_stack([z, z**2]), np.column_stack([x, x**2])
    dose = study.treatment[:, None]
    columns = np.column_stack([study.outcome, dose, c, own, dose * x])
    k, m = c.shape[1], own.shape[1]
    outcome, treatment = np.empty((2, study.n))
    for train, test in folds:
        weight = study.weight[train]
        swept = within(columns[train], study.fixed_effects[train], weight)
        y, t, rest = swept[:, :1], swept[:, 1:2], swept[:, 2 : 2 + k + m]
        on_treatment = slopes(rest, t, weight)[:k]
        on_outcome = slopes(np.column_stack([rest, t, swept[:, 2 + k + m :]]), y, weight)
        moved = c[test] @ on_treatment
        effect = on_outcome[k + m] + x[test] @ on_outcome[k + m + 1 :]
        treatment[test] = study.treatment[test] - moved
        outcome[test] = study.outcome[test] - c[test] @ on_outcome[:k] - moved * effect
    return outcome, treatment
