"""The contract between engines and everything after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidData, UnusablePrediction
from hte_bridge.shown import Arrays

if TYPE_CHECKING:
    import pandas as pd

    from hte_bridge.study import Folds, Study
    from hte_bridge.table import Estimate

NO_ERROR = "no_error"  # key of `Fit.info`: a sentence why no error of this fit's rows can be defended


@dataclass(frozen=True, eq=False, repr=False)
class HeldOut(Arrays):
    """Predictions for each unit by models that did not see it, in the study's order.

    Parameters
    ----------
    cate : array (n,)
        Effect of one unit of treatment, in units of the outcome.
    outcome_mean : array (n,)
        E[Y | x]; with fixed effects E[Y | x, effects].
    propensity : array (n,)
        E[T | x]; for a binary treatment without effects a probability.
    treatment_variance : array (n,), optional
        Var(T | x), for a continuous treatment or one with fixed effects. ``None`` stands for the
        binary case, where it is ``propensity * (1 - propensity)``.
    lost : float, default 0
        Share of the residuals' degrees of freedom that sweeping out fixed effects took (``lost.lost_to_effects``).
    plug_in : array (n,), optional
        The effect that scores are built on where it is not ``cate``: drawn to its mean, where what is noise in ``cate`` would be noise in their
        mean (``engines.forest.panel``).

    Raises
    ------
    InvalidData
        If the arrays differ in length or hold a value that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge import HeldOut
    >>> HeldOut(cate=np.array([1.0]), outcome_mean=np.array([0.5]), propensity=np.array([0.3])).n
    1
    """

    cate: Array
    outcome_mean: Array
    propensity: Array
    treatment_variance: Array | None = None
    lost: float = 0.0
    plug_in: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "lost", float(self.lost))
        for name in ("cate", "outcome_mean", "propensity", "treatment_variance", "plug_in"):
            value = getattr(self, name)
            if value is None:
                continue
            value = np.array(value, dtype=np.float64)  # a copy: what was handed in stays the caller's
            if value.shape != (len(self.cate),):
                raise InvalidData(
                    f"Held-out columns must have one value per unit. `{name}` has shape {value.shape}, "
                    f"`cate` has {len(self.cate)} values. Hand over columns of the same rows."
                )
            bad = np.flatnonzero(~np.isfinite(value))
            if len(bad):
                raise UnusablePrediction(
                    f"Held-out `{name}` must be finite. {len(bad):,} of {len(value):,} values are not; the "
                    f"first is in row {bad[0]}. Predict those rows too, or drop them from the study."
                )
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.cate)


@runtime_checkable
class Fit(Protocol):
    """What an engine returns: held-out predictions, rows of its own, and how it got there."""

    @property
    def engine(self) -> str:
        """Name in the table's column ``engine``."""

    @property
    def study(self) -> Study:
        """The study that was fitted."""

    @property
    def heldout(self) -> HeldOut | None:
        """Held-out predictions; ``None`` where the engine has none for this study (``reasons`` says why)."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that hold for every row of this engine."""

    @property
    def reasons(self) -> Mapping[str, str]:
        """Estimand (or ``"*"`` for all) -> why this engine cannot answer it."""

    @property
    def info(self) -> Mapping[str, Any]:
        """Versions, options, seed, diagnostics; plain values that JSON can hold."""

    def rows(self, level: float) -> list[Estimate]:
        """Rows that the engine makes by itself, such as a regression coefficient."""

    def cate(self, new: Any, level: float = 0.95) -> pd.DataFrame:
        """``estimate std_error conf_low conf_high`` for each row of ``new``, with its index."""


@runtime_checkable
class Engine(Protocol):
    """Options of a way to estimate heterogeneous effects; ``fit`` leaves them as they are."""

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""

    def fit(self, study: Study, folds: Folds | None = None) -> Fit:
        """Fit the study; ``folds`` are made from the engine's seed where none are given."""
