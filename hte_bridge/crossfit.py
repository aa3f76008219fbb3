"""The out-of-fold loop of engines that predict fold by fold, and the record of a fit that consists of what the loop predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.errors import InvalidData, UnusablePrediction
from hte_bridge.lost import lost_to_effects
from hte_bridge.predicting import Predicts
from hte_bridge.progress import steps
from hte_bridge.shown import Fitted
from hte_bridge.stream.levels import swept
from hte_bridge.study import Folds, Study
from hte_bridge.sweeping import within
from hte_bridge.table import Estimate, check_level, interval

FitPredict = Callable[[Codes, Codes], Array]


def out_of_fold(fit_predict: FitPredict, folds: Folds, n: int, name: str = "learner") -> Array:
    """Predictions of n units, each by a model fitted to the other folds.

    Parameters
    ----------
    fit_predict : callable
        Takes positions ``train`` and ``test``; returns predictions (len(test),) or (len(test), k) of a model that
        has seen ``train`` alone.
    folds : Folds
    n : int
        Number of units.
    name : str
        Of the progress bar.

    Returns
    -------
    array (n,) or (n, k)

    Raises
    ------
    InvalidData
        If the folds are those of another study, or a prediction is missing or not finite.

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 3.0, 6.0])
    >>> folds = Folds(np.array([0, 1, 0, 1]), n_folds=2, seed=0)
    >>> out_of_fold(lambda train, test: np.full(len(test), y[train].mean()), folds, 4)
    array([4., 2., 4., 2.])
    """
    check_folds(folds, n)
    out: Array | None = None
    for number, (train, test) in enumerate(steps(folds, name, folds.n_folds)):
        found = np.asarray(fit_predict(train, test), dtype=np.float64)
        if len(found) != len(test) or not np.isfinite(found).all():
            what = f"{len(found):,} values" if len(found) != len(test) else "values that are not finite"
            raise UnusablePrediction(
                f"A learner must predict a finite number for each of the {len(test):,} units of fold {number}. It "
                f"gave {what}. Check the learner on these covariates."
            )
        if out is None:
            out = np.empty((n, *found.shape[1:]))
        out[test] = found
    assert out is not None  # folds are two or more
    return out


def within_effects(study: Study, cate: Array, left: Array, dose: Array, variance: Array) -> HeldOut:
    """Held-out columns of a panel from what its models left, with the effects swept out of all rows together.

    Each row is left by a model that did not see its cluster, and sweeping is linear with weights that know the treatment alone, so that no
    row's outcome meets a model trained on it. Within each fold's few units the same sweep would leave errors that are far too small
    (docs/few_clusters.md). The variance is scaled so that ``dose**2`` over it averages one: an error of the effect that all rows share then
    moves no average.

    Parameters
    ----------
    study : Study
        With fixed effects.
    cate : array (n,)
        Held-out effect.
    left : array (n,)
        ``Y - g(X) - cate T``, g held out.
    dose : array (n,)
        ``T - e(X)``, e held out.
    variance : array (n,)
        Fitted E[dose^2 | X] within effects, of any scale.
    """
    sweep = within if study.stored is None else swept
    off = sweep(np.column_stack([left, dose]), study.fixed_effects, study.weight)
    return from_left(study, cate, off, variance, lost_to_effects(study))


class Observed(Protocol):
    """Outcome, treatment and weight (n,) of some rows."""

    @property
    def outcome(self) -> Array:
        """Y."""

    @property
    def treatment(self) -> Array:
        """T."""

    @property
    def weight(self) -> Array:
        """Of any scale."""


def from_left(rows: Observed, cate: Array, off: Array, variance: Array, lost: float = 0.0) -> HeldOut:
    """Held-out columns (docs/architecture.md, Panels) from what is left of outcome and treatment (n, 2) with the effects swept out."""
    moved = off[:, 1]
    size = np.average(moved**2 / variance, weights=rows.weight)
    return HeldOut(
        cate, rows.outcome - off[:, 0] - moved * cate, rows.treatment - moved, variance * size, lost
    )


def check_folds(folds: Folds, n: int) -> None:
    """Refuse folds of another number of units.

    Raises
    ------
    InvalidData
        With both numbers.
    """
    if len(folds.fold) != n:
        raise InvalidData(
            f"Folds must hold each unit of the study once. These were made for {len(folds.fold):,} units, the study "
            f"has {n:,}. Make them with Folds.make(study)."
        )


def boosting(seed: int) -> Any:
    """The learner of those who name none: scikit-learn's gradient boosted trees, small and slow enough to be smooth."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=100, learning_rate=0.05, max_leaf_nodes=8, early_stopping=False, random_state=seed
    )


@dataclass(frozen=True, eq=False, repr=False)
class PredictedFit(Predicts, Fitted):
    """A fit that is held-out predictions and a way to predict new rows; it has no rows of its own.

    Parameters
    ----------
    engine : str
    study : Study
    heldout : HeldOut or None
    at_rows : callable
        Takes a frame and a level, gives effects (m,) and their standard errors (m,), NaN where no theory gives one.
    notes, reasons, info
        As in ``engine.Fit``.
    options : Engine, optional
        The engine that made it, where it can be fitted again on other rows; columns predicted elsewhere cannot.
    """

    engine: str
    study: Study
    heldout: HeldOut | None
    at_rows: Callable[[pd.DataFrame], tuple[Array, Array]]
    notes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    options: Any = None

    def rows(self, level: float) -> list[Estimate]:
        """None of its own."""
        return []

    def cate(self, new: Any, level: float = 0.95) -> pd.DataFrame:
        """``estimate std_error conf_low conf_high`` (m,) with the index of ``new``; NaN where no theory gives one."""
        frame = self.study.encoder.frame(new)
        check_level(level)
        estimate, std_error = self.at_rows(frame)
        low, high = interval(estimate, std_error, level)
        values = {"estimate": estimate, "std_error": std_error, "conf_low": low, "conf_high": high}
        return pd.DataFrame(values, index=frame.index)


@dataclass(frozen=True)
class Refusal:
    """What ``PredictedFit.at_rows`` is for an engine that could not fit: it raises the reason."""

    reason: str

    def __call__(self, frame: pd.DataFrame) -> tuple[Array, Array]:
        """Raise the reason.

        Raises
        ------
        NotIdentified
            Always.
        """
        from hte_bridge.errors import NotIdentified

        raise NotIdentified(self.reason)
