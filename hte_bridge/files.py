"""Tables on disk: rows as Parquet columns, everything else as JSON in the file's own metadata."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hte_bridge.errors import UnreadableFile, UnwritableFolder
from hte_bridge.table import COLUMNS, FORMAT_VERSION, Estimate, Table

KEY = b"hte_bridge"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name only when all is written.

    Raises
    ------
    UnwritableFolder
        If the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise UnwritableFolder(
            f"The output folder must be one that can be written. `{path.parent}` is not ({error.strerror}). "
            "Choose another."
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise UnwritableFolder(
            f"`{path.name}` must fit in its folder. Writing it failed ({error.strerror or error}). Free some "
            "space or choose another folder; nothing half-written was left."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def save_table(table: Table, path: Path) -> Path:
    """Write a table; see ``Table.save``."""
    frame = table.to_frame()
    if path.suffix.lower() == ".csv":
        with whole_file(path) as temporary:
            frame.to_csv(temporary, index=False, float_format="%.17g")
        return path
    extra = [
        {"test": row.test, "interval": row.interval} if row.test or row.interval else {} for row in table.rows
    ]
    state = {"version": FORMAT_VERSION, "meta": table.meta, "extra": extra}
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    arrow = arrow.replace_schema_metadata(
        {**(arrow.schema.metadata or {}), KEY: json.dumps(state, default=plain)}
    )
    with whole_file(path) as temporary:
        pq.write_table(arrow, temporary)
    return path


def load_table(path: Path) -> Table:
    """Read a table; see ``Table.load``."""
    if not path.exists():
        raise UnreadableFile(f"The table's file must exist. There is no `{path}`. Check the path.")
    try:
        arrow = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFile(
            f"`{path.name}` must be a whole Parquet file written by `table.save`. It is truncated or of another "
            "format. Save the table again."
        ) from error
    stored = (arrow.schema.metadata or {}).get(KEY)
    if stored is None:
        raise UnreadableFile(
            f"`{path.name}` must be a table written by `table.save`. It is a Parquet file of something else. "
            "For data, use `Study.from_frame`."
        )
    state = json.loads(stored)
    if state["version"] > FORMAT_VERSION:
        raise UnreadableFile(
            f"`{path.name}` must be of format {FORMAT_VERSION} or older. It is of format {state['version']}, "
            "written by a newer hte_bridge. Upgrade hte_bridge to read it."
        )
    derived = {"statistic", "p_value", "conf_low", "conf_high"}
    rows = []
    for record, extra in zip(arrow.select(list(COLUMNS)).to_pylist(), state["extra"], strict=True):
        values: dict[str, Any] = {
            k: np.nan if v is None else v for k, v in record.items() if k not in derived
        }
        values |= {k: None if v is None else tuple(v) for k, v in extra.items()}
        rows.append(Estimate(**values))
    return Table(tuple(rows), state["meta"])


def plain(value: object) -> object:
    """numpy scalars and arrays as what JSON can hold."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
