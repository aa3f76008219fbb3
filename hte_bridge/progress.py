"""Progress bars that name the step: tqdm on a terminal, silence elsewhere."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def on_terminal(stream: Any) -> bool:
    """Whether a stream shows on a terminal; one that is missing, closed or no whole stream does not.

    Examples
    --------
    >>> import io
    >>> on_terminal(None), on_terminal(io.StringIO())
    (False, False)
    """
    asked = getattr(stream, "isatty", None)
    return bool(asked is not None and not getattr(stream, "closed", False) and asked())


def _open(stream: Any) -> bool:
    """Whether something written to a stream arrives: not with pythonw, nor in a daemon, whose descriptors are closed."""
    if stream is None or getattr(stream, "closed", False):
        return False
    try:
        os.fstat(stream.fileno())
    except (AttributeError, io.UnsupportedOperation):  # a stream that is no file, as in a notebook
        return True
    except (OSError, ValueError):
        return False
    return True


def wanted() -> bool:
    """Whether bars are shown: `HTE_BRIDGE_PROGRESS` is 1, or unset with a terminal on stderr."""
    setting = os.environ.get("HTE_BRIDGE_PROGRESS")
    return _open(sys.stderr) and (on_terminal(sys.stderr) if setting is None else setting == "1")


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
