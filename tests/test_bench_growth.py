"""bench/growth.py at toy size: it runs, resumes, and its table adds up."""

import numpy as np
import pandas as pd
import pytest

from bench import growth

SMALL = ["--quick", "--engines", "deep", "--threads", "1"]


def test_it_measures_stores_prints_draws_and_runs_nothing_twice(tmp_path, capsys, monkeypatch):
    for name in growth.THREADS:
        monkeypatch.setenv(name, "1")
    where = ["--out", str(tmp_path), "--plot", str(tmp_path / "new" / "growth.png"), "--score", "0"]
    growth.main([*SMALL, *where, "--sizes", "200"])
    said = capsys.readouterr().out
    assert "cross-section, 200 rows, deep, draw 1: " in said
    assert "One fit" in said
    assert "scored" not in said
    row = growth.read(tmp_path).iloc[0]
    assert (row["branch"], row["threads"]) == ("kernel", 1)
    assert row["seconds"] > 0
    assert 0.1 < row["memory_gb"] < 8
    assert (tmp_path / "new" / "growth.png").stat().st_size > 10_000
    growth.main([*SMALL, *where, "--sizes", "200,300", "--minutes", "0"])
    assert "draw" not in capsys.readouterr().out.split("One fit")[0]


def test_a_panel_is_written_in_pieces_and_fitted_from_them(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "PIECE", 250)
    growth.write_panel(tmp_path, 600, seed=1)
    files = sorted(tmp_path.glob("*.parquet"))
    first, second, last = (pd.read_parquet(file) for file in files)
    assert [len(first), len(second), len(last)] == [250, 250, 100]
    key = ["user", "vendor", "period", "t", "a"]
    ordered = [each.sort_values([*key, "y"])[key].to_numpy() for each in (first, second)]
    assert np.array_equal(*ordered)  # the same rows,
    assert len(np.intersect1d(first["y"], second["y"])) == 0  # with noise of their own
    found = growth.fit_panel(growth.Job("panel", 600, "deep", 1, options=growth.QUICK["deep"]), tmp_path)
    assert found["seconds"] > 0


def test_scoring_says_seconds_and_memory_for_both_branches(monkeypatch):
    jobs = list(growth.plan(growth.arguments([*SMALL, "--sizes", "", "--score", "40"])))
    assert [(job.engine, job.n, job.scored) for job in jobs] == [
        ("deep kernel", 500, 40),
        ("deep gram", 5_000, 40),
    ]
    rows = growth.measure(growth.Job("scoring", 150, "deep kernel", 1, 40, growth.QUICK["deep"]))
    found = growth.scoring(pd.DataFrame([rows, rows | {"scored": 1_000_000}])).set_index("scored")
    assert rows["branch"] == "kernel"
    assert rows["memory_gb"] >= rows["memory_before_gb"]
    assert found.loc[1_000_000, "most_seconds"] == 30
    assert np.isnan(found.loc[40, "most_seconds"])


def test_grf_stops_where_it_is_told_and_panels_start():
    asked = growth.arguments(["--score", "0"])
    found = [(job.part, job.n, job.engine) for job in growth.plan(asked)]
    assert max(n for _, n, engine in found if engine == "grf") == 100_000
    assert [n for part, n, _ in found if part == "panel"] == [1_000_000, 10_000_000]
    assert max(n for part, n, _ in found if part == "cross-section") == 1_000_000


@pytest.mark.r
def test_memory_of_grf_holds_that_of_r():
    job = growth.Job("cross-section", 200, "grf", 1, options=growth.QUICK["grf"])
    row = growth.measure(job)
    assert row["branch"] == "forest"
    assert row["memory_gb"] > 0.1


def test_the_ratio_is_paired_by_draw():
    rows = [
        {
            "part": "cross-section",
            "n": 100,
            "engine": engine,
            "draw": draw,
            "seconds": seconds,
            "memory_gb": 1.0,
        }
        for draw, pair in enumerate([(2.0, 1.0), (40.0, 10.0)])
        for engine, seconds in zip(("deep", "grf"), pair, strict=True)
    ]
    rows.append({"part": "panel", "n": 900, "engine": "deep", "draw": 0, "seconds": 1.0, "memory_gb": 2.0})
    found = growth.table(pd.DataFrame(rows)).set_index(["part", "engine"])
    assert found.loc[("cross-section", "deep"), ["seconds", "over_grf", "draws"]].tolist() == [21.0, 3.0, 2]
    assert found.loc[("cross-section", "grf"), "over_grf"] == 1
    assert np.isnan(found.loc[("panel", "deep"), "over_grf"])
