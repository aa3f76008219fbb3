"""Our side of the bridge: one warm worker per process, and calls of R functions in it."""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hte_bridge.errors import RError, RUnavailable, RWarning, RWorkerDied
from hte_bridge.rlink import transport, versions
from hte_bridge.rlink.transport import Column, Disconnected

ROOT = Path(__file__).parents[2]
LAST_BYTES = 500
START_SECONDS = 60.0  # R starts in half a second; HTE_BRIDGE_R_SECONDS allows it longer
NA_INTEGER = -(2**31)  # R's NA for integers and logicals
_numbering = count(1)


class _DiedIdle(RWorkerDied):
    """The process had ended before it took the request: asking another is safe."""


@dataclass(eq=False)
class Worker:
    """A running process that holds R; ``number`` tells it from those before it."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    log: IO[bytes]
    hello: dict[str, Any] = field(default_factory=dict)
    drops: deque[str] = field(default_factory=deque)  # handles to forget with the next call
    number: int = field(default_factory=lambda: next(_numbering))

    @classmethod
    def start(cls) -> Worker:
        """Start R and wait until it has said its versions (half a second).

        Raises
        ------
        RUnavailable
            If R or rpy2 is missing, broken or too old, or has not started in time.
        """
        if os.environ.get("HTE_BRIDGE_NO_R"):  # Python serves an R session: R is never started inside R
            raise RUnavailable(
                "R must not be started here: this process serves an R session, which grows forests itself. Ask for the "
                "forest from that session (hte_causal_forest), or unset HTE_BRIDGE_NO_R."
            )
        log = _log()
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-W", "ignore", "-m", "hte_bridge.rlink.worker"]
        with theirs:
            process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C reaches us alone; we then end R
                env=_environment(),
            )
        worker = cls(process, ours, log)
        greeted = False
        try:
            worker.hello = worker._greeting()
            greeted = True
        finally:
            if not greeted:
                worker.end()
        return worker

    def _greeting(self) -> dict[str, Any]:
        patience = _patience()
        self.channel.settimeout(patience)
        try:
            hello = transport.receive(self.channel)[0]
        except Disconnected:
            self.process.wait()
            by = f", by {versions.STARTUP}" if self.process.returncode == 0 else ""
            raise RUnavailable(
                f"R must start. Its process ended at once ({_cause(self.process.returncode)}{by}). {self._last_words()}"
                "See `hte-bridge doctor`."
            ) from None
        except TimeoutError:
            raise RUnavailable(
                f"R must start within {patience:g} seconds. It had not, and was ended. {self._last_words()}Look at {versions.STARTUP}, "
                "and at network drives among R's libraries; HTE_BRIDGE_R_SECONDS allows more time."
            ) from None
        self.channel.settimeout(None)
        if "unavailable" in hello:
            raise versions.cannot_start(hello["unavailable"], hello["said"])
        versions.check(hello["value"])
        return hello["value"]

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def describe(self) -> dict[str, Any]:
        """Version of R, its home, libraries, BLAS and packages."""
        return dict(self.hello)

    def request(
        self, function: str, arguments: dict[str, Any], columns: list[Column]
    ) -> tuple[Any, list[Column]]:
        """Ask, wait and answer; whatever interrupts the waiting (Ctrl-C) ends the worker.

        Raises
        ------
        RWorkerDied
            If the process ends before it answers.
        """
        self.log.seek(0)
        self.log.truncate()  # the log holds what R printed during this call
        drop = [self.drops.popleft() for _ in range(len(self.drops))]
        message = {"function": function, "arguments": arguments, "drop": drop}
        began = answered = False
        try:
            transport.send(self.channel, message, columns)
            transport.receive(self.channel)  # the worker has the request, and begins
            began = True
            reply = transport.receive(self.channel)
            answered = True
            return reply
        except Disconnected:
            raise self._obituary(RWorkerDied if began else _DiedIdle, function) from None
        finally:
            if not answered:
                self.end()

    def _obituary(self, kind: type[RWorkerDied], function: str) -> RWorkerDied:
        self.process.wait()
        return kind(
            f"R must run until it answers. Its process ended during `{function}`: {_cause(self.process.returncode)}. "
            f"{self._last_words()}Call again: a new process is started by itself."
        )

    def _last_words(self) -> str:
        size = self.log.seek(0, os.SEEK_END)
        said = (
            os.pread(self.log.fileno(), LAST_BYTES, max(0, size - LAST_BYTES))
            .decode(errors="replace")
            .strip()
        )
        return f"It last printed: {said} " if said else ""

    def end(self) -> None:
        """End the process and all it started; nothing in it is worth waiting for."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.channel.close()
        self.log.close()
        if self.hello:
            shutil.rmtree(self.hello["temporary"], ignore_errors=True)

    def disown(self) -> None:
        """In a fork's child: close our copies, leave the process to the parent."""
        self.process.returncode = 0  # not our child: nobody to wait for
        self.channel.close()
        self.log.close()


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
        except _DiedIdle:
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
    """Threads for R: the processors this process may use, or OMP_NUM_THREADS if less (a joblib worker's share)."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable, int(limit)) if limit.isdigit() and int(limit) else usable


def record(package: str) -> dict[str, str]:
    """Versions that numbers of an R package depend on: its own, its compiler's, R's; and rpy2's."""
    version = call("package_versions", options={"packages": [package]})[package]
    file = call("compiled_file", options={"package": package})
    return {
        package: version,
        "R": worker().hello["r"],
        "compiler": versions.compiler(file) if file else "",
        "rpy2": importlib.metadata.version("rpy2"),
    }


def _patience() -> float:
    """Seconds that R may take to start."""
    given = os.environ.get("HTE_BRIDGE_R_SECONDS", "")
    try:
        seconds = float(given or START_SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise RUnavailable(
            f"HTE_BRIDGE_R_SECONDS must be the seconds that R may take to start. It is {given!r}. Set it to a number such as "
            "120, or unset it."
        )
    return seconds


def _log() -> IO[bytes]:
    """A file for what R prints."""
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise RUnavailable(
            f"R must have a temporary folder that can be written. None can ({error.strerror or error}). Free some space, or set "
            "TMPDIR to a folder with room."
        ) from error


def _environment() -> dict[str, str]:
    """Ours, with the package importable and our R library first."""

    def first(*parts: str | Path | None) -> str:
        return os.pathsep.join(str(part) for part in parts if part)

    environment = dict(os.environ)
    environment.pop("R_DEFAULT_PACKAGES", None)  # our functions use those that R itself would attach
    environment["PYTHONPATH"] = first(ROOT, environment.get("PYTHONPATH"))
    environment["R_LIBS"] = first(versions.library_path(), environment.get("R_LIBS"))
    return environment


def _cause(code: int) -> str:
    """What an exit status says, in words.

    Examples
    --------
    >>> _cause(0)
    '`quit()` was called in R'
    """
    if code == 0:
        return "`quit()` was called in R"
    if code > 0:
        return f"exit status {code}"
    name = signal.Signals(-code).name
    hints = {
        "SIGKILL": "killed, often because memory ran out: use fewer trees or rows",
        "SIGSEGV": "a crash in compiled code",
        "SIGABRT": "compiled code gave up",
    }
    return f"{name} ({hints[name]})" if name in hints else name


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
