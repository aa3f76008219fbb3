"""No fit dies of memory: what would not fit is left out before anything large is made, and a note says so."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge import free_memory
from hte_bridge.engines.deep.basis.features import Block, frequencies
from hte_bridge.engines.deep.basis.room import Shape, features_of, fitting
from hte_bridge.engines.deep.store.memory import GB, Budget
from hte_bridge.errors import InvalidOption, NotEnoughMemory
from hte_bridge.simulate.panel import COVARIATES, panel

SHAPE = Shape(levels=1_000, slopes=0, rows=200_000, cells=5, at_once=2)
SMALL = {"seed": 1, "n_folds": 2, "epochs": 1, "hidden": (8,)}
# a panel of few rows and all of the features of its size, of which the limit leaves no room for most
LIMITED = """
import resource
import hte_bridge as hb
from hte_bridge.simulate.panel import COVARIATES, panel

draw = panel("network", n_rows=3_000, n_users=60, n_vendors=25, n_periods=6, seed=1)
study = hb.Study.from_frame(
    draw.frame(), outcome="y", treatment="t", covariates=list(COVARIATES), fixed_effects=["user", "vendor", "period"]
)
import hte_bridge.engines.deep.route_panel  # torch takes its address space before the limit is set

pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 200 * 2**20,) * 2)
fit = hb.Deep(seed=1, n_folds=2, epochs=1, hidden=(8,), n_jobs=1).fit(study)
print(len(fit.cate(draw.frame().head(50)).dropna()), *fit.notes, sep="|")
"""


def blocks(number=256):
    wide = {"omega": frequencies(12, number, np.ones(12), 1)}
    ramp = Block("ramp", "ramp", (0,), {"knots": np.arange(9.0)}, drift=True)
    return [
        Block("linear", "linear", (0, 1)),
        Block("waves", "fourier", tuple(range(12)), wide, drift=True),
        ramp,
    ]


def test_what_fits_is_left_as_it_is():
    kept, _, note = fitting(blocks(), SHAPE, Budget(10 * GB))
    assert features_of(kept) == features_of(blocks())
    assert note == ""


def test_the_widest_functions_lose_frequencies_first_and_the_note_says_how_many():
    kept, _, note = fitting(blocks(), SHAPE, Budget(0.25 * GB, said=True))
    assert [block.name for block in kept] == ["linear", "waves", "ramp"]
    assert kept[1].size < blocks()[1].size
    assert kept[2].size == 8
    left = features_of(blocks()) - features_of(kept)
    assert note.startswith(f"{left:,} of {features_of(blocks()):,} features were left out")
    assert "0.25 GB, as `memory_gb` says" in note
    assert SHAPE.forecast(features_of(kept)) <= 0.25 * GB


def test_folds_are_fitted_one_after_the_other_where_side_by_side_they_would_not_fit():
    both = SHAPE.forecast(features_of(blocks()))
    assert fitting(blocks(), SHAPE, Budget(both))[1] == 2
    kept, at_once, note = fitting(blocks(), SHAPE, Budget(0.95 * both))
    assert (features_of(kept), at_once, note) == (features_of(blocks()), 1, "")


def test_a_forecast_that_cannot_be_met_is_a_sentence():
    with pytest.raises(
        NotEnoughMemory, match="Lines alone on 200,000 rows and 1,000 levels of fixed effects"
    ):
        fitting(blocks(), SHAPE, Budget(0.1 * GB))


def test_a_panel_says_what_it_left_out_and_one_that_cannot_be_fitted_is_refused():
    draw = panel("nonlinear", n_rows=600, n_users=30, n_vendors=12, n_periods=4, seed=2)
    study = hb.Study.from_frame(
        draw.frame(),
        outcome="y",
        treatment="t",
        covariates=list(COVARIATES),
        fixed_effects=["user", "vendor"],
    )
    fit = hb.Deep(**SMALL, memory_gb=0.02).fit(study)
    assert any("features were left out" in note for note in fit.notes)
    assert np.isfinite(fit.heldout.cate).all()
    with pytest.raises(NotEnoughMemory, match="must fit in memory"):
        hb.Deep(**SMALL, memory_gb=1e-4).fit(study)


@pytest.mark.parametrize("given", [0, -1.0, "2", np.inf])
def test_memory_must_be_a_number_of_gigabytes(given):
    with pytest.raises(InvalidOption, match="`memory_gb` must be a number of GB above 0"):
        hb.Deep(memory_gb=given)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits on address space are Linux's")
def test_a_process_with_a_limit_ends_with_a_fit_and_a_note():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    rows, *notes = done.stdout.strip().split("|")
    assert rows == "50"
    assert any("features were left out" in note for note in notes)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits on address space are Linux's")
def test_a_limit_on_the_process_limits_what_is_free():
    code = """
    import resource
    from hte_bridge.free_memory import available
    pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + 2**28, resource.RLIM_INFINITY))
    print(available())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert 0 < int(done.stdout) <= 2**28 < free_memory.available()
