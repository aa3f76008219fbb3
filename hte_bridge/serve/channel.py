"""Lines of JSON between two processes, and interrupts that leave the line whole."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

CHUNK = 1 << 16
WATCH_SECONDS = 1.0
WAIT_SECONDS = 0.1  # until an interrupt that fell into an import is tried again


class Hangup(Exception):
    """The other end closed the line."""


@dataclass
class Channel:
    """One line of JSON a message, over two file descriptors.

    Bytes are read without Python's own buffering, so that an interrupt between two messages loses none.

    Examples
    --------
    >>> reader, writer = os.pipe()
    >>> channel = Channel(reader, writer)
    >>> channel.send({"id": 1})
    >>> channel.receive()
    {'id': 1}
    >>> os.close(reader), os.close(writer)
    (None, None)
    """

    reader: int
    writer: int
    _unread: bytearray = field(default_factory=bytearray, repr=False)

    def send(self, message: dict[str, Any]) -> None:
        """Write one message; numbers must be finite (``values.encode`` sees to that)."""
        left = memoryview(json.dumps(message, allow_nan=False).encode() + b"\n")
        while left:
            try:
                left = left[os.write(self.writer, left) :]
            except BrokenPipeError as error:
                raise Hangup from error

    def receive(self) -> dict[str, Any]:
        """Wait for one message.

        Raises
        ------
        Hangup
            If the other end closed the line.
        """
        while (end := self._unread.find(b"\n")) < 0:
            chunk = os.read(self.reader, CHUNK)
            if not chunk:
                raise Hangup
            self._unread += chunk
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return dict(json.loads(line))


def take_standard_streams() -> Channel:
    """A channel on stdin and stdout; whatever else prints goes to stderr, where it cannot break a message."""
    reader, writer = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    os.close(empty)
    return Channel(reader, writer)


def importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: torch imported by half cannot be imported again."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


class Interrupts:
    """SIGINT stops the work at hand; between requests it is ignored, so that no message is cut."""

    def __init__(self) -> None:
        self._busy = False
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._busy:
            return
        if importing(frame):
            threading.Timer(WAIT_SECONDS, signal.raise_signal, [signal.SIGINT]).start()
            return
        self._busy = False
        raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Inside, SIGINT raises ``KeyboardInterrupt``."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False


def end_with_parent() -> None:
    """End this process when the one that started it is gone, even in the middle of work."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
