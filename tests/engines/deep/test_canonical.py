"""Where a column or a row stands, and what the caller has set elsewhere, decides nothing."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

import hte_bridge as hb
from hte_bridge.engines.deep.canonical import colours
from hte_bridge.study import Folds

N = 60
COVARIATES = ["a", "b", "c", "town", "income"]
FORMS = {
    "kernel": {"draws": 2},
    "gram": {"kernel_max_rows": 0, "epochs": 3, "hidden": (8,)},
    "panel": {"epochs": 3, "hidden": (8,)},
}


def frame():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 3))
    made = pd.DataFrame(x, columns=["a", "b", "c"])
    made["t"] = (rng.random(N) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    made["y"] = x[:, 0] + made["t"] * (1 + x[:, 1]) + 0.7 * rng.normal(size=N)
    made["town"], made["income"] = rng.choice(list("uvw"), N), np.exp(2 * rng.normal(size=N))
    made["unit"], made["year"], made["fold"] = np.arange(N) % 12, np.arange(N) // 12, np.arange(N) % 2
    made.loc[[3, 8], "a"] = made.loc[5, "b"] = np.nan
    return made


FRAME = frame()


def answers(form, rows=None, covariates=COVARIATES, names=None):
    """Held-out columns by row of FRAME, and the posterior's answers at its rows."""
    rows = np.arange(N) if rows is None else rows
    names = names or {}
    given = FRAME.rename(columns=names)
    study = hb.Study.from_frame(
        given.iloc[rows],
        outcome="y",
        treatment="t",
        covariates=[names.get(each, each) for each in covariates],
        fixed_effects=["unit", "year"] if form == "panel" else None,
    )
    fit = hb.Deep(seed=1, **FORMS[form]).fit(study, Folds(FRAME["fold"].to_numpy()[rows], 2, seed=0))
    held = np.empty((2, N))
    held[:, rows] = fit.heldout.cate, fit.heldout.outcome_mean
    return fit, np.concatenate([held.ravel(), fit.cate(given, simultaneous=True).to_numpy().ravel()])


@pytest.mark.parametrize("form", FORMS)
def test_covariates_and_rows_may_change_places_and_names(form):
    fit, before = answers(form)
    rows = np.random.default_rng(2).permutation(N)
    other, after = answers(form, rows, COVARIATES[::-1], {"a": "zz"})
    assert np.array_equal(before, after)
    structure = fit.structure().rename(index={"a": "zz", "a missing": "zz missing"})
    pd.testing.assert_frame_equal(structure, other.structure(), check_like=True)
    assert list(fit.structure().attrs["pairs"].columns)[:3] == ["a", "b", "c"]  # in the caller's order


@contextmanager
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@contextmanager
def strict_arithmetic():
    with np.errstate(all="raise"):
        yield


@contextmanager
def deterministic_torch():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@contextmanager
def other_seeds_and_threads():
    before = torch.get_num_threads()
    np.random.seed(5)
    torch.manual_seed(5)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


SETTINGS = (
    double_by_default,
    strict_arithmetic,
    deterministic_torch,
    other_seeds_and_threads,
    torch.inference_mode,
)


@pytest.mark.parametrize("form", FORMS)
def test_what_the_caller_has_set_in_torch_and_numpy_moves_nothing(form):
    _, before = answers(form)
    with ExitStack() as stack:  # all at once: a fit for each would take a minute of the suite
        for setting in SETTINGS:
            stack.enter_context(setting())
        _, after = answers(form)
    assert np.array_equal(before, after)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=(50, 4)),
        np.random.default_rng(0).integers(0, 2, (50, 4)) * 1.0,
        np.column_stack([np.random.default_rng(k).permutation(np.repeat([0.0, 1.0], 25)) for k in range(4)]),
    ],
    ids=["numbers", "yes or no", "as many ones as zeros"],
)
def test_colours_tell_columns_apart_wherever_they_stand_and_whatever_their_units(values):
    values[3, 0] = np.nan
    rng = np.random.default_rng(1)
    rows, places = rng.permutation(50), rng.permutation(4)
    unit, column, sign = colours(values)
    moved = (values * [-1e-12, 1e12, 1, -3])[rows][:, places]
    other_unit, other_column, other_sign = colours(moved)
    assert np.array_equal(unit[rows], other_unit)
    assert np.array_equal(column[places], other_column)
    assert np.array_equal(np.array([-1, 1, 1, -1])[places] * sign[places], other_sign)
    assert len(set(column.tolist())) == 4
