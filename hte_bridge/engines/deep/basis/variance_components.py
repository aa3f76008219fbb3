"""One variance per block and the noise, from the marginal likelihood, by fixed-point steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.coarse import coarse
from hte_bridge.engines.deep.basis.problem import Problem
from hte_bridge.engines.deep.store.linear_algebra import Factor, HostFactor, factor, product


@dataclass(frozen=True)
class FixedPointOptions:
    """The fixed-point steps for the variances."""

    # at most
    steps: int = 60
    # at least
    fewest_steps: int = 3
    # of a large problem, at least, from where a coarser one ended
    refined_steps: int = 1
    # gain in log evidence below which a step is the last: blocks that it cannot tell apart keep a variance
    close: float = 0.05
    # a block whose prior allows it fewer degrees of freedom than this is set aside for good
    gone: float = 0.02
    # steps in the logs of the variances are this much longer than the fixed point's own
    stride: float = 1.5
    # and never longer than this
    longest: float = 2.5


FIXED_POINT = FixedPointOptions()


@dataclass(frozen=True, eq=False)
class LastLayer:
    """Posterior of the coefficients given the variances.

    Parameters
    ----------
    mean : array (P,)
    factor : Factor
        Of the coefficients' precision, for the columns in ``live``; ``covariance`` is its inverse.
    live : array
        Columns whose block has not been set aside; the others have mean and variance zero.
    variance : array (B,)
        Of each block; infinite where it has no prior.
    noise : float
        Variance of the errors, times ``temper``.
    freedom : array (B,)
        Effective degrees of freedom of each block.
    steps : int
        Fixed-point steps taken.
    converged : bool
    log_evidence : float
        Log marginal likelihood at these variances, up to a constant that all models of the same rows (and temper) share.
    temper : float
        Rows that count as one: the likelihood is taken to the power of one over this.
    """

    mean: Array
    factor: Factor
    live: Codes
    variance: Array
    noise: float
    freedom: Array
    steps: int
    converged: bool
    log_evidence: float
    temper: float = 1.0

    @property
    def error_variance(self) -> float:
        """Variance of the errors."""
        return self.noise / self.temper

    @property
    def spent(self) -> float:
        """Degrees of freedom that the blocks take."""
        return float(self.freedom[self.variance > 0].sum())

    @cached_property
    def covariance(self) -> Array:
        """Covariance (live, live) of the coefficients."""
        return self.factor.inverse()


def solved_again(layer: LastLayer, gram: Array, target: Array, owner: Codes, device: str = "cpu") -> Array:
    """Coefficients (P,) of other normal equations of the same columns at a layer's variances and noise."""
    live = layer.live
    own = factor(gram[np.ix_(live, live)], 1 / layer.variance[owner[live]], layer.noise, device)
    full = np.zeros(len(target))
    full[live] = own.solve(target[live] / layer.noise)
    return full


def variance_components(
    problem: Problem, *, max_steps: int | None = None, device: str = "cpu", temper: float = 1.0
) -> LastLayer:
    """Variances by ``v = |m|^2 / (K - tr(V) / v)``, noise by the residual sum over its degrees of freedom.

    MacKay (1992), Neural Computation 4(3), section 4.3; Tipping (2001), JMLR 1.

    Parameters
    ----------
    problem : Problem
    max_steps : int, optional
        ``FIXED_POINT.steps`` by default.
    device : str
        Where the matrix is factored.
    temper : float
        Rows that count as one, where errors move together (``composite_likelihood.py``).
    """
    if not problem.second > 0:  # of an outcome that the effects explain nothing is left: any scale will do
        problem = replace(problem, second=1.0)
    most, fewest = FIXED_POINT.steps if max_steps is None else max_steps, FIXED_POINT.fewest_steps
    state, smaller = _State.begin(problem, device, temper), coarse(problem, device)
    if smaller is not None:
        near = _climbed(_State.begin(smaller, device, temper), most, fewest)
        state, fewest = state.at(near.variance, near.noise), FIXED_POINT.refined_steps
    return _climbed(state, most, fewest)


def _climbed(state: _State, most: int, fewest: int) -> LastLayer:
    """Steps until the log evidence gains no more."""
    before = -np.inf
    while True:
        state.update()
        converged = state.step >= fewest and abs(state.height - before) < FIXED_POINT.close
        if converged or state.step >= most:
            return state.result(converged)
        before = state.height
        state.move()


