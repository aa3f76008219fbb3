"""The columns of files as a frame that reads them when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from hte_bridge.frames import from_arrow
from hte_bridge.stream.source import Source


@dataclass(frozen=True, eq=False)
class LazyFrame:
    """What verbs ask of a study's frame: names, a column, or some rows; each is read from the source, and not kept.

    Parameters
    ----------
    source : Source
    keep : array of bool (rows of the source,), optional
        Rows of the study; all where there is none.
    index : Index (n,)
        Their labels.
    labels : sequence of str
        Columns of the source that are the index, and so are none of the frame.
    """

    source: Source
    keep: npt.NDArray[np.bool_] | None
    index: pd.Index
    labels: Sequence[str] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def named_labels(self) -> tuple[str, ...]:
        """Columns that are the index because a user named them; none where it is the one that pandas wrote."""
        noted = (self.source.schema.pandas_metadata or {}).get("index_columns", [])
        return () if list(self.labels) == noted else tuple(self.labels)

    @property
    def columns(self) -> pd.Index:
        """Names of the columns."""
        return pd.Index([name for name in self.source.schema.names if name not in self.labels], dtype=object)

    def __getitem__(self, name: Any) -> Any:
        """A column by its name, or a frame of several."""
        if isinstance(name, str):
            return self._read([name])[name]
        return self._read(list(name))

    @property
    def iloc(self) -> _Places:
        """Some rows by their places."""
        return _Places(self)

    def reset_index(self, drop: bool = True) -> LazyFrame:
        """The same columns, rows numbered from 0."""
        return LazyFrame(self.source, self.keep, pd.RangeIndex(len(self)), self.labels, self.attrs)

    def only(self, places: npt.NDArray[np.int64]) -> LazyFrame:
        """Some rows, in their order, still to be read."""
        keep = np.ones(len(self), dtype=bool) if self.keep is None else np.array(self.keep)
        kept = np.zeros(len(keep), dtype=bool)
        kept[np.flatnonzero(keep)[places]] = True
        return LazyFrame(self.source, kept, self.index[places], self.labels, self.attrs)

    def rows(self, places: npt.NDArray[np.int64]) -> pd.DataFrame:
        """Some rows, all columns, in the order of their places."""
        chosen = places if self.keep is None else np.flatnonzero(self.keep)[places]
        sorted_places, back = np.unique(chosen, return_inverse=True)
        return self._table(list(self.columns), sorted_places).iloc[back].set_axis(self.index[places])

    def _read(self, names: list[str]) -> pd.DataFrame:
        chosen = None if self.keep is None else np.flatnonzero(self.keep)
        return self._table(names, chosen).set_axis(self.index)

    def _table(self, names: list[str], chosen: npt.NDArray[np.int64] | None) -> pd.DataFrame:
        """Rows of the source at sorted places, or all."""
        parts, begin = [], 0
        for batch in self.source.batches(names):
            if chosen is not None:
                low, high = np.searchsorted(chosen, [begin, begin + len(batch)])
                begin += len(batch)
                batch = batch.take(pa.array(chosen[low:high] - (begin - len(batch))))
            parts.append(batch)
        table = pa.Table.from_batches(parts, schema=parts[0].schema)
        return from_arrow(table.replace_schema_metadata(_without_index(table.schema)))


@dataclass(frozen=True, eq=False)
class _Places:
    frame: LazyFrame

    def __getitem__(self, places: Any) -> pd.DataFrame:
        return self.frame.rows(np.arange(len(self.frame))[places])


def _without_index(schema: pa.Schema) -> dict[bytes, bytes] | None:
    """pandas' notes on the columns, less those on an index: rows are labelled by the study."""
    noted = schema.pandas_metadata
    if not noted:
        return None
    return {b"pandas": json.dumps(noted | {"index_columns": []}).encode()}
