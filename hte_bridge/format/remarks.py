"""Notes of rows as numbered footnotes: what is true of every row is none, and those that say why a figure is missing come first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hte_bridge.format.words import sentence
from hte_bridge.shown import visible

if TYPE_CHECKING:
    from hte_bridge.estimate import Estimate

Marks = tuple[int, ...]
LACKING, OWN, ENGINE, PLAIN = range(4)  # how much a footnote matters


@dataclass(frozen=True)
class Remarks:
    """Footnotes of a table and which row has which.

    Parameters
    ----------
    footnotes : tuple of str
    common : tuple of str
        What every row says: notes of the table.
    by_row : mapping of int to tuple of int
        Marks by the identity of the row.
    """

    footnotes: tuple[str, ...]
    common: tuple[str, ...]
    by_row: Mapping[int, Marks]

    def marks(self, row: Estimate) -> Marks:
        """Numbers of the footnotes of a row."""
        return self.by_row[id(row)]

    def of_all(self, rows: Sequence[Estimate]) -> Marks:
        """Numbers that each of several rows has; none where there is but one."""
        if len(rows) < 2:
            return ()
        return tuple(sorted(set(self.marks(rows[0])).intersection(*map(self.marks, rows[1:]))))


def remarks(rows: Sequence[Estimate], of_engines: Mapping[str, Sequence[str]]) -> Remarks:
    """Footnotes of rows in the order in which they matter."""
    made = [_parts(row, of_engines.get(row.engine, ())) for row in rows]
    alone = _alone({tuple(own) for own, _ in made if own})
    said = [
        _sentences(own, alone) | {sentence(each): kind for each, kind in others.items()}
        for own, others in made
    ]
    weight: dict[str, int] = {}
    for row, sentences in zip(rows, said, strict=True):
        for text, kind in sentences.items():
            weight[text] = min(weight.get(text, PLAIN), LACKING if kind == OWN and lacks(row) else kind)
    common = [text for text in weight if len(rows) > 1 and all(text in each for each in said)]
    order = sorted((text for text in weight if text not in common), key=weight.__getitem__)
    by_row = {
        id(row): tuple(sorted(order.index(text) + 1 for text in sentences if text not in common))
        for row, sentences in zip(rows, said, strict=True)
    }
    return Remarks(tuple(map(_one_line, order)), tuple(map(_one_line, common)), by_row)


def lacks(row: Estimate) -> bool:
    """Whether a row has no estimate and no test, or an estimate without error, interval and test."""
    bare = not row.std_error > 0 and row.interval is None
    return row.test is None and (bare or not math.isfinite(row.estimate))


def _parts(row: Estimate, of_engine: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """A row's own note in the parts between its semicolons; and what else it says, such as what its engine says of every row."""
    from hte_bridge.estimate import UNSAID

    own = row.note
    said = [note for note in of_engine if note in own]
    for note in said:
        own = own.replace(note, "")
    parts = [part.strip() for part in own.split("; ") if part.strip(" ;")]
    plain = {UNSAID: PLAIN} if UNSAID in parts else {}
    return [part for part in parts if part != UNSAID], plain | dict.fromkeys(filter(None, said), ENGINE)


def _alone(notes: Set[tuple[str, ...]]) -> Set[tuple[str, ...]]:
    """The notes of rows, in parts, that hold no other row's whole note."""
    return {
        note
        for note in notes
        if not any(
            note[at:end] in notes
            for at in range(len(note))
            for end in range(at + 1, len(note) + 1)
            if end - at < len(note)
        )
    }


def _sentences(parts: Sequence[str], alone: Set[tuple[str, ...]]) -> dict[str, int]:
    """A row's own note as sentences: what is ``alone`` another row's note stands by itself, so that it is one footnote of both."""
    found: list[list[str]] = []
    at, open_ = 0, False
    while at < len(parts):
        end = next((end for end in range(at + 1, len(parts) + 1) if tuple(parts[at:end]) in alone), at)
        if end == at and open_:
            found[-1].append(parts[at])
        else:
            found.append(list(parts[at : max(end, at + 1)]))
        at, open_ = max(end, at + 1), end == at
    return {sentence("; ".join(each)): OWN for each in found}


def _one_line(text: str) -> str:
    """A sentence as one line: R's messages have several."""
    return visible(" ".join(text.split()))
