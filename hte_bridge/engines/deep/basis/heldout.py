"""Held-out predictions from the Gram matrix of the other folds, and the treatment's variance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from joblib import Parallel, delayed

from hte_bridge.arrays import Array, Codes
from hte_bridge.crossfit import from_left
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.basis.cells import TrainingFolds
from hte_bridge.engines.deep.basis.composite_likelihood import composite_likelihood
from hte_bridge.engines.deep.basis.data import Rows, sweeper
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.normal_equations import ABSORBED, NormalEquations, System
from hte_bridge.engines.deep.basis.problem import Problem
from hte_bridge.engines.deep.basis.regression import Regression
from hte_bridge.engines.deep.basis.stacked_mean import Functions, Said, with_products
from hte_bridge.engines.deep.basis.variance_components import (
    LastLayer,
    solved_again,
    variance_components,
)
from hte_bridge.engines.deep.nuisance.gamma_glm import log_linear
from hte_bridge.engines.deep.nuisance.quadratic_ridge import QuadraticRidge
from hte_bridge.progress import steps


@dataclass(frozen=True)
class FoldOptions:
    """Held-out models."""

    # fixed-point steps of a held-out model, which serves a point prediction
    steps: int = 12
    # of its mean: a smaller treatment variance would give a few rows most of the weight
    least_variance: float = 0.1


FOLDS = FoldOptions()

LEFT = ("deep", "treatment", "linear", "constant effect")  # of Y by each model, and of T by its mean


def held_out_effects(
    made: Design,
    others: Sequence[Callable[[], TrainingFolds]],
    n_jobs: int | None = None,
    cluster: Codes | None = None,
    part: Codes | None = None,
) -> tuple[HeldOut, dict[str, float]]:
    """Held-out predictions of all rows, and the held-out losses.

    With effects the functions are those of the other folds, and the effects are swept out of all held-out rows together
    (``crossfit.within_effects``). Networks that saw the fold are not used, nor is a pair that only they found.

    Parameters
    ----------
    made : Design
    others : sequence of callable
        For each fold, what makes its ``TrainingFolds``.
    n_jobs : int, optional
        Folds side by side.
    cluster : array (n,), optional
        Codes of the clusters within which errors move together.
    part : array (n,), optional
        Of a cross-section: codes of the parts of ``TrainingFolds``.

    Returns
    -------
    HeldOut
        For a cross-section ``propensity`` is zero and ``outcome_mean`` is mu: the caller adds its own.
    dict
        Mean squared held-out residual of this model, the linear one and a constant effect.
    """
    rows = made.rows
    products = None if part is None else QuadraticRidge.of(rows.points[rows.point, : made.q], rows.weight)
    how = cluster, products is not None
    done = Parallel(n_jobs=n_jobs, backend="threading")(
        delayed(functions)(each, k, *how) for k, each in enumerate(steps(others, "deep: held-out effect"))
    )
    fitted, seen = [found for found, _ in done], [own for _, own in done]
    if products is not None and part is not None:
        fitted = with_products(seen, part, fitted, products, n_jobs)
    (cate, mean), left, variance = np.empty((2, rows.n)), np.empty((rows.n, len(LEFT))), np.ones(rows.n)
    for k, (found, every) in enumerate(zip(fitted, seen, strict=True)):
        here = np.flatnonzero(rows.fold == k)
        own = every.at(here)
        cate[here], mean[here], left[here] = of_fold(found, own)
        if rows.sizes:
            variance[here] = held_out_variance(made, k, own)
    return as_held_out(rows, cate, mean, left, variance)


def of_fold(found: Functions, own: Rows) -> tuple[Array, Array, Array]:
    """Effect and mu (m,) of a fold's rows ``own`` by its models, and what these leave (m, 4), as ``LEFT``, before effects."""
    place = np.unique(own.point, return_inverse=True)[1]
    deep, line = found.deep.at(place), found.linear.at(place)
    extra, own_line = (0.0 if own.beside is None else own.beside * each.beside for each in (deep, line))
    y, t, beta, mean = own.outcome, own.treatment, deep.beta, deep.drift + extra
    by_line = y - line.drift - own_line - line.beta * t
    by_constant = y - mean - found.constant * t
    return beta, mean, np.column_stack([y - mean - beta * t, t - found.dose[place], by_line, by_constant])


def as_held_out(
    rows: Rows, cate: Array, mean: Array, left: Array, variance: Array
) -> tuple[HeldOut, dict[str, float]]:
    """Held-out columns and losses from what each fold's models say (n,) and leave (n, 4); effects are swept out of all rows together."""
    if rows.sizes:
        left = sweeper(rows)(left)
    of_outcome = [k for k, name in enumerate(LEFT) if name != "treatment"]
    lost = rows.weight @ left[:, of_outcome] ** 2 / rows.n
    loss = dict(zip([LEFT[k] for k in of_outcome], lost.tolist(), strict=True))
    if rows.sizes:
        return from_left(rows, cate, left[:, :2], variance), loss
    return HeldOut(cate, mean, np.zeros(rows.n)), loss  # without effects: no outcome of the fold


