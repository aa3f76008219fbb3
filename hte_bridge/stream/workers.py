"""Who makes the passes where many can: processes of this machine by joblib, or the workers of a Dask cluster."""

from __future__ import annotations

import operator
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import joblib

from hte_bridge.cores import replaceable
from hte_bridge.errors import InvalidOption, WorkersLost
from hte_bridge.stream.runner import Runner, Serial, tree_sum
from hte_bridge.stream.store import Store, new_name, unwritable

T = TypeVar("T")
S = TypeVar("S")
Add = Callable[[Any, Any], Any]

MANY_ROWS = 200_000  # below which processes take longer to start than they save
TRIES = 3  # of what a worker that was killed had begun


@dataclass(frozen=True)
class Processes:
    """Processes of this machine, one thread each.

    Parameters
    ----------
    count : int
        How many; by default one for each core.

    Examples
    --------
    >>> Processes(1).map_sum(abs, [-1, 2, -3])
    6
    """

    count: int = -1

    def map(self, function: Callable[[T], S], items: Sequence[T]) -> Iterator[S]:
        """Results in the order of the items; what a process that was killed had begun is made again.

        Raises
        ------
        WorkersLost
            If processes were killed three times.
        """
        done, tries = 0, 0
        while done < len(items):
            try:
                for found in _parallel(self.count, function, items[done:]):
                    done += 1
                    yield found
            except joblib.externals.loky.process_executor.TerminatedWorkerError as error:
                tries += 1
                if tries >= TRIES:
                    raise WorkersLost(
                        f"The processes that make the passes must live. One was killed {TRIES} times, most often because memory ran out. Take "
                        "fewer (`n_jobs`), or a machine with more memory; with `checkpoint` what is done is kept."
                    ) from error

    def map_sum(self, function: Callable[[T], S], items: Sequence[T], add: Add = operator.add) -> S:
        """Sum of the results, added as ``tree_sum`` adds them."""
        return tree_sum(self.map(function, items), add)

    def rest(self) -> None:
        """Let the processes go, and the memory that they hold; the next pass starts them again, in some seconds."""
        joblib.externals.loky.get_reusable_executor().shutdown()


def _parallel(count: int, function: Callable[[T], S], items: Sequence[T]) -> Iterator[S]:
    ours = joblib.Parallel(n_jobs=count, backend="loky", return_as="generator", pre_dispatch="n_jobs")
    with replaceable():
        yield from ours(joblib.delayed(function)(item) for item in items)


@dataclass(frozen=True)
class Cluster:
    """The workers of a Dask cluster; each must see the folder of the study's columns (``work``).

    Parameters
    ----------
    client : distributed.Client
    """

    client: Any

    def map(self, function: Callable[[T], S], items: Sequence[T]) -> Iterator[S]:
        """Results in the order of the items; the work of a worker that is lost is done again by another.

        Raises
        ------
        WorkersLost
            If the client lost its scheduler, or workers died too often.
        """
        futures = self._sent(function, items)
        for k, future in enumerate(futures):
            found = self._result(future)
            futures[k] = None  # the worker may forget it
            yield found

    def map_sum(self, function: Callable[[T], S], items: Sequence[T], add: Add = operator.add) -> S:
        """Sum of the results, added by the workers as ``tree_sum`` adds them: what travels to the client is the sum."""
        both = lambda left, right: self.client.submit(add, left, right, pure=False)
        found: S = self._result(tree_sum(self._sent(function, items), both))
        return found

    def rest(self) -> None:
        """Nothing: the workers are not ours."""

    def _sent(self, function: Callable[[T], S], items: Sequence[T]) -> list[Any]:
        try:
            return list(self.client.map(function, items, pure=False))
        except RuntimeError as error:
            raise _gone(error) from error

    def _result(self, future: Any) -> Any:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        try:
            return future.result()
        except (CancelledError, KilledWorker, CommClosedError) as error:
            raise _gone(error) from error
        except (RuntimeError, TimeoutError) as error:  # those of the work itself have words of their own
            if getattr(self.client, "status", "running") == "running":
                raise
            raise _gone(error) from error


@dataclass(frozen=True)
class Left:
    """A function whose state is large, left on the disk that workers share: what is sent is the path.

    Parameters
    ----------
    file : Path

    Examples
    --------
    >>> import math
    >>> from hte_bridge.stream.store import Store
    >>> store = Store.temporary()
    >>> Left.of(math.sqrt, store)(9.0)
    3.0
    """

    file: Path

    @classmethod
    def of(cls, function: Callable[[Any], Any], store: Store) -> Left:
        """Write the function to a store's folder.

        Raises
        ------
        UnwritableFolder
            If the disk is full.
        """
        file = store.folder / f"{new_name()}.work"
        try:
            with open(file, "wb") as out:
                pickle.dump(function, out, protocol=5)
        except OSError as error:
            file.unlink(missing_ok=True)
            raise unwritable(store.folder, error) from error
        return cls(file)

    def __call__(self, item: Any) -> Any:
        """The function's value, here or in another process."""
        return _read(self.file)(item)


@lru_cache(maxsize=1)
def _read(file: Path) -> Any:
    with open(file, "rb") as held:
        return pickle.load(held)


def _gone(error: BaseException) -> WorkersLost:
    return WorkersLost(
        f"The Dask cluster must last as long as the fit. It did not ({type(error).__name__}: {str(error)[:200]}). Start it again, with more "
        "memory for each worker if one was killed; with `checkpoint` what is done is kept."
    )


def active_client() -> Any:
    """The Dask client that was made last in this process, if it is open."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:  # there is none
        return None


def runner_for(n: int, client: Any = None) -> Runner:
    """Who makes the passes over n rows: the client that is given or active, else the cores of this machine where the rows are many.

    Raises
    ------
    InvalidOption
        If ``client`` is none of Dask's.

    Examples
    --------
    >>> type(runner_for(1_000)).__name__
    'Serial'
    """
    client = active_client() if client is None else client
    if client is not None:
        if not (hasattr(client, "submit") and hasattr(client, "scheduler_info")):
            raise InvalidOption(
                f"`client` must be a client of Dask, `distributed.Client(address)`. {type(client).__name__} was given."
            )
        return Cluster(client)
    cores = os.cpu_count() or 1
    return Processes(cores) if n >= MANY_ROWS and cores > 1 else Serial()


def employed(study: Any, client: Any = None) -> Any:
    """A study of files whose passes are made by whoever is at hand; one in memory as it is.

    Raises
    ------
    InvalidOption
        If ``client`` is none of Dask's, or the study lies in memory and has no passes.
    """
    stored = getattr(study, "stored", None)
    if stored is None:
        if client is not None:
            raise InvalidOption(
                "`client` is for a study of files, whose passes it makes. This study lies in memory. Read it by "
                "`Study.from_parquet`, or leave `client` out."
            )
        return study
    return replace(study, stored=replace(stored, runner=runner_for(study.n, client)))
