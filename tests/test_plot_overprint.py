"""Pictures: nothing is printed over anything, however long the names and large the numbers."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from hte_bridge import plot
from hte_bridge.table import Estimate, Table
from tests.helpers.drawn import FRAMES, N, X, curve
from tests.helpers.overprinting import covered, overprinted

LONG = "household income, net of transfers, in 2010 dollars"
SIZES = {"tiny": 1e-9, "huge": 1e9}


@pytest.fixture(autouse=True)
def close():
    yield
    pyplot.close("all")


def hard(size):
    """Rows whose names are long, of three engines, in groups and units of any number and size."""
    engines = ("feols", "a causal forest of 4,000 honest trees", "deep, a second time")
    rows = [Estimate("coefficient", size, 0.1 * size, term=f"{LONG}, no covariates", engine="feols")]
    rows += [
        Estimate(name, size, 0.3 * size, engine=each) for name in ("ate", "att", "ato") for each in engines
    ]
    rows += [
        Estimate("projection", size * 10.0**-k, size * 10.0 ** (k - 3), term=f"{LONG} {k}", engine=each)
        for k in range(5)
        for each in engines
    ]
    rows += [
        Estimate(
            "gate",
            size * (k - 5),
            size * 10.0 ** (k % 4 - 2),
            term=f"{LONG} = {LONG}, level {k}",
            engine=each,
        )
        for k in range(12)
        for each in engines
    ]
    rows += [
        Estimate("sensitivity", 0.1, term="robustness value: estimate to 0", engine=each) for each in engines
    ]
    return Table(tuple(rows), {"spread": {}})


def only(made, *estimands):
    return [row for row in made.rows if row.estimand in estimands]


def hard_frames(size):
    return {
        name: frame * size for name, frame in zip(("feols", LONG, f"{LONG}, 2"), FRAMES.values(), strict=True)
    }


HARD = {
    "averages": lambda m, s, ax: plot.coefficients(m, ax),
    "everything": lambda m, s, ax: plot.coefficients(m, ax, estimands=["ate", "projection", "sensitivity"]),
    "slopes": lambda m, s, ax: plot.coefficients(only(m, "projection"), ax),
    "gates": lambda m, s, ax: plot.gates(only(m, "gate"), ax, average=s),
    "groups as rows": lambda m, s, ax: plot.coefficients(only(m, "gate"), ax),
    "cate_sorted": lambda m, s, ax: plot.cate_sorted(hard_frames(s), ax, average=s),
    "cate_against": lambda m, s, ax: plot.cate_against(hard_frames(s), X * s, ax, name=LONG),
    "few values": lambda m, s, ax: plot.cate_against(hard_frames(s), np.round(X) * s, ax, name=LONG),
    "uneven values": lambda m, s, ax: plot.cate_against(hard_frames(s), 10.0 ** np.clip(np.round(X), 0, 2), ax),
    "a category": lambda m, s, ax: plot.cate_against(hard_frames(s), pd.Series([f"{LONG} {k % 12}" for k in range(N)]), ax),
    "agreement": lambda m, s, ax: plot.agreement(X * s, X**2 * s, ax, names=(LONG, LONG)),
    "toc": lambda m, s, ax: plot.toc(curve("share").assign(estimate=lambda c: c["estimate"] * s, conf_low=-s, conf_high=s), ax),
    "importance": lambda m, s, ax: plot.importance(pd.Series(np.arange(30.0) * s, [f"{LONG} {k}" for k in range(30)]), ax),
    "pairs": lambda m, s, ax: plot.pairs(pd.DataFrame(np.eye(30), [f"{LONG} {k}" for k in range(30)], [f"{LONG} {k}" for k in range(30)]), ax),
    "overlap": lambda m, s, ax: plot.overlap({LONG: 1 / (1 + np.exp(-X)), "grf": np.full(N, 0.5)}, X > 0, ax),
}  # fmt: skip


@pytest.mark.parametrize("draw", HARD.values(), ids=HARD)
def test_no_word_is_printed_over_another_or_off_the_page(draw):
    ax = draw(hard(1.0), 1.0, None)
    assert overprinted(ax.figure) == []
    assert covered(ax.figure) == []


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", ["averages", "slopes", "gates", "cate_against"])
def test_nor_at_any_size_of_the_numbers(name, size):
    ax = HARD[name](hard(size), size, None)
    assert overprinted(ax.figure) == []


@pytest.mark.parametrize("first", range(0, len(HARD), 4))
def test_nor_in_the_axes_of_a_page_of_four(first):
    figure, grid = pyplot.subplots(2, 2, figsize=(7, 6.4), layout="constrained")
    for ax, draw in zip(grid.ravel(), list(HARD.values())[first : first + 4], strict=False):
        draw(hard(1.0), 1.0, ax)
    assert overprinted(figure) == []
    assert covered(figure) == []


def test_overprinting_would_be_seen():
    figure, ax = pyplot.subplots(figsize=(3, 2))
    ax.set_xticks(range(12), [LONG] * 12)
    assert overprinted(figure)
    ax.plot([0, 1], label="a")
    ax.legend()
    assert covered(figure)


# one scale, one unit ---------------------------------------------------------------------------------------------
