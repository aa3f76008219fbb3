"""An outcome model and its scales as a file says them, in JSON and in the words of its time."""

from __future__ import annotations

from typing import Any


def tuples(value: Any) -> Any:
    """Lists within lists, as JSON knows them, as tuples, wherever they are.

    Examples
    --------
    >>> tuples({"boxes": [[], [[0, 0.5, True]]], "p": 3})
    {'boxes': ((), ((0, 0.5, True),)), 'p': 3}
    """
    if isinstance(value, dict):
        return {name: tuples(each) for name, each in value.items()}
    return tuple(tuples(each) for each in value) if isinstance(value, list | tuple) else value


def by_kinds(form: dict[str, Any], scales: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An outcome model and its scales as read, with the kinds of their surfaces; files of before said of each whether it is an index or a sum.

    Examples
    --------
    >>> form, scales = by_kinds({"index": True, "additive": False}, {"rates": [1.0, 8.0], "index": [False, True]})
    >>> form == {"kinds": ["smooth", "index"]}, scales == {"rates": [1.0, 8.0], "kinds": ["smooth", "index"]}
    (True, True)
    """
    if "kinds" in scales:
        return dict(form), dict(scales)
    none = [False] * len(scales["rates"])
    flags = zip(scales.get("index") or none, scales.get("additive") or none, strict=True)
    kinds = ["index" if along else "additive" if summed else "smooth" for along, summed in flags]
    left = ({k: v for k, v in each.items() if k not in ("index", "additive")} for each in (form, scales))
    first, second = ({**each, "kinds": kinds} for each in left)
    return first, second