def functions(
    others: Callable[[], TrainingFolds], fold: int, cluster: Codes | None, nested: bool
) -> tuple[Functions, Rows]:
    """Fit the other folds' sums and evaluate at the points of the fold; ``nested``, without each part too, and at every point.

    Beside them the rows as the models see them.
    """
    train = others()
    made, rows = train.made, train.rows
    columns, whole = made.columns(fold), train.sums()
    model = Regression.of(made, whole, columns)
    layer = fold_layer(model, fold, cluster)
    simple, linear = linear_coefficients(made, model.system, columns)
    dose = dose_coefficients(model, whole) if rows.sizes else np.zeros(len(columns))
    fits: dict[str | int, Array] = {"deep": layer.mean, "linear": linear, "dose": dose}
    base: dict[str | int, tuple[float, float]] = {
        name: constants(model.system, rows, fits[name]) for name in ("deep", "linear")
    }
    base["dose"] = 0.0, 0.0
    for each in train.parts if nested and len(train.parts) > 1 else ():
        less = Regression.of(made, train.sums(each), columns).system
        fits[each] = solved_again(layer, less.gram, less.target[:, 0], model.owner, made.device)
        base[each] = constants(less, rows, fits[each])
    points = np.unique(rows.point if nested else rows.point[rows.fold == fold])
    tau, mu = made.surfaces(np.column_stack(list(fits.values())), columns, made.rows.points[points])
    said = {name: Said(tau[:, k], mu[:, k] + base[name][0], base[name][1]) for k, name in enumerate(fits)}
    inside = {each: said[each] for each in train.parts if each in said}
    return Functions(said["deep"], said["linear"], said["dose"].drift, simple, inside), rows


def fold_layer(model: Regression, fold: int, cluster: Codes | None) -> LastLayer:
    """Variances of a held-out model; the design effect of clusters is asked of the rows that it sees."""
    if cluster is None:
        return model.fit(max_steps=FOLDS.steps)
    rows = model.made.rows
    kept = rows.fold != fold
    seen = replace(model, made=replace(model.made, rows=rows.at(kept)))
    return composite_likelihood(seen, cluster=cluster[kept], max_steps=FOLDS.steps)[0]


def dose_coefficients(model: Regression, whole: NormalEquations) -> Array:
    """Coefficients (P,) of E[T | x], of the columns of mu; zero where the effects take all of T up: one treated unit, and it is in the fold."""
    made, system = model.made, model.system
    drifting = model.columns >= made.basis.size
    found = np.zeros(len(drifting))
    absorbed = system.second[1, 1] <= ABSORBED * max(float(whole.second[1, 1]), 1e-300)
    if drifting.any() and not absorbed:
        own = np.unique(model.owner[drifting], return_inverse=True)[1].reshape(-1)
        gram, target = system.gram[np.ix_(drifting, drifting)], system.target[drifting, 1]
        problem = Problem(gram, target, system.second[1, 1], system.freedom, own)
        found[drifting] = variance_components(problem, max_steps=FOLDS.steps, device=made.device).mean
    return found


def constants(system: System, rows: Rows, coefficients: Array) -> tuple[float, float]:
    """Without effects: constant, and coefficient of what is beside it."""
    if rows.sizes:
        return 0.0, 0.0
    free = system.project_target[:, 0] - system.project @ coefficients
    return float(free[0]), float(free[1]) if len(free) > 1 else 0.0


def linear_coefficients(made: Design, system: System, columns: Codes) -> tuple[float, Array]:
    """Constant effect, and coefficients (P,) of the model with linear tau and mu, by least squares."""
    kinds = made.kinds(columns)
    chosen = np.flatnonzero((kinds == "constant") | (kinds == "linear"))
    gram = system.gram[np.ix_(chosen, chosen)]
    found = np.linalg.lstsq(gram, system.target[chosen, 0], rcond=1e-10)[0]
    plain = np.flatnonzero((kinds == "constant") | ((columns >= made.basis.size) & (kinds == "linear")))
    alone = np.linalg.lstsq(system.gram[np.ix_(plain, plain)], system.target[plain, 0], rcond=1e-10)[0]
    full = np.zeros(len(columns))
    full[chosen] = found
    return float(alone[0]), full


def held_out_variance(made: Design, fold: int, own: Rows) -> Array:
    """Fitted E[(T - propensity)^2 | x] (m,) of a fold's rows up to scale, at least a tenth of its mean.

    A log-linear model in the covariates and their squares, fitted to the squared within-effects treatment of the other folds.
    """
    train: Rows = made.rows.at(made.rows.fold != fold)
    shape = variance_columns(made, made.rows.points[:, : made.q])
    square = sweeper(train)(train.treatment) ** 2
    coefficient = log_linear(shape[train.point], square, train.weight)
    fitted = np.exp(np.clip(shape[own.point] @ coefficient, -30, 30))
    return np.maximum(fitted, FOLDS.least_variance * np.average(fitted, weights=own.weight))


def variance_columns(made: Design, points: Array) -> Array:
    """Columns (m, 2 q + 1) of the model of the treatment's variance: one, covariates, their squares."""
    q = made.q
    z = np.clip((points - made.basis.centre[:q]) / made.basis.scale[:q], -3, 3)
    return np.hstack([np.ones((len(z), 1)), z, z**2 - 1])
