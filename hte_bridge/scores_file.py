"""What each engine says of each unit, as one file: held-out predictions and scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hte_bridge.errors import InvalidOption, NotIdentified, UnreadableFile
from hte_bridge.files import read_columns, write_columns
from hte_bridge.scores import Scores
from hte_bridge.study import Study

COLUMNS = ("cate", "outcome_mean", "propensity", "treatment_variance")
WHAT = "a whole Parquet file of scores written by `table.save_scores`"


def write_scores(path: Path, study: Study, folds: Any, scores: Mapping[str, Scores]) -> Path:
    """Write a row for each unit, in the study's order: ``row`` (its label), ``fold``, and for each engine ``NAME gamma``, ``NAME cate`` and so on.

    Parquet, numbers in double precision, with a checksum.

    Raises
    ------
    InvalidOption
        If the path does not end in ``.parquet``.
    NotIdentified
        If no engine has scores.
    UnwritableFolder
        If the disk is full; nothing half-written stays.
    """
    if path.suffix.lower() != ".parquet":
        raise InvalidOption(
            f"Scores are saved as .parquet. `{path.name}` was asked for. Name a .parquet file."
        )
    if not scores:
        raise NotIdentified(
            "Scores are held-out predictions, of which some engine must have some. None of these has. Add one."
        )
    columns: dict[str, Any] = labels_of(study.index) | {"fold": folds.fold}
    for engine, own in scores.items():
        columns[f"{engine} gamma"] = own.gamma
        for name in COLUMNS:
            values = None if own.heldout is None else getattr(own.heldout, name)
            if values is not None:
                columns[f"{engine} {name}"] = np.asarray(values, dtype=np.float64)
    return write_columns(path, pa.table(columns), json.dumps({"scores": list(scores)}))


def labels_of(index: pd.Index) -> dict[str, Any]:
    """Labels of the rows by ``row``; of several columns by ``row`` and the name of each."""
    if not isinstance(index, pd.MultiIndex):
        return {"row": index.to_numpy()}
    names = [f"row {index.names[k] or k}" for k in range(index.nlevels)]
    return {name: index.get_level_values(k).to_numpy() for k, name in enumerate(names)}


def read_scores(path: Path) -> Any:
    """The columns of such a file as a frame.

    Raises
    ------
    UnreadableFile
        If the file is damaged, truncated or of something else.
    """
    columns, state, whole = read_columns(path, WHAT)
    if state is None or "scores" not in state or not whole:
        raise UnreadableFile(
            f"`{path.name}` must be {WHAT}. It is a file of something else. Save the scores again."
        )
    return columns.to_pandas()
