"""Columns of R's data that a study was not made of, for a question that names them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hte_bridge.comparing_arms import ArmsComparison
from hte_bridge.serve.values import Rows


def with_columns(table: Any, columns: Rows | None) -> Any:
    """The same table and fits, with further columns in the frames of its studies."""
    if columns is None:
        return table
    if isinstance(table, ArmsComparison):
        whole = study_with_columns(table.study.whole, columns)
        frame = columns.on(whole.index)
        tables = {arm: _framed(each, frame) for arm, each in table.tables.items()}
        studies = {arm: each.study for arm, each in tables.items()}
        return replace(table, tables=tables, study=replace(table.study, whole=whole, studies=studies))
    return replace(table, study=study_with_columns(table.study, columns))


def study_with_columns(study: Any, columns: Rows | None) -> Any:
    """The same study, with further columns in its frame."""
    if columns is None or getattr(study, "frame", None) is None:
        return study
    return replace(study, frame=study.frame.assign(**columns.on(study.index)))


def _framed(table: Any, frame: Any) -> Any:
    """A contrast's comparison with the columns of the whole at its own units."""
    study = table.study
    return replace(table, study=replace(study, frame=study.frame.assign(**frame.loc[study.index])))
