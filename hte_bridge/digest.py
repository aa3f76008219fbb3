"""Fingerprints of what numbers depend on: data, every option of an engine, and the code itself. Resumable files carry them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from hte_bridge.study import Study

PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "pyfixest", "torch", "econml", "rpy2")
DEEPEST = 30  # values in values
SHOWN = 60  # characters of a value in a sentence


class NoFingerprint(TypeError):
    """A value that cannot be told from another of its kind."""


def fingerprint(*things: Any) -> str:
    """SHA-256 of values: what is plain, arrays and frames, and dataclasses, estimators, functions and objects made of these.

    Raises
    ------
    NoFingerprint
        For a value whose state cannot be seen.

    Examples
    --------
    >>> fingerprint(np.arange(3.0), "a") == fingerprint(np.array([0.0, 1.0, 2.0]), "a")
    True
    >>> fingerprint(("a", "b")) == fingerprint(("ab",))
    False
    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
    False
    """
    found = hashlib.sha256()
    _feed(found, things, 0)
    return found.hexdigest()


def _feed(found: Any, thing: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise NoFingerprint("values in values without end")
    if isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
        found.update(f"array {thing.dtype.str} {thing.shape}:".encode())
        found.update(np.ascontiguousarray(thing).reshape(-1).view(np.uint8))
        return
    if isinstance(thing, str | bytes | int | float | complex | np.generic | None):
        text = repr(thing).encode()
        found.update(f"{type(thing).__name__} {len(text)}:".encode() + text)
        return
    if isinstance(thing, Sequence) and not isinstance(thing, range):
        found.update(f"sequence {len(thing)}:".encode())
        for each in thing:
            _feed(found, each, depth + 1)
        return
    _feed(found, (type(thing).__qualname__, *_parts(thing)), depth + 1)


def _parts(thing: Any) -> tuple[Any, ...]:
    """What a value is made of."""
    if isinstance(thing, np.ndarray):
        return (thing.shape, [repr(each) for each in thing.ravel()])
    if isinstance(thing, pd.DataFrame):
        return (list(thing.columns), thing.index, [thing.iloc[:, j] for j in range(thing.shape[1])])
    if isinstance(thing, pd.Series | pd.Index):
        return (str(thing.dtype), thing.to_numpy())
    if isinstance(thing, Mapping):
        return tuple(thing.items())
    if isinstance(thing, set | frozenset):
        return tuple(sorted(map(repr, thing)))
    if isinstance(thing, Path | range | np.dtype):
        return (str(thing),)
    if isinstance(thing, type | types.BuiltinFunctionType | np.ufunc):
        return (getattr(thing, "__module__", ""), getattr(thing, "__qualname__", thing.__name__))
    if isinstance(thing, types.FunctionType):
        closed = [each.cell_contents for each in thing.__closure__ or ()]
        return (thing.__code__, thing.__defaults__, thing.__kwdefaults__, closed)
    if isinstance(thing, types.CodeType):
        return (thing.co_code, thing.co_names, thing.co_varnames[: thing.co_argcount], thing.co_consts)
    if isinstance(thing, types.MethodType):
        return (thing.__func__, thing.__self__)
    if isinstance(thing, partial):
        return (thing.func, thing.args, thing.keywords)
    if isinstance(thing, np.random.Generator):
        return (thing.bit_generator.state,)
    if isinstance(thing, np.random.RandomState):
        return (thing.get_state(),)
    return (type(thing).__module__, _state(thing), made_by(thing))


def _state(thing: Any) -> Any:
    """The options of an engine, the parameters of an estimator, or the attributes of an object."""
    if is_dataclass(thing):
        return {each.name: getattr(thing, each.name) for each in fields(thing)}
    if callable(getattr(thing, "get_params", None)):
        return thing.get_params(deep=False)
    if hasattr(thing, "__array__"):
        return np.asarray(thing)
    if hasattr(thing, "__dict__"):
        return vars(thing)
    raise NoFingerprint(f"a {type(thing).__name__}")


def made_by(thing: Any) -> Any:
    """Versions beyond this package's that an engine says its numbers depend on."""
    said = getattr(thing, "made_by", None)
    return said() if callable(said) and not isinstance(thing, type) else None


def of_study(study: Study) -> str:
    """Fingerprint of all that engines see of a study, the labels that folds follow included."""
    return fingerprint(
        {each.name: getattr(study, each.name) for each in fields(study) if each.name != "frame"}
    )


def described(thing: Any, name: str = "") -> dict[str, str]:
    """Options in words, those of engines within an engine too: what a sentence can name.

    Examples
    --------
    >>> import hte_bridge as hb
    >>> described(hb.CausalForest(num_trees=20))["num_trees"]
    '20'
    """
    if not is_dataclass(thing) or isinstance(thing, type):
        text = repr(thing)
        return {name: text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({fingerprint(thing)[:8]})"}
    found: dict[str, str] = {}
    for each in fields(thing):
        inner = f"{name}.{each.name}" if name else each.name
        found |= described(getattr(thing, each.name), inner)
    return found


@cache
def code() -> str:
    """Fingerprint of this package's code and of the versions of the libraries that decide numbers."""
    here = Path(__file__).parent
    own = [file.read_bytes() for ending in ("py", "R") for file in sorted(here.rglob(f"*.{ending}"))]
    versions = []
    for name in PACKAGES:
        try:
            versions.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return fingerprint(own, versions)
