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
from typing import Any, NoReturn

from hte_bridge.rlink.transport import await_input

CHUNK = 1 << 16
LONGEST = 1 << 26  # bytes of a line; columns travel in files, so that a longer one is no request
WATCH_SECONDS = 1.0
WAIT_SECONDS = 0.1  # until an interrupt that fell into an import is tried again


class Hangup(Exception):
    """The other end closed the line."""


class Malformed(ValueError):
    """A line that is no message; ``str()`` is a sentence."""


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
    longest: int = LONGEST
    _unread: bytearray = field(default_factory=bytearray, repr=False)

    def send(self, message: dict[str, Any]) -> None:
        """Write one message; numbers must be finite (``values.encode`` sees to that)."""
        self.write(line_of(message))

    def write(self, line: bytes) -> None:
        """Write one line.

        Raises
        ------
        Hangup
            If the other end closed the line.
        """
        left = memoryview(line)
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
        Malformed
            If the line is no message; it is taken off the channel, the next one can be read.
        """
        return message_of(self._line())

    def _line(self) -> bytes:
        searched = dropped = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            if dropped or len(self._unread) > self.longest:
                dropped += len(self._unread)  # to its end, without keeping it
                self._unread.clear()
            searched = len(self._unread)
            await_input(self.reader)
            chunk = os.read(self.reader, CHUNK)
            if not chunk:
                raise Hangup
            self._unread += chunk
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        if dropped + len(line) > self.longest:
            raise Malformed(
                f"A message must be at most {self.longest:,} bytes long. One of {dropped + len(line):,} bytes came. "
                "Send columns as files."
            )
        return line


def line_of(message: dict[str, Any]) -> bytes:
    """A message as a line that any reader of JSON takes: half a surrogate pair or a zero byte in a text becomes ``?``.

    Examples
    --------
    >>> line_of({"message": "ü" + chr(0xD800) + chr(0)})
    b'{"message": "\\xc3\\xbc??"}\\n'
    """
    text = json.dumps(message, allow_nan=False, ensure_ascii=False)
    if "\\u0000" in text:
        text = json.dumps(_without_zeros(message), allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\n"


def _without_zeros(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "?")
    if isinstance(value, dict):
        return {_without_zeros(key): _without_zeros(each) for key, each in value.items()}
    return [_without_zeros(each) for each in value] if isinstance(value, list) else value


def message_of(line: bytes) -> dict[str, Any]:
    """The message on a line.

    Raises
    ------
    Malformed
        If it is not UTF-8, not JSON (which knows no NaN), nested too deeply, or no object.

    Examples
    --------
    >>> message_of(b'{"id": 1}')
    {'id': 1}
    >>> message_of(b'{"id": NaN}')
    Traceback (most recent call last):
    ...
    hte_bridge.serve.channel.Malformed: A message must be one line of JSON in UTF-8. A line of 11 bytes is not: NaN is not JSON.
    """
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Malformed(
            f"A message must be one line of JSON in UTF-8. A line of {len(line):,} bytes is not: {error}."
        ) from error
    if not isinstance(message, dict):
        raise Malformed(
            f"A message must be an object with `id`, `do` and `arguments`. A {type(message).__name__} came."
        )
    return message


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


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
        self._requests = 0
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._busy:
            return
        if importing(frame):
            threading.Timer(WAIT_SECONDS, self._again, [self._requests]).start()
            return
        self._busy = False
        raise KeyboardInterrupt

    def _again(self, request: int) -> None:
        if request == self._requests:  # else it was meant for work that has ended meanwhile
            signal.pthread_kill(
                threading.main_thread().ident or 0, signal.SIGINT
            )  # this thread cannot wake it

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Inside, SIGINT raises ``KeyboardInterrupt``."""
        self._requests += 1
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
