"""What our arrays hold, said once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Record = TypeVar("Record", bound=Any)


def at(record: Record, rows: Any, *names: str) -> Record:
    """A record with some rows, or others, of its arrays of these names; what is ``None`` stays so."""
    own = {name: getattr(record, name) for name in names}
    found: Record = replace(record, **{name: each[rows] for name, each in own.items() if each is not None})
    return found


def slices(n: int, size: int) -> Iterator[slice]:
    """So many rows at a time: memory does not grow with them.

    Examples
    --------
    >>> [(each.start, each.stop) for each in slices(5, 2)]
    [(0, 2), (2, 4), (4, 5)]
    """
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
