"""A table of a study of files, from 1,000,000 rows to 10,000,000: memory of all processes, seconds, growth, errors of effects.

    python -m bench.scale --sizes 1000000,10000000
    python -m bench.scale --sizes 1000000 --dask 1,2
    python -m bench.scale --sizes 10000000 --keep build/scale   # may be killed, and begun again
    python -m bench.scale --ape 100
    python -m bench.scale --kills 10 --worker-kills 10

The panel is that of `bench.growth`: users, vendors and periods have effects, the effect of log(1 + clicks) varies with twelve covariates. Each
table is feols and deep: coefficient, average slope, projection, effects by tier of users, differences. It is made in a process of its own;
what it and all that it starts hold in memory is looked at ten times a second. Rows are written as they are found, and not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from bench.cross_section import machine
from bench.growth import PIECE, THREADS, levels

QUICK = {"n_folds": 2, "epochs": 3, "hidden": (8,)}
APE_ROWS = 200_000
APE_OPTIONS = {"epochs": 10, "hidden": (16,)}  # of a hundred tables
MUSTS = {"memory_gb": 6.0, "seconds": 2_400.0, "beta_error": 0.6}  # at 10,000,000 rows
SCORED = 20_000  # rows at which the effect is held against the truth
LARGE = 100_000_000


def write(folder: Path, n: int, seed: int) -> float:
    """Write a panel in pieces, each the rows of one draw in another order and with fresh noise; its average effect comes back.

    Memory is that of a piece. ``tier`` is the quarter of a user's first latent trait.
    """
    from hte_bridge.simulate.panel import panel

    made = panel("nonlinear", n_rows=min(n, PIECE), seed=seed, **levels(n))
    mean = made.beta * made.treatment + made.additive
    frame, rng, total = made.frame(), np.random.default_rng([seed, 1]), 0.0
    frame["tier"] = np.array(["bronze", "silver", "gold", "platinum"])[
        pd.qcut(frame["U0"], 4, labels=False, duplicates="drop")
    ]
    for number, start in enumerate(range(0, n, PIECE)):
        order = rng.permutation(made.n)[: n - start]
        piece = frame.iloc[order].assign(y=mean[order] + rng.normal(0, 0.5, len(order)))
        piece.to_parquet(folder / f"{number:04d}.parquet", index=False, row_group_size=100_000)
        total += float(made.beta[order].sum())
    return total / n


def study_of(folder: Path, covariates: Sequence[str]) -> Any:
    """The files as a study."""
    import hte_bridge as hb

    effects = ["user", "vendor", "period"]
    return hb.Study.from_parquet(
        folder, outcome="y", treatment="t", covariates=list(covariates), fixed_effects=effects
    )


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """One table in this process, and how far its effects are from the truth."""
    import hte_bridge as hb
    from hte_bridge.simulate.panel import COVARIATES, panel

    began = time.perf_counter()
    covariates = list(asked.get("covariates", COVARIATES))
    study = study_of(Path(asked["folder"]), covariates)
    scanned = time.perf_counter()
    engines = [hb.Deep(seed=asked["seed"], checkpoint=asked.get("checkpoint"), **asked["options"])]
    if asked["feols"]:
        engines = [hb.Feols(), *engines]
    table = hb.compare(study, engines, seed=asked["seed"], client=asked.get("client"), on_error="raise")
    compared = time.perf_counter()
    tiers = table.gate("tier")
    apart = table.differences() if asked["feols"] else ()
    asked_more = time.perf_counter()
    fit = table.fits["deep"]
    made = panel("nonlinear", n_rows=min(asked["n"], PIECE), seed=asked["seed"], **levels(asked["n"]))
    rows = np.random.default_rng(1).permutation(made.n)[:SCORED]
    found = fit.cate(made.frame().iloc[rows][covariates])
    truth = made.beta[rows]
    miss = found["estimate"].to_numpy() - truth
    inside = (found["conf_low"] <= truth) & (truth <= found["conf_high"])
    ape = next(row for row in table.rows if row.engine == "deep" and row.estimand == "ape")
    return {
        "n": study.n,
        "engines": len(engines),
        "seconds": asked_more - began,
        "parts": json.dumps(
            {
                "scan": round(scanned - began, 1),
                "compare": round(compared - scanned, 1),
                "tiers and differences": round(asked_more - compared, 1),
                "deep": fit.info["seconds"],
            }
        ),
        "rows": len(table.rows) + len(tiers.rows) + len(apart),
        "beta_error": 100 * float(np.sqrt((miss**2).mean()) / truth.std()),
        "coverage": float(inside.mean()),
        "ape": ape.estimate,
        "std_error": ape.std_error,
        "numbers": json.dumps([[row.estimate, row.std_error] for row in (*table.rows, *tiers.rows)]),
    }


def on_dask(asked: dict[str, Any]) -> dict[str, Any]:
    """The same by workers of a local Dask cluster."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=asked["dask"], threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(asked["dask"])
        pids = list(client.run(os.getpid).values())
        if "lose_after" in asked:
            threading.Timer(asked["lose_after"], os.kill, (pids[0], signal.SIGKILL)).start()
        row = measure(asked | {"client": client})
        return row | {"workers_lost": len(set(pids) - set(client.run(os.getpid).values()))}


