"""Sensitivity of a regression coefficient to an unmeasured confounder (Cinelli and Hazlett)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from hte_bridge.arrays import Array
from hte_bridge.errors import NotIdentified
from hte_bridge.estimands.benchmarks import BESIDE
from hte_bridge.scaling import Standard, independent, least_norm
from hte_bridge.study import Study
from hte_bridge.sweeping import within
from hte_bridge.table import Estimate

TIMES = (1, 2, 3)
EXACT = 1e-12  # of the target's length: what is left below it is rounding
FEWEST_DF = 2  # an interval's robustness value divides by one less


def robustness_value(statistic: float, df: float, *, share: float = 1.0, level: float | None = None) -> float:
    """Partial R2 that a confounder needs with both treatment and outcome to take away ``share`` of the estimate.

    With ``level``: to bring the end of the interval to that point. Cinelli and Hazlett (2020), JRSS-B 82(1), eq. 18-19.

    Parameters
    ----------
    statistic : float
        t of the coefficient.
    df : float
        Residual degrees of freedom.
    share : float, default 1
    level : float, optional

    Examples
    --------
    >>> from hte_bridge.estimands.confounding import robustness_value
    >>> t, df = 0.0973 / 0.0233, 783  # their Darfur example: 13.9 % and 7.6 %
    >>> round(robustness_value(t, df), 3), round(robustness_value(t, df, level=0.95), 3)
    (0.139, 0.076)
    """
    f = share * abs(statistic) / df**0.5
    if level is not None:
        f -= float(stats.t.ppf((1 + level) / 2, df - 1)) / (df - 1) ** 0.5
        if f <= 0:
            return 0.0
    return 0.5 * ((f**4 + 4 * f**2) ** 0.5 - f**2)


@dataclass(frozen=True, eq=False)
class Partialled:
    """Outcome, treatment and covariates with effects swept out, each over its spread, and weights multiplied in; ``unit`` is that of a
    coefficient in the study's units."""

    y: Array
    d: Array
    x: Array
    n_effects: int
    unit: float

    @classmethod
    def of(cls, study: Study) -> Partialled:
        """From a study; an intercept is swept out where it has no effects."""
        swept, absorbed = np.column_stack([study.outcome, study.treatment, study.adjusted.filled]), 1
        if study.fixed_effects.shape[1]:
            swept = within(swept, study.fixed_effects, study.weight)
            levels = int(sum(column.max() + 1 for column in study.fixed_effects.T))
            absorbed = levels - study.fixed_effects.shape[1] + 1
        standard = Standard.of(swept, study.weight)
        root = np.sqrt(study.weight / study.weight.mean())[:, None]
        columns = standard(swept) * root
        unit = float(standard.scale[0] / standard.scale[1]) if standard.scale[1] > 0 else 0.0
        return cls(columns[:, 0], columns[:, 1], columns[:, 2:], absorbed, unit)

    def t_and_df(self, target: Array, first: Array, rest: Array) -> tuple[float, float, float]:
        """Coefficient of ``first`` in the regression of ``target`` on it and ``rest``, its classical t, and df."""
        df = len(target) - self.n_effects - int(independent(rest).sum()) - 1
        if df < FEWEST_DF:
            raise NotIdentified(
                f"A coefficient's sensitivity needs {FEWEST_DF} degrees of freedom or more beyond covariates and effects. {len(target):,} rows leave "
                f"{max(df, 0):g}. Name fewer covariates."
            )
        both = _residual(np.column_stack([target, first]), rest)
        coefficient = float(both[:, 1] @ both[:, 0]) / float(both[:, 1] @ both[:, 1])
        left = both[:, 0] - coefficient * both[:, 1]
        if not np.linalg.norm(left) > EXACT * np.linalg.norm(target):
            raise NotIdentified(
                "A coefficient's sensitivity needs outcomes that the regression does not fit exactly. It fits all of these: nothing is left for a "
                "confounder to explain."
            )
        error = (float(left @ left) / df / float(both[:, 1] @ both[:, 1])) ** 0.5
        return coefficient, coefficient / error, float(df)


