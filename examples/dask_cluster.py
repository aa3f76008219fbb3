"""A cluster: does a table whose passes were made by the workers of Dask hold the numbers that one process finds?

Simulated: an advertising panel of users, vendors and periods (`hte_bridge.simulate.panel`), written to a folder of Parquet files. The table is
made by this process, then by two workers: the study stays as it is, and only `client` is new. Two worker processes of this machine stand for a
cluster: elsewhere, hand `Client` the address of a scheduler whose workers have hte_bridge installed and see the same folder
(docs/howto/cluster.md).

    pip install "hte-bridge[cluster]"
    python examples/dask_cluster.py [--quick]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import hte_bridge as hb
from hte_bridge.simulate.panel import COVARIATES, panel

WORKERS = 2
ROWS = 60_000
FEW = 21_000  # fewer are fitted in memory, by this process alone
MISSING = 'This example needs dask and distributed: pip install "hte-bridge[cluster]"'
SAME = 1e-10  # of each estimate and error
QUICK = {"n_folds": 2, "epochs": 3, "hidden": (8,)}


def write(folder: Path, n: int) -> None:
    """A panel in four files."""
    frame = panel("nonlinear", n_rows=n, n_users=min(1_000, n // 50), seed=1).frame()
    for number, piece in enumerate(np.array_split(np.arange(n), 4)):
        frame.iloc[piece].to_parquet(folder / f"{number}.parquet", index=False)


def numbers(table: hb.Comparison) -> np.ndarray:
    """Estimates and errors (rows, 2) of the rows that have both."""
    return np.array([[row.estimate, row.std_error] for row in table.rows if np.isfinite(row.std_error)])


def conclude(gap: float) -> str:
    """What was seen, and what it rests on."""
    same = "the same numbers" if gap <= SAME else "OTHER NUMBERS"
    return f"""Conclusion
Both tables hold {same}: the largest gap, relative to the error of its row, is {gap:.1g}. Blocks of rows, and the order in which
their sums are added, depend on the rows alone, and each worker computes with one thread.

What would change it: workers with other versions of numpy or torch, or another kind of processor, which round differently."""


def main(quick: bool = False, n: int | None = None, **options: Any) -> float:
    """Print both tables' seconds and the table, and return the largest gap between them."""
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        print(MISSING, file=sys.stderr)
        raise SystemExit(2) from None
    # on the CPU: `auto` would choose by this machine's device, which the workers may lack
    engine = hb.Deep(seed=1, **({"device": "cpu"} | (QUICK if quick else {}) | options))
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), n or (FEW if quick else ROWS))
        effects = ["user", "vendor", "period"]
        study = hb.Study.from_parquet(
            name,
            outcome="y",
            treatment="t",
            covariates=list(COVARIATES[: 2 if quick else None]),
            fixed_effects=effects,
        )
        began = time.perf_counter()
        alone = hb.compare(study, [hb.Feols(), engine], seed=1)
        seconds = time.perf_counter() - began
        with (
            LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            client.wait_for_workers(WORKERS)
            began = time.perf_counter()
            together = hb.compare(study, [hb.Feols(), engine], seed=1, client=client)
            shared = time.perf_counter() - began
    own, theirs = numbers(alone), numbers(together)
    gap = float((np.abs(own - theirs) / own[:, 1:]).max())
    print(together)
    print(f"\nSeconds: {seconds:.1f} by this machine, {shared:.1f} by {WORKERS} workers\n\n{conclude(gap)}")
    return gap


if __name__ == "__main__":
    main("--quick" in sys.argv)
