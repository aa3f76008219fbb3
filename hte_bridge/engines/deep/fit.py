"""A fitted deep engine: held-out predictions, effects at new rows, diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from hte_bridge.alignment import Units, by_label
from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.answers import NOT_CONVERGED, answer, recovered_answer
from hte_bridge.engines.deep.canonical import Seen
from hte_bridge.engines.deep.contract import Branch
from hte_bridge.engines.deep.threads import threads
from hte_bridge.errors import InvalidData, InvalidNewData, NotIdentified
from hte_bridge.options import whole
from hte_bridge.shown import Fitted
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate

if TYPE_CHECKING:
    from hte_bridge.engines.deep import Deep

BAND_DRAWS = 2_000
LARGEST = 1e100


@dataclass(frozen=True, eq=False, repr=False)
class DeepFit(Fitted):
    """What the deep engine found.

    Parameters
    ----------
    options : Deep
    study : Study
    folds : Folds
    branch : Branch
        The switch taken (``kernel``, ``gram`` or ``panel``) and its result.
    """

    ending: ClassVar[str] = ".npz"  # of the file that `save` writes

    options: Deep
    study: Study
    folds: Folds
    branch: Branch

    @property
    def engine(self) -> str:
        """Name in the table's column ``engine``."""
        return self.options.name

    @property
    def heldout(self) -> HeldOut:
        """Cross-fitted predictions in the study's order."""
        return self.branch.heldout

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that hold for every row of this engine; and, once the fit to all rows is made, whether it failed."""
        found = [self.study.fill_note, *self.branch.notes, *range_notes(self.study, self.heldout)]
        if self.branch.made and not self.branch.converged:
            found.append(NOT_CONVERGED)
        return tuple(each for each in found if each)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Nothing is refused: averages of held-out scores stand without the posterior."""
        return {}

    @property
    def info(self) -> Mapping[str, Any]:
        """Version of torch, options, the switch taken, the branch's diagnostics and, once it is made, those of the fit to all rows."""
        options = {name: value for name, value in asdict(self.options).items() if name != "checkpoint"}
        found = {"torch": version("torch"), "kind": self.branch.kind, "options": options, **self.branch.info}
        return found | dict(self.branch.whole.info) if self.branch.made else found

    def rows(self, level: float) -> list[Estimate]:
        """No rows of its own: the table's are made from its scores."""
        return []

    def cate(self, new: Any, level: float = 0.95, simultaneous: bool = False) -> pd.DataFrame:
        """Effect at each row of ``new``: posterior mean, sd and interval.

        Coverage is meant *across the covariate points*: of the points of ``new``, about ``level`` have their effect in the interval
        (Wahba, 1983; Nychka, 1988), not each point in repeated samples. From 50,000 rows on a kernel fit scores in single precision; intervals
        are then up to half a per cent longer. On a fit of the exact kernel the first such question makes the
        posterior (``Deep.fit``), which may take minutes.

        Parameters
        ----------
        new : frame
            Columns of the study's covariates.
        level : float
        simultaneous : bool
            A band that holds over all rows at once, by the largest deviation in joint posterior draws.

        Returns
        -------
        DataFrame
            ``estimate std_error conf_low conf_high`` in units of the outcome, with the index of ``new``.
        """
        frame = self.study.encoder.frame(new)
        x = self.encode(frame)
        with threads(1):
            estimate, std_error = self.branch.posterior.moments(x)
        found = answer(estimate, std_error, level, frame.index, converged=self.branch.converged)
        if simultaneous and self.branch.converged and len(x):
            found["conf_low"], found["conf_high"] = self._band(x, estimate, std_error, level)
        return found

    def posterior(self, new: Any, draws: int = 1_000, seed: int | None = None) -> Array:
        """Joint draws (draws, m) of the effect at the rows of ``new``."""
        x, seed = self.encode(new), self.options.seed if seed is None else whole("seed", seed, 0)
        if not len(x):
            return np.empty((whole("draws", draws), 0))
        with threads(1):
            return self.branch.posterior.draws(x, whole("draws", draws), seed)

    def average(self, new: Any, groups: Any = None) -> pd.DataFrame:
        """Average posterior effect over the rows of ``new``, or over each of its groups.

        Its error is the posterior's: coverage across the covariate points does not carry over to their mean, and on several designs this
        covered less than it says (docs/benchmarks.md). For an average to report take the table's rows ``ate`` and ``gate``.

        Parameters
        ----------
        new : frame
        groups : array (m,), optional
            Labels (a Series is matched by those of ``new``'s index, an array by position); one average for each, with ``covariance`` in the frame's ``attrs``.

        Raises
        ------
        InvalidNewData
            If ``new`` has no rows, or ``groups`` not one label for each.
        """
        x = self.encode(new)
        if len(x) and isinstance(groups, pd.Series):
            groups = by_label(Units(self.study.encoder.frame(new)), groups, "groups")
        labels, codes = group_codes(groups, len(x))
        weights = (codes[None, :] == np.arange(len(labels))[:, None]).astype(np.float64)
        with threads(1):
            mean, covariance = self.branch.posterior.average(x, weights / weights.sum(1, keepdims=True))
        std_error = np.sqrt(np.diag(covariance))
        std_error = std_error if self.branch.converged else np.full_like(std_error, np.nan)
        found = pd.DataFrame({"estimate": mean, "std_error": std_error}, index=labels)
        found.attrs["covariance"] = covariance
        return found

    def effects(self, name: str, level: float = 0.95) -> pd.DataFrame:
        """Recovered fixed effect ``name``: ``estimate std_error conf_low conf_high component note`` by level; a panel only.

        Levels are centred within their connected ``component``: more is not identified (Abowd, Creecy & Kramarz, 2002). Where errors go on
        within clusters and each level lies in one, the effect takes up the mean of its errors: no interval, and ``note`` says so.

        Raises
        ------
        NotIdentified
            If the study has no fixed effect of this name.
        """
        parts = getattr(self.branch.posterior, "recovered", None)
        known = self.study.effect_levels
        return recovered_answer(self.study, name, parts, known, level, converged=self.branch.converged)

    def diagnostics(self) -> pd.DataFrame:
        """``diagnostic value reading``: losses against feols and a constant effect, effective draws, overlap, convergence."""
        from hte_bridge.engines.deep.diagnostics import diagnostics

        return diagnostics(self)

    def structure(self) -> pd.DataFrame:
        """Importance of each covariate for the effect, most important first, and how sure it is.

        Returns
        -------
        DataFrame
            ``importance``: root mean squared change of the effect over a step of .7 sd each way, in units of the outcome; ``std_error``: the
            same of that change's posterior sd, so that noise alone makes the two alike. ``attrs["pairs"]`` and
            ``attrs["pairs_std_error"]`` (q by q): mean squared mixed difference of each pair, and its spread between draws of the scales or
            between networks of different folds.
        """
        from hte_bridge.engines.deep.importance import importance

        found = self.branch.structure
        names, given = list(self.seen.filled_names), self.study.scored.names.covariates
        place = {name: k for k, name in enumerate(given)}
        order = sorted(range(len(names)), key=lambda j: place.get(names[j], len(place)))
        with threads(1):
            size, error = importance(self)
        values = {"importance": size, "std_error": error}
        frame = pd.DataFrame(values, index=pd.Index(names, name="covariate"))
        for name, key in (("pairs", "pairs"), ("pairs_std_error", "pairs_sd")):
            if key in found:
                frame.attrs[name] = pd.DataFrame(found[key], index=names, columns=names).iloc[order, order]
        return frame.iloc[order].sort_values("importance", ascending=False, kind="stable")

    def save(self, path: str | Path) -> Path:
        """Write the fit as one file of arrays and JSON, without code; ``DeepFit.load`` reads it."""
        from hte_bridge.engines.deep.save import save

        return save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> DeepFit:
        """Read a fit that ``save`` wrote; its predictions are the same, bit for bit."""
        from hte_bridge.engines.deep.save import load

        return load(Path(path))

    def encode(self, new: Any) -> Array:
        """Filled covariates (m, q) of new rows."""
        return self._seen.encode(new)

    @cached_property
    def _seen(self) -> Seen:
        return Seen.of(self.study, self.folds)

    @property
    def seen(self) -> Study:
        """The study as the engine sees it (``canonical.py``)."""
        return self._seen.study

    def _band(self, x: Array, estimate: Array, std_error: Array, level: float) -> tuple[Array, Array]:
        """Ends of the band: the pointwise sd times the ``level`` quantile of the largest standardised deviation."""
        with threads(1):
            paths = self.branch.posterior.draws(x, BAND_DRAWS, self.options.seed)
        largest = (np.abs(paths - estimate) / np.where(std_error > 0, std_error, np.inf)).max(axis=1)
        margin = float(np.quantile(largest, level)) * std_error
        return estimate - margin, estimate + margin


