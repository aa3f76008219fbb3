"""One variance per block and the noise, from the marginal likelihood, by fixed-point steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from hte_bridge.errors import DidNotConverge

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

STEPS = 40
CLOSE = 0.02  # relative change of every variance that matters, and of the noise
MATTERS = 1e-4  # a block whose function has less than this share of all variance does not
GONE = 1e-7  # below this share of the largest block, a block is set aside for good


@dataclass(frozen=True, eq=False)
class LastLayer:
    """Posterior of the coefficients given the variances.

    Parameters
    ----------
    mean : array (P,)
    root : array (P, P)
        Upper triangular U with covariance ``inv(U'U)``, for the columns in ``live``; see ``covariance``.
    live : array
        Columns whose block has not been set aside; the others have mean and variance zero.
    variance : array (B,)
        Of each block; infinite where it has no prior.
    noise : float
        Variance of the errors.
    freedom : array (B,)
        Effective degrees of freedom of each block.
    steps : int
        Fixed-point steps taken.
    converged : bool
    """

    mean: Array
    covariance: Array
    live: Codes
    variance: Array
    noise: float
    freedom: Array
    steps: int
    converged: bool


def solve(gram: Array, target: Array, precision: Array, noise: float) -> tuple[Array, Array, float]:
    """Posterior mean, covariance and log determinant of ``gram / noise + diag(precision)``.

    Raises
    ------
    DidNotConverge
        If the matrix is not positive definite even after a shift of 1e-10 of its diagonal.
    """
    matrix = gram / noise
    matrix[np.diag_indices_from(matrix)] += precision
    size = np.sqrt(np.maximum(matrix.diagonal(), 1e-300))
    matrix /= size
    matrix /= size[:, None]
    for shift in (0.0, 1e-12, 1e-10):
        matrix[np.diag_indices_from(matrix)] = 1.0 + shift
        factor, status = linalg.lapack.dpotrf(matrix, lower=0)
        if status == 0:
            break
    else:
        raise DidNotConverge(
            "The Gram matrix of the last layer must be positive definite. It is singular even after a shift of "
            "1e-10. Drop covariates that repeat one another, or rescale the outcome."
        )
    log_determinant = 2 * float(np.log(factor.diagonal()).sum() + np.log(size).sum())
    inverse, _ = linalg.lapack.dpotri(factor, lower=0)
    upper = np.triu(inverse, 1)
    covariance = upper + upper.T
    covariance[np.diag_indices_from(covariance)] = inverse.diagonal()
    covariance /= size
    covariance /= size[:, None]
    return covariance @ (target / noise), covariance, log_determinant


def log_marginal(
    gram: Array, target: Array, second: float, freedom: int, prior: Array, noise: float
) -> float:
    """Log density of the outcome net of the effects, coefficients integrated out.

    ``prior`` (P,) holds the prior variance of each coefficient. MacKay (1992), Neural Computation 4(3), eq. 14.
    """
    mean, _, log_determinant = solve(gram, target, 1 / prior, noise)
    quadratic = second / noise - float(target @ mean) / noise
    spread = freedom * np.log(2 * np.pi * noise) + log_determinant + float(np.log(prior).sum())
    return -0.5 * (quadratic + spread)


def fit(
    gram: Array,
    target: Array,
    second: float,
    freedom: int,
    owner: Codes,
    free: Codes | tuple[int, ...] = (),
    max_steps: int = STEPS,
) -> LastLayer:
    """Variances by ``v = |m|^2 / (K - tr(V) / v)``, noise by the residual sum over its degrees of freedom.

    MacKay (1992), Neural Computation 4(3), section 4.3; Tipping (2001), JMLR 1.

    Parameters
    ----------
    gram, target : array (P, P), (P,)
        Normal equations net of the effects.
    second : float
        Sum of squares of the outcome, net of the effects.
    freedom : int
        Rows minus the rank of the effects.
    owner : array (P,)
        Block of each column; blocks are numbered without gaps.
    free : sequence of int
        Blocks without a prior.
    max_steps : int
    """
    blocks = int(owner.max()) + 1
    fixed = np.isin(np.arange(blocks), np.asarray(free, dtype=np.int64))
    size = np.bincount(owner, minlength=blocks).astype(np.float64)
    noise = max(second / max(freedom, 1), 1e-300)
    scale = np.bincount(owner, weights=gram.diagonal(), minlength=blocks)  # of a function with variance one
    variance = np.where(fixed, np.inf, second / np.maximum(scale, 1e-300) / (10 * np.sqrt(blocks)))
    variance[scale <= 1e-12 * max(scale.max(), 1e-300)] = 0.0
    live, step, converged = np.flatnonzero(variance[owner] > 0), 0, False
    while True:
        inner = np.ix_(live, live)
        mean, covariance, _ = solve(gram[inner], target[live], 1 / variance[owner[live]], noise)
        trace = np.bincount(owner[live], weights=covariance.diagonal(), minlength=blocks)
        square = np.bincount(owner[live], weights=mean**2, minlength=blocks)
        with np.errstate(divide="ignore", invalid="ignore"):
            gamma = np.where(variance > 0, size - np.where(fixed, 0.0, trace / variance), 0.0)
        gamma = np.clip(gamma, 1e-12, size)
        if step >= max_steps or converged:
            break
        residual = second - 2 * float(mean @ target[live]) + float(mean @ gram[inner] @ mean)
        fresh_noise = max(residual, 1e-12 * second) / max(freedom - gamma[variance > 0].sum(), 1.0)
        fresh = np.where(fixed | (variance == 0), variance, square / gamma)
        share = np.where(fixed, 0.0, fresh * scale)
        fresh[~fixed & (share < GONE * max(share.max(), 1e-300))] = 0.0
        matters = share > MATTERS * max(share.sum(), fresh_noise * freedom * 1e-2)
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = np.abs(np.log(fresh / variance))[matters]
        converged = bool((moved < CLOSE).all() and abs(np.log(fresh_noise / noise)) < CLOSE)
        variance, noise, step = fresh, fresh_noise, step + 1
        live = np.flatnonzero(variance[owner] > 0)
    full = np.zeros(len(owner))
    full[live] = mean
    return LastLayer(full, covariance, live, variance, noise, gamma, step, converged)
