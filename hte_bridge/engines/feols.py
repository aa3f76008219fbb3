"""The linear baseline: pyfixest's own coefficient, and a cross-fitted interacted model for scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from hte_bridge.crossfit import within_effects
from hte_bridge.engine import HeldOut
from hte_bridge.engines import summed_nuisances
from hte_bridge.engines.linear import Surface, interacted, nuisances
from hte_bridge.engines.regressed import HETERO, Design, Regression
from hte_bridge.engines.summed import Summed, heldout_panel
from hte_bridge.engines.trends import MOST_CELLS, doubts
from hte_bridge.errors import DidNotConverge, InvalidOption, NotIdentified
from hte_bridge.predicting import Predicts
from hte_bridge.scaling import Standard, power, slopes
from hte_bridge.shown import Fitted
from hte_bridge.study import Folds, Study
from hte_bridge.sweeping import within
from hte_bridge.table import Estimate, interval

PLAIN = "no covariates"  # of the coefficient that is not adjusted


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
    adoption : {"dr", "reg", "ipw"}, default "dr"
        How a staggered adoption is answered within each cell of cohort and period: least squares and a logit, one of them alone.

    Examples
    --------
    >>> from hte_bridge import Feols
    >>> Feols().name
    'feols'
    """

    streams: ClassVar[bool] = True  # a study of files is read part by part

    vcov: str = HETERO
    plain: bool = True
    n_folds: int = 5
    seed: int = 0
    label: str | None = None
    adoption: Literal["dr", "reg", "ipw"] = "dr"

    def __post_init__(self) -> None:
        if self.adoption not in ("dr", "reg", "ipw"):
            raise InvalidOption(f"`adoption` must be 'dr', 'reg' or 'ipw'. {self.adoption!r} was given.")
        if self.vcov not in (HETERO, "iid"):
            raise InvalidOption(
                f"`vcov` must be 'hetero' or 'iid'. {self.vcov!r} was given. For clusters, name `cluster` in the study."
            )

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""
        return self.label or "feols"

    def fit(self, study: Study, folds: Folds | None = None) -> FeolsFit:
        """Fit the study.

        Raises
        ------
        NotIdentified
            If covariates and effects determine the treatment, or there are no more rows than coefficients.
        """
        folds = folds or Folds.make(study, self.n_folds, self.seed)
        plain = [False, True] if self.plain else [False]
        if study.stored is not None:
            found = Summed.of(study).regress(self.vcov, plain)
        else:
            design = Design.of(study)
            found = [design.regress(study, self.vcov, plain=bare) for bare in plain]
        return FeolsFit(self, study, folds, dict(zip(["", PLAIN], found, strict=False)))


