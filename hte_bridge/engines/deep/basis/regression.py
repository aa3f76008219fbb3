"""A regression of the outcome on some features of a basis: its rows, its normal equations, and whose coefficients they hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Codes
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.normal_equations import NormalEquations, System, eliminate
from hte_bridge.engines.deep.basis.problem import Problem
from hte_bridge.engines.deep.basis.variance_components import LastLayer, variance_components


@dataclass(frozen=True, eq=False)
class Regression:
    """What is fitted.

    Parameters
    ----------
    made : Design
        Whose rows are those of ``system``.
    system : System
        Normal equations of the chosen columns, net of the effects.
    columns : array (P,)
        Chosen features, of ``Design.columns``.
    owner : array (P + slopes,)
        Block of each, of ``Design.owner``.
    slopes : bool
        Whether random slopes are in the model.
    """

    made: Design
    system: System
    columns: Codes
    owner: Codes
    slopes: bool = False

    @classmethod
    def of(cls, made: Design, whole: NormalEquations, columns: Codes, slopes: bool = False) -> Regression:
        """Of the sums over a design's rows, on some of its columns."""
        owner, _ = made.owner(columns, slopes)
        system = eliminate(whole, made.rows.sizes, columns, slopes, device=made.device)
        return cls(made, system, columns, owner, slopes)

    def fit(self, *, max_steps: int | None = None, temper: float = 1.0) -> LastLayer:
        """Variances of the blocks of the outcome from the marginal likelihood; the constant has no prior."""
        system = self.system
        outcome = Problem(
            system.gram, system.target[:, 0], system.second[0, 0], system.freedom, self.owner, (0,)
        )
        return variance_components(outcome, max_steps=max_steps, device=self.made.device, temper=temper)

    def of_effect(self, layer: LastLayer) -> npt.NDArray[np.bool_]:
        """Which live columns (live,) belong to tau."""
        live, columns = layer.live, self.columns
        return (live >= len(columns)) | (columns[np.minimum(live, len(columns) - 1)] < self.made.basis.size)

    def places(self, layer: LastLayer) -> tuple[npt.NDArray[np.bool_], Codes, Codes]:
        """Of the live columns but slopes: which belong to tau, and the features of the basis that those of tau and those of mu are."""
        position = self.columns[layer.live[layer.live < len(self.columns)]]
        width, drifting = self.made.basis.size, np.flatnonzero(self.made.drift)
        of_tau = position < width
        return of_tau, position[of_tau], drifting[position[~of_tau] - width]

    @property
    def lines(self) -> Regression:
        """The same whose effect and mu are lines."""
        made, system = self.made, self.system
        kept = np.flatnonzero(np.isin(made.kinds(self.columns), ("constant", "linear")))
        few = replace(
            system,
            gram=system.gram[np.ix_(kept, kept)],
            target=system.target[kept],
            project=system.project[:, kept],
        )
        owner = np.unique(self.owner[kept], return_inverse=True)[1].reshape(-1)
        return Regression(made, few, self.columns[kept], owner)
