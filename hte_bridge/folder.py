"""A comparison as a folder of files: tables, plots, report; all of it, or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from hte_bridge.comparing_arms import ArmsComparison
from hte_bridge.comparison import Comparison
from hte_bridge.errors import HteBridgeError, UnwritableFolder
from hte_bridge.faults import Guard
from hte_bridge.staggered.comparison import AdoptionComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 200
WORK = ".writing-"  # what names of folders begin with in which files are written
STALE = 3600  # seconds after which such a folder is of a process that was killed: writing takes a minute
PANELS = 3


class Write(Protocol):
    """Write a comparison's files; their names."""

    def __call__(self, comparison: Comparison, title: str | None = None) -> list[str]: ...


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
        with tempfile.TemporaryFile(dir=out):
            pass
        _clear_stale(out)
    except OSError as error:
        raise UnwritableFolder(
            f"The output folder must be one that can be written. `{out}` is not ({error.strerror}). Choose another."
        ) from error
    written: list[str] = []

    def write(comparison: Comparison, title: str | None = None) -> list[str]:
        try:
            with tempfile.TemporaryDirectory(prefix=WORK, dir=out) as work:
                names = write_files(comparison, title, Path(work))
                for name in names:
                    os.replace(Path(work, name), out / name)
        except OSError as error:
            raise UnwritableFolder(
                f"All files must fit into the output folder. Writing to `{out}` failed ({error.strerror or error}). "
                "Free some space, or choose another folder; nothing half-written was left."
            ) from error
        written.extend(names)
        return names

    try:
        yield write
    finally:
        if not written and made is not None:
            _remove_empty(out, made)


def _clear_stale(out: Path) -> None:
    """Take away what killed processes left half-written; a folder that another process writes now stays."""
    for each in out.glob(f"{WORK}*"):
        with suppress(FileNotFoundError):
            if each.is_dir() and time.time() - each.stat().st_mtime > STALE:
                shutil.rmtree(each, ignore_errors=True)


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


def write_files(comparison: Comparison, title: str | None, folder: Path) -> list[str]:
    """Write table, plots and report into a folder that is there.

    Returns
    -------
    list of str
        Names of the files: ``table.csv``, ``table.parquet``, ``table.tex``, ``table.md``, ``report.html``, and where
        an engine gave numbers ``coefficients.png`` and ``cate.png``; of an adoption ``event_times.png``, of several arms the first alone.
    """
    from hte_bridge.report import report

    comparison.save(folder / "table.csv")
    comparison.save(folder / "table.parquet")
    (folder / "table.tex").write_text(comparison.to_latex(), encoding="utf8")
    (folder / "table.md").write_text(comparison.to_markdown(), encoding="utf8")
    if isinstance(comparison, AdoptionComparison):
        _drawn(partial(_draw_adoption, comparison), folder / "event_times.png")
        comparison.report(folder / "report.html", title=title)
        return sorted(each.name for each in folder.iterdir())
    _drawn(partial(_draw_coefficients, comparison), folder / "coefficients.png")
    if isinstance(comparison, ArmsComparison):
        comparison.report(folder / "report.html", title=title)
        return sorted(each.name for each in folder.iterdir())
    panels = cate_panels(comparison)
    _drawn(partial(_draw_cates, panels), folder / "cate.png")
    more = {
        f"CATE along {name}, for a unit typical in the other covariates": draw
        for name, draw in panels.items()
    }
    report(comparison, folder / "report.html", title=title, more=more)
    return sorted(each.name for each in folder.iterdir())


def _drawn(draw: Callable[[Path], None], path: Path) -> None:
    """A picture in a file; one that cannot be drawn is left out, and the report says why in its place."""
    try:
        with Guard()("report", f"The picture {path.name}"):
            draw(path)
    except HteBridgeError:
        path.unlink(missing_ok=True)


def _draw_adoption(comparison: AdoptionComparison, path: Path) -> None:
    from matplotlib.figure import Figure

    from hte_bridge.plot.style import quiet

    if any(np.isfinite(row.estimate) for row in comparison.rows):
        figure = Figure(figsize=(4.8, 2.8), layout="constrained", dpi=DPI)
        comparison.plot(ax=figure.subplots())
        with quiet():
            figure.savefig(path)


def _draw_coefficients(comparison: Comparison, path: Path) -> None:
    from matplotlib.figure import Figure

    from hte_bridge.plot import coefficients
    from hte_bridge.plot.style import quiet

    if any(np.isfinite(row.estimate) for row in comparison.rows):
        figure = Figure(figsize=(3.4, 2.8), layout="constrained", dpi=DPI)
        draw = (
            comparison.plot if isinstance(comparison, ArmsComparison) else partial(coefficients, comparison)
        )
        draw(figure.subplots())
        with quiet():
            figure.savefig(path)


def cate_panels(comparison: Comparison) -> dict[str, Callable[[Axes], Axes]]:
    """By covariate, a way to draw the effect along it for a unit that is typical in the others: the first numeric ones."""
    from hte_bridge.plot import cate_against
    from hte_bridge.plot.asked import along

    study = comparison.study
    if study.frame is None:
        return {}
    columns = (
        (name, study.frame[name]) for name in study.encoder.sources
    )  # of files each is read when its turn comes
    numeric = (
        name for name, column in columns if pd.api.types.is_numeric_dtype(column) and column.nunique() > 1
    )
    panels: dict[str, Callable[[Axes], Axes]] = {}
    for name in islice(numeric, PANELS):
        with suppress(HteBridgeError):  # engines that predict nowhere else; their rows say why
            frames, values, _ = along(comparison, name)
            panels[name] = partial(cate_against, frames, values, name=name)
    return panels


def _draw_cates(panels: Mapping[str, Callable[[Axes], Axes]], path: Path) -> None:
    from matplotlib.figure import Figure

    from hte_bridge.plot.style import quiet

    if not panels:
        return
    figure = Figure(figsize=(2.8 * len(panels), 2.5), layout="constrained", dpi=DPI)
    for ax, draw in zip(
        figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels.values(), strict=True
    ):
        draw(ax)
        ax.label_outer()
    with quiet():
        figure.savefig(path)
