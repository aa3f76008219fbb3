"""bench/speed.py at toy size: it measures, writes and prints."""

import os

import pandas as pd
import pytest

from bench import speed


def test_two_cores_beside_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(speed, "NEW_ROWS", 20)
    speed.main(["--sizes", "", "--cores", "60", "--pairs", "1", "--out", str(tmp_path)])
    assert "Seconds on the clock" in capsys.readouterr().out
    row = pd.read_parquet(tmp_path / "speed-cores.parquet").iloc[0]
    assert row["ratio"] == pytest.approx(row["two"] / row["one"])


def test_seconds_are_those_of_children_too():
    before = speed.processor_seconds()
    for _ in range(200_000):
        os.getpid()
    assert speed.processor_seconds() > before


@pytest.mark.r
def test_a_pair_with_grf(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(speed, "NEW_ROWS", 20)
    speed.main(["--quick", "--sizes", "80", "--pairs", "1", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert "ratio to grf pair by pair" in said
    assert pd.read_parquet(tmp_path / "speed-pairs.parquet").iloc[0]["grf"] > 0


def test_rows_of_other_sizes_stay(tmp_path):
    file = tmp_path / "speed-pairs.parquet"
    pd.DataFrame({"n": [500, 1_000], "ratio": [2.0, 3.0]}).to_parquet(file)
    found = speed.with_other_sizes([{"n": 1_000, "ratio": 1.0}], file)
    assert found.to_dict("list") == {"n": [500, 1_000], "ratio": [2.0, 1.0]}


def test_a_panel_says_seconds_and_memory():
    quick = {"n_folds": 2, "epochs": 1, "hidden": (4,), "n_jobs": 1}
    row = speed.of_panel("threshold_700", 1, **quick)
    assert row["n"] == 700
    assert min(row["seconds"], row["processor"], row["memory_gb"]) > 0.0


def test_what_waves_say_is_the_effect():
    made = speed.waves(300, seed=1)
    assert made.beta == pytest.approx(made.beta_at(made.covariates))
    assert made.beta.std() > 0.3
    other = speed.panel("constant", n_rows=300, seed=1)
    assert made.outcome - made.beta * made.treatment == pytest.approx(other.outcome - 2.0 * other.treatment)
