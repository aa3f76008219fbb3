"""Posterior of tau under the kernel model: a mixture over draws of the scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hte_bridge.engines.deep.kernel import (
    Rows,
    covariance,
    pieces,
    relevance,
    surface_kernel,
    surface_variance,
)
from hte_bridge.engines.deep.scales import Array, Scales

CHUNK = 2_000  # new rows at a time, so that memory does not grow with them


@dataclass(frozen=True, eq=False)
class Component:
    """One draw of the scales: its weight, the factor of the covariance, and the covariance's inverse times y."""

    weight: float
    theta: torch.Tensor
    factor: torch.Tensor
    solved: torch.Tensor


def component(weight: float, theta: Array, rows: Rows, scales: Scales) -> Component:
    """Factor the covariance at one draw of the scales."""
    at = torch.as_tensor(theta, device=rows.x.device)
    factor = torch.linalg.cholesky(covariance(rows, at, scales)[0])
    return Component(weight, at, factor, torch.cholesky_solve(rows.y[:, None], factor)[:, 0])


@dataclass(frozen=True, eq=False)
class Units:
    """How covariates and outcome were standardised, so that answers return in the user's units."""

    centre: Array
    spread: Array
    outcome_mean: float
    outcome_sd: float

    def standardise(self, covariates: Array) -> torch.Tensor:
        """Covariates (m, q) as the kernel sees them."""
        return torch.as_tensor(np.ascontiguousarray((covariates - self.centre) / self.spread))


