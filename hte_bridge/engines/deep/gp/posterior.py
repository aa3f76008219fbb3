"""Posterior of tau under the kernel model: a mixture over draws of the scales, and over the forms of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from joblib import Parallel, delayed

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.covariance import (
    Data,
    Space,
    covariance,
    surface_kernel,
    surface_variance,
)
from hte_bridge.engines.deep.gp.fast_prediction import Draw, Scorer
from hte_bridge.engines.deep.gp.files_of_before import by_kinds, tuples
from hte_bridge.engines.deep.gp.hyperparameters import Hyperparameters
from hte_bridge.engines.deep.gp.kinds.layout import Room
from hte_bridge.engines.deep.gp.outcome_models import OutcomeModel
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.engines.deep.store.symmetric import factored, solved
from hte_bridge.engines.deep.store.threads import side_by_side
from hte_bridge.errors import DidNotConverge

JITTER = 1e-8  # of the covariance's diagonal, where rounding left it indefinite


@dataclass(frozen=True)
class PredictionRule:
    """When prediction goes to single precision."""

    # new rows from which moments are found in single precision
    single_precision_rows: int = 50_000


PREDICTION = PredictionRule()

CHUNK = 528  # new rows at a time, so that memory does not grow with them and a chunk stays in the processor's cache
TILE = 48  # chunks are filled up to a multiple: products of matrices round the columns of a last, partly filled tile differently


@dataclass(frozen=True, eq=False)
class Model:
    """A form of the model with the rows that it sees."""

    form: OutcomeModel
    rows: Data
    scales: Hyperparameters

    @classmethod
    def of(cls, form: OutcomeModel, rows: Data) -> Model:
        """A form with these rows and the layout of the scales that they ask for."""
        return cls(form, rows, form.scales(rows.x.shape[1], rows.cluster is not None, rows.groups))


class Weighted(Draw, Protocol):
    """A draw of the scales of a model, with its weight: from all rows' covariance, or by points (``inducing.py``)."""

    @property
    def weight(self) -> float:
        """Its share in the mixture."""

    @property
    def model(self) -> Model:
        """The model, with the rows that new ones are held against."""

    def weighing(self, weight: float) -> Weighted:
        """The same with another weight."""

    def kept(self) -> dict[str, torch.Tensor]:
        """What a file must hold of it beside its scales, its weight and its model."""


@dataclass(frozen=True, eq=False)
class Component:
    """One draw of the scales of a model: its weight, the factor of the covariance, and the covariance's inverse times y."""

    weight: float
    theta: torch.Tensor
    factor: torch.Tensor
    solved: torch.Tensor
    model: Model

    @property
    def log_posterior(self) -> float:
        """Log posterior of these scales, up to a constant that all draws share."""
        quadratic = float(self.model.rows.y @ self.solved)
        likelihood = -0.5 * quadratic - float(torch.log(torch.diagonal(self.factor)).sum())
        return likelihood + self.model.scales.prior(self.theta.cpu().numpy())[0]

    def heard(self, joint: torch.Tensor) -> torch.Tensor:
        """What the outcomes tell (n, k) of k numbers whose covariances with them are ``joint`` (n, k): its squares are what they take off."""
        return torch.linalg.solve_triangular(self.factor, joint, upper=False)

    def back(self, directions: torch.Tensor) -> torch.Tensor:
        """The transpose of ``heard``, of directions (n, k)."""
        return torch.linalg.solve_triangular(self.factor.T, directions, upper=True)

    def weighing(self, weight: float) -> Component:
        """The same with another weight."""
        return replace(self, weight=weight)

    def kept(self) -> dict[str, torch.Tensor]:
        """Nothing: all of it follows from the rows."""
        return {}


def component(weight: float, theta: Array, model: Model) -> Component:
    """Factor the covariance at one draw of the scales.

    Raises
    ------
    DidNotConverge
        If it is not positive definite, even with a hundred-millionth of its diagonal more.
    """
    at = torch.as_tensor(theta, device=model.rows.x.device)
    rows, scales = model.rows, model.scales
    place = scales.cluster if scales.clustered else None
    space = Space.of(rows, scales.surfaces)
    if not factored(factor := covariance(rows, at, scales.surfaces, place, space)):
        covariance(rows, at, scales.surfaces, place, space).diagonal().mul_(1.0 + JITTER)
        if not factored(factor):
            raise DidNotConverge(
                f"The covariance of {model.rows.n:,} rows must be positive definite. It was not at scales that were drawn. "
                "Look for a covariate or outcome with extreme values, and rescale or trim it."
            )
    return Component(weight, at, factor, solved(factor, model.rows.y), model)


