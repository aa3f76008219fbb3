"""Options of the causal forest, under grf's names and with its defaults, and what each may be."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hte_bridge.errors import InvalidOption
from hte_bridge.options import between, whole
from hte_bridge.rlink import client

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
class Options:
    """What ``CausalForest`` may be told; said there one by one."""

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
