"""Linear nuisances and the interacted linear effect of a cross-section, by weighted least squares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import GammaRegressor, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hte_bridge.engine import HeldOut
from hte_bridge.study import Folds, Study

Array = npt.NDArray[np.float64]
CLIP = 0.01  # held-out probabilities stay this far from 0 and 1, so that no score divides by zero


def nuisances(study: Study, folds: Folds) -> HeldOut:
    """Held-out tau, E[Y | x] and E[T | x] of outcome ~ treatment * covariates, fold by fold.

    A binary treatment's propensity is a logit, a dose's mean is linear with a log-linear variance.
    """
    cate, mean, propensity, variance = (np.empty(study.n) for _ in range(4))
    x = study.filled
    for train, test in folds:
        beta = _interacted(x[train], study.treatment[train], study.outcome[train], study.weight[train])
        k = x.shape[1]
        tau = beta[1] + x[test] @ beta[2 + k :]
        if study.propensity is not None:
            e = study.propensity[test]
        elif study.binary:
            e = _logit(x[train], study.treatment[train], study.weight[train], x[test])
        else:
            e, variance[test] = _dose(x[train], study.treatment[train], study.weight[train], x[test])
        cate[test], propensity[test] = tau, e
        mean[test] = beta[0] + x[test] @ beta[2 : 2 + k] + e * tau
    return HeldOut(cate, mean, propensity, None if study.binary else variance)


def interacted(study: Study) -> tuple[Array, Array, float]:
    """Coefficients of tau on (1, x) from all rows, their covariance (CRV1 or HC1), and df."""
    x, n = study.filled, study.n
    k = x.shape[1]
    design = _design(x, study.treatment)
    root = np.sqrt(study.weight)
    bread = np.linalg.pinv(design.T @ (study.weight[:, None] * design), hermitian=True)
    beta = np.linalg.lstsq(design * root[:, None], study.outcome * root, rcond=1e-10)[0]
    score = (study.weight * (study.outcome - design @ beta))[:, None] * design
    groups = study.n_clusters
    totals = np.column_stack(
        [np.bincount(study.cluster, weights=column, minlength=groups) for column in score.T]
    )
    factor = groups / (groups - 1) * (n - 1) / (n - design.shape[1])
    cov = factor * bread @ (totals.T @ totals) @ bread
    keep = [1, *range(2 + k, 2 + 2 * k)]
    df = groups - 1 if study.clustered else n - design.shape[1]
    return np.asarray(beta[keep], float), cov[np.ix_(keep, keep)], float(df)


def _design(x: Array, treatment: Array) -> Array:
    return np.column_stack([np.ones(len(x)), treatment, x, treatment[:, None] * x])


def _interacted(x: Array, treatment: Array, outcome: Array, weight: Array) -> Array:
    root = np.sqrt(weight)
    found = np.linalg.lstsq(_design(x, treatment) * root[:, None], outcome * root, rcond=1e-10)[0]
    return np.asarray(found, float)


def _logit(x: Array, treatment: Array, weight: Array, new: Array) -> Array:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e4, max_iter=1000))
    model.fit(x, treatment, logisticregression__sample_weight=weight)
    return np.clip(model.predict_proba(new)[:, 1], CLIP, 1 - CLIP)


def _dose(x: Array, treatment: Array, weight: Array, new: Array) -> tuple[Array, Array]:
    root = np.sqrt(weight)
    design = np.column_stack([np.ones(len(x)), x])
    gamma = np.linalg.lstsq(design * root[:, None], treatment * root, rcond=1e-10)[0]
    squared = np.maximum((treatment - design @ gamma) ** 2, 1e-12 * float(np.var(treatment)))
    spread = make_pipeline(StandardScaler(), GammaRegressor(alpha=1e-3, max_iter=1000))
    spread.fit(x, squared / squared.mean(), gammaregressor__sample_weight=weight)
    floor = 0.01  # of the mean variance: a unit whose dose hardly varies must not carry the average alone
    variance = np.maximum(spread.predict(new), floor) * squared.mean()
    return np.column_stack([np.ones(len(new)), new]) @ gamma, variance
