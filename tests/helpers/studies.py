"""Studies that several tests fit."""

import numpy as np
import pandas as pd

import hte_bridge as hb
from hte_bridge.study import Study

N = 2_000


def study_of(seed=1, n=N, dose=False, **roles):
    """tau = 1 + x1, confounded by x1, of a binary treatment or a dose."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=["x1", "x2", "x3"])
    e = 1 / (1 + np.exp(-0.4 * frame["x1"]))
    frame["d"] = 0.5 * frame["x1"] + rng.normal(size=n) if dose else (rng.random(n) < e) * 1.0
    frame["y"] = frame["x1"] + frame["x2"] + (1 + frame["x1"]) * frame["d"] + rng.normal(size=n)
    frame["village"] = rng.integers(0, 40, n)
    frame["w"] = rng.uniform(0.5, 2, n)
    kind = "continuous" if dose else None
    return Study.from_frame(
        frame, outcome="y", treatment="d", covariates=["x1", "x2", "x3"], treatment_type=kind, **roles
    )


def cross_section(draw, **roles):
    """A simulated cross-section as a study."""
    return hb.Study.from_frame(draw.frame(), outcome="y", treatment="t", covariates=draw.columns, **roles)


def village_trial() -> hb.Study:
    """1,200 units in 60 villages, effect 1 + x."""
    rng = np.random.default_rng(3)
    n = 1200
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "z": rng.normal(size=n), "town": rng.choice(list("abc"), n)}
    )
    frame["village"] = rng.integers(0, 60, n)
    frame["d"] = (rng.random(n) < 1 / (1 + np.exp(-0.5 * frame["x"]))).astype(int)
    frame["before"] = frame["x"] + rng.normal(size=n)
    frame["y"] = frame["d"] * (1 + frame["x"]) + frame["x"] + rng.normal(size=n)
    return hb.Study.from_frame(
        frame, outcome="y", treatment="d", covariates=["x", "z", "town"], cluster="village"
    )
