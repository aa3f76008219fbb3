"""The cells of an adoption one under another, as a cross-section that any engine can fit."""

from __future__ import annotations

from hte_bridge.adoption import Adoption
from hte_bridge.keys import row_keys
from hte_bridge.study import Study


def stack_of(study: Adoption) -> Study:
    """Change of the outcome net of the cell's mean among comparison units, 1 for adopters, covariates at the base period, cohort and event
    time; a unit's rows (or those of a coarser cluster) are a cluster, and so lie in one fold.

    Raises
    ------
    InvalidData, NotIdentified
        If the stack breaks a rule of ``Study.from_frame``, as where a covariate tells adopters apart.
    """
    own, frame = study.stack_names, study.stacked
    varying = [name for name in (own.cohort, own.event_time) if frame[name].nunique() > 1]
    stack = Study.from_frame(
        frame.assign(**{own.outcome: study.change}),
        outcome=own.outcome,
        treatment=own.treatment,
        covariates=[*study.names.covariates, *varying],
        cluster=own.unit,
    )
    keys = row_keys(study.index) if study.key is None else study.key
    return stack.with_(key=keys[study.base_rows])
