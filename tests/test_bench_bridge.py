"""bench/bridge.py at toy size: it runs, agrees to the bit, and its summary adds up."""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

FILE = Path(__file__).parents[1] / "bench" / "bridge.py"
SPEC = importlib.util.spec_from_file_location("bench_bridge", FILE)
bridge = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = bridge  # dataclasses look their module up there
SPEC.loader.exec_module(bridge)


@pytest.mark.r
def test_it_measures_prints_and_stores(tmp_path, capsys):
    file = tmp_path / "new" / "bridge.parquet"
    bridge.main(["--n", "200", "--trees", "50", "--runs", "1", "--threads", "1", "--out", str(file)])
    said = capsys.readouterr().out
    assert "n = 200, p = 10, 50 trees, 1 runs, medians" in said
    assert "second call, warm worker:" in said
    stored = pd.read_parquet(file)
    assert sorted(stored["way"]) == ["Rscript", "bridge"]
    assert (stored[["wall", "processor", "memory"]] > 0).all(axis=None)


def test_the_summary_takes_medians_of_paired_ratios():
    rows = [
        bridge.Cost(run, way, wall, wall, wall * 2**20)
        for run, pair in enumerate([(1, 2), (2, 3), (10, 11)])
        for way, wall in zip(bridge.WAYS, pair, strict=True)
    ]
    found = bridge.summary(pd.DataFrame(rows)).set_index("what")
    assert found.loc["wall", ["Rscript", "bridge", "ratio", "must", "aim"]].tolist() == [2, 3, 1.5, 1.1, 1.05]
    assert found.loc["memory", ["Rscript", "bridge", "ratio"]].tolist() == [2, 3, 1.5]
