"""A forest that the R user grew: its out-of-bag columns, once its design is known to be the study's."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.crossfit import PredictedFit, Refusal
from hte_bridge.engines.forest.fit import POINTWISE
from hte_bridge.engines.given import Given
from hte_bridge.errors import InvalidData, InvalidNewData
from hte_bridge.rlink import client
from hte_bridge.serve.matching import Matched, match
from hte_bridge.shown import spelled
from hte_bridge.study import Folds, Study

ON_ROWS = "A forest must be grown on the study's rows, in their order."
INSTEAD = "or let hte_causal_forest() grow it"
ROUNDING = 1e-9  # of weights that were scaled to another sum
NO_VARIANCE = "grf gives the variance 0 here, as it does for outcomes near 1e-5: multiply the outcome, and grow the forest on that"
WITHOUT_EFFECTS = (
    "a forest that was grown elsewhere knows nothing of the study's fixed effects, and one on residuals is biased, as beta(x)*T within "
    "effects is not beta(x)*(T within effects): let hte_causal_forest() grow it"
)
OTHER_PROPENSITY = "the forest was grown with another propensity than the one that the study knows"


@dataclass(frozen=True, eq=False)
class GrownForest:
    """Held-out columns of a ``grf::causal_forest``, what it was grown on, and where it stands in the user's session.

    Parameters
    ----------
    name : str
        Name in the table.
    data : frame
        ``cate``, ``outcome_mean``, ``propensity`` and, for a dose, ``treatment_variance``.
    outcome, treatment : array (m,)
        The forest's ``Y.orig`` and ``W.orig``.
    covariates : array (m, q)
        The forest's ``X.orig``.
    covariate_names : sequence of str, optional
        Their names, where the matrix had any.
    forest : str
        Its handle in R, for effects at new rows.
    clusters, weights : array (m,), optional
        The forest's ``clusters`` and ``sample.weights``.
    equalized : bool, default False
        ``equalize.cluster.weights``.
    variance : bool, default True
        Whether it has variances (``ci.group.size`` of 2 or more).
    """

    name: str
    data: pd.DataFrame
    outcome: npt.NDArray[Any]
    treatment: npt.NDArray[Any]
    covariates: Array
    forest: str
    covariate_names: tuple[str, ...] = ()
    clusters: npt.NDArray[Any] | None = None
    weights: Array | None = None
    equalized: bool = False
    variance: bool = True

    def __post_init__(self) -> None:
        weakref.finalize(self, client.worker().drops.append, self.forest)  # forgotten with the next call

    def fit(self, study: Study, folds: Folds | None = None) -> GrownFit:
        """Check that rows and design are the study's, then take the columns as given and held out.

        For a study with fixed effects the rows stay without numbers and say why.

        Raises
        ------
        InvalidData
            If the forest was grown on other rows, in another order, with other clusters or weights, or on none of the
            study's covariates.
        """
        if study.fixed_effects.shape[1]:
            return GrownFit(self.name, study, None, Refusal(WITHOUT_EFFECTS), reasons={"*": WITHOUT_EFFECTS})
        self._check_rows(study)
        self._check_clusters(study)
        self._check_weights(study)
        matched = match(study, np.asarray(self.covariates, dtype=np.float64), self.covariate_names)
        if matched.refusal:
            raise InvalidData(f"{ON_ROWS} {matched.refusal} Grow it on the study's covariates, {INSTEAD}.")
        made = Given(self.data.set_axis(study.index), name=self.name, held_out=True).fit(study, folds)
        notes = (matched.note, OTHER_PROPENSITY if self._other_propensity(study) else "")
        info = {**made.info, "variance": self.variance}
        parts = vars(made) | {"notes": (*made.notes, *filter(None, notes)), "info": info}
        return GrownFit(**parts | {"at_rows": partial(self._predict, study, matched)})

    def _check_rows(self, study: Study) -> None:
        if len(self.outcome) != study.n:
            raise InvalidData(
                f"{ON_ROWS} It was grown on {len(self.outcome):,} rows, the study has {study.n:,}. Grow it on the rows "
                f"that the study kept, {INSTEAD}."
            )
        for role, theirs, ours in (
            ("outcome", self.outcome, study.outcome),
            ("treatment", self.treatment, study.treatment),
        ):
            other = np.flatnonzero(np.asarray(theirs) != ours)
            if len(other):
                raise InvalidData(
                    f"{ON_ROWS} Its {role} differs from the study's in {len(other):,} of {study.n:,} rows; the first is "
                    f"row {spelled(study.index[other[0]])}. Grow it on those rows, {INSTEAD}."
                )

    def _check_clusters(self, study: Study) -> None:
        theirs = 0 if self.clusters is None else len(np.unique(self.clusters))
        if not study.clustered:
            if theirs and theirs != study.n:
                raise InvalidData(
                    f"A forest's clusters must be the study's. It was grown with {theirs:,} clusters; the study has none, "
                    f"and its errors would take units as independent. Name them in hte_study(cluster = ), or grow it "
                    "without `clusters`."
                )
            return
        must = "A forest must be grown with the study's clusters, else trees vote on units whose neighbours they saw."
        if not theirs:
            raise InvalidData(
                f"{must} It was grown without; the study clusters by `{study.names.cluster}`. Grow it with `clusters`, "
                f"{INSTEAD}."
            )
        pairs = np.unique(np.column_stack([np.asarray(self.clusters), study.cluster]), axis=0)
        if len(pairs) != study.n_clusters or theirs != study.n_clusters:
            raise InvalidData(
                f"{must} It has {theirs:,} clusters that do not match the {study.n_clusters:,} of "
                f"`{study.names.cluster}`. Grow it with those, {INSTEAD}."
            )

    def _check_weights(self, study: Study) -> None:
        what = "`sample.weights`" if self.weights is not None else "no weights"
        theirs = np.ones(study.n) if self.weights is None else np.asarray(self.weights, dtype=np.float64)
        if self.equalized and self.clusters is not None:
            what, sizes = (
                "`equalize.cluster.weights = TRUE`",
                np.unique(self.clusters, return_inverse=True)[1],
            )
            theirs = 1 / np.bincount(sizes)[sizes]
        gap = np.abs(theirs / theirs.mean() - study.weight / study.weight.mean())
        if gap.max() <= ROUNDING * (theirs / theirs.mean()).max():
            return
        ours = f"weighs by `{study.names.weight}`" if study.weighted else "weighs units equally"
        cure = (
            "Give the study the weight 1 / (units of the cluster)" if self.equalized else "Give both the same"
        )
        raise InvalidData(
            f"A forest's weights must be the study's. It was grown with {what}, and the study {ours}. {cure}, {INSTEAD}."
        )

    def _other_propensity(self, study: Study) -> bool:
        known = study.propensity
        return known is not None and bool(np.abs(known - self.data["propensity"].to_numpy()).max() > ROUNDING)

    def _predict(self, study: Study, matched: Matched, frame: pd.DataFrame) -> tuple[Array, Array]:
        """grf's own effects and errors at new rows, by the forest in the user's session."""
        if matched.place is not None:
            x = study.encoder.transform(frame)[:, list(matched.place)]
        else:
            x = _named(frame, self.covariate_names)
        options = {"handle": self.forest, "num.threads": client.threads(), "variance": self.variance}
        said = client.call("forest_predict", {"X": x}, options)
        estimate = np.atleast_1d(said["estimate"])
        variance = np.atleast_1d(said["variance"]) if self.variance else np.full(len(estimate), np.nan)
        return estimate, np.sqrt(np.where(variance > 0, variance, np.nan))  # an error of 0 is never meant


@dataclass(frozen=True, eq=False, repr=False)
class GrownFit(PredictedFit):
    """As any fit of held-out columns; its effects at new rows are grf's, with grf's caveat."""

    def cate(self, new: Any, level: float = 0.95) -> pd.DataFrame:
        """As ``PredictedFit.cate``; ``attrs["note"]`` says what the interval leaves out."""
        table = super().cate(new, level)
        zero = self.info["variance"] and table["std_error"].isna().any()
        table.attrs["note"] = NO_VARIANCE if zero else POINTWISE
        return table


def _named(frame: pd.DataFrame, names: tuple[str, ...]) -> Array:
    """The forest's own columns by name, for a forest on other covariates than the study's."""
    for name in names or ("",):
        if name not in frame.columns or not pd.api.types.is_numeric_dtype(frame[name]):
            raise InvalidNewData(
                "New data for this forest must hold the columns it was grown on, as numbers: they are not the study's "
                f"covariates. {f'`{name}` is missing or no number' if name else 'Its matrix had no names'}. Use "
                f"predict(forest, ...) in R, {INSTEAD}."
            )
    return frame[list(names)].to_numpy(dtype=np.float64, na_value=np.nan)
