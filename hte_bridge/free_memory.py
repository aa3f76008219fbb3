"""How many bytes this process may still use."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"))


def available() -> int:
    """Bytes that this process may still use: the machine's, its container's or its own limit's, whichever is least."""
    return max(0, min(psutil.virtual_memory().available, _of_container(), _of_process()))


def _of_container() -> int:
    """What a control group leaves; the largest number where there is none."""
    try:
        limit, used = (file.read_text().strip() for file in CGROUP)
    except OSError:
        return sys.maxsize
    return sys.maxsize if limit == "max" else int(limit) - int(used)


def _of_process() -> int:
    """What limits on address space and on data (``ulimit -v``, ``-d``) leave; the largest number where there are none."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return sys.maxsize
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return sys.maxsize
    counts, page = [int(each) for each in pages.read_text().split()], resource.getpagesize()
    used = {resource.RLIMIT_AS: counts[0] * page, resource.RLIMIT_DATA: counts[5] * page}
    left = [sys.maxsize]
    for which, taken in used.items():
        soft, _ = resource.getrlimit(which)
        if soft != resource.RLIM_INFINITY:
            left.append(soft - taken)
    return min(left)
