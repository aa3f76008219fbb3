"""Errors whose variance differs between arms or moves with the covariates, told from an effect that varies from unit to unit.

Units differ in their own effects, and incomes vary more where they are high. A model with one error variance takes either for an effect
that bends everywhere: its lengths shrink, and its intervals grow by what single units differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import stats

from hte_bridge.engines.deep.forms import Form
from hte_bridge.engines.deep.heldout import log_linear
from hte_bridge.engines.deep.kernel_posterior import Model, component
from hte_bridge.engines.deep.mixture import find_mode
from hte_bridge.engines.deep.scales import Array

if TYPE_CHECKING:
    from hte_bridge.engines.deep.kernel_branch import Sample

SCREEN = 0.01  # level of the test that comes first, as the evidence takes a second
LEAST_GAIN = 3.0  # nats, beyond one for each slope, from which the errors are taken to vary
FARTHEST = 3.0  # sds of a covariate, beyond which the variance stays as it is there
LARGEST = 3.0  # log of a variance over the geometric mean
TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class ErrorVariance:
    """Variance of a unit's error as a multiple of the common one: exp of a line in the treatment and, with ``wide``, the covariates.

    Parameters
    ----------
    slopes : array (k,)
    wide, binary : bool
        Whether the covariates count, and whether the treatment is binary: a dose counts by its distance from E[T | x] and the square.
    middle : float
        Taken off the line, so that the multiples' mean is one on the rows that it was fitted to.
    """

    slopes: Array
    wide: bool
    binary: bool
    middle: float

    def applied(self, sample: Sample) -> Sample:
        """The sample with each unit's error variance multiplied."""
        line = _columns(sample, self.wide, self.binary) @ self.slopes - self.middle
        multiple = torch.as_tensor(np.exp(np.clip(line, -LARGEST, LARGEST)))
        return replace(sample, bare=replace(sample.bare, noise=sample.bare.noise * multiple))

    @property
    def label(self) -> str:
        """What moves the variance, for a reader."""
        return "the treatment and the covariates" if self.wide else "the treatment"


def error_variance(sample: Sample, begin: Mapping[Form, Array], binary: bool) -> ErrorVariance | None:
    """How the errors' variance moves; ``None`` where the evidence for that is not strong.

    The squares of leave-one-out residuals (Rasmussen and Williams, 2006, eq. 5.12) are regressed on treatment and covariates: first a test
    whose size holds for errors of any shape (Koenker, 1981, Journal of Econometrics 17(1)), then a log-linear variance (Harvey, 1976,
    Econometrica 44(3)). It is taken if the evidence of the model, at its most probable scales, grows by ``LEAST_GAIN`` nats and one for each
    slope (Akaike): with errors of one variance that is once in some hundred samples.

    Parameters
    ----------
    sample : Sample
    begin : mapping of Form to array
        Most probable scales of each form on few rows, the best form first.
    binary : bool
    """
    square = left_out_squares(sample, begin)
    before: float | None = None
    best: tuple[float, ErrorVariance | None] = (0.0, None)
    for wide in (False, True):
        x = _columns(sample, wide, binary)
        if 4 * x.shape[1] > len(x) or screened(x, square) > SCREEN:
            continue
        slopes = log_linear(np.column_stack([np.ones(len(x)), x]), square, np.ones(len(x)))[1:]
        line = x @ slopes
        found = ErrorVariance(slopes, wide, binary, float(np.log(np.exp(line).mean())))
        before = evidence(sample, begin) if before is None else before
        gain = evidence(found.applied(sample), begin) - before - LEAST_GAIN - len(slopes)
        best = max(best, (gain, found), key=lambda pair: pair[0])
    return best[1]


def left_out_squares(sample: Sample, begin: Mapping[Form, Array]) -> Array:
    """Squared residuals (n,) of each unit from the others, at the most probable scales, times the unit's weight."""
    form, theta = next(iter(begin.items()))
    rows = sample.rows(form)
    at = component(1.0, theta, Model(form, rows, form.scales(rows.x.shape[1], rows.cluster is not None)))
    alone = at.solved / torch.diagonal(torch.cholesky_inverse(at.factor))
    return np.asarray((alone**2 / rows.noise).cpu().numpy())


def screened(x: Array, square: Array) -> float:
    """Koenker's p-value of the regression of ``square`` (n,) on x (n, k) and a constant."""
    full = np.column_stack([np.ones(len(x)), x])
    left = square - full @ np.linalg.lstsq(full, square, rcond=None)[0]
    explained = 1.0 - float(left @ left) / float(np.sum((square - square.mean()) ** 2))
    return float(stats.chi2.sf(len(x) * explained, x.shape[1]))


def evidence(sample: Sample, begin: Mapping[Form, Array]) -> float:
    """Log posterior of the best form at its most probable scales, searched from those found and from the prior's centre."""
    form, theta = next(iter(begin.items()))
    rows = sample.rows(form)
    scales = form.scales(rows.x.shape[1], rows.cluster is not None)
    return max(find_mode(rows, scales, start, tolerance=TOLERANCE).value for start in (theta, None))


def _columns(sample: Sample, wide: bool, binary: bool) -> Array:
    """What the variance may move with (n, k)."""
    if binary:
        treatment = sample.treatment[:, None]
    else:
        off = sample.treatment - sample.propensity
        off = np.clip(off / np.sqrt(np.mean(off**2)), -FARTHEST, FARTHEST)
        treatment = np.column_stack([off, off**2])
    x = np.clip(sample.bare.x.cpu().numpy(), -FARTHEST, FARTHEST)
    return np.column_stack([treatment, x]) if wide else treatment
