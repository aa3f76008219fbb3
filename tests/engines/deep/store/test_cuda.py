"""What a CUDA device computes equals what the CPU computes, and the same fit gives the same numbers twice."""

import numpy as np
import pytest
import torch

import hte_bridge as hb
import hte_bridge.simulate as sim
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.features import Basis, Block, frequencies
from hte_bridge.engines.deep.basis.networks import by_level
from hte_bridge.engines.deep.basis.normal_equations import eliminate, normal_equations
from hte_bridge.engines.deep.gp.covariance import CUDA_ROWS
from hte_bridge.engines.deep.gp.likelihood import LogPosterior
from hte_bridge.engines.deep.gp.outcome_models import outcome_models
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.store.linear_algebra import (
    DeviceFactor,
    HostFactor,
    eigen,
    factor,
    product,
    with_room,
)
from hte_bridge.simulate.panel import COVARIATES, panel
from tests.helpers.studies import cross_section as study_of

pytestmark = pytest.mark.gpu
ROUNDING = 1e-8  # relative, of sums of some thousand terms in double precision in another order
FORMS = [
    *outcome_models(10.0, binary=True),
    outcome_models(10.0, True)[0].with_effect("index"),
    outcome_models(10.0, True)[0].with_effect("additive"),
]


@pytest.fixture(scope="module")
def draw():
    return sim.nie_wager(600, setup="A", seed=3)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
@pytest.mark.parametrize("clustered", [False, True])
def test_log_posterior_of_the_scales_and_its_slopes(draw, form, clustered):
    found = []
    for device in ("cpu", "cuda"):
        data = sim.clustered(CUDA_ROWS * 2, seed=1) if clustered else draw
        study = study_of(data, cluster="cluster") if clustered else study_of(data)
        rows = Sample.of(study, data.propensity, device=device).rows(form)
        scales = form.scales(rows.x.shape[1], rows.cluster is not None)
        density = LogPosterior(rows, scales)
        assert density.device.type == device
        found.append(density(scales.start()))
    (ours, slopes), (theirs, their_slopes) = found
    assert abs(ours - theirs) < ROUNDING * abs(ours)
    assert np.abs(slopes - their_slopes).max() < ROUNDING * np.abs(slopes).max()


def test_factor_product_and_roots():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2_000, 700))
    gram, precision, target = x.T @ x, rng.uniform(0.1, 2.0, 700), rng.normal(size=700)
    there = factor(gram, precision, 0.5, "cuda")
    here = factor(gram, precision, 0.5)
    assert isinstance(there, DeviceFactor)
    assert isinstance(here, HostFactor)
    assert abs(there.log_determinant() - here.log_determinant()) < ROUNDING * abs(here.log_determinant())
    for ours, theirs in [
        (here.solve(target), there.solve(target)),
        (here.inverse_diagonal(), there.inverse_diagonal()),
        (here.inverse(), there.inverse()),
        (gram @ gram, product(gram, gram, "cuda")),
        (eigen(gram)[0], eigen(gram, "cuda")[0]),
    ]:
        assert np.abs(ours - theirs).max() < ROUNDING * np.abs(ours).max()
    values, vectors = eigen(gram, "cuda")
    assert np.abs(vectors * values @ vectors.T - gram).max() < ROUNDING * np.abs(gram).max()


def test_a_matrix_that_does_not_fit_stays_on_the_cpu():
    free, _ = torch.cuda.mem_get_info()
    columns = int((free / 8) ** 0.5)
    assert with_room("cuda", columns // 4, copies=4) == "cuda"
    assert with_room("cuda", columns, copies=4) == "cpu"


def test_sums_over_rows_and_what_the_effects_leave():
    rng, n = np.random.default_rng(1), 5_000
    points = rng.normal(size=(n, 2))
    blocks = [
        Block("linear", "linear", (0, 1), drift=True),
        Block("smooth", "fourier", (0, 1), {"omega": frequencies(2, 300, np.ones(2), seed=1)}, drift=True),
    ]
    basis, drift = Basis.fit(blocks, points, np.zeros(2), np.ones(2)), np.ones(602, dtype=bool)
    codes = rng.integers(0, 30, (n, 2))
    y, t, weight = rng.normal(size=n), rng.normal(size=n), rng.uniform(0.5, 1.5, n)
    rows = Rows(y, t, weight, codes, (30, 30), np.zeros(n, dtype=np.int64), np.arange(n), points)
    ours, theirs = (normal_equations(rows, basis, drift, device) for device in ("cpu", "cuda"))
    for name in ("dense", "cross", "target", "second"):
        here, there = getattr(ours, name), getattr(theirs, name)
        assert np.abs(here - there).max() <= ROUNDING * np.abs(here).max()
    here, there = (eliminate(ours, (30, 30), np.arange(1_204), device=each).gram for each in ("cpu", "cuda"))
    assert np.abs(here - there).max() <= ROUNDING * np.abs(here).max()


def test_sums_by_level_have_one_order():
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(200_000, generator=generator).cuda()
    codes = torch.randint(0, 7, (200_000,), generator=generator).cuda()
    first = by_level(values, codes, 7)
    assert all(torch.equal(first, by_level(values, codes, 7)) for _ in range(5))


@pytest.mark.parametrize("n", [600, 4_000])
def test_a_cross_section_fits_the_same_twice_and_as_on_the_cpu(n):
    data = sim.nie_wager(n, setup="A", seed=3)
    cuda, again, cpu = (hb.Deep(seed=1, device=each).fit(study_of(data)) for each in ("cuda", "cuda", "cpu"))
    new = sim.nie_wager(500, setup="A", seed=4).frame()
    first, second, other = (fit.cate(new) for fit in (cuda, again, cpu))
    assert first.equals(second)
    gap = first["estimate"] - other["estimate"]
    assert (gap**2).mean() ** 0.5 < 0.2 * other[
        "std_error"
    ].mean()  # networks and draws of the scales differ by rounding at first
    assert abs(first["std_error"].mean() / other["std_error"].mean() - 1) < 0.1


def test_a_panel_fits_the_same_twice_and_as_on_the_cpu(tmp_path):
    data = panel(beta="nonlinear", n_rows=3_000, n_users=60, n_vendors=20, seed=2)
    study = hb.Study.from_frame(
        data.frame(),
        outcome="y",
        treatment="t",
        covariates=list(COVARIATES),
        fixed_effects=["user", "vendor", "period"],
    )
    cuda, again, cpu = (hb.Deep(seed=1, device=each).fit(study) for each in ("cuda", "cuda", "cpu"))
    first, second, other = (fit.cate(data.frame()) for fit in (cuda, again, cpu))
    assert first.equals(second)
    assert ((first["estimate"] - other["estimate"]) ** 2).mean() ** 0.5 < 0.5 * other["std_error"].mean()
    cuda.save(tmp_path / "fit.npz")
    assert hb.DeepFit.load(tmp_path / "fit.npz").cate(data.frame()).equals(first)
