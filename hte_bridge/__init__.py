"""Heterogeneous treatment effects from feols, grf and a deep estimator in one table.

Importing this package starts neither R nor torch: names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_HOMES = {
    "Study": "study",
    "Folds": "study",
    "HeldOut": "engine",
    "compare": "comparing",
    "compare_outcomes": "outcomes",
    "Comparison": "comparison",
    "Adoption": "adoption",
    "AdoptionComparison": "staggered.comparison",
    "ArmsComparison": "comparing_arms",
    "ArmsStudy": "several_arms",
    "Table": "table",
    "Estimate": "table",
    "Feols": "engines.feols",
    "CausalForest": "engines.forest",
    "Deep": "engines.deep",
    "Meta": "engines.meta",
    "Stack": "engines.stack",
    "Econml": "engines.econml",
    "Given": "engines.given",
    "arms": "estimands.arms",
    "explain_gap": "between.explain_gap",
    "load": "saved.read",
    "datagrid": "predicting",
    "coverage": "between.coverage",
    "CausalForestFit": "engines.forest",
    "DeepFit": "engines.deep",
}

__all__ = [
    "Adoption",
    "AdoptionComparison",
    "ArmsComparison",
    "ArmsStudy",
    "CausalForest",
    "CausalForestFit",
    "Comparison",
    "Deep",
    "DeepFit",
    "Econml",
    "Estimate",
    "Feols",
    "Folds",
    "Given",
    "HeldOut",
    "Meta",
    "Stack",
    "Study",
    "Table",
    "arms",
    "compare",
    "compare_outcomes",
    "coverage",
    "datagrid",
    "explain_gap",
    "load",
]


_ROOMS = (
    "errors",
    "plot",
    "simulate",
)  # modules that are there without an import of their own, loaded when first used


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"hte_bridge.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'hte_bridge' has no attribute {name!r}")
    value = getattr(import_module(f"hte_bridge.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *_ROOMS, "__version__"]


if TYPE_CHECKING:
    from hte_bridge import errors as errors
    from hte_bridge import plot as plot
    from hte_bridge import simulate as simulate
    from hte_bridge.adoption import Adoption
    from hte_bridge.between.coverage import coverage
    from hte_bridge.between.explain_gap import explain_gap
    from hte_bridge.comparing import compare
    from hte_bridge.comparing_arms import ArmsComparison
    from hte_bridge.comparison import Comparison
    from hte_bridge.engine import HeldOut
    from hte_bridge.engines.deep import Deep, DeepFit
    from hte_bridge.engines.econml import Econml
    from hte_bridge.engines.feols import Feols
    from hte_bridge.engines.forest import CausalForest, CausalForestFit
    from hte_bridge.engines.given import Given
    from hte_bridge.engines.meta import Meta
    from hte_bridge.engines.stack import Stack
    from hte_bridge.estimands.arms import arms
    from hte_bridge.outcomes import compare_outcomes
    from hte_bridge.predicting import datagrid
    from hte_bridge.saved.read import load
    from hte_bridge.several_arms import ArmsStudy
    from hte_bridge.staggered.comparison import AdoptionComparison
    from hte_bridge.study import Folds, Study
    from hte_bridge.table import Estimate, Table
