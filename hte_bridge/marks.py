"""Marks within the numbers of a CSV file: which one is decimal, which one stands between thousands, and where a file does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from hte_bridge.shown import first_names

EXPONENT = r"([eE][+-]?\d+)?"
OTHER = {",": ".", ".": ","}
WORDS = {",": "decimal commas", ".": "commas between thousands"}


def _number(decimal: str) -> str:
    """Pattern of a number with a decimal mark, and perhaps the other between thousands."""
    dot, between = rf"\{decimal}", rf"\{OTHER[decimal]}"
    return rf"^[+-]?(\d{{1,3}}({between}\d{{3}})+|\d*)({dot}\d+)?{EXPONENT}$"


def _grouped(mark: str) -> str:
    """Pattern of a whole number with a mark between thousands, which may be a decimal one with three digits behind it."""
    return rf"^[+-]?[1-9]\d{{0,2}}(\{mark}\d{{3}})+$"


@dataclass(frozen=True)
class Marks:
    """What the numbers of each column of a file hold.

    Parameters
    ----------
    decimal : mapping of str to str
        Columns in which a mark has to be taken for another: the decimal mark of each.
    doubtful : mapping of str to str
        Columns that may be read two ways, with a field of each; they stay text.
    """

    decimal: Mapping[str, str]
    doubtful: Mapping[str, str]

    @classmethod
    def of(cls, columns: Mapping[str, pa.ChunkedArray], between: str) -> Marks:
        """From columns of text without gaps and blanks, and the mark between columns.

        A mark is decimal where it stands before other than three digits, before a zero's, or behind the other mark. Twice in one number it
        stands between thousands. What one column shows holds for the file. Where none does, a comma is decimal in a file with semicolons
        between columns, as spreadsheets write where that is so.

        Examples
        --------
        >>> def marks(between, **columns):
        ...     return Marks.of({name: pa.chunked_array([list(each)]) for name, each in columns.items()}, between)
        >>> marks(";", x=["1,5"], people=["1.234", "900"]).decimal
        {'x': ',', 'people': ','}
        >>> marks("\\t", x=["1.5"], people=["1,234", "900"]).decimal, marks("\\t", people=["1,234", "900"]).doubtful
        ({'people': '.'}, {'people': '1,234'})
        """
        seen = {name: Seen.of(column) for name, column in columns.items()}
        shown = {mark for each in seen.values() for mark in each.shown}
        if not shown and between == ";" and any("," in each.held for each in seen.values()):
            shown = {","}
        decimal, doubtful = {}, {}
        for name, each in seen.items():
            own = each.shown or (shown if len(shown) == 1 else set())
            if len(own) == 1:
                mark = next(iter(own))
                if mark in each.able and (OTHER[mark] in each.held or (mark == "," and "," in each.held)):
                    decimal[name] = mark
            elif each.held and (each.held == {","} or (each.mixed and between == ";")):
                doubtful[name] = each.example
        return cls(decimal, doubtful)

    def said(self) -> str:
        """What a reader should know, to stand behind "was read with ..."; empty where nothing."""
        found = [
            f" and {WORDS[mark]} in {first_names([name for name, each in self.decimal.items() if each == mark])}"
            for mark in sorted(set(self.decimal.values()))
        ]
        if self.doubtful:
            name, field = next(iter(self.doubtful.items()))
            found.append(
                f"; numbers of {first_names(list(self.doubtful))} may be read two ways (`{field}` of {name}) and stay text"
            )
        return "".join(found)

    def plain(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column of text whose numbers have a decimal point and nothing between thousands; gaps stay."""
        mark = self.decimal.get(name)
        if mark is None:
            return column
        bare = pc.replace_substring(pc.replace_substring(column, OTHER[mark], ""), mark, ".")
        return pc.if_else(
            pc.match_substring_regex(pc.utf8_trim_whitespace(column), _number(mark)), bare, column
        )


@dataclass(frozen=True)
class Seen:
    """What the fields of one column show.

    Parameters
    ----------
    able : set of str
        Marks that may be decimal in all of its fields.
    held : set of str
        Marks that occur; none where a field is no number.
    shown : set of str
        Those that are decimal for sure.
    mixed : bool
        Whether it has whole numbers without a mark too.
    example : str
        A field with a mark.
    """

    able: frozenset[str]
    held: frozenset[str]
    shown: frozenset[str]
    mixed: bool = False
    example: str = ""

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Seen:
        """From text (n,) without gaps."""
        able = frozenset(mark for mark in OTHER if _all(column, _number(mark)))
        held = frozenset(mark for mark in OTHER if able and _any(column, rf"\{mark}"))
        if not held:
            return cls(able, frozenset(), frozenset())
        marked = column.filter(pc.match_substring_regex(column, r"[.,]"))
        shown = able if len(able) == 1 else frozenset()
        if len(able) > 1:  # one mark, once in each number
            mark = next(iter(held))
            shown = frozenset() if _all(marked, _grouped(mark)) else frozenset({mark})
        mixed = len(marked) < len(column)
        return cls(able, held, shown, mixed, marked[0].as_py())


def _all(text: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern)).as_py())


def _any(text: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(text, pattern)).as_py())
