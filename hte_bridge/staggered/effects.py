"""Effects of cells and what is made of them: one value, with each unit's part in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hte_bridge.adoption import Adoption
from hte_bridge.arrays import Array
from hte_bridge.errors import NotIdentified
from hte_bridge.staggered.leverage import given_back
from hte_bridge.staggered.nuisance import Nuisance

Mask = npt.NDArray[np.bool_]


class Scored(Protocol):
    """An engine's answer, cell by cell."""

    def nuisance(self, k: int, member: Mask) -> Nuisance:
        """Of the units ``member`` (m,) of cell k.

        Raises
        ------
        NotIdentified
            With the reason, where these units tell no effect.
        """


@dataclass(frozen=True, eq=False)
class Effect:
    """An estimate with influence values (n,) by unit, and its lever (n,): how strongly each unit's outcome enters it.

    ``members`` (n,): how often each unit counts as an adopter in it, by which effects are averaged. ``lost``: why there is none. ``wide`` (n,):
    influence values of residuals that fitting took nothing from (``leverage``), where they are known.
    """

    estimate: float
    influence: Array
    lever: Array
    members: Array
    lost: str = ""
    wide: Array | None = None

    @property
    def wider(self) -> Array:
        """``wide``, or the influence values themselves."""
        return self.influence if self.wide is None else self.wide


def cell_effects(study: Adoption, scored: Scored, member: Mask | None = None) -> list[Effect]:
    """The effect of each cell, of all its units or of the rows ``member`` (N,) of the stack."""
    out = []
    for k, cell in enumerate(study.cells):
        inside = np.ones(len(cell.units), dtype=bool) if member is None else member[study.part(k)]
        own = np.zeros(study.n)
        own[cell.units[inside & cell.treated]] = 1.0
        if member is None:
            own = (study.cohort == cell.cohort).astype(
                np.float64
            )  # also those not seen in this period, as in R's did
        lever = np.zeros(study.n)
        lever[cell.units[inside]] = _lever(cell.treated[inside])
        influence = np.zeros(study.n)
        try:
            nuisance, wide = scored.nuisance(k, inside), influence.copy()
            estimate, influence[cell.units[inside]] = nuisance.effect()
            wide[cell.units[inside]] = given_back(nuisance, study.cluster[cell.units[inside]]).effect()[1]
            out.append(Effect(estimate, influence, lever, own, "", wide))
        except NotIdentified as error:
            out.append(Effect(np.nan, influence, lever, own, str(error)))
    return out


def _lever(treated: Mask) -> Array:
    """One over the number in the arm (m,); zeros where an arm is empty."""
    count = int(treated.sum())
    if not 0 < count < len(treated):
        return np.zeros(len(treated))
    return np.where(treated, 1 / count, 1 / (len(treated) - count))


def by_size(effects: Sequence[Effect]) -> Effect:
    """Average weighted by the number of adopters, with what not knowing these shares adds (Callaway and Sant'Anna, 2021, section 3.1).

    Examples
    --------
    >>> ones, none = np.ones(2), np.zeros(2)
    >>> by_size([Effect(1.0, none, ones, ones), Effect(2.5, none, ones, np.array([1.0, 0.0]))]).estimate
    1.5
    """
    live = [each for each in effects if not each.lost]
    if not live:
        return lost_like(effects)
    members = np.column_stack([each.members for each in live])
    share = members.sum(axis=0) / members.sum()
    values = np.array([each.estimate for each in live])
    estimate = float(share @ values)
    found = weighted(live, share)
    of_shares = members @ (values - estimate) / members.sum()
    return replace(found, influence=found.influence + of_shares, wide=found.wider + of_shares)


def evenly(effects: Sequence[Effect]) -> Effect:
    """Plain average."""
    live = [each for each in effects if not each.lost]
    return weighted(live, np.full(len(live), 1 / len(live))) if live else lost_like(effects)


def weighted(effects: Sequence[Effect], share: Array) -> Effect:
    """Average under given weights (k,)."""
    estimate = float(sum(w * each.estimate for w, each in zip(share, effects, strict=True)))
    influence, lever, members, wide = (
        np.asarray(sum(w * getattr(each, name) for w, each in zip(share, effects, strict=True)))
        for name in ("influence", "lever", "members", "wider")
    )
    return Effect(estimate, influence, lever, members, "", wide)


def lost_like(effects: Sequence[Effect]) -> Effect:
    """No effect, for the reason of the first of those that it would be made of."""
    zero = np.zeros(0) if not effects else np.zeros(len(effects[0].influence))
    why = effects[0].lost if effects else "no pair of cohort and period belongs to it"
    return Effect(np.nan, zero, zero, zero, why)
