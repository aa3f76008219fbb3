"""Errors whose variance differs between arms or moves with the covariates, told from an effect that varies from unit to unit.

Units differ in their own effects, and incomes vary more where they are high. A model with one error variance takes either for an effect
that bends everywhere: its lengths shrink, and its intervals grow by what single units differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import special, stats

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.laplace import Mode
from hte_bridge.engines.deep.gp.modes import MODES, Candidate, search
from hte_bridge.engines.deep.gp.outcome_models import OutcomeModel
from hte_bridge.engines.deep.gp.outliers import leave_one_out
from hte_bridge.engines.deep.gp.posterior import Model, component
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.gp.standardise import RANGE, VarianceFunction
from hte_bridge.engines.deep.nuisance.gamma_glm import log_linear


@dataclass(frozen=True)
class ErrorVarianceRule:
    """When errors are taken to vary, and how far."""

    # level of the test that comes first, as the evidence takes a second
    screen: float = 0.01
    # nats, beyond one for each slope, from which the errors are taken to vary
    least_gain: float = 3.0
    # nats that the evidence may lose instead, where the errors take over what was an effect on single units:
    most_loss: float = 1.0
    # where their mean variance is so many times as large
    taken_over: float = 1.5
    # log of a variance over the mean one, either way
    largest: float = 6.0
    # on which the evidence is asked
    most_rows: int = 500


RULE = ErrorVarianceRule()


@dataclass(frozen=True, eq=False)
class ErrorVariance:
    """Variance of a unit's error as a multiple of the common one: exp of a line in the treatment and, with ``wide``, the covariates.

    Parameters
    ----------
    slopes : array (k,)
    wide : bool
        Whether the covariates count.
    step : float
        Of a dose: the root mean square of T - E[T | x]. A dose counts by that distance and its square. Zero for a binary treatment.
    middle : float
        Taken off the line, so that the multiples' mean is one on the rows that it was fitted to.
    constant : float, optional
        Of an outcome with two values: that of the log odds, whose slopes the others then are. Its variance is p (1 - p).
    """

    slopes: Array
    wide: bool
    step: float
    middle: float
    constant: float | None = None

    @classmethod
    def fitted(cls, x: Array, square: Array, wide: bool, step: float) -> ErrorVariance:
        """From squared residuals (n,) and what they may move with (n, k)."""
        slopes = log_linear(np.column_stack([np.ones(len(x)), x]), square, np.ones(len(x)))[1:]
        return cls(slopes, wide, step, float(np.log(np.exp(x @ slopes).mean())))

    @classmethod
    def of_events(
        cls, x: Array, event: npt.NDArray[np.bool_], weight: Array, wide: bool, step: float
    ) -> ErrorVariance:
        """From events (n,) and what their log odds may move with (n, k), by a logit with a light ridge."""
        from sklearn.linear_model import LogisticRegression

        logit = LogisticRegression(tol=1e-8, max_iter=1_000).fit(x, event, sample_weight=weight)
        slopes, constant = logit.coef_[0], float(logit.intercept_[0])
        return cls(slopes, wide, step, float(np.log(coin(x @ slopes + constant).mean())), constant)

    def multiples(self, x: Array, treatment: Array, propensity: Array) -> Array:
        """Multiples (m,) at covariates (m, q) in the units of the sample, treatments (m,) and their means (m,)."""
        line = columns(x, treatment, propensity, self.wide, self.step) @ self.slopes
        if self.constant is not None:
            line = np.log(coin(line + self.constant))
        return np.asarray(np.exp(np.clip(line - self.middle, -RULE.largest, RULE.largest)))

    def applied(self, sample: Sample) -> Sample:
        """The sample with each unit's error variance multiplied, and with the line along which it moves with the level of the outcome."""
        own = self.multiples(sample.bare.x.cpu().numpy(), sample.treatment, sample.propensity)
        bare = replace(sample.bare, noise=sample.bare.noise * torch.as_tensor(own))
        level = self.level(sample) if self.wide and sample.leveled else None
        return replace(sample, bare=bare, units=replace(sample.units, level=level))

    def again(self, sample: Sample, weighed: Sample, begin: Mapping[OutcomeModel, Mode]) -> ErrorVariance:
        """Fitted again, to what is left by a model that knows of these variances.

        The first had surfaces that follow units as closely where errors are large as where they are small.

        Parameters
        ----------
        sample, weighed : Sample
            Without and with the variances applied.
        begin : mapping of OutcomeModel to Mode
            Most probable scales with them, the best form first.
        """
        form, mode = next(iter(begin.items()))
        alone, _ = leave_one_out(component(1.0, mode.theta, weighed.model(form)))
        square = np.asarray(alone**2 / sample.bare.noise.cpu().numpy())
        x = columns(sample.bare.x.cpu().numpy(), sample.treatment, sample.propensity, self.wide, self.step)
        return ErrorVariance.fitted(x, square, self.wide, self.step)

    def level(self, sample: Sample) -> VarianceFunction:
        """The errors' sd as a function of the covariates alone, one in the mean of squares over the sample."""
        x = sample.bare.x.cpu()
        slopes = self.slopes[-x.shape[1] :]
        treated = columns(x.numpy(), sample.treatment, sample.propensity, False, self.step).mean(0)
        constant = 0.0 if self.constant is None else self.constant
        constant += float(treated @ self.slopes[: len(treated)])
        plain = VarianceFunction(np.append(constant, slopes), self.constant is not None, 1.0)
        return replace(plain, scale=float(plain.sd(x).square().mean()) ** -0.5)

    @property
    def text(self) -> str:
        """What moves the variance, for a reader."""
        return f"not constant: it moves with the treatment{' and the covariates' * self.wide}"


