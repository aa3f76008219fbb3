"""The linear baseline: pyfixest's own coefficient, and a cross-fitted interacted model for scores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.checks import lost_to_effects, within
from hte_bridge.engine import HeldOut
from hte_bridge.engines.linear import interacted, nuisances
from hte_bridge.engines.trends import doubts
from hte_bridge.errors import InvalidOption, NotIdentified
from hte_bridge.frames import to_pandas
from hte_bridge.shown import Fitted
from hte_bridge.study import UNDEFENDED, Folds, Study
from hte_bridge.table import Estimate, interval

Array = npt.NDArray[np.float64]
HETERO = "hetero"


@dataclass(frozen=True)
class Feols:
    """OLS with fixed effects through pyfixest.

    Parameters
    ----------
    vcov : {"hetero", "iid"}, optional
        Errors where the study names no cluster; with a cluster they are CRV1.
    plain : bool, default True
        Also report the coefficient without covariates (in an experiment, the difference in means).
    n_folds, seed : int
        For folds of its own, where none are handed over.
    label : str, optional
        Name in the table; ``"feols"`` by default.

    Examples
    --------
    >>> Feols().name
    'feols'
    """

    vcov: str = HETERO
    plain: bool = True
    n_folds: int = 5
    seed: int = 0
    label: str | None = None

    def __post_init__(self) -> None:
        if self.vcov not in (HETERO, "iid"):
            raise InvalidOption(
                f"`vcov` must be 'hetero' or 'iid'. {self.vcov!r} was given. For clusters, name `cluster` in the study."
            )

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""
        return self.label or "feols"

    def fit(self, study: Study, folds: Folds | None = None) -> FeolsFit:
        """Fit the study; its rows are read from pyfixest's ``tidy()``.

        Raises
        ------
        NotIdentified
            If pyfixest drops the treatment as collinear.
        """
        folds = folds or Folds.make(study, self.n_folds, self.seed)
        frame = _frame(study)
        x = list(frame.columns[frame.columns.str.match(r"x\d+$")])
        fitted = {"": _regress(study, frame, ["d", *x], self.vcov)}
        if self.plain:
            fitted["no covariates"] = _regress(study, frame, ["d"], self.vcov)
        return FeolsFit(self, study, folds, fitted)


@dataclass(frozen=True, eq=False)
class Regression:
    """What is kept of one pyfixest model: its ``tidy()``, covariance, law, note, and the influence values (n,) of
    the treatment's coefficient."""

    tidy: pd.DataFrame
    covariance: Array
    influence: Array | None
    df: float
    vcov: str
    n_obs: int
    note: str = ""


def _frame(study: Study, interactions: bool = False) -> pd.DataFrame:
    """Columns under names that any formula can hold: y, d, x0.., dx0.. (treatment times centred x), f0.., c, w."""
    x = study.filled
    columns: dict[str, Any] = {"y": study.outcome, "d": study.treatment}
    columns |= {f"x{j}": x[:, j] for j in range(x.shape[1])}
    columns |= {f"f{j}": study.fixed_effects[:, j] for j in range(study.fixed_effects.shape[1])}
    if interactions:
        centred = x - np.average(x, axis=0, weights=study.weight)
        columns |= {f"dx{j}": study.treatment * centred[:, j] for j in range(x.shape[1])}
    return pd.DataFrame(columns | {"c": study.cluster, "w": study.weight})


def _regress(study: Study, frame: pd.DataFrame, regressors: Sequence[str], vcov: str) -> Regression:
    import pyfixest

    effects = " + ".join(name for name in frame.columns if name[0] == "f")
    formula = f"y ~ {' + '.join(regressors)}" + (f" | {effects}" if effects else "")
    used = ["y", *regressors, *(name for name in frame.columns if name[0] == "f"), "c", "w"]
    with warnings.catch_warnings():  # what is dropped as collinear is said in the row's note instead
        warnings.filterwarnings("ignore", message=r"(?s).*multicollinearity", category=UserWarning)
        model = pyfixest.feols(
            formula,
            data=frame[used],
            vcov={"CRV1": "c"} if study.clustered else vcov,
            weights="w" if study.weighted else None,
            copy_data=False,
            store_data=False,
            fixef_rm="none",
        )
    tidy = model.tidy()
    if "d" not in tidy.index:
        raise NotIdentified(
            f"The treatment must vary beyond the covariates and effects. feols dropped `{study.names.treatment}` as "
            "collinear with them. Leave out the covariate that determines it."
        )
    scores, bread = getattr(model, "_scores", None), getattr(model, "_bread", None)
    influence = None if scores is None or bread is None else scores @ bread[:, list(tidy.index).index("d")]
    df = study.n_clusters - 1 if study.clustered else getattr(model, "_df_t", study.n - len(tidy))
    label = f"CRV1 ({study.names.cluster})" if study.clustered else vcov
    gone = [
        study.filled_names[int(name[1:])] for name in regressors if name[0] == "x" and name not in tidy.index
    ]
    note = f"feols left out {', '.join(gone)}: collinear with the effects or other covariates" if gone else ""
    return Regression(tidy, np.asarray(model._vcov), influence, float(df), label, study.n, note)


