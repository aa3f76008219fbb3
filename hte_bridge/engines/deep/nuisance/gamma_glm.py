"""A gamma regression with a log link: how a variance moves with covariates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hte_bridge.arrays import Array


@dataclass(frozen=True)
class ScoringOptions:
    """Scoring steps of the gamma regression."""

    # at most; it ends sooner where no coefficient moves by 1e-8
    most_steps: int = 25


SCORING = ScoringOptions()


def log_linear(x: Array, y: Array, weight: Array) -> Array:
    """Coefficients (k,) of E[y | x] = exp(x b) for y >= 0, by scoring steps with a light ridge.

    Gamma likelihood, whose information is x'x whatever the mean (McCullagh & Nelder, 1989, section 8.3).

    Examples
    --------
    >>> x = np.column_stack([np.ones(400), np.linspace(-1, 1, 400)])
    >>> log_linear(x, np.exp(x @ [0.5, 1.0]), np.ones(400)).round(2).tolist()
    [0.5, 1.0]
    """
    gram = x.T @ (weight[:, None] * x)
    gram[np.diag_indices_from(gram)] += 1e-6 * gram.diagonal().max() + 1e-3 * gram.diagonal()
    mean = float(np.average(y, weights=weight))
    coefficient = np.zeros(x.shape[1])
    coefficient[0] = np.log(max(mean, 1e-300))
    for _ in range(SCORING.most_steps):
        fitted = np.exp(np.clip(x @ coefficient, -30, 30))
        step = np.linalg.solve(gram, x.T @ (weight * (y / fitted - 1)))
        coefficient += step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return coefficient
