"""Files of columns in the session's folder: which may be read, and by whom they are removed.

A file is read once and then removed by its reader. R names what it writes ``to-python-...``, this process what it
writes ``to-r-...``; a mark that names any other file is refused, so that no text in a table's metadata, and no column
that bears a mark's name, can have a file of the user's read or removed.
"""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hte_bridge.errors import UnreadableFile, UnwritableFolder

FROM_R, TO_R = "to-python-", "to-r-"


def new_file(folder: Path) -> str:
    """Path of a new, empty file for R to read.

    Raises
    ------
    UnwritableFolder
        If the folder is full, read-only or gone.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=TO_R, suffix=".parquet", delete=False) as file:
            return file.name
    except OSError as error:
        raise no_room(folder, error) from error


def write_arrow(table: pa.Table, folder: Path) -> str:
    """Write columns to a new file of the folder; its path.

    Raises
    ------
    UnwritableFolder
        If the folder is full, read-only or gone.
    """
    path = new_file(folder)
    try:
        pq.write_table(table, path, compression="none")
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise no_room(folder, error) from error
    return path


def no_room(folder: Path, error: OSError) -> UnwritableFolder:
    """The sentence for a folder that took no file."""
    return UnwritableFolder(
        f"R's temporary folder must have room for the columns. Writing to `{folder}` failed "
        f"({error.strerror or error}). Free some space, or set TMPDIR before R starts."
    )


@contextmanager
def taken(path: Any, folder: Path) -> Iterator[Path]:
    """A file that R wrote for this process; it is removed afterwards.

    Raises
    ------
    UnreadableFile
        If it is any other file, or not there.
    """
    found = Path(path) if isinstance(path, str) and "\0" not in path else Path()
    ours = found.name.startswith(FROM_R) and found.parent.resolve() == folder.resolve()
    if not ours or not _plain(found):
        raise UnreadableFile(
            f"Columns must come in a file that R wrote for this session, in `{folder}`. {str(path)[:200]!r} is not one. Send "
            "them anew."
        )
    try:
        yield found
    finally:
        found.unlink(missing_ok=True)


def _plain(path: Path) -> bool:
    """Whether there is a file, and no link to one elsewhere."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
