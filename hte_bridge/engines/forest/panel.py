"""grf where there are fixed effects: rounds of forests on what the effects leave of outcome and dose.

Y = beta(X) T + g(X) + effects + error. A forest on residuals is biased, as beta(X) T within effects is not beta(X) times T within effects.
But for any first stage e of T, Y - m = beta(X) (T - e) + error holds where m = beta(X) e + g(X) + effects; that is Robinson's (1988)
partialling out with the effect in its right place. So m is made from the effect of the round before, out of bag, until it settles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.engines.forest.lines import DOUBT, HeldOutLines, shares
from hte_bridge.engines.forest.units import spread
from hte_bridge.errors import NotIdentified
from hte_bridge.keys import deal_clusters, seeded
from hte_bridge.lost import lost_to_effects, nested
from hte_bridge.scaling import Standard, power
from hte_bridge.study import Folds, Study
from hte_bridge.sweeping import ABSORBED, within

Learn = Callable[[Array], Array]  # target (n,) -> its out-of-bag forest on the covariates (n,)
Effect = Callable[[Array, Array], Array]  # m and e (n,) -> out-of-bag effect (n,)
FEWEST_BLOCKS = 20  # levels of an effect below which half of them are too few to grow a tree on
LINE_FOLDS = 20  # of a line: the fewer rows it is fitted without, the nearer it is to that of a regression
PER_COLUMN = (
    10,
    40,
)  # blocks and rows for each column, from which on a line is fitted to all rows, as effects are and a regression's is
OF_SQUARES = 2.58  # errors within which squares say nothing: they are asked of outcome and dose, and found in the rows that confirm them
LEAST_VARIANCE = 0.05  # of the mean of (T - e)^2, which a unit's fitted one is not taken below


@dataclass(frozen=True)
class Rounds:
    """How many rounds there may be, and when they have settled.

    Parameters
    ----------
    most : int
        Rounds of small forests.
    settled : float
        Move of the effect from one round to the next, root mean square over its standard deviation, at which they end.
    share, fewest : float, int
        Trees of a small forest, of those of the last; at least so many.
    """

    most: int = 4
    settled: float = 0.1
    share: float = 0.25
    fewest: int = 100

    def trees(self, num_trees: int) -> int:
        """Trees of a forest before the last."""
        return min(num_trees, max(self.fewest, int(self.share * num_trees)))


@dataclass(frozen=True, eq=False)
class Swept:
    """A study within its effects: columns less their lines in what moves, fitted to other blocks, less the effects.

    Parameters
    ----------
    study : Study
    seed : int
        Of the folds of the lines.
    """

    study: Study
    seed: int = 0

    @cached_property
    def block(self) -> Codes:
        """Rows (n,) that are left out of a tree together: the study's clusters, or the units of the effect with most levels.

        Units where clusters lie in them; rows where there are too few units to grow trees on some of them.
        """
        study = self.study
        widest = study.fixed_effects[:, int(study.fixed_effects.max(axis=0).argmax())]
        enough = int(widest.max()) + 1 >= FEWEST_BLOCKS
        if study.clustered:
            return widest if enough and nested(study.cluster, widest) else study.cluster
        return widest if enough else np.arange(study.n)

    @property
    def blocked(self) -> bool:
        """Whether blocks hold several rows."""
        return int(self.block.max()) + 1 < self.study.n

    @property
    def left_out_by(self) -> str:
        """Name of what the blocks are."""
        names = self.study.names
        if not self.blocked:
            return "row"
        if self.study.clustered and self.block is self.study.cluster:
            return str(names.cluster)
        return names.fixed_effects[int(self.study.fixed_effects.max(axis=0).argmax())]

    @cached_property
    def folds(self) -> Folds:
        """Blocks dealt out to folds."""
        number = min(LINE_FOLDS, int(self.block.max()) + 1)
        dealt = deal_clusters(self.block, seeded(self.study.keys, self.seed), number)
        return Folds(dealt, number, self.seed)

    @cached_property
    def lines(self) -> tuple[HeldOutLines, HeldOutLines]:
        """Of covariates and controls, and of what their squares add to them."""
        both = self.study.adjusted.filled
        x = Standard.of(both, self.study.weight)(both)
        left = self.sweep(np.column_stack([x, x**2]))
        p, weight = x.shape[1], self.study.weight
        plain = HeldOutLines.of(x, left[:, :p], weight, self.folds)
        return plain, HeldOutLines.of(*plain.beside(x**2, left[:, p:]), weight, self.folds)

    @cached_property
    def few_columns(self) -> bool:
        """Whether lines are fitted to all rows: their columns are few, and take some 1 % at most from errors.

        Fitted without its fold, a line in p columns moves the average effect by p / sqrt(n) of its error from a regression's.
        """
        blocks, rows = (each * self.lines[0].left.shape[1] for each in PER_COLUMN)
        return blocks <= int(self.block.max()) + 1 and rows <= self.study.n

    def sweep(self, columns: Array) -> Array:
        """Residual of columns on the effects, over all rows: out of bag every row is held out."""
        return within(columns, self.study.fixed_effects, self.study.weight)

    def rest(self, column: Array) -> Array:
        """``(column - line(X))~`` (n,): squares, each row's fitted to the other folds, enter as far as these confirm them; so does a line
        in many columns.

        What is not there would be noise in the score, by which it would part from a regression on the covariates.
        """
        left = self.sweep(column)
        if self.folds.n_folds < 2:
            return left
        plain, squares = self.lines
        left = left - (plain.fitted(left) if self.few_columns else self.sweep(plain.predict(left)))
        if not squares.left.shape[1]:
            return left
        bent = self.sweep(squares.predict(left))
        return left - self.sweep(self.share(bent, left, OF_SQUARES) * bent)

    def share(self, said: Array, target: Array, doubt: float = DOUBT) -> Array:
        """How much (n,) of a prediction (n,) the target confirms, beside a mean."""
        both = np.column_stack([np.ones(len(said)), said])
        return shares(both, target, self.study.weight, self.block, self.folds, doubt)

    def learned(self, target: Array, learn: Learn) -> Array:
        """The forest's part (n,) of a target: its out-of-bag prediction, drawn to its mean by as much as the target confirms of it."""
        unit = float(power(np.array([spread(target)]))[0])
        said = unit * learn(target / unit)
        off = said - np.average(said, weights=self.study.weight)
        return np.asarray(np.average(target, weights=self.study.weight) + self.share(off, target) * off)