def _residual(values: Array, x: Array) -> Array:
    if not x.shape[1]:
        return values
    return values - x @ least_norm(x, values)


def _determined(column: Array, x: Array) -> bool:
    """Whether the columns of ``x`` leave nothing of a column but rounding."""
    left = _residual(column[:, None], x)
    return not float(np.linalg.norm(left)) > 1e-9 * float(np.linalg.norm(column))


def coefficient_sensitivity(study: Study, *, level: float = 0.95) -> list[Estimate]:
    """Robustness values of the linear coefficient, and what it would be beside confounders as strong as a covariate.

    Cinelli and Hazlett (2020), JRSS-B 82(1). Classical errors, as there: the question is of bias, not of noise.

    Returns
    -------
    list of Estimate
        ``partial R2 of treatment and outcome``, ``robustness value: estimate to 0``, ``robustness value: interval to
        0``; then, for each covariate, the estimate beside a confounder one, two and three times as strong.

    Raises
    ------
    NotIdentified
        If the treatment does not vary beyond the covariates, or no degrees of freedom are left.
    """
    data = Partialled.of(study)
    if _determined(data.d, data.x):
        raise NotIdentified("The treatment must vary beyond the covariates and effects. It does not here.")
    coefficient, t, df = data.t_and_df(data.y, data.d, data.x)
    coefficient *= data.unit
    size: dict[str, Any] = {
        "level": level,
        "df": df,
        "n_obs": study.n,
        "n_clusters": study.n_clusters,
        "vcov": "iid",
    }
    shown = [
        ("partial R2 of treatment and outcome", t**2 / (t**2 + df)),
        ("robustness value: estimate to 0", robustness_value(t, df)),
        ("robustness value: interval to 0", robustness_value(t, df, level=level)),
    ]
    rows = [Estimate("sensitivity", value, term=term, **size) for term, value in shown]
    for j, name in enumerate(study.adjusted.filled_names):
        rows += _benchmarks(data, j, name, coefficient, coefficient / t, df, size)
    return rows


def _benchmarks(
    data: Partialled, j: int, name: str, estimate: float, error: float, df: float, size: dict[str, Any]
) -> list[Estimate]:
    """Estimates beside a confounder k times as strong as covariate j (Cinelli and Hazlett, eq. 15-17)."""
    rest, column = np.delete(data.x, j, axis=1), data.x[:, j]
    if _determined(column, rest):
        return []
    _, t_d, df_d = data.t_and_df(data.d, column, rest)
    _, t_y, df_y = data.t_and_df(data.y, column, np.column_stack([data.d, rest]))
    with_d, with_y = t_d**2 / (t_d**2 + df_d), t_y**2 / (t_y**2 + df_y)
    rows = []
    for k in TIMES:
        term = f"{BESIDE} {k} x {name}"
        r_d = k * with_d / (1 - with_d)
        shared = k * with_d**2 / max((1 - k * with_d) * (1 - with_d), 1e-300)
        if r_d >= 1 or k * with_d >= 1 or shared >= 1:
            rows.append(
                Estimate.missing(
                    "sensitivity", "no confounder can be so strong: it would be the treatment", term=term
                )
            )
            continue
        r_y = min(1.0, ((k**0.5 + shared**0.5) / (1 - shared) ** 0.5) ** 2 * with_y / (1 - with_y))
        bias = error * (df * r_y * r_d / (1 - r_d)) ** 0.5
        adjusted = np.sign(estimate) * (abs(estimate) - bias)
        noise = error * ((1 - r_y) / (1 - r_d) * df / (df - 1)) ** 0.5
        note = f"partial R2 with treatment {r_d:.3g}, with outcome {r_y:.3g}"
        rows.append(Estimate("sensitivity", float(adjusted), float(noise), term=term, note=note, **size))
    return rows
