"""The rounds of ``panel`` grown by grf: what R is asked, in which units, and what the last forest is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array
from hte_bridge.engine import HeldOut
from hte_bridge.engines.forest.panel import Nuisances, Rounds, Settled, Swept, moved, settle
from hte_bridge.engines.forest.units import Units, spread
from hte_bridge.errors import InvalidOption
from hte_bridge.rlink import client
from hte_bridge.study import Study

PLAIN = {"tune.parameters": "none", "ci.group.size": 1}  # of forests before the last: no variances are asked
UNSETTLED = (
    "rounds of forests within the fixed effects had not settled: the last small one moved the effect by {0:.0%} of its "
    "standard deviation"
)


@dataclass(frozen=True, eq=False)
class Rounded:
    """Nuisances, the effect after the rounds, and units in which grf is given both."""

    nuisances: Nuisances
    settled: Settled
    units: Units
    rounds: Rounds
    trees: int

    @property
    def arrays(self) -> dict[str, Any]:
        """What the last forest is grown on."""
        mean, propensity = self.nuisances.given(self.settled.cate, self.settled.base)
        return _arrays(self.nuisances.swept, self.units, mean, propensity)

    def heldout(self, cate: Array) -> HeldOut:
        """Held-out columns under the last forest's out-of-bag effect (n,), in units of the study."""
        return self.nuisances.heldout(cate, self.settled.base)

    def info(self, cate: Array) -> dict[str, Any]:
        """Rounds, the last included, how far each moved the effect in its standard deviations, and what was left out together."""
        last = moved(cate, self.settled.cate, self.nuisances.swept.study.weight)
        return {
            "rounds": len(self.settled.moves) + 1,
            "moved": [round(each, 4) for each in (*self.settled.moves, last)],
            "trees_before_last": self.trees,
            "left_out_by": self.nuisances.swept.left_out_by,
            "constant": self.nuisances.constant,
        }

    @property
    def note(self) -> str:
        """That the rounds had not settled; empty where they had."""
        last = self.settled.moves[-1]
        return "" if last <= self.rounds.settled else UNSETTLED.format(last)


def grow(study: Study, options: Mapping[str, Any], rounds: Rounds) -> Rounded:
    """Rounds of small forests.

    Parameters
    ----------
    study : Study
        With fixed effects.
    options : mapping
        Of ``grf::causal_forest`` under its own names, with ``names`` of the covariates.
    rounds : Rounds

    Raises
    ------
    NotIdentified
        If effects and covariates determine the treatment.
    InvalidOption
        If there are too few trees for each row to be out of bag.
    """
    swept, trees = Swept(study, options["seed"]), rounds.trees(options["num.trees"])
    learning = {"num.trees": trees, "seed": options["seed"], "num.threads": options["num.threads"]}

    def learn(target: Array) -> Array:
        both = {**_design(swept), "X": study.adjusted.covariates}
        said = client.call("forest_mean", {**both, "Y": target}, learning)
        return _whole(said["mean"], trees)

    nuisances = Nuisances.of(swept, learn)
    left = nuisances.left(np.full(study.n, nuisances.constant), np.zeros(study.n))
    units = Units.between(spread(left), spread(nuisances.dose))

    def effect(mean: Array, propensity: Array) -> Array:
        said = client.call(
            "forest_effect", _arrays(swept, units, mean, propensity), {**options, **PLAIN, "num.trees": trees}
        )
        return units.effect(_whole(said["cate"], trees))

    return Rounded(nuisances, settle(nuisances, effect, rounds), units, rounds, trees)


def _design(swept: Swept) -> dict[str, Any]:
    study = swept.study
    return {
        "X": study.covariates,
        "clusters": swept.block + 1 if swept.blocked else None,  # grf takes whole numbers only
        "sample.weights": study.weight if study.weighted else None,
    }


def _arrays(swept: Swept, units: Units, mean: Array, propensity: Array) -> dict[str, Any]:
    return {
        **_design(swept),
        "Y": units.given(swept.study.outcome),
        "W": units.given_treatment(swept.study.treatment),
        "Y.hat": units.given(mean),
        "W.hat": units.given_treatment(propensity),
    }


def _whole(said: npt.ArrayLike, trees: int) -> Array:
    found = np.atleast_1d(np.asarray(said, dtype=np.float64))
    missing = int(np.isnan(found).sum())
    if missing:
        raise InvalidOption(
            f"`num_trees` must be large enough that each unit is left out by some tree. With {trees:,} trees in the rounds "
            f"before the last {missing:,} out-of-bag predictions are missing. Grow more trees."
        )
    return found
