"""Studies as R makes them, and what R prints of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.adoption import Adoption
from hte_bridge.keys import row_keys
from hte_bridge.serve.arguments import as_declared, check_arguments
from hte_bridge.serve.values import Rows
from hte_bridge.several_arms import ArmsStudy
from hte_bridge.study import Study

Made = Study | Adoption | ArmsStudy


def study_from_r(data: pd.DataFrame, options: Mapping[str, Any], labels: Rows | None) -> Made:
    """The study of R's columns; by ``Study.from_formula`` where R's formula computes some of them.

    R counts rows from 1 and Python from 0: chance belongs to the labels that the same data would have in Python. ``labels`` are the data's
    row names where they are not 1 to n.
    """
    check_arguments(
        Study.from_frame,
        {k: v for k, v in options.items() if k != "formula"},
        "hte_study",
        "formula" in options,
    )
    if "formula" in options:
        made: Made = Study.from_formula(df=data, **as_declared(Study.from_formula, options))
    else:
        made = Study.from_frame(data, **as_declared(Study.from_frame, options))
    whole = made.whole if isinstance(made, ArmsStudy) else made
    keys = python_keys(data.index, labels)[whole.index - 1]
    return made.keyed(keys) if isinstance(made, ArmsStudy) else _keyed(made, keys)


def _keyed(made: Study | Adoption, keys: npt.NDArray[np.uint64]) -> Study | Adoption:
    return replace(made, key=keys)


def python_keys(index: pd.Index, labels: Rows | None) -> npt.NDArray[np.uint64]:
    """Keys (n,) of the rows of R's data, by which folds are dealt: whole row names are counted from 0."""
    known = index if labels is None else pd.Index(labels.frame.iloc[:, 0])
    return row_keys(known - 1 if pd.api.types.is_integer_dtype(known.dtype) else known)


def about(study: Made) -> dict[str, Any]:
    """What R prints of a study, and which of R's rows it kept."""
    whole = study.whole if isinstance(study, ArmsStudy) else study
    said: dict[str, Any] = {
        "n": study.n,
        "n_clusters": whole.n_clusters,
        "clustered": whole.clustered,
        "binary": whole.binary,
        "names": {each.name: getattr(whole.names, each.name) for each in fields(whole.names)},
        "dropped": dict(study.dropped),
    }
    if isinstance(study, ArmsStudy):
        said["arms"] = {
            name: int(count) for name, count in zip(study.labels, np.bincount(study.arm), strict=True)
        }
        said["binary"] = False
    if study.dropped and getattr(study, "stored", None) is None:  # R has no rows of files
        said["kept"] = kept(whole)
    return said


def kept(study: Study | Adoption) -> npt.NDArray[np.int64] | None:
    """Which of R's rows a study holds, counted from 1; ``None`` where its data are not R's."""
    index = study.index
    return np.asarray(index, dtype=np.int64) if pd.api.types.is_integer_dtype(index.dtype) else None
