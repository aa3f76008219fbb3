"""The causal forest of the R package grf, grown by grf itself in R's own process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hte_bridge.engine import HeldOut
from hte_bridge.engines.forest_fit import POINTWISE, CausalForestFit
from hte_bridge.engines.forest_panel import Rounds
from hte_bridge.engines.forest_rounds import grow
from hte_bridge.engines.forest_units import Units, nuisance
from hte_bridge.errors import InvalidOption
from hte_bridge.options import between, whole
from hte_bridge.rlink import client, memory
from hte_bridge.rlink.kept import Kept
from hte_bridge.study import Folds, Study

Array = npt.NDArray[np.float64]
Tunable = Literal[
    "sample.fraction",
    "mtry",
    "min.node.size",
    "honesty.fraction",
    "honesty.prune.leaves",
    "alpha",
    "imbalance.penalty",
]
TUNABLE = Tunable.__args__  # type: ignore[attr-defined]
OURS = {"outcome_mean", "propensity", "label", "memory_override", "num_threads"}  # not handed to grf by name
TUNING = ("tune_num_trees", "tune_num_reps", "tune_num_draws")
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, eq=False)
class CausalForest:
    """``grf::causal_forest``, option for option, with R's defaults.

    Clusters, weights and a known propensity come from the study. Athey, Tibshirani and Wager (2019), Annals of
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
    >>> CausalForest(num_trees=500, seed=1).name
    'grf'
    """

    num_trees: int = 2000
    sample_fraction: float = 0.5
    mtry: int | None = None
    min_node_size: int = 5
    honesty: bool = True
    honesty_fraction: float = 0.5
    honesty_prune_leaves: bool = True
    alpha: float = 0.05
    imbalance_penalty: float = 0.0
    stabilize_splits: bool = True
    ci_group_size: int = 2
    equalize_cluster_weights: bool = False
    tune_parameters: Literal["none", "all"] | tuple[Tunable, ...] = "none"
    tune_num_trees: int = 200
    tune_num_reps: int = 50
    tune_num_draws: int = 1000
    outcome_mean: float | npt.ArrayLike | None = None
    propensity: float | npt.ArrayLike | None = None
    num_threads: int | None = None
    seed: int = 0
    label: str | None = None
    memory_override: bool = False

    def __post_init__(self) -> None:
        for name in ("num_trees", "min_node_size", "ci_group_size", *TUNING):
            whole(name, getattr(self, name))
        whole("seed", self.seed, 0, LARGEST_SEED)
        for name in ("mtry", "num_threads"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name))
        most = 0.5 if self.ci_group_size > 1 else 1.0
        spans = {
            "sample_fraction": (0, most, f"above 0 and at most {most:g}", (False, True)),
            "honesty_fraction": (0, 1, "strictly between 0 and 1", (False, False)),
            "alpha": (0, 0.5, "at least 0 and below 0.5", (True, False)),
            "imbalance_penalty": (0, np.inf, "at least 0 and finite", (True, False)),
        }
        for name, span in spans.items():
            between(name, getattr(self, name), *span)
        for name in ("honesty", "honesty_prune_leaves", "stabilize_splits", "equalize_cluster_weights"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidOption(f"`{name}` must be True or False. {getattr(self, name)!r} was given.")
        self._check_tuning()

    def _check_tuning(self) -> None:
        if self.tune_parameters in ("none", "all"):
            return
        given = (self.tune_parameters,) if isinstance(self.tune_parameters, str) else self.tune_parameters
        unknown = [each for each in given if each not in TUNABLE]
        if unknown or not given:
            raise InvalidOption(
                f"`tune_parameters` must be 'none', 'all' or a tuple of {', '.join(TUNABLE)}. "
                f"{unknown[0] if unknown else given!r} was given. Choose among these."
            )

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""
        return self.label or "grf"

    @property
    def grf_options(self) -> dict[str, Any]:
        """Options under grf's names, as JSON holds them."""
        options = {
            each.name.replace("_", "."): getattr(self, each.name)
            for each in fields(self)
            if each.name not in OURS
        }
        tuned = options["tune.parameters"]
        options["tune.parameters"] = tuned if isinstance(tuned, str) else list(tuned)
        return {**options, "num.threads": self.num_threads or client.threads()}

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
        """Rounds of forests within fixed effects, the last with all trees; see ``forest_panel``."""
        given = [name for name in ("outcome_mean", "propensity") if getattr(self, name) is not None]
        if given:
            raise InvalidOption(
                f"`{given[0]}` must be left out where the study has fixed effects: it holds the effects, and rounds of forests find it. "
                f"It was given. Leave it out, or hand the columns to hb.Given."
            )
        rounds = Rounds()
        self._check_memory(self._arrays(study, Units.of(study)), beside=2 * rounds.trees(self.num_trees))
        options = {**self.grf_options, "names": list(study.names.covariates)}
        rounded = grow(study, options, rounds)
        forest = Kept("forest_grow", rounded.arrays, options)
        made = forest.make()
        cate = self._heldout(made, rounded.units).cate
        info = self._info(made, rounded.units) | {"within": rounded.info(cate)}
        return CausalForestFit(self, study, rounded.heldout(cate), forest, info, rounded.units, rounded.note)

    def _check_memory(self, arrays: Mapping[str, Any], beside: int = 0) -> None:
        if self.memory_override:
            return
        options = self.grf_options
        sized = {each: options[each] for each in ("min.node.size", "sample.fraction", "num.threads", "seed")}
        memory.check(arrays["X"], arrays["Y"], arrays["W"], self.num_trees, sized, beside)

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
