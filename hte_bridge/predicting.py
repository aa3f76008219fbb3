"""Effects at new rows as users of scikit-learn and EconML ask a fit for them, and grids of rows to ask about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidNewData, InvalidOption, nearest
from hte_bridge.options import between, finite

if TYPE_CHECKING:
    from hte_bridge.adoption import Adoption
    from hte_bridge.study import Study

MOST_ROWS = 1_000_000  # of a grid


class Predicts:
    """Short names for what ``cate`` gives: ``predict(X)``, ``effect(X)`` and ``effect_interval(X)``, as arrays.

    ``X`` is a frame with the covariates of the study, or an array (m, p) of them in the order in which the study names them.
    """

    def predict(self, X: Any) -> Array:
        """Effect (m,) of one unit of treatment at each row; the ``estimate`` of ``cate``."""
        return np.asarray(_asked(self, X, 0.95)["estimate"], dtype=np.float64)

    def effect(self, X: Any, *, T0: float = 0.0, T1: float = 1.0) -> Array:
        """Effect (m,) of a change of the treatment from ``T0`` to ``T1``, which is ``T1 - T0`` times that of one unit."""
        return self.predict(X) * (finite("T1", T1) - finite("T0", T0))

    def effect_interval(
        self, X: Any, *, T0: float = 0.0, T1: float = 1.0, alpha: float = 0.05
    ) -> tuple[Array, Array]:
        """Ends (m,) of the ``1 - alpha`` intervals of ``effect``; NaN where no theory gives one.

        Raises
        ------
        InvalidOption
            If ``alpha`` is not between 0 and 1.
        """
        between("alpha", alpha, 0, 1, "between 0 and 1, such as 0.05", (False, False))
        step, found = finite("T1", T1) - finite("T0", T0), _asked(self, X, 1 - alpha)
        ends = np.sort(found[["conf_low", "conf_high"]].to_numpy(dtype=np.float64) * step, axis=1)
        return ends[:, 0], ends[:, 1]


def _asked(fit: Any, X: Any, level: float) -> pd.DataFrame:
    """``cate`` of a fit at a frame, or at an array with a column for each covariate."""
    if not isinstance(X, np.ndarray):
        found: pd.DataFrame = fit.cate(X, level)
        return found
    names = fit.study.encoder.sources
    if fit.study.encoder.recipes:
        raise InvalidNewData(
            "New rows of a study by a formula must be a frame, from which its terms are computed. An array was given: its columns could be the "
            f"frame's or the formula's ({', '.join(names)}). Hand over a frame with named columns."
        )
    if X.ndim != 2 or X.shape[1] != len(names):
        raise InvalidNewData(
            f"An array of new rows must have one column for each covariate: {', '.join(names)}. It has shape {X.shape}. Hand over a frame "
            "with these columns, or an array of them in this order."
        )
    columns = {name: pd.Series(X[:, j]).infer_objects() for j, name in enumerate(names)}
    asked: pd.DataFrame = fit.cate(pd.DataFrame(columns), level)
    return asked


def datagrid(study: Study | Adoption, **at: Any) -> pd.DataFrame:
    """Rows of covariates to ask effects at: every combination of the values named, all else typical.

    Parameters
    ----------
    study : Study
        Made by ``Study.from_frame``.
    **at : value or sequence of values
        By covariate. One that is not named has its weighted mean if it is a number, else its most frequent value; of an adoption, over
        units and periods.

    Returns
    -------
    DataFrame
        One row for each combination, columns in the study's order.

    Raises
    ------
    InvalidOption
        If a name is no covariate of the study, or the grid has no rows or too many.

    Examples
    --------
    >>> import pandas as pd, hte_bridge as hb
    >>> frame = pd.DataFrame({"y": [1.0, 2, 4, 3], "d": [0, 1, 1, 0], "age": [20.0, 30, 40, 50], "town": list("aaba")})
    >>> study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["age", "town"])
    >>> hb.datagrid(study, town=["a", "b"]).values.tolist()
    [[35.0, 'a'], [35.0, 'b']]
    """
    if not hasattr(study, "encoder"):  # of several arms
        raise InvalidOption(
            f"A grid needs a study of two arms or of a dose. This is {type(study).__name__}. Write the rows as a frame, or take the study of one "
            "contrast: `table[arm].study`."
        )
    names = study.encoder.sources
    absent = next((name for name in at if name not in names), None)
    if absent is not None:
        raise InvalidOption(
            f"A grid must be of covariates of the study. `{absent}` is none. {nearest(absent, names)}"
        )
    if study.frame is None:
        raise InvalidOption(
            "A grid needs a study made by Study.from_frame. This one has no frame. Write the rows as a frame."
        )
    values = [_several(at[name]) if name in at else [_typical(study, name)] for name in names]
    size = int(np.prod([len(each) for each in values], dtype=np.float64))
    if not 0 < size <= MOST_ROWS:
        raise InvalidOption(
            f"A grid must have between 1 and {MOST_ROWS:,} rows. This one has {size:,}. Name other values."
        )
    rows = list(product(*values))
    made = {name: pd.Series([row[j] for row in rows]) for j, name in enumerate(names)}
    return pd.DataFrame(made)


def grid_of(study: Study | Adoption, new: Any) -> tuple[Any, pd.DataFrame | None]:
    """New rows; of a mapping of covariates to values the grid, which stands beside the answer."""
    if not isinstance(new, Mapping):
        return new, None
    grid = datagrid(study, **{str(name): value for name, value in new.items()})
    return grid, grid


def beside(found: pd.DataFrame, grid: pd.DataFrame | None) -> pd.DataFrame:
    """Effects with the grid that they are of before them, where they were asked by one."""
    if grid is None:
        return found
    both = pd.concat([grid, found], axis=1)
    both.attrs |= found.attrs
    return both


def _several(value: Any) -> list[Any]:
    if isinstance(value, Mapping) or hasattr(value, "columns"):
        raise InvalidOption(
            f"A grid must have values, or sequences of them. A {type(value).__name__} was given. Write them as a list."
        )
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return [value]
    return [each.as_py() if hasattr(each, "as_py") else each for each in value]  # Arrow's own scalars


def _typical(study: Study | Adoption, name: str) -> Any:
    """Weighted mean of a number, else the value of most weight; of yes and no too."""
    assert study.frame is not None
    column = study.frame[name]
    known = column.notna().to_numpy()
    of_rows = (
        study.weight if len(study.weight) == len(column) else np.ones(len(column))
    )  # an adoption's are of units, not of rows
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric:
        return float(np.average(column[known].to_numpy(dtype=np.float64), weights=of_rows[known]))
    weight = pd.Series(of_rows[known]).groupby(column[known].astype(object).to_numpy()).sum()
    return weight.idxmax()
