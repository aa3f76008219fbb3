"""Tables on disk: rows as Parquet columns, everything else as JSON in the file's own metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hte_bridge.errors import InvalidOption, UnreadableFile
from hte_bridge.estimate import COLUMNS, Estimate, HasRows, frame_of
from hte_bridge.sealed import BROKEN, OPEN, seal, sealed, whole_file
from hte_bridge.spreadsheets import load_csv, save_csv, save_excel

Stored = tuple[tuple[Estimate, ...], Mapping[str, Any]]
FORMAT_VERSION = 2  # since 2 with a checksum
SPREADSHEETS = {".csv": save_csv, ".xlsx": save_excel}
ELSEWHERE = {  # endings that promise another format, and what writes it
    ".xls": "Write .xlsx",
    ".ods": "Write .xlsx",
    ".tex": "`table.to_latex()` is LaTeX",
    ".md": "`table.to_markdown()` is markdown",
    ".html": "`report(table, path)` of `hte_bridge.report` writes a page",
    ".txt": "`str(table)` is text",
    ".json": "`table.to_frame().to_json()` is JSON",
    ".pdf": "`report(table, path)` of `hte_bridge.report` writes a page that prints",
    ".docx": "Write .xlsx, or a page by `report(table, path)` of `hte_bridge.report`",
    ".hte": "A comparison that `compare` returned is; this table has no fits: write .parquet",
    ".dta": "`table.to_frame().to_stata(path)` writes Stata's format",
}
KEY, SEAL = b"hte_bridge", b"hte_bridge_seal"
UNSEALED = 1  # the last format of tables without a checksum
MOST_UNPACKED, LEAST_UNPACKED = (
    64,
    2**24,
)  # bytes of unpacked columns: times the file's, and what any file may have


def save_table(table: HasRows, path: Path) -> Path:
    """Write a table; see ``Table.save``."""
    ending = path.suffix.lower()
    if ending in SPREADSHEETS:
        return SPREADSHEETS[ending](table, path)
    if ending in ELSEWHERE:
        raise InvalidOption(
            f"A table is saved as .parquet, .csv or .xlsx. `{path.name}` was asked for. {ELSEWHERE[ending]}."
        )
    frame = frame_of(table.rows)
    extra = [
        {"test": row.test, "interval": row.interval} if row.test or row.interval else {} for row in table.rows
    ]
    state = {"version": FORMAT_VERSION, "meta": table.meta, "extra": extra}
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    return write_columns(path, arrow, json.dumps(state, default=plain))


def write_columns(path: Path, columns: pa.Table, text: str) -> Path:
    """Columns as Parquet with a text of JSON and a checksum in the file's own metadata."""
    about = {**(columns.schema.metadata or {}), KEY: text.encode(), SEAL: OPEN}
    with whole_file(path) as temporary:
        pq.write_table(columns.replace_schema_metadata(about), temporary)
        seal(temporary)
    return path


def read_columns(path: Path, what: str) -> tuple[pa.Table, dict[str, Any] | None, bool]:
    """Columns, JSON (none in a file of something else), and whether the file had a checksum, which then held.

    Raises
    ------
    UnreadableFile
        If the file is damaged, truncated or of another format, or its columns unpack to far more than it holds. ``what``
        says what it should be.
    """
    try:
        whole = sealed(path)
        about = pq.read_metadata(path)
        text = (about.metadata or {}).get(KEY)
        state = None if text is None else json.loads(text)
        unpacked = sum(about.row_group(k).total_byte_size for k in range(about.num_row_groups))
        if unpacked > max(LEAST_UNPACKED, MOST_UNPACKED * path.stat().st_size):
            raise ValueError(f"{unpacked} bytes of columns")
        return (pq.read_table(path) if state is not None else pa.table({})), state, whole
    except UnreadableFile:
        raise
    except (pa.ArrowException, *BROKEN) as error:
        raise UnreadableFile(
            f"`{path.name}` must be {what}. It is truncated or of another format. Make it again."
        ) from error


def load_table(path: Path) -> Stored:
    """Rows and meta of a table; see ``Table.load``."""
    if not path.exists():
        raise UnreadableFile(f"The table's file must exist. There is no `{path}`. Check the path.")
    if path.suffix.lower() == ".csv":
        return load_csv(path)
    if path.suffix.lower() == ".xlsx":
        raise UnreadableFile(
            f"A table is loaded from .parquet or .csv. `{path.name}` is for Excel alone. Save the table as one of those too."
        )
    columns, state, whole = read_columns(path, "a whole Parquet file written by `table.save`")
    if state is None:
        raise UnreadableFile(
            f"`{path.name}` must be a table written by `table.save`. It is a Parquet file of something else. "
            "For data, use `Study.from_frame`."
        )
    try:
        version = int(state["version"])
        if version > FORMAT_VERSION:
            raise UnreadableFile(
                f"`{path.name}` must be of format {FORMAT_VERSION} or older. It is of format {version}, "
                "written by a newer hte_bridge. Upgrade hte_bridge to read it."
            )
        if not whole and version > UNSEALED:
            raise UnreadableFile(
                f"`{path.name}` must have the checksum that `table.save` writes. It has none: bytes were changed or lost since. "
                "Take it from a backup, or save the table again."
            )
        return _table(columns, state)
    except UnreadableFile:
        raise
    except BROKEN as error:
        raise UnreadableFile(
            f"`{path.name}` must be a table written by `table.save`. Its columns are not those of one. Save the table again."
        ) from error


def _table(columns: pa.Table, state: Mapping[str, Any]) -> Stored:
    """Rows and meta of a file's columns and JSON."""
    derived = {"statistic", "p_value", "conf_low", "conf_high"}
    rows = []
    for record, extra in zip(columns.select(list(COLUMNS)).to_pylist(), state["extra"], strict=True):
        values: dict[str, Any] = {
            k: np.nan if v is None else v for k, v in record.items() if k not in derived
        }
        values |= {k: None if v is None else tuple(v) for k, v in extra.items()}
        rows.append(Estimate(**values))
    return tuple(rows), state["meta"]


def plain(value: object) -> object:
    """numpy scalars and arrays as what JSON can hold."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
