"""A forest that the R user grew: its out-of-bag columns, once it is known to belong to the study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.crossfit import PredictedFit
from hte_bridge.engines.given import Given
from hte_bridge.errors import InvalidData
from hte_bridge.study import Folds, Study

INSTEAD = "or let hte_causal_forest() grow it"


@dataclass(frozen=True, eq=False)
class GrownForest:
    """Held-out columns of a ``grf::causal_forest``, and what it was grown on.

    Parameters
    ----------
    name : str
        Name in the table.
    data : frame
        ``cate``, ``outcome_mean``, ``propensity`` and, for a dose, ``treatment_variance``.
    outcome, treatment : array (m,)
        The forest's ``Y.orig`` and ``W.orig``.
    clusters : array (m,), optional
        The forest's clusters.
    """

    name: str
    data: pd.DataFrame
    outcome: npt.NDArray[Any]
    treatment: npt.NDArray[Any]
    clusters: npt.NDArray[Any] | None = None

    def fit(self, study: Study, folds: Folds | None = None) -> PredictedFit:
        """Check that rows and clusters are the study's, then take the columns as given and held out.

        Raises
        ------
        InvalidData
            If the forest was grown on other rows, in another order, or without the study's clusters.
        """
        self._check_rows(study)
        if study.clustered:
            self._check_clusters(study)
        return Given(self.data.set_axis(study.index), name=self.name, held_out=True).fit(study, folds)

    def _check_rows(self, study: Study) -> None:
        must = "A forest must be grown on the study's rows, in their order."
        if len(self.outcome) != study.n:
            raise InvalidData(
                f"{must} It was grown on {len(self.outcome):,} rows, the study has {study.n:,}. Grow it on the rows "
                f"that the study kept, {INSTEAD}."
            )
        for role, theirs, ours in (
            ("outcome", self.outcome, study.outcome),
            ("treatment", self.treatment, study.treatment),
        ):
            other = np.flatnonzero(np.asarray(theirs) != ours)
            if len(other):
                raise InvalidData(
                    f"{must} Its {role} differs from the study's in {len(other):,} of {study.n:,} rows; the first is row "
                    f"{study.index[other[0]]}. Grow it on those rows, {INSTEAD}."
                )

    def _check_clusters(self, study: Study) -> None:
        must = "A forest must be grown with the study's clusters, else trees vote on units whose neighbours they saw."
        if self.clusters is None or not len(self.clusters):
            raise InvalidData(
                f"{must} It was grown without; the study clusters by `{study.names.cluster}`. Grow it with `clusters`, "
                f"{INSTEAD}."
            )
        pairs = np.unique(np.column_stack([self.clusters, study.cluster]), axis=0)
        if len(pairs) != study.n_clusters or len(np.unique(self.clusters)) != study.n_clusters:
            raise InvalidData(
                f"{must} It has {len(np.unique(self.clusters)):,} clusters that do not match the {study.n_clusters:,} of "
                f"`{study.names.cluster}`. Grow it with those, {INSTEAD}."
            )
