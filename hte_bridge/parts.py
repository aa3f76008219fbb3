"""Other studies made of one: with its controls or normal scores among its covariates, less a column, or of some of its rows; and whose columns are."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.encode import Encoder
from hte_bridge.errors import InvalidData

Study = Any  # it lies above


def adjusted(study: Study) -> Study:
    """A study with its controls among its covariates.

    Examples
    --------
    >>> import pandas as pd
    >>> from hte_bridge import Study
    >>> frame = pd.DataFrame({"y": [1.0, 2, 4, 3], "d": [0, 1, 1, 0], "x": [1.0, 2, 3, 5], "z": [2.0, 7, 1, 8]})
    >>> study = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"], controls=["z"])
    >>> study.names.covariates, study.adjusted.names.covariates
    (('x',), ('x', 'z'))
    """
    return with_controls(study, np.asfortranarray(np.hstack([study.covariates, study.controls])))


def with_controls(study: Study, columns: Array) -> Study:
    """A study whose covariates are these columns (n, p + c), of its covariates and controls."""
    both = study.encoder + study.control_encoder
    return study.with_(
        covariates=columns,
        encoder=both,
        names=replace(study.names, covariates=both.names, controls=()),
        controls=None,
        control_encoder=Encoder(()),
    )


def scored(study: Study) -> Study:
    """A study with the normal score of each number that has long tails behind it; itself where none has."""
    encoder, covariates = study.encoder.scored(study.covariates)
    if all(code.score is None for code in encoder.columns):
        return study
    names = replace(study.names, covariates=encoder.names)
    return study.with_(covariates=covariates, encoder=encoder, names=names)


def covariate_of(study: Study) -> tuple[int, ...]:
    """Of each column of ``filled`` the place of its covariate: indicators of one category share theirs, as do a number and its normal score.

    Examples
    --------
    >>> import pandas as pd
    >>> from hte_bridge import Study
    >>> frame = pd.DataFrame({"y": [1.0, 2, 4, 3], "d": [0, 1, 1, 0], "town": list("abca"), "x": [1.0, 2, 3, 5]})
    >>> Study.from_frame(frame, outcome="y", treatment="d", covariates=["town", "x"]).covariate_of
    (0, 0, 1)
    """
    own = [place for place, code in enumerate(study.encoder.columns) for _ in code.names]
    flags = len(study.encoder.columns) + np.arange(len(study.filler.flagged))
    return (*own, *flags.tolist())


def score_columns(study: Study) -> tuple[tuple[int, int], ...]:
    """Places among the columns of ``filled`` of each number that has a normal score beside it, and of that score."""
    owner = covariate_of(study)
    own = [place for place, code in enumerate(study.encoder.columns) if code.score is not None]
    return tuple((owner.index(place), owner.index(place) + 1) for place in own)


def without(study: Study, name: str) -> Study:
    """A study less one covariate or control, by its name in the frame."""
    encoder, covariates = _kept(study.encoder, study.covariates, name)
    names = replace(study.names, covariates=encoder.names)
    found = study.with_(encoder=encoder, covariates=covariates, names=names)
    if study.controls is None:
        return found
    further, controls = _kept(study.control_encoder, study.controls, name)
    return found.with_(
        controls=controls if further.columns else None,
        control_encoder=further,
        names=replace(names, controls=further.names),
    )


def _kept(encoder: Encoder, values: Array, name: str) -> tuple[Encoder, Array]:
    place = np.array([code.name != name for code in encoder.columns], dtype=bool)
    fewer = Encoder(tuple(code for code in encoder.columns if code.name != name), encoder.recipes)
    return fewer, np.asfortranarray(values[:, place[encoder.owner]])


def subset(study: Study, chosen: Codes) -> Study:
    """Some rows of a study, by position; codes are renumbered.

    Raises
    ------
    InvalidData
        If none is left.
    """
    if not len(chosen):
        raise InvalidData("A subset must keep at least one row. None is left. Widen the condition.")
    large = study.stored is not None and study.stored.keeps(chosen)
    take = (
        partial(study.stored.taken, rows=chosen)
        if large
        else lambda columns: np.asfortranarray(columns[chosen])
    )
    second = study.second_cluster
    group, cluster = np.unique(study.cluster[chosen], return_inverse=True)
    parts = [np.unique(column[chosen], return_inverse=True) for column in study.fixed_effects.T]
    codes = np.column_stack([code for _, code in parts]) if parts else np.empty((len(chosen), 0))
    return replace(
        study,
        outcome=study.outcome[chosen],
        treatment=study.treatment[chosen],
        covariates=take(study.covariates),
        controls=None if study.controls is None else take(study.controls),
        fixed_effects=codes.astype(np.int64),
        cluster=cluster,
        cluster_levels=study.cluster_levels[group],
        second_cluster=None if second is None else np.unique(second[chosen], return_inverse=True)[1],
        weight=study.weight[chosen],
        propensity=None if study.propensity is None else study.propensity[chosen],
        effect_levels=tuple(
            levels[kept] for levels, (kept, _) in zip(study.effect_levels, parts, strict=True)
        ),
        index=study.index[chosen],
        frame=None
        if study.frame is None
        else study.frame.only(chosen)
        if large
        else study.frame.iloc[chosen],
        key=study.keys[chosen],
        stored=study.stored if large else None,
    )


def source(study: Study, column: int) -> str:
    """Name of the covariate that an encoded column belongs to."""
    return str(study.encoder.sources[study.covariate_of[column]])


def fill_note(study: Study) -> str:
    """What was done to missing covariates."""
    gaps = np.isnan(study.covariates)
    named = ", ".join(dict.fromkeys(source(study, j) for j in np.flatnonzero(gaps.any(axis=0)).tolist()))
    return (
        f"missing covariates ({named}; {int(gaps.any(axis=1).sum()):,} rows) are set to the mean, with an "
        "indicator"
    )
