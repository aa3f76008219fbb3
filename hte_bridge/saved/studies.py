"""A study and its folds as arrays, columns and JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hte_bridge.encode import Encoder
from hte_bridge.errors import InvalidOption, nearest
from hte_bridge.levels import from_plain, to_plain
from hte_bridge.roles import Names
from hte_bridge.study import Folds, Study

Parts = tuple[dict[str, Any], dict[str, Any]]  # arrays, and what JSON holds
APART = (
    "names",
    "index",
    "frame",
    "stored",
)  # fields with a way of their own; a study of files comes back in memory


def study_parts(study: Study, folds: Folds | None) -> Parts:
    """Arrays and plain values of a study and, where there are some, its folds, by ``study/`` and ``folds/``."""
    arrays: dict[str, Any] = {} if folds is None else {"folds/fold": folds.fold}
    values: dict[str, Any] = {"names": asdict(study.names)}
    for each in fields(study):
        value = getattr(study, each.name)
        if each.name in APART or value is None:
            continue
        if isinstance(value, Encoder):
            values[each.name] = {"encoder": value.to_json()}
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            arrays[f"study/{each.name}"] = value
        elif isinstance(value, np.ndarray):
            values[each.name] = {"labels": labels_out(value)}
        elif isinstance(value, tuple) and all(isinstance(part, np.ndarray) for part in value):
            values[each.name] = {"lists": [labels_out(part) for part in value]}
        else:
            values[each.name] = {"value": dict(value) if isinstance(value, Mapping) else value}
    made = {"study": values}
    return arrays, made | ({} if folds is None else {"folds": {"n_folds": folds.n_folds, "seed": folds.seed}})


def study_of(arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any], frame: pd.DataFrame) -> Study:
    """The study of what ``study_parts`` and ``write_frame`` wrote."""
    values = dict(about["study"])
    names: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in values.pop("names").items()
    }
    made: dict[str, Any] = {
        "names": Names(**names),
        "index": frame.index,
        "frame": frame if about["framed"] else None,
        "propensity": None,
    }
    for name, value in values.items():
        if "encoder" in value:
            made[name] = Encoder.from_json(value["encoder"])
        elif "labels" in value:
            made[name] = labels_in(value["labels"])
        elif "lists" in value:
            made[name] = tuple(map(labels_in, value["lists"]))
        else:
            made[name] = tuple(value["value"]) if isinstance(value["value"], list) else value["value"]
    made |= {k.removeprefix("study/"): v for k, v in arrays.items() if k.startswith("study/")}
    made |= {name: np.asfortranarray(made[name]) for name in ("covariates", "controls") if name in made}
    return Study(**made)


def folds_of(arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Folds:
    """The folds of what ``study_parts`` wrote."""
    return Folds(arrays["folds/fold"], **about["folds"])


def kept_columns(study: Study, more: Sequence[str] | str | None) -> list[str]:
    """Names of the columns of the frame that a file keeps: those of the study's roles, and those asked for.

    Raises
    ------
    InvalidOption
        If one asked for is no column of the data.
    """
    if study.frame is None:
        return []
    every = list(map(str, study.frame.columns))
    if more == "all":
        return every
    asked = [more] if isinstance(more, str) else list(more or ())
    absent = next((name for name in asked if name not in every), None)
    if absent is not None:
        raise InvalidOption(
            f"`columns` must name columns of the data. `{absent}` is none. {nearest(absent, every)}"
        )
    encoders = [getattr(study, each.name) for each in fields(study)]
    sources = {name for each in encoders if isinstance(each, Encoder) for name in each.sources}
    wanted = {*asked, *sources, *_texts(asdict(study.names))}
    return [name for name in every if name in wanted]


def write_frame(study: Study, names: Sequence[str], path: Path) -> dict[str, Any]:
    """Columns and index of the study's data as Parquet; levels of what Arrow does not know, by column."""
    frame = pd.DataFrame(index=study.index) if study.frame is None else study.frame[list(names)]
    levels: dict[str, Any] = {}
    for name in frame.columns:
        try:
            pa.array(frame[name], from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError):
            codes, found = pd.factorize(frame[name])
            levels[name] = [to_plain(each) for each in found]
            frame = frame.assign(**{name: codes})
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=True), path)
    return {"levels": levels, "framed": study.frame is not None}


def read_frame(content: bytes, levels: Mapping[str, Any]) -> pd.DataFrame:
    """The columns and index that ``write_frame`` wrote."""
    frame = pq.read_table(pa.BufferReader(content)).to_pandas()
    for name, found in levels.items():
        labels = np.array([*map(from_plain, found), None], dtype=object)
        frame[name] = labels[frame[name].to_numpy()]
    return frame


def _texts(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return {text for part in parts for text in _texts(part)}


def labels_out(labels: npt.NDArray[Any]) -> list[Any]:
    """Labels as JSON holds them."""
    return [to_plain(each) for each in labels]


def labels_in(plain: Sequence[Any]) -> npt.NDArray[Any]:
    """Labels as an array of their own kind; of objects where they are of several, or pairs."""
    found = [from_plain(each) for each in plain]
    kinds = {type(each) for each in found}
    if len(kinds) == 1 and kinds <= {str, int, float, bool}:
        return np.array(found)
    if kinds and kinds <= {pd.Timestamp, pd.Timedelta}:
        return pd.Index(found).to_numpy()
    out = np.empty(len(found), dtype=object)
    out[:] = found
    return out
