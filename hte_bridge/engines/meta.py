"""S-, T-, X-, R- and DR-learner around any scikit-learn regressor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from hte_bridge.arrays import Array, Codes
from hte_bridge.crossfit import PredictedFit, Refusal, boosting, out_of_fold
from hte_bridge.engine import HeldOut
from hte_bridge.errors import InvalidOption
from hte_bridge.scaling import Standard
from hte_bridge.study import Folds, Study

Kind = Literal["S", "T", "X", "R", "DR"]
CLIP = 0.01  # a learned propensity beyond this would let one unit carry the average
FLOOR = 0.01  # of the mean variance of a dose, below which one unit would carry the average
NO_INTERVAL = (
    "a meta-learner has no theory for the error of its CATE: `cate` gives none; rows come from scores"
)
NO_EFFECTS = (
    "A meta-learner needs a study without fixed effects: no learner here can sweep them out of a nonlinear effect. Leave "
    "them out, or ask feols or deep."
)
NO_DOSE = (
    "The {kind}-learner needs a treatment of 0 and 1. This one is a dose. Use Meta('R', learner), whose regression holds "
    "for doses."
)


@dataclass(frozen=True)
class Meta:
    """A meta-learner: CATE by regressions of any scikit-learn regressor, all of them cross-fitted.

    Kuenzel, Sekhon, Bickel and Yu (2019), PNAS 116(10): S, T, X; Nie and Wager (2021), Biometrika 108(2): R; Kennedy
    (2023), Electronic Journal of Statistics 17(2): DR.

    Parameters
    ----------
    kind : {"S", "T", "X", "R", "DR"}
    learner : scikit-learn regressor, optional
        Cloned for every regression, of the outcome, the treatment (a propensity is clipped to .01 and .99) and the
        effect; gradient boosting by default. ``"R"`` and weighted studies need one that takes ``sample_weight``.
    n_folds, seed : int
        Folds within folds, and folds where none are handed over; ``seed`` is also given to each learner that has a
        ``random_state`` of ``None``.
    label : str, optional
        Name in the table; ``"meta-R"`` and so on by default.

    Raises
    ------
    InvalidOption
        If the kind is unknown, the learner cannot fit and predict, or cannot take the weights that are needed.

    Examples
    --------
    An X-learner of ridge regressions beside feols, on data whose average effect is 2:

    >>> import hte_bridge as hb
    >>> from sklearn.linear_model import RidgeCV
    >>> from hte_bridge.simulate import grf_table1
    >>> df = grf_table1(200, seed=1).frame()
    >>> study = hb.Study.from_frame(df, outcome="y", treatment="t", covariates=["x1", "x2"])
    >>> table = hb.compare(study, [hb.Feols(), hb.Meta("X", RidgeCV())], estimands=["ate"], seed=1)
    >>> [(row.engine, round(row.estimate, 1)) for row in table.where(estimand="ate").rows]
    [('feols', 2.2), ('meta-X', 2.2)]
    """

    kind: Kind
    learner: Any = None
    n_folds: int = 5
    seed: int = 0
    label: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InvalidOption(
                f"The kind of a meta-learner must be 'S', 'T', 'X', 'R' or 'DR'. {self.kind!r} was given. Choose one."
            )
        if self.learner is None:
            object.__setattr__(self, "learner", boosting(self.seed))
        for verb in ("fit", "predict", "get_params"):
            if not hasattr(self.learner, verb):
                raise InvalidOption(
                    "`learner` must be a scikit-learn regressor, with `fit`, `predict` and `get_params`. "
                    f"{type(self.learner).__name__} has no `{verb}`. Give an instance such as RandomForestRegressor()."
                )
        if self.kind == "R" and not has_fit_parameter(self.learner, "sample_weight"):
            raise InvalidOption(
                "The R-learner weighs units by (T - e)^2, so that its learner must take `sample_weight`. "
                f"{type(self.learner).__name__}.fit does not. Choose another learner, or the DR-learner."
            )

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""
        return self.label or f"meta-{self.kind}"

    def fit(self, study: Study, folds: Folds | None = None) -> PredictedFit:
        """Cross-fit the study; nuisances of a fold's effect come from folds within the other folds.

        Raises
        ------
        InvalidOption
            If the study has weights that the learner cannot take.
        """
        info = {"learner": str(self.learner), "kind": self.kind, "seed": self.seed}
        reason = self._refusal(study)
        if reason:
            return PredictedFit(self.name, study, None, Refusal(reason), reasons={"*": reason}, info=info)
        if study.weighted and not has_fit_parameter(self.learner, "sample_weight"):
            raise InvalidOption(
                f"A weighted study needs a learner that takes `sample_weight`. {type(self.learner).__name__}.fit does "
                "not. Choose another learner, or leave `weight` out of the study."
            )
        folds = folds or Folds.make(study, self.n_folds, self.seed)
        work = Work(self, study)

        def fit_predict(train: Codes, test: Codes) -> Array:
            nuisance, tau = work.train(train)
            found = nuisance.at(study.adjusted.filled[test], study, test)
            return np.column_stack([tau.predict(study.filled[test]), found])

        cate, mean, propensity, variance = out_of_fold(fit_predict, folds, study.n).T
        heldout = HeldOut(cate, mean, propensity, None if study.binary else variance)
        _, tau = work.train(np.arange(study.n))
        notes = (study.fill_note,) if study.fill_note else ()
        info = info | {"folds": folds.n_folds, "cate_interval": NO_INTERVAL}
        return PredictedFit(self.name, study, heldout, NewRows(study, tau), notes, {}, info, self)

    def _refusal(self, study: Study) -> str:
        if study.fixed_effects.shape[1]:
            return NO_EFFECTS
        return "" if study.binary or self.kind == "R" else NO_DOSE.format(kind=self.kind)


@dataclass(frozen=True, eq=False)
class NewRows:
    """Effects at new rows, from models of all units."""

    study: Study
    tau: Any

    def __call__(self, frame: pd.DataFrame) -> tuple[Array, Array]:
        """Effects (m,), and NaN for errors that no theory gives."""
        x = self.study.fill(self.study.encoder.transform(frame))
        return np.asarray(self.tau.predict(x), dtype=np.float64), np.full(len(x), np.nan)


@dataclass(frozen=True, eq=False)
class Nuisance:
    """Models of one training set: E[Y | x] by arm or at once, E[T | x], and Var(T | x) of a dose."""

    arms: tuple[Any, Any] | None
    mean: Any | None
    propensity: Any | None
    spread: Any | None
    floor: float

    def parts(self, x: Array, known: Array | None) -> tuple[Array, Array, Array, Array]:
        """mu0, mu1, e and Var(T | x) (n,) each; without arms mu0 is m, and mu1 the same."""
        n = len(x)
        e = known if known is not None else self.propensity.predict(x) if self.propensity else np.zeros(n)
        if self.spread is None:
            e = np.clip(e, CLIP, 1 - CLIP) if known is None else e
            variance = e * (1 - e)
        else:
            variance = np.maximum(self.spread.predict(x), self.floor)
        if self.arms is None:
            mean = self.mean.predict(x) if self.mean is not None else np.zeros(n)
            return mean, mean, e, variance
        return self.arms[0].predict(x), self.arms[1].predict(x), e, variance

    def at(self, x: Array, study: Study, rows: Codes) -> Array:
        """m, e and Var(T | x) (n, 3) at rows of the study."""
        mu0, mu1, e, variance = self.parts(x, None if study.propensity is None else study.propensity[rows])
        mean = mu0 if self.arms is None else (1 - e) * mu0 + e * mu1
        return np.column_stack([mean, e, variance])


@dataclass(frozen=True, eq=False)
class OneArm:
    """The S-learner's model with the treatment held at one value."""

    model: Any
    arm: float

    def predict(self, x: Array) -> Array:
        """Outcome (n,) were all treated (1) or none (0)."""
        return np.asarray(
            self.model.predict(np.column_stack([x, np.full(len(x), self.arm)])), dtype=np.float64
        )


