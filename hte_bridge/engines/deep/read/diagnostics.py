"""What a reader should check before believing a deep fit, each figure with its reading in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array, Codes
from hte_bridge.crossfit import out_of_fold
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.nuisance.networks import linear
from hte_bridge.study import Folds, Study


@dataclass(frozen=True)
class ReadingRule:
    """From where on a reading warns."""

    # of propensities nearer to 0 or 1 than this the estimate lives on few comparisons
    thin_overlap: float = 0.05
    # effective draws below which a reading says so
    few_draws: float = 3.0


READING = ReadingRule()

Line = tuple[str, float, str]
OUTCOME_MODELS = {
    "centred": "outcome mean, and an effect of the centred treatment (Robinson)",
    "baseline": "outcome without treatment, and an effect",
    "arms": "an outcome surface for each arm, unrelated",
}
KINDS = {
    "relative": "; the effect is thought to be as large as the errors are",
    "edged": "; surfaces may jump",
    "edged mean": "; the outcome's other surface may jump",
    "index": "; the effect bends along one index of the covariates",
    "additive": "; the effect is a sum of functions of one covariate each",
}


def diagnostics(
    study: Study, folds: Folds, heldout: HeldOut, kind: str, info: Mapping[str, Any], converged: bool
) -> pd.DataFrame:
    """Lines ``diagnostic value reading``; see ``DeepFit.diagnostics``."""
    lines = [
        switch(study, kind),
        *losses(study, folds, heldout),
        *overlap(study, heldout),
        *mixture(info),
    ]
    if isinstance(info.get("nugget"), float | int):
        reading = "variance of the effect that no block explains; it is added to std_error squared"
        lines.append(("nugget", float(info["nugget"]), reading))
    ended = "the search ended at a mode" if converged else "it did not: no interval is offered"
    lines += [*errors(info), ("converged", float(converged), ended)]
    return pd.DataFrame(lines, columns=["diagnostic", "value", "reading"])


def switch(study: Study, kind: str) -> Line:
    """Which branch ran, and why."""
    words = {
        "kernel": f"exact kernel: {study.n:,} rows are within kernel_max_rows",
        "gram": f"features on the Gram matrix, and the kernel by points: {study.n:,} rows are above kernel_max_rows",
        "panel": "panel: the study has fixed effects, which stay in the model",
        "stream": "a study of files: two passes over its rows",
    }
    return "rows", float(study.n), words[kind]


def losses(study: Study, folds: Folds, held: HeldOut) -> list[Line]:
    """Held-out loss of the outcome against a linear interacted model (feols) and a constant effect."""
    residual = study.treatment - held.propensity
    left = study.outcome - held.outcome_mean
    ours = float(np.average((left - residual * held.cate) ** 2, weights=study.weight))
    slope = np.average(residual * left, weights=study.weight) / np.average(residual**2, weights=study.weight)
    flat = float(np.average((left - residual * slope) ** 2, weights=study.weight))
    better = (
        "the varying effect predicts held-out outcomes better than a constant one"
        if ours < flat
        else "a constant effect predicts held-out outcomes as well: do not read much into the variation"
    )
    lines = [
        ("held-out loss", ours, f"mean squared error; {better} ({flat:.4g})"),
        ("held-out loss, constant effect", flat, "the loss with one effect for all"),
    ]
    if not study.fixed_effects.shape[1]:
        lines.append(linear_loss(study, folds, ours))
    return lines


def linear_loss(study: Study, folds: Folds, ours: float) -> Line:
    """Held-out loss of outcome ~ treatment * covariates by least squares, the model of the feols rows."""
    design = np.column_stack(
        [study.treatment, study.adjusted.filled, study.treatment[:, None] * study.filled]
    )

    def line(train: Codes, test: Codes) -> Array:
        return linear(design[train], study.outcome[train], study.weight[train], "mean")(design[test])

    predicted = out_of_fold(line, folds, study.n)
    loss = float(np.average((study.outcome - predicted) ** 2, weights=study.weight))
    verdict = "beats" if ours < loss else "does not beat"
    return "held-out loss, linear", loss, f"the deep fit {verdict} the interacted linear model"


def overlap(study: Study, heldout: HeldOut) -> list[Line]:
    """Range of the propensity of a binary treatment."""
    if not study.binary or study.fixed_effects.shape[1]:
        return []
    nearest = np.minimum(heldout.propensity, 1 - heldout.propensity)
    share = float((nearest < READING.thin_overlap).mean())
    reading = (
        "overlap is good"
        if share < 0.02
        else "overlap is thin there: read the ato row, and intervals of cate that widen"
    )
    return [("share of propensities beyond .05 and .95", share, reading)]


def mixture(info: Mapping[str, Any]) -> list[Line]:
    """Effective number of draws of the scales, and the noise."""
    draws = info.get("effective_draws")
    if draws is None:
        return []
    reading = (
        "enough scales carry the mixture"
        if draws >= READING.few_draws
        else "few scales carry the mixture: raise `draws`"
    )
    noise = float(info["noise_sd"])
    return [
        *accounts(info),
        ("effective draws of the scales", float(draws), reading),
        ("noise sd", noise, "of the outcome's error, in its units"),
    ]


def errors(info: Mapping[str, Any]) -> list[Line]:
    """Whether the variance of the errors was found to move, and with what, and how many units lie far out; not asked in a panel."""
    said = info.get("error_variance")
    if said is None:
        return []
    lines = [
        ("errors of unequal variance", float(said != "constant"), f"the variance of the errors is {said}")
    ]
    if count := info.get("outlying"):
        reading = "of the outcomes, far from what the others predict: they do not decide how the effect bends; effects are differences of means of all"
        lines.append(("outlying units", float(count), reading))
    return lines


def accounts(info: Mapping[str, Any]) -> list[Line]:
    """Share of each form of the kernel model in the answer."""
    shares = dict(info.get("forms", {}))
    lines = []
    for name, share in sorted(shares.items(), key=lambda pair: -pair[1]):
        first, *kinds = name.split(", ")
        reading = OUTCOME_MODELS[first] + "".join(KINDS[kind] for kind in kinds)
        lines.append((f"share of the form: {name}", float(share), reading))
    if "share_of_blocks" in info:
        reading = (
            "of features, which take over from the kernel as rows grow; the forms' shares are of what is left"
        )
        lines.append(("share of the blocks", float(info["share_of_blocks"]), reading))
    return lines
