"""A convex combination of engines, its weights learned by held-out loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from hte_bridge.arrays import Array, Codes
from hte_bridge.crossfit import PredictedFit, Refusal, within_effects
from hte_bridge.engine import NO_ERROR, Engine, Fit, HeldOut
from hte_bridge.errors import InvalidOption
from hte_bridge.progress import steps
from hte_bridge.study import Folds, Study

NO_INTERVAL = "no theory gives the error of a stacked CATE: `cate` gives none; rows come from scores"
NONE_LEFT = "A stack needs an engine with held-out predictions for this study. None of {names} has any: {why}"


@dataclass(frozen=True)
class Stack:
    """Convex combination of engines: nonnegative weights that sum to one and minimise the held-out loss.

    E[Y | x] and E[T | x] are combined by squared error, then the CATE by the R-loss given both (Nie and Wager 2021,
    Biometrika 108(2), section 4.3; van der Laan, Polley and Hubbard 2007, SAGMB 6(1)). With fixed effects one set of
    weights combines the models, by the loss within the effects. The weights of a fold are learned by fitting all engines
    again without it, on folds within the others, so that no unit has a say in its own prediction: a stack costs
    ``1 + n_folds`` fits of each engine.

    Parameters
    ----------
    engines : sequence of Engine
        Two or more, each with a name of its own.
    n_folds, seed : int
        Folds within folds, and folds where none are handed over.
    label : str, optional
        Name in the table; ``"stack"`` by default.

    Raises
    ------
    InvalidOption
        If there are fewer than two engines, or two of one name.

    Examples
    --------
    A convex combination of a regression and an R-learner, and what each weighs in it:

    >>> import hte_bridge as hb
    >>> from sklearn.linear_model import RidgeCV
    >>> from hte_bridge.simulate import grf_table1
    >>> df = grf_table1(200, seed=1).frame()
    >>> study = hb.Study.from_frame(df, outcome="y", treatment="t", covariates=["x1", "x2"])
    >>> stack = hb.Stack([hb.Feols(), hb.Meta("R", RidgeCV())], n_folds=2)
    >>> table = hb.compare(study, [stack], estimands=["ate"], n_folds=2, seed=1)
    >>> weights = table.fits["stack"].info["weights"]
    >>> sorted(weights), round(sum(weights.values()), 6)
    (['feols', 'meta-R'], 1.0)
    """

    engines: Sequence[Engine]
    n_folds: int = 5
    seed: int = 0
    label: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "engines", tuple(self.engines))
        names = [each.name for each in self.engines]
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise InvalidOption(
                f"A stack needs two or more engines, each with a name of its own. {names} were given. Add another, or "
                "give one of them a label."
            )

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""
        return self.label or "stack"

    def fit(self, study: Study, folds: Folds | None = None) -> PredictedFit:
        """Fit each engine on all folds, and again without each fold to learn that fold's weights.

        An engine without held-out predictions for this study is left out; a note says so.
        """
        folds = folds or Folds.make(study, self.n_folds, self.seed)
        every = {each.name: each.fit(study, folds) for each in self.engines}
        fits = {name: fit for name, fit in every.items() if fit.heldout is not None}
        if not fits:
            why = "; ".join(fit.reasons.get("*", "it gives no reason") for fit in every.values())
            reason = NONE_LEFT.format(names=", ".join(every), why=why)
            return PredictedFit(self.name, study, None, Refusal(reason), reasons={"*": reason})
        chosen = [each for each in self.engines if each.name in fits]
        held = [fit.heldout for fit in fits.values() if fit.heldout is not None]
        parts: list[tuple[Codes, Weights]] = []
        for train, test in steps(folds, f"{self.name}: weights", total=folds.n_folds):
            parts.append((test, self._weights_without(study, chosen, train)))
        final = Weights.learn(study, held)
        info = {
            "weights": dict(zip(fits, final.cate.tolist(), strict=True)),
            "weights_by_fold": [dict(zip(fits, each.cate.tolist(), strict=True)) for _, each in parts],
            "folds": folds.n_folds,
            "seed": self.seed,
            "cate_interval": NO_INTERVAL,
        }
        leaks = [fit.info[NO_ERROR] for fit in fits.values() if NO_ERROR in fit.info]
        info |= {NO_ERROR: leaks[0]} if leaks else {}
        predict = Combined(tuple(fits.values()), final.cate)
        return PredictedFit(
            self.name, study, _combine(study, held, parts), predict, _notes(every, fits), {}, info, self
        )

    def _weights_without(self, study: Study, engines: Sequence[Engine], train: Codes) -> Weights:
        """Weights that know ``train`` alone."""
        part = study.subset(train)
        folds = Folds.make(part, self.n_folds, self.seed)
        return Weights.learn(part, [each.fit(part, folds).heldout for each in engines])


def simplex(residuals: Array, weight: Array) -> Array:
    """Nonnegative weights (k,) with sum one that minimise the mean square of ``residuals @ weights``.

    Parameters
    ----------
    residuals : array (n, k)
        Held-out residuals of k models.
    weight : array (n,)
        Of the units.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.engines.stack import simplex
    >>> simplex(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.ones(2)).round(6)
    array([0.5, 0.5])
    """
    scaled = residuals * np.sqrt(weight / weight.sum())[:, None]
    gram = scaled.T @ scaled
    scale = float(np.trace(gram)) / len(gram) or 1.0
    # a ridge so small that it decides only between models that predict alike
    root = np.linalg.cholesky(gram / scale + 1e-9 * np.eye(len(gram))).T
    heavy = 1e4  # a row that asks for a sum of one, before the sum is made exact
    found, _ = nnls(np.vstack([root, np.full(len(gram), heavy)]), np.r_[np.zeros(len(gram)), heavy])
    return np.asarray(found / found.sum(), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights (k,) of the engines for E[Y | x], E[T | x] and the CATE."""

    mean: Array
    propensity: Array
    cate: Array

    @classmethod
    def learn(cls, study: Study, held: Sequence[HeldOut | None]) -> Weights:
        """Weights that minimise the loss of held-out predictions of this study."""
        there = [each for each in held if each is not None]
        if len(there) < len(held):
            raise InvalidOption(
                "Every engine of a stack must predict in each fold. One does for all rows but not for a part of them. "
                "Leave it out of the stack."
            )
        y, t, weight = study.outcome, study.treatment, study.weight
        if study.fixed_effects.shape[1]:
            one = simplex(np.column_stack([_residual(study, each) for each in there]), weight)
            return cls(one, one, one)
        by_mean = simplex(np.column_stack([y - each.outcome_mean for each in there]), weight)
        by_propensity = simplex(np.column_stack([t - each.propensity for each in there]), weight)
        mean = sum(w * each.outcome_mean for w, each in zip(by_mean, there, strict=True))
        propensity = sum(w * each.propensity for w, each in zip(by_propensity, there, strict=True))
        left = np.column_stack([y - mean - (t - propensity) * each.cate for each in there])
        return cls(by_mean, by_propensity, simplex(left, weight))


