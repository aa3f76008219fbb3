"""Fits predict as scikit-learn's and EconML's users expect, and grids of covariates are made of values."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

import hte_bridge as hb
from hte_bridge.errors import InvalidNewData, InvalidOption


@pytest.fixture(scope="module")
def table():
    rng, n = np.random.default_rng(0), 120
    made = pd.DataFrame(
        {"x": rng.normal(size=n), "age": rng.integers(20, 60, n), "town": rng.choice(list("aab"), n)}
    )
    made["member"], made["d"] = rng.random(n) < 0.7, rng.integers(0, 2, n)
    made["y"] = made["d"] * (1 + made["x"]) + rng.normal(size=n)
    study = hb.Study.from_frame(made, outcome="y", treatment="d", covariates=["x", "age", "town", "member"])
    return hb.compare(study, [hb.Feols(), hb.Meta("T", LinearRegression())], n_folds=2)


@pytest.mark.parametrize("engine", ["feols", "meta-T"])
def test_effects_are_those_of_cate(table, engine):
    fit, new = table.fits[engine], table.study.frame.head(5)
    found = fit.cate(new, 0.9)
    np.testing.assert_array_equal(fit.predict(new), found["estimate"])
    np.testing.assert_array_equal(fit.effect(new), found["estimate"])
    np.testing.assert_array_equal(fit.effect(new, T0=1.0, T1=-1.0), -2 * found["estimate"])
    low, high = fit.effect_interval(new, alpha=0.1)
    np.testing.assert_allclose(low, found["conf_low"])
    np.testing.assert_allclose(high, found["conf_high"])
    turned = fit.effect_interval(new, T1=-1.0, alpha=0.1)
    np.testing.assert_allclose(turned[0], -found["conf_high"])
    with pytest.raises(InvalidOption, match="alpha"):
        fit.effect_interval(new, alpha=5)


def test_an_array_has_the_covariates_in_the_order_of_the_study(table):
    fit, new = table.fits["feols"], table.study.frame.head(4)
    names = ["x", "age", "town", "member"]
    np.testing.assert_array_equal(fit.predict(new[names].to_numpy()), fit.predict(new))
    with pytest.raises(InvalidNewData, match="one column for each covariate: x, age, town, member"):
        fit.predict(np.zeros((3, 2)))


def test_a_grid_has_every_combination_and_typical_values(table):
    study = table.study
    grid = hb.datagrid(study, age=[30, 40], town=["a", "b"])
    assert grid[["age", "town"]].to_numpy().tolist() == [[30, "a"], [30, "b"], [40, "a"], [40, "b"]]
    assert grid["x"].unique() == pytest.approx([study.frame["x"].mean()])
    assert grid["member"].tolist() == [True] * 4
    found = table.cate({"age": range(30, 50, 10), "town": ("a", "b")}, "feols")
    pd.testing.assert_frame_equal(found[list(grid.columns)], grid)
    np.testing.assert_array_equal(found["estimate"], table.cate(grid, "feols")["estimate"])
    assert len(hb.datagrid(study)) == 1


def test_a_grid_of_what_is_no_covariate_is_refused(table):
    with pytest.raises(InvalidOption, match="`agee` is none"):
        hb.datagrid(table.study, agee=3)
    with pytest.raises(InvalidOption, match="between 1 and"):
        hb.datagrid(table.study, age=[])


def test_any_sequence_is_values_of_a_grid(table):
    """A polars or Arrow column was one value of a grid, a row that holds a list."""
    wanted = hb.datagrid(table.study, x=[0.0, 1.0])
    for values in (pl.Series([0.0, 1.0]), pa.array([0.0, 1.0]), (each for each in (0.0, 1.0))):
        pd.testing.assert_frame_equal(hb.datagrid(table.study, x=values), wanted)
    with pytest.raises(InvalidOption, match="values, or sequences of them"):
        hb.datagrid(table.study, x=wanted)


def test_what_is_no_new_row_is_refused(table):
    fit, new = table.fits["feols"], table.study.frame.head(2)
    with pytest.raises(InvalidNewData, match="`member` must be yes or no, or 1 or 0, as in the study"):
        fit.predict(new.assign(member=2))
    with pytest.raises(InvalidOption, match="`T1` must be a finite number"):
        fit.effect(new, T1="2")
    frame = table.study.frame.assign(z=lambda df: np.exp(df["x"]))
    study = hb.Study.from_formula("y ~ age + log(z)", frame, treatment="d")
    fit = hb.compare(study, [hb.Feols()], n_folds=2).fits["feols"]
    with pytest.raises(
        InvalidNewData, match="its columns could be the frame's or the formula's"
    ):  # as many of each
        fit.predict(frame[["age", "z"]].head(2).to_numpy())
