"""Models from sums: that of all rows, and for each fold that of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.beside import Place, beside, elsewhere, seen_at, within_cells
from hte_bridge.engines.deep.basis.coefficients import reserve, robust
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.heldout import (
    FOLDS,
    constants,
    dose_coefficients,
    linear_coefficients,
    variance_columns,
)
from hte_bridge.engines.deep.basis.jumps import BREAKS, Jump, jumps
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
    jumps : tuple of Jump
        Where rows of the other folds show that blocks miss one.
    """

    coefficients: Array
    base: Array
    constant: float
    variance: Array
    jumps: tuple[Jump, ...]


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
    return FoldModel(
        every_feature(made, columns, fits),
        base,
        constant,
        variance,
        jumps_of(made, model, layer.mean, seen, fold)
        if sum(each.n for each in sums) > BREAKS.few_rows
        else (),
    )


def every_feature(made: Design, columns: Codes, coefficients: Array) -> Array:
    """Coefficients (P, k) of chosen columns as those of all (K, k)."""
    full = np.zeros((made.basis.size + int(made.drift.sum()), coefficients.shape[1]))
    full[columns] = coefficients
    return full


def jumps_of(
    made: Design, model: Regression, mean: Array, probe: Probe, fold: int | None = None
) -> tuple[Jump, ...]:
    """Jumps that the residuals of some of the probe's rows show, along covariates that this model has ramps of."""
    n = probe.rows.n
    some = probe.at(np.arange(0, n, max(1, n // BREAKS.rows), dtype=np.int64))
    ramps = [
        block
        for block in made.basis.blocks
        if block.name.startswith("ramp ")
        and (block.main if fold is None else block.folds is None or fold in block.folds)
    ]
    rows, basis = some.rows, made.basis
    z = (rows.points - basis.centre) / basis.scale
    return tuple(jumps(ramps, z, rows.point, rows.treatment, some.residual(model, mean), rows.weight))


@dataclass(frozen=True, eq=False)
class WholeModel:
    """The model of all rows.

    Parameters
    ----------
    surface : EffectPosterior
    solved : Solved
        Without residuals: ``with_residuals`` says what blocks leave.
    inflation : float
        How much clusters or weights add to its variance.
    coefficients : array (K, 1)
        Of all features.
    base : float
        Without effects: the constant.
    lost : float
        Rows over degrees of freedom.
    jumps : tuple of Jump
    """

    surface: EffectPosterior
    solved: Solved
    inflation: float
    coefficients: Array
    base: float
    lost: float
    jumps: tuple[Jump, ...]

    def with_residuals(
        self,
        made: Design,
        residual: Array,
        treatment: Array,
        weight: Array,
        arm: Codes | None,
        point: Codes,
        effects: Codes,
        covariates: Callable[[], Iterable[tuple[int, Array]]],
    ) -> WholeModel:
        """The same, with the variance of the effect that no block explains: from what it leaves of each row (n,) and of rows of one ``point``.

        Beside jumps that were found it has cells of its own; elsewhere it is then that of all other rows. ``covariates`` reads them standardised, in blocks (m, q) with
        the row that each begins at.
        """
        if made.rows.events:
            found, cells = 0.0, []
        else:
            left = residual * self.lost**0.5
            found, noise = nugget(left, treatment, weight, arm, point)
            surface, places = self.surface, Place.of(self.jumps)
            known = within_cells(surface.basis, surface.mean, surface.root, self.jumps)
            seen = seen_at(places, covariates(), known)
            cells = known + beside(places, seen, left, treatment, weight, effects, found, noise)
            if cells:
                others = weight * elsewhere(cells, covariates(), len(weight))
                found = nugget(left, treatment, others, arm, point)[0] if others.any() else found
        solved = replace(self.solved, nugget=found, doubt=found)
        spare = found + reserve(made, solved)
        surface = replace(self.surface, nugget=spare, beside=tuple(cells))
        return replace(self, solved=solved, surface=surface)


def whole_model(made: Design, whole: NormalEquations, probe: Probe, weighted: bool) -> WholeModel:
    """Posterior of the effect from all rows (``basis.coefficients.posterior``), cluster sums and jumps from the probe."""
    columns = made.columns()
    model = Regression.of(made, whole, columns, slopes=False)
    layer = tempered(model, probe, whole.swept)
    rows, nothing = probe.rows, np.zeros(0)
    solved = Solved(model, layer, made.owner(columns, False)[1], nothing, 0.0, 0.0)
    scores = scores_of(model, layer, probe, whole.swept) if probe.clustered else None
    kish = float((rows.weight**2).mean() / rows.weight.mean() ** 2) if weighted else None
    surface, _, inflation = robust(model, layer, scores, kish)
    return WholeModel(
        surface,
        solved,
        inflation,
        every_feature(made, columns, layer.mean[:, None]),
        float(constants(model.system, rows, layer.mean)[0]),
        whole.n / max(model.system.freedom - layer.spent, 1),
        jumps_of(made, model, layer.mean, probe) if whole.n > BREAKS.few_rows else (),
    )
