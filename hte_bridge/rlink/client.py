"""Our side of the bridge: one warm worker per process, and calls of R functions in it."""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import threading
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hte_bridge.cores import cores
from hte_bridge.errors import RError, RUnavailable, RWarning
from hte_bridge.rlink import versions
from hte_bridge.rlink.process import DiedIdle, Worker
from hte_bridge.rlink.transport import Column

NA_INTEGER = -(2**31)  # R's NA for integers and logicals


class _Link:
    """The worker of this process, and the lock that lets one thread at a time speak to it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.worker: Worker | None = None

    def running(self) -> Worker:
        """The worker; a new one if there is none, or it died."""
        with self.lock:
            if self.worker is not None and not self.worker.alive:
                self.end()
            if self.worker is None:
                self.worker = Worker.start()
            return self.worker

    def end(self) -> None:
        """End the worker, if there is one."""
        with self.lock:
            if self.worker is not None:
                self.worker.end()
                self.worker = None


_link = _Link()


def _after_fork() -> None:
    global _link
    if _link.worker is not None:
        _link.worker.disown()
    _link = _Link()  # a lock that another thread held would never be released here


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def shutdown() -> None:
    """End R; the next call starts it anew."""
    _link.end()


def worker() -> Worker:
    """The running worker, started if need be.

    Raises
    ------
    RUnavailable
        If R or rpy2 is missing, broken or too old.
    """
    return _link.running()


class Gone(Exception):
    """An object was kept in a worker that is no more."""


def call(
    function: str,
    arrays: Mapping[str, npt.ArrayLike | None] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    number: int | None = None,
) -> Any:
    """Call a function of the R files in this folder.

    Parameters
    ----------
    function : str
        Its name.
    arrays : mapping of str to array
        Arguments that travel through shared memory: numbers or booleans of any shape; ``None`` is R's NULL.
    options : mapping
        Further arguments: what JSON can hold. A list of one kind becomes a vector, a mapping a named list.
    number : int, optional
        The call needs objects kept in the worker of this number.

    Returns
    -------
    value
        Vectors and matrices as arrays (read-only), single values as Python's, lists as dict or list.

    Raises
    ------
    RError
        If R stops with an error, with its message and call.
    RUnavailable
        If R, rpy2 or an R package is missing.
    RWorkerDied
        If R's process ends before it answers; the next call starts another.
    Gone
        If the worker of that number is no more.

    Warns
    -----
    RWarning
        Once for each distinct warning of R.
    """
    return call_in(function, arrays, options, number=number)[0]


def call_in(
    function: str,
    arrays: Mapping[str, npt.ArrayLike | None] | None,
    options: Mapping[str, Any] | None,
    *,
    number: int | None = None,
) -> tuple[Any, Worker]:
    """As ``call``, with the worker that answered."""
    columns: list[Column] = []
    arguments: dict[str, Any] = {name: _pack(value, columns) for name, value in (arrays or {}).items()}
    arguments |= dict(options or {})
    with _link.lock:
        try:
            running, (reply, results) = _ask(function, arguments, columns, number)
        except DiedIdle:
            running, (reply, results) = _ask(function, arguments, columns, number)
    for sentence in reply.get("warnings") or []:
        warnings.warn(RWarning(sentence), stacklevel=3)
    if reply.get("package"):
        raise versions.missing_package(reply["package"], running.hello["libraries"])
    if "error" in reply:
        raise RError(reply["error"], reply["call"] or function)
    return _unpack(reply["value"], results), running


def _ask(
    function: str, arguments: dict[str, Any], columns: list[Column], number: int | None
) -> tuple[Worker, tuple[Any, list[Column]]]:
    running = _link.running()
    if number is not None and number != running.number:
        raise Gone
    return running, running.request(function, arguments, columns)


def threads() -> int:
    """Threads for R: the processors that are ours."""
    return cores()


def record(package: str) -> dict[str, str]:
    """Versions that numbers of an R package depend on: its own, its compiler's, R's; and rpy2's, where it is the bridge."""
    version = call("package_versions", options={"packages": [package]})[package]
    file = call("compiled_file", options={"package": package})
    found = {
        package: version,
        "R": worker().hello["r"],
        "compiler": versions.compiler(file) if file else "",
    }
    inside = worker().hello.get("bridge") == "rpy2"  # an R session that asks is its own bridge
    return found | ({"rpy2": importlib.metadata.version("rpy2")} if inside else {})


def made_by(package: str) -> dict[str, str]:
    """As ``record``; what is wrong where R cannot start."""
    try:
        return record(package)
    except RUnavailable as error:
        return {"R": str(error)}


def _pack(value: npt.ArrayLike | None, columns: list[Column]) -> dict[str, int] | None:
    """Append an array to ``columns``; its place."""
    if value is None:
        return None
    array = np.asarray(value)
    kind = "?" if array.dtype == bool else "d"
    small = array.dtype.kind in "iu" and (not array.size or np.abs(array).max() < 2**31)
    kind = "i" if small else kind
    flat: Any = array.astype(np.float64 if kind == "d" else np.int32, copy=False).ravel(order="F")
    columns.append(Column(kind, array.shape, memoryview(flat) if flat.size else memoryview(b"")))
    return {"$column": len(columns) - 1}


def _unpack(value: Any, columns: list[Column]) -> Any:
    """The answer with arrays in their places."""
    if isinstance(value, dict):
        if "$column" in value:
            return _array(columns[value["$column"]])
        return {name: _unpack(each, columns) for name, each in value.items()}
    return [_unpack(each, columns) for each in value] if isinstance(value, list) else value


def _array(column: Column) -> npt.NDArray[Any]:
    """A column as array, without a copy where R knows no NA of that kind; NA is NaN."""
    dtype = np.float64 if column.kind == "d" else np.int32
    array = np.frombuffer(column.buffer, dtype=dtype).reshape(column.shape, order="F")
    if column.kind == "d":
        return array
    missing = array == NA_INTEGER
    if missing.any():
        return np.where(missing, np.nan, array)
    return array.astype(bool) if column.kind == "?" else array
