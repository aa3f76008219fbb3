"""A simulated data set that knows its own effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array
from hte_bridge.shown import Arrays

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class CrossSection(Arrays):
    """One draw of a cross-sectional design.

    Parameters
    ----------
    name : str
        Design, with its variant.
    covariates : array (n, p)
    treatment, outcome : array (n,)
    cate : array (n,)
        True tau(x), outcome units per unit of treatment.
    propensity : array (n,)
        True E[T | x].
    outcome_mean : array (n,)
        True E[Y | x].
    cluster : array (n,), optional
        Labels of the clusters in which errors are correlated.
    experiment : bool
        Whether the propensity is known by design, so that an estimator may be given it.
    categories : tuple of int
        Covariates that are codes of a category: text in ``frame``.
    """

    name: str
    covariates: Array
    treatment: Array
    outcome: Array
    cate: Array
    propensity: Array
    outcome_mean: Array
    cluster: npt.NDArray[np.int64] | None = None
    experiment: bool = False
    categories: tuple[int, ...] = ()

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.outcome)

    @property
    def columns(self) -> list[str]:
        """Names of the covariates in ``frame``: x1 to xp."""
        return [f"x{j + 1}" for j in range(self.covariates.shape[1])]

    def frame(self) -> pd.DataFrame:
        """Columns ``y``, ``t``, ``x1`` ... ``xp``, and ``cluster`` where there is one.

        Examples
        --------
        >>> from hte_bridge.simulate import dense
        >>> list(dense(n=3, p=2, seed=1).frame().columns)
        ['y', 't', 'x1', 'x2']
        """
        import pandas as pd

        frame = pd.DataFrame(self.covariates, columns=self.columns)
        for place in self.categories:
            frame[self.columns[place]] = [f"level {code:.0f}" for code in self.covariates[:, place]]
        frame.insert(0, "y", self.outcome)
        frame.insert(1, "t", self.treatment)
        if self.cluster is not None:
            frame["cluster"] = self.cluster
        return frame


def draw(
    name: str,
    rng: np.random.Generator,
    covariates: Array,
    *,
    base: Array,
    cate: Array,
    propensity: Array,
    centre: Array | float,
    noise: Array | float = 1.0,
    cluster: npt.NDArray[np.int64] | None = None,
    experiment: bool = False,
) -> CrossSection:
    """Draw W ~ Bernoulli(propensity) and Y = base + (W - centre) cate + noise.

    ``noise`` is a standard deviation of normal errors, or the errors themselves (n,).
    """
    n = len(covariates)
    treatment = (rng.random(n) < propensity).astype(np.float64)
    errors = noise if isinstance(noise, np.ndarray) else noise * rng.normal(size=n)
    return CrossSection(
        name=name,
        covariates=covariates,
        treatment=treatment,
        outcome=base + (treatment - centre) * cate + errors,
        cate=cate,
        propensity=propensity,
        outcome_mean=base + (propensity - centre) * cate,
        cluster=cluster,
        experiment=experiment,
    )
