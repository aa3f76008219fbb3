"""Progress bars that name the step: tqdm on a terminal, silence elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def wanted() -> bool:
    """Whether bars are shown: `HTE_BRIDGE_PROGRESS` is 1, or unset with a terminal on stderr."""
    if sys.stderr is None or getattr(sys.stderr, "closed", False):  # pythonw, a server without a console
        return False
    setting = os.environ.get("HTE_BRIDGE_PROGRESS")
    if setting is not None:
        return setting == "1"
    asked = getattr(sys.stderr, "isatty", None)  # what stands in for stderr may be no whole stream
    return bool(asked is not None and asked())


def steps(items: Iterable[Item], name: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items under a bar called ``name``.

    Examples
    --------
    >>> list(steps([1, 2], "deep: nuisances"))
    [1, 2]
    """
    if not wanted():
        yield from items
        return
    from tqdm.auto import tqdm

    yield from tqdm(items, desc=name, total=total, leave=False, file=sys.stderr)
