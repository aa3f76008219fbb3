"""What a user names of a study's frame: a column, a condition, a right-hand side in fixest's syntax."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.alignment import Chosen, columns_of, mask_of, some
from hte_bridge.errors import InvalidOption, nearest
from hte_bridge.expression import condition
from hte_bridge.study import Study

Array = npt.NDArray[np.float64]


def rows_of(study: Study, where: Any) -> Chosen:
    """Rows of a condition such as ``"age > 30"``, of a mask, or all of them."""
    if where is None:
        return Chosen(np.ones(study.n, dtype=bool))
    if isinstance(where, str):
        if study.frame is None:
            raise InvalidOption(
                "A condition needs a study made by Study.from_frame. This one has no frame. Hand over a mask."
            )
        found = condition(where, study.frame)
        return some(Chosen(found.yes, int(found.missing.sum())), "where")
    return mask_of(study, where)


def design_of(study: Study, given: Any) -> tuple[Array, list[str]]:
    """Columns (n, k) and names of a right-hand side on the study's frame, or of columns given; its covariates where there is none."""
    if given is None:
        return study.filled, list(study.filled_names)
    if not isinstance(given, str):
        return columns_of(study, given, "formula")
    if study.frame is None:
        raise InvalidOption(
            "A formula needs a study made by Study.from_frame. This one has no frame. Hand over the columns."
        )
    return right_hand_side(given, study.frame)


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
    return np.asfortranarray(values), names


def _offer(name: str, frame: pd.DataFrame) -> str:
    return f"`{name}` is not one. {nearest(name, frame.columns)}"
