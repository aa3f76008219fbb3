"""One scan of files: numbers and words of labels for each row on disk, then the rules of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from hte_bridge import columns
from hte_bridge.encode import ColumnCode, Encoder
from hte_bridge.errors import HteBridgeError, InvalidData, nearest
from hte_bridge.frames import from_arrow
from hte_bridge.keys import row_keys
from hte_bridge.kinds import Kind, kind_of, to_float
from hte_bridge.progress import steps
from hte_bridge.roles import Roles, some_rows
from hte_bridge.stream.frame import LazyFrame
from hte_bridge.stream.labels import Labels
from hte_bridge.stream.resident import OURS
from hte_bridge.stream.source import Source, source_of
from hte_bridge.stream.store import Store, unwritable
from hte_bridge.stream.study import Stored, parts_of
from hte_bridge.taking import label_fields, names_with, number_fields

Coded = columns.Coded


def scanned(
    data: Any,
    named: Roles,
    propensity: str | float | None = None,
    treatment_type: str | None = None,
    work: str | Path | None = None,
    index: Sequence[str] = (),
) -> dict[str, Any]:
    """What a ``Study`` of files holds, by the names of its fields: the same as ``taking.taken`` finds of the frame with this index.

    Raises
    ------
    InvalidData
        With the sentence of the first rule that the data break.
    UnreadableFile, UnwritableFolder
        For a file that cannot be read, a disk that is full.

    Examples
    --------
    >>> import tempfile
    >>> from hte_bridge import Study
    >>> frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "d": [0, 1, 1, 0], "x": [0.1, 0.4, 0.2, 0.9]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     frame.to_parquet(f"{folder}/clicks.parquet")
    ...     Study.from_parquet(folder, outcome="y", treatment="d", covariates=["x"])
    Study of 4 units: effect of d on y
      covariates: x
      treated: 50.0%
    """
    source, store = source_of(data), Store.temporary(work)
    labels = index_columns(source.schema, index)
    named = named.among([name for name in source.schema.names if name not in labels])
    raw = Raw(store)
    try:
        _read(source, named, labels, raw)
        return _made(source, named, labels, raw, propensity, treatment_type)
    finally:
        raw.close()


def _made(
    source: Source,
    named: Roles,
    labels: list[str],
    raw: Raw,
    propensity: str | float | None,
    treatment_type: str | None,
) -> dict[str, Any]:
    """The rules of a study, and its arrays on disk."""
    store, plain = raw.store, {name: raw.array("number", name) for name in _single(named)}
    numbers = pd.DataFrame(plain, index=raw.index, copy=False)
    absorbed = {name: raw.codes(name) for name in named.fixed_effects}
    group = {name: raw.codes(name) for name in named.clusters}
    keep, dropped = columns.complete_rows(
        numbers, named.outcome, named.treatment, named.weight, absorbed, group
    )
    whole = bool(keep.all())
    rows = numbers if whole else numbers.loc[keep]
    found = number_fields(rows, named, propensity, treatment_type) | label_fields(keep, absorbed, group)
    encoder = raw.encoder(named.covariates, keep, "A covariate")
    beside = raw.encoder(named.controls, keep, "A control")
    raw.encoded("covariates", encoder, keep, rows.index)
    if beside.columns:
        raw.encoded("controls", beside, keep, rows.index)
    frame = LazyFrame(source, None if whole else keep, rows.index, labels, {"path": source.name})
    return _stored(store, found | {"key": row_keys(raw.index)[keep]}) | {
        "covariates": store.read("covariates"),
        "controls": store.read("controls") if beside.columns else None,
        "names": names_with(named, encoder, beside),
        "encoder": encoder,
        "control_encoder": beside,
        "dropped": dropped,
        "index": rows.index,
        "frame": frame,
        "stored": Stored(store),
    }


def _stored(store: Store, found: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays with a value for each row moved to disk; what is no array stays."""
    each_row = (
        "outcome",
        "treatment",
        "weight",
        "propensity",
        "fixed_effects",
        "cluster",
        "second_cluster",
        "key",
    )
    out = dict(found)
    for name in each_row:
        if out.get(name) is not None:
            store.put(name, out[name])
            out[name] = store.read(name)
    return out


