"""Right-hand sides in the syntax of fixest and formulaic -> columns."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.errors import InvalidOption, nearest

Array = npt.NDArray[np.float64]


def design_of(formula: str, frame: pd.DataFrame) -> tuple[Array, list[str]]:
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
    >>> design_of("~ x + i(g)", pd.DataFrame({"x": [1.0, 2.0, 3.0], "g": ["a", "b", "a"]}))[1]
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
