"""The linear part that smooth, edged and index surfaces have beside their curved one."""

from __future__ import annotations

import torch

from hte_bridge.engines.deep.gp.kinds.layout import SurfaceLayout


def line_columns(a: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout) -> torch.Tensor:
    """Columns (n, p) of the linear part at the rows of a: its variance is that of its sd at standardised covariates, on average."""
    return a * (torch.exp(theta[surface.linear]) * surface.p**-0.5)


def add_gradient_of_deviations(
    gradient: torch.Tensor,
    slope: torch.Tensor,
    correlation: torch.Tensor,
    x: torch.Tensor,
    theta: torch.Tensor,
    surface: SurfaceLayout,
) -> torch.Tensor:
    """Add the slopes by the two log sds, and return the curved part's variance."""
    variance = torch.exp(2.0 * theta[surface.bent])
    line = torch.exp(2.0 * theta[surface.linear]) / surface.p
    gradient[surface.linear] += 2.0 * line * ((slope @ x) * x).sum()
    gradient[surface.bent] += 2.0 * variance * torch.dot(slope.view(-1), correlation.view(-1))
    return variance


def line_rise(
    seen: torch.Tensor, weight: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout
) -> torch.Tensor:
    """Gradient (p,), the same everywhere, of the weighted sum (n,) of the linear part's covariance with rows ``seen`` (n, p)."""
    return torch.exp(2.0 * theta[surface.linear]) / surface.p * (weight @ seen)
