"""A cluster: do the folds of a deep fit, run by the workers of Dask, give the numbers that one process gives?

Simulated: an experiment with equal arms (Nie and Wager, 2021, Biometrika 108(2), set-up B). The study is fitted here and
again under `joblib.parallel_config(backend="dask")`; no option of `hb.Deep` names the cluster. Two worker processes of this machine
stand for a cluster: elsewhere, hand `Client` the address of a scheduler whose workers have hte_bridge installed.

    pip install "hte-bridge[cluster]"
    python examples/dask_cluster.py [--quick]
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pandas as pd

import hte_bridge as hb
from hte_bridge.simulate import nie_wager

WORKERS = 2
ROWS, COVARIATES = (
    4_000,
    5,
)  # more rows than `kernel_max_rows`: the networks of each fold are the work to share
SCIKIT = "_fit_and_score"  # scikit-learn, which fits the linear nuisances, goes through joblib as well
MISSING = 'This example needs dask and distributed: pip install "hte-bridge[cluster]"'
QUICK = {"n_folds": 2, "epochs": 3, "hidden": (16,), "draws": 4, "kernel_max_rows": 0}


def draw(n: int) -> tuple[hb.Study, pd.DataFrame]:
    """The study, and the rows at which the two fits are compared."""
    made = nie_wager(n, seed=1, setup="B", d=COVARIATES)
    study = hb.Study.from_frame(
        made.frame(), outcome="y", treatment="t", covariates=made.columns, propensity=0.5
    )
    return study, nie_wager(500, seed=2, setup="B", d=COVARIATES).frame()


def calls(stream: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """``task calls workers`` of what the scheduler says was run; joblib sends short calls several at a time."""
    rows = []
    for each in stream:
        found = re.fullmatch(r"(?:mixed_)?batch_of_(.+)_(\d+)_calls-\w+", str(each["key"]))
        if found and each["status"] == "OK":
            rows.append((found[1], int(found[2]), each["worker"]))
    frame = pd.DataFrame(rows, columns=["task", "calls", "worker"])
    return frame.groupby("task", as_index=False).agg(calls=("calls", "sum"), workers=("worker", "nunique"))


def largest_gap(one: hb.engines.deep.DeepFit, other: hb.engines.deep.DeepFit, new: pd.DataFrame) -> float:
    """Largest absolute difference: effects, errors and intervals at new rows, and held-out predictions."""
    pairs = [(one.cate(new).to_numpy(), other.cate(new).to_numpy())]
    for name in ("cate", "outcome_mean", "propensity"):
        pairs.append((getattr(one.heldout, name), getattr(other.heldout, name)))
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def conclude(gap: float, ran: pd.DataFrame) -> str:
    """What was seen, and what it rests on."""
    folds = int(ran.loc[ran["task"] != SCIKIT, "calls"].sum())
    same = "the same numbers, bit for bit" if gap == 0 else f"numbers that differ by up to {gap:.3g}"
    return f"""Conclusion
{folds} pieces of fold work ran on the workers, and the two fits have {same}: each piece has a seed of its
own and one thread.

What would change it: workers with another version of torch or another kind of processor, which round differently;
folds of seconds, for which starting workers and sending them the rows costs more than it saves."""


def main(quick: bool = False, n: int | None = None, **options: Any) -> tuple[float, pd.DataFrame]:
    """Print and return the largest gap between the two fits, and what ran on the workers."""
    try:
        from dask.distributed import Client, LocalCluster, get_task_stream
    except ImportError:
        print(MISSING, file=sys.stderr)
        raise SystemExit(2) from None
    study, new = draw(n or (400 if quick else ROWS))
    # on the CPU: `auto` would choose by this machine's device, which the workers may lack
    chosen = {"n_jobs": WORKERS, "device": "cpu"} | (QUICK if quick else {}) | options
    engine = hb.Deep(seed=1, **chosen)
    began = time.perf_counter()
    alone = replace(engine, n_jobs=1).fit(study)
    seconds = time.perf_counter() - began
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(WORKERS)
        began = time.perf_counter()
        with get_task_stream(client) as stream, joblib.parallel_config(backend="dask"):
            together = engine.fit(study)
        shared = time.perf_counter() - began
        ran = calls(stream.data)
    gap = largest_gap(alone, together, new)
    print(f"{study.n:,} rows, branch {together.branch.kind}, {WORKERS} worker processes with one thread each")
    print(f"\nWhat the scheduler saw run\n{ran.to_string(index=False)}")
    print(f"\nSeconds: {seconds:.1f} in one process, {shared:.1f} on the cluster")
    print(f"Largest gap between the two fits: {gap:g}\n\n{conclude(gap, ran)}")
    return gap, ran


if __name__ == "__main__":
    main("--quick" in sys.argv)
