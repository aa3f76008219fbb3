"""Models from sums: that of all rows, and for each fold that of the others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.basis.coefficients import reserve, robust
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.heldout import (
    FOLDS,
    constants,
    dose_coefficients,
    linear_coefficients,
    variance_columns,
)
from hte_bridge.engines.deep.basis.normal_equations import NormalEquations, total
from hte_bridge.engines.deep.basis.posterior import EffectPosterior
from hte_bridge.engines.deep.basis.regression import Regression
from hte_bridge.engines.deep.basis.residual import nugget
from hte_bridge.engines.deep.basis.solve import Solved
from hte_bridge.engines.deep.nuisance.gamma_glm import log_linear
from hte_bridge.engines.deep.passes.probe import Probe, scores_of, tempered

FITS = ("deep", "linear", "dose")  # order of the coefficients of a fold's model


@dataclass(frozen=True, eq=False)
class FoldModel:
    """What the models of the other folds say, for rows of this one.

    Parameters
    ----------
    coefficients : array (K, 3)
        Of all features (tau, then mu), in the order of ``FITS``.
    base : array (3,)
        Without effects: their constants.
    constant : float
        Effect under the model in which it does not vary.
    variance : array (k,)
        Of the log-linear model of the treatment's variance, on ``heldout.variance_columns``.
    """

    coefficients: Array
    base: Array
    constant: float
    variance: Array


def fold_model(made: Design, fold: int, sums: list[NormalEquations], probe: Probe) -> FoldModel:
    """Fit the sums of the other folds, added up: what is subtracted would leave its rounding behind."""
    train = total([each for k, each in enumerate(sums) if k != fold])
    columns = made.columns(fold)
    model = Regression.of(made, train, columns, slopes=False)
    seen = probe.at(np.flatnonzero(probe.rows.fold != fold).astype(np.int64))
    layer = tempered(model, seen, train.swept, FOLDS.steps)
    constant, linear = linear_coefficients(made, model.system, columns)
    dose = dose_coefficients(model, train)
    fits = np.column_stack([layer.mean, linear, dose])
    base = np.array([constants(model.system, made.rows, each)[0] for each in fits.T])
    free = model.system.project_target[:, 1] - model.system.project @ dose
    if not made.rows.sizes:
        base[2] = free[0]
    left = seen.within(seen.rows.treatment - seen.rows.dummies() @ model.system.project_target[:, 1])
    shape = variance_columns(made, seen.rows.points[:, : made.q])
    variance = log_linear(shape[seen.rows.point], left**2, seen.rows.weight)
    full = np.zeros((made.basis.size + int(made.drift.sum()), fits.shape[1]))
    full[columns] = fits
    return FoldModel(full, base, constant, variance)


@dataclass(frozen=True, eq=False)
class WholeModel:
    """The model of all rows: effect surface, its fit, and how much clusters or weights add to its variance."""

    surface: EffectPosterior
    solved: Solved
    inflation: float


def whole_model(made: Design, whole: NormalEquations, probe: Probe, weighted: bool) -> WholeModel:
    """Posterior of the effect from all rows (``basis.coefficients.posterior``), cluster sums and nugget from the probe."""
    columns = made.columns()
    model = Regression.of(made, whole, columns, slopes=False)
    layer = tempered(model, probe, whole.swept)
    left = max(model.system.freedom - layer.spent, 1)
    residual = probe.residual(model, layer.mean) * (whole.n / left) ** 0.5
    rows = probe.rows
    found = nugget(residual, rows.treatment, rows.weight, rows.arm)[0]
    spare = 0.0 if rows.events else found
    solved = Solved(model, layer, made.owner(columns, False)[1], residual, spare, spare)
    scores = scores_of(model, layer, probe, whole.swept) if probe.clustered else None
    kish = float((rows.weight**2).mean() / rows.weight.mean() ** 2) if weighted else None
    surface, _, inflation = robust(model, layer, scores, kish)
    return WholeModel(replace(surface, nugget=spare + reserve(made, solved)), solved, inflation)
