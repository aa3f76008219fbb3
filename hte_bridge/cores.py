"""How many processors are ours to use, and work in several processes that may be replaced."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """Processors that this process may use, or OMP_NUM_THREADS if less (a joblib worker's share)."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(usable, int(limit))) if limit.isdigit() else usable


@contextmanager
def replaceable() -> Iterator[None]:
    """Run the body, in which joblib's processes work, so that one whose memory grew may be replaced.

    loky says so by a warning in the thread that hands out work: where warnings are errors that thread would end, and the body wait for ever.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
        yield
