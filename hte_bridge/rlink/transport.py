"""Messages between the two processes: JSON through a socket, columns through shared memory.

A message is the length of its header (8 bytes), the header (JSON), and at most one file descriptor of a memory
file that holds all columns, each a plain Fortran-order block. The memory file has no name: when both ends have
closed it, or died, it is gone. This module needs the standard library alone, so that the worker stays small.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import socket
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

LENGTH = struct.Struct("<Q")
WIDTH = {"d": 8, "i": 4, "?": 4}  # double, integer, and R's logical: an integer of 0, 1 or NA
ALIGNMENT = 64


class Disconnected(ConnectionError):
    """The other end is gone."""


@dataclass(frozen=True, eq=False)
class Column:
    """A block of numbers of one kind: ``"d"`` double, ``"i"`` 32-bit integer, ``"?"`` logical as integer.

    Examples
    --------
    >>> Column("d", (2, 3), memoryview(bytes(48))).n_bytes
    48
    """

    kind: str
    shape: tuple[int, ...]
    buffer: memoryview[Any]

    @property
    def n_bytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * WIDTH[self.kind]

    @property
    def values(self) -> memoryview[Any]:
        """The buffer, flat, as numbers."""
        return self.buffer.cast("d" if self.kind == "d" else "i")


def send(channel: socket.socket, header: dict[str, Any], columns: Sequence[Column] = ()) -> None:
    """Send one message.

    Raises
    ------
    Disconnected
        If the other end is gone.
    """
    places: list[dict[str, Any]] = []
    total = 0
    for column in columns:
        places.append({"kind": column.kind, "shape": column.shape, "offset": total})
        total += -(-column.n_bytes // ALIGNMENT) * ALIGNMENT
    text = json.dumps({**header, "columns": places, "bytes": total}).encode()
    try:
        if not total:
            channel.sendall(LENGTH.pack(len(text)) + text)
            return
        handle = _memory_file(total)
        try:
            with mmap.mmap(handle, total) as block:
                for column, place in zip(columns, places, strict=True):
                    if column.n_bytes:
                        start = place["offset"]
                        block[start : start + column.n_bytes] = column.buffer.cast("B")
            socket.send_fds(channel, [LENGTH.pack(len(text))], [handle])
        finally:
            os.close(handle)
        channel.sendall(text)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Disconnected from error


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[Column]]:
    """Wait for one message; its columns are read-only views of the memory file.

    Raises
    ------
    Disconnected
        If the other end is gone.
    """
    prefix, handles = _prefix(channel)
    header = json.loads(_exactly(channel, LENGTH.unpack(prefix)[0]))
    if not handles:
        empty = memoryview(b"")
        return header, [Column(c["kind"], tuple(c["shape"]), empty) for c in header["columns"]]
    try:
        block = memoryview(mmap.mmap(handles[0], header["bytes"], prot=mmap.PROT_READ))
    finally:
        os.close(handles[0])
    columns = []
    for place in header["columns"]:
        shape = tuple(place["shape"])
        size = prod(shape) * WIDTH[place["kind"]]
        columns.append(Column(place["kind"], shape, block[place["offset"] : place["offset"] + size]))
    return header, columns


def _memory_file(size: int) -> int:
    """Descriptor of ``size`` bytes of memory without a name."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("hte_bridge")
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    os.ftruncate(handle, size)
    return handle


def await_input(reader: int, seconds: float | None = None) -> None:
    """Wait for a file descriptor so that Ctrl-C is heard; for ever, unless told how many ``seconds``.

    polars, which pyfixest uses, puts a handler of SIGINT with SA_RESTART before Python's: from the first regression on a read goes on
    through the signal, to the end of the forest that it waits for; a poll does not.

    Raises
    ------
    TimeoutError
        If nothing has come in that time.
    """
    if hasattr(select, "poll"):
        waiting = select.poll()
        waiting.register(reader, select.POLLIN)
        if not waiting.poll(None if seconds is None else 1000 * seconds):
            raise TimeoutError


def _prefix(channel: socket.socket) -> tuple[bytes, list[int]]:
    """The length, and the descriptor that travels with its first byte."""
    await_input(channel.fileno(), channel.gettimeout())
    try:
        text, handles, _, _ = socket.recv_fds(channel, LENGTH.size, 1)
    except ConnectionResetError as error:
        raise Disconnected from error
    if not text:
        raise Disconnected
    return text + _exactly(channel, LENGTH.size - len(text)), handles


def _exactly(channel: socket.socket, size: int) -> bytes:
    """``size`` bytes."""
    parts = []
    while size:
        try:
            part = channel.recv(min(size, 1 << 20))
        except ConnectionResetError as error:
            raise Disconnected from error
        if not part:
            raise Disconnected
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
