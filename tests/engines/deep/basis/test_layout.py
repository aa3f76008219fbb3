"""Which blocks a structure asks for, for all rows and for each fold."""

from __future__ import annotations

import numpy as np
import pytest

from hte_bridge.engines.deep.basis.blocks import Sizes, varying_slope_blocks
from hte_bridge.engines.deep.basis.features import Block
from hte_bridge.engines.deep.basis.interactions import Structure
from hte_bridge.engines.deep.basis.layout import layout, unheard_blocks


@pytest.mark.parametrize(("loudest", "found"), [(0.0008, []), (0.05, [(0, 1)])])
def test_pairs_that_networks_make_of_noise_are_left_out(loudest, found):
    pairs = np.full((4, 4), 0.0002) * (1 - np.eye(4))
    pairs[0, 1] = pairs[1, 0] = loudest
    structure = Structure(np.array([1.0, 0.5, 0.1, 0.1]), pairs)
    assert structure.strongest(6) == found
    assert not structure.crowded


@pytest.mark.parametrize(("worth", "asked"), [(1e4, True), (1.0, False)])
def test_pairs_are_asked_for_only_where_the_effect_is_more_than_noise(worth, asked):
    z = np.random.default_rng(1).normal(size=(400, 3))
    pairs = np.full((3, 3), 0.0002) * (1 - np.eye(3))
    pairs[0, 1] = pairs[1, 0] = 0.1
    structure = Structure(np.full(3, 0.5), pairs)
    blocks = layout(z, list("abc"), [], [structure, structure], structure, [worth] * 3, seed=1)
    assert any(block.kind == "tilt" for block in blocks) == asked


def test_a_slope_that_jumps_between_two_values_is_followed_where_each_is_seen_often():
    rng = np.random.default_rng(1)
    values = np.sort(rng.normal(size=60))
    z = np.column_stack([rng.normal(size=30_000), rng.choice(values, 30_000)])
    jumps = z[:, 0] * (z[:, 1] > values[30])
    left = {}
    for block in varying_slope_blocks(z, ["a", "b"], (0, 1), Sizes.of(len(z), 2)):
        if block.columns == (0, 1):
            made = block.raw(z.astype(np.float32)).astype(float)
            left[block.name] = np.mean((jumps - made @ np.linalg.lstsq(made, jumps)[0]) ** 2)
    assert left["walk a b"] < 1e-6 < left["tilt a b"]
    few = varying_slope_blocks(z[:1_000], ["a", "b"], (0, 1), Sizes.of(1_000, 2))
    assert not any(block.name.startswith("walk") for block in few)


def test_an_effect_with_few_levels_gets_tilts_of_pairs_that_no_network_heard():
    z = np.random.default_rng(1).normal(
        size=(400, 4)
    )  # a and b are fixed within one effect, c and d within the other
    loud, deaf = np.array([1.0, 0.8, 0.5, 0.05]), np.array([1.0, 0.02, 0.5, 0.3])
    everyone, first, second = (Structure(each, np.zeros((4, 4))) for each in (loud, loud, deaf))
    there = [Block("tilt b c", "tilt", (1, 2), {}, (0,), main=True)]
    together = [np.array([0, 1]), np.array([2, 3])]
    made = unheard_blocks(z, list("abcd"), [first, second], everyone, there, together)
    found = {each.name: (each.main, each.folds) for each in made}
    # b c was heard by the first fold; a d matters to the second alone; a b and c d are fixed within one effect
    assert found == dict.fromkeys(["tilt a c", "tilt c a"], (True, (0, 1))) | dict.fromkeys(
        ["tilt a d", "tilt d a"], (False, (1,))
    )


def test_where_each_point_is_one_row_features_are_fewer():
    few, many = (Sizes.of(10_000, 12, alone=alone) for alone in (True, False))
    assert few.bins == many.bins
    assert few.single < many.single
    assert few.everything < many.everything
    assert Sizes.of(400_000, 12, alone=True) == Sizes.of(400_000, 12)