def error_variance(
    sample: Sample, begin: Mapping[OutcomeModel, Mode], choices: Sequence[OutcomeModel], binary: bool
) -> ErrorVariance | None:
    """How the errors' variance moves; ``None`` where the evidence for that is not strong.

    The squares of leave-one-out residuals (Rasmussen and Williams, 2006, eq. 5.12) are regressed on treatment and covariates: first a test
    whose size holds for errors of any shape (Koenker, 1981, Journal of Econometrics 17(1)), then a log-linear variance (Harvey, 1976,
    Econometrica 44(3)). It is taken if the evidence of the model, at its most probable scales, grows by ``RULE.least_gain`` nats and one for each
    slope (Akaike): with errors of one variance that is once in some hundred samples.

    An effect that jumps from unit to unit and errors that vary fit equally well where no two units are alike, and only what is
    thought of them beforehand tells them apart: that units differ by chance. So it is also taken where the evidence is as good and the errors
    then hold what the effect held.

    Parameters
    ----------
    sample : Sample
    begin : mapping of OutcomeModel to Mode
        Most probable scales of each form that counts on few rows, the best form first.
    choices : sequence of OutcomeModel
        All forms.
    binary : bool
    """
    if len(torch.unique(sample.bare.y)) < 2:
        return None  # none of few events is among these units
    form, mode = next(iter(begin.items()))
    square = left_out_squares(sample.model(form), mode.theta)
    few = sample.thinned(RULE.most_rows, seed=0)
    step = 0.0 if binary else float(np.sqrt(np.mean((sample.treatment - sample.propensity) ** 2)))
    offered = [each for wide in (False, True) if (each := heard(sample, square, wide, step)) is not None]
    if not offered:
        return None
    before = search(few.rows, list(begin), MODES.tolerance, begin)[0]
    choices = [each.of_kinds(form.mean_kind, form.effect_kind) for each in choices]
    best: tuple[float, ErrorVariance | None] = (-np.inf, None)
    for found in offered:
        gain, least = evidence_for(found, few, choices, before)
        if gain > max(best[0], least):
            best = (gain, found)
    return best[1]


def heard(sample: Sample, square: Array, wide: bool, step: float) -> ErrorVariance | None:
    """The variance that squared residuals (n,) ask for, where there are rows enough for its slopes and Koenker's test hears them."""
    x = columns(sample.bare.x.cpu().numpy(), sample.treatment, sample.propensity, wide, step)
    if 4 * x.shape[1] > len(x) or screened(x, square) > RULE.screen:
        return None
    if not sample.events:
        return ErrorVariance.fitted(x, square, wide, step)
    event, weight = (sample.bare.y > 0).numpy(), 1.0 / sample.bare.noise.numpy()
    return ErrorVariance.of_events(x, event, weight, wide, step)


def evidence_for(
    found: ErrorVariance, few: Sample, choices: Sequence[OutcomeModel], before: Candidate
) -> tuple[float, float]:
    """Nats that the evidence gains beyond one for each slope, and how many it must: it may lose some where errors take over what was an effect."""
    after = search(found.applied(few).rows, choices, MODES.tolerance)[0]
    taken_over = mean_variance(after) > RULE.taken_over * mean_variance(before)
    return after.value - before.value - len(found.slopes), -RULE.most_loss if taken_over else RULE.least_gain


def left_out_squares(model: Model, theta: Array) -> Array:
    """Squared residuals (n,) of each unit from the others, as a multiple of the error variance that the model thinks it has."""
    alone, _ = leave_one_out(component(1.0, theta, model))
    return np.asarray(alone**2 / model.rows.noise.cpu().numpy())


def coin(log_odds: Array) -> Array:
    """Variance of an event.

    Examples
    --------
    >>> coin(np.array([0.0, np.log(9)])).round(2).tolist()
    [0.25, 0.09]
    """
    return np.asarray(special.expit(log_odds) * special.expit(-log_odds))


def screened(x: Array, square: Array) -> float:
    """Koenker's p-value of the regression of ``square`` (n,) on x (n, k) and a constant."""
    full = np.column_stack([np.ones(len(x)), x])
    left = square - full @ np.linalg.lstsq(full, square, rcond=None)[0]
    explained = 1.0 - float(left @ left) / max(float(np.sum((square - square.mean()) ** 2)), 1e-300)
    return float(stats.chi2.sf(len(x) * explained, x.shape[1]))


def mean_variance(candidate: Candidate) -> float:
    """Mean variance of the errors at the most probable scales, in units of Var(Y)."""
    return float(np.exp(2 * candidate.mode.theta[0])) * float(candidate.model.rows.noise.mean())


def columns(x: Array, treatment: Array, propensity: Array, wide: bool, step: float) -> Array:
    """What the variance may move with (n, k): the treatment and, with ``wide``, the covariates x (n, q)."""
    own = treatment[:, None]
    if step:
        off = np.clip((treatment - propensity) / step, -RANGE.farthest, RANGE.farthest)
        own = np.column_stack([off, off**2])
    return np.column_stack([own, np.clip(x, -RANGE.farthest, RANGE.farthest)]) if wide else own
