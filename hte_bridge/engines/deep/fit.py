"""The deep engine and what it found: options with ``fit``; held-out predictions, effects at new rows, diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from hte_bridge.alignment import Units, by_label
from hte_bridge.arrays import Array
from hte_bridge.crossfit import check_folds
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep import save
from hte_bridge.engines.deep.canonical import Seen
from hte_bridge.engines.deep.checks import check_other_folds, check_size
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.read.answers import (
    NOT_CONVERGED,
    answer,
    averages,
    band,
    group_codes,
    range_notes,
    recovered_answer,
)
from hte_bridge.engines.deep.read.importance import importance_frame
from hte_bridge.engines.deep.result import Branch
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.options import whole
from hte_bridge.predicting import Predicts
from hte_bridge.shown import Fitted
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate

if TYPE_CHECKING:
    from hte_bridge.engines.deep.route_files import StreamFit


@dataclass(frozen=True)
class Deep(Options):
    """The deep engine: networks for nuisances and structure, a Bayesian last layer for the effect.

    Parameters
    ----------
    seed : int
        Same seed, same numbers, whatever the thread count.
    n_folds : int
        Of folds of its own, where none are handed over.
    label : str, optional
        Name in the table; ``"deep"`` by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the networks of panels and large samples are trained; on ``"cuda"`` also the search for the kernel's scales from 400 rows on,
        products of features and factors of the Gram matrix, in double precision. Numbers are the same from fit to fit on one device, and differ by
        rounding between devices; a fit predicts on the CPU, wherever it was made.
    kernel_max_rows : int
        Cross-sections up to this size use the exact kernel; larger ones the same by points, and from 3,000 rows on, more and more, features on the Gram
        matrix.
    scale_rows : int
        Rows on which the kernel's scales are found, where there are more.
    draws : int
        Draws of the scales that the posterior is mixed over; fewer above 1,000 rows, where scales are better known.
    effect_rate : float
        Rate of the priors on the sds of the parts of the effect that vary, in units of 1 / sd(Y), on average: lower lets it vary more.
    n_nets, epochs, hidden
        Networks averaged per fold; passes over the data at most; width of each hidden layer.
    n_jobs : int, optional
        Folds, and chains of the exact kernel, side by side, by joblib; by default as ``joblib.parallel_config`` says, else as many as there are
        processors, or OMP_NUM_THREADS if less. The numbers are the same.
    checkpoint : path, optional
        Folder in which long fits (panels, many rows, Parquet files) leave finished work every few minutes, and from which
        they continue after a kill with the same numbers. Files of other data, options or versions are left alone.
    memory_gb : float, optional
        What a panel or a large sample may take beyond what the process holds, in 10^9 bytes; by default half of what is free. Features that do not
        fit are left out before anything large is made, and a note says how many; what cannot be met raises ``NotEnoughMemory``.

    Examples
    --------
    >>> from hte_bridge import Deep
    >>> Deep(seed=1).name
    'deep'
    """

    streams: ClassVar[bool] = True  # a study of files is read part by part

    def fit(self, study: Study, folds: Folds | None = None) -> DeepFit:
        """Fit the study: a panel where it has fixed effects, else the exact kernel or, with many rows, the Gram form.

        With the exact kernel this makes the cross-fitted predictions, which the rows of a table need. The posterior from all rows, most of the
        time, is made when the fit is first asked for it: by ``cate``, ``posterior``, ``average``, ``structure``, ``diagnostics`` or ``save``.

        Raises
        ------
        DidNotConverge
            If no usable fit was found, with what to look for.
        InvalidData
            If a value is so large that its square overflows, or the folds are those of other units.
        NotIdentified
            If the treatment of a cross-section does not vary without some fold.
        InvalidOption
            If the device asked for is not there.
        """
        if study.stored is None:
            check_size(study)
        folds = folds or Folds.make(study, self.n_folds, self.seed)
        check_folds(folds, study.n)
        if study.stored is not None:
            return self._fit_stored(study, folds)
        if not study.fixed_effects.shape[1]:
            check_other_folds(study, folds)
        if study.controls is not None:
            from hte_bridge.engines.deep.route_controls import fit_controlled

            with threads(1):
                order, branch = fit_controlled(study, folds, self)
            return DeepFit(self, study, folds, replace(branch, heldout=order.back(branch.heldout)))
        if study.fixed_effects.shape[1]:
            from hte_bridge.engines.deep.route_panel import fit_panel as fit
        elif study.n > self.kernel_max_rows:
            from hte_bridge.engines.deep.route_basis import fit_basis as fit
        else:
            from hte_bridge.engines.deep.route_gp import fit_gp as fit
        with threads(1):  # more would move last bits; folds side by side (`n_jobs`) do not
            seen = Seen.of(study, folds)
            branch = fit(seen.study, seen.order.folds(folds), self)
            return DeepFit(self, study, folds, replace(branch, heldout=seen.order.back(branch.heldout)))

    def _fit_stored(self, study: Study, folds: Folds) -> DeepFit:
        """A study of files, by two passes over its rows or, where they are few, in memory."""
        from hte_bridge.engines.deep.route_stream import fit_stream, wants_memory

        if wants_memory(study):
            return replace(self.fit(study.subset(slice(None)), folds), study=study)
        with threads(1):
            return DeepFit(self, study, folds, fit_stream(study, folds, self))

    def point_effects(self, study: Study, new: Any) -> Array:
        """Effect (m,) at the rows of ``new`` by a model of this study alone, without its error: what a ranking needs.

        Of the exact kernel it is that at the most probable form and scales, as held-out effects are, for a part of the cost of a fit.
        """
        folds = Folds.make(study, self.n_folds, self.seed)
        if study.fixed_effects.shape[1] or study.n > self.kernel_max_rows:
            return self.fit(study, folds).cate(new)["estimate"].to_numpy(dtype=np.float64)
        from hte_bridge.engines.deep.route_gp import most_probable_effects

        check_size(study)
        check_other_folds(study, folds)
        with threads(1):
            seen = Seen.of(study, folds)
            return most_probable_effects(seen.study, seen.order.folds(folds), seen.encode(new), self)

    def fit_path(
        self,
        path: str | Path,
        *,
        outcome: str,
        treatment: str,
        covariates: Sequence[str],
        fixed_effects: Sequence[str],
    ) -> StreamFit:
        """The posterior of the effect of a panel that is larger than memory, from a Parquet file or folder read by row groups.

        No clusters, weights or held-out rows; for a table, ``compare`` a study that ``Study.from_parquet`` made.

        Raises
        ------
        UnreadableFile
            If there is no Parquet file at ``path``, or one lacks a column.
        InvalidData
            If a sample of the rows breaks a rule of ``Study.from_frame``.
        """
        from hte_bridge.engines.deep import route_files

        with threads(1):
            return route_files.fit_path(
                self,
                path,
                outcome=outcome,
                treatment=treatment,
                covariates=covariates,
                fixed_effects=fixed_effects,
            )


@dataclass(frozen=True, eq=False, repr=False)
class DeepFit(Predicts, Fitted):
    """What the deep engine found.

    Parameters
    ----------
    options : Options
    study : Study
    folds : Folds
    branch : Branch
        The switch taken (``kernel``, ``gram`` or ``panel``) and its result.
    """

    ending: ClassVar[str] = ".npz"  # of the file that `save` writes

    options: Options
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
        """Sentences that hold for every row of this engine, the same before and after the posterior is asked for."""
        found = [self.study.fill_note, *self.branch.notes, *range_notes(self.study, self.heldout)]
        if self.branch.at_once and not self.branch.converged:
            found.append(NOT_CONVERGED)
        return tuple(each for each in found if each)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Nothing is refused: averages of held-out scores stand without the posterior."""
        return {}

    @property
    def info(self) -> Mapping[str, Any]:
        """Version of torch, options, the switch taken and the route's diagnostics; what the posterior adds is ``posterior_info``."""
        options = {name: value for name, value in asdict(self.options).items() if name != "checkpoint"}
        return {"torch": version("torch"), "kind": self.branch.kind, "options": options, **self.branch.info}

    @property
    def posterior_info(self) -> Mapping[str, Any]:
        """Of the exact kernel: outcome models and their shares, draws, noise, errors' variance; asks for the posterior."""
        return self.branch.full.info

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
            with threads(1):
                ends = band(self.branch.posterior, x, estimate, std_error, level, self.options.seed)
            found["conf_low"], found["conf_high"] = ends
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
        labels, codes = group_codes(groups, len(x))  # refused before a posterior is made
        with threads(1):
            return averages(self.branch.posterior, x, labels, codes, converged=self.branch.converged)

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
        from hte_bridge.engines.deep.read.diagnostics import (
            diagnostics,  # it fits a linear model to compare with
        )

        info = {**self.info, **self.posterior_info}
        return diagnostics(
            self.study, self.folds, self.heldout, self.branch.kind, info, self.branch.converged
        )

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
        given = self.study.scored.names.covariates
        with threads(1):
            return importance_frame(
                self.branch.posterior, self.branch.structure, self.seen, given, self.options.seed
            )

    def save(self, path: str | Path) -> Path:
        """Write the fit as one file of arrays and JSON, without code; ``DeepFit.load`` reads it."""
        return save.write(self.options, self.study, self.folds, self.branch, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> DeepFit:
        """Read a fit that ``save`` wrote; its predictions are the same, bit for bit."""
        options, study, folds, branch = save.read(Path(path))
        return cls(Deep(**options), study, folds, branch)

    def encode(self, new: Any) -> Array:
        """Filled covariates (m, q) of new rows."""
        return self._seen.encode(new)

    @cached_property
    def _seen(self) -> Seen:
        if self.branch.kind == "stream":
            from hte_bridge.engines.deep.route_stream import sampled

            return sampled(self.study, self.folds, self.options)[2]
        return Seen.of(self.study, self.folds)

    @property
    def seen(self) -> Study:
        """The study as the engine sees it (``canonical.py``)."""
        return self._seen.study
