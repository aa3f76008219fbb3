"""Arguments of a call from R: known, complete, and of the types that Python declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hte_bridge.errors import InvalidOption, nearest


def check_arguments(
    function: Callable[..., Any], options: Mapping[str, Any], called: str, partly: bool = False
) -> None:
    """Every option is an argument of the function, and, unless they are given ``partly``, none that it needs is missing.

    Raises
    ------
    InvalidOption
        With the nearest name where one is not known.
    """
    known = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in known.values()):
        return
    for name in options:
        if name not in known:
            offer = nearest(name, known, kind="They")
            raise InvalidOption(
                f"`{called}()` must be given arguments that it has. `{name}` is not one. {offer}"
            )
    if partly:
        return
    needed = [
        name
        for name, each in known.items()
        if each.default is each.empty and each.kind is not each.VAR_POSITIONAL
    ]
    missing = [
        name for name in needed if name not in options and name not in ("df", "data", "study", "engines")
    ]
    if missing:
        raise InvalidOption(
            f"`{called}()` needs `{missing[0]}`. It was not given. Add {missing[0]} = ... to the call."
        )


def as_declared(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with R's vectors of length one as the lists that the function declares, and whole numbers as int.

    Examples
    --------
    >>> def f(by: Sequence[str], seed: int) -> None: ...
    >>> as_declared(f, {"by": "age", "seed": 1.0})
    {'by': ['age'], 'seed': 1}
    """
    parameters = inspect.signature(function).parameters
    out = {}
    for name, value in options.items():
        declared = str(parameters[name].annotation) if name in parameters else ""
        if (
            isinstance(value, str)
            and declared.startswith(("Sequence[", "list[", "tuple["))
            and "| str" not in declared
        ):
            value = [value]
        if isinstance(value, float) and value.is_integer() and declared.startswith("int"):
            value = int(value)
        out[name] = value
    return out
