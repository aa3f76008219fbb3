"""Seeded designs with a known effect: cross-sections and panels, each citing its paper."""

from __future__ import annotations

from hte_bridge.simulate.covariates import incomes, regions, survey
from hte_bridge.simulate.cross_section import (
    athey_imbens,
    clustered,
    dense,
    doubleml_heterogeneous,
    farrell_liang_misra,
    grf_table1,
    grf_table3,
    hahn_murray_carvalho,
    long_tails,
    nie_wager,
    uneven_errors,
    villages,
    wager_athey_28,
)
from hte_bridge.simulate.edges import one_step, steps, trees
from hte_bridge.simulate.outcomes import dose, limited
from hte_bridge.simulate.sample import CrossSection

__all__ = [
    "CrossSection",
    "athey_imbens",
    "clustered",
    "dense",
    "dose",
    "doubleml_heterogeneous",
    "farrell_liang_misra",
    "grf_table1",
    "grf_table3",
    "hahn_murray_carvalho",
    "incomes",
    "limited",
    "long_tails",
    "nie_wager",
    "one_step",
    "regions",
    "steps",
    "survey",
    "trees",
    "uneven_errors",
    "villages",
    "wager_athey_28",
]
