"""Objects that stay in R, and how to get them back when their worker is gone."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from hte_bridge.rlink import client


@dataclass
class _Handle:
    number: int
    name: str


@dataclass(eq=False)
class Kept:
    """An R object made by a call, named in later calls by its handle; only the recipe is pickled.

    Where its worker is gone (it died, or this is a fork or another process), the call is made again: with the same
    seed the object is the same.

    Parameters
    ----------
    function : str
        R function that makes it; a list with element ``handle`` (what ``keep()`` gave) is its value.
    arrays, options : mapping
        Its arguments, as in ``client.call``.
    """

    function: str
    arrays: Mapping[str, npt.ArrayLike | None]
    options: Mapping[str, Any]
    _handle: _Handle | None = field(default=None, repr=False)

    def make(self) -> dict[str, Any]:
        """Make the object; the other elements of the function's value."""
        value, running = client.call_in(self.function, self.arrays, self.options)
        self._handle = _Handle(running.number, value.pop("handle"))
        weakref.finalize(self, running.drops.append, self._handle.name)  # freed with the next call
        return value

    def call(
        self,
        function: str,
        arrays: Mapping[str, npt.ArrayLike | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call an R function with this object's handle as its argument ``handle``."""
        for _ in range(2):
            if self._handle is None:
                self.make()
            assert self._handle is not None
            try:
                return client.call(
                    function,
                    arrays,
                    {**(options or {}), "handle": self._handle.name},
                    number=self._handle.number,
                )
            except client.Gone:
                self._handle = None
        raise client.Gone

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}
