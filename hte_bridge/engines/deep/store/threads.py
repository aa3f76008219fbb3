"""Our own settings inside, the caller's restored after: one thread, so that sums are in one order and numbers the same on any machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import joblib
import numpy as np
import torch
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

from hte_bridge.cores import cores

# numpy's own: an exponential that underflows to zero is no error, whatever the caller asks of his own arithmetic
ARITHMETIC: dict[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


def side_by_side(n_jobs: int | None, tasks: int | None = None) -> int:
    """How many pieces of work run at once: as asked, else as ``joblib.parallel_config`` says, else on all cores; one inside another's worker.

    No more than there are ``tasks``.

    Examples
    --------
    >>> side_by_side(2), side_by_side(8, tasks=5)
    (2, 5)
    """
    if n_jobs is not None:
        found = int(joblib.effective_n_jobs(n_jobs))
    else:
        backend, said = get_active_backend()
        alone = said is None and not backend.nesting_level
        found = cores() if alone else int(joblib.effective_n_jobs(said))
    return found if tasks is None else max(1, min(found, tasks))


@contextmanager
def threads(count: int = 1) -> Iterator[None]:
    """Run the body with ``count`` threads in torch, BLAS and OpenMP, numpy's own answer to overflow, and torch's own device and gradients.

    Examples
    --------
    >>> before = torch.get_num_threads()
    >>> with threads(1):
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with ExitStack() as ours:
            ours.enter_context(threadpool_limits(limits=count))
            ours.enter_context(np.errstate(**ARITHMETIC))
            ours.enter_context(torch.inference_mode(False))
            ours.enter_context(torch.enable_grad())
            if torch.get_default_device().type != "cpu":
                ours.enter_context(torch.device("cpu"))
            torch.set_num_threads(count)
            yield
    finally:
        torch.set_num_threads(before)