@dataclass(frozen=True, eq=False)
class Nuisances:
    """What grf is given for a study with effects, and what its held-out columns are made of.

    Parameters
    ----------
    swept : Swept
    dose : array (n,)
        ``T - e``, within effects.
    variance : array (n,)
        Its fitted mean square.
    """

    swept: Swept
    dose: Array
    variance: Array
    learn: Learn = field(repr=False)

    @classmethod
    def of(cls, swept: Swept, learn: Learn) -> Nuisances:
        """First stage: the dose within effects, less lines and an out-of-bag forest of it.

        Raises
        ------
        NotIdentified
            If effects and covariates determine the treatment.
        """
        study = swept.study
        dose = swept.rest(study.treatment)
        if spread(dose) <= ABSORBED * spread(study.treatment):
            raise NotIdentified(
                f"The treatment must vary beyond the covariates and effects. Effects and covariates determine `{study.names.treatment}`. "
                "Leave out the covariate, or the effect, that determines it."
            )
        dose = dose - swept.sweep(swept.learned(dose, learn))
        return cls(swept, dose, _variance(swept, dose, learn), learn)

    @cached_property
    def constant(self) -> float:
        """The effect where it is one for all: the within coefficient."""
        weighted = self.swept.study.weight * self.dose
        return float(weighted @ self.swept.rest(self.swept.study.outcome) / (weighted @ self.dose))

    def drawn(self, cate: Array) -> Array:
        """An effect (n,) drawn to its mean by as much as the outcome confirms of it: what scores are built on.

        What is noise in an effect stands in the outcome's mean times e, effects of the units included: orthogonal to the dose, but not
        small. The share kept is the slope of the outcome on ``(cate - mean) T`` within effects, beside the treatment's own, less what its
        error allows; each fold's is found on the others.
        """
        swept, weight = self.swept, self.swept.study.weight
        off = cate - np.average(cate, weights=weight)
        if swept.folds.n_folds < 2 or not off.any():
            return cate
        treatment, outcome = swept.study.treatment, swept.rest(swept.study.outcome)
        unit = float(power(np.array([spread(off)]))[0])
        columns = np.column_stack([swept.rest(treatment), swept.rest(off / unit * treatment)])
        share = shares(columns, outcome / unit, weight, swept.block, swept.folds)
        drawn = np.empty_like(cate)
        for train, test in swept.folds:
            centre = np.average(cate[train], weights=weight[train])
            drawn[test] = centre + share[test] * (cate[test] - centre)
        return drawn

    def base(self, cate: Array) -> Array:
        """The forest's part of g(X) (n,), beyond lines, under an effect (n,)."""
        study = self.swept.study
        return self.swept.learned(self.swept.rest(study.outcome - cate * study.treatment), self.learn)

    def left(self, cate: Array, base: Array) -> Array:
        """``(Y - g(X) - beta(X) T)~`` (n,)."""
        study = self.swept.study
        return self.swept.rest(study.outcome - cate * study.treatment) - self.swept.sweep(base)

    def given(self, cate: Array, base: Array) -> tuple[Array, Array]:
        """m and e (n,) that grf takes as ``Y.hat`` and ``W.hat``, and with which Y - m is the rest plus beta (T - e)."""
        study = self.swept.study
        return study.outcome - self.left(cate, base) - cate * self.dose, study.treatment - self.dose

    def heldout(self, cate: Array, base: Array) -> HeldOut:
        """Held-out columns as docs/architecture.md, Panels, defines them; all rows are swept together, as all are held out."""
        study = self.swept.study
        drawn = self.drawn(cate)
        mean, propensity = self.given(drawn, base)
        return HeldOut(cate, mean, propensity, self.variance, lost_to_effects(study), drawn)


