"""Forests within fixed effects, on the draws of ``bench.panel``: grf in rounds, grf on demeaned columns, and causalfe."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bench.panel_draws import NORMAL, evaluated, judge, study_of
from hte_bridge.simulate.panel import Panel

FOREST_TREES = 300
NODE_TREES = 100  # causalfe's default


def grf(draw: Panel, cluster: str | None, seed: int) -> dict[str, Any]:
    """grf in rounds within the effects, 300 trees: effect at the rows judged, held-out effect, average partial effect."""
    import hte_bridge as hb
    from hte_bridge.estimands.averages import ape
    from hte_bridge.scores import scores

    study = study_of(draw, cluster)
    began = time.perf_counter()
    fit = hb.CausalForest(num_trees=FOREST_TREES, seed=seed).fit(study)
    seconds = time.perf_counter() - began
    at = evaluated(study.n)
    made = fit.cate(draw.frame().loc[study.index[at]])
    truth = draw.beta_at(study.filled)
    found = judge(made["estimate"].to_numpy(), made["std_error"].to_numpy(), truth[at]) | {"seconds": seconds}
    row = ape(scores(study, fit.heldout))
    found |= {"ape_z": (row.estimate - float(truth.mean())) / row.std_error, "ape_se": row.std_error}
    found["heldout_error"] = judge(fit.heldout.cate, np.full(study.n, np.nan), truth)["error"]
    return found | {"rounds": fit.info["within"]["rounds"], "last_move": fit.info["within"]["moved"][-2]}


def demeaned(draw: Panel, cluster: str | None, seed: int) -> dict[str, Any]:
    """What not to do: a forest on outcome and dose less their effects, as large as ``grf``'s; out of bag."""
    from hte_bridge.engines.forest.panel import Swept
    from hte_bridge.rlink import client

    swept = Swept(study_of(draw, cluster))
    study, nothing = swept.study, np.zeros(swept.study.n)
    arrays = {"X": study.covariates, "Y": swept.sweep(study.outcome), "W": swept.sweep(study.treatment)}
    arrays |= {"Y.hat": nothing, "W.hat": nothing, "clusters": swept.block + 1 if swept.blocked else None}
    options = {
        "names": list(draw.columns),
        "num.trees": FOREST_TREES,
        "seed": seed,
        "num.threads": client.threads(),
    }
    began = time.perf_counter()
    cate = np.asarray(client.call("forest_effect", arrays, options)["cate"])
    seconds, truth = time.perf_counter() - began, draw.beta_at(study.filled)
    error = judge(cate, np.full(study.n, np.nan), truth)["error"]
    return {"error": error, "heldout_error": error, "seconds": seconds}


def causalfe(draw: Panel, cluster: str | None, seed: int) -> dict[str, Any]:
    """causalfe (effects taken out anew in every node), by its defaults: `pip install causalfe`.

    It takes two effects: of the panel's units, and the widest of the others. Its average is the coefficient of a regression on both.
    """
    from causalfe import CFFEForest

    sizes = draw.effects.max(axis=0)
    other = 1 + int(sizes[1:].argmax())
    unit, time_ = draw.effects[:, 0], draw.effects[:, other]
    forest = CFFEForest(n_trees=NODE_TREES, seed=seed)
    began = time.perf_counter()
    forest.fit(draw.covariates, draw.outcome, draw.treatment, unit, time_)
    seconds = time.perf_counter() - began
    at = evaluated(draw.n)
    estimate, low, high = forest.predict_interval(draw.covariates[at])
    std_error = (high - low) / (2 * NORMAL)
    ape = {
        "ape_z": float((forest.ate() - draw.beta.mean()) / forest.ate_se()),
        "ape_se": float(forest.ate_se()),
    }
    return judge(estimate, std_error, draw.beta[at]) | {"seconds": seconds} | ape
