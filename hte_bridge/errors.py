"""What we raise. Each sentence says what must hold; what was found, and where; what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HteBridgeError(Exception):
    """Any error of this package; ``str()`` is a sentence meant for the user."""

    @property
    def kind(self) -> str:
        """Name of the error, also the class of the condition raised in R."""
        return type(self).__name__


class InvalidData(HteBridgeError, ValueError):
    """The data handed in cannot make a study."""


class UnusablePrediction(InvalidData):
    """A learner predicted a value that is not finite, or not one for each unit."""


class InvalidOption(HteBridgeError, ValueError):
    """An option is outside what it may be."""


class InvalidNewData(HteBridgeError, ValueError):
    """New data do not have the columns, types or levels of the study."""


class NotIdentified(HteBridgeError, ValueError):
    """The estimand is not identified for this treatment, study or group."""


class TooFewClusters(HteBridgeError, ValueError):
    """No variance can be formed from fewer than two clusters."""

    def __init__(self, n_clusters: int) -> None:
        super().__init__(
            f"A standard error needs at least two clusters with positive weight. {n_clusters} found. "
            "Use a finer `cluster`, or none."
        )


class UnreadableFile(HteBridgeError, OSError):
    """A file is missing, truncated, foreign, or of a newer version."""


class UnwritableFolder(HteBridgeError, OSError):
    """The place asked for cannot be written."""


class RUnavailable(HteBridgeError, RuntimeError):
    """R, rpy2 or a package of R is missing or of a wrong version."""


class PackageUnavailable(HteBridgeError, ImportError):
    """A Python package that is no dependency, and that was asked for, is not installed."""


class RError(HteBridgeError, RuntimeError):
    """R itself raised an error.

    Attributes
    ----------
    message, call : str
        What R said, and the call that it said it of.
    """

    def __init__(self, message: str, call: str = "") -> None:
        self.message, self.call = message, call
        super().__init__(f"R stopped with an error{f' in {call}' if call else ''}: {message}")


class RWarning(UserWarning):
    """R itself warned; each distinct sentence of a call is said once."""


class RWorkerDied(HteBridgeError, RuntimeError):
    """The process that runs R ended before it answered."""


class NotEnoughMemory(HteBridgeError, MemoryError):
    """The work would not fit in memory, forecast before it is begun."""


class WorkersLost(HteBridgeError, RuntimeError):
    """Processes or machines that make the passes over a study of files are gone."""


class DidNotConverge(HteBridgeError, RuntimeError):
    """An optimisation ended without a usable answer."""


def nearest(name: str, names: Iterable[str], kind: str = "The columns") -> str:
    """Sentence that offers the names nearest to one that is missing, or lists the first few; ``kind`` is what they are.

    Examples
    --------
    >>> from hte_bridge.errors import nearest
    >>> nearest("ages", ["age", "sex"])
    'The nearest is `age`.'
    >>> nearest("qini", ["ape", "gates"], kind="The estimands")
    'The estimands are `ape`, `gates`.'
    """
    names = [str(each) for each in names]
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        listed = ", ".join(f"`{each}`" for each in close)
        return f"The nearest {'is' if len(close) == 1 else 'are'} {listed}."
    shown = ", ".join(f"`{each}`" for each in names[:8])
    return f"{kind} are {shown}{', ...' if len(names) > 8 else ''}."
