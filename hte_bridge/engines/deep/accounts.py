"""The kernel's own account of many rows beside that of blocks of features: the first alone where the exact kernel ends, the second with most rows."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from hte_bridge.engines.deep.gp.many_rows import posterior_of_many
from hte_bridge.engines.deep.gp.search import ModelSearch
from hte_bridge.engines.deep.mixture import Mixture
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.result import FullFit


@dataclass(frozen=True)
class AccountRule:
    """How blocks take over."""

    # up to which the kernel by points is the only account, as near the exact one as it is
    kernel_rows: int = 3_000
    # from which on blocks are
    most_rows: int = 50_000
    # of the evidence, in the shares between: less than with few rows (``gp/model_average.py``), as no account is exact
    power: float = 1 / 10
    # nats by which it moves the log odds, at most: the surer account is not the better one, and what both say apart is in the mixture's variance
    most_ahead: float = 1.5
    # below which an account is left out
    least_share: float = 0.02


ACCOUNTS = AccountRule()


def share_of_blocks(n: int, ahead: float) -> float:
    """Share of the blocks' account of n rows, whose log evidence is ``ahead`` of the kernel's.

    The odds beforehand are what there is beyond the first size to what there is left to the last, so that at neither the answer jumps.

    Examples
    --------
    >>> share_of_blocks(3_000, 90.0), share_of_blocks(26_500, 0.0), round(share_of_blocks(26_500, 10.0), 2)
    (0.0, 0.5, 0.73)
    """
    beyond, left = max(n - ACCOUNTS.kernel_rows, 0), max(ACCOUNTS.most_rows - n, 0)
    if not beyond or not left:
        return float(not left)
    moved = float(np.clip(ACCOUNTS.power * ahead, -ACCOUNTS.most_ahead, ACCOUNTS.most_ahead))
    share = float(expit(np.log(beyond / left) + moved))
    return 0.0 if share < ACCOUNTS.least_share else 1.0 if share > 1.0 - ACCOUNTS.least_share else share


def both_accounts(
    blocks: FullFit,
    log_evidence: float | None,
    first: ModelSearch,
    unit: float,
    options: Options,
) -> FullFit:
    """The fit to all rows: the kernel's posterior by points mixed with that of the blocks.

    Parameters
    ----------
    blocks : FullFit
        In units of the treatment.
    log_evidence : float, optional
        Of the blocks; ``None`` where it cannot be held against the kernel's, as with clusters: the rows then decide alone.
    first : ModelSearch
        On all rows, of a treatment that was divided by ``unit``.
    unit : float
    options : Options

    Raises
    ------
    DidNotConverge
        If the kernel's covariance is not positive definite at scales that were drawn.
    """
    began = time.perf_counter()
    kernel = posterior_of_many(first, options)
    n, units = first.sample.bare.n, first.sample.units
    own = kernel.log_evidence - n * float(np.log(units.outcome_sd))
    share = share_of_blocks(n, 0.0 if log_evidence is None else log_evidence - own)
    exact = replace(kernel.posterior, units=replace(units, treatment_sd=unit * units.treatment_sd))
    parts = [(exact, 1.0 - share), (blocks.posterior, share)]
    kept = [each for each in parts if each[1] > 0.0]
    posterior: Any = kept[0][0]
    if len(kept) > 1:
        posterior = Mixture(tuple(each for each, _ in kept), np.array([own for _, own in kept]))
    info = kernel.info | {
        "share_of_blocks": share,
        "posterior_seconds": round(time.perf_counter() - began, 2),
    }
    return replace(blocks, posterior=posterior, info=info, converged=kernel.converged)
