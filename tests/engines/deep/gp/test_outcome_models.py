"""Accounts of the outcome: the evidence finds the one that made it, and what share each gets."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hte_bridge.engines.deep.gp import laplace
from hte_bridge.engines.deep.gp.laplace import MODE
from hte_bridge.engines.deep.gp.model_average import AVERAGE, approximate, weigh
from hte_bridge.engines.deep.gp.modes import along_an_index, search
from tests.helpers.gaussian_process import ARMS, BASELINE, CENTRED, P, rows_of


def worlds(unrelated, n=160):
    """Outcomes under two accounts: arms that share nothing, or one steep baseline with a plain effect."""
    rng = np.random.default_rng(4)
    x, t = rng.normal(size=(n, P)), rng.integers(0, 2, size=n) * 1.0
    arms = np.where(t == 1, 2 * np.sin(2 * x[:, 0]), 2 * np.cos(2 * x[:, 1]))
    shared = 2 * np.sin(2 * x[:, 0]) + np.cos(2 * x[:, 1]) + (t - 0.5) * x[:, 2]
    y = (arms if unrelated else shared) + 0.5 * rng.normal(size=n)
    return rows_of(x, t, y)


@pytest.mark.parametrize(("unrelated", "named"), [(True, "arms"), (False, "centred")])
def test_evidence_finds_the_form_that_made_the_outcomes(unrelated, named):
    found = search(worlds(unrelated), [CENTRED, BASELINE, ARMS], 1e-7)
    chosen, share = weigh([(each, approximate(each)) for each in found], 0.01)
    best = chosen[int(np.argmax(share))][0].model.form
    assert share.sum() == pytest.approx(1.0)
    assert best.name == named
    evidence = share**AVERAGE.coarsening  # shares are its cube root
    assert evidence.max() / evidence.sum() > 0.9


def test_shares_are_the_cube_root_of_evidence_and_odds():
    def pair(form, evidence):
        return SimpleNamespace(model=SimpleNamespace(form=form)), SimpleNamespace(log_evidence=evidence)

    found = [pair(CENTRED, -700.0), pair(BASELINE, -692.0), pair(ARMS, -720.0)]
    kept, share = weigh(found, 0.01)
    assert [each.model.form for each, _ in kept] == [CENTRED, BASELINE]
    assert share[1] / share[0] == pytest.approx(np.exp((8.0 + BASELINE.log_odds) / 3))  # three nats behind
    assert share.sum() == pytest.approx(1.0)


def test_a_search_that_begins_at_the_scales_of_fewer_rows_ends_where_the_other_does(monkeypatch):
    monkeypatch.setattr(laplace, "MODE", replace(MODE, close=0.05, most_steps=40))
    full = worlds(False)
    few = search(lambda form: full(form).take(torch.arange(80)), [CENTRED], 1e-7)[0]
    plain, begun = (search(full, [CENTRED], 1e-9, begin)[0] for begin in (None, {CENTRED: few.mode}))
    # the last step's gain, as its curvature foretells it, is below half of that
    assert begun.mode.value == pytest.approx(plain.mode.value, abs=0.05)
    assert abs(few.mode.value - plain.mode.value) > 1.0  # the two are not the same problem


def test_an_index_is_found_from_the_gradient_of_the_effect():
    rng = np.random.default_rng(5)
    x, t = rng.normal(size=(250, P)), rng.integers(0, 2, size=250) * 1.0
    weights = np.array([0.6, -0.7, 0.4])
    y = (t - 0.5) * 3 * np.sin(2 * (x @ weights)) + 0.3 * rng.normal(size=250)
    best = search(rows_of(x, t, y), [CENTRED], 1e-7)[0]
    along = along_an_index(best, 1e-7)
    found = along.mode.theta[along.model.scales.surfaces[1].metric]
    assert abs(found @ weights) / np.linalg.norm(found) / np.linalg.norm(weights) > 0.99
    chosen, share = weigh([(each, approximate(each)) for each in (best, along)], 0.01)
    assert chosen[int(np.argmax(share))][0].model.form.effect_kind == "index"
