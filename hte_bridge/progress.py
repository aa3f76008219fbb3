"""Progress bars that name the step: tqdm on a terminal and in a notebook, silence elsewhere. One bar at a time, so that no cursor is moved."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sized
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


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, which has no terminal and shows bars all the same."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def wanted() -> bool:
    """Whether bars are shown: `HTE_BRIDGE_PROGRESS` is 1, or unset with a terminal on stderr or in a notebook."""
    setting = os.environ.get("HTE_BRIDGE_PROGRESS")
    shown = on_terminal(sys.stderr) or in_notebook() if setting is None else setting == "1"
    return _open(sys.stderr) and shown


_shown: list[Any] = []  # the bar there is: steps within one of its steps are told at its end


def steps(items: Iterable[Item], name: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items under a bar called ``name``; within another bar's step, as words at the end of that bar.

    Examples
    --------
    >>> list(steps([1, 2], "deep: nuisances"))
    [1, 2]
    """
    if not wanted():
        yield from items
        return
    if _shown:
        yield from _told(items, name, total)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without widgets gets a bar of text, and no warning
        from tqdm.auto import tqdm

        bar = tqdm(items, desc=name, total=total, leave=False, file=sys.stderr)
    _shown.append(bar)
    try:
        yield from bar
    finally:
        _shown.remove(bar)


def _told(items: Iterable[Item], name: str, total: int | None) -> Iterator[Item]:
    """Items whose number stands at the end of the bar that is shown."""
    bar = _shown[0]
    count = total if total is not None else len(items) if isinstance(items, Sized) else None
    for done, item in enumerate(items):
        bar.set_postfix_str(f"{name} {done}/{count}" if count else f"{name} {done}")
        yield item
    bar.set_postfix_str("")
