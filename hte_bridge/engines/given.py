"""Predictions made elsewhere: by R, by a colleague, by another package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LinearRegression

from hte_bridge.alignment import by_label, places
from hte_bridge.arrays import Array
from hte_bridge.crossfit import PredictedFit, out_of_fold
from hte_bridge.engine import NO_ERROR, HeldOut
from hte_bridge.errors import InvalidData, InvalidNewData, nearest
from hte_bridge.frames import to_pandas
from hte_bridge.shown import spelled
from hte_bridge.study import Folds, Study

COLUMNS = ("cate", "outcome_mean", "propensity", "treatment_variance", "std_error")
LEAKED = 0.6  # loss of the columns over that of a cross-fitted learner: held-out columns are seldom that much better
CHECK_ROWS = 2_000  # a loss from so many rows is exact enough for a ratio of LEAKED
UNSAID = (
    "nobody said that these predictions are held-out (`held_out=True`); were a unit predicted by a model that saw it, "
    "errors would be too small"
)
IN_SAMPLE = (
    "Scores need predictions by models that did not see the unit. These were said to be in-sample (`held_out=False`). "
    "Predict out of fold or out of bag and give those columns."
)


@dataclass(frozen=True, eq=False)
class Given:
    """Columns predicted elsewhere, as one more engine.

    Parameters
    ----------
    data : frame or mapping of arrays
        ``cate`` (effect of one unit of treatment, outcome units), ``outcome_mean`` (E[Y | x]), ``propensity``
        (E[T | x]; may be left out where the study knows it), ``treatment_variance`` (Var(T | x): a dose, or fixed
        effects), ``std_error`` (of ``cate``, optional). A frame, and a Series in a mapping, is matched by the
        labels of its index; arrays, and a frame numbered from 0 (or from 1, as R does) whose numbers are not the study's, by order.
    name : str, default "given"
        Name in the table.
    held_out : bool, optional
        What you know of the columns: ``True`` if no unit was predicted by a model that saw it. Unsaid, each row
        carries a note; ``False`` leaves the rows without numbers. Columns that fit better than any held out would have
        estimates without intervals, whatever was said.

    Examples
    --------
    Out-of-fold predictions of a colleague's model, here of lines fitted to the other half of the data:

    >>> import numpy as np
    >>> import pandas as pd
    >>> import hte_bridge as hb
    >>> from sklearn.linear_model import LinearRegression
    >>> from hte_bridge.simulate import grf_table1
    >>> df = grf_table1(200, seed=1).frame()
    >>> x, half = df[["x1", "x2"]].to_numpy(), np.arange(200) % 2
    >>> theirs = pd.DataFrame({"cate": 0.0, "outcome_mean": 0.0, "propensity": 0.5}, index=df.index)
    >>> for part in (0, 1):
    ...     fitted, at = half != part, half == part
    ...     arm = [LinearRegression().fit(x[fitted & (df.t == w)], df.y[fitted & (df.t == w)]).predict(x[at]) for w in (0, 1)]
    ...     theirs.loc[at, "cate"] = arm[1] - arm[0]
    ...     theirs.loc[at, "outcome_mean"] = (arm[0] + arm[1]) / 2
    >>> study = hb.Study.from_frame(df, outcome="y", treatment="t", covariates=["x1", "x2"], propensity=0.5)
    >>> table = hb.compare(study, [hb.Given(theirs, name="colleague", held_out=True)], estimands=["ate"], seed=1)
    >>> [(row.engine, round(row.estimate, 1)) for row in table.rows]
    [('colleague', 2.2)]
    """

    data: Any
    name: str = "given"
    held_out: bool | None = None

    def fit(self, study: Study, folds: Folds | None = None) -> PredictedFit:
        """Match and check the columns; nothing is estimated, ``folds`` serve the check for leaks alone.

        Raises
        ------
        InvalidData
            If a column is missing, of another length, holds a gap, or a propensity outside (0, 1).
        """
        columns = self._columns(study)
        std_error = columns.pop("std_error", np.full(study.n, np.nan))
        predict = Lookup(study.index, columns["cate"], std_error)
        info = {"source": "given", "held_out": self.held_out, "columns": sorted(columns)}
        if self.held_out is False:
            return PredictedFit(self.name, study, None, predict, reasons={"*": IN_SAMPLE}, info=info)
        reason = _unidentified(study, columns)
        if reason:
            return PredictedFit(self.name, study, None, predict, reasons={"*": reason}, info=info)
        heldout = HeldOut(**columns)  # type: ignore[arg-type]
        notes = () if self.held_out else (UNSAID,)
        order, leak = warnings(study, heldout)
        info |= {NO_ERROR: leak} if leak else {}
        return PredictedFit(
            self.name, study, heldout, predict, (*notes, *filter(None, (order, leak))), {}, info
        )

    def _columns(self, study: Study) -> dict[str, Array]:
        if isinstance(self.data, HeldOut):
            found = {key: getattr(self.data, key) for key in COLUMNS[:4]}
            columns = {key: value for key, value in found.items() if value is not None}
        elif isinstance(self.data, Mapping):
            columns = {name: by_label(study, each, name) for name, each in self.data.items()}
        else:
            frame = _match(to_pandas(self.data), study, self.name)
            columns = {str(name): frame[name] for name in frame.columns}
        for name in ("cate", "outcome_mean", "propensity"):
            if name == "propensity" and name not in columns and study.propensity is not None:
                columns[name] = study.propensity
            if name not in columns:
                raise InvalidData(
                    f"Given predictions must have `cate`, `outcome_mean` and `propensity`. `{name}` of `{self.name}` is "
                    f"missing. {nearest(name, columns)} Add it, or rename."
                )
        return {name: _checked(columns[name], name, study) for name in COLUMNS if name in columns}


@dataclass(frozen=True, eq=False)
class Lookup:
    """Effects by the labels of the study's rows: columns from elsewhere know no others."""

    index: pd.Index
    cate: Array
    std_error: Array

    def __call__(self, frame: pd.DataFrame) -> tuple[Array, Array]:
        """Effects and errors of rows whose labels the study holds."""
        place = self.index.get_indexer(frame.index) if self.index.is_unique else np.full(len(frame), -1)
        unknown = np.flatnonzero(place < 0)
        if len(unknown):
            raise InvalidNewData(
                f"Predictions made elsewhere are known for the study's own rows alone. {len(unknown):,} of "
                f"{len(frame):,} rows are not among them; the first is `{spelled(frame.index[unknown[0]])}`. Give columns for "
                "these rows too, or ask an engine that can predict."
            )
        return self.cate[place], self.std_error[place]