def _variance(swept: Swept, dose: Array, learn: Learn) -> Array:
    """Fitted E[(T - e)^2 | X] (n,), out of bag, by which squares have a mean of one: a constant error of the effect moves no score's mean."""
    squares, weight = dose**2, swept.study.weight
    said = swept.learned(squares, learn)
    floored = np.maximum(said, LEAST_VARIANCE * np.average(squares, weights=weight))
    return np.asarray(floored * np.average(squares / floored, weights=weight))


@dataclass(frozen=True, eq=False)
class Settled:
    """The effect and the forest's part of g after rounds of small forests, and how far each moved."""

    cate: Array
    base: Array
    moves: tuple[float, ...]


def settle(nuisances: Nuisances, effect: Effect, rounds: Rounds) -> Settled:
    """Rounds of small forests, from one effect for all, until the effect moves by less than ``rounds.settled``.

    From the second on the effect is the mean of what a round finds and of what it was given: forests of few trees are noise around where
    the rounds settle.
    """
    cate = np.full(nuisances.swept.study.n, nuisances.constant)
    moves: list[float] = []
    while len(moves) < rounds.most and (not moves or moves[-1] > rounds.settled):
        base = nuisances.base(cate)
        found = effect(*nuisances.given(cate, base))
        found = (found + cate) / 2 if moves else found
        moves.append(moved(found, cate, nuisances.swept.study.weight))
        cate = found
    return Settled(cate, nuisances.base(cate), tuple(moves))


def moved(after: Array, before: Array, weight: Array) -> float:
    """Root mean square of a move over the standard deviation (n,) of where it ends.

    Examples
    --------
    >>> moved(np.array([1.0, 3.0]), np.array([1.0, 2.0]), np.ones(2)).__round__(4)
    0.7071
    """
    centre = np.average(after, weights=weight)
    size = np.average((after - centre) ** 2, weights=weight)
    step = np.average((after - before) ** 2, weights=weight)
    return float((step / size) ** 0.5) if size > 0 else 0.0
