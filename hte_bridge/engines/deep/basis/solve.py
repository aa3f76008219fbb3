"""Variances from the marginal likelihood of all rows; plain or proportional effects, with or without network columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.composite_likelihood import composite_likelihood
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.normal_equations import NormalEquations
from hte_bridge.engines.deep.basis.regression import Regression
from hte_bridge.engines.deep.basis.residual import RESIDUAL, nugget
from hte_bridge.engines.deep.basis.variance_components import LastLayer
from hte_bridge.engines.deep.gp.standardise import Standardisation


@dataclass(frozen=True, eq=False)
class Solved:
    """One fit of the variances on all rows.

    ``nugget`` is in the intervals. ``doubt`` is reason to try more columns: in a panel also where arms differ in their noise alone.
    """

    model: Regression
    layer: LastLayer
    names: list[str]
    residual: Array
    nugget: float
    doubt: float


def at_level(made: Design, level: Standardisation) -> Design:
    """The design whose effect is in multiples of the errors' standard deviation (``gp/outcome_models.py``): the treatment is multiplied by it."""
    rows = made.rows
    sd = level.error_sd(level.standardise(rows.points[:, : made.q])).numpy()
    return replace(made, rows=replace(rows, treatment=rows.treatment * sd[rows.point]))


def likelier(
    made: Design,
    whole: NormalEquations,
    relative: tuple[Design, NormalEquations] | None,
    cluster: Codes | None,
) -> tuple[Design, NormalEquations, Solved]:
    """The plain or the relative effect with its sums and fit: of events the relative one, else what the evidence is for.

    Beside a relative effect there is no nugget: where the variance goes with the level, what a line misses of it is no effect.
    """
    if relative is None:
        return made, whole, settle(made, whole, cluster)
    other = settle(*relative, cluster)
    if not made.rows.events:
        plain = settle(made, whole, None, other.layer.temper)
        if plain.layer.log_evidence >= other.layer.log_evidence:
            return made, whole, plain
    return *relative, replace(other, nugget=0.0)


def settle(made: Design, whole: NormalEquations, cluster: Codes | None = None, temper: float = 1.0) -> Solved:
    """Fit the blocks alone; where they leave much of tau unexplained, with network columns and random slopes too, if these are likelier.

    A network's column looks like a regressor with one coefficient, though it was fitted to the same outcomes: where
    the blocks suffice the evidence would trade them for it and be too sure (nie_wager B, n = 5,000: squared error of
    tau .012 to .017 without the columns, .015 to .054 with them). The design effect of ``cluster`` is that which the blocks alone find.
    """
    alone = solve(made, whole, cluster=cluster, temper=temper)
    if alone.doubt**0.5 <= RESIDUAL.unexplained * max(spread_of(made, alone), 1e-300):
        return alone
    slopes = bool(made.rows.groups)
    wider = solve(made, whole, slopes=slopes, networks=True, temper=alone.layer.temper)
    return wider if wider.layer.log_evidence > alone.layer.log_evidence else alone


def solve(
    made: Design,
    whole: NormalEquations,
    slopes: bool = False,
    networks: bool = False,
    cluster: Codes | None = None,
    temper: float = 1.0,
) -> Solved:
    """Variances from the marginal likelihood of all rows, residuals and nugget."""
    columns = made.columns(networks=networks)
    model = Regression.of(made, whole, columns, slopes)
    layer, residual = composite_likelihood(model, cluster=cluster, temper=temper)
    rows = made.rows
    root = np.sqrt(rows.weight) if rows.precise else np.ones(rows.n)  # to errors of one variance
    given = root * residual, root * rows.treatment, rows.weight / root**2
    found = nugget(*given, rows.arm)[0]
    spare = (
        0.0 if rows.events else found
    )  # the variance of an event follows from its mean: a mixture of coins is a coin
    doubt = spare
    if rows.sizes:
        doubt = found if rows.arm is None else nugget(*given)[0]
    return Solved(model, layer, made.owner(columns, slopes)[1], residual, spare, doubt)


def spread_of(made: Design, solved: Solved) -> float:
    """Standard deviation of the fitted tau, from the blocks' coefficients and their features' moments."""
    columns, step = solved.model.columns, max(1, len(made.rows.points) // 4_000)
    mean = solved.layer.mean[: len(columns)]
    return float(made.surfaces(mean, columns, made.rows.points[::step])[0].std())
