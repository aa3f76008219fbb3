"""What a study's fixed effects take: degrees of freedom, and with them the size of errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hte_bridge.study import Study


def lost_to_effects(study: Study, clusters: Sequence[npt.NDArray[np.int64]] | None = None) -> float:
    """Share of the rows that the study's fixed effects take as degrees of freedom.

    Effects whose levels lie in one cluster each, of the study's or of any of the ``clusters`` (n,) given, are not counted, as errors by
    cluster hold what sweeping them out did (pyfixest's and fixest's ``fixef_k="nested"``).
    """
    effects = study.fixed_effects
    if clusters is None:
        clusters = [study.cluster] if study.clustered else []
    held = [any(nested(codes, cluster) for cluster in clusters) for codes in effects.T]
    counted = [codes for codes, inside in zip(effects.T, held, strict=True) if not inside]
    levels = sum(len(np.unique(codes)) for codes in counted)
    taken = max(levels - max(len(counted) - (not any(held)), 0), 0)
    return min(taken / study.n, 0.99)


def inflation(study: Study, clusters: Sequence[npt.NDArray[np.int64]] | None = None) -> float:
    """Factor of the errors of a panel's rows from scores for what ``lost_to_effects`` takes; one without fixed effects."""
    return float((1.0 - lost_to_effects(study, clusters)) ** -0.5)


def nested(codes: npt.NDArray[np.int64], cluster: npt.NDArray[np.int64]) -> bool:
    """Whether each level lies in one cluster."""
    home = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    home[codes] = cluster  # of one of its rows: all the others' too, or not nested
    return bool((home[codes] == cluster).all())
