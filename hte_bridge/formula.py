"""What a user names of a study's frame: a column, a condition, a right-hand side in fixest's syntax."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.errors import InvalidOption, nearest
from hte_bridge.study import Study

Array = npt.NDArray[np.float64]


def column_of(study: Study, given: Any) -> Any:
    """A column of the study's frame by name; anything else as it is.

    Raises
    ------
    InvalidOption
        With the nearest names, if there is no such column.
    """
    if not isinstance(given, str):
        return given
    if study.frame is None or given not in study.frame.columns:
        names = () if study.frame is None else study.frame.columns
        raise InvalidOption(f"`{given}` must be a column of the frame. {nearest(given, names)}")
    return study.frame[given]


def rows_of(study: Study, where: Any) -> Any:
    """A mask (n,) from a condition such as ``"age > 30"``, a mask, or nothing."""
    if where is None:
        return np.ones(study.n, dtype=bool)
    if isinstance(where, str) and study.frame is not None:
        return np.asarray(study.frame.eval(where), dtype=bool)
    return where


def design_of(study: Study, formula: str | None) -> tuple[Array, list[str]]:
    """Columns (n, k) and names of a right-hand side on the study's frame; its covariates where there is none."""
    if formula is None or study.frame is None:
        return study.filled, list(study.filled_names)
    return right_hand_side(formula, study.frame)


def right_hand_side(formula: str, frame: pd.DataFrame) -> tuple[Array, list[str]]:
    """Columns (n, k), without an intercept, and their names.

    Parameters
    ----------
    formula : str
        ``"age + i(town)"``, ``"x * z"``, ``"poly(age, 2)"``; fixest's ``i(x)`` is formulaic's ``C(x)``. A leading ``~`` may
        stand.
    frame : DataFrame

    Raises
    ------
    InvalidOption
        If the formula cannot be read, names a column that is not there, or meets a missing value.

    Examples
    --------
    >>> right_hand_side("~ x + i(g)", pd.DataFrame({"x": [1.0, 2.0, 3.0], "g": ["a", "b", "a"]}))[1]
    ['x', 'C(g)[T.b]']
    """
    from formulaic import Formula, model_matrix
    from formulaic.errors import FormulaicError

    text = re.sub(r"\bi\(", "C(", formula.split("~")[-1])
    try:
        missing = sorted(set(map(str, Formula(text).required_variables)) - set(frame.columns))
        if missing:
            raise InvalidOption(f"`formula` must name columns of the frame. {_offer(missing[0], frame)}")
        matrix: Any = model_matrix(text, frame, na_action="ignore")
    except FormulaicError as error:
        raise InvalidOption(
            f"`formula` must be a right-hand side such as 'age + i(town)'. {error}"
        ) from error
    names = [str(name) for name in matrix.columns if name != "Intercept"]
    values = np.asarray(matrix[names], dtype=np.float64)
    gaps = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(gaps):
        raise InvalidOption(
            f"Columns of a formula must have no missing value. {len(gaps):,} of {len(frame):,} rows of `{formula}` do; the "
            f"first is row {gaps[0]}. Leave the column out, or project on the covariates (no formula)."
        )
    return values, names


def _offer(name: str, frame: pd.DataFrame) -> str:
    return f"`{name}` is not one. {nearest(name, frame.columns)}"
