"""What is kept as arrays (npz) and JSON, never code."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

State = tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]


def under(arrays: dict[str, Any], folder: str) -> dict[str, Any]:
    """Arrays of one folder of the file, without its name.

    Examples
    --------
    >>> under({"a/x": 1, "b/x": 2}, "b")
    {'x': 2}
    """
    return {
        name.removeprefix(f"{folder}/"): value
        for name, value in arrays.items()
        if name.startswith(f"{folder}/")
    }
