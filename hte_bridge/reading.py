"""CSV files, where all is text: what a column holds is decided from the whole of it, and an identity keeps its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from hte_bridge.marks import Marks

Role = Literal["number", "identity", "text"]
BLOCK = 1 << 24  # bytes: a row must fit in a block
GAPS = (  # what stands for a missing number; pandas' list, and the point of Stata and SAS
    *("NA", "<NA>", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null"),
    *("None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "."),
)
YES_NO = ({"True", "False"}, {"TRUE", "FALSE"}, {"true", "false"})
PADDED = r"^[+-]?0\d"  # a code: no program writes a number so
MARKS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}  # between columns
SNIFFED, RECORDS = 1 << 16, 50  # bytes and records that are looked at for the mark
TAKEN = b"hte_bridge_taken"
DATE = r"^\d{4}-\d\d-\d\d"  # ISO 8601
CODE = r"^(\d+[eE]\d+|[+-]?\d{19,})$"  # 1E2, or more digits than integers have


def read_csv(path: Path, roles: Mapping[str, Role] | None = None) -> pa.Table:
    """A CSV file as a table of typed columns.

    An empty field is missing. A column is of numbers where each of its fields is one, or one of ``GAPS``, and of yes and no
    where it holds one spelling of true and false. Whole numbers are integers of 64 bits, exact beside gaps. Days and moments in ISO 8601
    are dates, as in a data frame, except in an identity. Otherwise a column keeps its text: "NA" (Namibia) and "None" are
    values there. Among numbers they are missing in every role, an identity too: readr writes a missing id so, and rows of unknown cluster
    are dropped and counted, never one cluster. In text, an unquoted NA is missing in a file whose names
    stand in quotes, or in a column that holds a quoted "NA" too: so R writes.

    Numbers that are codes stay text: padded ones ("01"), ones of too many digits, and, where two texts are one number, those
    that look like 1E2. In an identity any two texts of one number (5 and 5.0) keep a column text; in a number none does.

    Parameters
    ----------
    path : Path
        Of a file that may be compressed (``.gz``); quotes ``"``, UTF-8, the first line names the columns. Between columns stands a comma,
        semicolon, tab or bar (``separator``); where it is no comma, numbers may have decimal commas or marks between thousands
        (``marks.Marks``). What was taken is said in the table's metadata, under ``TAKEN``.
    roles : mapping, optional
        Name of a column -> "number": numbers wherever they can be; "identity": different texts stay different; "text": always text.

    Raises
    ------
    pyarrow.ArrowInvalid
        If the file is empty, not UTF-8, or a line has too many or too few fields.
    """
    mark = separator(path)
    text = _text(path, mark)
    names = [name or f"Unnamed: {place}" for place, name in enumerate(text.column_names)]
    text = text.rename_columns(names)
    known = roles or {}
    plain = {
        name: shorn.filter(pc.invert(pc.is_in(shorn, pa.array([*GAPS, ""]))))
        for name, column in zip(names, text.columns, strict=True)
        if known.get(name) not in ("text", "identity")
        for shorn in [pc.utf8_trim_whitespace(column)]
    }
    marks = Marks.of({} if mark == "," else plain, mark)
    columns = [
        _numbers(column, marks, name, known.get(name))
        for name, column in zip(names, text.columns, strict=True)
    ]
    doubtful = [
        place
        for place, column in enumerate(columns)
        if pa.types.is_string(column.type) and pc.any(pc.equal(column, "NA")).as_py()
    ]
    if doubtful:
        columns = _without_gaps_of_r(path, mark, columns, doubtful)
    return pa.table(columns, names=names).replace_schema_metadata({TAKEN: taken(path, mark, marks)})


def separator(path: Path) -> str:
    """What stands between the columns: a comma, semicolon, tab or bar, as often in each of the first records, outside of quotes.

    A comma where several would do, or none.
    """
    with pa.input_stream(str(path)) as file:
        start = file.read(SNIFFED).decode("utf8", "replace")
    lines = _records(start)
    for mark in MARKS:
        counts = {line.count(mark) for line in lines}
        if len(counts) == 1 and counts != {0}:
            return mark
    return ","


def _records(text: str) -> list[str]:
    """The first records without what stands in quotes; the last may be cut off and is left out."""
    bare = re.sub(r'"(?:[^"]|"")*("|$)', "", text)
    lines = [line for line in bare.splitlines() if line.strip()]
    return lines[:RECORDS] if len(text) < SNIFFED else lines[:-1][:RECORDS]


def _numbers(text: pa.ChunkedArray, marks: Marks, name: str, role: Role | None) -> pa.ChunkedArray:
    """A typed column, its numbers read by their marks; what stays text keeps them, and so does what may be read two ways."""
    if name in marks.doubtful:
        return typed(text, "text")
    made = typed(marks.plain(name, text), role)
    return typed(text, "text") if name in marks.decimal and pa.types.is_string(made.type) else made


def taken(path: Path, mark: str, marks: Marks) -> str:
    """What was found between columns and in numbers, as a sentence; empty for commas and points.

    Examples
    --------
    >>> from pathlib import Path
    >>> taken(Path("a.csv"), ";", Marks({"x": ","}, {}))
    '`a.csv` was read with a semicolon between columns and decimal commas in x'
    """
    if mark == ",":
        return ""
    return f"`{path.name}` was read with a {MARKS[mark]} between columns{marks.said()}"


def _text(path: Path, mark: str, gaps: tuple[str, ...] = ()) -> pa.Table:
    parse = csv.ParseOptions(newlines_in_values=True, delimiter=mark)
    read = csv.ReadOptions(block_size=BLOCK)
    with csv.open_csv(path, read_options=read, parse_options=parse) as first:
        names = first.schema.names
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=list(gaps),
        strings_can_be_null=bool(gaps),
        quoted_strings_can_be_null=False,
    )
    return csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert)


def _without_gaps_of_r(
    path: Path, mark: str, columns: list[pa.ChunkedArray], places: list[int]
) -> list[pa.ChunkedArray]:
    """Text columns whose unquoted NA are missing where the file, or the column, shows that text stands in quotes."""
    with pa.input_stream(str(path)) as file:  # decompresses as the reader does
        quoting = file.read(4).removeprefix(b"\xef\xbb\xbf").startswith(b'"')
    bare, out = _text(path, mark, ("NA",)), list(columns)
    for place in places:
        quoted = pc.any(pc.equal(bare.column(place), "NA")).as_py()
        if quoting or quoted:
            out[place] = pc.if_else(pc.is_null(bare.column(place)), None, columns[place])
    return out


def typed(text: pa.ChunkedArray, role: Role | None = None) -> pa.ChunkedArray:
    """A column of text (n,) as integers, numbers, yes and no, or as it is; see ``read_csv``.

    Examples
    --------
    >>> def kind(*fields, role=None):
    ...     return str(typed(pa.chunked_array([list(fields)]), role).type)
    >>> kind("5", "NA", ""), kind("5", "1e-05"), kind("01", "1"), kind("01", "1", role="number"), kind("NA", "DE")
    ('int64', 'double', 'string', 'int64', 'string')
    >>> kind("5", "5.0"), kind("5", "5.0", role="identity"), kind("100", "1E2"), kind("TRUE", "FALSE")
    ('double', 'string', 'string', 'bool')
    >>> kind("2020-01-31", ""), kind("2020-01-31", role="identity"), kind("2020-01-31", "soon"), kind("2020-01-31 10:00:00")
    ('timestamp[us]', 'string', 'string', 'timestamp[us]')
    """
    trimmed = pc.utf8_trim_whitespace(text)
    blank = pc.equal(trimmed, "")
    known = pc.if_else(blank, None, text)
    gap = pc.or_(blank, pc.is_in(trimmed, pa.array(GAPS)))
    shorn = pc.if_else(gap, None, trimmed)
    if role == "text":
        return known
    if shorn.null_count == len(shorn):
        return known if known.null_count < len(known) and role != "number" else shorn.cast(pa.float64())
    whole = _cast(shorn, pa.int64())
    if whole is not None and pc.all(pc.equal(whole.cast(pa.string()), shorn)).as_py():
        return whole
    values = _cast(shorn, pa.float64())
    if values is None:
        dates = None if role else _dates(shorn)
        return dates if dates is not None else _yes_no(shorn) if _is_yes_no(shorn) else known
    if role == "number":
        return values if whole is None else whole
    return pc.if_else(gap, None, text) if _code(shorn, values, role) else values


def _code(text: pa.ChunkedArray, values: pa.ChunkedArray, role: Role | None) -> bool:
    """Whether text that can be read as numbers is a code whose text matters."""
    if _any(text, PADDED):
        return True
    merged = pc.count_distinct(text).as_py() > pc.count_distinct(values).as_py()
    return merged and (role == "identity" or _any(text, CODE))


def _any(text: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(text, pattern)).as_py())


def _cast(text: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        return None


def _dates(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Days or moments, the latter of a zone in UTC; none where a field is no date."""
    if not pc.all(pc.match_substring_regex(text, DATE)).as_py():
        return None
    found = _cast(text, pa.timestamp("us"))
    return _cast(text, pa.timestamp("us", "UTC")) if found is None else found


def _is_yes_no(text: pa.ChunkedArray) -> bool:
    if not pc.all(pc.is_in(pc.utf8_lower(text), pa.array(["true", "false", None]))).as_py():
        return False
    found = set(pc.unique(text.drop_null()).to_pylist())
    return any(found <= each for each in YES_NO)


def _yes_no(text: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.equal(pc.utf8_lower(text), "true")
