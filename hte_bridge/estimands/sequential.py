"""Rankings that no unit's own outcome has touched, directly or by way of another fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.engine import Engine, Fit
from hte_bridge.errors import NotIdentified
from hte_bridge.estimands.ties import varies, without_offsets
from hte_bridge.progress import steps
from hte_bridge.study import Folds, Study

How = Literal["sequential", "heldout", "independent"]


@dataclass(frozen=True, eq=False)
class Ranking:
    """A predicted effect for each unit and the folds within which it is compared.

    Parameters
    ----------
    priority : array (n,)
        NaN where a unit is not ranked (the first fold of a sequential ranking).
    fold : array (n,)
    how : {"sequential", "heldout", "independent"}
        ``sequential``: from earlier folds alone. ``independent``: made from other data. Both have valid intervals.
        ``heldout``: from all other folds, or out-of-bag; estimates yes, intervals no.
    """

    priority: Array
    fold: npt.NDArray[np.int64]
    how: How

    @property
    def varies(self) -> bool:
        """Whether anybody ranks before another: whether priorities differ within any fold by more than rounding."""
        return varies(self.priority, self.fold)

    @property
    def note(self) -> str:
        """What a row from this ranking must say."""
        if self.how == "heldout":
            return (
                "no interval: ranked by held-out predictions, which share outcomes across folds and reject too often "
                "when no effect differs; use ranking='sequential'"
            )
        if self.how == "sequential":
            return f"each fold ranked by a model of earlier folds ({np.isfinite(self.priority).sum():,} units ranked)"
        return "ranked by predictions made from other data"


_made: WeakKeyDictionary[Fit, dict[Folds, Ranking]] = (
    WeakKeyDictionary()
)  # refits are dear; same fit, same ranking


def sequential(fit: Fit, folds: Folds) -> Ranking:
    """Fit the engine to folds before k and predict fold k, for each k after the first; no errors are formed, so that it may cost less.

    Luedtke and van der Laan (2016), Annals of Statistics 44(2); Wager (2024), arXiv:2405.05534.

    Parameters
    ----------
    fit : Fit
        Its ``options`` are the engine to refit; its ``study`` keeps the frame it came from.
    folds : Folds

    Raises
    ------
    NotIdentified
        If the engine cannot be refitted (its predictions were made elsewhere).
    """
    kept = _made.setdefault(fit, {})
    if folds not in kept:
        kept[folds] = Ranking(_refitted(engine_of(fit), fit.study, folds), folds.fold, "sequential")
    return kept[folds]


def keep(fit: Fit, folds: Folds, priority: Array) -> None:
    """Take a ranking that was made before, as read from a file, for that of ``sequential``."""
    _made.setdefault(fit, {})[folds] = Ranking(priority, folds.fold, "sequential")


def engine_of(fit: Fit) -> Engine:
    """The engine that made a fit.

    Raises
    ------
    NotIdentified
        If it cannot be fitted again.
    """
    engine = getattr(fit, "options", None)
    if not isinstance(engine, Engine) or fit.study.frame is None:
        raise NotIdentified(
            f"This question refits the engine, a sequential ranking on earlier folds. `{fit.engine}` cannot be fitted "
            "again here. Where you rank, use ranking='independent' if its predictions were made from other data, else "
            "ranking='heldout'."
        )
    return engine


def heldout(fit: Fit, folds: Folds, how: How = "heldout") -> Ranking:
    """The fit's own held-out predictions, or predictions from other data where ``how`` says so."""
    if fit.heldout is None:
        raise NotIdentified(fit.reasons.get("*", "This engine has no held-out predictions for this study."))
    if how == "independent" and isinstance(getattr(fit, "options", None), Engine):
        raise NotIdentified(
            f"An independent ranking comes from other data. `{fit.engine}` was fitted to this study. Use "
            "ranking='sequential'."
        )
    return Ranking(fit.heldout.cate, folds.fold, how)


def ranking(fit: Fit, folds: Folds, how: How) -> Ranking:
    """The ranking named by ``how``."""
    return sequential(fit, folds) if how == "sequential" else heldout(fit, folds, how)


def folds_of(fit: Fit, folds: Folds) -> npt.NDArray[np.int64] | None:
    """Folds (n,) within which a fit's held-out predictions may be compared; none where they are out-of-bag, as a forest's."""
    return None if getattr(fit, "out_of_bag", False) else folds.fold


def comparable(folds: Folds, *fits: Fit) -> list[Array]:
    """Held-out CATE (n,) of each fit, compared over the same units: without the levels of single folds, wherever one fit has them."""
    known = [each for each in (folds_of(fit, folds) for fit in fits) if each is not None]
    out = []
    for fit in fits:
        if fit.heldout is None:
            raise NotIdentified(
                fit.reasons.get("*", "This engine has no held-out predictions for this study.")
            )
        fold = known[0] if known else np.zeros(fit.study.n, dtype=np.int64)
        out.append(without_offsets(fit.heldout.cate, fold, fit.study.weight))
    return out


def _refitted(engine: Engine, study: Study, folds: Folds) -> Array:
    priority = np.full(study.n, np.nan)
    assert study.frame is not None
    for number in steps(range(1, folds.n_folds), f"{engine.name}: ranking by earlier folds"):
        test = np.flatnonzero(folds.fold == number)
        earlier = study.subset(folds.fold < number)
        priority[test] = _effects(engine, earlier, study.frame.iloc[test])
    return priority


def _effects(engine: Engine, study: Study, new: pd.DataFrame) -> Array:
    """Effects at new rows by a model of a study: without their errors, which a ranking does not need, where the engine can spare them."""
    points = getattr(engine, "point_effects", None)
    found = engine.fit(study).cate(new)["estimate"] if points is None else points(study, new)
    return np.asarray(found, dtype=np.float64)