def group_codes(groups: Any, n: int) -> tuple[pd.Index, Codes]:
    """Labels (g,) and codes (n,) of the rows' groups; all rows are one group, 0, where none are named.

    Raises
    ------
    InvalidNewData
        If there are no rows, or not one label for each.
    """
    if not n:
        raise InvalidNewData("An average needs at least one row. `new` has none. Widen its condition.")
    if groups is None:
        return pd.Index([0]), np.zeros(n, dtype=np.int64)
    codes, labels = pd.factorize(pd.Series(groups), sort=True)
    missing = np.flatnonzero(codes < 0)
    if len(codes) != n or len(missing):
        found = (
            f"{len(codes):,} labels for {n:,} rows"
            if len(codes) != n
            else f"That of row {missing[0]} is missing"
        )
        raise InvalidNewData(
            f"`groups` must have one label for each row of `new`. {found}. Hand over a column of `new`."
        )
    return labels, codes


def check_size(study: Study) -> None:
    """Refuse values whose squares overflow.

    Raises
    ------
    InvalidData
        With the column and the value.
    """
    named = {"outcome": study.outcome, "treatment": study.treatment}
    named |= {f"covariate {name}": study.filled[:, j] for j, name in enumerate(study.filled_names)}
    for name, column in named.items():
        row = int(np.argmax(np.abs(column)))
        if abs(column[row]) > LARGEST:
            raise InvalidData(
                f"`{name}` must be below {LARGEST:g} in size, so that sums of squares can be formed. The largest value is "
                f"{column[row]:.3g}, in row {row}. Rescale it."
            )


