"""The process that holds R, as its parent sees it: started, asked, ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

from hte_bridge.errors import RUnavailable, RWorkerDied
from hte_bridge.rlink import transport, versions
from hte_bridge.rlink.transport import Column, Disconnected

ROOT = Path(__file__).parents[2]
LAST_BYTES = 500
START_SECONDS = 60.0  # R starts in half a second; HTE_BRIDGE_R_SECONDS allows it longer
_numbering = count(1)


class DiedIdle(RWorkerDied):
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
        ours, theirs = _pair()
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

    @property
    def beside(self) -> bool:
        """Whether R is a process of its own, which may outlive this one where that was killed."""
        return self.hello.get("bridge") == "Rscript"

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
            raise self._obituary(RWorkerDied if began else DiedIdle, function) from None
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
        if self.process.poll() is None or self.beside:
            with suppress(ProcessLookupError):
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


def _pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a line, with descriptors above those of the standard streams: where these are closed (a daemon), the first that is
    free would be one of theirs, and the child's own would take its place."""
    import fcntl

    ends = []
    for each in socket.socketpair():
        with each:
            ends.append(socket.socket(fileno=fcntl.fcntl(each.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)))
    return ends[0], ends[1]


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
