"""``hb.load``: what ``table.save`` wrote, whether rows alone or a comparison that answers again."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hte_bridge.comparing_arms import ArmsComparison
from hte_bridge.comparison import Comparison
from hte_bridge.errors import UnreadableFile
from hte_bridge.files import load_table
from hte_bridge.outcomes import OutcomesTable
from hte_bridge.saved.adopted import adoption_of, cell_rows, fits_of
from hte_bridge.saved.archive import ENDING, WHAT, Archive, opened
from hte_bridge.saved.fits import Arrays, Unpacking
from hte_bridge.saved.studies import folds_of, read_frame, study_of
from hte_bridge.sealed import BROKEN
from hte_bridge.several_arms import ArmsStudy
from hte_bridge.staggered.comparison import AdoptionComparison
from hte_bridge.study import Study
from hte_bridge.table import Table


def load(path: str | Path) -> Table:
    """Read what ``table.save`` wrote.

    Parameters
    ----------
    path : path
        ``.hte``: a ``Comparison`` with its study, folds and fits, which answers ``gates``, ``cate``, ``differences`` and every other
        question without fitting what was fitted; so do those of several arms or outcomes, and of an adoption. ``.parquet`` or ``.csv``: a ``Table`` of the rows.

    Returns
    -------
    Comparison or Table

    Raises
    ------
    UnreadableFile
        If the file is missing, changed since it was written, of another kind, or of a newer version.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, pandas as pd, hte_bridge as hb
    >>> rng = np.random.default_rng(1)
    >>> frame = pd.DataFrame({"x": rng.normal(size=100), "d": rng.integers(0, 2, 100)})
    >>> frame["y"] = frame["d"] * frame["x"] + rng.normal(size=100)
    >>> study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    >>> table = hb.compare(study, [hb.Feols()], seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = hb.load(table.save(f"{folder}/t.hte"))
    >>> new = pd.DataFrame({"x": [0.0, 1.0]})
    >>> bool((again.cate(new, "feols") == table.cate(new, "feols")).all(axis=None))
    True
    """
    path = Path(path)
    if path.suffix.lower() != ENDING:
        return Table.load(path)
    found = opened(path)
    try:
        return _found(found)
    except UnreadableFile:
        raise
    except BROKEN as error:
        raise UnreadableFile(
            f"`{path.name}` must be {WHAT}. Its parts are not those of one. Save the comparison again."
        ) from error


def _found(found: Archive) -> Table:
    """The table of an archive's kind."""
    kind = found.about.get("kind", "comparison")
    made: Table = {"arms": _arms, "outcomes": _outcomes, "adoption": _adoption, "comparison": _comparison}[
        kind
    ](found)
    return made


def _comparison(found: Archive) -> Comparison:
    about, arrays = found.about, found.arrays()
    study, folds = _study(found, arrays), folds_of(arrays, about)
    unpacking = Unpacking(found, arrays, study, folds)
    fits = {name: unpacking.unpack(each, f"fit{k}") for k, (name, each) in enumerate(about["fits"].items())}
    return Comparison(*_rows(found, arrays), study, folds, fits, about["level"])


def _study(found: Archive, arrays: Arrays) -> Study:
    return study_of(arrays, found.about, read_frame(found.member("frame.parquet"), found.about["levels"]))


def _parts(found: Archive) -> dict[str, Comparison]:
    """The comparisons of a table of several, by name."""
    return {name: _comparison(found.part(k)) for k, name in enumerate(found.about["names"])}


def _arms(found: Archive) -> ArmsComparison:
    about, arrays = found.about, found.arrays()
    tables = _parts(found)
    rows = {name: arrays[f"contrasts/{k}"] for k, name in enumerate(tables)}
    studies = {name: each.study for name, each in tables.items()}
    study = ArmsStudy(
        _study(found, arrays),
        tuple(about["labels"]),
        studies,
        rows,
        tuple(about["notes"]),
        about["propensity"],
    )
    return ArmsComparison(*_rows(found, arrays), study, tables, folds_of(arrays, about), about["level"])


def _outcomes(found: Archive) -> OutcomesTable:
    arrays = found.arrays()
    return OutcomesTable(*_rows(found, arrays), _parts(found), _study(found, arrays))


def _adoption(found: Archive) -> AdoptionComparison:
    about, arrays = found.about, found.arrays()
    study = adoption_of(arrays, about, read_frame(found.member("frame.parquet"), about["levels"]))
    folds = folds_of(arrays, about) if "folds" in about else None
    fits = fits_of(found, arrays, study, folds)
    rows, meta = _rows(found, arrays)
    rows = cell_rows(rows, arrays)
    return AdoptionComparison(rows, meta, study, fits, about["level"], folds)


def _rows(found: Archive, arrays: Arrays) -> tuple[Any, Mapping[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.parquet")
        path.write_bytes(found.member("table.parquet"))
        rows, meta = load_table(path)
    made = [
        replace(row, influence=arrays.get(f"rows/{k}/influence"), share=arrays.get(f"rows/{k}/share"))
        for k, row in enumerate(rows)
    ]
    return tuple(made), {
        key: value for key, value in meta.items() if key != "later"
    }  # what was to come is in the file
