"""What is learned within a cell, and the doubly robust moments of adopters that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

from hte_bridge.arrays import Array
from hte_bridge.errors import NotIdentified
from hte_bridge.scaling import White, independent

Mask = npt.NDArray[np.bool_]
Method = Literal["dr", "reg", "ipw"]
RANK, CLOSE, STEPS = 1e-12, 1e-13, 60  # of Newton's method: worst conditioning, last step, most steps
CERTAIN = 0.999  # a fitted propensity from which on R's did gives no effect


@dataclass(frozen=True, eq=False)
class Learned:
    """What fitted coefficients add to influence values: their own (m, p), one row a unit, and the columns (m, p) that they multiply."""

    influence: Array
    columns: Array


@dataclass(frozen=True, eq=False)
class Nuisance:
    """A cell's units with what their outcome would have changed by, and how comparison units are weighted.

    Parameters
    ----------
    treated : array (m,)
    residual : array (m,)
        Change of the outcome less what is predicted of it without treatment.
    odds : array (m,)
        Weight of comparison units, e(x) / (1 - e(x)) up to a factor; zero for adopters, and for all where regression alone is used.
    outcome, propensity : Learned, optional
        Coefficients fitted on these very units; none for held-out predictions.
    """

    treated: Mask
    residual: Array
    odds: Array
    outcome: Learned | None = None
    propensity: Learned | None = None

    def moments(self, z: Array) -> tuple[Array, Array]:
        """Sum (q,) over adopters of ``z`` (m, q) times their effect, and the influence values (m, q) that add up to it.

        Adopters' z times residual, less comparison units' under weights that add up to the number of adopters: Sant'Anna and Zhao
        (2020), Journal of Econometrics 219(1), equations 2.5 and 3.1 at z = 1, with what fitting the nuisances adds.
        """
        moved, own = z * self.residual[:, None], self.treated[:, None]
        weight = np.zeros(len(z))
        if self.odds.any():
            weight = self.odds * self.treated.sum() / self.odds.sum()
        centre = weight @ moved / self.treated.sum()
        rows = np.where(own, moved - centre, 0.0) - weight[:, None] * (moved - centre)
        if self.outcome is not None:
            turn = self.outcome.columns.T @ (np.where(own, z, 0.0) - weight[:, None] * z)
            rows = rows - self.outcome.influence @ turn
        if self.propensity is not None:
            turn = self.propensity.columns.T @ (weight[:, None] * (moved - centre))
            rows = rows - self.propensity.influence @ turn
        return moved[self.treated].sum(axis=0) - weight @ moved, rows

    def effect(self) -> tuple[float, Array]:
        """Mean effect on the adopters, and its influence values (m,)."""
        total, rows = self.moments(np.ones((len(self.treated), 1)))
        count = self.treated.sum()
        att = float(total[0] / count)
        return att, (rows[:, 0] - self.treated * att) / count


def linear(change: Array, treated: Mask, covariates: Array, method: Method = "dr") -> Nuisance:
    """Least squares of the change among comparison units and a logit of adoption, as in R's DRDID.

    Parameters
    ----------
    change, treated : array (m,)
    covariates : array (m, p)
        Without gaps; p may be 0.
    method : {"dr", "reg", "ipw"}
        Both, the regression alone, or the logit alone.

    Raises
    ------
    NotIdentified
        If there is one arm alone, covariates tell adopters apart, or comparison units are too few for the columns.

    Examples
    --------
    >>> change, treated = np.array([3.0, 5.0, 1.0, 2.0]), np.array([True, True, False, False])
    >>> linear(change, treated, np.empty((4, 0))).effect()[0]
    2.5
    """
    if not treated.any() or treated.all():
        raise NotIdentified(
            f"no {'adopter' if not treated.any() else 'comparison unit'} among the units chosen"
        )
    x = np.column_stack([np.ones(len(change)), White.of(covariates, np.ones(len(change)))(covariates)])
    residual, outcome = change, None
    if method != "ipw":
        slope, outcome = _regression(change, treated, x)
        residual = change - x @ slope
    if method == "reg":
        return Nuisance(treated, residual, np.zeros(len(change)), outcome)
    odds, propensity = _logit(treated, x)
    return Nuisance(treated, residual, np.where(treated, 0.0, odds), outcome, propensity)


def _regression(change: Array, treated: Mask, x: Array) -> tuple[Array, Learned]:
    own, others = x[~treated], x.shape[1]
    if others == 1 and len(own) < 2:
        raise NotIdentified(
            "one comparison unit alone does not tell the error of its change: let more units be compared"
        )
    if len(own) <= others or not independent(own, 1e-8).all():
        raise NotIdentified(
            f"{len(own)} comparison units do not tell the {others} coefficients of their change on the covariates: name fewer covariates, or "
            "let more units be compared"
        )
    inverse = np.linalg.inv(own.T @ own)
    slope = inverse @ (own.T @ change[~treated])
    left = np.where(treated, 0.0, change - x @ slope)
    return slope, Learned(left[:, None] * x @ inverse, x)


def _logit(treated: Mask, x: Array) -> tuple[Array, Learned]:
    """Odds (m,) of adoption by maximum likelihood, and what fitting them adds."""
    slope = np.zeros(x.shape[1])
    slope[0] = np.log(treated.mean() / (1 - treated.mean()))
    likelihood = -np.inf
    for _ in range(STEPS):
        e = np.asarray(expit(x @ slope))
        hessian = (x * (e * (1 - e))[:, None]).T @ x
        if e.max() >= CERTAIN or np.linalg.cond(hessian) > 1 / RANK:
            break
        step = np.linalg.solve(hessian, x.T @ (treated - e))
        before, likelihood = likelihood, _likelihood(treated, x, slope)
        while _likelihood(treated, x, slope + step) < likelihood - CLOSE * abs(likelihood):
            step = step / 2
        slope = slope + step
        if np.abs(step).max() < CLOSE * (1 + np.abs(slope).max()) or likelihood == before:
            break
    e = np.asarray(expit(x @ slope))
    hessian = (x * (e * (1 - e))[:, None]).T @ x
    if e.max() >= CERTAIN or np.linalg.cond(hessian) > 1 / RANK:
        raise NotIdentified(
            f"covariates tell adopters from comparison units{f' (a propensity of {e.max():.3f})' if e.max() >= CERTAIN else ''}: no unit like some "
            "adopters is left to compare with; name fewer covariates"
        )
    return np.exp(x @ slope), Learned((treated - e)[:, None] * x @ np.linalg.inv(hessian), x)


def _likelihood(treated: Mask, x: Array, slope: Array) -> float:
    return float(log_expit(np.where(treated, 1, -1) * (x @ slope)).sum())