@dataclass(frozen=True, eq=False)
class KernelPosterior:
    """Mixture of Gaussian processes for tau, in units of the outcome per unit of treatment.

    Its variance is within plus between the draws of the scales.
    """

    rows: Rows
    scales: Scales
    units: Units
    components: tuple[Component, ...]

    def surface(self, covariates: Array, which: int) -> tuple[Array, Array]:
        """Mean and sd of mu (0, without the outcome's mean) or tau (1) at the rows of ``covariates`` (m, q)."""
        means, variances = [], []
        for x in self._chunks(covariates):
            mean, variance = self._mix(x, which)
            means.append(mean)
            variances.append(variance)
        sd = torch.cat(variances).clamp(min=0.0).sqrt().cpu().numpy()
        return torch.cat(means).cpu().numpy() * self.units.outcome_sd, sd * self.units.outcome_sd

    def mean(self, covariates: Array, which: int) -> Array:
        """Mean (m,) of mu (0) or tau (1) at the rows of ``covariates``, without the cost of the variance."""
        found = []
        for x in self._chunks(covariates):
            total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
            for each in self.components:
                total += each.weight * (each.solved @ self._cross(x, each.theta, which))
            found.append(total)
        return np.asarray(torch.cat(found).cpu().numpy() * self.units.outcome_sd)

    def moments(self, covariates: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of tau at the rows of ``covariates`` (m, q)."""
        return self.surface(covariates, 1)

    def outcome_mean(self, covariates: Array) -> Array:
        """E[Y | x] at the rows of ``covariates``: mu, since the treatment enters centred."""
        return self.mean(covariates, 0) + self.units.outcome_mean

    def slopes(self, x: torch.Tensor) -> Array:
        """Root mean square slope (components, q) of the mean of tau over standardised rows x (m, q), per sd of each covariate."""
        surface, found = self.scales.surfaces[1], []
        for each in self.components:
            load = each.solved if self.rows.residual is None else each.solved * self.rows.residual
            decay = pieces(self.rows.x, x, each.theta, surface).decay * load[:, None]
            steep = 3.0 * torch.exp(2.0 * (each.theta[surface.matern] - each.theta[surface.lengths]))
            bend = steep * (decay.T @ self.rows.x - decay.sum(0)[:, None] * x)
            sds = torch.exp(2.0 * each.theta[surface.deviations])
            flat = (sds[0] / surface.p + sds[1] * relevance(each.theta, surface)) * (load @ self.rows.x)
            found.append((bend + flat).square().mean(0).sqrt().cpu().numpy())
        return np.array(found) * self.units.outcome_sd

    def draws(self, covariates: Array, n_draws: int, seed: int) -> Array:
        """Joint draws (n_draws, m) of tau; the scales of each are drawn first."""
        rng = np.random.default_rng(seed)
        x = self.units.standardise(covariates).to(self.rows.x.device)
        counts = rng.multinomial(n_draws, [each.weight for each in self.components])
        found = []
        for each, count in zip(self.components, counts, strict=True):
            normal = torch.as_tensor(rng.normal(size=(len(x), count)), device=x.device)
            if count == 0:
                continue
            mean, spread = self._joint(x, each)
            values, vectors = torch.linalg.eigh(
                spread
            )  # never fails where rows repeat and the spread is singular
            root = vectors * values.clamp(min=0.0).sqrt()
            found.append((mean[:, None] + root @ normal).T.cpu().numpy())
        return np.asarray(rng.permutation(np.concatenate(found))) * self.units.outcome_sd

    def average(self, covariates: Array, weights: Array) -> tuple[Array, Array]:
        """Means (g,) and covariance (g, g) of ``weights @ tau`` for weights (g, m)."""
        load = torch.as_tensor(np.ascontiguousarray(weights), device=self.rows.x.device)
        x = self.units.standardise(covariates).to(self.rows.x.device)
        means, within = [], torch.zeros(len(load), len(load), dtype=x.dtype, device=x.device)
        for each in self.components:
            mean, spread = self._averages(x, load, each)
            means.append(mean)
            within += each.weight * spread
        stacked = torch.stack(means)
        share = torch.as_tensor([each.weight for each in self.components], dtype=x.dtype, device=x.device)
        mean = share @ stacked
        off = stacked - mean
        total = within + (off * share[:, None]).T @ off
        return mean.cpu().numpy() * self.units.outcome_sd, total.cpu().numpy() * self.units.outcome_sd**2

    def _chunks(self, covariates: Array) -> Iterator[torch.Tensor]:
        for start in range(0, max(len(covariates), 1), CHUNK):
            yield self.units.standardise(covariates[start : start + CHUNK]).to(self.rows.x.device)

    def _cross(self, x: torch.Tensor, theta: torch.Tensor, which: int) -> torch.Tensor:
        """Prior covariance (n, m) between the outcomes seen and a surface at x."""
        cross = surface_kernel(self.rows.x, x, theta, self.scales.surfaces[which])
        if which == 1 and self.rows.residual is not None:
            cross *= self.rows.residual[:, None]
        return cross

    def _mix(self, x: torch.Tensor, which: int) -> tuple[torch.Tensor, torch.Tensor]:
        first = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        second = torch.zeros_like(first)
        for each in self.components:
            cross = self._cross(x, each.theta, which)
            mean = each.solved @ cross
            half = torch.linalg.solve_triangular(each.factor, cross, upper=False)
            variance = surface_variance(x, each.theta, self.scales.surfaces[which]) - (half * half).sum(0)
            first += each.weight * mean
            second += each.weight * (variance + mean * mean)
        return first, second - first * first

    def _joint(self, x: torch.Tensor, each: Component) -> tuple[torch.Tensor, torch.Tensor]:
        cross = self._cross(x, each.theta, 1)
        half = torch.linalg.solve_triangular(each.factor, cross, upper=False)
        return each.solved @ cross, surface_kernel(x, x, each.theta, self.scales.surfaces[1]) - half.T @ half

    def _averages(
        self, x: torch.Tensor, load: torch.Tensor, each: Component
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean (g,) and covariance (g, g) of averages at one draw of the scales, a chunk of rows at a time."""
        cross = torch.zeros(self.rows.n, len(load), dtype=x.dtype, device=x.device)
        prior = torch.zeros(len(load), len(load), dtype=x.dtype, device=x.device)
        surface = self.scales.surfaces[1]
        for a in range(0, len(x), CHUNK):
            here, share = x[a : a + CHUNK], load[:, a : a + CHUNK]
            cross += self._cross(here, each.theta, 1) @ share.T
            for b in range(0, len(x), CHUNK):
                other = surface_kernel(here, x[b : b + CHUNK], each.theta, surface)
                prior += share @ other @ load[:, b : b + CHUNK].T
        half = torch.linalg.solve_triangular(each.factor, cross, upper=False)
        return each.solved @ cross, prior - half.T @ half

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON values from which ``restore`` rebuilds this posterior bit for bit."""
        arrays = {name: getattr(self.rows, name) for name in ("x", "y", "noise", "residual", "cluster")}
        kept = {name: value.cpu().numpy() for name, value in arrays.items() if value is not None}
        kept |= {"centre": self.units.centre, "spread": self.units.spread}
        kept["weights"] = np.array([each.weight for each in self.components])
        kept["theta"] = np.stack([each.theta.cpu().numpy() for each in self.components])
        scales = {name: getattr(self.scales, name) for name in self.scales.__dataclass_fields__}
        units = {"outcome_mean": self.units.outcome_mean, "outcome_sd": self.units.outcome_sd}
        return kept, {"scales": scales, "units": units}


def restore(arrays: dict[str, Array], values: dict[str, Any]) -> KernelPosterior:
    """Rebuild a posterior from what ``KernelPosterior.state`` returned."""
    tensors = {
        name: torch.as_tensor(arrays[name])
        for name in ("x", "y", "noise", "residual", "cluster")
        if name in arrays
    }
    units = Units(arrays["centre"], arrays["spread"], **values["units"])
    rows, scales = Rows(**tensors), Scales(**values["scales"])
    pairs = zip(arrays["weights"], arrays["theta"], strict=True)
    made = tuple(component(float(weight), theta, rows, scales) for weight, theta in pairs)
    return KernelPosterior(rows, scales, units, made)
