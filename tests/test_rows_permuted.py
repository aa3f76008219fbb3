"""The same people in another order: every verb about heterogeneity and every row about two engines says the same."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from hte_bridge import Feols, Meta, Study, compare

VERBS = {
    "table": lambda t: t,
    "gates": lambda t: t.gates(),
    "monotone": lambda t: t.gates(3, monotone=True),
    "clan": lambda t: t.clan(),
    "rate": lambda t: t.rate(),
    "toc": lambda t: t.toc(),
    "policy": lambda t: t.policy(cost=0.5),
    "budget": lambda t: t.policy(cost=0.5, budget=[0.1, 0.3]),
    "tree": lambda t: t.policy(tree="exact"),
    "calibration": lambda t: t.calibration(),
    "sequential calibration": lambda t: t.calibration(ranking="sequential"),
    "regression": lambda t: t.calibration("regression"),
    "gate": lambda t: t.gate("b"),
    "differences": lambda t: t.differences(),
    "agreement": lambda t: t.agreement(),
    "race": lambda t: t.race(),
    "wild": lambda t: t.wild_bootstrap(),
    "sensitivity": lambda t: t.sensitivity(),
    "nuisance": lambda t: t.nuisance(),
    "trimmed": lambda t: t.trimmed(),
}


def table_of(frame):
    study = Study.from_frame(
        frame, outcome="y", treatment="d", covariates=["b", "k"], cluster="g", weight="w"
    )
    return compare(study, [Feols(), Meta("T", LinearRegression())], seed=1)


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(2)
    n = 320
    frame = pd.DataFrame(
        {"b": rng.integers(0, 2, n), "k": rng.integers(0, 3, n), "g": rng.integers(0, 40, n)}
    )
    frame["d"], frame["w"] = rng.integers(0, 2, n), rng.exponential(size=n)
    frame["y"] = frame.d * (1 + frame.b) + frame.k + rng.normal(size=n)
    return table_of(frame), table_of(frame.sort_values("y"))


def figures(table):
    columns = ["estimate", "std_error", "p_value", "conf_low", "conf_high", "df", "n_obs"]
    return table.to_frame().set_index(["engine", "estimand", "term"])[columns].astype(float).sort_index()


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_sorted_by_the_outcome_says_the_same(tables, verb):
    one, other = (figures(VERBS[verb](table)) for table in tables)
    assert one.index.equals(other.index)
    np.testing.assert_allclose(other, one, rtol=1e-7, atol=1e-9)
