"""An EconML estimator as one more engine."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array, Codes
from hte_bridge.crossfit import PredictedFit, Refusal, boosting, out_of_fold
from hte_bridge.encode import MeanFill
from hte_bridge.engine import HeldOut
from hte_bridge.errors import InvalidOption, PackageUnavailable
from hte_bridge.study import Folds, Study

CLIP = 0.01  # a learned propensity beyond this would let one unit carry the average
FLOOR = 0.01  # of the mean variance of a dose, below which one unit would carry the average
NO_EFFECTS = (
    "An EconML estimator needs a study without fixed effects: it does not sweep them out. Leave them out, or ask feols or "
    "deep."
)
NO_DOSE = "This EconML estimator is for a discrete treatment (`discrete_treatment=True`). This one is a dose. Build it without."
NO_CLUSTERS = "EconML's interval takes units as independent; this study has clusters, so `cate` gives none"


@dataclass(frozen=True, eq=False)
class Econml:
    """Any EconML estimator: cross-fitted on the study's folds, its own interval for new rows where it has one.

    Its E[Y | x] and E[T | x] are those it learned itself where it keeps them (``models_y`` and ``models_t`` of a DML
    estimator), else gradient boosting's on the same folds. The estimator handed in is copied, never fitted.
    Battocchi et al. (2019), EconML.

    Parameters
    ----------
    estimator : EconML estimator, optional
        With ``fit(Y, T, X=...)`` and ``effect(X)``; ``CausalForestDML`` with EconML's defaults if left out.
    n_folds, seed : int
        For folds of its own where none are handed over, and for the default estimator.
    label : str, optional
        Name in the table; the estimator's class by default.

    Raises
    ------
    InvalidOption
        If the estimator has no ``fit`` or no ``effect``.

    Examples
    --------
    ``hb.Econml()`` is EconML's ``CausalForestDML``; any estimator with EconML's ``fit`` and ``effect`` will do, such as
    ``econml.dml.LinearDML(discrete_treatment=True)`` or this one, which thinks that the effect is one number:

    >>> import numpy as np
    >>> import hte_bridge as hb
    >>> from hte_bridge.simulate import grf_table1
    >>> class OneEffect:
    ...     def fit(self, Y, T, X=None):
    ...         self.apart = Y[T == 1].mean() - Y[T == 0].mean()
    ...         return self
    ...
    ...     def effect(self, X):
    ...         return np.full(len(X), self.apart)
    >>> df = grf_table1(200, seed=1).frame()
    >>> study = hb.Study.from_frame(df, outcome="y", treatment="t", covariates=["x1", "x2"])
    >>> table = hb.compare(study, [hb.Econml(OneEffect())], estimands=["ate"], n_folds=2, seed=1)
    >>> [(row.engine, round(row.estimate, 1)) for row in table.rows]
    [('OneEffect', 2.2)]
    """

    estimator: Any = None
    n_folds: int = 5
    seed: int = 0
    label: str | None = None

    def __post_init__(self) -> None:
        for verb in ("fit", "effect"):
            if self.estimator is not None and not hasattr(self.estimator, verb):
                raise InvalidOption(
                    "`estimator` must be an EconML estimator, with `fit` and `effect`. "
                    f"{type(self.estimator).__name__} has no `{verb}`. For a scikit-learn regressor use Meta('R', learner)."
                )

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""
        return self.label or ("CausalForestDML" if self.estimator is None else type(self.estimator).__name__)

    def fit(self, study: Study, folds: Folds | None = None) -> PredictedFit:
        """Fit a copy without each fold, and one on all rows for new ones.

        Raises
        ------
        PackageUnavailable
            If no estimator was handed over and EconML is not installed.
        """
        estimator = self.estimator if self.estimator is not None else _causal_forest(study, self.seed)
        discrete = getattr(estimator, "discrete_treatment", None)
        info = {"estimator": str(estimator), "seed": self.seed, "econml": _version()}
        reason = (
            NO_EFFECTS if study.fixed_effects.shape[1] else NO_DOSE if discrete and not study.binary else ""
        )
        if reason:
            return PredictedFit(self.name, study, None, Refusal(reason), reasons={"*": reason}, info=info)
        folds = folds or Folds.make(study, self.n_folds, self.seed)
        work = Work(estimator, study, self.seed)
        cate, mean, dose = out_of_fold(work.fit_predict, folds, study.n).T
        if study.propensity is not None:
            dose = study.propensity
        elif study.binary:
            dose = np.clip(dose, CLIP, 1 - CLIP)
        variance = None if study.binary else work.spread(dose, folds)
        notes = (study.fill_note,) if study.fill_note else ()
        info |= {"folds": folds.n_folds} | ({"cate_interval": NO_CLUSTERS} if study.clustered else {})
        predict = Effects(work.fitted(np.arange(study.n)), study)
        return PredictedFit(
            self.name, study, HeldOut(cate, mean, dose, variance), predict, notes, {}, info, self
        )


def _causal_forest(study: Study, seed: int) -> Any:
    try:
        from econml.dml import CausalForestDML
    except ImportError as error:
        raise PackageUnavailable(
            "Econml() needs the package EconML. It is not installed. Install it (pip install econml), or use "
            "CausalForest(), which is grf's."
        ) from error
    return CausalForestDML(discrete_treatment=study.binary, random_state=seed)


def _version() -> str | None:
    try:
        return version("econml")
    except PackageNotFoundError:
        return None


@dataclass(frozen=True, eq=False)
class Work:
    """Fits of one estimator on parts of one study."""

    estimator: Any
    study: Study
    seed: int

    def fitted(self, rows: Codes) -> Any:
        """A copy fitted to some rows, with their weights, and clusters kept together where it can."""
        study, model = self.study, deepcopy(self.estimator)
        takes = signature(model.fit).parameters
        options: dict[str, Any] = {"X": study.filled[rows]}
        if study.controls is not None:
            if "W" not in takes:
                raise InvalidOption(
                    f"A study with `controls` needs an estimator that takes `W`. {type(model).__name__} does not. Choose another, or name "
                    "them among the covariates."
                )
            options["W"] = self.beside[rows]
        if study.weighted:
            if "sample_weight" not in takes:
                raise InvalidOption(
                    f"A weighted study needs an estimator that takes `sample_weight`. {type(model).__name__} does not. "
                    "Choose another, or leave `weight` out of the study."
                )
            options["sample_weight"] = study.weight[rows]
        if study.clustered and "groups" in takes:
            options["groups"] = study.cluster[rows]
        return model.fit(study.outcome[rows], study.treatment[rows], **options)

    def fit_predict(self, train: Codes, test: Codes) -> Array:
        """Effect, E[Y | x] and E[T | x] (n, 3) of ``test`` by a copy that saw ``train``."""
        model, x = self.fitted(train), self.study.filled[test]
        both = np.hstack([x, self.beside[test]])  # as EconML puts them beside each other
        return np.column_stack(
            [
                np.ravel(model.effect(x)),
                self._nuisance(model, "models_y", self.study.outcome, train, both),
                self._nuisance(model, "models_t", self.study.treatment, train, both),
            ]
        )

    @property
    def beside(self) -> Array:
        """Controls (n, k) without gaps; none of a study without."""
        study = self.study
        if study.controls is None:
            return np.empty((study.n, 0))
        return MeanFill.of(study.controls, study.weight).transform(study.controls)

    def _both(self, rows: Codes) -> Array:
        return np.hstack([self.study.filled[rows], self.beside[rows]])

    def _nuisance(self, model: Any, kept: str, target: Array, train: Codes, x: Array) -> Array:
        """Mean prediction of the estimator's own models, or that of boosting on the same rows."""
        models = [each for repeat in getattr(model, kept, None) or () for each in repeat]
        if not models:
            models = [self._boosted(target[train], train)]
        found = [
            each.predict_proba(x)[:, 1] if hasattr(each, "predict_proba") else np.ravel(each.predict(x))
            for each in models
        ]
        return np.asarray(np.mean(found, axis=0), dtype=np.float64)

    def _boosted(self, target: Array, rows: Codes) -> Any:
        return boosting(self.seed).fit(self._both(rows), target, sample_weight=self.study.weight[rows])

    def spread(self, dose: Array, folds: Folds) -> Array:
        """Var(T | x) (n,) of a dose: boosting on held-out squared residuals, fold by fold."""
        squared = (self.study.treatment - dose) ** 2
        found = out_of_fold(
            lambda train, test: self._boosted(squared[train], train).predict(self._both(test)),
            folds,
            self.study.n,
        )
        return np.maximum(found, FLOOR * float(np.average(squared, weights=self.study.weight)))


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of new rows by the estimator of all rows."""

    model: Any
    study: Study

    def __call__(self, frame: pd.DataFrame) -> tuple[Array, Array]:
        """Effects (m,) and EconML's own standard errors; NaN without inference, or with clusters."""
        x = self.study.fill(self.study.encoder.transform(frame))
        nothing = np.full(len(x), np.nan)
        if self.study.clustered or not hasattr(self.model, "effect_inference"):
            return np.ravel(self.model.effect(x)), nothing
        try:
            made = self.model.effect_inference(x)
        except AttributeError:  # what EconML raises where the estimator was fitted without inference
            return np.ravel(self.model.effect(x)), nothing
        error = getattr(made, "stderr", None)
        return np.ravel(made.point_estimate), nothing if error is None else np.ravel(error)
