"""Cost of grf through the bridge over plain `Rscript` doing the same: wall, processor time, peak memory.

    python -m bench.bridge [--n 20000] [--trees 2000] [--runs 5] [--threads 2] [--out bench/results/bridge.parquet]

Both are whole processes, taken in turn: start, read the data, grow `causal_forest`, predict out of bag with variance,
write. Their numbers must agree to the bit. Memory is the sum of resident memory over a process and its children, so
pages that they share are counted more than once, to the bridge's disadvantage.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

SAMPLE_SECONDS = 0.05
P = 10
WAYS = ("Rscript", "bridge")
MUST_AIM = {"wall": (1.10, 1.05), "processor": (np.nan, np.nan), "memory": (1.5, 1.2)}
RSCRIPT = """
library(grf)
d <- matrix(readBin("data", "double", {count}), ncol = {columns})
forest <- causal_forest(d[, 1:{p}], d[, {columns} - 1], d[, {columns}], num.trees = {trees}, seed = 1, num.threads = {threads})
said <- predict(forest, estimate.variance = TRUE)
writeBin(c(said$predictions, said$variance.estimates, forest$Y.hat, forest$W.hat), "Rscript.said")
"""
BRIDGE = """
import numpy as np, pandas as pd
import hte_bridge as hb
d = np.fromfile("data").reshape({columns}, -1).T
names = [f"x{{j}}" for j in range({p})]
study = hb.Study.from_frame(pd.DataFrame(d, columns=[*names, "y", "w"]), outcome="y", treatment="w", covariates=names)
fit = hb.CausalForest(num_trees={trees}, seed=1, num_threads={threads}).fit(study)
np.concatenate([fit.heldout.cate, fit.variance, fit.heldout.outcome_mean, fit.heldout.propensity]).tofile("bridge.said")
"""


@dataclass(frozen=True)
class Cost:
    """One run of one way: seconds on the wall and on processors, peak bytes."""

    run: int
    way: str
    wall: float
    processor: float
    memory: float


def write_data(folder: Path, n: int) -> None:
    """Columns x0..x9, y, w of n units with an effect that varies."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, P))
    w = (rng.random(n) < 1 / (1 + np.exp(-x[:, 1]))) * 1.0
    y = np.maximum(x[:, 0], 0) * w + x[:, 1] + rng.normal(size=n)
    np.column_stack([x, y, w]).ravel(order="F").tofile(folder / "data")


def commands(n: int, trees: int, threads: int) -> dict[str, list[str]]:
    """The two programs."""
    values = {"count": n * (P + 2), "columns": P + 2, "p": P, "trees": trees, "threads": threads}
    r = shutil.which("Rscript")
    if r is None:
        raise SystemExit("Rscript must be on the PATH. Install R; `hte-bridge doctor` says how.")
    return {
        "Rscript": [r, "--no-init-file", "-e", RSCRIPT.format(**values)],
        "bridge": [sys.executable, "-c", BRIDGE.format(**values)],
    }


def cost(run: int, way: str, command: Sequence[str], folder: Path) -> Cost:
    """Run a program to its end and watch it."""
    from hte_bridge.rlink.versions import library_path

    root = str(Path(__file__).parents[1])
    environment = os.environ | {"R_LIBS": str(library_path() or ""), "PYTHONPATH": root}
    before, began, peak = os.times(), time.perf_counter(), 0
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, resident(process.pid))
            time.sleep(SAMPLE_SECONDS)
    wall, after = time.perf_counter() - began, os.times()
    if process.returncode:
        raise SystemExit(f"{way} must run to its end. It ended with status {process.returncode}.")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(run, way, wall, used, peak)


def resident(pid: int) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def measure(n: int, trees: int, runs: int, threads: int, out: Path | None = None) -> pd.DataFrame:
    """One row per run and way, stored in ``out`` after each run; the order of the two alternates."""
    costs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, n)
        programs = commands(n, trees, threads)
        for run in range(runs):
            for way in WAYS[:: 1 if run % 2 == 0 else -1]:
                costs.append(cost(run, way, programs[way], folder))
                print(f"run {run + 1} of {runs}, {way}: {costs[-1].wall:.1f} s", file=sys.stderr)
            if (folder / "Rscript.said").read_bytes() != (folder / "bridge.said").read_bytes():
                raise SystemExit("The bridge must give the numbers of Rscript. They differ.")
            rows = pd.DataFrame([asdict(each) for each in costs]).assign(
                n=n, p=P, trees=trees, threads=threads
            )
            if out:
                out.parent.mkdir(parents=True, exist_ok=True)
                rows.to_parquet(out)
    return rows


def summary(costs: pd.DataFrame) -> pd.DataFrame:
    """Medians of both ways and the median of the ratios run by run."""
    rows = []
    for what, (must, aim) in MUST_AIM.items():
        wide = costs.pivot(index="run", columns="way", values=what)
        scale = 2**20 if what == "memory" else 1
        medians = {way: wide[way].median() / scale for way in WAYS}
        ratio = (wide["bridge"] / wide["Rscript"]).median()
        rows.append({"what": what, **medians, "ratio": ratio, "must": must, "aim": aim})
    return pd.DataFrame(rows)


def warm_overhead(n: int, runs: int) -> float:
    """Median seconds that a second fit spends on the bridge itself: columns there and back, versions."""
    from hte_bridge.rlink import client

    x = np.asfortranarray(np.random.default_rng(0).normal(size=(n, P)))
    seconds = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        client.call("list", {"X": x, "Y": x[:, 0], "W": x[:, 1]})
        client.record("grf")
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])  # the first starts the worker


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description="Cost of grf through the bridge over plain Rscript.")
    for name, value in {"n": 20_000, "trees": 2_000, "runs": 5, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(arguments)
    costs = measure(asked.n, asked.trees, asked.runs, asked.threads, asked.out)
    print(f"n = {asked.n:,}, p = {P}, {asked.trees:,} trees, {asked.runs} runs, medians; s, s, MiB")
    print(summary(costs).to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep=""))
    print(
        f"second call, warm worker: {warm_overhead(asked.n, asked.runs):.4f} s on the bridge (must .2, aim .05)"
    )


if __name__ == "__main__":
    main()
