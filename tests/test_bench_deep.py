"""Smoke of the deep engine's benches: small designs, loose bounds that a broken method fails, and the page made of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from bench import cross_section, edges, panel, render, required
from bench.metrics import judge, table
from hte_bridge import simulate

DESIGN = "nie_wager_B_500"  # a name that the page knows, here with few rows
DRAWS = 3
SD_OF_A_DRAW = 0.025  # of its coverage: bench/results has .020 to .025 on nie_wager_B, .022 on nonlinear_2k


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        one = {DESIGN: (partial(simulate.nie_wager, setup="B", d=5), 200)}
        patch.setattr(cross_section, "designs", lambda: one)
        patch.setattr(cross_section, "TEST_POINTS", 200)
        yield


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("cross")
    for draw in range(DRAWS):
        for engine in ("deep", "feols"):
            cross_section.run_and_write(DESIGN, engine, draw, out)
    return out


def test_cross_section_beats_a_constant_effect_and_covers(folder):
    rows = table(cross_section.merge(folder)).set_index("engine")
    effect = simulate.nie_wager(2_000, seed=1, setup="B", d=5).cate
    assert rows.loc["deep", "draws"] == DRAWS
    assert rows.loc["deep", "mse"] < 0.6 * effect.var()
    assert rows.loc["deep", "coverage"] > 0.95 - 4 * SD_OF_A_DRAW / DRAWS**0.5


def test_an_interval_of_noise_alone_would_fail_that_bound():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=500)
    shrunk = 0.5 * truth + 0.2 * rng.normal(size=500)  # half of the miss is bias
    assert judge(shrunk, np.full(500, 0.2), truth)["coverage"] < 0.85


def test_a_run_is_resumed_and_its_files_merge_into_one(folder):
    before = cross_section.merge(folder)
    cross_section.compact(folder)
    assert [path.name for path in folder.glob("*.parquet")] == ["results.parquet"]
    after = cross_section.merge(folder)
    assert (
        before.to_csv() == after.to_csv()
    )  # to the last digit; pandas 2.2 tells None from NaN where a frame came from two files


def test_the_page_says_what_is_met_and_the_front_page_shows_both_engines(folder):
    text = render.render(folder, folder)
    assert f"### {DESIGN}" in text
    assert "Target: MSE" in text
    block = render.front(table(render.shared(cross_section.merge(folder))))
    assert block.startswith(render.BEGIN)
    assert block.count(f"({DRAWS})") == 2


@pytest.mark.parametrize(("found", "word"), [(0.9, "meets"), (1.2, "**misses**")])
def test_a_bound_against_an_anchor_is_a_ratio(found, word):
    rows = pd.DataFrame({"engine": ["deep", "grf"], "mse": [found, 1.0]})
    bound = required.at_most(1.05)
    (one,) = required.judged("d", {required.Against("mse", "grf"): bound}, rows)
    assert str(one) == f"MSE over grf's {found:g} {word} at most 1.05"
    assert required.judged("d", {required.Against("mse", "bcf"): bound}, rows) == []


def test_intervals_that_cover_too_much_miss_a_range():
    rows = pd.DataFrame({"engine": ["deep"], "coverage": [0.99], "mse": [0.1], "draws": [7]})
    found = required.judged("d", {"mse": required.at_most(0.2), "coverage": (0.92, 0.97)}, rows)
    assert str(found[1]) == "coverage 0.99 **misses** 0.92 to 0.97"
    said = required.scoreboard(found)
    assert said.startswith("Of 2 targets 1 are met. Missed: d, coverage 0.99 (0.92 to 0.97).")
    assert "| d | 7 | MSE 0.1 (at most 0.2); coverage 0.99 (0.92 to 0.97) | **missed** |" in said


def test_what_is_set_against_an_anchor_shares_its_draws():
    rows = pd.DataFrame({"design": "d", "draw": [0, 1, 2, 1, 2, 3], "engine": ["deep"] * 3 + ["bcf"] * 3})
    assert sorted(render.shared(rows, "bcf")["draw"]) == [1, 1, 2, 2]


def test_claims_where_there_is_nothing_to_find_are_pooled():
    rows = pd.DataFrame({"design": ["nie_wager_C_500", "grf_table1_zero_800", "dense_500"] * 2})
    rows = rows.assign(engine="deep", joint_rejects=[1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
    said = render.nothing_to_find(rows)
    assert "over the 2 designs" in said
    assert "in 1 of 4 draws, 0.25 (MC 0.22), which **misses** 0.07" in said


def test_panel_beats_linear_interactions_and_covers(tmp_path):
    for engine in ("deep", "feols_linear"):
        panel.run(("nonlinear_2k", engine, 1, tmp_path))
    before = panel.table(tmp_path)
    panel.compact(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [panel.MERGED]
    pd.testing.assert_frame_equal(panel.table(tmp_path), before)
    rows = before.set_index("engine")
    assert rows.loc["deep", "error"] < 0.8 * rows.loc["feols_linear", "error"]
    assert rows.loc["deep", "coverage"] > 0.95 - 4 * SD_OF_A_DRAW
    assert rows.loc["feols_linear", "coverage"] < 0.5  # its intervals know of noise alone: the bound can fail


def test_the_page_of_edges_has_a_line_for_each_design_and_a_gap_where_a_variant_was_not_run():
    rng = np.random.default_rng(1)
    rows = [
        {"design": "steps_300", "engine": engine, "draw": k, "cpu_seconds": 1.0}
        | judge(rng.normal(size=50), np.ones(50), rng.normal(size=50))
        for engine in ("both", "grf")
        for k in range(2)
    ]
    last = edges.page(pd.DataFrame(rows)).strip().splitlines()[-1]
    assert last.startswith("| steps_300 |  | ")
    assert last.count("(2)") == 2


def test_every_design_with_edges_has_its_bounds():
    assert {name for name, bounds in required.MUST.items() if bounds is required.EDGED} == set(
        cross_section.edged()
    )
