"""Held-out predictions -> doubly robust scores: the waist that every engine passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array
from hte_bridge.engine import HeldOut
from hte_bridge.errors import NotIdentified
from hte_bridge.shown import Arrays
from hte_bridge.study import Study

EXTREME = 0.05  # a propensity beyond this is where overlap is said to be weak (Crump et al. 2009 use 0.1)


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Arrays):
    """A score for each unit whose mean is the effect, with weights and clusters.

    Parameters
    ----------
    gamma : array (n,)
        Doubly robust score, in units of the outcome.
    weight : array (n,), optional
        Nonnegative, any scale; ones by default.
    cluster : array (n,), optional
        Labels of any kind; each unit its own by default.
    outcome, treatment, heldout : optional
        What the effects on the treated and on the overlap need beside ``gamma``.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.scores import Scores
    >>> Scores(np.array([1.0, 3.0])).weight
    array([1., 1.])
    """

    gamma: Array
    weight: Array = field(default=None)  # type: ignore[arg-type]
    cluster: npt.NDArray[np.int64] = field(default=None)  # type: ignore[arg-type]
    outcome: Array | None = None
    treatment: Array | None = None
    heldout: HeldOut | None = None
    binary: bool = True
    cluster_name: str | None = None

    def __post_init__(self) -> None:
        n = len(self.gamma)
        if self.weight is None:
            object.__setattr__(self, "weight", np.ones(n))
        labels = np.arange(n) if self.cluster is None else np.unique(self.cluster, return_inverse=True)[1]
        object.__setattr__(self, "cluster", labels)

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.gamma)

    @property
    def vcov(self) -> str:
        """How errors from these scores are formed."""
        return "hetero" if self.cluster_name is None else f"CRV1 ({self.cluster_name})"

    @property
    def inflation(self) -> float:
        """Factor of each error for the degrees of freedom that fixed effects took from the residuals; one without effects."""
        return 1.0 if self.heldout is None else float((1.0 - self.heldout.lost) ** -0.5)

    def where(self, mask: npt.ArrayLike) -> Scores:
        """The scores of some units: boolean mask (n,) or positions."""
        chosen = np.asarray(mask)
        if chosen.dtype == bool and len(chosen) == self.n and chosen.all():
            return self
        rows = np.arange(self.n)[chosen]

        def cut(values: Array | None) -> Array | None:
            return None if values is None else values[rows]

        held = self.heldout
        if held is not None:
            held = HeldOut(
                held.cate[rows],
                held.outcome_mean[rows],
                held.propensity[rows],
                cut(held.treatment_variance),
                held.lost,
                cut(held.plug_in),
            )
        return replace(
            self,
            gamma=self.gamma[rows],
            weight=self.weight[rows],
            cluster=self.cluster[rows],
            outcome=cut(self.outcome),
            treatment=cut(self.treatment),
            heldout=held,
        )

    @property
    def residuals(self) -> tuple[Array, Array]:
        """Y - m and W - e (n,), each."""
        if self.outcome is None or self.treatment is None or self.heldout is None:
            raise NotIdentified(
                "The treated and overlap effects need outcome, treatment and nuisances. These scores hold `gamma` "
                "alone. Make them with `scores(study, heldout)`."
            )
        return self.outcome - self.heldout.outcome_mean, self.treatment - self.heldout.propensity

    def under_one_effect(self) -> Array:
        """Scores (n,) under one effect for all, for tests of that hypothesis; ``gamma`` where nuisances are not there.

        The effect is the slope of Y - m on W - e (Robinson, 1988, Econometrica 56(4)). No held-out CATE enters, so what an engine got
        wrong about it cannot be taken for variation of the effect.
        """
        if self.outcome is None or self.treatment is None or self.heldout is None:
            return self.gamma
        outcome, treatment = self.residuals
        weighted = self.weight * treatment
        slope = float(weighted @ outcome / (weighted @ treatment))
        return slope + treatment / variance_of_treatment(self.heldout) * (outcome - treatment * slope)


def variance_of_treatment(heldout: HeldOut) -> Array:
    """Var(T | x), (n,): the engine's own, or e(1 - e) for a binary treatment."""
    if heldout.treatment_variance is not None:
        return heldout.treatment_variance
    return heldout.propensity * (1 - heldout.propensity)


