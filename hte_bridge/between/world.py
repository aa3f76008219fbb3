"""A study whose truth is known, on the user's own covariates, overlap and clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array
from hte_bridge.engine import HeldOut
from hte_bridge.study import Study

Shape = Literal["none", "linear", "threshold", "smooth"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
LEFT_OUT = 0.1  # of the units, on which the CATE and its interval are judged
CLIP = 0.01  # no propensity of a simulated treatment lies beyond


@dataclass(frozen=True, eq=False)
class World:
    """A study whose truth is known: outcome = base + treatment * tau(x) + noise.

    Parameters
    ----------
    study : Study
    base : array (n,)
        Outcome without treatment, as the reference fit has it, fixed effects included.
    noise : array (n,)
        Held-out residuals of the reference fit; a draw flips their signs, cluster by cluster.
    propensity : array (n,)
    index : array (n,)
        What the effect is a function of: mean zero, sd one.
    scale : float
        sd of the effect, and its mean in the shapes other than ``none``.
    """

    study: Study
    base: Array
    noise: Array
    propensity: Array
    index: Array
    scale: float

    @classmethod
    def of(cls, study: Study, heldout: HeldOut, scale: float) -> World:
        """The world that a fit of the study describes."""
        left = study.treatment - heldout.propensity
        noise = study.outcome - heldout.outcome_mean - left * heldout.cate
        base = study.outcome - noise - study.treatment * heldout.cate
        x = study.filled
        spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        signs = np.where(np.arange(x.shape[1]) % 2, -1.0, 1.0)
        index = ((x - x.mean(axis=0)) / spread) @ signs
        index = (index - index.mean()) / index.std()
        centred = noise - noise.mean()
        return cls(study, base, centred, heldout.propensity, index, scale * float(np.std(centred)))

    def tau(self, shape: Shape) -> Array:
        """True effect (n,) of a shape: mean and sd of ``scale``, or zero."""
        if shape == "none":
            return np.zeros(self.study.n)
        raw = {
            "linear": self.index,
            "threshold": (self.index > np.median(self.index)).astype(np.float64),
            "smooth": np.sin(1.5 * self.index),
        }[shape]
        return self.scale * (1 + (raw - raw.mean()) / raw.std())

    def draw(self, shape: Shape, rng: np.random.Generator) -> Study:
        """A study of the same units with treatment (where it can be) and outcome drawn anew."""
        study = self.study
        treatment = self._treatment(rng)
        flip = rng.choice([-1.0, 1.0], size=study.n_clusters)[study.cluster]
        outcome = self.base + treatment * self.tau(shape) + flip * self.noise
        return study.with_(outcome=outcome, treatment=treatment)

    @property
    def redraws(self) -> bool:
        """Whether the treatment is drawn anew: a dose, or one with fixed effects, stays as it was."""
        return self.study.binary and not self.study.fixed_effects.shape[1]

    def _treatment(self, rng: np.random.Generator) -> Array:
        study = self.study
        if not self.redraws:
            return study.treatment
        e = np.clip(self.propensity, CLIP, 1 - CLIP)
        count = np.bincount(study.cluster)
        treated = np.bincount(study.cluster, weights=study.treatment)
        if study.clustered and bool(
            ((treated == 0) | (treated == count)).all()
        ):  # assigned cluster by cluster
            mean = np.bincount(study.cluster, weights=e) / count
            return (rng.random(len(mean)) < mean).astype(np.float64)[study.cluster]
        return (rng.random(study.n) < e).astype(np.float64)


def split(study: Study, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions that are fitted, and those on which the CATE is judged: a tenth of the clusters, or of the units."""
    groups = study.n_clusters if study.clustered else study.n
    drawn = np.random.default_rng([seed, 1]).permutation(groups)[: max(1, round(LEFT_OUT * groups))]
    out = np.isin(study.cluster if study.clustered else np.arange(study.n), drawn)
    return np.flatnonzero(~out), np.flatnonzero(out)
