"""How many processors are ours to use."""

from __future__ import annotations

import os


def cores() -> int:
    """Processors that this process may use, or OMP_NUM_THREADS if less (a joblib worker's share)."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(usable, int(limit))) if limit.isdigit() else usable
