"""Chance that belongs to a row and not to its place: keys from index labels, and how folds are dealt by them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Codes

Keys = npt.NDArray[np.uint64]
STEP = 0x9E3779B97F4A7C15  # Steele, Lea and Flood (2014), OOPSLA: SplitMix64's step and mixers
MIXERS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
WORD = 2**64


def row_keys(index: pd.Index) -> Keys:
    """A key (n,) of 64 bits for each row: of its label, and of how many rows above have the same label.

    The same on every machine and in every version: 5, ``np.int32(5)`` and 5.0 are one label, "5" is another. SplitMix64
    of numbers, BLAKE2b of all else.

    Examples
    --------
    >>> keys = row_keys(pd.Index(["a", "b", "a"]))
    >>> bool(keys[1] == row_keys(pd.Index(["b"]))[0]), len(set(keys.tolist()))
    (True, 3)
    """
    words = words_of(index)
    times: npt.NDArray[Any] = np.zeros(len(words), dtype=np.uint64)
    if not index.is_unique:
        times = pd.Series(words).groupby(words).cumcount().to_numpy(dtype=np.uint64)
    return mixed(mixed(words) + times)


def seeded(keys: Keys, seed: int) -> Keys:
    """Keys (n,) of another shuffle for each seed."""
    return mixed(keys + np.uint64(_digest(f"seed {seed}")))


def mixed(words: Keys) -> Keys:
    """SplitMix64 of each word: a bijection whose values look like chance."""
    out = words + np.uint64(STEP)
    for shift, factor in MIXERS:
        out = (out ^ (out >> np.uint64(shift))) * np.uint64(factor)
    return out ^ (out >> np.uint64(31))


def deal_rows(keys: Keys, n_folds: int, arm: npt.NDArray[Any] | None = None) -> Codes:
    """Fold (n,) of each row: in the order of the keys, arm by arm, cut into parts of near equal size.

    Sizes differ by one at most, within an arm too. A row less moves only rows beside the cuts. The arm that holds the
    smallest key is dealt first, so that it does not matter which arm is called 1.

    Examples
    --------
    >>> deal_rows(np.array([3, 9, 1, 7], dtype=np.uint64), 2).tolist()
    [0, 1, 0, 1]
    """
    arms = np.zeros(len(keys), dtype=np.int64) if arm is None else np.unique(arm, return_inverse=True)[1]
    parts = [rows[np.argsort(keys[rows], kind="stable")] for rows in _members(arms)]
    fold, start = np.empty(len(keys), dtype=np.int64), 0
    for rows in sorted(parts, key=lambda each: int(keys[each[0]])):
        more = (np.arange(n_folds) - start) % n_folds < len(rows) % n_folds
        fold[rows] = np.repeat(np.arange(n_folds), len(rows) // n_folds + more)
        start = (start + len(rows)) % n_folds
    return fold


def deal_clusters(cluster: Codes, keys: Keys, n_folds: int) -> Codes:
    """Fold (n,) of each row, clusters whole: the largest first, each to the fold with fewest units so far.

    A cluster's key, which breaks ties, is the smallest of its rows' keys: neither its label nor its order counts.

    Examples
    --------
    >>> deal_clusters(np.array([0, 0, 0, 1, 1, 2]), np.array([5, 2, 3, 8, 1, 4], dtype=np.uint64), 2).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    sizes = np.bincount(cluster)
    smallest = np.full(len(sizes), np.iinfo(np.uint64).max)
    np.minimum.at(smallest, cluster, keys)
    if sizes.max() == sizes.min():
        return deal_rows(smallest, n_folds)[cluster]
    place, filled = np.empty(len(sizes), dtype=np.int64), np.zeros(n_folds)
    for each in np.lexsort([smallest, -sizes]):
        place[each] = int(np.argmin(filled))
        filled[place[each]] += sizes[each]
    return place[cluster]


def lots(cluster: Codes, keys: Keys) -> Codes:
    """Codes (n,) 0..G-1 of the clusters in the order of the smallest key of their rows: what is drawn for a cluster by lot is then its own,
    under any name and in any order of the rows.

    Examples
    --------
    >>> lots(np.array([0, 0, 1]), np.array([5, 7, 2], dtype=np.uint64)).tolist()
    [1, 1, 0]
    """
    smallest = np.full(int(cluster.max()) + 1, np.iinfo(np.uint64).max)
    np.minimum.at(smallest, cluster, keys)
    place = np.empty(len(smallest), dtype=np.int64)
    place[np.argsort(smallest, kind="stable")] = np.arange(len(smallest))
    return place[cluster]


def _members(codes: Codes) -> Sequence[Codes]:
    return [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]


def words_of(index: pd.Index) -> Keys:
    """A word (n,) for each label, equal where labels are."""
    values = index.to_numpy()
    if values.dtype.kind in "iub":
        return values.astype(np.int64 if values.dtype.kind == "i" else np.uint64).astype(np.uint64)
    codes, labels = pd.factorize(index, use_na_sentinel=False)
    return np.fromiter((_word(label) for label in labels), dtype=np.uint64, count=len(labels))[codes]


def _word(label: Any) -> int:
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, int):
        return label % WORD
    if isinstance(label, tuple):
        return _digest("tuple " + " ".join(str(_word(each)) for each in label))
    if isinstance(label, datetime | date):
        return _digest(f"date {label.isoformat()}")
    if isinstance(label, str | float):
        return _digest(f"{type(label).__name__} {label}")
    return _digest("missing" if pd.isna(label) is True else f"{type(label).__name__} {label}")


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")
