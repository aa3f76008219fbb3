"""What a panel with a treatment that comes assumes: common trends, and effects that do not grow with exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.regressed import on_basis, orthogonal, pyfixest_model
from hte_bridge.scaling import Standard, independent, wald
from hte_bridge.study import Study
from hte_bridge.sweeping import ABSORBED, within

MOST_PERIODS = 60  # levels of an effect that may be time
MOST_CELLS = 2e7  # rows times columns, beyond which the regression would take minutes
FEWEST, FEWEST_AT_ALL = 5, 20  # clusters for each product, and in all
LEVEL = 0.001  # of the tests: at 1 % six of 240 on panels of 100 units spoke without a cause
SAME = 0.999  # correlation from which a covariate is the period


def doubts(study: Study) -> tuple[str, ...]:
    """What a panel with a binary treatment assumes and its data deny, a sentence each: common trends, effects that do not grow with exposure.

    Parameters
    ----------
    study : Study
        Its effect with most levels is the unit; the period is the first other with at most 60 levels, whose labels are numbers or dates.
    """
    sizes = [len(levels) for levels in study.effect_levels]
    if not study.binary or len(sizes) < 2:
        return ()
    unit = int(np.argmax(sizes))
    for place, levels in enumerate(study.effect_levels):
        if place != unit and 2 <= sizes[place] <= MOST_PERIODS and levels.dtype.kind in "iufM":
            return tuple(
                each for each in (trends_apart(study, unit, place), exposed(study, unit, place)) if each
            )
    return ()


def trends_apart(study: Study, unit: int, period: int) -> str:
    """A sentence where untreated units drift apart with covariates that they keep; empty where they do not, or it cannot be asked.

    The effect is what treated units gain on the others. A covariate that a unit keeps is absorbed by the unit's effect, so that nothing
    lets units that differ in it drift apart; where they do, the drift is taken for an effect that varies with
    it. Trends are then common only given covariates (Heckman, Ichimura and Todd, 1997, Review of Economic Studies 64(4); Abadie, 2005,
    ibid. 72(1)). Asked by the regression of untreated outcomes on each such covariate times the period, given the effects and the covariates
    that move: an F test of all products at .1 %, errors by the study's clusters or else by unit.
    """
    levels = study.effect_levels[period].astype(np.float64)
    time, scaled = _scaled(levels[study.fixed_effects[:, period]]), _scaled(study.adjusted.filled)
    if np.abs(scaled.T @ time).max(initial=0.0) > SAME * study.n:  # the period is a covariate
        return ""
    columns = _columns(study, unit, scaled)
    kept = [j for j in range(scaled.shape[1]) if f"x{j}" not in columns]
    columns |= {f"z{j}": scaled[:, j] * time for j in kept}
    found = _products(pd.DataFrame(columns)[study.treatment == 0], study.weighted)
    if found is None or found.p_value >= LEVEL:
        return ""
    name, when = study.adjusted.filled_names[found.most], study.names.fixed_effects[period]
    return (
        f"Trends are not common: untreated outcomes move over `{when}` with `{name}` (F test of all covariates that units keep, p = "
        f"{found.p_value:.2g}), and the effect takes that up. Add `{name}` times `{when}` to the covariates."
    )


def exposed(study: Study, unit: int, period: int) -> str:
    """A sentence where the effect of a treatment that stays moves with the periods since it began; empty elsewhere.

    Units treated before are then no control for units treated later, as they still move (de Chaisemartin and D'Haultfoeuille, 2020,
    American Economic Review 110(9); Goodman-Bacon, 2021, Journal of Econometrics 225(2)). Asked by the regression on the treatment, its products with the
    covariates and with exposure, given the effects: a t test of the last at .1 %.
    """
    rank = np.argsort(np.argsort(study.effect_levels[period]))[study.fixed_effects[:, period]]
    treated, codes = study.treatment == 1, study.fixed_effects[:, unit]
    first = np.full(codes.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, codes[treated], rank[treated])
    exposure = np.where(treated, rank - first[codes], 0)
    stays = np.array_equal(treated, rank >= first[codes])
    if not stays or exposure.max() < 1:
        return ""
    scaled = _scaled(study.filled)
    columns = _columns(study, unit, _scaled(study.adjusted.filled)) | {"xd": study.treatment}
    columns |= {f"xd{j}": study.treatment * column for j, column in enumerate(scaled.T)}
    found = _products(pd.DataFrame(columns | {"z0": exposure.astype(np.float64)}), study.weighted)
    if found is None or found.p_value >= LEVEL:
        return ""
    dates = len(np.unique(first[codes[treated]]))
    so = (
        "units treated before are no control for those treated later"
        if dates > 1
        else "one effect for all is their average"
    )
    return (
        f"The effect moves with exposure, by {found.estimate[0]:.2g} a period since treatment began (p = {found.p_value:.2g}): {so}. "
        "Add the number of periods since, 0 before, to the covariates."
    )


@dataclass(frozen=True, eq=False)
class Products:
    """Coefficients of the products that stand, the p-value of all of them, and the number of the one farthest from zero."""

    estimate: Array
    p_value: float
    most: int


def _scaled(values: Array) -> Array:
    """Columns (n, k), or one (n,), about their mean in units of their spread."""
    table = values.reshape(len(values), -1)
    return Standard.of(table)(table).reshape(values.shape)


def _columns(study: Study, unit: int, scaled: Array) -> dict[str, Any]:
    """Outcome, clusters (else the units), weights, effects and the covariates that move within a unit."""
    codes = study.fixed_effects[:, unit]
    columns: dict[str, Any] = {"y": study.outcome, "w": study.weight}
    columns |= {"c": study.cluster if study.clustered else codes}
    columns |= {f"f{j}": each for j, each in enumerate(study.fixed_effects.T)}
    return columns | {f"x{j}": each for j, each in enumerate(scaled.T) if not _stays(each, codes)}


def _stays(column: Array, unit: Codes) -> bool:
    """Whether a covariate never varies within a unit."""
    low, high = np.full(unit.max() + 1, np.inf), np.full(unit.max() + 1, -np.inf)
    np.minimum.at(low, unit, column)
    np.maximum.at(high, unit, column)
    return bool(np.array_equal(low[unit], high[unit]))


def _products(frame: pd.DataFrame, weighted: bool) -> Products | None:
    """F test, errors by cluster, of the columns z0, z1, ...; none where it cannot be made."""
    names = sorted((str(name) for name in frame if str(name)[0] in "xz"), key=lambda name: name[0])
    asked = sum(name[0] == "z" for name in names)
    clusters = frame["c"].nunique()
    if not asked or clusters < max(FEWEST * asked, FEWEST_AT_ALL) or frame.size > MOST_CELLS:
        return None
    effects = frame[[name for name in frame if str(name)[0] == "f"]].to_numpy()
    weight = frame["w"].to_numpy(dtype=np.float64)
    swept = within(frame[["y", *names]].to_numpy(dtype=np.float64), effects, weight)
    standard = Standard.of(swept, weight)
    columns = standard(swept)
    there = independent(np.sqrt(weight / weight.mean())[:, None] * columns[:, 1:], ABSORBED)
    own = [j for j, name in enumerate(np.array(names)[there].tolist()) if name[0] == "z"]
    if not own or not standard.scale[0] > 0:
        return None
    basis, inverse = orthogonal(columns[:, 1:][:, there], weight)
    model = pyfixest_model(columns[:, 0], basis, effects, weight if weighted else None, frame["c"].to_numpy())
    found, covariance, _ = on_basis(model, len(inverse))
    unit = standard.scale[0] / standard.scale[1:][there][own]
    back = unit[:, None] * inverse[own]
    estimate, covariance = back @ found, back @ covariance @ back.T
    error = np.sqrt(np.diag(covariance))
    if not (error > 0).all():
        return None
    statistic, rank = wald(estimate, covariance)
    if rank < len(own):
        return None
    p_value = float(stats.f.sf(statistic / rank, rank, clusters - 1))
    most = int(np.argmax(np.abs(estimate) / error))
    return Products(estimate, p_value, int(np.array(names)[there][own[most]][1:]))
