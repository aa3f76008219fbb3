"""``table.save("t.hte")``: a comparison, or a table of several, as one file that answers again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hte_bridge.between.compared import Kept
from hte_bridge.errors import NotEnoughMemory
from hte_bridge.files import save_table
from hte_bridge.progress import steps
from hte_bridge.saved import archive
from hte_bridge.saved.adopted import adoption_parts, pack_adopted
from hte_bridge.saved.fits import Packed, pack
from hte_bridge.saved.studies import kept_columns, study_parts, write_frame
from hte_bridge.stream.study import SUBSET
from hte_bridge.study import Folds, Study


def save(table: Kept, path: Path, columns: Sequence[str] | str | None = None, rankings: bool = True) -> Path:
    """Write a comparison; see ``Comparison.save``."""
    return _written(path, partial(_comparison, table, columns=columns, rankings=rankings))


def save_arms(
    table: Any, path: Path, columns: Sequence[str] | str | None = None, rankings: bool = True
) -> Path:
    """Write an ``ArmsComparison``: all units, and the comparison of each arm."""
    study = table.study

    def pack_all(into: Packed) -> dict[str, Any]:
        whole = _study(study.whole, table.folds, columns, into)
        into.arrays |= {f"contrasts/{k}": mask for k, mask in enumerate(study.rows.values())}
        said = {"labels": list(study.labels), "notes": list(study.notes), "level": table.level}
        said["propensity"] = study.propensity
        return whole | said | {"kind": "arms"} | _several(table, into, columns, rankings)

    return _written(path, pack_all)


def save_outcomes(
    table: Any, path: Path, columns: Sequence[str] | str | None = None, rankings: bool = True
) -> Path:
    """Write an ``OutcomesTable``: the comparison of each outcome, and the rows of all."""

    def pack_all(into: Packed) -> dict[str, Any]:
        whole = _study(table.study, None, columns, into)
        return whole | {"kind": "outcomes"} | _several(table, into, columns, rankings)

    return _written(path, pack_all)


def save_adoption(table: Any, path: Path, columns: Sequence[str] | str | None = None) -> Path:
    """Write an ``AdoptionComparison``: the panel, and what each engine learned from the stack of its cells."""

    def pack_all(into: Packed) -> dict[str, Any]:
        about = adoption_parts(table.study, into.arrays)
        about |= write_frame(table.study, kept_columns(table.study, columns), into.room("frame", ".parquet"))
        if table.folds is not None:
            into.arrays["folds/fold"] = table.folds.fold
            about["folds"] = {"n_folds": table.folds.n_folds, "seed": table.folds.seed}
        fits = enumerate(table.fits.items())
        packed = {name: pack_adopted(fit, table.folds, f"fit{k}", into) for k, (name, fit) in fits}
        _rows(table, into)
        return about | {"kind": "adoption", "fits": packed, "level": table.level}

    return _written(path, pack_all)


def _written(path: Path, pack_all: Callable[[Packed], dict[str, Any]]) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        packed = Packed(Path(folder))
        about = pack_all(packed)
        return archive.write(path, packed.files, packed.arrays, about)


def _comparison(
    table: Kept, into: Packed, columns: Sequence[str] | str | None, rankings: bool
) -> dict[str, Any]:
    about = _study(table.study, table.folds, columns, into)
    fits = {}
    for k, (name, fit) in enumerate(steps(list(table.fits.items()), "saving")):
        fits[name] = pack(fit, table.folds, f"fit{k}", into, rankings)
    _rows(table, into)
    return about | {"fits": fits, "level": table.level}


def _study(
    study: Study, folds: Folds | None, columns: Sequence[str] | str | None, into: Packed
) -> dict[str, Any]:
    small(study)
    names = kept_columns(study, columns)
    arrays, about = study_parts(study, folds)
    into.arrays |= arrays
    return about | {"columns": names} | write_frame(study, names, into.room("frame", ".parquet"))


def small(study: Study) -> None:
    """Refuse a study of files whose rows are too many to come back in memory.

    Raises
    ------
    NotEnoughMemory
        With what keeps the answers.
    """
    if study.stored is not None and study.n > SUBSET:
        raise NotEnoughMemory(
            f"A `.hte` file holds a comparison with all of its rows, up to {SUBSET:,} of a study of files. There are {study.n:,}. Save the table as "
            "`table.parquet`, what engines say of each row by `table.save_scores`, and a fit that predicts by `table.fits[name].save`; with "
            "`Deep(checkpoint=)` the comparison is made again from its sums."
        )


def _several(table: Any, into: Packed, columns: Sequence[str] | str | None, rankings: bool) -> dict[str, Any]:
    """The comparisons of a table of several, each in a room of its own, and its rows."""
    parts = []
    for k, each in enumerate(table.tables.values()):
        folder = into.folder / str(k)
        folder.mkdir()
        own = Packed(folder)
        parts.append(_comparison(each, own, columns=columns, rankings=rankings))
        into.arrays |= {f"{archive.PARTS}{k}/{name}": value for name, value in own.arrays.items()}
        into.files |= {f"{archive.PARTS}{k}/{name}": value for name, value in own.files.items()}
    _rows(table, into)
    return {"parts": parts, "names": list(table.tables)}


def _rows(table: Any, into: Packed) -> None:
    save_table(table, into.room("table", ".parquet"))
    for k, row in enumerate(table.rows):
        for what in ("influence", "share", "wide", "free"):  # the last two of an adoption's rows
            if getattr(row, what, None) is not None:
                into.arrays[f"rows/{k}/{what}"] = getattr(row, what)
