"""Common trends: whether outcomes of untreated units move over time with what the units are like."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from hte_bridge.study import Study

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

MOST_PERIODS = 60  # levels of an effect that may be time
MOST_CELLS = 2e7  # rows times columns, beyond which the regression would take minutes
FEWEST = 5  # clusters for each product
LEVEL = 0.01  # of the test
SAME = 0.999  # correlation from which a covariate is the period


def trends_apart(study: Study) -> str:
    """A sentence where untreated units drift apart with covariates that they keep; empty where they do not, or it cannot be asked.

    In a panel with a binary treatment the effect is what treated units gain on the others. A covariate that a unit keeps is absorbed by
    the unit's effect, so that nothing lets units that differ in it drift apart; where they do, the drift is taken for an effect that varies with
    it. Trends are then common only given covariates (Heckman, Ichimura and Todd, 1997, Review of Economic Studies 64(4); Abadie, 2005,
    ibid. 72(1)). Asked by the regression of untreated outcomes on each such covariate times the period, given the effects and the covariates
    that move: an F test of all products at 1 %, errors by the study's clusters or else by unit.

    Parameters
    ----------
    study : Study
        Its effect with most levels is the unit; the period is another with at most 60 levels, whose labels are numbers or dates.
    """
    sizes = [len(levels) for levels in study.effect_levels]
    if not study.binary or len(sizes) < 2:
        return ""
    unit = int(np.argmax(sizes))
    times = [place for place, size in enumerate(sizes) if place != unit and 2 <= size <= MOST_PERIODS]
    sentences = (_apart(study, study.fixed_effects[:, unit], place) for place in times)
    return next((each for each in sentences if each), "")


def _apart(study: Study, unit: Codes, place: int) -> str:
    levels = study.effect_levels[place]
    if levels.dtype.kind not in "iufM":
        return ""
    time = levels.astype(np.float64)[study.fixed_effects[:, place]]
    time, x = (time - time.mean()) / time.std(), study.filled
    scaled = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-300)
    kept = [j for j in range(x.shape[1]) if _stays(x[:, j], unit)]
    rows = np.flatnonzero(study.treatment == 0)
    cluster = study.cluster if study.clustered else unit
    clusters = len(np.unique(cluster[rows]))
    if np.abs(scaled.T @ time).max(initial=0.0) > SAME * study.n or len(rows) * x.shape[1] > MOST_CELLS:
        return ""
    if not kept or clusters < FEWEST * len(kept):
        return ""
    columns: dict[str, Any] = {"y": study.outcome, "c": cluster, "w": study.weight}
    columns |= {f"f{j}": codes for j, codes in enumerate(study.fixed_effects.T)}
    columns |= {f"x{j}": scaled[:, j] for j in range(x.shape[1]) if j not in kept}
    columns |= {f"z{j}": scaled[:, j] * time for j in kept}
    found = _products(pd.DataFrame(columns).iloc[rows], study.weighted)
    if not found:
        return ""
    places, estimate, covariance = found
    share = float(estimate @ np.linalg.lstsq(covariance, estimate, rcond=None)[0]) / len(estimate)
    p_value = float(stats.f.sf(share, len(estimate), clusters - 1))
    if p_value >= LEVEL:
        return ""
    most = int(np.argmax(np.abs(estimate) / np.sqrt(np.diag(covariance))))
    name, period = study.filled_names[places[most]], study.names.fixed_effects[place]
    return (
        f"Trends are not common: untreated outcomes move over `{period}` with `{name}` (F test of all covariates that units keep, p = "
        f"{p_value:.2g}), and the effect takes that up. Add `{name}` times `{period}` to the covariates."
    )


def _stays(column: Array, unit: Codes) -> bool:
    """Whether a covariate varies, but never within a unit."""
    low, high = np.full(unit.max() + 1, np.inf), np.full(unit.max() + 1, -np.inf)
    np.minimum.at(low, unit, column)
    np.maximum.at(high, unit, column)
    return bool(np.array_equal(low[unit], high[unit]) and np.ptp(column) > 0)


def _products(frame: pd.DataFrame, weighted: bool) -> tuple[list[int], Array, Array] | None:
    """Which products stand, their coefficients and covariance; none where nothing is left of them."""
    import pyfixest

    regressors = [name for name in frame if str(name)[0] in "xz"]
    effects = [name for name in frame if str(name)[0] == "f"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = pyfixest.feols(
                f"y ~ {' + '.join(map(str, regressors))} | {' + '.join(map(str, effects))}",
                data=frame,
                vcov={"CRV1": "c"},
                weights="w" if weighted else None,
            )
        except ValueError:  # every column is collinear with the effects
            return None
        tidy = model.tidy()
    names = list(tidy.index)
    own = [j for j, name in enumerate(names) if name[0] == "z"]
    if not own:
        return None
    places = [int(names[j][1:]) for j in own]
    return places, tidy["Estimate"].to_numpy()[own], np.asarray(model._vcov)[np.ix_(own, own)]
