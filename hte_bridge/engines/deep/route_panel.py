"""The panel branch: Y = effects + mu(X) + T tau(X) + error."""

from __future__ import annotations

from dataclasses import replace

from hte_bridge.engines.deep.basis.centring import Moved
from hte_bridge.engines.deep.basis.design import design
from hte_bridge.engines.deep.basis.mixed_model import Asked, Clock, fit_mixed_model
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.result import Branch
from hte_bridge.engines.deep.store.checkpoint import Checkpoint
from hte_bridge.engines.deep.store.threads import side_by_side
from hte_bridge.engines.trends import doubts
from hte_bridge.lost import lost_to_effects
from hte_bridge.study import Folds, Study


def fit_panel(study: Study, folds: Folds, options: Options) -> Branch:
    """Fit a study with fixed effects: networks find the structure, the last layer uses all rows.

    Parameters
    ----------
    study : Study
        With one or more fixed effects.
    folds : Folds
    options : Options

    Raises
    ------
    DidNotConverge
        If a network's loss is not finite from any seed, or the Gram matrix is singular.
    InvalidOption
        If the folder of checkpoints cannot be made.
    """
    clock, checkpoint, moved = Clock(), Checkpoint.of(options.checkpoint), Moved.of(study)
    study = moved.study(study)
    made = design(study, folds, options, study.treatment, checkpoint)
    clock.done("networks")
    asked = Asked(
        n_jobs=side_by_side(options.n_jobs),
        checkpoint=checkpoint,
        unit=moved.unit,
        seed=options.seed,
    )
    branch = fit_mixed_model(study, made, asked, clock)
    heldout = replace(moved.back(branch.heldout), lost=lost_to_effects(study))
    return replace(branch, heldout=heldout, notes=(*branch.notes, *doubts(study)))
