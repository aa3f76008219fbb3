"""What our arrays hold, said once."""

from __future__ import annotations

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
