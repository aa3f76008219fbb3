"""Frames that a fit answers with: intervals, none where there is no theory, and sentences about predictions out of range."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hte_bridge.engines.deep.read.answers import (
    NOT_CONVERGED,
    answer,
    group_codes,
    range_notes,
    recovered_answer,
)
from hte_bridge.errors import InvalidNewData, InvalidOption, NotIdentified

INDEX = pd.Index(["a", "b"])
ESTIMATE, ERROR = np.array([1.0, 2.0]), np.array([0.5, 0.25])


def test_an_answer_is_estimate_and_normal_interval():
    found = answer(ESTIMATE, ERROR, 0.95, INDEX)
    assert list(found) == ["estimate", "std_error", "conf_low", "conf_high"]
    assert found.index.equals(INDEX)
    np.testing.assert_allclose(found["conf_high"] - found["estimate"], 1.959964 * ERROR, rtol=1e-6)
    assert "note" not in found.attrs


def test_without_convergence_there_is_no_interval_and_a_reason():
    found = answer(ESTIMATE, ERROR, 0.9, INDEX, converged=False)
    assert (found["estimate"] == ESTIMATE).all()
    assert found[["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
    assert found.attrs["note"] == NOT_CONVERGED


def test_a_level_outside_its_range_is_a_sentence():
    with pytest.raises(InvalidOption, match=r"Did you mean 0\.95"):
        answer(ESTIMATE, ERROR, 95, INDEX)


def test_groups_are_sorted_and_gaps_are_named():
    labels, codes = group_codes(np.array(["b", "a", "b"]), 3)
    assert (labels.tolist(), codes.tolist()) == (["a", "b"], [1, 0, 1])
    assert group_codes(None, 2)[1].tolist() == [0, 0]
    with pytest.raises(InvalidNewData, match="That of row 1 is missing"):
        group_codes(np.array(["a", None, "b"], dtype=object), 3)
    with pytest.raises(InvalidNewData, match="2 labels for 3 rows"):
        group_codes(["a", "b"], 3)
    with pytest.raises(InvalidNewData, match="at least one row"):
        group_codes(None, 0)


@pytest.mark.parametrize(
    ("outcome", "mean", "said"),
    [
        ([0.0, 1.0, 1.0], [0.2, 1.1, -0.1], "2 of 3 predicted outcome means leave [0, 1]"),
        ([0.0, 3.0, 7.0], [-0.5, 2.0, 9.0], "1 of 3 predicted outcome means leave the nonnegative numbers"),
        ([0.0, 3.0, 7.0], [0.5, 2.0, 9.0], ""),
        ([-1.0, 0.5, 2.0], [-9.0, 2.0, 9.0], ""),
    ],
)
def test_predictions_that_no_outcome_can_be_are_counted(outcome, mean, said):
    study = SimpleNamespace(outcome=np.array(outcome), n=3)
    notes = range_notes(study, SimpleNamespace(outcome_mean=np.array(mean)))
    assert (said in notes[0]) if said else notes == ()


def test_a_recovered_effect_says_why_a_level_has_no_interval():
    study = SimpleNamespace(names=SimpleNamespace(fixed_effects=("unit", "year")))
    parts = ((ESTIMATE, np.array([0.1, np.nan]), np.array([0, 0])),) * 2
    levels = (np.array(["u", "v"]), np.array([1, 2]))
    found = recovered_answer(study, "unit", parts, levels, 0.95, converged=True)
    assert found["component"].tolist() == [0, 0]
    assert found["note"].tolist()[0] == ""
    assert "errors go on within clusters" in found["note"].tolist()[1]
    with pytest.raises(NotIdentified, match="`town` is not one; it has `unit`, `year`"):
        recovered_answer(study, "town", parts, levels, 0.95, converged=True)
