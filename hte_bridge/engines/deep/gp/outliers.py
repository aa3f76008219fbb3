"""Outcomes far from all others, told by leave-one-out residuals, and kept from deciding how the effect bends.

One such outcome is worth hundreds of nats to a surface that has a spike there. So the scales are sought with outlying units weighed down. The
posterior is then formed with those scales and every unit at its full weight: it is linear in the outcomes, so that effects stay differences of
means, and its noise is that of all errors, the outlying ones included. (Weighed down there too, skewed errors, such as those of incomes,
would pass for their middle.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.laplace import Mode
from hte_bridge.engines.deep.gp.outcome_models import OutcomeModel
from hte_bridge.engines.deep.gp.posterior import Component, Model, component
from hte_bridge.engines.deep.gp.sample import Sample


@dataclass(frozen=True)
class OutlierRule:
    """Which outcomes lie far out, and what they are weighed down to."""

    # share of the residuals whose sd says what is usual
    central_share: float = 0.95
    # of that share of a standard normal law
    central_sd: float = 0.8711
    # usual sds, beyond which a unit counts as if it lay there
    far: float = 4.0
    # and where one lies beyond this; of normal errors one in 500 million does
    outlying: float = 6.0
    # the first fit may have followed single units, the second has been kept from it
    rounds: int = 2


OUTLIERS = OutlierRule()


def usual_sd(residual: Array) -> float:
    """Standard deviation of the central residuals, in the units of a normal law.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> round(usual_sd(rng.normal(size=100_000)), 2)
    1.0
    """
    low, high = np.quantile(residual, [(1 - OUTLIERS.central_share) / 2, (1 + OUTLIERS.central_share) / 2])
    return float(residual[(residual >= low) & (residual <= high)].std()) / OUTLIERS.central_sd


def multiples(residual: Array) -> Array | None:
    """Multiples (n,) of the errors' variance that bring residuals beyond ``OUTLIERS.far`` there; ``None`` where none lies beyond ``OUTLIERS.outlying``.

    Examples
    --------
    >>> found = multiples(np.append(np.random.default_rng(1).normal(size=999), 40.0))
    >>> bool(found[-1] > 50), int((found > 1).sum())
    (True, 1)
    """
    distance = np.abs(residual) / max(usual_sd(residual), 1e-300)
    if not distance.max() > OUTLIERS.outlying:
        return None
    return np.asarray(np.maximum(1.0, (distance / OUTLIERS.far) ** 2))


def far_out(residual: Array, outcome: Array) -> int:
    """How many residuals lie beyond ``OUTLIERS.far`` usual sds where one lies beyond ``OUTLIERS.outlying``; none of an outcome with two values, which has no tails.

    Examples
    --------
    >>> left = np.random.default_rng(1).normal(size=999)
    >>> far_out(left, left), far_out(np.append(left, 40.0), np.append(left, 40.0))
    (0, 1)
    """
    found = multiples(residual) if len(np.unique(outcome)) > 2 else None
    return 0 if found is None else int(np.count_nonzero(found > 1.0))


def leave_one_out(at: Component) -> tuple[Array, Array]:
    """Residual (n,) of each unit from the others, and an estimate without bias of each error's variance, in squared units of sd(Y).

    With a = inv(S) y and S the outcomes' covariance, a_i / inv(S)_ii is the first (Rasmussen and Williams, 2006, eq. 5.12); as E a_i^2 =
    inv(S)_ii, the error's variance in the model times a_i^2 / inv(S)_ii is the second, right in the mean where the model's is wrong.
    """
    inside = torch.diagonal(torch.cholesky_inverse(at.factor))
    variance = at.model.rows.noise * torch.exp(2.0 * at.theta[0]) * at.solved**2 / inside
    return (at.solved / inside).cpu().numpy(), variance.cpu().numpy()


def weighed_down(sample: Sample, model: Model, theta: Array) -> Sample | None:
    """The sample, its outlying units weighed down, as they lie out from a model of it at some scales; ``None`` where none does.

    Two values of an outcome have no tails: of a rare one all units with it would lie far out. Where its variance is known to move with the
    covariates, those lie far out that have it where it was least to be expected.
    """
    if sample.events and sample.units.level is None:
        return None
    root = sample.bare.noise.sqrt().cpu().numpy()
    found = multiples(leave_one_out(component(1.0, theta, model))[0] / root)
    if found is None:
        return None
    return replace(sample, bare=replace(sample.bare, noise=sample.bare.noise * torch.as_tensor(found)))


def outlying(
    sample: Sample, begin: dict[OutcomeModel, Mode], search: Callable[[Sample], dict[OutcomeModel, Mode]]
) -> tuple[Sample, dict[OutcomeModel, Mode]]:
    """The sample on which scales are to be sought, its outlying units weighed down, and where to begin; as they were where there are none.

    Parameters
    ----------
    sample : Sample
    begin : mapping of OutcomeModel to Mode
        Most probable scales of each form, the best form first.
    search : callable
        From a sample to the same.
    """
    weighed = sample
    for _ in range(OUTLIERS.rounds):
        form, mode = next(iter(begin.items()))
        fresh = weighed_down(sample, weighed.model(form), mode.theta)
        if fresh is None:
            break
        weighed = fresh
        begin = search(weighed)
    return weighed, begin


def noise_shift(model: Model, theta: Array, plain: Sample) -> Array:
    """What to add to log scales (size,), the noise's alone, where the units of ``model``, weighed down, become those of ``plain``."""
    own = leave_one_out(component(1.0, theta, model))[1] / plain.bare.noise.cpu().numpy()
    shift = np.zeros(len(theta))
    shift[0] = 0.5 * float(np.log(own.mean())) - float(theta[0])
    return shift
