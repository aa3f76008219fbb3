"""Labels met batch by batch: an exact word for each row at once, codes when all labels are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types

from hte_bridge.errors import InvalidData
from hte_bridge.keys import Keys, words_of
from hte_bridge.kinds import codes_of

HELD = 8  # of distinct labels: lists of batches are merged when they hold more than this many times what was left last
FIRST = 1 << 20  # labels in these lists before they are first merged


@dataclass(eq=False)
class Labels:
    """Distinct labels of a column, in whatever batch they first come up.

    Parameters
    ----------
    role, name : str
        What the column is called in sentences.

    Examples
    --------
    >>> towns = Labels("cluster", "town")
    >>> words = [towns.take(pd.Series(each))[0] for each in (["b", "a"], ["c", "a"])]
    >>> levels, place = towns.done()
    >>> levels.tolist(), [place(each).tolist() for each in words]
    (['a', 'b', 'c'], [[1, 0], [2, 0]])
    """

    role: str
    name: str
    words: list[Keys] = field(default_factory=list)
    labels: list[npt.NDArray[Any]] = field(default_factory=list)
    categories: pd.Index | None = None
    ordered: bool = False
    categorical: bool = False
    held: int = 0
    merge_at: int = FIRST

    def take(self, column: pd.Series) -> tuple[Keys, npt.NDArray[np.bool_]]:
        """Word (m,) of each row's label, and which rows (m,) have none (missing or blank text)."""
        self._order(column)
        codes, found = codes_of(column, self.role, self.name)
        if types.is_integer_dtype(column):
            found = found.astype(
                np.uint64 if column.dtype.kind == "u" else np.int64
            )  # whole numbers beside gaps are labels as without
        words = words_of(pd.Index(found))
        self.words.append(words)
        self.labels.append(found)
        self.held += len(found)
        if self.held > self.merge_at:
            self._merge()
        missing = codes < 0
        if not len(words):
            return np.zeros(len(codes), dtype=np.uint64), missing
        return words[codes], missing

    def done(self) -> tuple[npt.NDArray[Any], Any]:
        """The labels (L,) in the order that they would have in memory, and a function from words to their places."""
        self._merge()
        words, labels = self.words[0], self.labels[0]
        whole = pd.Series(labels)
        if self.categories is not None:
            whole = pd.Series(pd.Categorical(labels, categories=self.categories, ordered=self.ordered))
        codes, levels = codes_of(whole, self.role, self.name)

        def place(each: Keys) -> npt.NDArray[np.int64]:
            return codes[np.searchsorted(words, each)]

        return levels, place

    def column(self, codes: npt.NDArray[Any], levels: npt.NDArray[Any]) -> pd.Series:
        """Labels of codes (m,), missing where they are -1, as a column of the type that the files hold."""
        ordered = self.ordered and self.categorical
        made = pd.Categorical.from_codes(codes, categories=pd.Index(levels), ordered=ordered)
        return pd.Series(made) if self.categorical else pd.Series(made).astype(pd.Index(levels).dtype)

    def _order(self, column: pd.Series) -> None:
        """The order of a category's levels, where every batch has the same; an order that means something must be one."""
        if not isinstance(column.dtype, pd.CategoricalDtype):
            return
        own = column.dtype.categories
        if not len(own):
            return
        if not self.categorical:
            self.categorical, self.ordered, self.categories = True, bool(column.dtype.ordered), own
        elif self.categories is not None and not own.equals(self.categories):
            if self.ordered:
                raise InvalidData(
                    f"Levels that have an order must have the same one in all files. Those of `{self.name}` do not. Write it as numbers, "
                    "or as text where the order means nothing."
                )
            self.categories = None

    def _merge(self) -> None:
        words = np.concatenate([np.empty(0, dtype=np.uint64), *self.words])
        kept, first = np.unique(words, return_index=True)
        labels = np.concatenate(self.labels)[first] if self.labels else np.empty(0, dtype=object)
        self.words, self.labels, self.held = [kept], [labels], len(kept)
        self.merge_at = max(FIRST, HELD * len(kept))
