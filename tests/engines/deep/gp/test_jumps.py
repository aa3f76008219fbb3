"""Jumps beside the Mondrian process: their evidence and posterior in closed form, where they are found, and that files and points keep them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from hte_bridge.engines.deep.gp import posterior as gp_posterior
from hte_bridge.engines.deep.gp.covariance import surface_kernel
from hte_bridge.engines.deep.gp.inducing import ByPoints, induced
from hte_bridge.engines.deep.gp.jumps import JUMPS, candidates, gains, jumped, with_jumps
from hte_bridge.engines.deep.gp.kinds.boxes import inside
from hte_bridge.engines.deep.gp.posterior import KernelPosterior, component, restore
from tests.helpers.gaussian_process import ARMS, CENTRED, P, example, posterior, rows_of
from tests.helpers.posterior import single_precision_agrees

EDGED = CENTRED.of_kinds("edged", "edged")
BOXES = (((0, 0.2, True),), ((1, -0.3, False), (2, 0.1, True)))


def with_boxes(model, boxes=BOXES):
    count = len(model.scales.rates)
    own = tuple(boxes if share != 0.0 else () for share in model.form.effect)
    assert len(own) == count
    return replace(model, scales=replace(model.scales, boxes=own))


def dense(model, theta):
    at, rows = torch.as_tensor(theta), model.rows
    parts = [
        load[:, None] * surface_kernel(rows.x, rows.x, at, surface) * load
        for surface, load in zip(model.scales.surfaces, rows.loads, strict=True)
    ]
    return (torch.stack(parts).sum(0) + torch.diag(torch.exp(2 * at[0]) * rows.noise)).numpy()


@pytest.mark.parametrize("form", [EDGED, ARMS.of_kinds("edged", "edged")], ids=lambda form: form.label)
def test_a_jump_adds_its_height_times_its_box_to_the_surface_and_its_evidence_is_in_closed_form(form):
    model, theta = example(form)
    jumping, y, x = with_boxes(model), model.rows.y.numpy(), model.rows.x
    (used,) = {float(np.exp(2 * theta[s.bent])) for s in model.scales.surfaces[1:]}
    boxes = inside(x, BOXES)
    place = len(model.form.effect) - 1
    columns = boxes * model.rows.loads[place][:, None]
    before, after = dense(model, theta), dense(with_boxes(model, ()), theta)
    np.testing.assert_allclose(before, after)
    heights = [stats.multivariate_normal(cov=before).logpdf(y)]
    for count in (1, 2):
        own = columns[:, :count].numpy()
        heights.append(stats.multivariate_normal(cov=before + used * own @ own.T).logpdf(y))
    right = np.linalg.solve(before, columns.numpy())
    gram, target = columns.numpy().T @ right, right.T @ y
    variance = np.full(2, used)
    first = gains(np.diag(gram), target, variance, [], {})
    second = gains(np.diag(gram), target, variance, [0], {0: gram[:, 0]})
    np.testing.assert_allclose([first[0], second[1]], np.diff(heights), rtol=1e-5)
    new = torch.as_tensor(np.random.default_rng(1).normal(size=(20, P)))
    alone, both = (
        surface_kernel(x, new, torch.as_tensor(theta), m.scales.surfaces[place]) for m in (model, jumping)
    )
    np.testing.assert_allclose(both - alone, used * boxes @ inside(new, BOXES).T, atol=1e-9)


def steps_and_a_corner(n=300):
    rng = np.random.default_rng(4)
    x, t = rng.normal(size=(n, P)), rng.integers(0, 2, size=n) * 1.0
    effect = 2.0 * (x[:, 0] > 0.2)
    return rows_of(x, t, 1.0 * (x[:, 1] > 0) + (t - 0.5) * effect + 0.5 * rng.normal(size=n)), effect


def drawn_many(form, count=12):
    rows, _ = steps_and_a_corner()
    scales = form.scales(P, False)
    model = gp_posterior.Model(form, rows(form), scales)
    part = component(1.0 / count, scales.start(), model)
    return part, jumped([part] * count, seed=3)


def test_steps_are_found_where_they_are_and_surfaces_without_edges_have_none():
    part, found = drawn_many(EDGED)
    cuts = [
        cut
        for each in found
        for box in each.model.scales.boxes[1]
        for column, cut, _ in box
        if column == 0 and each.model.scales.boxes[0] == ()
    ]
    assert len(cuts) >= len(found)  # nearly every draw has it
    assert abs(np.median(cuts) - 0.2) < 0.15
    new = np.column_stack([np.array([-0.6, 0.9]), np.zeros((2, P - 1))])
    units = posterior(part.model, [part.theta.numpy()]).units
    smoothed, mixed = (KernelPosterior(units, tuple(each)) for each in ([part.weighing(1.0)], found))
    low, high = mixed.moments(new)[0]
    before = smoothed.moments(new)[0]
    assert high - low > before[1] - before[0]
    for form in (CENTRED, CENTRED.of_kinds("edged", "smooth"), CENTRED.of_kinds("smooth", "edged")):
        model = replace(part.model, form=form, scales=form.scales(P, False))
        assert with_jumps(model, part.theta, None, None) is model


def test_the_same_seed_draws_the_same_jumps_and_another_draw_others():
    _, found = drawn_many(EDGED, count=3)
    _, again = drawn_many(EDGED, count=3)
    boxes = [each.model.scales.boxes for each in found]
    assert boxes == [each.model.scales.boxes for each in again]
    assert len(set(boxes)) == len(found) == 3 * JUMPS.draws


def test_categories_have_no_cuts_and_two_values_one():
    model, _ = example(EDGED)
    x = model.rows.x.clone()
    x[:, 0] = (x[:, 0] > 0).double()
    rows = replace(model.rows, x=x, groups=(0, *[1] * (P - 1)))
    scales = EDGED.scales(P, False, rows.groups)
    model = replace(model, rows=rows, scales=scales)
    found = candidates(model, torch.as_tensor(scales.start()), np.random.default_rng(1))
    assert found.boxes == [((0, 0.5, True),)]
    assert np.exp(found.log_chance).sum() == pytest.approx(1.0)


def test_files_fast_scores_and_points_keep_jumps(monkeypatch):
    model, theta = example(EDGED)
    jumping = with_boxes(model)
    exact = posterior(jumping, [theta])
    new = np.random.default_rng(1).normal(size=(200, P))
    mean, sd = exact.moments(new)
    assert np.abs(mean - posterior(model, [theta]).moments(new)[0]).max() > 0.01
    assert np.array_equal(restore(*exact.state()).moments(new), (mean, sd))
    points = KernelPosterior(exact.units, (induced(1.0, theta, jumping, [model.rows.x] * 2),))
    assert np.abs(points.moments(new)[0] - mean).max() < 0.01 * sd.max()
    through, taken = ByPoints.of(theta, model, [model.rows.x] * 2).halved(torch.eye(model.rows.n).double())
    inverse = through - taken.T @ taken
    np.testing.assert_allclose(inverse.numpy() @ dense(model, theta), np.eye(model.rows.n), atol=0.01)
    single_precision_agrees(exact, new, monkeypatch)


def test_covariates_that_part_nearly_no_units_have_no_jumps():
    """One unit alone has another value: no step leaves enough on either side."""
    model, _ = example(EDGED)
    x = torch.zeros_like(model.rows.x)
    x[0] = 1.0
    model = replace(model, rows=replace(model.rows, x=x))
    theta = torch.as_tensor(model.scales.start())
    assert candidates(model, theta, np.random.default_rng(1)).boxes == []
    assert with_jumps(model, theta, None, np.random.default_rng(1)) is model