def child(asked: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A process that makes one table and writes its row."""
    environment = os.environ | dict.fromkeys(THREADS, "1")
    return subprocess.Popen(
        [sys.executable, "-m", "bench.scale", "--child", json.dumps(asked)], env=environment
    )


def watched(asked: dict[str, Any]) -> dict[str, Any]:
    """Run a child; its row with the peak memory of all its processes, in GB (2^30 bytes), with and without pages of files."""
    before, process = cpu_seconds(), child(asked)
    peak, private, load = 0.0, 0.0, []
    while process.poll() is None:
        whole, own = held(process.pid)
        peak, private = max(peak, whole), max(private, own)
        load.append(os.getloadavg()[0])
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"A table must be made. Its process ended with status {process.returncode}.")
    row = json.loads(Path(asked["out"]).read_text(encoding="utf8"))
    Path(asked["out"]).unlink()
    found = {"memory_gb": peak, "private_gb": private, "load": float(np.mean(load))}
    return row | found | {"cpu_seconds": cpu_seconds() - before} | machine()


def cpu_seconds() -> float:
    """Of all processes that this one started and that ended: what a table costs, however many others the machine serves."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def held(pid: int) -> tuple[float, float]:
    """What a process and all that it started hold, in GB: all pages, and those that are no file's."""
    whole, own = 0, 0
    try:
        first = psutil.Process(pid)
        for each in [first, *first.children(recursive=True)]:
            memory = each.memory_info()
            whole += memory.rss
            own += memory.rss - getattr(memory, "shared", 0)
    except psutil.NoSuchProcess:
        pass
    return whole / 2**30, own / 2**30


def once(name: str, out: Path, make: Any) -> dict[str, Any]:
    """The row of that name, made if it is not there."""
    file = out / f"scale-{name}.json"
    if not file.exists():
        row = make()
        part = file.with_suffix(".part")
        part.write_text(json.dumps(row, default=float), encoding="utf8")
        part.rename(file)
        shown = {
            key: row[key] for key in ("seconds", "memory_gb", "beta_error", "coverage", "ape") if key in row
        }
        print(name, json.dumps(shown, default=float), flush=True)
    return dict(json.loads(file.read_text(encoding="utf8")))


def tables(asked: argparse.Namespace) -> None:
    """Tables of each size, by processes of this machine or by Dask workers."""
    options = QUICK if asked.quick else {}
    for n in asked.sizes:
        for dask in asked.dask or [0]:

            def make(n: int = n, dask: int = dask) -> dict[str, Any]:
                with files_of(asked, n) as (folder, truth, kept):
                    given = {
                        "folder": str(folder),
                        "n": n,
                        "seed": asked.seed,
                        "dask": dask,
                        "options": options,
                    }
                    given |= {
                        "feols": not asked.deep_only,
                        "out": str(asked.out / f"scale-{os.getpid()}.row"),
                        "checkpoint": kept and f"{kept}-{dask}",
                    }
                    resumed = bool(kept) and Path(given["checkpoint"]).exists()
                    row = watched(given)
                row |= {"truth": truth, "z": (row["ape"] - truth) / row["std_error"], "dask": dask}
                return row | {"resumed": resumed}

            once(f"{n}{f'-dask{dask}' if dask else ''}{'-quick' if asked.quick else ''}", asked.out, make)


@contextmanager
def files_of(asked: argparse.Namespace, n: int) -> Iterator[tuple[Path, float, str | None]]:
    """A panel's files, its average effect, and where a fit keeps what it has done: for this run, or with ``--keep`` until a run has come to its end."""
    if asked.keep is None:
        with tempfile.TemporaryDirectory(dir=asked.work) as name:
            yield Path(name), write(Path(name), n, asked.seed), None
        return
    home = asked.keep / f"{n}-{asked.seed}"
    (home / "files").mkdir(parents=True, exist_ok=True)
    said = home / "truth.json"
    if not said.exists():  # files are whole once it is
        truth = write(home / "files", n, asked.seed)
        said.write_text(json.dumps(truth), encoding="utf8")
    yield home / "files", float(json.loads(said.read_text(encoding="utf8"))), str(home / "kept")
    shutil.rmtree(home)


def averages(asked: argparse.Namespace) -> None:
    """z of the average effect in many draws of one size, until the minutes are spent."""
    until = time.monotonic() + 60 * asked.minutes
    rows = []
    for seed in range(1, asked.ape + 1):
        name = f"ape-{asked.ape_rows}-{seed}"
        if time.monotonic() > until and not (asked.out / f"scale-{name}.json").exists():
            break

        def make(seed: int = seed) -> dict[str, Any]:
            with tempfile.TemporaryDirectory(dir=asked.work) as folder:
                truth = write(Path(folder), asked.ape_rows, seed)
                given = {"folder": folder, "n": asked.ape_rows, "seed": seed, "feols": False}
                row = measure(given | {"options": QUICK if asked.quick else APE_OPTIONS})
            return row | {"truth": truth, "z": (row["ape"] - truth) / row["std_error"]}

        rows.append(once(name, asked.out, make))
    z = np.array([row["z"] for row in rows])
    if len(z) > 1:
        print(
            f"ape of deep at {asked.ape_rows:,} rows: {len(z)} draws, mean of z {z.mean():.2f}, sd {z.std(ddof=1):.2f}"
        )


def forecast(one: dict[str, Any], ten: dict[str, Any], rows: int = LARGE, cores: int = 2) -> dict[str, float]:
    """Seconds for more rows, from the growth between two sizes; all but the networks and models is shared by the cores.

    Examples
    --------
    >>> parts = '{"deep": {"networks": 10, "models": 10}}'
    >>> one = {"n": 1_000_000, "seconds": 100.0, "parts": parts}
    >>> ten = {"n": 10_000_000, "seconds": 910.0, "parts": parts}
    >>> forecast(one, ten, 100_000_000, cores=32)
    {'fixed': 20.0, 'per_million': 90.0, 'here': 9020.0, 'there': 582.5}
    """
    deep = json.loads(ten["parts"])["deep"]
    fixed = float(sum(deep.get(name, 0.0) for name in ("networks", "models", "models with jumps")))
    each = (ten["seconds"] - one["seconds"]) / ((ten["n"] - one["n"]) / 1e6)
    here = fixed + each * rows / 1e6
    return {"fixed": fixed, "per_million": each, "here": here, "there": fixed + each * rows / 1e6 * 2 / cores}


def conclude(out: Path) -> str:
    """What was found, beside what must be."""
    rows = {
        file.stem.removeprefix("scale-"): json.loads(file.read_text())
        for file in sorted(out.glob("scale-*.json"))
    }
    lines = []
    for name, row in rows.items():
        if name.startswith(("ape", "kill")) or name.endswith("quick"):
            continue
        by = f", dask {row['dask']}" if row.get("dask") else ""
        lines.append(
            f"{row['n']:>11,} rows{by}: {row['seconds']:.0f} s, {row['memory_gb']:.2f} GB "
            f"({row['private_gb']:.2f} without pages of files), beta {row['beta_error']:.2f} % of sd, coverage {row['coverage']:.3f}, "
            f"z of the ape {row['z']:.2f}, {row['cpu_seconds']:.0f} s of CPU, load {row['load']:.1f}"
            f"{', gone on after a kill' if row.get('resumed') else ''}"
        )
    one, ten = rows.get("1000000"), rows.get("10000000")
    if one and ten:
        lines.append(f"growth of seconds {ten['seconds'] / one['seconds']:.2f} (must 10.5)")
        lines.append(f"{LARGE:,} rows: {json.dumps(forecast(one, ten, LARGE, 32))}")
    return "\n".join(lines)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = lambda text: [int(each) for each in text.split(",") if each]
    parser.add_argument("--sizes", type=numbers, default=[], help="rows, with commas")
    parser.add_argument("--dask", type=numbers, default=[], help="workers of a local cluster, with commas")
    parser.add_argument("--deep-only", action="store_true")
    parser.add_argument("--ape", type=int, default=0, help="draws")
    parser.add_argument("--ape-rows", type=int, default=APE_ROWS)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--worker-kills", type=int, default=0)
    parser.add_argument("--kill-rows", type=int, default=24_000)  # fewer are fitted in memory
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no draw after these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    parser.add_argument("--work", type=Path, default=None, help="a folder with room for the files")
    parser.add_argument(
        "--keep", type=Path, help="files and work done stay here until a table is made: one killed goes on"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Make what is asked for and not there yet, and say what was found."""
    asked = arguments(given)
    if asked.child:
        own = json.loads(asked.child)
        row = on_dask(own) if own.get("dask") else measure(own)
        Path(own["out"]).write_text(json.dumps(row, default=float), encoding="utf8")
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    tables(asked)
    if asked.ape:
        averages(asked)
    if asked.kills or asked.worker_kills:
        from bench.scale_kills import kills

        kills(asked)
    print(conclude(asked.out))


if __name__ == "__main__":
    main()
