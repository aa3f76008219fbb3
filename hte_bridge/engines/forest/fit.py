"""The causal forest of the R package grf, grown by grf itself in R's own process, and what a grown one answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.engine import HeldOut
from hte_bridge.engines.forest import file
from hte_bridge.engines.forest.options import Options
from hte_bridge.engines.forest.panel import Rounds
from hte_bridge.engines.forest.rounds import grow
from hte_bridge.engines.forest.units import Units, nuisance
from hte_bridge.engines.trends import doubts
from hte_bridge.errors import InvalidOption
from hte_bridge.predicting import Predicts
from hte_bridge.rlink import client, memory, versions
from hte_bridge.rlink.kept import Kept
from hte_bridge.shown import Fitted
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, interval

POINTWISE = (
    "the pointwise interval of grf's cate contains sampling noise only, not the forest's bias: it covers less than "
    "it says where effects vary"
)
PENALISED = (
    "grf's imbalance penalty is no share but a number: it holds for the outcome times 2^{0.outcome} and the treatment "
    "times 2^{0.treatment}, as which the forest was grown"
)
EQUALISED = "trees weigh clusters equally (equalize_cluster_weights); the rows average over units"


@dataclass(frozen=True, eq=False)
class CausalForest(Options):
    """``grf::causal_forest``, option for option, with R's defaults.

    Clusters, weights and a known propensity come from the study. With ``controls`` in it the forest grows on the covariates alone, its
    ``Y.hat`` and ``W.hat`` being those of ``regression_forest(cbind(X, controls), ...)`` with as many trees and the same seed. Athey, Tibshirani and Wager (2019), Annals of
    Statistics 47(2).

    Parameters
    ----------
    num_trees : int, default 2000
    sample_fraction : float, default 0.5
        Share of the rows (clusters) behind each tree; at most 0.5 where ``ci_group_size`` is 2 or more.
    mtry : int, optional
        Covariates tried at a split; grf's default is min(ceil(sqrt(p) + 20), p).
    min_node_size : int, default 5
    honesty : bool, default True
    honesty_fraction : float, default 0.5
        Share of a tree's rows that choose its splits.
    honesty_prune_leaves : bool, default True
    alpha : float, default 0.05
        Smallest share of a node that a child may have.
    imbalance_penalty : float, default 0
    stabilize_splits : bool, default True
        Treatment counts when the balance of a split is judged.
    ci_group_size : int, default 2
        Trees per subsample; with 1 there are no variances, and no intervals of ``cate``.
    equalize_cluster_weights : bool, default False
    tune_parameters : "none", "all" or tuple of str
        Parameters, under grf's names, chosen by cross-validation.
    tune_num_trees, tune_num_reps, tune_num_draws : int
        Size of the tuning: 200, 50, 1000.
    outcome_mean, propensity : float or array (n,), optional
        E[Y | x] and E[W | x] estimated elsewhere (grf's ``Y.hat`` and ``W.hat``), held out, in the study's order.
    num_threads : int, optional
        All processors by default (``OMP_NUM_THREADS`` if set); the numbers do not depend on it.
    seed : int, default 0
        Same seed, grf and compiler: same numbers.
    label : str, optional
        Name in the table; ``"grf"`` by default.
    memory_override : bool, default False
        Grow the forest even if the forecast says that it will not fit.

    Raises
    ------
    InvalidOption
        If an option is outside what it may be.

    Examples
    --------
    >>> from hte_bridge import CausalForest
    >>> CausalForest(num_trees=500, seed=1).name
    'grf'
    """

    def made_by(self) -> dict[str, str]:
        """Versions on which the numbers depend."""
        return client.made_by("grf")

    def fit(self, study: Study, folds: Folds | None = None) -> CausalForestFit:
        """Grow the forest. Out-of-bag predictions stand in for folds: no tree votes on a unit it was grown on.

        Missing covariates go to grf as they are (its splits send them left or right).

        Raises
        ------
        InvalidOption
            If a nuisance handed over does not fit the study, or there are too few trees for its rows.
        RUnavailable
            If R, rpy2 or grf is missing, with the command that mends it.
        RError, RWorkerDied
            If R stops, or its process ends.
        NotEnoughMemory
            If the forest is forecast not to fit.
        """
        if study.fixed_effects.shape[1]:
            return self._fit_within(study)
        units = Units.of(study)
        arrays = self._arrays(study, units)
        forest = Kept("forest_grow", arrays, self._options(study))
        self._check_memory(arrays)
        made = forest.make()
        return CausalForestFit(
            self, study, self._heldout(made, units), forest, self._info(made, units), units
        )

    def _fit_within(self, study: Study) -> CausalForestFit:
        """Rounds of forests within fixed effects, the last with all trees; see ``forest.panel``."""
        given = [name for name in ("outcome_mean", "propensity") if getattr(self, name) is not None]
        if given:
            raise InvalidOption(
                f"`{given[0]}` must be left out where the study has fixed effects: it holds the effects, and rounds of forests find it. "
                f"It was given. Leave it out, or hand the columns to hb.Given."
            )
        rounds = Rounds()
        self._check_memory(self._arrays(study, Units.of(study)), memory.COPIES_WITHIN)
        options = {**self.grf_options, "names": list(study.names.covariates)}
        rounded = grow(study, options, rounds)
        forest = Kept("forest_grow", rounded.arrays, options)
        made = forest.make()
        cate = self._heldout(made, rounded.units).cate
        info = self._info(made, rounded.units) | {"within": rounded.info(cate)}
        return CausalForestFit(self, study, rounded.heldout(cate), forest, info, rounded.units, rounded.note)

    def _check_memory(self, arrays: Mapping[str, Any], copies: float = memory.COPIES) -> None:
        if self.memory_override:
            return
        options = self.grf_options
        sized = {each: options[each] for each in ("min.node.size", "sample.fraction", "num.threads", "seed")}
        memory.check(arrays["X"], arrays["Y"], arrays["W"], self.num_trees, sized, copies)

    def _arrays(self, study: Study, units: Units) -> dict[str, Any]:
        """Columns that grf is given, outcome and dose in units that it can tell from zero."""
        if self.equalize_cluster_weights and study.weighted:
            raise InvalidOption(
                "`equalize_cluster_weights` must be False where the study has weights: grf takes one or the other. "
                f"The study is weighted by `{study.names.weight}`. Leave one of them out."
            )
        if self.propensity is not None and study.propensity is not None:
            raise InvalidOption(
                "`propensity` must be given once. The study knows it, and the engine was given another. Leave the "
                "engine's out."
            )
        known = (
            study.propensity
            if study.propensity is not None
            else nuisance("propensity", self.propensity, study)
        )
        mean = nuisance("outcome_mean", self.outcome_mean, study)
        return {
            "X": study.covariates,
            "Y": units.given(study.outcome),
            "W": units.given_treatment(study.treatment),
            "clusters": study.cluster + 1 if study.clustered else None,  # grf takes whole numbers only
            "sample.weights": study.weight if study.weighted else None,
            "Y.hat": None if mean is None else units.given(mean),
            "W.hat": None if known is None else units.given_treatment(known),
            "controls": study.controls,
        }

    def _options(self, study: Study) -> dict[str, Any]:
        return {**self.grf_options, "names": list(study.names.covariates), "dose": not study.binary}

    def _heldout(self, made: Mapping[str, Any], units: Units) -> HeldOut:
        alone = sum(int(np.isnan(made[name]).sum()) for name in ("cate", "outcome_mean", "propensity"))
        if alone:
            raise InvalidOption(
                f"`num_trees` must be large enough that each unit is left out by some tree. With {self.num_trees:,} "
                f"trees {alone:,} out-of-bag predictions are missing. Grow more trees."
            )
        return units.heldout(made)

    def _info(self, made: Mapping[str, Any], units: Units) -> dict[str, Any]:
        options = {
            name: "given" if name in ("outcome_mean", "propensity") and value is not None else value
            for name, value in ((each.name, getattr(self, each.name)) for each in fields(self))
        }
        info = {"seed": int(self.seed), "options": options, "cate": POINTWISE, **client.record("grf")}
        moved = {"powers_of_two": asdict(units)} if units.moved else {}
        return info | moved | ({"tuned": made["tuned"]} if made["tuned"] else {})


@dataclass(frozen=True, eq=False, repr=False)
class CausalForestFit(Predicts, Fitted):
    """A grown forest: held-out predictions here, the trees in R.

    The trees are grown again from the same seed, to the same numbers, where R's process has ended meanwhile or the
    fit was pickled.

    Attributes
    ----------
    heldout : HeldOut
        Out-of-bag; within fixed effects where the study has some.
    variance : array (n,)
        Out-of-bag variance of ``heldout.cate``.
    """

    ending: ClassVar[str] = ".rds"  # of the file that `save` writes
    out_of_bag: ClassVar[bool] = True  # no fold made its held-out predictions

    options: CausalForest
    study: Study
    heldout: HeldOut
    forest: Kept = field(repr=False)
    info: Mapping[str, Any] = field(default_factory=dict)
    units: Units = field(default_factory=Units)
    unsettled: str = ""
    reasons: ClassVar[Mapping[str, str]] = {}  # no estimand that its scores cannot answer

    @property
    def engine(self) -> str:
        """Name in the table's column ``engine``."""
        return self.options.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What holds for every row."""
        options = self.options
        equalised = options.equalize_cluster_weights and self.study.clustered
        penalised = options.imbalance_penalty or options.tune_parameters != "none"
        found = (
            EQUALISED if equalised else "",
            self.unsettled,
            *self._doubts,
            PENALISED.format(self.units) if self.units.moved and penalised else "",
            versions.unlike_pinned("grf", self.info["grf"]) if "grf" in self.info else "",
        )
        return tuple(each for each in found if each)

    @cached_property
    def _doubts(self) -> tuple[str, ...]:
        return doubts(self.study)

    def rows(self, level: float) -> list[Estimate]:
        """None: all rows of a forest are made from its scores."""
        return []

    @cached_property
    def variance(self) -> Array:
        """Out-of-bag variance (n,) of the held-out cate; NaN where ``ci_group_size`` is 1 or grf finds none."""
        return self.units.effect(self._predict(None)[1], power=2)

    @cached_property
    def importance(self) -> Array:
        """How often each covariate (p,) was split on, weighted by depth (``grf::variable_importance``)."""
        return np.atleast_1d(self.forest.call("forest_importance"))

    def cate(self, new: Any, level: float = 0.95) -> pd.DataFrame:
        """Effect at new rows: ``estimate std_error conf_low conf_high``, index of ``new``.

        The interval is normal with grf's variance, which contains sampling noise only, no bias. Where grf finds no
        variance at all, as all its trees agree, there is none: that is no certainty.

        Parameters
        ----------
        new : frame or path
            With the covariates of the study.
        level : float, default 0.95

        Raises
        ------
        InvalidNewData
            If a covariate is missing, of another type, or has an unseen level.
        """
        frame = self.study.encoder.frame(new)
        estimate, variance = self._predict(self.study.encoder.transform(frame))
        estimate, std_error = self.units.effect(estimate), self.units.effect(np.sqrt(variance))
        columns = {"estimate": estimate, "std_error": std_error}
        low, high = interval(estimate, std_error, level)
        table = pd.DataFrame({**columns, "conf_low": low, "conf_high": high}, index=frame.index)
        table.attrs["note"] = POINTWISE + self._without(std_error)
        return table

    def _without(self, std_error: Array) -> str:
        """How many rows have no error, where some should."""
        none = int(np.isnan(std_error).sum()) if self.options.ci_group_size > 1 else 0
        said = f"; {none:,} of {len(std_error):,} rows have no interval: grf finds no variance there"
        return said if none else ""

    def _predict(self, covariates: Array | None) -> tuple[Array, Array]:
        """Effect and its variance at rows (m, p), in the forest's units; out of bag for ``None``."""
        told = self.options.ci_group_size > 1
        options = {"num.threads": self.options.num_threads or client.threads(), "variance": told}
        said = self.forest.call("forest_predict", {"X": covariates}, options)
        estimate = np.atleast_1d(said["estimate"])
        variance = np.atleast_1d(said["variance"]) if told else np.full(len(estimate), np.nan)
        return estimate, np.where(variance > 0, variance, np.nan)  # trees that agree are no certainty

    def save(self, path: str | Path) -> Path:
        """Write the forest as R's own file (``.rds``) with a checksum: ``readRDS`` gives a grf forest, ``load`` this fit.

        Its outcome and treatment are in the forest's units: multiplied by powers of two where ``units`` says so.

        Raises
        ------
        UnwritableFolder
            If the folder cannot be written; nothing half-written stays.
        """
        own = (self.study, self.heldout, self.forest, self.info, self.units, self.unsettled)
        return file.save(file.Grown(self.options, *own), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> CausalForestFit:
        """Read what ``save`` wrote; predicts the same numbers.

        R's ``readRDS`` runs code that a file holds: in R, read forests only from whom you trust. Here a file that holds more
        than numbers, text and lists never reaches R.

        Raises
        ------
        UnreadableFile
            If the file is missing, damaged, foreign, of another format, or holds what R could run.
        """
        grown = file.load(Path(path))
        own = (grown.study, grown.heldout, grown.forest, grown.info, grown.units, grown.unsettled)
        return cls(CausalForest(**grown.given), *own)
