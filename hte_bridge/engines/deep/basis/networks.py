"""Networks for tau(x) and mu(x) in one model with the effects, several at once, cross-fitted by fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from joblib import Parallel, delayed

from hte_bridge.arrays import Array, slices
from hte_bridge.cores import replaceable
from hte_bridge.engines.deep.basis.data import Rows, sweeper
from hte_bridge.engines.deep.basis.ensemble import CHUNK_POINTS, ENSEMBLE, Ensemble, Inputs, encode, forward
from hte_bridge.engines.deep.basis.features import knots
from hte_bridge.engines.deep.nuisance.training import Descent, from_some_seed
from hte_bridge.engines.deep.store.checkpoint import NOWHERE, Checkpoint
from hte_bridge.engines.deep.store.threads import side_by_side, threads
from hte_bridge.progress import steps


@dataclass(frozen=True)
class NetworkTraining:
    """How networks of tau and mu are trained."""

    # rows times epochs that a network is shown, more or less
    rows_seen: int = 1_500_000
    # passes at least
    fewest_epochs: int = 8
    # and at most
    most_epochs: int = 24
    # per network; several networks see different rows
    most_rows: int = 150_000
    # from where on starting processes for them is worth its seconds
    apart_rows: int = 100_000
    # of the rows, to stop by
    held_back: float = 0.1
    # ramps of a covariate, as networks are shown it
    input_bins: int = 12
    # rounds of means by level in each sweep of the effects
    sweeps: int = 3
    # of AdamW at its highest, on one cycle
    learning_rate: float = 4e-3


NETWORKS = NetworkTraining()
Job = tuple[int, Inputs, int]
Send = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]


@dataclass(frozen=True)
class TauNetOptions:
    """How the networks of a panel or large cross-section are trained.

    Parameters
    ----------
    plain, ramps : int
        Networks per fold on standardised covariates, and on their piecewise-linear encoding.
    hidden : tuple of int
    epochs : int
        At most; fewer where there are many rows.
    device : str
    """

    plain: int = 2
    ramps: int = 1
    hidden: tuple[int, ...] = (64, 64)
    epochs: int = NETWORKS.most_epochs
    device: str = "cpu"

    def epochs_for(self, n: int) -> int:
        """Passes over n rows."""
        return min(
            self.epochs,
            int(np.clip(NETWORKS.rows_seen / max(n, 1), NETWORKS.fewest_epochs, NETWORKS.most_epochs)),
        )


@dataclass(frozen=True, eq=False)
class Training:
    """The training of one ensemble, by its job ``(fold, inputs, number)``: what a worker elsewhere is given.

    Parameters
    ----------
    seen : sequence of Rows
        For each fold all rows, as its networks are to see them.
    kept : sequence of Checkpoint
        Of each fold.
    z : array (m, q)
    seed : int
    options : TauNetOptions
    """

    seen: Sequence[Rows]
    kept: Sequence[Checkpoint]
    z: Array
    seed: int
    options: TauNetOptions

    def __call__(self, job: Job) -> tuple[Ensemble, str]:
        """The ensemble, and what went wrong in storing it."""
        attempt, *given = self.steps(job)
        found: tuple[Ensemble, str] = attempt(*given)
        return found

    def steps(self, job: Job) -> tuple[Any, ...]:
        """A function and its arguments, of one fold alone."""
        k, kind, number = job
        rows = self.seen[k].at(self.seen[k].fold != k)
        seed = self.seed + 101 * k
        name = f"network-{kind}-{k}"
        return self.kept[k].attempt, name, ENSEMBLE, train, rows, self.z, kind, number, seed, self.options


def crossfit_nets(
    seen: Sequence[Rows],
    z: Array,
    seed: int,
    options: TauNetOptions,
    n_jobs: int | None = None,
    checkpoint: Checkpoint = NOWHERE,
    send: Send | None = None,
) -> list[list[Ensemble]]:
    """For each fold, ensembles trained on the other folds, in parallel through joblib.

    Parameters
    ----------
    seen : sequence of Rows
        For each fold all rows, as its networks are to see them.
    z : array (m, q)
        Standardised points.
    seed : int
    options : TauNetOptions
    n_jobs : int, optional
        Ensembles trained side by side; the numbers are the same.
    checkpoint : Checkpoint
        Where each ensemble is left as soon as it is trained, by the process that trained it.
    send : function, optional
        Has a function's values at some jobs found elsewhere, in their order.

    Returns
    -------
    list of list of Ensemble
        Per fold, one ensemble per kind of input.
    """
    kinds: list[tuple[Inputs, int]] = [("plain", options.plain), ("ramps", options.ramps)]
    kinds = [(kind, number) for kind, number in kinds if number]
    jobs = [(k, kind, number) for k in range(len(seen)) for kind, number in kinds]
    under = {
        id(own): checkpoint.under(own, z, seed, options) for own in {id(own): own for own in seen}.values()
    }
    work = Training(seen, [under[id(own)] for own in seen], z, seed, options)
    if send is not None:
        done = list(steps(send(work, jobs), "deep: networks", len(jobs)))
    else:
        many = seen[0].n >= NETWORKS.apart_rows
        run = Parallel(n_jobs=side_by_side(n_jobs, tasks=len(jobs)) if many else n_jobs)
        parts = (work.steps(job) for job in steps(jobs, "deep: networks"))
        with replaceable():
            done = run(delayed(function)(*given) for function, *given in parts)
    for _, trouble in done:
        checkpoint.say(trouble)
    found = [ensemble for ensemble, _ in done]
    return [[found[k * len(kinds) + j] for j in range(len(kinds))] for k in range(len(seen))]


def train(rows: Rows, z: Array, inputs: Inputs, number: int, seed: int, options: TauNetOptions) -> Ensemble:
    """Train networks on some rows, from another seed where a loss is not finite.

    Raises
    ------
    DidNotConverge
        If three seeds fail.
    """
    rng = np.random.default_rng(seed)
    if rows.n > NETWORKS.most_rows:
        rows = rows.at(np.sort(rng.choice(rows.n, NETWORKS.most_rows, replace=False)))
    with threads(1):
        slopes, rest, scale = warm_start(rows, z)
        at = tuple(knots(column, NETWORKS.input_bins) for column in z.T) if inputs == "ramps" else ()
        at = tuple(own if len(own) > 1 else np.array([own[0], own[0] + 1]) for own in at)
        once = lambda own: _Race(rows, z, at, rest / scale, number, own, options).run()
        layers = from_some_seed(once, seed, 7, f"the networks for tau on {rows.n:,} rows")
        return Ensemble(at, layers, slopes, scale)


def warm_start(rows: Rows, z: Array) -> tuple[Array, Array, float]:
    """Linear tau and mu (2, q + 1) by least squares within the effects, what they leave (n,), and its sd."""
    x = np.hstack([np.ones((rows.n, 1)), z[rows.point]])
    columns = np.hstack([rows.treatment[:, None] * x, x[:, 1:]])
    within = sweeper(rows)
    inside, y = within(columns), within(rows.outcome)
    gram = inside.T @ (rows.weight[:, None] * inside)
    ridge = 1e-3 * gram.diagonal() + 1e-9 * gram.diagonal().max()
    found = np.linalg.solve(gram + np.diag(ridge), inside.T @ (rows.weight * y))
    q = z.shape[1]
    slopes = np.vstack([found[: q + 1], np.concatenate([[0.0], found[q + 1 :]])])
    rest = rows.outcome - columns @ found
    return slopes, rest, float(np.sqrt(np.average(within(rest) ** 2, weights=rows.weight))) or 1.0


def by_level(values: torch.Tensor, codes: torch.Tensor, size: int) -> torch.Tensor:
    """Sums (size,) of values (n,) by level, in the same order each time: on a CUDA device ``index_add_`` has none."""
    total = torch.zeros(size, dtype=values.dtype, device=values.device)
    if values.is_cuda:
        return total.index_put_((codes,), values, accumulate=True)
    return total.index_add_(0, codes, values)


def _start(
    number: int, width: int, hidden: tuple[int, ...], generator: torch.Generator
) -> list[torch.Tensor]:
    layers: list[torch.Tensor] = []
    for _ in range(2):
        widths = (width, *hidden, 1)
        for k, (a, b) in enumerate(pairwise(widths)):
            size = 0.0 if k == len(hidden) else (2.0 / a) ** 0.5
            layers.append(torch.randn((number, a, b), generator=generator, dtype=torch.float32) * size)
            layers.append(torch.zeros((number, 1, b), dtype=torch.float32))
    return layers


class _Race:
    """Networks in training: state that changes step by step, dropped at the end."""

    def __init__(
        self,
        rows: Rows,
        z: Array,
        at: tuple[Array, ...],
        target: Array,
        number: int,
        seed: int,
        options: TauNetOptions,
    ) -> None:
        device, single = options.device, torch.float32
        self.rng = np.random.default_rng(seed)
        used, place = np.unique(rows.point, return_inverse=True)
        self.x = encode(torch.as_tensor(z[used], dtype=single, device=device), at)
        self.place = torch.as_tensor(place, device=device)
        middle = float(np.average(rows.treatment, weights=rows.weight))
        self.t = torch.as_tensor(rows.treatment - middle, dtype=single, device=device)
        self.y = torch.as_tensor(target, dtype=single, device=device)
        self.weight = torch.as_tensor(rows.weight, dtype=single, device=device)
        # a copy: rows that another process was sent cannot be written, of which torch would warn
        self.codes = torch.tensor(rows.effects, device=device).T.contiguous()
        self.sizes = rows.sizes
        held = torch.zeros(rows.n, dtype=torch.bool)
        held[torch.as_tensor(self.rng.permutation(rows.n)[: int(NETWORKS.held_back * rows.n)])] = True
        self.held = held.to(device)
        self.kept = np.flatnonzero(~held.numpy())
        self.effects = [torch.zeros((number, size), dtype=single, device=device) for size in rows.sizes]
        self.shift = torch.zeros((number, 1), dtype=single, device=device)
        generator = torch.Generator().manual_seed(seed)
        start = _start(number, self.x.shape[1], options.hidden, generator)
        self.layers = [each.to(device).requires_grad_(True) for each in start]
        self.half = len(self.layers) // 2
        self.fixed = torch.zeros((number, rows.n), dtype=single, device=device)
        self.batch, self.epochs = int(np.clip(len(self.kept) // 40, 64, 1_024)), options.epochs_for(rows.n)
        total = max(3, -(-len(self.kept) // self.batch) * self.epochs)
        # one call for all layers: with so small ones calls are most of the work
        fused = self.x.device.type in ("cpu", "cuda")
        optimiser = torch.optim.AdamW(self.layers, lr=NETWORKS.learning_rate, weight_decay=1e-3, fused=fused)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=NETWORKS.learning_rate,
            total_steps=total,
            pct_start=max(
                0.2, 2 / total
            ),  # with less than two steps up, or none down, the schedule divides by zero
        )
        least = torch.full((number,), float("inf"), dtype=single, device=device)
        self.descent = Descent(self.layers, optimiser, schedule, least, longest=5.0 * number)
        self.sweep()

    def run(self) -> tuple[npt.NDArray[np.float32], ...] | None:
        """Weights at the epoch of least held-back loss; ``None`` where a loss was not finite."""
        if not self.descent.run(self.epochs, self.batches, self.loss, self.held_back):
            return None
        return tuple(each.cpu().numpy() for each in self.descent.best)

    def batches(self) -> Iterator[torch.Tensor]:
        """Parts (k, m) of the kept rows, each network in its own order."""
        number = len(self.descent.least)
        order = torch.as_tensor(np.stack([self.rng.permutation(self.kept) for _ in range(number)]))
        order = order.to(self.x.device)
        yield from (order[:, here] for here in slices(order.shape[1], self.batch))

    def loss(self, chosen: torch.Tensor) -> torch.Tensor:
        """Sum of the networks' mean squares at some rows (k, m)."""
        x = self.x[self.place[chosen]]
        tau, mu = forward(x, self.layers[: self.half]), forward(x, self.layers[self.half :])
        miss = self.y[chosen] - self.fixed.gather(1, chosen) - mu - self.t[chosen] * tau
        return (self.weight[chosen] * miss**2).mean(dim=1).sum()

    def held_back(self) -> torch.Tensor:
        """Mean squares (k,) at the rows held back, with effects that fit the networks as they are."""
        self.sweep()
        return (self.weight * self.rest**2)[:, self.held].mean(dim=1)

    def sweep(self) -> None:
        """Effects given the networks, by a few rounds of means over the kept rows of each level."""
        with torch.no_grad():
            tau, mu = self._surfaces()
            rest = self.y - mu[:, self.place] - self.t * tau[:, self.place]
            kept = torch.where(self.held, torch.zeros_like(self.weight), self.weight)
            for _ in range(NETWORKS.sweeps):
                for f, size in enumerate(self.sizes):
                    own = rest - self._sum(skip=f)
                    total = torch.stack([by_level(each, self.codes[f], size) for each in own * kept])
                    self.effects[f] = total / by_level(kept, self.codes[f], size).clamp_min(1e-9)
                if not self.sizes:
                    self.shift = (rest * kept).sum(dim=1, keepdim=True) / kept.sum()
            self.fixed = self._sum()
            self.rest = rest - self.fixed

    def _sum(self, skip: int = -1) -> torch.Tensor:
        total = self.shift.expand(-1, len(self.y)).clone()
        for f, values in enumerate(self.effects):
            if f != skip:
                total += values[:, self.codes[f]]
        return total

    def _surfaces(self) -> tuple[torch.Tensor, torch.Tensor]:
        parts = []
        for here in slices(len(self.x), CHUNK_POINTS):
            x = self.x[here].expand(len(self.shift), -1, -1)
            parts.append((forward(x, self.layers[: self.half]), forward(x, self.layers[self.half :])))
        return torch.cat([a for a, _ in parts], dim=1), torch.cat([b for _, b in parts], dim=1)
