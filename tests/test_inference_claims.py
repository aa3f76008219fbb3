"""A few draws of the claims of bench/inference.py: each holds, and its naive version fails."""

import importlib.util
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "bench" / "inference.py"
SPEC = importlib.util.spec_from_file_location("bench_inference", FILE)
bench = importlib.util.module_from_spec(SPEC)
sys.modules["bench_inference"] = bench
SPEC.loader.exec_module(bench)

DRAWS = 120  # three Monte-Carlo errors are 0.06: enough to tell 5 % from the 20-60 % of most naive versions
MORE = {"rate: Qini, nothing there": 400}  # its naive version rejects 16 %
CLAIMS = {claim.name: claim for claim in bench.CLAIMS}
SMOKE = (
    "gate: joint band",
    "gate: equality, clusters",
    "gates: highest - lowest, nothing there",
    "rate: Qini, nothing there",
    "projection: joint test, weak overlap",
    "Romano-Wolf: any of ten",
    "wild bootstrap, ten clusters",
    "randomisation, clusters treated",
    "counterfactual: total",
    "medians over splits, nothing there",
)


@pytest.mark.parametrize("name", SMOKE)
def test_claim_holds_and_its_naive_version_fails(name):
    claim, draws = CLAIMS[name], MORE.get(name, DRAWS)
    assert claim.holds(bench.frequency(claim.honest, draws, seed=2), draws)
    assert not claim.holds(bench.frequency(claim.naive, draws, seed=2), draws)


def test_the_page_is_what_the_bench_measured():
    import pandas as pd

    frame = pd.read_parquet(bench.PARQUET)
    assert bench.page(frame) == bench.PAGE.read_text(encoding="utf8")
    assert frame["holds"].all()
    assert not frame["naive_holds"].any()
    assert set(frame["claim"]) == set(CLAIMS)
    assert (frame["draws"] >= 500).all()
