"""Single draws of ``coverage`` in a file, with the fingerprints of all that they depend on: what is taken up is what would be made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from hte_bridge import digest
from hte_bridge.between.world import World
from hte_bridge.engine import Engine
from hte_bridge.errors import InvalidOption, UnreadableFile
from hte_bridge.files import read_columns, write_columns

COLUMNS = ("engine", "shape", "draw", "quantity", "value")
KINDS: Any = {"engine": object, "shape": object, "draw": "int64", "quantity": object, "value": "float64"}
MEANING = {
    "study": "another study",
    "reference": "another reference fit or scale",
    "seed": "another seed",
    "level": "another level",
    "code": "another version of hte_bridge or of a library",
}


def marks(world: World, engines: Sequence[Engine], level: float, seed: int) -> dict[str, Any]:
    """Fingerprints of a call, and of each engine by its name with its options in words.

    Raises
    ------
    InvalidOption
        If an engine holds something that cannot be told from another of its kind.
    """
    made: dict[str, Any] = {
        "study": digest.of_study(world.study),
        "reference": digest.fingerprint(world.base, world.noise, world.propensity, world.index, world.scale),
        "seed": int(seed),
        "level": float(level),
        "code": digest.code(),
    }
    try:
        known = {
            each.name: {"digest": digest.fingerprint(each), "options": digest.described(each)}
            for each in engines
        }
    except digest.NoFingerprint as error:
        raise InvalidOption(
            f"With `path`, engines must hold options that can be told from others. One holds {error}. Leave `path` out."
        ) from error
    return made | {"engines": known}


@dataclass(eq=False)
class Store:
    """Single results, in memory and, where a path is given, in a Parquet file that says which call made it.

    Parameters
    ----------
    path : Path, optional
    marks : mapping
        What ``marks`` says of the call.

    Raises
    ------
    UnreadableFile
        If the file is damaged, or was made by another call.
    """

    path: Path | None
    marks: Mapping[str, Any]
    frame: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        self.frame = pd.DataFrame(columns=list(COLUMNS)).astype(KINDS)
        if self.path is None or not self.path.exists():
            return
        columns, found, whole = read_columns(self.path, "a whole Parquet file of draws written by `coverage`")
        if found is None or not whole:
            raise UnreadableFile(
                f"`{self.path.name}` must be a file of draws with a checksum. It has none: it is of an older hte_bridge, of something "
                "else, or damaged. Delete it to begin anew, or choose another `path`."
            )
        other = unlike(found, self.marks)
        if other:
            raise UnreadableFile(
                f"`{self.path.name}` must hold draws of this call. It was made with {other}. Choose another `path`, or delete it."
            )
        self.marks = {**self.marks, "engines": {**found.get("engines", {}), **self.marks.get("engines", {})}}
        self.frame = columns.to_pandas()[list(COLUMNS)].astype(KINDS)

    def add(self, lines: Sequence[tuple[Any, ...]]) -> None:
        """Keep further results, and write all of them."""
        more = pd.DataFrame(lines, columns=list(COLUMNS)).astype(KINDS)
        self.frame = more if self.frame.empty else pd.concat([self.frame, more], ignore_index=True)
        if self.path is not None:
            write_columns(
                self.path, pa.Table.from_pandas(self.frame, preserve_index=False), json.dumps(self.marks)
            )

    def done(self, engine: str) -> set[tuple[str, int]]:
        """Shapes and draws that an engine has results of."""
        mine = self.frame[self.frame["engine"] == engine]
        return set(zip(mine["shape"], mine["draw"].astype(int), strict=True))


def unlike(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In what a file's call differs from this one, in words; empty where it does not.

    Examples
    --------
    >>> from hte_bridge.between.draws import unlike
    >>> was, now = ({"engines": {"grf": {"digest": k, "options": {"num_trees": k}}}} for k in ("20", "500"))
    >>> unlike(was, now)
    'other options: `grf` had num_trees 20, now 500'
    """
    other = [said for name, said in MEANING.items() if found.get(name) != wanted.get(name)]
    for name, now in wanted.get("engines", {}).items():
        was = found.get("engines", {}).get(name)
        if was is None or was["digest"] == now["digest"]:
            continue
        options = {*was["options"], *now["options"]}
        moved = [
            f"{each} {was['options'].get(each, 'unset')}, now {now['options'].get(each, 'unset')}"
            for each in sorted(options)
            if was["options"].get(each) != now["options"].get(each)
        ]
        said = "; ".join(moved) or "another engine, or another version of what it calls"
        other.append(f"other options: `{name}` had {said}")
    return ", ".join(other)
