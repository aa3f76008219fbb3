"""Pictures: each function takes axes or makes its own at column width, and returns them."""

from hte_bridge.plot.cates import agreement, cate_against, cate_sorted
from hte_bridge.plot.curves import budget, toc
from hte_bridge.plot.diagnostics import importance, overlap, pairs
from hte_bridge.plot.effects import calibration, coefficients, gates
from hte_bridge.plot.event_times import event_times
from hte_bridge.plot.usual import usual

__all__ = [
    "agreement",
    "budget",
    "calibration",
    "cate_against",
    "cate_sorted",
    "coefficients",
    "event_times",
    "gates",
    "importance",
    "overlap",
    "pairs",
    "toc",
    "usual",
]