@dataclass(eq=False)
class Raw:
    """All rows of the source as they were read: a file of numbers, or of words and of gaps, for each column."""

    store: Store
    kinds: dict[str, Kind] = field(default_factory=dict)
    labels: dict[str, Labels] = field(default_factory=dict)
    files: dict[tuple[str, str], IO[bytes]] = field(default_factory=dict)
    index: pd.Index = field(default_factory=lambda: pd.RangeIndex(0))
    coded: dict[str, Coded] = field(default_factory=dict)

    def write(self, what: str, name: str, values: npt.NDArray[Any]) -> None:
        """Further values of a column."""
        if (what, name) not in self.files:
            self.files[what, name] = open(self.store.folder / f"raw-{len(self.files)}", "wb")  # noqa: SIM115
        self.files[what, name].write(np.ascontiguousarray(values).view(np.uint8).data)

    def array(self, what: str, name: str, kind: Any = np.float64) -> npt.NDArray[Any]:
        """A column (rows of the source,)."""
        found = np.memmap(self.files[what, name].name, dtype=kind, mode="r")
        OURS.add(found)
        return found

    def codes(self, name: str) -> Coded:
        """Codes of a column's labels, -1 where missing, and the labels."""
        if name not in self.coded:
            levels, place = self.labels[name].done()
            words, missing = self.array("words", name, np.uint64), self.array("gaps", name, np.bool_)
            codes = np.full(len(words), -1, dtype=np.int64)
            for part in parts_of(len(words)):
                known = part.start + np.flatnonzero(~missing[part.rows])
                codes[known] = place(words[known])
            self.coded[name] = codes, levels
        return self.coded[name]

    def encoder(self, names: tuple[str, ...], keep: npt.NDArray[np.bool_], role: str) -> Encoder:
        """The map of covariates, levels as they are in the rows kept."""
        return Encoder(tuple(self._code(name, keep, role) for name in names))

    def _code(self, name: str, keep: npt.NDArray[np.bool_], role: str) -> ColumnCode:
        if name not in self.labels or ("number", name) in self.files:
            return ColumnCode(name, self.kinds[name])
        codes, levels = self.codes(name)
        seen = np.flatnonzero(np.bincount(codes[keep & (codes >= 0)], minlength=len(levels)))
        return ColumnCode.of(self.labels[name].column(seen, levels), name, role)

    def encoded(self, name: str, encoder: Encoder, keep: npt.NDArray[np.bool_], index: pd.Index) -> None:
        """Columns of an encoder (n, p) of the rows kept, on disk."""
        rows, start = np.flatnonzero(keep), 0
        with self.store.writing(name, (len(rows), len(encoder.names)), np.float64) as out:
            for code in encoder.columns:
                own = out[:, start : start + len(code.names)]
                start += len(code.names)
                if ("number", code.name) in self.files:
                    column = pd.Series(self.array("number", code.name)[rows], index=index, copy=False)
                    own[...] = code.encode(column)
                    continue
                codes, levels = self.codes(code.name)
                for part in parts_of(len(rows)):
                    own[part.rows] = code.encode(
                        self.labels[code.name].column(codes[rows[part.rows]], levels)
                    )

    def flush(self) -> None:
        """Write what is still in memory.

        Raises
        ------
        UnwritableFolder
            If the disk is full.
        """
        try:
            for file in self.files.values():
                file.flush()
        except OSError as error:
            raise unwritable(self.store.folder, error) from error

    def close(self) -> None:
        """Remove the files."""
        for file in self.files.values():
            Path(file.name).unlink(missing_ok=True)
            with suppress(OSError):  # the rest of a file that had no room is not wanted
                file.close()


