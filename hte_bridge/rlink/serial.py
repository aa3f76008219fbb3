"""R's own serialization, as far as requests and answers need it: vectors and lists with their names and dimensions.

The binary form of version 2, in this machine's byte order: a column is one block that needs no translation. The format:
R Internals, section 1.8 (serialization formats). This module needs the standard library alone.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from hte_bridge.rlink.transport import Column

HEADER = b"B\n" + struct.pack("=3i", 2, 0x040100, 0x020300)  # version, R that wrote it, oldest that reads it
NIL, AGAIN, SYMBOL, PAIRS, TEXT = 254, 255, 1, 2, 9
LOGICAL, INTEGER, DOUBLE, TEXTS, LIST = 10, 13, 14, 16, 19
CODES = {"?": LOGICAL, "i": INTEGER, "d": DOUBLE}
KINDS = {code: kind for kind, code in CODES.items()}
WIDTHS = {LOGICAL: 4, INTEGER: 4, DOUBLE: 8}
FORMATS = {"?": "i", "i": "i", "d": "d"}
HAS_ATTRIBUTES, HAS_TAG = 0x200, 0x400
UTF8, LATIN1 = 0x8000, 0x4000  # flags of a text: its encoding
NAMES = {
    3: "CLOSXP",
    4: "ENVSXP",
    6: "LANGSXP",
    8: "BUILTINSXP",
    15: "CPLXSXP",
    22: "EXTPTRSXP",
    24: "RAWSXP",
    25: "S4SXP",
}
NA_INTEGER = -(2**31)
LARGEST_INTEGER = 2**31 - 1


class NotTranslatable(Exception):
    """An R value that has no plain form."""


def vector_kind(values: Sequence[Any]) -> str:
    """What a list of JSON's values is in R: ``"?"`` logical, ``"s"`` text, ``"i"`` integer, ``"d"`` double, ``"l"`` a list.

    Examples
    --------
    >>> vector_kind([1, 2]), vector_kind([1, 0.5]), vector_kind([2**40]), vector_kind(["a", 1]), vector_kind([])
    ('i', 'd', 'd', 'l', 'l')
    """
    if not values:
        return "l"
    if all(isinstance(each, bool) for each in values):
        return "?"
    if all(isinstance(each, str) for each in values):
        return "s"
    if all(type(each) is int and abs(each) <= LARGEST_INTEGER for each in values):
        return "i"
    return "d" if all(type(each) in (int, float) for each in values) else "l"


def write(file: BinaryIO, value: Any) -> None:
    """Write what JSON can hold, with columns in it, so that R's ``unserialize`` reads it."""
    file.write(HEADER)
    _put(file, value)