def _match(frame: pd.DataFrame, study: Study, name: str) -> pd.DataFrame:
    """Rows of the frame in the study's order: by label where it holds all of the study's; by position where it has no labels of its own."""
    if frame.index.is_unique and study.index.isin(frame.index).all():
        return frame.iloc[places(study, frame.index, name)]
    if len(frame) == study.n and isinstance(frame.index, pd.RangeIndex):
        return frame
    absent = study.index[~study.index.isin(frame.index)]
    found = f"{len(absent):,} labels of the study are not" if len(absent) else "its labels repeat"
    raise InvalidData(
        f"Given predictions must cover the study's {study.n:,} rows, by the labels of its index or in its order. "
        f"`{name}` has {len(frame):,} rows and {found}{f'; the first is `{absent[0]}`' if len(absent) else ''}. Set its "
        "index to that of the data, or pass the study's rows in their order."
    )


def _checked(values: Any, name: str, study: Study) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (study.n,):
        raise InvalidData(
            f"Given predictions must have one value for each of the study's {study.n:,} rows. `{name}` has shape "
            f"{array.shape}. Rows that the study dropped ({dict(study.dropped) or 'none'}) must be dropped here too."
        )
    bad = np.flatnonzero(~np.isfinite(array)) if name != "std_error" else np.empty(0, np.int64)
    if len(bad):
        raise InvalidData(
            f"Given `{name}` must be finite. {len(bad):,} of {study.n:,} values are not; the first is in row "
            f"{spelled(study.index[bad[0]])}. Predict those rows too, or drop them from the study."
        )
    return array


def _unidentified(study: Study, columns: Mapping[str, Array]) -> str:
    """Why no score can be formed from these columns, or an empty string."""
    if study.binary and not study.fixed_effects.shape[1]:
        outside = np.flatnonzero((columns["propensity"] <= 0) | (columns["propensity"] >= 1))
        if len(outside):
            raise InvalidData(
                f"A propensity must lie between 0 and 1. {len(outside):,} of {study.n:,} values do not; the first is "
                f"{columns['propensity'][outside[0]]:g}, in row {spelled(study.index[outside[0]])}. Clip or drop those rows."
            )
        return ""
    if "treatment_variance" in columns:
        return ""
    return (
        "A dose, or a treatment with fixed effects, needs Var(T | x) for its scores. No `treatment_variance` was given. "
        "Add that column."
    )


def warnings(study: Study, heldout: HeldOut) -> tuple[str, str]:
    """A sentence about columns that look like those of other rows, and one about columns that look leaked; empty where they do not.

    The residuals Y - m - (T - e) tau are set against those of a line and of randomised trees, cross-fitted on the
    same rows: a loss far below both says that the columns have seen the outcomes they are judged by.
    """
    if study.fixed_effects.shape[1]:
        return "", ""  # within the effects the residual depends on how they were swept out
    residual = study.outcome - heldout.outcome_mean - (study.treatment - heldout.propensity) * heldout.cate
    rows = np.arange(study.n)
    if study.n > CHECK_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(study.n, CHECK_ROWS, replace=False))
    part = study.subset(rows)
    loss = float(np.average(residual[rows] ** 2, weights=part.weight))
    centred = part.outcome - np.average(part.outcome, weights=part.weight)
    spread = float(np.average(centred**2, weights=part.weight))
    if loss > spread:
        return (
            f"the given columns predict the outcome worse than its mean does (loss {loss:.3g} against {spread:.3g}); "
            "check that their rows are in the study's order",
            "",
        )
    reference = min(
        spread,
        *(
            _loss(part, learner)
            for learner in (LinearRegression(), ExtraTreesRegressor(30, min_samples_leaf=5, random_state=0))
        ),
    )
    if loss >= LEAKED * reference:
        return "", ""
    return "", (
        f"no interval: the given columns look leaked: their loss is {loss:.3g}, {loss / reference:.0%} of what held-out "
        f"predictions reach here ({reference:.3g}), and errors from columns made in-sample are too small; predict out of "
        "fold or out of bag"
    )


def _loss(study: Study, learner: Any) -> float:
    """Held-out mean squared error of a learner for the outcome, given covariates and treatment."""
    x = np.column_stack([study.adjusted.filled, study.treatment])

    def fit_predict(train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]) -> Array:
        model = clone(learner).fit(x[train], study.outcome[train], sample_weight=study.weight[train])
        return np.asarray(model.predict(x[test]), dtype=np.float64)

    predicted = out_of_fold(fit_predict, Folds.make(study, 3, 0), study.n)
    return float(np.average((study.outcome - predicted) ** 2, weights=study.weight))
