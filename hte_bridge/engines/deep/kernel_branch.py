"""The exact kernel branch: cross-sections of some thousand rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hte_bridge.engine import Array, HeldOut
from hte_bridge.engines.deep.contract import Branch
from hte_bridge.engines.deep.design import device_of
from hte_bridge.engines.deep.kernel import Rows, log_posterior
from hte_bridge.engines.deep.kernel_posterior import KernelPosterior, Units, component
from hte_bridge.engines.deep.mixture import Laplace, Mode, effective, find_mode, importance
from hte_bridge.engines.deep.nets import NetOptions, Standard
from hte_bridge.engines.deep.nuisance import crossfit, stack, standard_learners
from hte_bridge.engines.deep.scales import Scales
from hte_bridge.engines.deep.threads import threads
from hte_bridge.engines.deep.treatment import Treatment, centre_treatment
from hte_bridge.errors import DidNotConverge
from hte_bridge.progress import steps
from hte_bridge.study import Codes, Folds, Study

if TYPE_CHECKING:
    from hte_bridge.engines.deep import Deep

SLOPE_ROWS = 300
LIGHTEST = 1e-3  # a draw of the scales with less weight is left out


def fit_kernel(study: Study, folds: Folds, options: Deep) -> Branch:
    """Fit the kernel model with all scales integrated over, and its cross-fitted predictions.

    Raises
    ------
    DidNotConverge
        If the covariance is not positive definite at any scales tried.
    InvalidOption
        If the device asked for is not there.
    """
    began = time.perf_counter()
    device_of(options)  # a device that is not there is refused, though the kernel itself runs on the CPU
    with threads(1):
        nets = NetOptions(hidden=options.hidden, epochs=options.epochs, n_nets=options.n_nets)
        treatment = centre_treatment(study, folds, nets, options.seed, "cpu")
        heldout, losses, notes = crossfit_surfaces(study, folds, treatment, options, nets)
        posterior, info, converged = mixed_posterior(study, study.treatment - treatment.mean, options)
    info |= {"losses": losses, "seconds": round(time.perf_counter() - began, 2)}
    if treatment.crossfitted is not None:
        info["treatment_losses"] = dict(treatment.crossfitted.loss)
        info["treatment_shares"] = dict(treatment.crossfitted.share)
    return Branch(
        "kernel", heldout, posterior, (*treatment.notes, *notes), info, converged, importance_of(posterior)
    )


def prepare(study: Study, residual: Array, rows: Codes | slice = slice(None)) -> tuple[Rows, Units]:
    """Standardise some rows of a study, by those rows alone."""
    x, y, weight = study.filled[rows], study.outcome[rows], study.weight[rows]
    standard = Standard.of(x, weight)
    mean = float(np.average(y, weights=weight))
    sd = float(np.sqrt(np.average((y - mean) ** 2, weights=weight)))
    seen = Rows(
        x=torch.as_tensor(np.ascontiguousarray(standard(x))),
        y=torch.as_tensor((y - mean) / sd),
        noise=torch.as_tensor(weight.mean() / weight),
        residual=torch.as_tensor(residual[rows].copy()),
        cluster=torch.as_tensor(study.cluster[rows].copy()) if study.clustered else None,
    )
    return seen, Units(standard.centre, standard.spread, mean, sd)


def scales_of(study: Study, options: Deep) -> Scales:
    """Layout of the scales for a study, and the priors asked for."""
    return Scales(
        study.filled.shape[1],
        clustered=study.clustered,
        tau_rate=options.effect_rate,
        tied=options.shared_relevance,
    )


def crossfit_surfaces(
    study: Study, folds: Folds, treatment: Treatment, options: Deep, nets: NetOptions
) -> tuple[HeldOut, dict[str, float], tuple[str, ...]]:
    """Effect and outcome mean of each fold from a kernel fit, at its most probable scales, of the others.

    The outcome mean is stacked from that fit, the linear model and the network by held-out loss.
    """
    residual = study.treatment - treatment.mean
    cate, kernel_mean = np.zeros(study.n), np.zeros(study.n)
    scales = scales_of(study, options)
    for train, test in steps(folds, "deep: held-out effect", folds.n_folds):
        rows, units = prepare(study, residual, train)
        mode = find_scales(rows, scales, options)[0]
        post = KernelPosterior(rows, scales, units, (component(1.0, mode.theta, rows, scales),))
        cate[test] = post.mean(study.filled[test], 1)
        kernel_mean[test] = post.mean(study.filled[test], 0) + units.outcome_mean
    others = crossfit(
        study.filled,
        study.outcome,
        folds.fold,
        standard_learners("mean", nets),
        weight=study.weight,
        seed=options.seed + 2,
        name="outcome",
    )
    columns = np.column_stack([kernel_mean, *others.candidates.values()])
    share = stack(columns, study.outcome, study.weight)
    mean = columns @ share
    losses = dict(others.loss) | {
        "kernel": weighted_loss(study, kernel_mean),
        "stacked": weighted_loss(study, mean),
    }
    losses["effect"] = weighted_loss(study, mean + residual * cate)
    ate = np.average(residual * (study.outcome - mean), weights=study.weight)
    ate /= np.average(residual**2, weights=study.weight)
    losses["constant effect"] = weighted_loss(study, mean + residual * ate)
    verdict = others.verdict("the outcome")
    heldout = HeldOut(cate, mean, treatment.mean, treatment.variance)
    return heldout, losses, (verdict,) if verdict else ()


def weighted_loss(study: Study, prediction: Array) -> float:
    """Weighted mean squared error of the outcome."""
    return float(np.average((study.outcome - prediction) ** 2, weights=study.weight))


def find_scales(rows: Rows, scales: Scales, options: Deep) -> tuple[Mode, Rows]:
    """Most probable scales; with many rows found on an even subset of ``scale_rows``, which is returned too."""
    if rows.n > options.scale_rows:
        chosen = np.random.default_rng(options.seed).permutation(rows.n)[: options.scale_rows]
        rows = rows.take(torch.as_tensor(np.sort(chosen)))
    mode = find_mode(rows, scales)
    if not np.isfinite(mode.value):
        raise DidNotConverge(
            f"The covariance of {rows.n:,} rows must be positive definite. It was not at any scales tried. "
            "Look for a covariate or outcome with extreme values, and rescale or trim it."
        )
    return mode, rows


def mixed_posterior(
    study: Study, residual: Array, options: Deep
) -> tuple[KernelPosterior, dict[str, Any], bool]:
    """Posterior mixed over draws of the scales, weighted by their posterior on all rows."""
    rows, units = prepare(study, residual)
    scales = scales_of(study, options)
    mode, used = find_scales(rows, scales, options)
    thetas, log_proposal = Laplace.at(mode.theta, used, scales).draw(options.draws, options.seed)
    log_target = np.array(
        [
            log_posterior(torch.as_tensor(each), rows, scales, gradient=False)[0]
            for each in steps(thetas, "deep: scales", len(thetas))
        ]
    )
    weights = importance(log_target, log_proposal)
    kept = np.flatnonzero(weights >= LIGHTEST)
    weights = weights[kept] / weights[kept].sum()
    parts = tuple(component(float(w), thetas[k], rows, scales) for w, k in zip(weights, kept, strict=True))
    posterior = KernelPosterior(rows, scales, units, parts)
    info = {
        "scale_rows": used.n,
        "evaluations": mode.evaluations,
        "draws": len(thetas),
        "effective_draws": round(effective(weights), 2),
        "noise_sd": float(
            np.sqrt(sum(p.weight * np.exp(2 * float(p.theta[0])) for p in parts)) * units.outcome_sd
        ),
    }
    return posterior, info, mode.converged


def importance_of(posterior: KernelPosterior) -> dict[str, Array]:
    """Sensitivity (q,) of tau to each covariate, root mean square slope per sd, and its spread between scales."""
    slopes = posterior.slopes(posterior.rows.x[:SLOPE_ROWS])  # (components, q)
    weight = np.array([each.weight for each in posterior.components])
    mean = weight @ slopes
    return {"importance": mean, "importance_sd": np.sqrt(weight @ (slopes - mean) ** 2)}
