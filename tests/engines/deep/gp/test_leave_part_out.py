"""Parts that leave one factor, and a propensity by one process for each fold, against models fitted without the part."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hte_bridge as hb
from hte_bridge.engines.deep.gp.leave_part_out import without_own_part
from hte_bridge.engines.deep.gp.posterior import Model, component, cross
from hte_bridge.engines.deep.gp.regression import by_fold
from hte_bridge.simulate import nie_wager
from tests.helpers.gaussian_process import CENTRED, FORMS, example

ROUNDING = 1e-8  # blocks of an inverse against an inverse without the block


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("form", FORMS[:4], ids=lambda form: form.label)
def test_parts_leave_a_factor_as_if_they_had_never_been_in_it(form, clustered):
    model, theta = example(form, clustered=clustered)
    part, combination = np.arange(model.rows.n) % 4, model.rows.loads.flip(1)
    found = without_own_part(component(1.0, theta, model), combination, part)
    for each in range(4):
        own, rest = (torch.as_tensor(np.flatnonzero(where)) for where in (part == each, part != each))
        alone = component(1.0, theta, Model.of(form, model.rows.take(rest)))
        joint = cross(alone.model, model.rows.x[own], alone.theta, combination[:, own])
        assert found[own] == pytest.approx((alone.solved @ joint).numpy(), abs=ROUNDING)


def test_one_part_leaves_nothing_out():
    model, theta = example(CENTRED)
    at = component(1.0, theta, model)
    found = without_own_part(at, model.rows.loads, np.zeros(model.rows.n))
    joint = cross(model, model.rows.x, at.theta, model.rows.loads)
    assert found == pytest.approx((at.solved @ joint).numpy(), abs=ROUNDING)


def test_a_process_for_each_fold_has_not_seen_it():
    """No bit of what is said of a fold, or of the others where it is left out, moves with its treatments."""
    drawn = nie_wager(90, seed=1, setup="A", d=5)
    study = hb.Study.from_frame(drawn.frame(), outcome="y", treatment="t", covariates=drawn.columns)
    folds = hb.Folds.make(study, 3, 0)
    other = study.with_(treatment=np.where(folds.fold == 1, 1.0 - study.treatment, study.treatment))
    before, after = (by_fold(each, folds, folds.fold, 0, 1) for each in (study, other))
    own = folds.fold == 1
    assert (before[0][own] == after[0][own]).all()
    assert (before[1][1, ~own] == after[1][1, ~own]).all()
    assert np.isnan(before[1][1, own]).all()
    assert (before[0][~own] != after[0][~own]).any()  # the others do see it
