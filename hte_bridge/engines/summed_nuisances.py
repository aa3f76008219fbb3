"""Nuisances and the interacted effect of a cross-section of files: ``linear.nuisances`` part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.engines.linear import (
    CLIP,
    FLOOR,
    GAMMA_RIDGE,
    LEAST,
    RIDGE,
    Interacted,
    columns_of,
    learnable,
)
from hte_bridge.errors import DidNotConverge
from hte_bridge.scaling import Line, Standard, White, least_norm, power
from hte_bridge.stream import Part, parts_of, tree_sum
from hte_bridge.stream.standard import Columns, standard_of, triangle
from hte_bridge.study import Folds, Study

NEWTON = 100  # steps at most
UP = 1e-14  # of a mean loss: rises below are rounding
STILL = 1e-11  # gradient of a mean loss on white columns at which they end


Loss = Callable[
    [Array, slice], tuple[Array, Array, Array]
]  # index (m,) of some rows -> loss and its two derivatives (m,)


@dataclass(frozen=True, eq=False)
class Outside:
    """The rows outside a fold: ``weight`` (n,) is zero within it."""

    study: Study
    weight: Array

    def standard(self, raw: Columns) -> Standard:
        """Of columns given as a function of slices of rows."""
        return standard_of(raw, self.weight)[0]

    def triangle(self, raw: Columns) -> Array:
        """R of the columns under the weights, as shares."""
        total = self.weight.sum()
        return triangle(lambda rows: np.sqrt(self.weight[rows] / total)[:, None] * raw(rows), self.study.n)

    def mean(self, values: Columns) -> float:
        """Of values (m,) of some rows, each row alike."""
        seen = self.weight > 0
        return float(
            tree_sum(values(part.rows)[seen[part.rows]].sum() for part in parts_of(self.study.n)) / seen.sum()
        )

    def spread(self, values: Columns) -> float:
        """Variance of values (m,) of some rows, each row alike."""
        middle = self.mean(values)
        return self.mean(lambda rows: (values(rows) - middle) ** 2)

    def line(self, raw: Columns, target: Columns) -> Line:
        """``Line.fit``."""
        standard, aim = self.standard(raw), self.standard(target)
        k = len(standard.scale)
        r = self.triangle(lambda rows: np.column_stack([standard(raw(rows)), aim(target(rows))]))
        slope = least_norm(r[:, :k], r[:, k:], standard.tolerance)
        return Line(aim.centre, slope * aim.scale, standard)

    def white(self, raw: Columns) -> White:
        """``White.of``."""
        standard = self.standard(raw)
        _, values, right = np.linalg.svd(self.triangle(lambda rows: standard(raw(rows))), full_matrices=False)
        kept = values > standard.tolerance * values.max(initial=0.0)
        return White(standard, (right[kept] / values[kept, None]).T)

    def newton(self, columns: Columns, loss: Loss, ridge: float) -> Array:
        """Intercept and slopes (1 + r,) that minimise a mean loss and ``ridge / 2`` times the squared slopes; steps that go up are halved.

        Raises
        ------
        DidNotConverge
            If the steps do not come to rest.
        """
        r = columns(slice(0, 1)).shape[1]
        penalty = ridge * np.append(0.0, np.ones(r))
        found, last, step = np.zeros(1 + r), np.inf, np.zeros(1 + r)
        for _ in range(NEWTON):
            tried = found + step
            value, gradient, curvature = self._sums(columns, loss, tried)
            value += float(penalty @ tried**2) / 2
            if not value <= last + UP * max(1.0, abs(last)):
                step = step / 2
                continue
            found, last = tried, value
            gradient = gradient + penalty * found
            if np.abs(gradient).max() < STILL:
                return found
            step = -np.linalg.solve(curvature + np.diag(penalty), gradient)
        raise DidNotConverge(
            f"A regression of `{self.study.names.treatment}` on the covariates must come to rest. It did not in {NEWTON} steps. Leave out the "
            "covariate that nearly determines it."
        )

    def _sums(self, columns: Columns, loss: Loss, at: Array) -> tuple[float, Array, Array]:
        """Mean loss, its gradient and curvature in intercept and slopes."""
        share = self.weight / self.weight.sum()

        def sums(part: Part) -> Array:
            design = np.column_stack([np.ones(part.stop - part.start), columns(part.rows)])
            with np.errstate(over="ignore", invalid="ignore"):  # a step too long has no number, and is halved
                value, first, second = (share[part.rows] * each for each in loss(design @ at, part.rows))
                made = [
                    np.full(design.shape[1], value.sum()),
                    design.T @ first,
                    design.T @ (second[:, None] * design),
                ]
            return np.vstack(made)

        whole = tree_sum(map(sums, parts_of(self.study.n)))
        return float(whole[0, 0]), whole[1], whole[2:]


def nuisances(study: Study, folds: Folds) -> HeldOut:
    """Held-out tau, E[Y | x] and the treatment's mean, of a dose its variance too, fold by fold: ``linear.nuisances``.

    Raises
    ------
    DidNotConverge, NotIdentified
        As that does.
    """
    cate, mean, propensity, variance = (np.empty(study.n) for _ in range(4))
    beside, own = study.adjusted.filled, study.filled
    x, along = (lambda rows: np.asarray(beside[rows])), (lambda rows: np.asarray(own[rows]))
    for number in range(folds.n_folds):
        train = folds.fold != number
        treatment = np.asarray(study.treatment)[train]
        learnable(study, int(train.sum()), beside.shape[1], own.shape[1], treatment)
        outside = Outside(study, np.where(train, study.weight, 0.0))
        model, drawn = _interacted(outside, x, along), _drawn(outside, x)
        for part in parts_of(study.n):
            test = part.start + np.flatnonzero(~train[part.rows])
            new, moves = np.asarray(beside[test]), np.asarray(own[test])
            propensity[test], variance[test] = drawn(new, test)
            cate[test], mean[test] = model.effect(moves), model.outcome(new, moves, propensity[test])
    return HeldOut(cate, mean, propensity, None if study.binary else variance)


def _interacted(outside: Outside, x: Columns, along: Columns) -> Interacted:
    study = outside.study
    dose_of = lambda rows: np.asarray(study.treatment[rows])[:, None]
    standard, moves, dose = outside.standard(x), outside.standard(along), outside.standard(dose_of)
    columns = lambda rows: columns_of(standard(x(rows)), moves(along(rows)), dose(dose_of(rows)))
    line = outside.line(columns, lambda rows: np.asarray(study.outcome[rows])[:, None])
    return Interacted(line, standard, moves, dose)


Drawn = Callable[[Array, Codes], tuple[Array, Array]]


def _drawn(outside: Outside, x: Columns) -> Drawn:
    """Function of rows' covariates (m, p) and places (m,): the treatment's mean (m,) and variance (m,)."""
    study = outside.study
    if study.propensity is not None:
        known = study.propensity
        return lambda new, test: _of_a_chance(np.asarray(known[test]))
    return _logit(outside, x) if study.binary else _dose(outside, x)


def _of_a_chance(e: Array) -> tuple[Array, Array]:
    return e, e * (1 - e)


def _logit(outside: Outside, x: Columns) -> Drawn:
    study, white = outside.study, outside.white(x)

    def loss(index: Array, rows: slice) -> tuple[Array, Array, Array]:
        e, treated = special.expit(index), np.asarray(study.treatment[rows])
        return np.logaddexp(0.0, index) - treated * index, e - treated, e * (1 - e)

    found = outside.newton(lambda rows: white(x(rows)), loss, RIDGE)

    def drawn(new: Array, test: Codes) -> tuple[Array, Array]:
        e = special.expit(found[0] + white(new) @ found[1:])
        return _of_a_chance(np.clip(e, CLIP, 1 - CLIP))

    return drawn


def _dose(outside: Outside, x: Columns) -> Drawn:
    """A line, and squared residuals that are log-linear in the covariates: a gamma regression."""
    study, white = outside.study, outside.white(x)
    dose = lambda rows: np.asarray(study.treatment[rows])[:, None]
    line, unit = outside.line(x, dose), float(power(outside.standard(dose).scale)[0])
    least = LEAST * outside.spread(lambda rows: dose(rows)[:, 0] / unit)

    def squared(rows: slice) -> Array:
        left = (dose(rows) - line.predict(x(rows)))[:, 0] / unit
        return np.maximum(left**2, least)

    mean = outside.mean(squared)

    def loss(index: Array, rows: slice) -> tuple[Array, Array, Array]:
        over = squared(rows) / mean * np.exp(-index)
        return index + over, 1 - over, over

    found = outside.newton(lambda rows: white(x(rows)), loss, GAMMA_RIDGE)

    def drawn(new: Array, test: Codes) -> tuple[Array, Array]:
        fitted = np.exp(found[0] + white(new) @ found[1:])
        return line.predict(new)[:, 0], np.maximum(fitted, FLOOR) * mean * unit**2

    return drawn