def _read(source: Source, named: Roles, labels: list[str], raw: Raw) -> None:
    """All rows that roles name, once, from first to last.

    Raises
    ------
    UnwritableFolder
        If the disk is full.
    """
    single = _single(named)
    coded = dict.fromkeys(named.fixed_effects, "fixed_effects") | dict.fromkeys(named.clusters, "cluster")
    plain = dict.fromkeys(named.covariates, "covariates") | dict.fromkeys(named.controls, "controls")
    wanted = list(dict.fromkeys([*single, *coded, *plain, *labels]))
    texts = {name for name in plain if is_text(source.schema.field(name).type)}
    indices, total = [], 0
    for frame in steps(_frames(source, wanted, labels), "reading"):
        try:
            for name, role in single.items():
                _take_number(raw, frame, role, name)
            for name, role in (coded | {name: plain[name] for name in plain if name in texts}).items():
                _take_label(raw, frame, role, name)
            for name in plain:
                if name not in texts:
                    _take_number(raw, frame, "", name)
        except OSError as error:
            raise (
                error if isinstance(error, HteBridgeError) else unwritable(raw.store.folder, error)
            ) from error
        indices += [frame.index] if labels else []
        total += len(frame)
    some_rows(total)
    raw.index = indices[0].append(indices[1:]) if labels else _range(source.schema, total)
    raw.flush()


def _single(named: Roles) -> dict[str, str]:
    """Role of each column that must be numeric."""
    given = {role: getattr(named, role) for role in ("outcome", "treatment", "weight", "propensity")}
    return {name: role for role, name in given.items() if name is not None}


def _take_number(raw: Raw, frame: pd.DataFrame, role: str, name: str) -> None:
    column = frame[name]
    if column.notna().any():
        raw.kinds[name] = kind_of(column, name)
        if role and raw.kinds[name] not in ("number", "boolean"):
            columns.numbers(frame, role, name)  # says so
    raw.kinds.setdefault(name, "number")
    raw.write("number", name, to_float(column) if column.notna().any() else np.full(len(column), np.nan))


def _take_label(raw: Raw, frame: pd.DataFrame, role: str, name: str) -> None:
    if name not in raw.labels:
        raw.labels[name] = Labels(role, name)
    words, missing = raw.labels[name].take(frame[name])
    raw.write("words", name, words)
    raw.write("gaps", name, missing)


def _frames(source: Source, wanted: list[str], labels: list[str]) -> Iterator[pd.DataFrame]:
    """Batches as frames, with the labels of their rows as index, rows numbered on where the files have none."""
    start = 0
    for batch in source.batches(wanted):
        frame = from_arrow(pa.Table.from_batches([batch]))
        if not labels:
            frame.index = pd.RangeIndex(start, start + len(frame))
        elif set(labels) <= set(frame.columns):  # pandas has not taken them for the index already
            frame = frame.set_index(labels)
        start += len(frame)
        yield frame


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text or categories."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


def index_columns(schema: pa.Schema, named: Sequence[str] = ()) -> list[str]:
    """Columns that label the rows: those that are named, else those that pandas wrote a frame's index into.

    Raises
    ------
    InvalidData
        If one that is named is no column.
    """
    if named:
        absent = next((name for name in named if name not in schema.names), None)
        if absent is not None:
            raise InvalidData(
                f"`index` must name columns of the data. `{absent}` is not one. {nearest(absent, schema.names)}"
            )
        return list(named)
    noted = (schema.pandas_metadata or {}).get("index_columns", [])
    return [each for each in noted if isinstance(each, str) and each in schema.names]


def _range(schema: pa.Schema, total: int) -> pd.RangeIndex:
    """Labels of rows that were numbered: as pandas wrote them, if it wrote all, else from 0 on."""
    noted = (schema.pandas_metadata or {}).get("index_columns", [])
    for each in noted:
        if isinstance(each, dict) and each.get("kind") == "range":
            found = pd.RangeIndex(each["start"], each["stop"], each["step"])
            if len(found) == total:
                return found
    return pd.RangeIndex(total)