def _put(file: BinaryIO, value: Any) -> None:
    if value is None:
        file.write(_ints(NIL))
    elif isinstance(value, Column):
        several = len(value.shape) > 1
        head(file, CODES[value.kind], value.n_bytes // WIDTHS[CODES[value.kind]], several)
        file.write(value.buffer.cast("B") if value.n_bytes else b"")
        if several:
            _attribute(file, "dim", list(value.shape))
    elif isinstance(value, Mapping):
        head(file, LIST, len(value), bool(value))
        for each in value.values():
            _put(file, each)
        if value:
            _attribute(file, "names", list(value))
    else:
        _put_several(file, value if isinstance(value, list) else [value])


def _put_several(file: BinaryIO, values: list[Any]) -> None:
    kind = vector_kind(values)
    if kind in CODES:
        head(file, CODES[kind], len(values), False)
        file.write(struct.pack(f"={len(values)}{FORMATS[kind]}", *values))
        return
    head(file, TEXTS if kind == "s" else LIST, len(values), False)
    for each in values:
        if kind == "s":
            _put_text(file, each)
        else:
            _put(file, each)


def _put_text(file: BinaryIO, text: str) -> None:
    coded = text.encode()
    file.write(_ints(TEXT | UTF8, len(coded)) + coded)


def head(file: BinaryIO, code: int, length: int, attributes: bool) -> None:
    """Write what stands before an R vector's values: its type, and its length, in two words where one is too small."""
    parts = (length,) if length <= LARGEST_INTEGER else (-1, length >> 32, length & 0xFFFFFFFF)
    file.write(_ints(code | (HAS_ATTRIBUTES if attributes else 0), *parts))


def _attribute(file: BinaryIO, name: str, value: list[Any]) -> None:
    """A pairlist of one attribute."""
    file.write(_ints(PAIRS | HAS_TAG, SYMBOL))
    _put_text(file, name)
    _put_several(file, value)
    file.write(_ints(NIL))


def _ints(*numbers: int) -> bytes:
    return b"".join(struct.pack("=I", number & 0xFFFFFFFF) for number in numbers)


@dataclass
class Value:
    """One R value as it was read: its type's code, what it holds, and its attributes."""

    code: int
    held: Any
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass
class _Reader:
    content: memoryview[Any]
    at: int = len(HEADER)
    symbols: list[str] = field(default_factory=list)

    def integer(self) -> int:
        (number,) = struct.unpack_from("=i", self.content, self.at)
        self.at += 4
        return number

    def bytes(self, size: int) -> memoryview[Any]:
        self.at += size
        return self.content[self.at - size : self.at]

    def length(self) -> int:
        short = self.integer()
        return short if short >= 0 else (self.integer() << 32) + (self.integer() & 0xFFFFFFFF)

    def text(self, flags: int) -> str | None:
        size = self.integer()
        return (
            None if size == -1 else str(self.bytes(size), "latin-1" if flags & LATIN1 else "utf-8", "replace")
        )

    def symbol(self, flags: int) -> str:
        """A name, or the number of one that came before."""
        if flags & 0xFF == AGAIN:
            return self.symbols[(flags >> 8 or self.integer()) - 1]
        self.symbols.append(self.text(self.integer()) or "")
        return self.symbols[-1]

    def item(self) -> Value:
        flags = self.integer()
        code = flags & 0xFF
        if code == NIL:
            return Value(NIL, None)
        if code in WIDTHS:
            value = Value(code, self.bytes(self.length() * WIDTHS[code]))
        elif code == TEXTS:
            value = Value(code, [self.text(self.integer()) for _ in range(self.length())])
        elif code == LIST:
            value = Value(code, [self.item() for _ in range(self.length())])
        elif code in (SYMBOL, AGAIN):
            return Value(SYMBOL, self.symbol(flags))
        else:
            raise NotTranslatable(f"a value of R type {NAMES.get(code, code)}")
        if flags & HAS_ATTRIBUTES:
            value.attributes = self.attributes()
        return value

    def attributes(self) -> dict[str, Value]:
        found = {}
        while (flags := self.integer()) & 0xFF == PAIRS:
            name = self.symbol(self.integer()) if flags & HAS_TAG else ""
            found[name] = self.item()
        return found


def read(content: memoryview[Any], columns: list[Column]) -> Any:
    """What R's ``serialize(version = 2, xdr = FALSE)`` wrote, as JSON; vectors are appended to ``columns`` and leave their place.

    Raises
    ------
    NotTranslatable
        If it holds a function, an environment, or another value without a plain form.
    """
    return plain(_Reader(content).item(), columns)


def plain(value: Value, columns: list[Column]) -> Any:
    """A value as JSON; see ``read``."""
    if value.code == NIL:
        return None
    if value.code == SYMBOL:
        raise NotTranslatable("a value of R type SYMSXP")
    if value.code == TEXTS:
        return value.held[0] if len(value.held) == 1 else value.held
    if value.code == LIST:
        parts = [plain(each, columns) for each in value.held]
        names = value.attributes.get("names")
        return parts if names is None else dict(zip(map(str, names.held), parts, strict=True))
    kind = KINDS[value.code]
    numbers = value.held.cast(FORMATS[kind])
    dimensions = value.attributes.get("dim")
    if dimensions is None and len(numbers) == 1:
        return _single(numbers[0], kind)
    shape = (len(numbers),) if dimensions is None else tuple(dimensions.held.cast("i"))
    columns.append(Column(kind, shape, value.held if len(numbers) else memoryview(b"")))
    return {"$column": len(columns) - 1}


def _single(number: Any, kind: str) -> Any:
    if kind != "d" and number == NA_INTEGER:
        return None
    return {"d": float, "i": int, "?": bool}[kind](number)
