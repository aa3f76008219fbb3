"""What R's hte_compare() costs over grf alone: wall time and peak memory of the R process, in one run.

Usage: python bench/r_overhead.py [--n 20000] [--trees 2000] [--runs 3]

Ratios are of medians, the two sides in turn, each run in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
WALL, MEMORY, WARM = 1.15, 1.2, 0.3  # at most: ratio, ratio, seconds beyond the fit


def measure(kind: str, n: int, trees: int) -> tuple[float, float, float]:
    """Wall seconds, peak memory (MiB) and processor seconds of the R process."""
    library = Path(sys.prefix) / "r-library"
    paths = os.pathsep.join(filter(None, [str(library), os.environ.get("R_LIBS", "")]))
    environment = os.environ | {"R_LIBS": paths, "HTE_BRIDGE_PYTHON": sys.executable}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seconds"
        command = ["Rscript", "--vanilla", str(HERE / "r_overhead.R"), kind, str(out), str(n), str(trees)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)  # of this process alone: Python is a child of R
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{kind} ended with status {process.returncode}")
        return float(out.read_text()), peak(used), used.ru_utime + used.ru_stime


def peak(used: resource.struct_rusage) -> float:
    """Peak resident memory in MiB."""
    return used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Print the three figures with their bounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--trees", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    runs = {"alone": [], "compare": []}
    for _ in range(chosen.runs):
        for kind, found in runs.items():
            found.append(measure(kind, chosen.n, chosen.trees))
    seconds, memory, work = (
        {kind: median(each[j] for each in found) for kind, found in runs.items()} for j in range(3)
    )
    warm = measure("warm", 1_000, 100)[0]
    figures = [
        ("wall, ratio to grf alone", seconds["compare"] / seconds["alone"], WALL),
        ("peak memory of R, ratio", memory["compare"] / memory["alone"], MEMORY),
        ("second call beyond the fit, s", warm, WARM),
    ]
    busy = work["compare"] / work["alone"]  # steady where other work takes the processors meanwhile
    print(f"n = {chosen.n:,}, {chosen.trees:,} trees, medians of {chosen.runs}: {seconds}, {memory}")
    print(f"      processor time of R, ratio       {busy:.3f}")
    for name, value, bound in figures:
        print(f"{'pass' if value <= bound else 'FAIL':<5} {name:<32} {value:.3f} (at most {bound})")
    sys.exit(any(value > bound for _, value, bound in figures))


if __name__ == "__main__":
    main()
