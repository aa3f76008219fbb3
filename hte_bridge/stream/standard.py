"""Means, spreads and the triangle of columns that are made or read part by part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.scaling import EPS, Standard
from hte_bridge.stream.runner import tree_sum
from hte_bridge.stream.study import parts_of

Columns = Callable[[slice], Array]
BLOCK = 1_024  # rows of a factorisation: with some dozen columns they stay in the processor's cache


def standard_of(raw: Columns, weight: Array) -> tuple[Standard, Array]:
    """``Standard.of`` of columns (n, k), given as a function of slices of rows, under weights (n,), and their largest sizes (k,).

    Examples
    --------
    >>> x = np.array([[1e9], [1e9 + 4.0]])
    >>> found, largest = standard_of(lambda rows: x[rows], np.ones(2))
    >>> found.centre, found.scale
    (array([1.e+09]), array([2.]))
    """
    parts, total = parts_of(len(weight)), float(weight.sum())
    share = lambda part: np.asarray(weight[part.rows]) / total
    seen = [(np.abs(here).max(axis=0), share(part) @ here) for part in parts for here in [raw(part.rows)]]
    largest = np.max([each for each, _ in seen], axis=0)
    centre = tree_sum(each for _, each in seen)
    far = [(share(part) @ off, share(part) @ off**2) for part in parts for off in [raw(part.rows) - centre]]
    more, squares = (tree_sum(each[k] for each in far) for k in range(2))
    scale, rounding = np.sqrt(np.maximum(squares - more**2, 0.0)), EPS * largest
    scale = np.where(scale > 8 * rounding, scale, 0.0)
    relative = np.where(scale > 0, rounding / np.where(scale > 0, scale, 1.0), 0.0)
    return Standard(centre + more, scale, relative), largest


def triangle(columns: Columns, n: int) -> Array:
    """R (k, k) of the QR factorisation of columns (n, k), given as a function of slices of rows."""
    made = (triangle_of(columns(part.rows)) for part in parts_of(n))
    return tree_sum(made, lambda one, other: triangle_of(np.vstack([one, other])))


def triangle_of(columns: Array) -> Array:
    """R of columns (m, k), blocks of rows first.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=(3000, 2))
    >>> r = triangle_of(x)
    >>> bool(np.allclose(r.T @ r, x.T @ x))
    True
    """
    k = columns.shape[1]
    whole = len(columns) // BLOCK * BLOCK if k < BLOCK else 0
    blocks: Any = np.linalg.qr(columns[:whole].reshape(-1, BLOCK, k), mode="r") if whole else columns[:0]
    return np.asarray(np.linalg.qr(np.vstack([blocks.reshape(-1, k), columns[whole:]]), mode="r"))
