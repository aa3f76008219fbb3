"""Cost of our feols rows over bare pyfixest: 500,000 rows, three effects (users, vendors, periods).

    python bench/feols.py [--n 500000] [--runs 5]

Bare pyfixest fits the same two models (with and without covariates) with the same clustered errors on the same frame.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
import pandas as pd


def panel(n: int, seed: int) -> pd.DataFrame:
    """Users, vendors and periods in the ratio of docs/benchmarks.md's panel."""
    rng = np.random.default_rng(seed)
    user, vendor, period = rng.integers(0, 1000, n), rng.integers(0, 200, n), rng.integers(0, 20, n)
    frame = pd.DataFrame({f"x{j}": rng.normal(size=n) for j in range(4)})
    dose = np.log1p(rng.poisson(np.exp(rng.normal(size=1000)[user] * 0.3)))
    y = 2 * dose + frame.to_numpy() @ [1, -1, 0.5, 0] + user / 500 + vendor / 100 + rng.normal(size=n)
    return frame.assign(y=y, dose=dose, user=user, vendor=vendor, period=period)


def bare(frame: pd.DataFrame) -> list[float]:
    """The two models by pyfixest alone."""
    import pyfixest

    out = []
    for right in ("dose + x0 + x1 + x2 + x3", "dose"):
        model = pyfixest.feols(f"y ~ {right} | user + vendor + period", data=frame, vcov={"CRV1": "user"})
        out.append(float(model.tidy().loc["dose", "Std. Error"]))
    return out


def ours(frame: pd.DataFrame) -> list[float]:
    """The same two rows, from the frame to the intervals."""
    import hte_bridge as hb

    study = hb.Study.from_frame(
        frame,
        outcome="y",
        treatment="dose",
        covariates=["x0", "x1", "x2", "x3"],
        fixed_effects=["user", "vendor", "period"],
        cluster="user",
    )
    return [row.std_error for row in hb.Feols().fit(study).rows(0.95)]


def measure(n: int, runs: int) -> dict[str, float]:
    """Medians of wall seconds, the ratio, and the largest gap between standard errors."""
    frame = panel(n, seed=1)
    warnings.simplefilter("ignore")
    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    found = {}
    for run in range(runs + 1):
        for name, fit in (("bare", bare), ("ours", ours)):
            began = time.perf_counter()
            found[name] = fit(frame)
            if run:  # the first run warms caches
                seconds[name].append(time.perf_counter() - began)
    ratios = [ours / bare for ours, bare in zip(seconds["ours"], seconds["bare"], strict=True)]
    return {
        "bare": statistics.median(seconds["bare"]),
        "ours": statistics.median(seconds["ours"]),
        "ratio": statistics.median(ratios),
        "gap": max(abs(a - b) for a, b in zip(found["ours"], found["bare"], strict=True)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    found = measure(given.n, given.runs)
    print(f"feols rows, n = {given.n:,}, three effects, medians of {given.runs} runs")
    print(f"| bare pyfixest | {found['bare']:.2f} s |\n| ours | {found['ours']:.2f} s |")
    print(
        f"| ratio (must 1.2, aim 1.05) | {found['ratio']:.3f} |\n| largest gap of std_error | {found['gap']:.1e} |"
    )


if __name__ == "__main__":
    main()
