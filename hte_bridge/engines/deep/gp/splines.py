"""Functions of one covariate for additive effects: a straight line and a cubic smoothing spline.

The spline is the Gaussian process whose posterior mean is the cubic smoothing spline (Wahba, 1978, JRSS-B 40(3)): an integrated Brownian
motion that leaves zero in both directions, with slope zero, beside the line. Of it only what a few knots see is kept (Wood, 2017,
*Generalized Additive Models*, ch. 5): a spline that is straight beyond the last of them, whose variance grows with the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SplineRule:
    """Knots and scale of the smoothing spline."""

    # on either side of the mean, in standard deviations of the covariate
    knots: tuple[float, ...] = (0.5, 1.1, 1.9, 2.8)
    # makes the spline's variance about one on average over a standard normal covariate: the plain one has E|x|^3 / 3
    scale: float = 3.2


SPLINE = SplineRule()

PER_COVARIATE = 1 + 2 * len(SPLINE.knots)


def beyond(x: torch.Tensor, knots: torch.Tensor) -> torch.Tensor:
    """Covariance (..., k) of the process at x (...) with itself at ``knots`` (k,) above zero; none where x is below zero."""
    low, high = torch.minimum(x[..., None], knots).clamp(min=0.0), torch.maximum(x[..., None], knots)
    return low.square() * (3.0 * high - low) / SPLINE.scale


def whitened() -> tuple[torch.Tensor, torch.Tensor]:
    """The knots (k,), and the matrix (k, k) that makes independent functions of the covariances with them."""
    knots = torch.tensor(SPLINE.knots, dtype=torch.float64)
    root = torch.linalg.cholesky(beyond(knots, knots))
    return knots, torch.linalg.inv(root).T


AT, WHITEN = whitened()


def functions(x: torch.Tensor) -> torch.Tensor:
    """The line and the spline's functions (n, p, ``PER_COVARIATE``) at standardised covariates x (n, p).

    With independent standard normal coefficients the line is ``x`` times one of them, the spline the sum of the others.

    Examples
    --------
    >>> at = functions(torch.tensor([[-3.0], [0.0], [1.1]], dtype=torch.float64))
    >>> at.shape
    torch.Size([3, 1, 9])
    >>> at[..., 1:].square().sum(-1).flatten().numpy().round(3).tolist()
    [16.851, 0.0, 0.832]
    """
    at, whiten = AT.to(x), WHITEN.to(x)
    return torch.cat([x[..., None], beyond(x, at) @ whiten, beyond(-x, at) @ whiten], -1)


def slopes(x: torch.Tensor) -> torch.Tensor:
    """Derivatives (n, p, ``PER_COVARIATE``) of the functions by their own covariate."""
    at, whiten = AT.to(x), WHITEN.to(x)
    lows = [torch.minimum(side[..., None], at).clamp(min=0.0) for side in (x, -x)]
    right, left = (3.0 * low * (2.0 * at - low) / SPLINE.scale @ whiten for low in lows)
    return torch.cat([torch.ones_like(x)[..., None], right, -left], -1)
