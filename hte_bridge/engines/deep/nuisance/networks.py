"""Networks with a linear warm start and early stopping, for means and for probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from scipy import special
from sklearn.linear_model import RidgeCV
from torch import nn

from hte_bridge.arrays import Array, slices
from hte_bridge.engines.deep.nuisance.logistic import logistic_ridge
from hte_bridge.engines.deep.nuisance.scaler import Scaler
from hte_bridge.engines.deep.nuisance.training import Descent, from_some_seed
from hte_bridge.errors import InvalidOption

Predict = Callable[[Array], Array]
Scale = Literal["mean", "probability"]


@dataclass(frozen=True)
class NetOptions:
    """How a network is trained.

    Parameters
    ----------
    hidden : tuple of int
        Width of each hidden layer.
    epochs : int
        At most; training ends ``patience`` epochs after the best held-back loss.
    batch : int, optional
        Rows a step; by default an eighth of them, between 32 and 8,192, a hundredth of more than 50,000.
    learning_rate, weight_decay : float
        Of AdamW; the rate falls along a cosine.
    held_back : float
        Share of the training rows that stops the training.
    n_nets : int
        Networks averaged, from different seeds and held-back rows.
    """

    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 60
    batch: int | None = None
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    held_back: float = 0.2
    patience: int = 15
    n_nets: int = 1

    def __post_init__(self) -> None:
        if min(self.epochs, self.n_nets, self.patience, *self.hidden) < 1 or not 0 < self.held_back < 1:
            raise InvalidOption(
                "Epochs, networks, patience and widths must be 1 or more, and `held_back` between 0 and 1. "
                f"Found {self}. Change those options."
            )

    def batch_rows(self, n: int) -> int:
        """Rows of a step when there are n."""
        return self.batch or min(8_192, max(32, min(n // 8, 1_024), n // 100))


class LinearPlusNet(nn.Module):
    """A linear model plus a network that begins at zero."""

    def __init__(self, p: int, hidden: tuple[int, ...], slopes: Array, intercept: float) -> None:
        super().__init__()
        self.linear = nn.Linear(p, 1, dtype=torch.float32)
        with torch.no_grad():
            self.linear.weight.copy_(torch.as_tensor(slopes[None, :], dtype=torch.float32))
            self.linear.bias.fill_(intercept)
        widths = (p, *hidden)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b, dtype=torch.float32), nn.SiLU()]
        last = nn.Linear(widths[-1], 1, dtype=torch.float32)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(*layers, last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Prediction (m,) on the link's scale for x (m, p)."""
        return (self.linear(x) + self.net(x))[:, 0]


def linear_coefficients(x: Array, y: Array, weight: Array, scale: Scale) -> tuple[Array, float]:
    """Slopes and intercept of a ridge regression (penalty by leave-one-out), or a penalised logistic one."""
    if scale == "mean":
        ridge = RidgeCV(alphas=np.logspace(-2, 4, 13)).fit(x, y, sample_weight=weight)
        return np.asarray(ridge.coef_, dtype=np.float64), float(ridge.intercept_)
    return logistic_ridge(x, y, weight)


@dataclass(frozen=True, eq=False)
class Linear:
    """Ridge or logistic regression on standardised covariates, as a prediction function."""

    standard: Scaler
    slopes: Array
    intercept: float
    scale: Scale

    def __call__(self, new: Array) -> Array:
        index = self.standard(new) @ self.slopes + self.intercept
        return np.asarray(index if self.scale == "mean" else special.expit(index))


def linear(x: Array, y: Array, weight: Array, scale: Scale) -> Linear:
    """Ridge or logistic regression as a prediction function."""
    standard = Scaler.of(x, weight)
    return Linear(standard, *linear_coefficients(standard(x), y, weight, scale), scale)


def net(
    x: Array,
    y: Array,
    weight: Array,
    scale: Scale,
    *,
    seed: int,
    options: NetOptions,
    device: str = "cpu",
    begin: Linear | None = None,
) -> Predict:
    """Average of ``n_nets`` networks, each begun at the linear model (``begin``, if it is there) and stopped by its own held-back rows.

    Raises
    ------
    DidNotConverge
        If the loss is not finite from any of three seeds.
    """
    begin = begin or linear(x, y, weight, scale)
    standard = begin.standard
    centre, spread = (
        (float(np.average(y, weights=weight)), float(y.std()) or 1.0) if scale == "mean" else (0.0, 1.0)
    )
    warm = begin.slopes / spread, (begin.intercept - centre) / spread
    rows = standard(x), (y - centre) / spread, weight / weight.mean()
    train, what = partial(_train, *rows, scale, warm, options, device), f"a network on {len(x):,} rows"
    models = [from_some_seed(train, seed + 7919 * k, 104_729, what) for k in range(options.n_nets)]

    def predict(new: Array) -> Array:
        rows = torch.as_tensor(standard(new), dtype=torch.float32)
        total = np.zeros(len(new))
        with torch.no_grad():
            for model in models:
                for here in slices(len(new), 65_536):
                    out = model(rows[here].to(device))
                    out = out if scale == "mean" else torch.sigmoid(out)
                    total[here] += out.cpu().numpy()
        return np.asarray(centre + spread * total / len(models))

    return predict


def _train(
    x: Array,
    y: Array,
    weight: Array,
    scale: Scale,
    warm: tuple[Array, float],
    options: NetOptions,
    device: str,
    seed: int,
) -> LinearPlusNet | None:
    """Train one network; ``None`` where a loss was not finite."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):  # nothing global moves
        torch.manual_seed(seed)
        model = LinearPlusNet(x.shape[1], options.hidden, *warm).to(device)
    order = rng.permutation(len(x))
    held = order[: max(1, int(options.held_back * len(x)))]
    kept = order[len(held) :]
    xs, ys, ws = (torch.as_tensor(each, dtype=torch.float32, device=device) for each in (x, y, weight))
    batch = options.batch_rows(len(kept))
    steps = -(-len(kept) // batch)
    weights = list(model.parameters())
    optimiser = torch.optim.AdamW(weights, lr=options.learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps * options.epochs)
    loss = lambda rows: _loss(model, xs[rows], ys[rows], ws[rows], scale)

    def batches() -> Iterator[torch.Tensor]:
        shuffled = rng.permutation(kept)
        yield from (torch.as_tensor(shuffled[here], device=device) for here in slices(len(kept), batch))

    descent = Descent(weights, optimiser, schedule, loss(held).detach())
    if not descent.run(options.epochs, batches, loss, lambda: loss(held), options.patience):
        return None
    with torch.no_grad():
        for now, best in zip(weights, descent.best, strict=True):
            now.copy_(best)
    return model.eval()


def _loss(
    model: LinearPlusNet, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, scale: Scale
) -> torch.Tensor:
    out = model(x)
    if scale == "mean":
        return (weight * (out - y) ** 2).mean()
    return nn.functional.binary_cross_entropy_with_logits(out, y, weight=weight)
