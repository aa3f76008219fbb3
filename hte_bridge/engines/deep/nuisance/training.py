"""The one way in which networks are trained: steps of AdamW over batches, and the weights at the epoch of least held-back loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from hte_bridge.errors import DidNotConverge

Batch = TypeVar("Batch")
Made = TypeVar("Made")


@dataclass(frozen=True)
class TrainingRule:
    """What networks share whatever the options."""

    # seeds tried where a loss is not finite
    restarts: int = 3


TRAINING = TrainingRule()


class Descent:
    """Weights on their way down, of one network or of several side by side.

    Parameters
    ----------
    weights : sequence of tensor
        Of several networks each has them along its first axis.
    optimiser, schedule : torch.optim.Optimizer, LRScheduler
    least : tensor () or (k,)
        Held-back loss, of each network, that the first epoch must come below.
    longest : float, optional
        Norm to which a step's gradient is cut.
    """

    def __init__(
        self,
        weights: Sequence[torch.Tensor],
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        least: torch.Tensor,
        longest: float | None = None,
    ) -> None:
        self.weights, self.optimiser, self.schedule = weights, optimiser, schedule
        self.least, self.longest, self.since = least, longest, 0
        self.best = [each.detach().clone() for each in weights]

    def run(
        self,
        epochs: int,
        batches: Callable[[], Iterable[Batch]],
        loss: Callable[[Batch], torch.Tensor],
        held_back: Callable[[], torch.Tensor],
        patience: int | None = None,
    ) -> bool:
        """Epochs until the last, or ``patience`` after the best; false where a held-back loss was not finite."""
        for _ in range(epochs):
            for batch in batches():
                self.step(loss(batch))
            with torch.no_grad():
                found = held_back()
            if not bool(torch.isfinite(found).all()):
                return False
            self.record(found)
            if self.since == patience:
                break
        return True

    def step(self, loss: torch.Tensor) -> None:
        """Down the gradient of one batch's loss."""
        self.optimiser.zero_grad()
        loss.backward()
        if self.longest is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self.longest)
        self.optimiser.step()
        self.schedule.step()

    def record(self, loss: torch.Tensor) -> None:
        """Keep the weights of each network whose held-back loss is the least so far."""
        better = loss < self.least
        self.since = 0 if bool(better.any()) else self.since + 1
        self.least = torch.where(better, loss, self.least)
        for best, now in zip(self.best, self.weights, strict=True):
            best[better] = now.detach()[better]


def from_some_seed(train: Callable[[int], Made | None], seed: int, step: int, what: str) -> Made:
    """What training gives from the first of some seeds, ``step`` apart, from which every loss is finite.

    Raises
    ------
    DidNotConverge
        If there is none; ``what`` says whose losses, and on how many rows.
    """
    for restart in range(TRAINING.restarts):
        made = train(seed + step * restart)
        if made is not None:
            return made
    raise DidNotConverge(
        f"The loss of {what} must stay finite. It was not from {TRAINING.restarts} seeds. "
        "Rescale covariates or an outcome with extreme values."
    )