@dataclass(frozen=True, eq=False)
class Scaled:
    """A model of standardised columns: penalties, and the ranks that linear learners judge by, must not see units."""

    model: Any
    standard: Standard

    def predict(self, x: Array) -> Array:
        """Predictions (m,) at columns in their own units."""
        return np.asarray(self.model.predict(self.standard(x)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Sum:
    """A weighted sum of models; the weight of the first is a function of x."""

    first: Any
    second: Any
    share: Any

    def predict(self, x: Array) -> Array:
        """share * first + (1 - share) * second, (n,); a share of ``None`` is second - first."""
        one, two = self.first.predict(x), self.second.predict(x)
        if self.share is None:
            return np.asarray(two - one, dtype=np.float64)
        share = np.clip(self.share.predict(x), CLIP, 1 - CLIP)
        return np.asarray(share * one + (1 - share) * two, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Known:
    """A constant in the place of a model: the mean of a known propensity."""

    value: float

    def predict(self, x: Array) -> Array:
        """The constant, (n,)."""
        return np.full(len(x), self.value)


@dataclass(frozen=True, eq=False)
class Work:
    """The regressions of one engine on one study."""

    engine: Meta
    study: Study

    def train(self, rows: Codes) -> tuple[Nuisance, Any]:
        """Nuisances and effect model that have seen ``rows`` alone."""
        nuisance = self.nuisance(rows)
        kind = self.engine.kind
        if kind in ("S", "T"):
            assert nuisance.arms is not None
            return nuisance, self._along(rows, Sum(*nuisance.arms, None))
        return nuisance, self._crossed(rows, nuisance) if kind == "X" else self._second(rows)

    def _along(self, rows: Codes, effect: Sum) -> Any:
        """An effect in covariates and controls as one in the covariates alone: its regression on them; itself without controls."""
        study = self.study
        if study.controls is None:
            return effect
        return self.regress(
            study.filled[rows], effect.predict(study.adjusted.filled[rows]), study.weight[rows]
        )

    def nuisance(self, rows: Codes) -> Nuisance:
        """Regressions of outcome and treatment on the covariates and controls of ``rows``."""
        study, kind = self.study, self.engine.kind
        x, y, t = study.adjusted.filled[rows], study.outcome[rows], study.treatment[rows]
        weight = study.weight[rows]
        propensity = self.regress(x, t, weight) if study.propensity is None else None
        if kind == "R":
            spread, floor = (None, 0.0) if study.binary else self._spread(rows)
            return Nuisance(None, self.regress(x, y, weight), propensity, spread, floor)
        if kind == "S":
            model = self.regress(np.column_stack([x, t]), y, weight)
            return Nuisance((OneArm(model, 0.0), OneArm(model, 1.0)), None, propensity, None, 0.0)
        arms = tuple(self.regress(x[t == arm], y[t == arm], weight[t == arm]) for arm in (0.0, 1.0))
        return Nuisance((arms[0], arms[1]), None, propensity, None, 0.0)

    def regress(self, x: Array, y: Array, weight: Array) -> Any:
        """A clone of the learner, fitted to standardised columns; every ``random_state`` left open takes the engine's seed."""
        model, standard = clone(self.engine.learner), Standard.of(x, weight)
        open_seeds = [
            key for key, value in model.get_params().items() if key.endswith("random_state") and value is None
        ]
        if open_seeds:
            model.set_params(**dict.fromkeys(open_seeds, self.engine.seed))
        if has_fit_parameter(model, "sample_weight"):
            return Scaled(model.fit(standard(x), y, sample_weight=weight), standard)
        return Scaled(model.fit(standard(x), y), standard)

    def _crossed(self, rows: Codes, nuisance: Nuisance) -> Any:
        """X-learner: effects imputed in each arm from the other arm's model, averaged by the propensity."""
        study = self.study
        assert nuisance.arms is not None
        x, y, t, weight = (
            each[rows] for each in (study.filled, study.outcome, study.treatment, study.weight)
        )
        both = study.adjusted.filled[rows]
        treated, control = t == 1, t == 0
        for_control = nuisance.arms[1].predict(both[control]) - y[control]
        for_treated = y[treated] - nuisance.arms[0].predict(both[treated])
        share = nuisance.propensity
        if study.controls is not None and study.propensity is None:
            share = self.regress(
                x, t, weight
            )  # the average of two functions of the covariates is one of them too
        if study.propensity is not None:
            share = Known(float(np.average(study.propensity[rows], weights=weight)))
        first = self.regress(x[control], for_control, weight[control])
        return Sum(first, self.regress(x[treated], for_treated, weight[treated]), share)

    def _within(self, rows: Codes) -> Folds:
        """Folds of some rows, for what must be held out within them."""
        return Folds.make(self.study.subset(rows), self.engine.n_folds, self.engine.seed)

    def _spread(self, rows: Codes) -> tuple[Any, float]:
        """Model of Var(T | x) of a dose, from squared residuals held out within ``rows``, and its least value."""
        x, t, weight = self.study.adjusted.filled[rows], self.study.treatment[rows], self.study.weight[rows]

        def fit_predict(train: Codes, test: Codes) -> Array:
            return np.asarray(
                self.regress(x[train], t[train], weight[train]).predict(x[test]), dtype=np.float64
            )

        squared = (t - out_of_fold(fit_predict, self._within(rows), len(rows))) ** 2
        return self.regress(x, squared, weight), FLOOR * float(np.average(squared, weights=weight))

    def _second(self, rows: Codes) -> Any:
        """R- or DR-learner: one regression on an outcome made of nuisances held out within ``rows``."""
        study = self.study
        known = None if study.propensity is None else study.propensity[rows]
        x, y, t, weight = (
            each[rows] for each in (study.filled, study.outcome, study.treatment, study.weight)
        )

        both = study.adjusted.filled[rows]

        def fit_predict(train: Codes, test: Codes) -> Array:
            parts = self.nuisance(rows[train]).parts(both[test], None if known is None else known[test])
            return np.column_stack(parts)

        mu0, mu1, e, variance = out_of_fold(fit_predict, self._within(rows), len(rows)).T
        left = t - e
        if self.engine.kind == "R":
            small = np.abs(left) < 1e-6 * np.sqrt(variance.mean())  # of no weight, and no finite quotient
            pseudo = (y - mu0) / np.where(small, 1.0, left)
            return self.regress(x, pseudo, np.where(small, 0.0, weight * left**2))
        tau, mean = mu1 - mu0, (1 - e) * mu0 + e * mu1
        return self.regress(x, tau + left / variance * (y - mean - left * tau), weight)
