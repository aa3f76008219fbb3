"""Posterior and marginal likelihood of a normal linear model, said once more: oracles of the variance components."""

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.store.linear_algebra import factor


def solve(gram: Array, target: Array, precision: Array, noise: float) -> tuple[Array, Array, float]:
    """Posterior mean, covariance and log determinant of ``gram / noise + diag(precision)``.

    Raises
    ------
    DidNotConverge
        If the matrix is not positive definite even after a shift of 1e-10 of its diagonal.
    """
    found = factor(gram, precision, noise)
    covariance = found.inverse()
    return covariance @ (target / noise), covariance, found.log_determinant()


def log_marginal(
    gram: Array, target: Array, second: float, freedom: int, prior: Array, noise: float
) -> float:
    """Log density of the outcome net of the effects, coefficients integrated out.

    ``prior`` (P,) holds the prior variance of each coefficient. MacKay (1992), Neural Computation 4(3), eq. 14.
    """
    found = factor(gram, 1 / prior, noise)
    quadratic = second / noise - float(target @ found.solve(target / noise)) / noise
    spread = freedom * np.log(2 * np.pi * noise) + found.log_determinant() + float(np.log(prior).sum())
    return -0.5 * (quadratic + spread)
