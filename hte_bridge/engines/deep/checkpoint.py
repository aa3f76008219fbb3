"""What a long fit has done so far, kept in a folder: a fit that was killed goes on from there, bit for bit.

A unit of work (a fold's networks, a fold's sums) is one file of arrays (npz) and JSON, never code. Its name carries a
fingerprint of all that determines its numbers, so files of another study, other options or other code never match.
"""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import scipy
import torch
from scipy import sparse

from hte_bridge.engines.deep.save import under
from hte_bridge.engines.deep.sums import Sums
from hte_bridge.errors import InvalidOption
from hte_bridge.files import plain, whole_file

Made = TypeVar("Made")
State = tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]

BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, EOFError, zipfile.BadZipFile)
SHOWN = 20  # characters of the fingerprint in a file's name; all 64 are inside


@dataclass(frozen=True)
class Form(Generic[Made]):
    """How a value becomes arrays and JSON, and comes back.

    Parameters
    ----------
    state : callable
        Value -> arrays and JSON values.
    restore : callable
        Arrays and JSON values -> value.
    """

    state: Callable[[Made], State]
    restore: Callable[[Mapping[str, Any], Mapping[str, Any]], Made]


@dataclass(frozen=True)
class Checkpoint:
    """A folder of finished work; without a folder all is made anew and nothing is written.

    Parameters
    ----------
    folder : path, optional
    key : str
        Fingerprint of what determines the results.

    Examples
    --------
    >>> import tempfile
    >>> size = Form(lambda n: ({"n": np.array([n])}, {}), lambda arrays, values: int(arrays["n"][0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ours = Checkpoint.of(folder).under(np.arange(3.0), {"seed": 1})
    ...     ours.remember("size", size, lambda: 7), ours.remember("size", size, lambda: 8)
    (7, 7)
    """

    folder: Path | None = None
    key: str = ""
    # the one thing that changes: copies share it, so that a full disk is said once and not for each file
    said: list[str] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, folder: str | Path | None) -> Checkpoint:
        """The folder that was asked for, made where it is missing.

        Raises
        ------
        InvalidOption
            If it cannot be made.
        """
        if folder is None:
            return NOWHERE
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidOption(
                f"`checkpoint` must be a folder, or a path where one can be made. `{folder}` is not "
                f"({error.strerror or error}). Choose another, or leave it out."
            ) from error
        return cls(Path(folder), made_by())

    def under(self, *things: Any) -> Checkpoint:
        """The same folder for results that depend on ``things`` too; see ``fingerprint`` for what they may be."""
        return self if self.folder is None else replace(self, key=fingerprint(self.key, *things))

    def remember(self, name: str, form: Form[Made], make: Callable[..., Made], *given: Any) -> Made:
        """What the folder holds under ``name``, else ``make(*given)``, stored as soon as it is made."""
        made, trouble = self.attempt(name, form, make, *given)
        self.say(trouble)
        return made

    def attempt(
        self, name: str, form: Form[Made], make: Callable[..., Made], *given: Any
    ) -> tuple[Made, str]:
        """As ``remember``; what went wrong in storing is handed back: a worker process cannot warn for its parent."""
        stored = self.read(name, form)
        if stored is not None:
            return stored, ""
        made = make(*given)
        return made, self.write(name, form, made)

    def read(self, name: str, form: Form[Made]) -> Made | None:
        """What the folder holds under ``name``; ``None`` where there is nothing whole of ours."""
        if self.folder is None or not self.path(name).exists():
            return None
        try:
            with self.path(name).open("rb") as file, np.load(file, allow_pickle=False) as held:
                arrays = {each: held[each] for each in held.files}
            values = json.loads(arrays.pop("json").tobytes())
            return form.restore(arrays, values["values"]) if values["key"] == self.key else None
        except BROKEN:  # truncated or foreign: what it held is made anew
            return None

    def write(self, name: str, form: Form[Made], made: Made) -> str:
        """Store a value; where that fails, the old file stays and the sentence of what went wrong comes back."""
        if self.folder is None:
            return ""
        arrays, values = form.state(made)
        text = json.dumps({"key": self.key, "values": values}, default=plain)
        try:
            with whole_file(self.path(name)) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, json=np.frombuffer(text.encode(), np.uint8), **arrays)
        except OSError as error:
            return f"{error} The fit goes on, but after a kill what was not stored is made again."
        return ""

    def say(self, trouble: str) -> None:
        """Warn of the first trouble with the folder."""
        if trouble and not self.said:
            self.said.append(trouble)
            warnings.warn(trouble, stacklevel=3)

    def path(self, name: str) -> Path:
        """File of a unit of work."""
        assert self.folder is not None
        return self.folder / f"{name}-{self.key[:SHOWN]}.npz"


NOWHERE = Checkpoint()


def fingerprint(*things: Any) -> str:
    """SHA-256 of values: arrays, numbers, text, ``None``, and sequences, mappings and dataclasses of them.

    Examples
    --------
    >>> fingerprint(np.arange(3.0), "a") == fingerprint(np.array([0.0, 1.0, 2.0]), "a")
    True
    >>> fingerprint(("a", "b")) == fingerprint(("ab",))
    False
    """
    found = hashlib.sha256()
    _feed(found, things)
    return found.hexdigest()


def _feed(found: Any, thing: Any) -> None:
    if isinstance(thing, np.ndarray):
        if thing.dtype.hasobject:
            return _feed(found, [repr(each) for each in thing.ravel()])
        found.update(f"array {thing.dtype.str} {thing.shape}:".encode())
        return found.update(np.ascontiguousarray(thing).reshape(-1).view(np.uint8))
    if is_dataclass(thing):
        own = {each.name: getattr(thing, each.name) for each in fields(thing)}
        return _feed(found, (type(thing).__name__, own))
    if isinstance(thing, Mapping):
        return _feed(found, ("mapping", *thing.items()))
    if isinstance(thing, Sequence) and not isinstance(thing, str | bytes):
        found.update(f"sequence {len(thing)}:".encode())
        for each in thing:
            _feed(found, each)
        return None
    if not isinstance(thing, str | bytes | int | float | np.generic | None):
        raise TypeError(
            f"What is fingerprinted must be a plain value. {type(thing)} is not. Add it to `_feed`."
        )
    text = repr(thing).encode()
    return found.update(f"{type(thing).__name__} {len(text)}:".encode() + text)


@cache
def made_by() -> str:
    """Fingerprint of the code: a result of other code is not ours, even where it could be read."""
    own = [file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))]
    return fingerprint(own, torch.__version__, np.__version__, scipy.__version__)


def sums_state(made: Sums) -> State:
    """Sums as arrays and JSON values."""
    dense = ("dense", "cross", "target", "level_target", "second")
    arrays = {name: getattr(made, name) for name in dense}
    arrays |= {f"levels/{name}": getattr(made.levels, name) for name in ("data", "indices", "indptr")}
    return arrays, {"shape": made.levels.shape, "n": made.n, "n_levels": made.n_levels}


def sums_restored(arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Sums:
    """Rebuild what ``sums_state`` took apart."""
    parts = under(dict(arrays), "levels")
    levels = sparse.csr_array((parts["data"], parts["indices"], parts["indptr"]), shape=values["shape"])
    return Sums(
        arrays["dense"],
        arrays["cross"],
        levels,
        arrays["target"],
        arrays["level_target"],
        arrays["second"],
        values["n"],
        values["n_levels"],
    )


SUMS = Form(sums_state, sums_restored)
