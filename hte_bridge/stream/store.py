"""Columns on disk, read as arrays: what a streamed study keeps of its rows."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from hte_bridge.errors import UnwritableFolder
from hte_bridge.stream.resident import OURS

BLANK = 1 << 22  # bytes written at once to take disk


@dataclass(frozen=True)
class Shape:
    """Rows, columns (``None``: a plain array) and type of a stored array."""

    rows: int
    columns: int | None
    kind: str


@dataclass(frozen=True, eq=False)
class Store:
    """A folder of arrays, each a file of plain numbers, column after column.

    Arrays are read as ``numpy.memmap``: the system brings in what is used, and takes it out where memory is short.

    Examples
    --------
    >>> store = Store.temporary()
    >>> store.put("outcome", np.arange(3.0))
    >>> store.read("outcome").tolist()
    [0.0, 1.0, 2.0]
    """

    folder: Path

    @classmethod
    def temporary(cls, parent: str | Path | None = None) -> Store:
        """In a new folder, of the system's for temporary files or below ``parent``, that goes with the store or with the session.

        Raises
        ------
        UnwritableFolder
            If it cannot be made.
        """
        try:
            if parent is not None:
                Path(parent).mkdir(parents=True, exist_ok=True)
            store = cls(Path(tempfile.mkdtemp(prefix="hte-bridge-", dir=parent)).resolve())
        except OSError as error:
            raise unwritable(parent or tempfile.gettempdir(), error) from error
        weakref.finalize(store, _removed, store.folder, os.getpid())
        return store

    def read(self, name: str, mode: str = "r") -> npt.NDArray[Any]:
        """The array (n,), or (n, k) in Fortran order."""
        rows, columns, kind = self._file(name).suffixes[-3:]
        shape = Shape(int(rows[1:]), None if columns == ".x" else int(columns[1:]), kind[1:])
        size = (shape.rows,) if shape.columns is None else (shape.columns, shape.rows)
        if 0 in size:
            return np.empty(size, dtype=shape.kind).T
        found = np.memmap(self._file(name), dtype=shape.kind, mode=mode, shape=size)  # type: ignore[call-overload]
        OURS.add(found)
        return found.T

    def read_rows(self, name: str, rows: slice) -> npt.NDArray[Any]:
        """Rows (m, k) of an array that was stored transposed, (k, n), copied: its pages do not stay with the process."""
        file = self._file(name)
        columns, _, kind = (each[1:] for each in file.suffixes[-3:])
        start, width = rows.start or 0, int(columns) * np.dtype(kind).itemsize
        count = (rows.stop - start) * int(columns)
        return np.fromfile(file, dtype=kind, count=count, offset=start * width).reshape(-1, int(columns))

    def name_of(self, values: npt.NDArray[Any]) -> str | None:
        """Name of the stored array that these values are; ``None`` of any other."""
        file = Path(getattr(values, "filename", None) or "")
        if file.parent != self.folder or not file.exists():
            return None
        name = file.name.split(".")[0]
        return name if self.read(name).shape == values.shape else None

    def __contains__(self, name: str) -> bool:
        return any(self.folder.glob(f"{name}.*"))

    def put(self, name: str, values: npt.NDArray[Any]) -> None:
        """Store an array (n,) or (n, k).

        Raises
        ------
        UnwritableFolder
            If it cannot be written, such as on a full disk; nothing is left of it.
        """
        with self.writing(name, values.shape, values.dtype) as out:
            out[...] = values

    @contextmanager
    def writing(self, name: str, shape: tuple[int, ...], kind: Any) -> Iterator[npt.NDArray[Any]]:
        """An array of this shape to be filled, stored under its name once it is; disk is taken beforehand, so that a full one is said here."""
        parts = [name, str(shape[0]), str(shape[1]) if len(shape) > 1 else "x", np.dtype(kind).name]
        final, part = self.folder / ".".join(parts), self.folder / f"{name}.part"
        try:
            reserve(part, int(np.prod(shape)) * np.dtype(kind).itemsize)
            if 0 in shape:
                yield np.empty(shape, dtype=kind)
            else:
                out = np.memmap(part, dtype=kind, mode="r+", shape=shape[::-1])
                OURS.add(out)
                yield out.T
                out.flush()
            self.drop(name, but=part)
            part.rename(final)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        finally:
            part.unlink(missing_ok=True)  # renamed where all went well

    def drop(self, name: str, but: Path | None = None) -> None:
        """Remove an array; those that read it keep it."""
        for file in self.folder.glob(f"{name}.*"):
            if file != but:
                file.unlink()

    def _file(self, name: str) -> Path:
        found = [each for each in self.folder.glob(f"{name}.*") if each.suffix != ".part"]
        if not found:
            raise KeyError(name)
        return found[0]


def release(*values: Any) -> None:
    """Let the pages of arrays on disk go from this process; they are read again when they are asked for. Others are left as they are.

    Examples
    --------
    >>> store = Store.temporary()
    >>> store.put("outcome", np.arange(3.0))
    >>> kept = store.read("outcome")
    >>> release(kept, np.arange(3.0), None)
    >>> kept.tolist()
    [0.0, 1.0, 2.0]
    """
    for each in values:
        mapped = getattr(each, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED") and mapped_for_reading(each):
            mapped.madvise(mmap.MADV_DONTNEED)


def mapped_for_reading(values: Any) -> bool:
    """Whether an array lies on disk and nothing was written to it."""
    return isinstance(values, np.memmap) and values.mode == "r"


def new_name() -> str:
    """A name that no other array has."""
    return uuid4().hex


def reserve(path: Path, size: int) -> None:
    """A file of this many bytes, for which there is room: a memmap into a sparse file on a full disk would end the process."""
    with open(path, "wb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        blank = bytes(min(size, BLANK))
        while size > 0:
            size -= file.write(blank[: min(size, len(blank))])


def _removed(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked process shares the folder and must leave it
        shutil.rmtree(folder, ignore_errors=True)


def unwritable(folder: Any, error: OSError) -> UnwritableFolder:
    """What is said where columns cannot be stored."""
    return UnwritableFolder(
        f"A study of files keeps its columns on disk as numbers, and they must have room there. `{folder}` could not be written: "
        f"{error.strerror or error}. Free room, or name a folder on another disk as `work`."
    )