@dataclass(frozen=True, eq=False, repr=False)
class FeolsFit(Predicts, Fitted):
    """Regressions of a study, and held-out predictions of the interacted linear model."""

    options: Feols
    study: Study
    folds: Folds
    regressions: Mapping[str, Regression]

    @property
    def engine(self) -> str:
        """Name in the table's column ``engine``."""
        return self.options.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to missing covariates, and what the data of a panel say against its assumptions."""
        return tuple(each for each in (self.study.fill_note, *self._doubts) if each)

    def notes_of(self, row: Estimate) -> tuple[str, ...]:
        """The notes that hold for a row: the coefficient without covariates knows nothing of their gaps."""
        bare = row.estimand == "coefficient" and row.term.endswith(f", {PLAIN}")
        return tuple(note for note in self.notes if not (bare and note == self.study.fill_note))

    @cached_property
    def _doubts(self) -> tuple[str, ...]:
        cells = self.study.n * len(self.study.adjusted.filled_names)
        return () if self.study.stored is not None and cells > MOST_CELLS else doubts(self.study)

    @property
    def info(self) -> Mapping[str, Any]:
        """Version of pyfixest, folds and seed."""
        return {"pyfixest": version("pyfixest"), "folds": self.folds.n_folds, "seed": self.folds.seed}

    @property
    def heldout(self) -> HeldOut | None:
        """Cross-fitted predictions of outcome ~ treatment * covariates, by least squares; none where ``reasons`` says why."""
        return self._learned[0]

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why there are no held-out predictions, under ``"*"``."""
        return {"*": self._learned[1]} if self._learned[1] else {}

    @cached_property
    def _learned(self) -> tuple[HeldOut | None, str]:
        panel = bool(self.study.fixed_effects.shape[1])
        if self.study.stored is None:
            learn = _heldout_panel if panel else nuisances
        else:
            learn = heldout_panel if panel else summed_nuisances.nuisances
        try:
            return learn(self.study, self.folds), ""
        except (NotIdentified, DidNotConverge) as error:
            return None, str(error)

    @cached_property
    def _surface(self) -> Surface:
        """tau(x) from all rows, errors as in the table."""
        if not self.study.fixed_effects.shape[1]:
            return interacted(self.study)
        if self.study.stored is not None:
            summed = Summed.of(self.study, products=True)
            (found,), design = summed.regress(self.options.vcov, [False]), summed.design
        else:
            design = Design.of(self.study, products=True)
            found = design.regress(self.study, self.options.vcov)
        return Surface(design.covariates, found.coefficients, found.covariance, found.df, found.untold)

    def cate(self, new: Any, level: float = 0.95) -> pd.DataFrame:
        """Linear effect at new rows: ``estimate std_error conf_low conf_high``.

        The interval holds for the best linear approximation, not for a curve that the line misses; there is none where the treatment's
        variation lies in fewer than four clusters (``Study.effective_clusters``).
        """
        frame = self.study.encoder.frame(new)
        estimate, std_error = self._surface(self.study.fill(self.study.encoder.transform(frame)))
        if self.study.undefended:
            std_error = np.full_like(std_error, np.nan)
        low, high = interval(estimate, std_error, level, self._surface.df)
        values = {"estimate": estimate, "std_error": std_error, "conf_low": low, "conf_high": high}
        return pd.DataFrame(values, index=frame.index)

    def rows(self, level: float) -> list[Estimate]:
        """The coefficient of the treatment, with covariates and (``plain``) without."""
        return [self._row(key, level) for key in self.regressions]

    def _row(self, key: str, level: float) -> Estimate:
        model = self.regressions[key]
        return Estimate(
            "coefficient",
            float(model.coefficients[0]),
            model.std_error,
            term=self.study.names.treatment + (f", {key}" if key else ""),
            df=model.df,
            level=level,
            vcov=model.vcov,
            n_obs=self.study.n,
            n_clusters=int(model.df) + 1 if self.study.second_cluster is not None else self.study.n_clusters,
            note=model.note,
            influence=model.influence,
            share=model.share,
        )


def _heldout_panel(study: Study, folds: Folds) -> HeldOut:
    """Interacted linear model with effects, cross-fitted; docs/architecture.md, Panels, states the identities."""
    cate, left, dose = (np.empty(study.n) for _ in range(3))
    both = Standard.of(np.column_stack([study.outcome, study.treatment]), study.weight)
    unit = power(both.scale)
    outcome, treatment = ((np.column_stack([study.outcome, study.treatment]) - both.centre) / unit).T
    beside = study.adjusted.filled
    x = Standard.of(beside, study.weight)(beside)
    along = Standard.of(study.filled, study.weight)(study.filled)
    k = x.shape[1]
    columns = np.column_stack([outcome, treatment, x, treatment[:, None] * along])
    for train, test in folds:
        weight = study.weight[train]
        swept = within(columns[train], study.fixed_effects[train], weight)
        y, d, xs, dx = swept[:, :1], swept[:, 1:2], swept[:, 2 : 2 + k], swept[:, 2 + k :]
        beta = slopes(np.column_stack([d, xs, dx]), y, weight)
        tau = beta[0] + along[test] @ beta[k + 1 :]
        cate[test] = tau * unit[0] / unit[1]
        left[test] = unit[0] * (outcome[test] - x[test] @ beta[1 : k + 1] - tau * treatment[test])
        dose[test] = unit[1] * (treatment[test] - x[test] @ slopes(xs, d, weight))
    return within_effects(study, cate, left, dose, np.ones(study.n))
