"""How much the effect changes with each covariate, by the posterior of the whole fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.basis.interactions import INTERACTIONS
from hte_bridge.engines.deep.result import Posterior
from hte_bridge.study import Study


def covariate_importance(posterior: Posterior, study: Study, seed: int) -> tuple[Array, Array]:
    """Root mean squared change of the effect over a step of .7 sd each way, and of the posterior's sd of that change.

    Where the second is as large as the first the data do not know that the covariate matters: noise alone would look like that.
    Greenwell, Boehmke and McCarthy (2018), arXiv 1805.04755, for finite steps about the units in place of partial dependence.

    Parameters
    ----------
    posterior : Posterior
    study : Study
        As the engine sees it.
    seed : int
        Of the units that are moved.

    Returns
    -------
    importance, std_error : array (q,)
        In units of the outcome, for each filled covariate.
    """
    chosen = np.random.default_rng(seed).permutation(study.n)[: INTERACTIONS.moved]
    x = study.filled[np.sort(chosen)]
    spread = study.filled.std(axis=0)
    half = 0.5 * np.eye(len(x))
    difference = np.hstack([half, -half])
    found = np.zeros((2, x.shape[1]))
    for j in range(x.shape[1]):
        move = INTERACTIONS.step * spread[j] * (np.arange(x.shape[1]) == j)
        mean, covariance = posterior.average(np.vstack([x + move, x - move]), difference)
        found[:, j] = np.sqrt(np.mean(mean**2)), np.sqrt(max(float(np.mean(np.diag(covariance))), 0.0))
    # a covariate that the effect does not see moves its last digits alone
    found[:, found[0] <= 1e-10 * found[0].max()] = 0.0
    return found[0], found[1]


def importance_frame(
    posterior: Posterior, pairs: Mapping[str, Array], study: Study, given: Sequence[str], seed: int
) -> pd.DataFrame:
    """``importance`` and ``std_error`` by covariate, most important first; strengths of pairs in ``attrs``, in the order of ``given``."""
    names = list(study.filled_names)
    place = {name: k for k, name in enumerate(given)}
    order = sorted(range(len(names)), key=lambda j: place.get(names[j], len(place)))
    size, error = covariate_importance(posterior, study, seed)
    values = {"importance": size, "std_error": error}
    frame = pd.DataFrame(values, index=pd.Index(names, name="covariate"))
    for name, key in (("pairs", "pairs"), ("pairs_std_error", "pairs_sd")):
        if key in pairs:
            frame.attrs[name] = pd.DataFrame(pairs[key], index=names, columns=names).iloc[order, order]
    return frame.iloc[order].sort_values("importance", ascending=False, kind="stable")
