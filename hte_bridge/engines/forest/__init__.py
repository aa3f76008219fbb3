"""The causal forest of the R package grf: options, fit, file; units that grf can tell from zero; rounds within fixed effects."""

from hte_bridge.engines.forest.fit import CausalForest, CausalForestFit

__all__ = ["CausalForest", "CausalForestFit"]
