"""What an .rds file holds, looked at before R reads it: R runs code that lies in such a file, so one that holds any is not handed over."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from hte_bridge.errors import UnreadableFile

HEADER = b"X\n" + struct.pack(">i", 2)  # big-endian, of version 2: what `saveRDS(version = 2)` writes
HEADER_BYTES = 14
LISTS, TEXTS, PAIRS, SYMBOL, TEXT = 19, 16, 2, 1, 9
WIDTHS = {10: 4, 13: 4, 14: 8, 15: 16, 24: 1}  # logical, integer, double, complex, raw
NOTHING, AGAIN = 254, 255  # R's NULL; a symbol that was there before
HAS_ATTRIBUTES, HAS_TAG = 0x200, 0x400
DEEPEST = 64  # lists in lists; a forest has five
MOST_UNPACKED, LEAST_UNPACKED = 256, 2**24  # bytes: times the file's, and what any file may have
_word = struct.Struct(">I").unpack_from
_pair = struct.Struct(">II").unpack_from


class NotPlain(Exception):
    """The file holds more than vectors, lists and their attributes, or does not end where it should."""


def check(path: Path) -> None:
    """The file is compressed data of R and holds vectors, lists and attributes alone: nothing that R would run.

    Promises, closures, byte code, environments, calls and external pointers are refused, and lengths that the file does
    not hold. The format: R Internals, section 1.8 (serialization formats).

    Raises
    ------
    UnreadableFile
        If it is not.
    """
    try:
        content = _unpacked(path)
        if content[: len(HEADER)] != HEADER:
            raise NotPlain("another format of R")
        if _item(content, HEADER_BYTES, 0) != len(content):
            raise NotPlain("bytes behind the object")
    except (NotPlain, struct.error, OSError, EOFError, zlib.error, MemoryError) as error:
        raise UnreadableFile(
            f"`{path.name}` must hold numbers, text and lists of them, as `fit.save` writes. It does not ({error}), and R could run "
            "what it holds. Nothing was read."
        ) from error


def _unpacked(path: Path) -> bytes:
    """The first member of a gzip file; what follows it is not R's."""
    most = max(LEAST_UNPACKED, MOST_UNPACKED * path.stat().st_size)
    unpack = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    content = unpack.decompress(path.read_bytes(), most)
    if not unpack.eof:
        raise NotPlain("truncated" if len(content) < most else f"it unpacks to more than {most:,} bytes")
    return content


def _item(content: bytes, at: int, depth: int) -> int:
    """Place behind the item at ``at``."""
    (flags,) = _word(content, at)
    at, kind = at + 4, flags & 0xFF
    if depth > DEEPEST:
        raise NotPlain(f"lists more than {DEEPEST} deep")
    if kind == PAIRS:
        return _pairs(content, at, flags, depth)
    if kind == NOTHING or (kind == AGAIN and flags >> 8):
        return at
    if kind == SYMBOL:
        return _item(content, at, depth + 1)
    (length,) = _word(content, at)
    at += 4
    if kind == TEXT:
        return _within(content, at + (0 if length == 0xFFFFFFFF else length))
    if kind in WIDTHS:
        at = _within(content, at + WIDTHS[kind] * length)
    elif kind in (LISTS, TEXTS):
        at = _children(content, at, length, depth + 1)
    else:
        raise NotPlain(f"an object of R's type {kind}")
    return _item(content, at, depth + 1) if flags & HAS_ATTRIBUTES else at


def _children(content: bytes, at: int, length: int, depth: int) -> int:
    """Behind the items of a list; short vectors without attributes, of which a forest has millions, are stepped over here."""
    size = len(content)
    for _ in range(length):
        flags, count = _pair(content, at)
        width = WIDTHS.get(flags)
        if width is None:
            at = _item(content, at, depth)
        else:
            at += 8 + width * count
            if at > size:
                raise NotPlain("truncated")
    return at


def _pairs(content: bytes, at: int, flags: int, depth: int) -> int:
    """Behind a pairlist, which is a chain and not a nest."""
    while True:
        for present in (flags & HAS_ATTRIBUTES, flags & HAS_TAG, True):
            at = _item(content, at, depth + 1) if present else at
        (flags,) = _word(content, at)
        if flags & 0xFF != PAIRS:
            return _item(content, at, depth + 1)
        at += 4


def _within(content: bytes, at: int) -> int:
    if at > len(content):
        raise NotPlain("truncated")
    return at
