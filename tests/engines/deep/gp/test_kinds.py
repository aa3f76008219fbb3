"""Kinds of surface: the edged one in closed form, where the evidence wants edges, and that kinds go with any outcome model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hte_bridge.engines.deep.gp.covariance import COVARIANCE, surface_kernel, surface_variance
from hte_bridge.engines.deep.gp.hyperparameters import Hyperparameters, log_density
from hte_bridge.engines.deep.gp.model_average import bent
from hte_bridge.engines.deep.gp.modes import borrowed, search, search_kinds
from hte_bridge.engines.deep.gp.outcome_models import ALONE, MODEL_PRIORS
from hte_bridge.engines.deep.gp.posterior import restore
from hte_bridge.engines.deep.gp.priors import PRIORS
from tests.helpers.gaussian_process import ARMS, BASELINE, CENTRED, P, example, posterior, rows_of, tensor


def test_an_edged_surface_is_the_mondrian_process_in_closed_form():
    model, theta = example(ALONE.of_kinds("edged", "edged"))
    surface, rows, rng = model.scales.surfaces[0], model.rows, np.random.default_rng(1)
    line, curved = np.exp(2 * theta[surface.deviations])
    lengths, new = np.exp(theta[surface.metric]), rng.normal(size=(20, P))
    share = (1 / lengths) / (1 / lengths).sum()

    def kernel(a, b):
        cuts = (np.abs(a[:, None] - b[None]) / lengths).sum(-1)
        return COVARIANCE.constant_variance + line * a * share @ b.T + curved * np.exp(-cuts)

    x, noise = rows.x.numpy(), np.exp(2 * theta[0]) * rows.noise.numpy()
    weights = np.linalg.solve(kernel(x, x) + np.diag(noise), kernel(x, new))
    spread = np.diag(kernel(new, new)) - (kernel(x, new) * weights).sum(0)
    mean, sd = posterior(model, [theta]).moments(new)
    np.testing.assert_allclose(mean, rows.y.numpy() @ weights, atol=1e-7)
    np.testing.assert_allclose(sd, np.sqrt(spread), atol=1e-6)


def test_levels_of_a_category_are_all_as_far_from_one_another_along_edges():
    """Corners of a simplex, turned so that the differences of coordinates are not all alike."""
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    corners = np.vstack([np.eye(3), np.full(3, (1 - 2) / 3)]) @ turn
    x = tensor(np.column_stack([np.zeros(4), corners]))
    scales = Hyperparameters(2, rates=(1.0,), kinds=("edged",), groups=(0, 1, 1, 1))
    theta = torch.as_tensor(scales.start())
    (surface,) = scales.surfaces
    found = surface.kind.correlation(x, x, theta, surface).numpy()
    assert np.ptp(found[~np.eye(4, dtype=bool)]) < 1e-12
    assert (np.diag(found) == 1.0).all()


def rows_where(effect, mean=lambda x: x[:, 2], n=240):
    rng = np.random.default_rng(6)
    x, t = rng.normal(size=(n, P)), rng.integers(0, 2, size=n) * 1.0
    y = mean(x) + (t - 0.5) * effect(x) + 0.4 * rng.normal(size=n)
    return rows_of(x, t, y)


def stairs(x):
    return 2.0 * (x[:, 0] > 0.2) - 2.0 * (x[:, 1] > -0.3) * (x[:, 0] < 0.9)


def bend(x):
    return 2.0 * np.sin(1.5 * x[:, 0]) + x[:, 0] * x[:, 1]


@pytest.mark.parametrize(
    ("effect", "mean", "wanted"),
    [
        (stairs, stairs, "centred, edged"),
        (bend, bend, "centred"),
        (stairs, bend, "centred, edged"),
        (bend, stairs, "centred, edged mean"),
    ],
    ids=["both jump", "none", "the effect", "the mean"],
)
def test_evidence_finds_which_surface_has_edges(effect, mean, wanted):
    found = search_kinds(rows_where(effect, mean), [CENTRED])
    best = max(found, key=lambda each: each.mode.value).model.form  # by the data alone
    assert best.label == wanted
    # both kinds of mean and of effect may be there; an effect with edges beside the better mean alone
    assert {each.model.form.mean_kind for each in found if each.model.form.effect_kind == "edged"} <= {
        best.mean_kind
    }


def test_only_smooth_effects_are_bent_and_keep_the_kind_of_their_mean():
    rows = rows_where(stairs, stairs, n=80)
    smooth, jumps = (search(rows, [CENTRED.of_kinds("edged", kind)], 1e-3)[0] for kind in ("smooth", "edged"))
    labels = [make().model.form.label for make in bent([jumps, smooth])]
    assert labels == ["centred, index, edged mean", "centred, additive, edged mean"]
    assert bent([jumps]) == []


def test_a_search_borrows_the_scales_of_surfaces_of_its_kind():
    near = search(rows_where(bend, n=80), [CENTRED], 1e-3)[0]
    scales = CENTRED.of_kinds("smooth", "edged").scales(P, clustered=False)
    start, (mean, effect) = borrowed(scales, near), scales.surfaces
    assert (start[mean.metric] == near.mode.theta[mean.metric]).all()
    assert (start[effect.metric] == scales.start()[effect.metric]).all()
    assert (start[effect.deviations] == near.mode.theta[effect.deviations]).all()


def test_arms_have_one_kind():
    assert ARMS.of_kinds("edged", "smooth").each_kind == ("edged", "edged")
    assert BASELINE.of_kinds("edged", "smooth").each_kind == ("edged", "smooth")


def test_a_surface_of_any_kind_has_the_variance_that_its_kernel_says():
    rng = np.random.default_rng(3)
    x = tensor(rng.normal(size=(6, P)))
    for kind in ("smooth", "edged", "index", "additive"):
        scales = Hyperparameters(P, rates=(1.0,), kinds=(kind,))
        theta = torch.as_tensor(scales.start() + 0.3 * rng.normal(size=scales.size))
        (surface,) = scales.surfaces
        own = surface_kernel(x, x, theta, surface)
        assert torch.linalg.eigvalsh(own).min() > -1e-9, kind
        np.testing.assert_allclose(torch.diagonal(own), surface_variance(x, theta, surface), rtol=1e-12)


def test_a_smooth_effect_beside_an_edged_mean_is_asked_for_strong_evidence():
    both, mean, effect = (
        CENTRED.of_kinds(*kinds) for kinds in (("edged", "edged"), ("edged", "smooth"), ("smooth", "edged"))
    )
    assert both.log_odds == effect.log_odds == CENTRED.log_odds == 0.0
    assert mean.log_odds == mean.with_effect("index").log_odds == MODEL_PRIORS.unlike_log_odds < 0.0


def test_a_posterior_of_edged_surfaces_is_restored_to_the_bit_and_so_is_one_of_files_of_before():
    new = np.random.default_rng(2).normal(size=(5, P))
    for form, flags in (
        (CENTRED.of_kinds("edged", "edged"), None),
        (BASELINE.with_effect("additive"), [False, True]),
    ):
        model, theta = example(form)
        fit = posterior(model, [theta])
        arrays, values = fit.state()
        if flags is not None:
            (said,) = values["models"]
            for part in (said["form"], said["scales"]):
                del part["kinds"]
            said["form"] |= {"index": False, "additive": True}
            said["scales"] |= {"index": [False, False], "additive": flags}
            del said["scales"]["tied"]
            model = replace(model, scales=replace(model.scales, tied=False))
            fit = posterior(model, [theta])
        again = restore(arrays, values)
        assert all(
            (ours == theirs).all() for ours, theirs in zip(fit.moments(new), again.moments(new), strict=True)
        )


def test_an_edged_effect_may_move_by_more_and_its_mean_as_any_other():
    def rates(form):
        return form.scales(P, clustered=False).rates

    mean, effect = CENTRED.rates
    assert rates(CENTRED.of_kinds("edged", "smooth")) == (mean, effect)
    assert rates(CENTRED.of_kinds("edged", "edged")) == (mean, MODEL_PRIORS.edged_rate * effect)
    assert rates(ARMS.of_kinds("edged", "edged")) == ARMS.rates


@pytest.mark.parametrize("kind", ["smooth", "edged"])
def test_a_covariate_that_bends_a_surface_little_tilts_it_little(kind):
    scales = ALONE.of_kinds(kind, kind).scales(P, clustered=False)
    theta, (surface,) = torch.as_tensor(scales.start()), scales.surfaces
    even = surface.kind.columns(torch.eye(P).double(), theta, surface, None).diagonal()
    np.testing.assert_allclose(even, torch.exp(theta[surface.linear]) / P**0.5)
    theta[surface.metric.start] += 6.0  # a length four hundred times as long
    found = surface.kind.columns(torch.eye(P).double(), theta, surface, None).diagonal()
    assert found[0] < 0.1 * found[1]
    np.testing.assert_allclose(found.square().sum(), even.square().sum())


def test_a_large_effect_is_thought_rarer_by_a_power_and_a_large_outcome_by_an_exponential():
    scales = CENTRED.of_kinds("smooth", "edged").scales(P, clustered=True)
    places = {place: tailed for place, _, _, tailed in scales.deviations}
    mean, effect = scales.surfaces
    assert places == {
        mean.linear: False,
        mean.bent: False,
        effect.linear: True,
        effect.bent: True,
        scales.cluster: False,
    }
    start = scales.start()

    def lost(place, log_sd):  # by a tenfold sd
        values = []
        for more in (0.0, np.log(10.0)):
            theta = start.copy()
            theta[place] = log_sd + more
            values.append(scales.prior(theta)[0])
        return values[0] - values[1]

    for place in (effect.linear, effect.bent):
        assert lost(place, np.log(100.0)) == pytest.approx(PRIORS.rate_shape * np.log(10.0), abs=0.1)
    assert lost(mean.bent, np.log(100.0)) == pytest.approx(900.0 - np.log(10.0))


def test_an_effects_sd_is_a_gamma_variable_whose_rate_is_one_too():
    rng = np.random.default_rng(4)
    rate, shape, tail = 3.0, MODEL_PRIORS.effect_shape, PRIORS.rate_shape
    drawn = rng.gamma(shape, size=400_000) / (rate * rng.gamma(tail, size=400_000) / tail)
    edges = np.array([0.2, 0.5, 1.0, 3.0])
    grid = np.linspace(np.log(1e-6), np.log(3.0), 4_001)
    density = np.exp([log_density(each, rate, shape, True)[0] for each in grid])
    below = np.interp(np.log(edges), grid[1:], np.cumsum(density[1:]) * (grid[1] - grid[0]))
    np.testing.assert_allclose([(drawn < each).mean() for each in edges], below, atol=0.004)
    value, slope, bend = (
        np.array(each) for each in zip(*(log_density(z, rate, shape, True) for z in grid), strict=True)
    )
    np.testing.assert_allclose(np.gradient(value, grid)[1:-1], slope[1:-1], atol=1e-5)
    np.testing.assert_allclose(-np.gradient(slope, grid)[1:-1], bend[1:-1], atol=1e-5)
