"""Options of the deep engine are checked when they are given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hte_bridge as hb
from hte_bridge.errors import InvalidOption
from hte_bridge.simulate import dense
from tests.helpers.studies import cross_section


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InvalidOption, match="'cuda' was asked for and is not there"):
        hb.Deep(device="cuda").fit(cross_section(dense(40, seed=1, p=2)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "tpu"}, "`device` must be auto"),
        ({"seed": -1}, "`seed` must be a whole number"),
        ({"draws": 0}, "`draws` must be a whole number, 1 or more"),
        ({"n_folds": 1}, "`n_folds` must be a whole number, 2 or more"),
        ({"seed": "a"}, "`seed` must be a whole number, 0 or more. 'a' was given"),
        ({"draws": 2.5}, "`draws` must be a whole number"),
        ({"effect_rate": np.inf}, "`effect_rate` must be above 0 and finite"),
        ({"hidden": 64}, "`hidden` must be the widths of the networks' layers"),
        ({"hidden": (64, 0)}, "`hidden` must be a whole number, 1 or more. 0 was given"),
        ({"n_jobs": 0}, "`n_jobs` must be a number of folds"),
        ({"checkpoint": 5}, "`checkpoint` must be the path of a folder"),
    ],
)
def test_options_are_checked(options, sentence):
    with pytest.raises(InvalidOption, match=sentence):
        hb.Deep(**options)
