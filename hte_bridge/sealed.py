"""Files that say whether they are as they were written: a checksum inside, looked at before anything is read; arrays (npz) under one."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import secrets
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hte_bridge.errors import UnreadableFile, UnwritableFolder

MARK = b"hte_bridge:sha256:"
OPEN = MARK + b"0" * 64  # where the checksum goes; it is that of the file with these zeros
LONGEST = 60  # characters of a label in a file's name
MOST_MARKS = 16  # a text of the file may hold the mark too
# what a file that is not as it should be makes numpy, zipfile and json raise
BROKEN = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OSError,
    EOFError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name only when all is written.

    Its permissions are those that the user's umask leaves, or those of the file that it replaces.

    Raises
    ------
    UnwritableFolder
        If the folder cannot be made or written.
    """
    temporary = path.with_name(f"tmp{secrets.token_hex(6)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if path.exists():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
    except OSError as error:
        raise UnwritableFolder(
            f"The output folder must be one that can be written. `{path.parent}` is not ({error.strerror}). "
            "Choose another."
        ) from error
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UnwritableFolder(
            f"`{path.name}` must fit in its folder. Writing it failed ({error.strerror or error}). Free some "
            "space or choose another folder; nothing half-written was left."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def file_names(labels: Iterable[str]) -> list[str]:
    """Labels as distinct parts of files' names: letters of any script, digits and ``-_.()`` stay, all else is ``_``.

    Examples
    --------
    >>> file_names(["grf", "deep 2", "a/b", "a:b", ".."])
    ['grf', 'deep 2', 'a_b', 'a_b-2', 'engine']
    """
    names: list[str] = []
    for label in labels:
        kept = "".join(each if each.isalnum() or each in " -_.()" else "_" for each in label)
        name = kept.strip(" .")[:LONGEST] or "engine"
        taken = sum(each.lower() == name.lower() for each in names)
        names.append(f"{name}-{taken + 1}" if taken else name)
    return names


def seal(path: Path) -> None:
    """Write the checksum into the place that a file has left for it (``OPEN``)."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        at = content.rfind(OPEN)
        content[at : at + len(OPEN)] = MARK + _digest(content, at + len(MARK))


def sealed(path: Path) -> bool:
    """Whether the file has a checksum.

    Raises
    ------
    UnreadableFile
        If it has one and is no longer what was written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "numbers")
    ...     _ = path.write_bytes(b"1 2 3 " + OPEN)
    ...     seal(path)
    ...     sealed(path)
    True
    """
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at, found = len(content), 0
        while found < MOST_MARKS and (at := content.rfind(MARK, 0, at)) >= 0:
            place, found = at + len(MARK), found + 1
            if content[place : place + 64] == _digest(content, place):
                return True
    if found:
        raise UnreadableFile(
            f"`{path.name}` must be as it was written. Its checksum says that it is not: bytes were changed or lost since. Take "
            "it from a backup, or make it again."
        )
    return False


def _digest(content: mmap.mmap, place: int) -> bytes:
    """SHA-256 of a file, zeros in place of its checksum."""
    with memoryview(content) as view:
        found = hashlib.sha256(view[:place])
        found.update(b"0" * 64)
        found.update(view[place + 64 :])
    return found.hexdigest().encode()


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]], text: str) -> None:
    """Arrays and a text of JSON as one npz file with a checksum; never pickles."""
    with whole_file(path) as temporary:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, json=np.frombuffer(text.encode(), dtype=np.uint8), **arrays)
        with zipfile.ZipFile(temporary, "a") as made:
            made.comment = OPEN
        seal(temporary)


def read_arrays(path: Path, what: str) -> tuple[dict[str, npt.NDArray[Any]], Any]:
    """Arrays and JSON of such a file.

    Raises
    ------
    UnreadableFile
        If it is not whole, of another kind, or declares more than it holds. ``what`` says what it should be.
    """
    try:
        if sealed(path):
            with path.open("rb") as file:
                _check_sizes(file)
                with np.load(file, allow_pickle=False) as held:
                    arrays = {name: held[name] for name in held.files}
            return arrays, json.loads(arrays.pop("json").tobytes())
    except UnreadableFile:
        raise
    except BROKEN as error:
        raise UnreadableFile(_not_ours(path, what)) from error
    raise UnreadableFile(_not_ours(path, what))


def _not_ours(path: Path, what: str) -> str:
    return (
        f"`{path.name}` must be {what}, with the checksum that it has. It has none: it is truncated, of another kind, or of an "
        "older hte_bridge. Make it again."
    )


def _check_sizes(file: IO[bytes]) -> None:
    """Every array is stored as it is and has the bytes that its header declares, so that reading allocates no more than the file."""
    with zipfile.ZipFile(file) as made:
        for member in made.infolist():
            with made.open(member) as opened:
                version = np.lib.format.read_magic(opened)
                header = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = header(opened)
                size = prod(shape) * dtype.itemsize + opened.tell()
            if dtype.hasobject or member.compress_type != zipfile.ZIP_STORED or size != member.file_size:
                raise ValueError(f"{member.filename} declares {size} bytes")
    file.seek(0)