@dataclass(frozen=True, eq=False)
class KernelPosterior:
    """Mixture of Gaussian processes for tau, in units of the outcome per unit of treatment.

    Its variance is within plus between the draws of the scales.
    """

    units: Standardisation
    components: tuple[Weighted, ...]

    @property
    def rows(self) -> Data:
        """Rows of the first model; those of the others differ in their loads alone."""
        return self.components[0].model.rows

    def moments(self, covariates: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of tau at the rows of ``covariates`` (m, q).

        From ``PREDICTION.single_precision_rows`` rows on in single precision (``fast_prediction.py``): intervals are then half a per cent longer at most, on average.
        """
        quick = len(covariates) >= PREDICTION.single_precision_rows
        mix, chunks = self._quick() if quick else self._mix, self._chunks(covariates, 1 + quick)
        jobs = side_by_side(None, tasks=len(covariates) // ((1 + quick) * CHUNK))
        made = Parallel(n_jobs=jobs, backend="threading")(delayed(mix)(x) for x in chunks)
        means, variances = zip(*made, strict=True)
        sd = torch.cat(variances)[: len(covariates)].clamp(min=0.0).sqrt().cpu().numpy()
        mean = torch.cat(means)[: len(covariates)].cpu().numpy()
        return mean * self.units.effect_sd, sd * self.units.effect_sd

    def mean(self, covariates: Array) -> Array:
        """Mean (m,) of tau at the rows of ``covariates``, without the cost of the variance."""
        found = []
        for x in self._chunks(covariates):
            parts = [
                each.weight * (each.solved @ cross(each.model, x, each.theta)) * self._multiple(each, x)
                for each in self.components
            ]
            found.append(torch.stack(parts).sum(0))
        return np.asarray(torch.cat(found)[: len(covariates)].cpu().numpy() * self.units.effect_sd)

    def outcome_mean(self, covariates: Array, propensity: Array) -> Array:
        """E[Y | x] at the rows of ``covariates`` (m, q), whose treatment has the mean ``propensity`` (m,)."""
        found, start = [], 0
        filled = np.append(self.units.dose(propensity), np.zeros(TILE))
        for x in self._chunks(covariates):
            share = filled[start : start + len(x)]
            start += len(x)
            spread = self.units.error_sd(x)
            parts = [
                each.weight
                * (each.solved @ cross(each.model, x, each.theta, each.model.form.mean(share, spread)))
                for each in self.components
            ]
            found.append(torch.stack(parts).sum(0))
        mean = torch.cat(found)[: len(covariates)].cpu().numpy()
        return np.asarray(mean * self.units.outcome_sd + self.units.outcome_mean)

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
        return np.asarray(rng.permutation(np.concatenate(found))) * self.units.effect_sd

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
        return mean.cpu().numpy() * self.units.effect_sd, total.cpu().numpy() * self.units.effect_sd**2

    def _chunks(self, covariates: Array, times: int = 1) -> Iterator[torch.Tensor]:
        """Standardised rows, so many times ``CHUNK`` at once; the last chunk is filled up with zeros to a whole number of tiles."""
        size = times * CHUNK
        for start in range(0, max(len(covariates), 1), size):
            x = self.units.standardise(covariates[start : start + size])
            yield torch.nn.functional.pad(x, (0, 0, 0, -len(x) % TILE)).to(self.rows.x.device)

    def _mix(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        second = torch.zeros_like(first)
        for each in self.components:
            joint = cross(each.model, x, each.theta)
            mean = each.solved @ joint
            half = each.heard(joint)
            variance = -half.square_().sum(0)
            for surface, _, share in active(each.model):
                variance += share**2 * surface_variance(x, each.theta, surface)
            multiple = self._multiple(each, x)
            mean, variance = mean * multiple, variance * multiple**2
            first += each.weight * mean
            second += each.weight * (variance + mean * mean)
        return first, second - first * first

    def _quick(self) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """What ``_mix`` does, in single precision at each draw of the scales."""
        scorers = [
            (
                each.weight,
                Scorer.of(each.model.rows, list(active(each.model)), each),
            )
            for each in self.components
        ]

        most = max(each.model.rows.n for each in self.components)  # points differ from model to model

        def mix(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            # one space for all draws: the system takes as long to hand out a new one as a draw to fill it
            space = Room(*(torch.empty(most, len(x), dtype=torch.float32) for _ in range(2)))
            means, variances = zip(*(scorer(x.float(), space) for _, scorer in scorers), strict=True)
            share = torch.tensor([weight for weight, _ in scorers], dtype=torch.float64)
            multiple = torch.stack([self._multiple(each, x).expand(len(x)) for each in self.components])
            each = torch.stack(means).double() * multiple
            mean = share @ each
            return mean, share @ (torch.stack(variances).double() * multiple**2 + (each - mean) ** 2)

        return mix

    def _multiple(self, each: Weighted, x: torch.Tensor) -> torch.Tensor:
        """What a component's surfaces of the effect are multiplied by at standardised rows x (m, q): (m,), or one for all."""
        return self.units.error_sd(x) if each.model.form.relative else x.new_ones(1, dtype=torch.float64)

    def _joint(self, x: torch.Tensor, each: Weighted) -> tuple[torch.Tensor, torch.Tensor]:
        joint = cross(each.model, x, each.theta)
        half = each.heard(joint)
        multiple = self._multiple(each, x)
        spread = prior(each.model, x, x, each.theta) - half.T @ half
        return each.solved @ joint * multiple, spread * multiple[:, None] * multiple

    def _averages(
        self, x: torch.Tensor, load: torch.Tensor, each: Weighted
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean (g,) and covariance (g, g) of averages at one draw of the scales, a chunk of rows at a time."""
        load = load * self._multiple(each, x)
        joint = torch.zeros(each.model.rows.n, len(load), dtype=x.dtype, device=x.device)
        before = torch.zeros(len(load), len(load), dtype=x.dtype, device=x.device)
        for a in range(0, len(x), CHUNK):
            here, share = x[a : a + CHUNK], load[:, a : a + CHUNK]
            joint += cross(each.model, here, each.theta) @ share.T
            for b in range(0, len(x), CHUNK):
                other = prior(each.model, here, x[b : b + CHUNK], each.theta)
                before += share @ other @ load[:, b : b + CHUNK].T
        half = each.heard(joint)
        return each.solved @ joint, before - half.T @ half

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON values from which ``restore`` rebuilds this posterior bit for bit."""
        models = list({id(each.model): each.model for each in self.components}.values())
        arrays = {name: getattr(self.rows, name) for name in ("x", "y", "noise", "cluster")}
        kept = {name: value.cpu().numpy() for name, value in arrays.items() if value is not None}
        for k, each in enumerate(self.components):
            own = {"theta": each.theta, **each.kept()}
            kept |= {f"{name}{k}": value.cpu().numpy() for name, value in own.items()}
        for k, model in enumerate(models):
            kept[f"loads{k}"] = model.rows.loads.cpu().numpy()
        said, values = described(self.units, self.components, models)
        return kept | said, values


def described(
    units: Standardisation, components: Sequence[Weighted], models: Sequence[Model]
) -> tuple[dict[str, Array], dict[str, Any]]:
    """What all draws of the scales are kept with: units, weights, and which model each is of."""
    kept, plain = units.state()
    kept["weights"] = np.array([each.weight for each in components])
    kept["model"] = np.array([[each.model is model for model in models].index(True) for each in components])
    said = [{"form": asdict(model.form), "scales": asdict(model.scales)} for model in models]
    return kept, {"models": said, "units": plain}


def active(
    model: Model, combination: Sequence[float] | torch.Tensor | None = None
) -> Iterator[tuple[Any, Any, Any]]:
    """Surfaces that a combination (the effect by default) uses, with their loads (n,) and their share in it."""
    wanted = model.form.effect if combination is None else combination
    for surface, load, share in zip(model.scales.surfaces, model.rows.loads, wanted, strict=True):
        if isinstance(share, torch.Tensor) or share != 0.0:
            yield surface, load, share


def cross(
    model: Model, x: torch.Tensor, theta: torch.Tensor, combination: torch.Tensor | None = None
) -> torch.Tensor:
    """Prior covariance (n, m) between the outcomes seen and a combination of surfaces at x (the effect by default)."""
    total = None
    for surface, load, share in active(model, combination):
        own = surface_kernel(model.rows.x, x, theta, surface, load).mul_(share)
        total = own if total is None else total.add_(own)
    assert total is not None
    return total


def gradients(at: Component, x: torch.Tensor, alone: int | None = None) -> torch.Tensor:
    """Gradient (m, q) of the mean of tau, or of one surface ``alone``, at standardised rows x (m, q)."""
    seen, total = at.model.rows.x, torch.zeros_like(x)
    chosen = None if alone is None else [float(k == alone) for k in range(len(at.model.scales.rates))]
    for surface, load, share in active(at.model, chosen):
        total += surface.kind.rise(x, seen, at.solved * load * share, at.theta, surface)
    return total


def prior(model: Model, a: torch.Tensor, b: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """Prior covariance (m, k) of the effect between the rows of a and b."""
    parts = [share**2 * surface_kernel(a, b, theta, surface) for surface, _, share in active(model)]
    return torch.stack(parts).sum(0)


def restore(arrays: dict[str, Array], values: dict[str, Any]) -> KernelPosterior:
    """Rebuild a posterior from what ``KernelPosterior.state`` returned."""
    kept = {name: torch.as_tensor(arrays[name]) for name in ("x", "y", "noise", "cluster") if name in arrays}

    def rows(k: int) -> Data:
        loads = torch.as_tensor(arrays[f"loads{k}"])
        return Data(kept["x"], kept["y"], kept["noise"], loads, kept.get("cluster"))

    models = restored_models(values, rows)
    chosen = zip(arrays["weights"], arrays["model"], strict=True)
    parts = tuple(
        component(float(weight), arrays[f"theta{k}"], models[int(place)])
        for k, (weight, place) in enumerate(chosen)
    )
    return KernelPosterior(Standardisation.restore(arrays, values["units"]), parts)


def restored_models(values: dict[str, Any], rows: Callable[[int], Data]) -> list[Model]:
    """Models as ``state`` described them, with the rows of each by its number."""
    models = []
    for k, each in enumerate(values["models"]):
        form, scales = (tuples(part) for part in by_kinds(each["form"], each["scales"]))
        scales = {"tied": False, **scales}  # files of before have no such word
        made = Hyperparameters(**scales)
        models.append(Model(OutcomeModel(**form), replace(rows(k), groups=made.groups), made))
    return models