def _residual(study: Study, held: HeldOut) -> Array:
    return study.outcome - held.outcome_mean - (study.treatment - held.propensity) * held.cate


def _combine(study: Study, held: Sequence[HeldOut], parts: Sequence[tuple[Codes, Weights]]) -> HeldOut:
    """Each fold combined by the weights learned without it."""
    cate, mean, propensity, variance = (np.empty(study.n) for _ in range(4))
    shared = all(each.treatment_variance is None for each in held)
    left = np.column_stack([_residual(study, each) for each in held])
    spread = [
        each.propensity * (1 - each.propensity)
        if each.treatment_variance is None
        else each.treatment_variance
        for each in held
    ]
    for test, weights in parts:
        cate[test] = np.column_stack([each.cate[test] for each in held]) @ weights.cate
        propensity[test] = np.column_stack([each.propensity[test] for each in held]) @ weights.propensity
        variance[test] = np.column_stack([each[test] for each in spread]) @ weights.propensity
        mean[test] = np.column_stack([each.outcome_mean[test] for each in held]) @ weights.mean
    if study.fixed_effects.shape[1]:
        # the residual within the effects is linear in the models; weights that differ between folds leave some of the effects in it
        mixed = np.empty(study.n)
        for test, weights in parts:
            mixed[test] = left[test] @ weights.cate
        return within_effects(study, cate, mixed, study.treatment - propensity, variance)
    return HeldOut(cate, mean, propensity, None if shared else variance)


def _notes(every: dict[str, Fit], fits: dict[str, Fit]) -> tuple[str, ...]:
    absent = [name for name in every if name not in fits]
    notes = [f"without {', '.join(absent)}, which has no held-out predictions here"] if absent else []
    notes += [note for fit in fits.values() for note in fit.notes if note not in notes]
    return tuple(dict.fromkeys(notes))


@dataclass(frozen=True, eq=False)
class Combined:
    """Effects at new rows: those of the engines, weighted."""

    fits: tuple[Fit, ...]
    weights: Array

    def __call__(self, frame: pd.DataFrame) -> tuple[Array, Array]:
        """Effects (m,), and NaN for errors that no theory gives; engines of weight zero are not asked."""
        total = np.zeros(len(frame))
        for fit, weight in zip(self.fits, self.weights, strict=True):
            if weight > 0:
                total += weight * fit.cate(frame)["estimate"].to_numpy()
        return total, np.full(len(frame), np.nan)