def check_other_folds(study: Study, folds: Folds) -> None:
    """Refuse a cross-section whose treatment does not vary without some fold.

    Raises
    ------
    NotIdentified
        With the fold and the value.
    """
    for number, (train, _) in enumerate(folds):
        seen = study.treatment[train]
        if np.ptp(seen) == 0:
            raise NotIdentified(
                f"What predicts a fold is fitted to the others, whose treatment must vary. Without fold {number} "
                f"`{study.names.treatment}` is {seen[0]:g} in each of {len(seen):,} rows: all rows with another value lie in that "
                "fold. Use more treated clusters, name finer ones, or make other folds."
            )


def range_notes(study: Study, heldout: HeldOut) -> tuple[str, ...]:
    """Say where predictions leave what the outcome can be: a probability, or a count."""
    y = study.outcome
    if not (np.isin(y, (0.0, 1.0)).all() or ((y >= 0).all() and (y == np.round(y)).all())):
        return ()
    top = 1.0 if np.isin(y, (0.0, 1.0)).all() else np.inf
    outside = int(((heldout.outcome_mean < 0) | (heldout.outcome_mean > top)).sum())
    if not outside:
        return ()
    what = "[0, 1]" if top == 1.0 else "the nonnegative numbers"
    return (
        f"The model is linear in probability or count: {outside:,} of {study.n:,} predicted outcome means leave {what}.",
    )
