"""Where the rows of a streamed study lie: files, a dataset or a query, read in record batches in one order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from hte_bridge.errors import InvalidData, UnreadableFile
from hte_bridge.frames import once

BATCH = 131_072  # rows in memory at once
NOTHING = "__HIVE_DEFAULT_PARTITION__"  # how a missing value is written into a folder's name


class Source(Protocol):
    """Record batches in a fixed order, any columns of which may be read again."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""

    @property
    def name(self) -> str:
        """What it is called in sentences."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of some columns, a batch at a time."""


def source_of(data: Any) -> Source:
    """From a Parquet file, a folder of them (also one partitioned as ``year=2020/...``), a ``pyarrow.dataset`` or a DuckDB relation.

    Raises
    ------
    UnreadableFile
        If there is no Parquet file, or one is empty, truncated or foreign.
    InvalidData
        If two files have different schemas, or the data are none of these.
    """
    if isinstance(data, str | Path):
        return Files(_files(Path(data)), Path(data))
    if isinstance(data, ds.Dataset):
        return Dataset(data)
    if all(hasattr(data, each) for each in ("project", "columns", "types")):
        return Relation(data)
    raise InvalidData(
        "The data must be the path of a Parquet file or folder, a pyarrow.dataset or a DuckDB relation. A "
        f"{type(data).__name__} was found. Write it to Parquet, or hand a frame over to Study.from_frame."
    )


@dataclass(frozen=True, eq=False)
class Files:
    """Parquet files in the order of their paths, row group after row group."""

    files: tuple[Path, ...]
    root: Path

    @property
    def name(self) -> str:
        """The path as it was given."""
        return str(self.root)

    @cached_property
    def parts(self) -> dict[str, list[str]]:
        """Of each column that is written into the folders' names its value for each file."""
        found = [_in_path(file.relative_to(self.root)) if file != self.root else {} for file in self.files]
        names = found[0].keys() if found else ()
        odd = next((file for file, each in zip(self.files, found, strict=True) if each.keys() != names), None)
        if odd is not None:
            raise InvalidData(
                f"All files of a folder must be partitioned alike. `{odd}` lies in folders of other names than `{self.files[0]}`. "
                "Move it, or write the folder again."
            )
        return {name: [each[name] for each in found] for name in names}

    @cached_property
    def schemas(self) -> tuple[pa.Schema, ...]:
        """Of each file."""
        found = []
        for file in self.files:
            with _opened(file) as opened:
                found.append(opened.schema_arrow)
        return tuple(found)

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the first file, as wide as any, with the columns in the folders' names: whole numbers where all are written as such, else text."""
        schema = self.schemas[0]
        once(schema.names)
        for place, name in enumerate(schema.names):
            kinds = [own.field(name).type for own in self.schemas if name in own.names]
            schema = schema.set(place, schema.field(name).with_type(_widest(kinds)))
        for name, values in self.parts.items():
            schema = schema if name in schema.names else schema.append(pa.field(name, _written_as(values)))
        return schema

    def check(self, columns: Sequence[str]) -> None:
        """Every file has these columns, in the types of the first."""
        for file, own in zip(self.files, self.schemas, strict=True):
            for name in columns:
                if name in own.names or name not in self.parts:
                    _same_type(self, file, own, name)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of some columns, a batch at a time, in the types of ``schema``."""
        self.check(columns)
        kinds = pa.schema([self.schema.field(name) for name in columns], metadata=self.schema.metadata)
        for place, file in enumerate(self.files):
            with _opened(file) as opened:
                inside = [name for name in columns if name in opened.schema_arrow.names]
                try:
                    for batch in opened.iter_batches(batch_size=BATCH, columns=inside):
                        yield self._completed(batch, place, kinds)
                except (OSError, pa.ArrowException) as error:
                    raise _unreadable(file, error) from error

    def _completed(self, batch: pa.RecordBatch, place: int, kinds: pa.Schema) -> pa.RecordBatch:
        arrays = []
        for field in kinds:
            if field.name in batch.schema.names:
                column = batch.column(field.name)
                arrays.append(column if column.type == field.type else column.cast(field.type))
            else:
                arrays.append(_repeated(self.parts[field.name][place], field.type, len(batch)))
        return pa.RecordBatch.from_arrays(arrays, schema=kinds)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A ``pyarrow.dataset``, its fragments in the order that it has."""

    data: ds.Dataset

    @property
    def name(self) -> str:
        """What it is."""
        return "the dataset"

    @property
    def schema(self) -> pa.Schema:
        """The dataset's."""
        return self.data.schema

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of some columns, a batch at a time."""
        try:
            yield from self.data.to_batches(columns=list(columns), batch_size=BATCH)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self.name, error) from error


@dataclass(frozen=True, eq=False)
class Relation:
    """A DuckDB relation; its query runs again for each reading, and must give its rows in one order."""

    relation: Any

    @property
    def name(self) -> str:
        """What it is."""
        return "the relation"

    @cached_property
    def schema(self) -> pa.Schema:
        """Of no row of it."""
        return pa.table(self.relation.limit(0)).schema

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of some columns, a batch at a time."""
        quoted = ", ".join('"{}"'.format(name.replace('"', '""')) for name in columns)
        yield from pa.RecordBatchReader.from_stream(self.relation.project(quoted))


