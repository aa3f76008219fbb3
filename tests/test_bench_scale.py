"""bench/scale.py: files are those of one panel, a row that is there is not made again, and what was found is said beside what must be."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bench import scale, scale_kills, scale_page

PARTS = json.dumps({"deep": {"networks": 10.0, "models": 10.0}})
ROW = {
    "dask": 0,
    "parts": PARTS,
    "memory_gb": 2.0,
    "private_gb": 1.5,
    "beta_error": 0.5,
    "coverage": 0.95,
    "z": 0.1,
    "cpu_seconds": 300.0,
    "load": 2.0,
}


def test_a_panel_is_written_in_pieces_with_its_average_effect(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "PIECE", 400)
    truth = scale.write(tmp_path, 1_000, seed=1)
    files = sorted(tmp_path.glob("*.parquet"))
    frame = pd.concat([pd.read_parquet(file) for file in files])
    assert (len(files), len(frame), frame["tier"].nunique()) == (3, 1_000, 4)
    assert frame.groupby("user")["tier"].nunique().max() == 1
    assert 1 < truth < 4


def test_a_row_that_is_there_is_not_made_again(tmp_path):
    made = []
    for _ in range(2):
        found = scale.once("some", tmp_path, lambda: made.append(1) or {"seconds": 2.0})
    assert (len(made), found) == (1, {"seconds": 2.0})


def test_growth_and_forecast_are_said(tmp_path):
    for n, seconds in ((1_000_000, 100.0), (10_000_000, 910.0)):
        file = tmp_path / f"scale-{n}.json"
        file.write_text(json.dumps(ROW | {"n": n, "seconds": seconds}))
    said = scale.conclude(tmp_path)
    assert "growth of seconds 9.10 (must 10.5)" in said
    assert '"here": 9020.0, "there": 582.5' in said


def test_the_page_shows_each_figure_beside_its_bound(tmp_path):
    assert scale_page.page(tmp_path) == ""
    for n, seconds in ((1_000_000, 100.0), (10_000_000, 910.0)):
        (tmp_path / f"scale-{n}.json").write_text(json.dumps(ROW | {"n": n, "seconds": seconds}))
    for workers, seconds in ((1, 200.0), (2, 120.0)):
        row = json.dumps(ROW | {"n": 1_000_000, "seconds": seconds})
        (tmp_path / f"scale-1000000-dask{workers}.json").write_text(row)
    for seed, z in enumerate((-1.0, 1.0)):
        (tmp_path / f"scale-ape-200000-{seed}.json").write_text(json.dumps({"z": z}))
    (tmp_path / "scale-kills-client.json").write_text(json.dumps({"same": 10, "of": 10}))
    said = scale_page.page(tmp_path)
    cells = [
        [each.strip() for each in line.split("|")[1:3]] for line in said.splitlines() if line.startswith("|")
    ]
    assert ["10,000,000", "2.0"] in cells
    assert ["target, at 10,000,000", "6"] in cells
    assert "take 9.1 times the seconds (target 10.5)" in said
    assert "20 + 100 x 90 x 2 / 32 = 582 s" in said
    assert "120 of 200 s, 0.60 (target 0.65)" in said
    assert "in 2 draws (`--ape 100`): mean of z 0.00, sd 1.41" in said
    assert "(client) and begun again: the same numbers in 10 of 10" in said


def test_memory_of_a_process_that_is_gone_is_none():
    assert scale.held(2**22 + 1) == (0, 0)


def test_options_are_read():
    asked = scale.arguments(["--sizes", "10,20", "--dask", "1,2"])
    assert (asked.sizes, asked.dask) == ([10, 20], [1, 2])
    with pytest.raises(SystemExit):
        scale.arguments(["--sizes", "many"])


def test_a_killed_run_is_held_against_one_that_was_not_and_each_is_kept(tmp_path, monkeypatch):
    runs = []

    def run(given):
        runs.append(given)
        return {"numbers": "[[1.0, 2.0]]", "seconds": 1.0, "workers_lost": int(given["dask"] > 0)}

    monkeypatch.setattr(scale_kills, "write", lambda folder, n, seed: 0.0)
    monkeypatch.setattr(scale_kills, "watched", run)
    monkeypatch.setattr(scale_kills, "after_a_kill", lambda given, seconds: (run(given), True))
    asked = scale.arguments(["--kills", "2", "--worker-kills", "3", "--out", str(tmp_path)])
    for _ in range(2):
        scale_kills.kills(asked)
    assert len(runs) == 7
    assert len({each["checkpoint"] for each in runs if each.get("checkpoint")}) == 2
    found = [json.loads((tmp_path / f"scale-kills-{who}.json").read_text()) for who in ("client", "worker")]
    assert [(each["same"], each["lost"], each["of"]) for each in found] == [(2, 2, 2), (3, 3, 3)]
    assert "(worker) and begun again: the same numbers in 3 of 3" in scale_page.kills(
        {"kills-worker": found[1]}
    )


def test_files_that_are_kept_are_written_once_and_go_with_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "PIECE", 400)
    asked = scale.arguments(["--keep", str(tmp_path)])
    begun = scale.files_of(asked, 1_000)
    folder, truth, _ = begun.__enter__()
    written = {file: file.stat().st_mtime_ns for file in folder.glob("*.parquet")}
    assert not begun.__exit__(SystemExit, SystemExit("killed"), None)
    with scale.files_of(asked, 1_000) as (again, same, kept):
        assert (again, same) == (folder, truth)
        assert {file: file.stat().st_mtime_ns for file in again.glob("*.parquet")} == written
        assert kept.startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
