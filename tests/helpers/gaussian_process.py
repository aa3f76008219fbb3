"""Small Gaussian process models of every kind, on rows drawn by a seed."""

import numpy as np
import torch

from hte_bridge.engines.deep.gp.covariance import Data
from hte_bridge.engines.deep.gp.outcome_models import ALONE, outcome_models
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, Model, component
from hte_bridge.engines.deep.gp.standardise import Standardisation

N, P = 60, 3
CENTRED, BASELINE, ARMS = outcome_models(10.0, binary=True)
FORMS = [
    ALONE,
    CENTRED,
    BASELINE,
    ARMS,
    CENTRED.with_effect("index"),
    ARMS.with_effect("index"),
    BASELINE.with_effect("additive"),
]
FORMS += [
    ALONE.of_kinds("edged", "edged"),
    CENTRED.of_kinds("edged", "edged"),
    ARMS.of_kinds("edged", "edged"),
    CENTRED.of_kinds("edged", "edged").with_effect("smooth"),
]


def tensor(values):
    return torch.as_tensor(np.asarray(values, dtype=np.float64))


def example(form=CENTRED, seed=0, clustered=False, n=N):
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(n, P)), rng.integers(0, 2, size=n) * 1.0
    y = np.sin(x[:, 0]) + (t - 0.5) * (1 + x[:, 1]) + 0.3 * rng.normal(size=n)
    cluster = torch.as_tensor(np.arange(n) % 10) if clustered else None
    rows = Data(
        tensor(x), tensor(y), tensor(rng.uniform(0.5, 2.0, size=n)), form.loads(t, np.full(n, 0.5)), cluster
    )
    scales = form.scales(P, clustered)
    theta = scales.start() + 0.2 * rng.normal(size=scales.size)
    return Model(form, rows, scales), theta


def posterior(model, thetas, weights=(1.0,)):
    units = Standardisation(np.zeros(P), np.ones(P), 0.0, 1.0)
    parts = tuple(component(w, theta, model) for w, theta in zip(weights, thetas, strict=True))
    return KernelPosterior(units, parts)


def rows_of(x, t, y):
    """The rows under a form, of an experiment with halves treated."""

    def under(form):
        loads = form.loads(t, np.full(len(y), 0.5))
        return Data(tensor(x), tensor((y - y.mean()) / y.std()), torch.ones(len(y)).double(), loads)

    return under
