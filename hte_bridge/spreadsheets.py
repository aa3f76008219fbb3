"""Tables as a spreadsheet reads them: CSV, which loads again, and Excel."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.errors import PackageUnavailable, UnreadableFile
from hte_bridge.estimate import COLUMNS, TEXTS, Estimate, HasRows, frame_of
from hte_bridge.format.layout import layout
from hte_bridge.format.neutral import from_spreadsheet, spreadsheet
from hte_bridge.sealed import whole_file
from hte_bridge.shown import visible

WHOLE = ("n_obs", "n_clusters")
DERIVED = (
    "statistic",
    "p_value",
    "conf_low",
    "conf_high",
)  # of the others, where no test or interval says else
SAME = 1e-12  # relative: the same formula on the same numbers
NOTES = "notes"  # a sheet beside that of the rows


def save_csv(table: HasRows, path: Path) -> Path:
    """Rows as CSV to the last bit; what a spreadsheet would run as a formula begins with an apostrophe."""
    frame = frame_of(table.rows)
    texts = frame.select_dtypes(exclude="number").map(spreadsheet)
    returns = any("\r" in each for each in texts.to_numpy().ravel())
    options: dict[str, Any] = {"index": False, "float_format": "%.17g"}
    options |= {"quoting": csv.QUOTE_NONNUMERIC} if returns else {}  # pandas leaves a carriage return bare
    with whole_file(path) as temporary:
        frame.assign(**texts).to_csv(temporary, **options)
    return path


def save_excel(table: HasRows, path: Path) -> Path:
    """Rows on one sheet and the table's notes on another.

    Raises
    ------
    PackageUnavailable
        If openpyxl is not installed.
    """
    if find_spec("openpyxl") is None:
        raise PackageUnavailable(
            f"An Excel file is written by openpyxl. `{path.name}` was asked for, and openpyxl is not installed. "
            "Run: pip install openpyxl, or save as .csv, which Excel opens."
        )
    frame = frame_of(table.rows)
    texts = frame.select_dtypes(exclude="number").map(lambda text: spreadsheet(visible(text, lines=True)))
    made = layout(table)
    notes = [*made.notes, *(f"[{i}] {note}" for i, note in enumerate(made.footnotes, 1))]
    said = pd.DataFrame({NOTES: [spreadsheet(visible(note)) for note in notes]})
    with whole_file(path) as temporary, pd.ExcelWriter(temporary, engine="openpyxl") as writer:
        frame.assign(**texts).to_excel(writer, sheet_name="rows", index=False, freeze_panes=(1, 0))
        said.to_excel(writer, sheet_name=NOTES, index=False)
    return path


def load_csv(path: Path) -> tuple[tuple[Estimate, ...], Mapping[str, Any]]:
    """Rows of a CSV file that ``save_csv`` wrote, to the last bit; such a file holds no meta.

    Raises
    ------
    UnreadableFile
        If it is no text, misses a column of a table, or has a value that is not a number where one stands.
    """
    try:
        with path.open(encoding="utf8", newline="") as file:
            reader = csv.DictReader(file)
            absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if absent:
                raise UnreadableFile(
                    f"`{path.name}` must have the columns that `table.save` writes. {', '.join(f'`{name}`' for name in absent)} "
                    f"{'is' if len(absent) == 1 else 'are'} missing. Save the table again; for data, use `Study.from_frame`."
                )
            return tuple(_row(record, path.name, line) for line, record in enumerate(reader, 2)), {}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(
            f"`{path.name}` must be a CSV file that `table.save` wrote. It is no text with commas. Save the table again."
        ) from error


def _row(record: Mapping[str, Any], name: str, line: int) -> Estimate:
    values: dict[str, Any] = {key: from_spreadsheet(record[key] or "") for key in TEXTS}
    for key in COLUMNS:
        if key in TEXTS:
            continue
        try:
            values[key] = float(record[key]) if record[key] else np.nan
            values[key] = int(values[key]) if key in WHOLE else values[key]
        except (TypeError, ValueError) as error:
            raise UnreadableFile(
                f"`{name}` must have numbers in its column `{key}`. Line {line} has {record[key]!r}. Save the table again."
            ) from error
    said = {key: values.pop(key) for key in DERIVED}
    level = values["level"]
    if not 0 < level < 1:
        raise UnreadableFile(
            f"`{name}` must have levels between 0 and 1. Line {line} has {level:g}. Save the table again."
        )
    row = Estimate(**values)
    if not _alike([row.conf_low, row.conf_high], [said["conf_low"], said["conf_high"]]):
        row = replace(row, interval=(said["conf_low"], said["conf_high"]))
    if not _alike([row.statistic, row.p_value], [said["statistic"], said["p_value"]]):
        row = replace(row, test=(said["statistic"], said["p_value"]))
    return row


def _alike(made: list[float], said: list[float]) -> bool:
    return bool(np.allclose(made, said, rtol=SAME, atol=0, equal_nan=True))
