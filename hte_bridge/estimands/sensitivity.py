"""How strong an unmeasured confounder must be, for any engine's scores; and placebos, where nothing must be found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from hte_bridge.arrays import Array
from hte_bridge.engine import Fit
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified
from hte_bridge.estimands.averages import ate
from hte_bridge.estimands.benchmarks import BESIDE
from hte_bridge.estimands.moments import row_from_influence
from hte_bridge.estimands.sequential import engine_of
from hte_bridge.keys import lots
from hte_bridge.scores import Scores, variance_of_treatment
from hte_bridge.scores import scores as scores_of
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate


def bias_bounds(
    scores: Scores, *, with_outcome: float, with_treatment: float, level: float = 0.95
) -> tuple[Estimate, Estimate]:
    """Lowest and highest average effect beside a confounder of given strength, each with its error.

    |bias| <= S sqrt(C_Y C_D / (1 - C_D)), S^2 = E[(Y - g)^2] E[alpha^2], alpha the Riesz representer. Chernozhukov,
    Cinelli, Newey, Sharma and Syrgkanis (2022), "Long story short", NBER 30302, theorem 2; errors by theorem 4.

    Parameters
    ----------
    scores : Scores
        With outcome, treatment and nuisances.
    with_outcome : float
        Share in [0, 1) of the outcome's residual variance that the confounder explains.
    with_treatment : float
        Share in [0, 1) of the representer's variance that it adds.

    Raises
    ------
    InvalidOption
        For strengths outside [0, 1).
    """
    if not (0 <= with_outcome < 1 and 0 <= with_treatment < 1):
        raise InvalidOption(
            f"Strengths of a confounder must lie in [0, 1). {with_outcome:g} and {with_treatment:g} were given."
        )
    note = f"confounder of strength {with_outcome:g} with the outcome, {with_treatment:g} with the treatment"
    strength = (with_outcome * with_treatment / (1 - with_treatment)) ** 0.5
    low, high = _bounds(scores, _parts(scores), strength, level)
    return low.with_(note=note), high.with_(note=note)


def _bounds(
    scores: Scores, parts: tuple[float, Array, float, Array], strength: float, level: float
) -> tuple[Estimate, Estimate]:
    """Lowest and highest effect where the bias is at most ``strength`` times S."""
    estimate, psi, size, size_psi = parts
    rows = []
    for sign, term in ((-1, "lowest"), (1, "highest")):
        influence = psi + sign * strength * size_psi
        value = estimate + sign * strength * size
        rows.append(
            row_from_influence("sensitivity", value, influence, scores, level=level, term=f"{term} effect")
        )
    return rows[0], rows[1]


def score_sensitivity(scores: Scores, *, level: float = 0.95) -> list[Estimate]:
    """Robustness values of the average effect: the strength with outcome and treatment that takes it to zero.

    Chernozhukov et al. (2022), NBER 30302. Strength is the same with both.

    Returns
    -------
    list of Estimate
        ``robustness value: estimate to 0``, ``robustness value: interval to 0``, then the lowest and highest effect
        beside a confounder that explains 3 % of both.
    """
    estimate, _, size, _ = _parts(scores)
    f2 = (estimate / size) ** 2
    value = 0.5 * ((f2**2 + 4 * f2) ** 0.5 - f2)
    common = {"level": level, "n_obs": scores.n, "vcov": scores.vcov}
    rows = [
        Estimate("sensitivity", value, term="robustness value: estimate to 0", **common),  # type: ignore[arg-type]
        Estimate(
            "sensitivity",
            _interval_to_zero(scores, level),
            term="robustness value: interval to 0",
            **common,  # type: ignore[arg-type]
        ),
    ]
    return [*rows, *bias_bounds(scores, with_outcome=0.03, with_treatment=0.03, level=level)]


def _interval_to_zero(scores: Scores, level: float) -> float:
    """Least strength at which the one-sided interval of the bound nearer to zero reaches it."""

    parts = _parts(scores)

    def end(value: float) -> float:
        low, high = _bounds(scores, parts, value / (1 - value) ** 0.5, level)
        critical = float(stats.t.ppf((1 + level) / 2, low.df))
        if parts[0] >= 0:
            return low.estimate - critical * low.std_error
        return -(high.estimate + critical * high.std_error)

    return float(brentq(end, 0.0, 0.9999, xtol=1e-6)) if end(0.0) > 0 > end(0.9999) else 0.0


def _parts(scores: Scores) -> tuple[float, Array, float, Array]:
    """Effect and its influence (n,), and S with its influence (n,)."""
    y_residual, w_residual = scores.residuals
    held = scores.heldout
    assert held is not None
    variance = variance_of_treatment(held)
    share = scores.weight / scores.weight.sum()
    estimate = float(share @ scores.gamma)
    squared = (y_residual - w_residual * held.cate) ** 2
    # E[alpha^2] as 2 E[m(alpha)] - E[alpha^2]: errors of the propensity enter as squares only
    representer = 2 / variance - (w_residual / variance) ** 2
    noise, lever = float(share @ squared), float(share @ representer)
    if not lever > 0:
        raise NotIdentified(
            "The weights of the scores must have a positive variance. Their estimate is negative: the held-out "
            "propensity is far off. See `nuisance`."
        )
    size = (noise * lever) ** 0.5
    size_psi = share * ((squared - noise) * lever + (representer - lever) * noise) / (2 * size)
    return estimate, share * (scores.gamma - estimate), size, size_psi


def benchmark(fit: Fit, folds: Folds, *, level: float = 0.95) -> list[Estimate]:
    """Bounds of the average effect beside a confounder as strong as each covariate, by refitting without it.

    Strengths: the loss of held-out R2 of the outcome relative to what is left, and the loss of the representer's
    variance. Chernozhukov et al. (2022), NBER 30302, section 5.

    Raises
    ------
    NotIdentified
        If the engine cannot be refitted, or there is one covariate only.
    """
    engine, study = engine_of(fit), fit.study
    names = [*study.encoder.sources, *study.control_encoder.sources]
    if len(study.encoder.sources) < 2:  # the effect needs one to move along
        names = list(study.control_encoder.sources)
    if not names or fit.heldout is None:
        raise NotIdentified("A benchmark needs two covariates or more, of which one at a time is left out.")
    whole = scores_of(study, fit.heldout)
    noise, lever = _strengths(whole)
    rows: list[Estimate] = []
    for name in names:
        short = engine.fit(study.without(name), folds)
        if short.heldout is None:
            continue
        less_noise, less_lever = _strengths(scores_of(short.study, short.heldout))
        with_y = float(np.clip((less_noise - noise) / less_noise, 0.0, 0.99))
        with_d = float(np.clip((lever - less_lever) / lever, 0.0, 0.99))
        bounds = bias_bounds(whole, with_outcome=with_y, with_treatment=with_d, level=level)
        why = unmoved(name, with_y, with_d)
        terms = [f"{row.term} {BESIDE} like {name}" for row in bounds]
        said = {"note": why} if why else {}
        rows += [row.with_(term=term, **said) for row, term in zip(bounds, terms, strict=True)]
    return rows


def unmoved(name: str, with_outcome: float, with_treatment: float) -> str:
    """Why a bound beside a confounder like a covariate is the estimate itself, or an empty string.

    Examples
    --------
    >>> from hte_bridge.estimands.sensitivity import unmoved
    >>> unmoved("age", 0.0, 0.1)
    'the bound is the estimate: without `age` the outcome is predicted as well held out, so that a confounder like it moves nothing'
    """
    lost = [
        word for word, share in (("outcome", with_outcome), ("treatment", with_treatment)) if not share > 0
    ]
    if not lost:
        return ""
    said = f"{' and '.join(lost)} {'are' if len(lost) > 1 else 'is'}"
    return (
        f"the bound is the estimate: without `{name}` the {said} predicted as well held out, so that a confounder like it "
        "moves nothing"
    )


def _strengths(scores: Scores) -> tuple[float, float]:
    y_residual, w_residual = scores.residuals
    held = scores.heldout
    assert held is not None
    variance = variance_of_treatment(held)
    share = scores.weight / scores.weight.sum()
    noise = float(share @ (y_residual - w_residual * held.cate) ** 2)
    return noise, float(share @ (2 / variance - (w_residual / variance) ** 2))


def placebo_treatment(fit: Fit, folds: Folds, *, seed: int = 0, level: float = 0.95) -> list[Estimate]:
    """Average effect of a treatment drawn anew from its own law given x: nothing must be found.

    A binary treatment is drawn with its held-out propensity, by cluster where clusters were treated whole; a dose
    keeps its mean and takes the residual of another unit (cluster).

    Parameters
    ----------
    seed : int
        Of the draw.
    """
    held = fit.heldout
    if held is None:
        raise NotIdentified(fit.reasons.get("*", "This engine has no held-out predictions for this study."))
    study, rng = fit.study, np.random.default_rng(seed)
    whole = study.clustered and _constant_within(study.treatment, study.cluster)
    order = np.argsort(study.keys, kind="stable")  # lots belong to rows, wherever they stand
    group = lots(study.cluster, study.keys) if whole else np.argsort(order)
    n_groups = int(group.max()) + 1
    if study.binary and not study.fixed_effects.shape[1]:
        chance = np.bincount(group, held.propensity) / np.bincount(group)
        drawn = (rng.random(n_groups) < chance)[group].astype(np.float64)
    else:
        drawn = held.propensity.copy()
        drawn[order] += rng.permutation((study.treatment - held.propensity)[order])
    row = _refit(fit, study.with_(treatment=drawn), folds, level)
    return [row.with_(term="placebo treatment", note="a treatment drawn by lot: no effect must be found")]


def placebo_outcome(
    fit: Fit, folds: Folds, outcome: Array, name: str, *, level: float = 0.95
) -> list[Estimate]:
    """Average effect on an outcome that the treatment cannot have changed, such as one from before.

    Parameters
    ----------
    outcome : array (n,)
    name : str

    Raises
    ------
    InvalidData
        If there is not one finite value for each unit.
    """
    values = np.asarray(outcome, dtype=np.float64)
    if values.shape != (fit.study.n,) or not np.isfinite(values).all():
        raise InvalidData(
            f"A placebo outcome must have one number for each of the {fit.study.n:,} units of the study. `{name}` has "
            f"{values.size:,} values, {int((~np.isfinite(values)).sum()):,} of them missing. Choose another column."
        )
    row = _refit(fit, fit.study.with_(outcome=values), folds, level)
    return [
        row.with_(
            term=f"placebo outcome {name}", note="the treatment cannot have changed it: no effect expected"
        )
    ]


def _refit(fit: Fit, study: Study, folds: Folds, level: float) -> Estimate:
    refit = engine_of(fit).fit(study, folds)
    if refit.heldout is None:
        raise NotIdentified(refit.reasons.get("*", "The engine has no held-out predictions for the placebo."))
    return ate(scores_of(study, refit.heldout), level=level, estimand="placebo")


def _constant_within(values: Array, cluster: npt.NDArray[np.int64]) -> bool:
    first = np.zeros(int(cluster.max()) + 1)
    first[cluster] = values
    return bool((first[cluster] == values).all())