def _files(path: Path) -> tuple[Path, ...]:
    if path.is_dir():
        inside = (each.relative_to(path) for each in sorted(path.rglob("*.parquet")))
        found = tuple(path / each for each in inside if not any(p[0] in "._" for p in each.parts))
    else:
        found = (path,) if path.exists() else ()
    if not found:
        raise UnreadableFile(
            f"The path must be a Parquet file or a folder of them. None is at `{path}`. Check the path."
        )
    return found


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error


def _unreadable(what: Any, error: Exception) -> UnreadableFile:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UnreadableFile(
        f"Every file must be a whole Parquet file. `{what}` could not be read: {first}. Write it again from its source, or move it out of "
        "the folder."
    )


def _same_type(files: Files, file: Path, own: pa.Schema, name: str) -> None:
    if name not in own.names:
        raise InvalidData(
            f"Every file of a folder must have the columns of the study. `{file}` lacks `{name}`, which `{files.files[0]}` has. Write the "
            "file again, or move it out of the folder."
        )
    known = zip(files.files, files.schemas, strict=True)
    first, there = next(
        (
            (each, schema.field(name).type)
            for each, schema in known
            if name in schema.names and not _unsaid(schema, name)
        ),
        (file, own.field(name).type),
    )
    if not _unsaid(own, name) and not _alike(own.field(name).type, there):
        raise InvalidData(
            f"A column must have one type in all files of a folder. `{name}` is {own.field(name).type} in `{file}` and {there} in `{first}`. "
            "Write the file again with the type of the others."
        )


def _unsaid(schema: pa.Schema, name: str) -> bool:
    """Whether a file holds nothing but gaps of a column, and so no type."""
    return bool(pa.types.is_null(schema.field(name).type))


def _alike(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether values of both are read without loss as the same labels and numbers: the same type, or whole numbers of two widths."""
    if pa.types.is_dictionary(one) and pa.types.is_dictionary(other):
        return _alike(one.value_type, other.value_type)
    texts = (pa.types.is_string, pa.types.is_large_string)
    for kind in (pa.types.is_integer, pa.types.is_floating):
        if kind(one) and kind(other):
            return True
    return bool(one == other or all(any(each(kind) for each in texts) for kind in (one, other)))


def _in_path(inside: Path) -> dict[str, str]:
    """Columns in the folders' names below the root: ``year=2020/a.parquet``."""
    pairs = (part.split("=", 1) for part in inside.parts[:-1] if "=" in part)
    return {name: unquote(value) for name, value in pairs}


def _repeated(value: str, kind: pa.DataType, rows: int) -> pa.Array:
    """A folder's value for each of its rows, as the category that it is."""
    level = pa.array([None if value == NOTHING else value], type=pa.string()).cast(kind.value_type)
    codes = pa.repeat(pa.scalar(0, type=pa.int32()), rows)
    return pa.DictionaryArray.from_arrays(codes, level).cast(kind)


def _widest(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """The first type, or a wider one that is like it; a column of gaps has none."""
    known = [kind for kind in kinds if not pa.types.is_null(kind)] or list(kinds)
    widest = known[0]
    for kind in known[1:]:
        fixed = pa.types.is_integer(widest) or pa.types.is_floating(widest)
        if fixed and _alike(kind, widest) and kind.bit_width > widest.bit_width:
            widest = kind
    whole = pa.types.is_integer(widest)
    if whole and len({pa.types.is_signed_integer(kind) for kind in known if pa.types.is_integer(kind)}) > 1:
        return pa.int64()
    return widest


def _written_as(values: Sequence[str]) -> pa.DataType:
    """Whole numbers where every value is one as it would be written, so that the text of an id stays what it is."""
    known = [each for each in values if each != NOTHING]
    whole = all(each.lstrip("-").isdigit() and str(int(each)) == each for each in known)
    return pa.dictionary(pa.int32(), pa.int64() if whole else pa.string())
