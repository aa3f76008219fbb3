"""What a grown causal forest answers: held-out predictions here, the trees in R."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.engine import HeldOut
from hte_bridge.engines.forest_units import Units
from hte_bridge.engines.trends import doubts
from hte_bridge.rlink import client, versions
from hte_bridge.rlink.kept import Kept
from hte_bridge.shown import Fitted
from hte_bridge.study import Study
from hte_bridge.table import Estimate, interval

if TYPE_CHECKING:
    from hte_bridge.engines.causal_forest import CausalForest

Array = npt.NDArray[np.float64]
POINTWISE = (
    "the pointwise interval of grf's cate contains sampling noise only, not the forest's bias: it covers less than "
    "it says where effects vary"
)
PENALISED = (
    "grf's imbalance penalty is no share but a number: it holds for the outcome times 2^{0.outcome} and the treatment "
    "times 2^{0.treatment}, as which the forest was grown"
)
EQUALISED = "trees weigh clusters equally (equalize_cluster_weights); the rows average over units"


@dataclass(frozen=True, eq=False, repr=False)
class CausalForestFit(Fitted):
    """A grown forest: held-out predictions here, the trees in R.

    The trees are grown again from the same seed, to the same numbers, where R's process has ended meanwhile or the
    fit was pickled.

    Attributes
    ----------
    heldout : HeldOut
        Out-of-bag; within fixed effects where the study has some.
    variance : array (n,)
        Out-of-bag variance of ``heldout.cate``.
    """

    ending: ClassVar[str] = ".rds"  # of the file that `save` writes
    out_of_bag: ClassVar[bool] = True  # no fold made its held-out predictions

    options: CausalForest
    study: Study
    heldout: HeldOut
    forest: Kept = field(repr=False)
    info: Mapping[str, Any] = field(default_factory=dict)
    units: Units = field(default_factory=Units)
    unsettled: str = ""
    reasons: ClassVar[Mapping[str, str]] = {}  # no estimand that its scores cannot answer

    @property
    def engine(self) -> str:
        """Name in the table's column ``engine``."""
        return self.options.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What holds for every row."""
        options = self.options
        equalised = options.equalize_cluster_weights and self.study.clustered
        penalised = options.imbalance_penalty or options.tune_parameters != "none"
        found = (
            EQUALISED if equalised else "",
            self.unsettled,
            *self._doubts,
            PENALISED.format(self.units) if self.units.moved and penalised else "",
            versions.unlike_pinned("grf", self.info["grf"]) if "grf" in self.info else "",
        )
        return tuple(each for each in found if each)

    @cached_property
    def _doubts(self) -> tuple[str, ...]:
        return doubts(self.study)

    def rows(self, level: float) -> list[Estimate]:
        """None: all rows of a forest are made from its scores."""
        return []

    @cached_property
    def variance(self) -> Array:
        """Out-of-bag variance (n,) of the held-out cate; NaN where ``ci_group_size`` is 1 or grf finds none."""
        return self.units.effect(self._predict(None)[1], power=2)

    @cached_property
    def importance(self) -> Array:
        """How often each covariate (p,) was split on, weighted by depth (``grf::variable_importance``)."""
        return np.atleast_1d(self.forest.call("forest_importance"))

    def cate(self, new: Any, level: float = 0.95) -> pd.DataFrame:
        """Effect at new rows: ``estimate std_error conf_low conf_high``, index of ``new``.

        The interval is normal with grf's variance, which contains sampling noise only, no bias. Where grf finds no
        variance at all, as all its trees agree, there is none: that is no certainty.

        Parameters
        ----------
        new : frame or path
            With the covariates of the study.
        level : float, default 0.95

        Raises
        ------
        InvalidNewData
            If a covariate is missing, of another type, or has an unseen level.
        """
        frame = self.study.encoder.frame(new)
        estimate, variance = self._predict(self.study.encoder.transform(frame))
        estimate, std_error = self.units.effect(estimate), self.units.effect(np.sqrt(variance))
        columns = {"estimate": estimate, "std_error": std_error}
        low, high = interval(estimate, std_error, level)
        table = pd.DataFrame({**columns, "conf_low": low, "conf_high": high}, index=frame.index)
        table.attrs["note"] = POINTWISE + self._without(std_error)
        return table

    def _without(self, std_error: Array) -> str:
        """How many rows have no error, where some should."""
        none = int(np.isnan(std_error).sum()) if self.options.ci_group_size > 1 else 0
        said = f"; {none:,} of {len(std_error):,} rows have no interval: grf finds no variance there"
        return said if none else ""

    def _predict(self, covariates: Array | None) -> tuple[Array, Array]:
        """Effect and its variance at rows (m, p), in the forest's units; out of bag for ``None``."""
        told = self.options.ci_group_size > 1
        options = {"num.threads": self.options.num_threads or client.threads(), "variance": told}
        said = self.forest.call("forest_predict", {"X": covariates}, options)
        estimate = np.atleast_1d(said["estimate"])
        variance = np.atleast_1d(said["variance"]) if told else np.full(len(estimate), np.nan)
        return estimate, np.where(variance > 0, variance, np.nan)  # trees that agree are no certainty

    def save(self, path: str | Path) -> Path:
        """Write the forest as R's own file (``.rds``) with a checksum: ``readRDS`` gives a grf forest, ``load`` this fit.

        Its outcome and treatment are in the forest's units: multiplied by powers of two where ``units`` says so.

        Raises
        ------
        UnwritableFolder
            If the folder cannot be written; nothing half-written stays.
        """
        from hte_bridge.engines import forest_file

        return forest_file.save(self, self.forest, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> CausalForestFit:
        """Read what ``save`` wrote; predicts the same numbers.

        R's ``readRDS`` runs code that a file holds: in R, read forests only from whom you trust. Here a file that holds more
        than numbers, text and lists never reaches R.

        Raises
        ------
        UnreadableFile
            If the file is missing, damaged, foreign, of another format, or holds what R could run.
        """
        from hte_bridge.engines import forest_file

        return forest_file.load(Path(path))
