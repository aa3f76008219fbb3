"""The Gram branch: a cross-section with too many rows for the exact kernel."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from hte_bridge.engines.deep.contract import Branch
from hte_bridge.engines.deep.design import design, device_of, in_order, restored
from hte_bridge.engines.deep.last_layer import fit_last_layer
from hte_bridge.engines.deep.nets import NetOptions
from hte_bridge.engines.deep.treatment import centre_treatment
from hte_bridge.study import Folds, Study

if TYPE_CHECKING:
    from hte_bridge.engines.deep import Deep

NUISANCE_EPOCHS = 20


def fit_gram(study: Study, folds: Folds, options: Deep) -> Branch:
    """Fit a large cross-section: Y = mu(X) + (T - e(X)) tau(X) + error, with e cross-fitted.

    Robinson (1988), Econometrica 56(4), with the blocks of the panel in place of its kernels.

    Parameters
    ----------
    study : Study
        Without fixed effects.
    folds : Folds
    options : Deep

    Raises
    ------
    DidNotConverge
        If a network's loss is not finite from any seed, or the Gram matrix is singular.
    """
    began = time.perf_counter()
    study, folds, back = in_order(study, folds)
    nets = NetOptions(
        hidden=options.hidden, epochs=min(options.epochs, NUISANCE_EPOCHS), n_nets=options.n_nets
    )
    treatment = centre_treatment(study, folds, nets, options.seed, device_of(options))
    centred = time.perf_counter() - began
    made = design(study, folds, options, study.treatment - treatment.mean)
    trained = time.perf_counter() - began - centred
    fitted = fit_last_layer(study, made, moving=False)
    heldout = replace(fitted.heldout, propensity=treatment.mean, treatment_variance=treatment.variance)
    seconds = {"treatment": round(centred, 2), "networks": round(trained, 2)} | fitted.info["seconds"]
    info = fitted.info | {"seconds": seconds}
    if treatment.crossfitted is not None:
        info["treatment_losses"] = dict(treatment.crossfitted.loss)
        info["treatment_shares"] = dict(treatment.crossfitted.share)
    structure = {"importance": made.structure.importance, "pairs": made.structure.pairs}
    notes = (*treatment.notes, *fitted.notes)
    return Branch("gram", restored(heldout, back), fitted.surface, notes, info, fitted.converged, structure)