def scores(study: Study, heldout: HeldOut) -> Scores:
    """Doubly robust scores of a study: tau + (W - e) / Var(W | x) * (Y - m - (W - e) tau).

    Binary treatment: Robins and Rotnitzky (1995), JASA 90(429). Continuous: Graham and Pinto (2022), Journal of
    Econometrics 226(1), eq. 12; Hirshberg and Wager (2021), Annals of Statistics 49(6). With fixed effects the
    residuals are those within the effects (docs/architecture.md, Panels).

    Parameters
    ----------
    study : Study
    heldout : HeldOut
        In the study's order.

    Raises
    ------
    NotIdentified
        If a propensity is 0 or 1, or the variance of the treatment is not positive somewhere.
    """
    variance = variance_of_treatment(heldout)
    empty = np.flatnonzero(~(variance > 0))
    if len(empty):
        raise NotIdentified(
            f"The treatment must be able to vary at every unit. {len(empty):,} of {study.n:,} units have a held-out "
            f"propensity of 0 or 1; the first is unit {empty[0]}. Drop units without overlap."
        )
    cate = heldout.cate if heldout.plug_in is None else heldout.plug_in
    residual = study.outcome - heldout.outcome_mean - (study.treatment - heldout.propensity) * cate
    gamma = cate + (study.treatment - heldout.propensity) / variance * residual
    return Scores(
        gamma=gamma,
        weight=study.weight,
        cluster=study.cluster,
        outcome=study.outcome,
        treatment=study.treatment,
        heldout=heldout,
        binary=study.binary and not study.fixed_effects.shape[1],
        cluster_name=study.names.cluster,
    )


def by_lot(study: Study, heldout: HeldOut) -> str:
    """A sentence where estimated propensities make overlap look weak although covariates do not predict the treatment held out.

    Then a treatment by lot is likely, whose known propensity leaves no estimated one to come near 0 or 1; else empty.
    """
    weak = weak_overlap(heldout, study.binary and not study.fixed_effects.shape[1])
    if weak is None or study.propensity is not None:
        return ""
    share = float(np.average(study.treatment, weights=study.weight))
    loss = float(np.average((study.treatment - heldout.propensity) ** 2, weights=study.weight))
    if loss < share * (1 - share):
        return ""
    return (
        f"covariates do not predict the treatment held out (loss {loss:.3g} against {share * (1 - share):.3g} for its share, {share:.2g}); if "
        f"it was given by lot, name its known propensity in the study, such as propensity={share:.2g}, and overlap is no question"
    )


Weak = tuple[float, float, float]  # lowest and highest propensity, share of units beyond EXTREME


def weak_overlap(heldout: HeldOut, binary: bool) -> Weak | None:
    """The range of a propensity that comes near 0 or 1, and the share of units beyond ``EXTREME``; else ``None``."""
    if not binary:
        return None
    low, high = float(heldout.propensity.min()), float(heldout.propensity.max())
    if low > EXTREME and high < 1 - EXTREME:
        return None
    return low, high, float(np.mean((heldout.propensity < EXTREME) | (heldout.propensity > 1 - EXTREME)))


def overlap_warning(weak: Mapping[str, Weak]) -> str:
    """One sentence about all propensities that come near 0 or 1, naming the row that stays valid; empty where there is none.

    Examples
    --------
    >>> overlap_warning({"grf": (0.012, 0.9, 0.1)})
    'grf: overlap is weak: propensities from 0.012 to 0.900, 10% of units beyond 0.05 or 0.95; `ato` (overlap weights) stays valid, `ate` leans on few units'
    >>> overlap_warning({"grf": (0.012, 0.9, 0.1), "deep": (0.04, 0.9, 0.001)}).partition(";")[0]
    'overlap is weak: propensities from 0.012 to 0.900, 10% of units beyond 0.05 or 0.95 (grf), from 0.040 to 0.900, fewer than 1% (deep)'
    """
    beyond = f" of units beyond {EXTREME:g} or {1 - EXTREME:g}"
    said: dict[str, list[str]] = {}
    for name, (low, high, far) in weak.items():
        share = "fewer than 1%" if far < 0.01 else f"{far:.0%}"
        said.setdefault(f"from {low:.3f} to {high:.3f}, {share}", []).append(name)
    if not said:
        return ""
    valid = "`ato` (overlap weights) stays valid, `ate` leans on few units"
    first, *others = said
    if not others:
        return f"{', '.join(said[first])}: overlap is weak: propensities {first}{beyond}; {valid}"
    ranges = [
        f"{first}{beyond} ({'; '.join(said[first])})",
        *(f"{each} ({'; '.join(said[each])})" for each in others),
    ]
    return f"overlap is weak: propensities {', '.join(ranges)}; {valid}"