@dataclass(eq=False)
class _State:
    """Variances on their way: blocks (B,), live columns and their normal equations, and the posterior given them."""

    problem: Problem
    device: str
    temper: float
    fixed: npt.NDArray[np.bool_]
    size: Array
    scale: Array
    variance: Array = field(default_factory=lambda: np.zeros(0))
    noise: float = 0.0
    live: Codes = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    gram: Array = field(default_factory=lambda: np.zeros((0, 0)))
    mean: Array = field(default_factory=lambda: np.zeros(0))
    factor: Factor = field(default_factory=lambda: HostFactor(np.zeros((0, 0)), np.zeros(0)))
    gamma: Array = field(default_factory=lambda: np.zeros(0))
    height: float = -np.inf
    step: int = 0

    @classmethod
    def begin(cls, problem: Problem, device: str, temper: float) -> _State:
        """Every block alike: a tenth of the outcome's variance, shared by the root of their number."""
        gram, second, owner = problem.gram, problem.second, problem.owner
        blocks = int(owner.max()) + 1
        fixed = np.isin(np.arange(blocks), np.asarray(problem.free, dtype=np.int64))
        size = np.bincount(owner, minlength=blocks).astype(np.float64)
        scale = np.bincount(
            owner, weights=gram.diagonal(), minlength=blocks
        )  # of a function with variance one
        variance = np.where(fixed, np.inf, second / np.maximum(scale, 1e-300) / (10 * np.sqrt(blocks)))
        variance[scale <= 1e-12 * max(scale.max(), 1e-300)] = 0.0
        noise = temper * max(second / max(problem.freedom, 1), 1e-300)
        return cls(problem, device, temper, fixed, size, scale.astype(np.float64)).at(variance, noise)

    def at(self, variance: Array, noise: float) -> _State:
        """The same at other variances and noise; blocks without variance are set aside."""
        gram, live = self.problem.gram, np.flatnonzero(variance[self.problem.owner] > 0)
        own = gram if len(live) == len(gram) else gram[np.ix_(live, live)]
        return replace(self, variance=variance, noise=noise, live=live, gram=own)

    def result(self, converged: bool) -> LastLayer:
        """The posterior where the steps ended."""
        full = np.zeros(len(self.problem.owner))
        full[self.live] = self.mean
        return LastLayer(
            mean=full,
            factor=self.factor,
            live=self.live,
            variance=self.variance,
            noise=self.noise,
            freedom=self.gamma,
            steps=self.step,
            converged=converged,
            log_evidence=self.height,
            temper=self.temper,
        )

    def update(self) -> None:
        """Posterior, degrees of freedom and log evidence (up to a constant) given the variances."""
        own, live = self.problem.owner[self.live], self.live
        target, second = self.problem.target, self.problem.second
        self.factor = factor(self.gram, 1 / self.variance[own], self.noise, self.device)
        self.mean = self.factor.solve(target[live] / self.noise)
        used = (self.variance > 0) & ~self.fixed
        quadratic = (second - float(target[live] @ self.mean)) / self.noise
        prior = float(self.size[used] @ np.log(self.variance[used]))
        self.height = -0.5 * (
            quadratic
            + self.problem.freedom / self.temper * np.log(self.noise)
            + self.factor.log_determinant()
            + prior
        )
        trace = np.bincount(own, weights=self.factor.inverse_diagonal(), minlength=len(self.size))
        gamma = np.where(self.variance > 0, self.size, 0.0)
        gamma[used] -= trace[used] / self.variance[used]
        self.gamma = np.clip(gamma, 1e-12, self.size)

    def move(self) -> None:
        """One long fixed-point step; blocks that are left with next to nothing are set aside."""
        own, live = self.problem.owner[self.live], self.live
        target, second = self.problem.target, self.problem.second
        square = np.bincount(own, weights=self.mean**2, minlength=len(self.size))
        residual = second - 2 * float(self.mean @ target[live])
        residual += float(self.mean @ (self.gram @ self.mean))
        spent = float(self.gamma[self.variance > 0].sum())
        self.noise = self.temper * max(residual, 1e-12 * second) / max(self.problem.freedom - spent, 1.0)
        used = (self.variance > 0) & ~self.fixed
        ratio = np.maximum(square[used] / self.gamma[used], 1e-300) / self.variance[used]
        self.variance = self.variance.copy()
        self.variance[used] *= np.exp(
            np.clip(FIXED_POINT.stride * np.log(ratio), -FIXED_POINT.longest, FIXED_POINT.longest)
        )
        self.variance[used & (self.variance * self.scale < FIXED_POINT.gone * self.noise)] = 0.0
        kept = np.flatnonzero(self.variance[own] > 0)
        if len(kept) < len(live):
            self.live, self.gram = live[kept], self.gram[np.ix_(kept, kept)]
        self.step += 1


def scale_uncertainty(
    layer: LastLayer, owner: Codes, free: Codes | tuple[int, ...] = (), device: str = "cpu"
) -> Array:
    """Covariance (live, live) that not knowing the variances adds to the coefficients.

    The first-order correction of Kass & Steffey (1989), JASA 84(407), eq. 3.5: with v the variance of a block,
    ``dm / dlog v = V (m_g / v)``, and the log of a variance that gamma coefficients tell of has variance
    ``2 / gamma`` (at most 2: the prior on the log of the scale is not wider).
    """
    own, count = owner[layer.live], len(layer.variance)
    parts = []
    for block in np.setdiff1d(np.arange(count), np.asarray(free, dtype=np.int64)):
        inside = np.flatnonzero(own == block)
        if len(inside):
            pull = layer.covariance[:, inside] @ (layer.mean[layer.live][inside] / layer.variance[block])
            parts.append(pull * (2 / max(layer.freedom[block], 1.0)) ** 0.5)
    if not parts:
        return np.zeros_like(layer.covariance)
    wide = np.column_stack(parts)
    return product(wide, wide.T, device)
