"""A comparison as a folder of files: tables, plots, report; all of it, or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hte_bridge.comparison import Comparison
from hte_bridge.errors import UnwritableFolder

Write = Callable[[Comparison, str], list[str]]


@contextmanager
def write_folder(out: Path) -> Iterator[Write]:
    """Room for a comparison's files, made before the work so that a place that cannot be written is told at once.

    The files are written beside ``out`` and moved into it together; other files that are there stay.

    Parameters
    ----------
    out : Path
        Folder, made where it is missing.

    Yields
    ------
    callable
        ``write(comparison, title) -> names of the files``.

    Raises
    ------
    UnwritableFolder
        If the folder cannot be made or written; nothing half-written stays.
    """
    made = _first_missing(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".writing-", dir=out))
    except OSError as error:
        raise UnwritableFolder(
            f"The output folder must be one that can be written. `{out}` is not ({error.strerror}). Choose another."
        ) from error
    written: list[str] = []

    def write(comparison: Comparison, title: str) -> list[str]:
        try:
            written.extend(write_files(comparison, title, work))
        except OSError as error:
            raise UnwritableFolder(
                f"All files must fit into the output folder. Writing to `{out}` failed ({error.strerror or error}). "
                "Free some space, or choose another folder; nothing half-written was left."
            ) from error
        return written

    try:
        yield write
        for name in written:
            os.replace(work / name, out / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not written and made is not None:
            _remove_empty(out, made)


def _first_missing(out: Path) -> Path | None:
    """Topmost folder that has to be made for ``out``."""
    missing = [each for each in (out, *out.parents) if not each.exists()]
    return missing[-1] if missing else None


def _remove_empty(out: Path, upto: Path) -> None:
    """Take back the folders that were made, as far as they are empty."""
    for each in (out, *out.parents):
        if not each.is_dir() or any(each.iterdir()):
            return
        each.rmdir()
        if each == upto:
            return


def write_files(comparison: Comparison, title: str, folder: Path) -> list[str]:
    """Write table, plots and report into a folder that is there.

    Returns
    -------
    list of str
        Names of the files: ``table.csv``, ``table.parquet``, ``table.tex``, ``table.md``, ``coefficients.png``,
        ``cate.png`` and ``report.html``.
    """
    comparison.save(folder / "table.csv")
    comparison.save(folder / "table.parquet")
    (folder / "table.tex").write_text(comparison.to_latex(), encoding="utf8")
    (folder / "table.md").write_text(comparison.to_markdown(), encoding="utf8")
    return sorted(each.name for each in folder.iterdir())
