"""A cross-section with too many rows for the exact Gaussian process: the steps of a fit in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hte_bridge.arrays import Array, Codes, slices
from hte_bridge.engines.deep.accounts import ACCOUNTS, both_accounts
from hte_bridge.engines.deep.basis.centring import Moved
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.design import Design, design
from hte_bridge.engines.deep.basis.mixed_model import Asked, Clock, fit_mixed_model
from hte_bridge.engines.deep.gp.regression import smooth_learners
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.gp.search import ModelSearch, model_search
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.engines.deep.nuisance.networks import NetOptions
from hte_bridge.engines.deep.nuisance.propensity import Treatment, centre_treatment, parts_of
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.result import Branch
from hte_bridge.engines.deep.store.checkpoint import Checkpoint
from hte_bridge.engines.deep.store.devices import device_of, doubles_on
from hte_bridge.engines.deep.store.threads import side_by_side
from hte_bridge.study import Folds, Study


@dataclass(frozen=True)
class CrossSectionRule:
    """Nuisances of a large cross-section."""

    # at most: with many rows a nuisance needs fewer passes
    epochs: int = 20
    # of the networks of tau, at most: they say which covariates act together, and surfaces are left to blocks
    structure_epochs: int = 12
    # up to which e-hat of a held-out model's rows has not seen the fold; with 100 parameters it then carries .005 of the effect
    twice_rows: int = 20_000
    # of the treatment's sd: an e-hat whose sd is less shrinks no effect by more than its square
    least_variation: float = 0.02


CROSS_SECTION = CrossSectionRule()

CHUNK = 65_536  # rows at a time, so that memory does not grow with them
RELATIVE = "; the effect is thought to be as large as they are"


def beside_constant(study: Study, folds: Folds, treatment: Treatment) -> Array | None:
    """The estimated e(X), standardised: a column of the outcome's mean whose coefficient has no prior.

    With e-hat in place of e, Y = mu + (T - e) tau + error is mu + (e-hat - e) tau + (T - e-hat) tau + error: the error of e-hat is noise that
    goes with T - e-hat and shrinks an average effect towards zero, by tau Var(e-hat) / Var(T | X). A coefficient for e-hat takes
    it up (the propensity as a covariate: Hahn, Murray and Carvalho, 2020, Bayesian Analysis 15(3), section 5). ``None`` where e is known, or
    where e-hat hardly varies within folds: it is then one number for each fold, which runs against the outcomes of that fold.
    """
    e, fold = treatment.mean, folds.fold
    within = e - (np.bincount(fold, e) / np.bincount(fold))[fold]
    if treatment.crossfitted is None or within.std() < CROSS_SECTION.least_variation * study.treatment.std():
        return None
    return np.asarray((e - e.mean()) / e.std())


def rows_without(study: Study, folds: Folds, made: Design, treatment: Treatment) -> list[Rows]:
    """For each fold the rows with their treatments centred by models that did not see it."""
    e, rows = treatment.mean, made.rows
    return [
        replace(
            rows,
            treatment=study.treatment - mean,
            beside=None if rows.beside is None else (mean - e.mean()) / e.std(),
        )
        for mean in treatment.seen_without(folds.n_folds)
    ]


def model_search_on(study: Study, treatment: Treatment, options: Options) -> ModelSearch:
    """Outcome models and how the errors' variance moves, as the exact kernel finds them, on ``scale_rows`` of the rows.

    With more rows than its account is made of, the others are left aside: they may be millions.
    """
    some: Codes | slice = slice(None)
    if study.n >= ACCOUNTS.most_rows:
        some = np.sort(np.random.default_rng(options.seed).permutation(study.n)[: options.scale_rows])
    samples = Sample.either(study, treatment.mean, some, doubles_on(options))
    return model_search(samples, options, study.binary)


def row_precision(
    study: Study, treatment: Treatment, first: ModelSearch
) -> tuple[Array | None, str, Standardisation | None]:
    """One over each row's error variance, up to scale, and how it moves in words; ``None`` where it does not, or rows have weights.

    Beside them, where it moves with the level of the outcome, what says how.

    Noise that is large where a covariate is looks like an effect that moves there.
    """
    errors, units, multiple = first.errors, first.sample.units, np.empty(study.n)
    if errors is None or study.weighted:
        return None, "constant", None
    for here in slices(study.n, CHUNK):
        x = units.standardise(study.filled[here]).numpy()
        multiple[here] = errors.multiples(x, study.treatment[here], treatment.mean[here])
    return 1.0 / multiple, errors.text, None if units.level is None else units


def fit_basis(study: Study, folds: Folds, options: Options, centred_on: Treatment | None = None) -> Branch:
    """Fit a large cross-section: Y = mu(X) + (T - e(X)) tau(X) + error, with e cross-fitted.

    Robinson (1988), Econometrica 56(4), with the blocks of the panel in place of its kernels.

    Parameters
    ----------
    study : Study
        Without fixed effects.
    folds : Folds
    options : Options
    centred_on : Treatment, optional
        The treatment's mean where it was learned elsewhere, from controls too.

    Raises
    ------
    DidNotConverge
        If a network's loss is not finite from any seed, or the Gram matrix is singular.
    InvalidOption
        If the folder of checkpoints cannot be made.
    """
    clock, checkpoint, shift = Clock(), Checkpoint.of(options.checkpoint), Moved.of(study)
    study = shift.study(study)
    nets = NetOptions(
        hidden=options.hidden, epochs=min(options.epochs, CROSS_SECTION.epochs), n_nets=options.n_nets
    )
    how = (nets, options.seed, device_of(options))
    names = ("treatment", "filled", "weight", "propensity", "binary", "clustered", "cluster")
    kept = checkpoint.under(*(getattr(study, name) for name in names), folds.fold, how)
    twice = study.n <= CROSS_SECTION.twice_rows
    if centred_on is None:
        treatment = centre_treatment(study, folds, *how, smooth_learners, options.n_jobs, twice, kept)
    else:
        treatment = centred_on.in_units(shift.dose, shift.unit)
    clock.done("treatment")
    moved = study.treatment - treatment.mean
    without = study.treatment - treatment.seen_without(folds.n_folds) if twice else None
    fewer = replace(options, epochs=min(options.epochs, CROSS_SECTION.structure_epochs))
    made = design(study, folds, fewer, moved, checkpoint, beside_constant(study, folds, treatment), without)
    first = model_search_on(study, treatment, options)
    precision, errors, level = row_precision(study, treatment, first)
    clock.done("networks")
    by_points = study.n < ACCOUNTS.most_rows  # the kernel's account knows of edges
    asked = Asked(
        n_jobs=side_by_side(options.n_jobs),
        checkpoint=checkpoint,
        unit=shift.unit,
        seed=options.seed,
        precision=precision,
        level=level,
        unseen=rows_without(study, folds, made, treatment) if twice else None,
        part=parts_of(study, folds),
        edges=not by_points,
    )
    branch = fit_mixed_model(study, made, asked, clock)
    heldout = replace(branch.heldout, propensity=treatment.mean, treatment_variance=treatment.variance)
    errors += RELATIVE * (getattr(branch.posterior, "level", None) is not None)
    info = {**branch.info, "error_variance": errors, **treatment.info}
    branch = replace(branch, heldout=shift.back(heldout), notes=(*treatment.notes, *branch.notes), info=info)
    if not by_points or not branch.converged:
        return branch
    evidence = None if study.clustered else branch.info["log_evidence"]
    both = partial(both_accounts, branch.full, evidence, first, shift.unit, options)
    return replace(branch, fitted=both)
