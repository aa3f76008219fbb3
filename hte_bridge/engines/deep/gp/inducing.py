"""A draw of the scales given many rows: the surfaces are asked at some points only, and the rest of each is counted as error.

The fully independent conditional of Snelson and Ghahramani (2006, NIPS 18; Quinonero-Candela and Rasmussen, 2005, JMLR 6): given its values
at the points a surface is what they make of it, plus a part of its own at each row. The work goes with the rows times the square of the points,
and at new rows the variance is that of the kernel itself, as far as the points tell. Each surface has points of its own, chosen one after the other
where those before leave most of it unknown: of a surface that few covariates move, few points tell all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.gp.covariance import Data, explicit_columns, surface_kernel, surface_variance
from hte_bridge.engines.deep.gp.kinds.layout import SurfaceLayout
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, Model, restored_models
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.engines.deep.store.symmetric import factored
from hte_bridge.errors import DidNotConverge


@dataclass(frozen=True)
class InducingRule:
    """How many points there are."""

    # of a surface, at most
    points: int = 1_200
    # up to which there are as many
    rows: int = 3_000
    # power of the rows with which they become fewer from there: the work falls, and what each surface is becomes clearer
    fewer: float = 0.8
    # but no fewer than this
    fewest: int = 300
    # times as many distinct rows, among which they are chosen, at most
    pool: float = 2.0
    # chosen at once
    together: int = 16
    # of the errors' variance: where points leave less of a surface unknown, on average, more of them tell nothing
    untold: float = 1e-3
    # of a surface's curved part, added to its variance at each point
    jitter: float = 1e-6
    # of a matrix whose diagonal is one, or of one's trace
    rounding: float = 1e-12
    # of the mean of its diagonal, added in turn until it has a factor
    shifts: tuple[float, ...] = (0.0, 1e-12, 1e-10, 1e-8)


INDUCING = InducingRule()


def n_points(n: int) -> int:
    """Points for n rows.

    Examples
    --------
    >>> n_points(3_000), n_points(12_000)
    (1200, 396)
    """
    wanted = INDUCING.points * min(1.0, INDUCING.rows / n) ** INDUCING.fewer
    return min(n, max(round(wanted), INDUCING.fewest))


@dataclass(frozen=True, eq=False)
class Induced:
    """One draw of the scales of a model as ``posterior.Component`` has it, whose rows are points at which the effect's surfaces are asked.

    Parameters
    ----------
    weight : float
    theta : tensor (size,)
    root : tensor (r, m)
        Takes prior covariances with the points to what the rows tell: its squares are taken off the prior's variance.
    solved : tensor (m,)
        Takes them to the mean.
    model : Model
        Of the points: each carries one surface.
    log_posterior : float
        Of these scales, up to a constant that all draws share.
    """

    weight: float
    theta: torch.Tensor
    root: torch.Tensor
    solved: torch.Tensor
    model: Model
    log_posterior: float

    def heard(self, joint: torch.Tensor) -> torch.Tensor:
        """What the rows tell (r, k) of k numbers whose covariances with the points are ``joint`` (m, k)."""
        return self.root @ joint

    def back(self, directions: torch.Tensor) -> torch.Tensor:
        """The transpose of ``heard`` (m, k) of directions (r, k)."""
        return self.root.T @ directions

    def weighing(self, weight: float) -> Induced:
        """The same with another weight."""
        return replace(self, weight=weight)

    def kept(self) -> dict[str, torch.Tensor]:
        """What the rows told, and the points."""
        return {"root": self.root, "solved": self.solved, "points": self.model.rows.x}


def induced(weight: float, theta: Array, model: Model, points: Sequence[torch.Tensor]) -> Induced:
    """The posterior of the effect's surfaces at one draw of the scales, given all rows of ``model``.

    Parameters
    ----------
    weight : float
    theta : array (size,)
    model : Model
    points : sequence of tensor (m, p)
        Of each surface: standardised covariates, none twice.

    Raises
    ------
    DidNotConverge
        If a covariance is not positive definite.
    """
    return ByPoints.of(theta, model, points).told(weight)


@dataclass(frozen=True, eq=False)
class ByPoints:
    """The outcomes' covariance at one draw of the scales, ``W W' + errors``, W being all surfaces' features.

    Parameters
    ----------
    theta : tensor (size,)
    model : Model
    points : sequence of tensor (m, p)
        Of each surface.
    takes : list of tensor
        Of each surface, what makes features of its covariances with its points.
    errors : Errors
    wide : tensor (n, r)
        W.
    factor : tensor (r, r)
        Of ``I + W' errors^-1 W``.
    """

    theta: torch.Tensor
    model: Model
    points: Sequence[torch.Tensor]
    takes: list[torch.Tensor]
    errors: Errors
    wide: torch.Tensor
    factor: torch.Tensor

    @classmethod
    def of(cls, theta: Array, model: Model, points: Sequence[torch.Tensor]) -> ByPoints:
        """At log scales (size,), given all rows of a model and the points (m, p) of each surface."""
        at, rows = torch.as_tensor(theta), model.rows
        takes, features = [], []
        rest = torch.exp(2.0 * at[0]) * rows.noise
        for surface, load, own in zip(model.scales.surfaces, rows.loads, points, strict=True):
            take, made = whitened(own, rows.x, at, surface)
            left = surface_variance(rows.x, at, surface) - made.square().sum(1)
            rest = rest + load**2 * left.clamp_(min=0.0)
            takes.append(take)
            features.append(made.mul_(load[:, None]))
        errors = Errors.of(rest, rows.cluster, at[model.scales.cluster] if model.scales.clustered else None)
        wide = torch.cat(features, 1)
        inner = errors.squares(wide).add_(torch.eye(wide.shape[1], dtype=wide.dtype))
        return cls(at, model, points, takes, errors, wide, definite(inner, rows.n))

    def told(self, weight: float) -> Induced:
        """What the rows tell of the effect's surfaces."""
        target = self.wide.T @ self.weighed
        mean = torch.cholesky_solve(target[:, None], self.factor)[:, 0]
        value = float(self.model.rows.y @ self.weighed - target @ mean) + self.errors.log_determinant
        value = -0.5 * value - float(torch.log(torch.diagonal(self.factor)).sum())
        value += self.model.scales.prior(self.theta.numpy())[0]
        found = Induced(weight, self.theta, self.factor, mean, self.model, value)
        return at_points(found, self.points, self.takes, self.places)

    @property
    def places(self) -> list[Codes]:
        """Which columns of W are of each surface."""
        ends = np.cumsum([0, *(len(each) for each in self.takes)])
        return [np.arange(*each) for each in pairwise(ends.tolist())]

    @cached_property
    def weighed(self) -> torch.Tensor:
        """The outcomes (n,) through the errors' inverse."""
        return self.errors.inverse_times(self.model.rows.y[:, None])[:, 0]

    @property
    def solved(self) -> torch.Tensor:
        """The covariance's inverse times the outcomes (n,)."""
        told = torch.cholesky_solve((self.wide.T @ self.weighed)[:, None], self.factor)
        return self.weighed - self.errors.inverse_times(self.wide @ told)[:, 0]

    def halved(self, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Columns (n, k) through the errors' inverse, and what the features take of them (r, k): products of columns with the covariance's
        inverse between them are those of ``columns`` with the first, less those of the second with itself."""
        found = self.errors.inverse_times(columns)
        taken = torch.linalg.solve_triangular(self.factor, self.wide.T @ found, upper=False)
        return found, taken


def at_points(
    found: Induced, points: Sequence[torch.Tensor], takes: Sequence[torch.Tensor], places: Sequence[Codes]
) -> Induced:
    """What the rows tell of the effect's surfaces, in terms of their values at the points, from a factor and a mean for all surfaces' features.

    ``places`` (r,) are the features of each surface, which ``takes`` (r, m) makes of covariances with its points.
    """
    model = found.model
    used = [k for k, share in enumerate(model.form.effect) if share != 0.0]
    columns = torch.as_tensor(np.concatenate([places[k] for k in used]))
    told = -torch.cholesky_inverse(found.root)[columns][:, columns]
    told.diagonal().add_(1.0 + INDUCING.rounding)
    take = torch.block_diag(*(takes[k] for k in used))
    whose = torch.repeat_interleave(torch.as_tensor(used), torch.as_tensor([len(points[k]) for k in used]))
    loads = (whose == torch.arange(len(takes))[:, None]).to(take.dtype)
    seen = replace(at(torch.cat([points[k] for k in used]), loads), groups=model.rows.groups)
    return replace(
        found,
        root=definite(told, model.rows.n).T @ take,
        solved=take.T @ found.solved[columns],
        model=replace(model, rows=seen),
    )


def whitened(
    points: torch.Tensor, x: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout
) -> tuple[torch.Tensor, torch.Tensor]:
    """What takes a surface's covariances with the points (m,) to features (r,) whose products are its covariance, as far as the points tell.

    Beside it these features at rows x (n, r).
    """
    if not surface.kind.curved:
        return torch.linalg.pinv(explicit_columns(points, theta, surface)), explicit_columns(
            x, theta, surface
        )
    own = surface_kernel(points, points, theta, surface)
    own.diagonal().add_(shift_of(own, theta, surface))
    factor = definite(own, len(points))
    take = torch.linalg.solve_triangular(factor, torch.eye(len(points), dtype=own.dtype), upper=False)
    bent = torch.linalg.solve_triangular(
        factor.T, surface.kind.correlation(x, points, theta, surface), upper=True, left=False
    )
    line = explicit_columns(x, theta, surface) @ (take @ explicit_columns(points, theta, surface)).T
    return take, line.add_(bent, alpha=float(torch.exp(2.0 * theta[surface.bent])))


def shift_of(own: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout) -> torch.Tensor:
    """What is added to the variance of a surface at each point: where points lie close rounding would leave no factor."""
    return INDUCING.jitter * torch.exp(2.0 * theta[surface.bent]) + INDUCING.rounding * own.diagonal().sum()


def points_of(
    pool: torch.Tensor, theta: torch.Tensor, surface: SurfaceLayout, most: int, untold: float, seed: int
) -> torch.Tensor:
    """Points (m, p) for a surface, the most telling first, of the rows ``pool`` (k, p): all for one that is made of explicit columns.

    Some are drawn at a time, each with a chance that goes with the variance that those before leave of it (randomly pivoted Cholesky: Chen,
    Epperly, Tropp and Webber, 2025, Communications on Pure and Applied Mathematics 78(5)), until ``most`` are or what is left is ``untold`` on average.
    """
    if not surface.kind.curved or len(pool) <= most:
        return pool
    own, rng = surface_kernel(pool, pool, theta, surface), np.random.default_rng(seed)
    least = float(shift_of(own, theta, surface))
    left, known = own.diagonal().clone(), own.new_zeros(len(pool), most)
    chosen: list[int] = []
    while len(chosen) < most and float(left.mean()) > untold:
        live = left > least
        number = min(INDUCING.together, most - len(chosen), int(live.sum()))
        if not number:
            break
        chance = (left * live).numpy()
        new = np.sort(rng.choice(len(pool), number, replace=False, p=chance / chance.sum()))
        done = known[:, : len(chosen)]
        cross = own[:, new] - done @ done[new].T
        block = cross[new]
        block.diagonal().add_(least)
        step = torch.linalg.solve_triangular(definite(block, len(pool)), cross.T, upper=False).T
        known[:, len(chosen) : len(chosen) + number] = step
        left = (left - step.square().sum(1)).clamp_(min=0.0)
        left[new] = 0.0
        chosen += new.tolist()
    return pool[torch.as_tensor(chosen)]


def definite(matrix: torch.Tensor, n: int) -> torch.Tensor:
    """Lower factor of a matrix that must be positive definite; where rounding left it indefinite, after the least shift of its diagonal that helps.

    Raises
    ------
    DidNotConverge
        If it is not.
    """
    for shift in INDUCING.shifts:
        factor = matrix.clone(memory_format=torch.contiguous_format)
        factor.diagonal().add_(shift * matrix.diagonal().mean())
        if factored(factor):
            return factor
    raise DidNotConverge(
        f"The covariance of {n:,} rows must be positive definite. It was not at scales that were drawn. "
        "Look for a covariate or outcome with extreme values, and rescale or trim it."
    )


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors' covariance: a variance (n,) for each row and, where there are clusters, one that rows of a cluster share."""

    variance: torch.Tensor
    cluster: torch.Tensor | None
    pull: torch.Tensor
    log_determinant: float

    @classmethod
    def of(cls, variance: torch.Tensor, cluster: torch.Tensor | None, log_sd: torch.Tensor | None) -> Errors:
        """From the rows' variances, codes, and the log sd of what clusters share."""
        value = float(torch.log(variance).sum())
        if cluster is None or log_sd is None:
            return cls(variance, None, variance[:0], value)
        shared = torch.exp(2.0 * log_sd)
        told = variance.new_zeros(int(cluster.max()) + 1).index_add_(0, cluster, 1.0 / variance)
        value += float(torch.log1p(shared * told).sum())
        return cls(variance, cluster, shared / (1.0 + shared * told), value)

    def inverse_times(self, columns: torch.Tensor) -> torch.Tensor:
        """The covariance's inverse times columns (n, k)."""
        found = columns / self.variance[:, None]
        if self.cluster is not None:
            sums = columns.new_zeros(len(self.pull), columns.shape[1]).index_add_(0, self.cluster, found)
            found -= (self.pull[:, None] * sums)[self.cluster] / self.variance[:, None]
        return found

    def squares(self, columns: torch.Tensor) -> torch.Tensor:
        """Products (k, k) of columns (n, k) with the covariance's inverse between them."""
        scaled = (columns / self.variance.sqrt()[:, None]).numpy()
        found = torch.from_numpy(scaled.T @ scaled)  # numpy knows that it is symmetric
        if self.cluster is not None:
            weighed = columns / self.variance[:, None]
            sums = columns.new_zeros(len(self.pull), columns.shape[1]).index_add_(0, self.cluster, weighed)
            sums.mul_(self.pull.sqrt()[:, None])
            found -= sums.T @ sums
        return found


def restore(arrays: dict[str, Array], values: dict[str, Any]) -> KernelPosterior:
    """Rebuild a posterior of such draws from what ``KernelPosterior.state`` returned."""

    def rows(k: int) -> Data:
        points = arrays[f"points{arrays['model'].tolist().index(k)}"]
        return at(torch.as_tensor(points), torch.as_tensor(arrays[f"loads{k}"]))

    models = restored_models(values, rows)
    parts = []
    for k, (weight, place) in enumerate(zip(arrays["weights"], arrays["model"], strict=True)):
        theta, root, solved = (torch.as_tensor(arrays[f"{name}{k}"]) for name in ("theta", "root", "solved"))
        parts.append(Induced(float(weight), theta, root, solved, models[int(place)], 0.0))
    return KernelPosterior(Standardisation.restore(arrays, values["units"]), tuple(parts))


def at(points: torch.Tensor, loads: torch.Tensor) -> Data:
    """Points (m, p), each with its surface (s, m), as rows that new ones are held against: their outcomes are in what was told of them."""
    nothing = points.new_zeros(len(points))
    return Data(points, nothing, nothing + 1.0, loads)
