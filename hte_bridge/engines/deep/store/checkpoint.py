"""What a long fit has done so far, kept in a folder: a fit that was killed goes on from there, bit for bit.

A unit of work (a fold's networks, a fold's sums) is one file of arrays (npz) and JSON, never code. Its name carries a
fingerprint of all that determines its numbers, so files of another study, other options or other code never match.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from hte_bridge import digest
from hte_bridge.digest import fingerprint
from hte_bridge.engines.deep.store.arrays import State
from hte_bridge.errors import InvalidOption
from hte_bridge.files import plain
from hte_bridge.sealed import BROKEN, read_arrays, write_arrays

Made = TypeVar("Made")
SHOWN = 20  # characters of the fingerprint in a file's name; all 64 are inside


@dataclass(frozen=True)
class Format(Generic[Made]):
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
    >>> import numpy as np
    >>> size = Format(lambda n: ({"n": np.array([n])}, {}), lambda arrays, values: int(arrays["n"][0]))
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
        return cls(Path(folder), digest.code())

    def under(self, *things: Any) -> Checkpoint:
        """The same folder for results that depend on ``things`` too; see ``fingerprint`` for what they may be."""
        return self if self.folder is None else replace(self, key=fingerprint(self.key, *things))

    def remember(self, name: str, form: Format[Made], make: Callable[..., Made], *given: Any) -> Made:
        """What the folder holds under ``name``, else ``make(*given)``, stored as soon as it is made."""
        made, trouble = self.attempt(name, form, make, *given)
        self.say(trouble)
        return made

    def attempt(
        self, name: str, form: Format[Made], make: Callable[..., Made], *given: Any
    ) -> tuple[Made, str]:
        """As ``remember``; what went wrong in storing is handed back: a worker process cannot warn for its parent."""
        stored = self.read(name, form)
        if stored is not None:
            return stored, ""
        made = make(*given)
        return made, self.write(name, form, made)

    def read(self, name: str, form: Format[Made]) -> Made | None:
        """What the folder holds under ``name``; ``None`` where there is nothing whole of ours."""
        if self.folder is None or not self.path(name).exists():
            return None
        try:
            arrays, values = read_arrays(self.path(name), "a unit of work")
            return form.restore(arrays, values["values"]) if values["key"] == self.key else None
        except BROKEN:  # truncated, damaged or foreign: what it held is made anew
            return None

    def write(self, name: str, form: Format[Made], made: Made) -> str:
        """Store a value; where that fails, the old file stays and the sentence of what went wrong comes back."""
        if self.folder is None:
            return ""
        arrays, values = form.state(made)
        text = json.dumps({"key": self.key, "values": values}, default=plain)
        try:
            write_arrays(self.path(name), arrays, text)
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
