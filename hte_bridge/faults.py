"""What nobody foresaw: an exception inside one engine becomes a sentence, so that no other engine's rows are lost."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from hte_bridge.errors import HteBridgeError, InvalidOption, NotEnoughMemory

OnError = Literal["row", "raise"]
LONGEST = 160  # characters of another library's message that a footnote repeats


class Fault(HteBridgeError, RuntimeError):
    """An exception that no sentence of ours foresaw; its cause is what was raised, ``traceback`` where.

    Attributes
    ----------
    traceback : str
        As Python prints it; kept in ``table.meta["engines"]``, never in a printed table.
    """

    def __init__(self, what: str, error: Exception) -> None:
        self.traceback = "".join(traceback.format_exception(error))
        said = " ".join(str(error).split())
        said = f"{said[:LONGEST]}…" if len(said) > LONGEST else said
        super().__init__(
            f"{what} must end in numbers or in a reason. It ended in {type(error).__name__}{f' ({said})' if said else ''}: "
            "a fault of hte_bridge, not of the data. Please report it with its traceback, which a table keeps in its `meta` "
            "under `engines`"
        )


@contextmanager
def silent() -> Iterator[None]:
    """Without numpy's and scipy's warnings of overflow, ill-conditioning and empty means: what they end in is looked at.

    Nor what pandas tells pyfixest that it will drop some day: which pandas is newer than a pyfixest is not ours to mend.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="pyfixest")
        yield


@dataclass(frozen=True)
class Guard:
    """Turns what nobody foresaw into a ``Fault``, and keeps its traceback under the engine's name.

    ``with guard(engine, what): ...`` lets our own errors pass. numpy's floating-point warnings are silent inside: an overflow
    ends in a value that is not finite, which the rows say.

    Parameters
    ----------
    on_error : {"row", "raise"}, default "row"
        "raise" lets the exception itself through, for developers.
    tracebacks : dict of str to str
        By engine; filled here.

    Examples
    --------
    >>> guard = Guard()
    >>> try:
    ...     with guard("mine", "The fit of mine"):
    ...         [][0]
    ... except HteBridgeError as fault:
    ...     print(str(fault)[:79])
    The fit of mine must end in numbers or in a reason. It ended in IndexError (lis
    >>> guard.tracebacks["mine"].splitlines()[-1]
    'IndexError: list index out of range'
    """

    on_error: OnError = "row"
    tracebacks: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.on_error not in get_args(OnError):
            raise InvalidOption(
                f"`on_error` must be 'row' or 'raise'. {self.on_error!r} was given. 'row' keeps the other engines' rows."
            )

    @contextmanager
    def __call__(self, engine: str, what: str) -> Iterator[None]:
        """Guard the block, which is ``what`` (a subject: "The fit of feols") of ``engine``.

        Raises
        ------
        Fault
            For an exception that is none of ours; with "raise", that exception.
        NotEnoughMemory
            If memory ran out.
        """
        try:
            with silent():
                yield
        except HteBridgeError:
            raise
        except MemoryError as error:
            if self.on_error == "raise":
                raise
            raise NotEnoughMemory(
                f"{what} must fit in memory. It did not. Close other programs, or use fewer rows or covariates."
            ) from error
        except Exception as error:  # the one place: whatever it is, it is this engine's alone
            if self.on_error == "raise":
                raise
            fault = Fault(what, error)
            known = self.tracebacks.get(engine, "")
            if fault.traceback not in known:
                self.tracebacks[engine] = f"{known}\n{fault.traceback}".lstrip()
            raise fault from error

    def noted(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        """A table's meta with the tracebacks among what it says of each engine."""
        said = dict(meta.get("engines") or {})
        for name, text in self.tracebacks.items():
            said[name] = {**said.get(name, {}), "traceback": text}
        return {**meta, "engines": said} if self.tracebacks else dict(meta)