@dataclass(frozen=True, eq=False, repr=False)
class FeolsFit(Fitted):
    """Regressions of a study, and held-out predictions of the interacted linear model."""

    options: Feols
    study: Study
    folds: Folds
    regressions: Mapping[str, Regression]
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def engine(self) -> str:
        """Name in the table's column ``engine``."""
        return self.options.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to missing covariates, and what the data of a panel say against its assumptions."""
        return tuple(each for each in (self.study.fill_note, *self._doubts) if each)

    @cached_property
    def _doubts(self) -> tuple[str, ...]:
        return doubts(self.study)

    @property
    def info(self) -> Mapping[str, Any]:
        """Version of pyfixest, folds and seed."""
        return {"pyfixest": version("pyfixest"), "folds": self.folds.n_folds, "seed": self.folds.seed}

    @cached_property
    def heldout(self) -> HeldOut:
        """Cross-fitted predictions of outcome ~ treatment * covariates, by least squares."""
        panel = bool(self.study.fixed_effects.shape[1])
        return _heldout_panel(self.study, self.folds) if panel else nuisances(self.study, self.folds)

    @cached_property
    def _surface(self) -> tuple[Array, Array, float]:
        """Coefficients of tau(x) on (1, x), their covariance, and df; from all rows, errors as in the table."""
        x = self.study.filled
        if self.study.fixed_effects.shape[1]:
            names, k = [f"x{j}" for j in range(x.shape[1])], x.shape[1]
            keep = ["d", *(f"d{name}" for name in names)]
            frame = _frame(self.study, interactions=True)
            regression = _regress(self.study, frame, [*keep, *names], self.options.vcov)
            found = [
                list(regression.tidy.index).index(name) for name in keep if name in regression.tidy.index
            ]
            there = [j for j, name in enumerate(keep) if name in regression.tidy.index]
            beta, cov = np.zeros(k + 1), np.zeros((k + 1, k + 1))
            beta[there] = regression.tidy["Estimate"].to_numpy()[found]
            cov[np.ix_(there, there)] = regression.covariance[np.ix_(found, found)]
            shift = np.eye(k + 1)
            shift[0, 1:] = -np.average(x, axis=0, weights=self.study.weight)
            return shift @ beta, shift @ cov @ shift.T, regression.df
        return interacted(self.study)

    def cate(self, new: Any, level: float = 0.95) -> pd.DataFrame:
        """Linear effect at new rows: ``estimate std_error conf_low conf_high``.

        The interval holds for the best linear approximation, not for a curve that the line misses; there is none where the treatment's
        variation lies in fewer than four clusters (``Study.effective_clusters``).
        """
        frame = to_pandas(new)
        beta, cov, df = self._surface
        x = self.study.fill(self.study.encoder.transform(frame))
        design = np.column_stack([np.ones(len(x)), x])
        estimate = design @ beta
        std_error = np.sqrt(np.einsum("ij,jk,ik->i", design, cov, design))
        if self.study.effective_clusters < UNDEFENDED:
            std_error = np.full_like(std_error, np.nan)
        low, high = interval(estimate, std_error, level, df)
        values = {"estimate": estimate, "std_error": std_error, "conf_low": low, "conf_high": high}
        return pd.DataFrame(values, index=frame.index)

    def rows(self, level: float) -> list[Estimate]:
        """The coefficient of the treatment, with covariates and (``plain``) without."""
        out = [
            self._row(
                "coefficient", key, "d", level, self.study.names.treatment + (f", {key}" if key else "")
            )
            for key in ("", "no covariates")
            if key in self.regressions
        ]
        if "interacted" not in self.regressions:
            return out
        slope = self._row("ape", "interacted", "d", level, "")
        out.append(slope.with_(note="slope at the mean of the covariates, in the interacted linear model"))
        return out

    def _row(self, estimand: str, key: str, name: str, level: float, term: str) -> Estimate:
        model = self.regressions[key]
        place = list(model.tidy.index).index(name)
        line = model.tidy.iloc[place]
        return Estimate(
            estimand,
            float(line["Estimate"]),
            float(line["Std. Error"]),
            term=term,
            df=model.df,
            level=level,
            vcov=model.vcov,
            n_obs=model.n_obs,
            n_clusters=self.study.n_clusters,
            note=model.note,
            influence=model.influence,
        )


def _heldout_panel(study: Study, folds: Folds) -> HeldOut:
    """Interacted linear model with effects, cross-fitted; docs/architecture.md, Panels, states the identities."""
    x = study.filled - np.average(study.filled, axis=0, weights=study.weight)
    k = x.shape[1]
    cate, mean, slope, variance = (np.empty(study.n) for _ in range(4))
    columns = np.column_stack([study.outcome, study.treatment, x, study.treatment[:, None] * x])
    for train, test in folds:
        root = np.sqrt(study.weight[train])[:, None]
        swept = root * within(columns[train], study.fixed_effects[train], study.weight[train])
        y, d, xs, dx = swept[:, 0], swept[:, 1], swept[:, 2 : 2 + k], swept[:, 2 + k :]
        beta = np.linalg.lstsq(np.column_stack([d, dx, xs]), y, rcond=1e-10)[0]
        first = np.linalg.lstsq(xs, d, rcond=1e-10)[0]
        tau = beta[0] + x[test] @ beta[1 : k + 1]
        left = study.outcome[test] - x[test] @ beta[k + 1 :] - tau * study.treatment[test]
        dose = study.treatment[test] - x[test] @ first
        both = within(np.column_stack([left, dose]), study.fixed_effects[test], study.weight[test])
        noise = (d - xs @ first) ** 2 / root[:, 0] ** 2
        cate[test], slope[test] = tau, study.treatment[test] - both[:, 1]
        mean[test] = study.outcome[test] - both[:, 0] - both[:, 1] * tau
        variance[test] = np.average(noise, weights=study.weight[train])
    return HeldOut(cate, mean, slope, variance, lost_to_effects(study, folds))
