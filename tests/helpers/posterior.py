"""A deep fit whose posterior alone is of interest: no fold is held out, which is most of the time of a fit, and the propensity is known."""

import numpy as np

import hte_bridge as hb
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.canonical import Seen
from hte_bridge.engines.deep.gp import posterior as gp_posterior
from hte_bridge.engines.deep.gp.many_rows import posterior_of_many
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.gp.search import model_search
from hte_bridge.engines.deep.result import Branch, FullFit
from hte_bridge.engines.deep.route_gp import fit_full
from hte_bridge.engines.deep.store.threads import threads


def posterior_alone(engine, study, propensity=0.5):
    """The fit of an exact Gaussian process to all rows, its held-out columns empty."""
    folds = hb.Folds.make(study, engine.n_folds, engine.seed)
    e = np.broadcast_to(propensity, study.n)
    seen = Seen.of(study, folds)
    with threads(1):
        full = fit_full(seen.study, np.ascontiguousarray(e[seen.order.rows]), engine)
    held = HeldOut(np.zeros(study.n), np.zeros(study.n), e)
    return hb.DeepFit(engine, study, folds, Branch("kernel", held, full))


def posterior_by_points(engine, study, propensity=0.5):
    """The same by points, as with more rows than the exact kernel takes."""
    folds = hb.Folds.make(study, engine.n_folds, engine.seed)
    e = np.broadcast_to(propensity, study.n)
    seen = Seen.of(study, folds)
    with threads(1):
        samples = Sample.either(seen.study, np.ascontiguousarray(e[seen.order.rows]))
        found = posterior_of_many(model_search(samples, engine, study.binary), engine)
    held = HeldOut(np.zeros(study.n), np.zeros(study.n), e)
    full = FullFit(found.posterior, found.info, found.converged)
    return hb.DeepFit(engine, study, folds, Branch("gram", held, full))


def covered(surface, truth):
    """Share of rows whose interval holds the truth."""
    return float(((surface["conf_low"] <= truth) & (truth <= surface["conf_high"])).mean())


def least_covered(fit, new, level=0.95):
    """Coverage across the rows of ``new`` below which one draw is too low: four of its standard deviations under the level.

    Points of one draw share their errors, so that hits are far from independent: how far, joint draws of the posterior say, each taken for the truth.
    """
    found, truths = fit.cate(new, level), fit.posterior(new, 400, seed=1)
    inside = (found["conf_low"].to_numpy() <= truths) & (truths <= found["conf_high"].to_numpy())
    return level - 4 * inside.mean(axis=1).std()


def errors_below(shares, level=0.95):
    """By how many Monte-Carlo errors the mean of coverages, one a draw, lies below the level."""
    below, error = level - np.mean(shares), np.std(shares, ddof=1) / len(shares) ** 0.5
    return below / error if error > 0 else np.inf * np.sign(below)  # all draws cover all points


def single_precision_agrees(found, new, monkeypatch):
    """Moments at new rows as many new rows have them, in single precision, are those in double but for little."""
    mean, sd = found.moments(new)
    monkeypatch.setattr(
        gp_posterior, "PREDICTION", gp_posterior.PredictionRule(single_precision_rows=len(new))
    )
    quick_mean, quick_sd = found.moments(new)
    assert not np.array_equal(quick_mean, mean)  # it was single precision
    np.testing.assert_allclose(quick_mean, mean, atol=1e-4)
    assert np.abs((quick_sd / sd) ** 2 - 1).mean() < 0.02
