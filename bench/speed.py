"""What the deep engine takes beside grf: a whole comparison and the effects of 1,000 new rows, pair by pair in one run.

    python -m bench.speed --sizes 500,1000,2900 --pairs 5

A pair is one draw of set-up A of Nie and Wager (2021), twelve covariates: `compare` with each engine alone (its rows, at their defaults)
and `cate` with intervals at 1,000 new rows, grf with 2,000 trees. Seconds are those of the processor, one thread, R's process counted in,
so that what else the machine does moves them little; imports and the start of R come before. `--cores 1000` adds seconds on the clock with one and with two
folds side by side, and `--panels nonlinear_500k,waves_200k` what a fit of a panel with its three effects takes, each in a process of its own: seconds on the
clock and of the processor, and the memory at its peak. Rows are written as they are made, those of other sizes stay in the file, and the table is printed at the end with what was asked.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from threadpoolctl import threadpool_limits

from bench.cross_section import machine
from bench.growth import peak_gb
from bench.panel_draws import DESIGNS, draw_of, study_of
from hte_bridge.simulate.panel import Panel, panel

COVARIATES = 12
NEW_ROWS = 1_000
NEW_SEED = 1_000_003
MUST = {500: 3.0, 1_000: 3.0, 2_900: 2.0, 10_000: 0.3, 100_000: 0.05}  # of grf's seconds
PANELS_MUST = {  # seconds on the clock, GB; of the last the effect has no sparse structure
    "nonlinear_500k": (120.0, 3.0),
    "three_way_200k": (200.0, np.nan),
    "network_200k": (600.0, np.nan),
    "waves_200k": (600.0, 6.0),
}
CORES_MUST = 0.6  # of the seconds on the clock with one
WARM_ROWS = 60  # of the comparison that loads what is loaded once


def processor_seconds() -> float:
    """Of this process and those it started, which live: R's."""
    children = psutil.Process().children(recursive=True)
    return time.process_time() + sum(sum(each.cpu_times()[:2]) for each in children)


def engine(name: str, seed: int, n_jobs: int = 1, **options: Any) -> Any:
    """One of the two, on one thread."""
    import hte_bridge as hb

    if name == "grf":
        return hb.CausalForest(**({"num_trees": 2_000, "num_threads": 1, "seed": seed} | options))
    return hb.Deep(**({"seed": seed, "n_jobs": n_jobs} | options))


def work(name: str, n: int, seed: int, n_jobs: int = 1, **options: Any) -> tuple[float, float]:
    """Processor seconds, and seconds on the clock, of a comparison and of effects at new rows."""
    import hte_bridge as hb
    from hte_bridge.simulate import nie_wager

    made = nie_wager(n, seed=seed, setup="A", d=COVARIATES)
    new = nie_wager(NEW_ROWS, seed=NEW_SEED, setup="A", d=COVARIATES).frame()
    study = hb.Study.from_frame(made.frame(), outcome="y", treatment="t", covariates=made.columns)
    own = engine(name, seed, n_jobs, **options)
    spent, clock = processor_seconds(), time.perf_counter()
    hb.compare(study, [own]).cate(new, own.name)
    return processor_seconds() - spent, time.perf_counter() - clock


def pair(n: int, seed: int, quick: bool = False) -> dict[str, Any]:
    """Both engines on one draw, in an order that turns with the draw."""
    options = (
        {"deep": {"n_folds": 2, "draws": 4}, "grf": {"num_trees": 50}} if quick else {"deep": {}, "grf": {}}
    )
    order = ("deep", "grf") if seed % 2 else ("grf", "deep")
    found = {name: work(name, n, seed, **options[name])[0] for name in order}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else np.nan
    return {"n": n, "pair": seed, **found, "ratio": found["deep"] / found["grf"], "load": load, **machine()}


def cores(n: int, seed: int) -> dict[str, Any]:
    """Seconds on the clock of the deep engine with one and with two folds side by side."""
    one, two = (work("deep", n, seed, jobs)[1] for jobs in (1, 2))
    return {"n": n, "pair": seed, "one": one, "two": two, "ratio": two / one, **machine()}


def waves(n: int, seed: int) -> Panel:
    """A panel whose effect is a sum of eight waves, each of all twelve covariates: no few of them say much of it."""
    made, rng = panel("constant", n_rows=n, seed=seed), np.random.default_rng([seed, 8])
    turns, shifts = rng.normal(size=(made.covariates.shape[1], 8)) / 2, rng.uniform(0, 2 * np.pi, 8)
    surface = lambda x: 2 + np.cos(x @ turns + shifts).sum(1) / 2
    effect = surface(made.covariates)
    outcome = made.outcome + (effect - made.beta) * made.treatment
    return replace(made, name="waves", outcome=outcome, beta=effect, beta_at=surface)


def of_panel(design: str, seed: int, **options: Any) -> dict[str, Any]:
    """Seconds and peak memory of a fit to one draw of a panel; in a process of its own, whose peak is the fit's."""
    rows = design.rpartition("_")[-1]
    made, cluster = draw_of(design, seed) if design in DESIGNS else (waves(thousands(rows), seed), None)
    study = study_of(made, cluster)
    spent, clock = processor_seconds(), time.perf_counter()
    engine("deep", seed, **({"n_jobs": None} | options)).fit(study)
    used = {"seconds": time.perf_counter() - clock, "processor": processor_seconds() - spent}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else np.nan
    return {
        "design": design,
        "n": made.n,
        "draw": seed,
        **used,
        "memory_gb": peak_gb(),
        "load": load,
        **machine(),
    }


def thousands(rows: str) -> int:
    """How many rows a name says.

    Examples
    --------
    >>> thousands("200k"), thousands("700")
    (200000, 700)
    """
    return int(rows.removesuffix("k")) * (1_000 if rows.endswith("k") else 1)


def apart(design: str, seed: int) -> dict[str, Any]:
    """``of_panel`` in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: dict[str, Any] = pool.apply(of_panel, (design, seed))
    return found


def panels_table(rows: pd.DataFrame) -> pd.DataFrame:
    """By design: medians, and what was asked.

    Examples
    --------
    >>> rows = pd.DataFrame({"design": ["waves_200k"], "seconds": [90.0], "processor": [80.0], "memory_gb": [2.0], "load": [1.0]})
    >>> found = panels_table(rows).to_dict("records")[0]
    >>> found["seconds"], found["wanted_seconds"], found["wanted_gb"]
    (90.0, 600.0, 6.0)
    """
    found = rows.groupby("design", as_index=False)[["seconds", "processor", "memory_gb", "load"]].median()
    wanted = [PANELS_MUST.get(each, (np.nan, np.nan)) for each in found["design"]]
    return found.assign(wanted_seconds=[each[0] for each in wanted], wanted_gb=[each[1] for each in wanted])


def table(rows: pd.DataFrame, must: dict[int, float]) -> pd.DataFrame:
    """By size: medians, the ratio of each pair, its median, what was asked, and the machine's load.

    Examples
    --------
    >>> rows = pd.DataFrame({"n": 500, "deep": [2.0, 4.0], "grf": [1.0, 1.0], "ratio": [2.0, 4.0]})
    >>> table(rows.assign(load=1.0), {500: 3.0}).to_dict("records")
    [{'n': 500, 'deep': 3.0, 'grf': 1.0, 'pairs': '2.0 4.0', 'ratio': 3.0, 'wanted': 3.0, 'load': 1.0}]
    """
    found = []
    for n, own in rows.groupby("n"):
        seconds = {name: float(own[name].median()) for name in ("deep", "grf", "one", "two") if name in own}
        each = " ".join(f"{ratio:.2g}" if ratio < 1 else f"{ratio:.1f}" for ratio in own["ratio"])
        ratio = float(own["ratio"].median())
        found.append(
            {
                "n": int(str(n)),
                **seconds,
                "pairs": each,
                "ratio": ratio,
                "wanted": must.get(int(str(n)), np.nan),
                **({"load": round(float(own["load"].median()), 1)} if "load" in own else {}),
            }
        )
    return pd.DataFrame(found)


def with_other_sizes(rows: list[dict[str, Any]], file: Path) -> pd.DataFrame:
    """Rows that were measured now, after those of other sizes in the file."""
    now = pd.DataFrame(rows)
    if not file.exists():
        return now
    before = pd.read_parquet(file)
    return pd.concat([before[~before["n"].isin(now["n"])], now], ignore_index=True)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What was asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = lambda text: [int(each) for each in text.split(",") if each]
    parser.add_argument("--sizes", type=sizes, default=[500, 1_000, 2_900], help="rows, with commas")
    parser.add_argument("--cores", type=sizes, default=[], help="rows for two cores beside one, with commas")
    names = lambda text: [each for each in text.split(",") if each]
    parser.add_argument(
        "--panels", type=names, default=[], help=f"designs, with commas: {', '.join(PANELS_MUST)}"
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="toy options, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="folder of the rows")
    return parser.parse_args(given)


def of_panels(asked: argparse.Namespace) -> None:
    """Measure panels, write, print."""
    found = []
    for seed, design in product(range(1, asked.pairs + 1), asked.panels):
        found.append(apart(design, seed))
        pd.DataFrame(found).to_parquet(asked.out / "speed-panels.parquet")
    print(
        "\nA fit of a panel with three effects, all cores: seconds on the clock, of the processor, peak memory\n"
    )
    print(panels_table(pd.DataFrame(found)).to_markdown(index=False, floatfmt=".3g"))


def main(given: Sequence[str] | None = None) -> None:
    """Measure, write, print."""
    asked = arguments(given)
    asked.out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, Any]]] = {"pairs": [], "cores": []}
    with threadpool_limits(1):
        for name in ("deep", "grf") if asked.sizes else ("deep",):
            work(name, WARM_ROWS, 0)
        plans = [("pairs", n, seed) for seed in range(1, asked.pairs + 1) for n in asked.sizes]
        plans += [("cores", n, seed) for seed in range(1, asked.pairs + 1) for n in asked.cores]
        for part, n, seed in plans:
            rows[part].append(pair(n, seed, asked.quick) if part == "pairs" else cores(n, seed))
            file = asked.out / f"speed-{part}.parquet"
            with_other_sizes(rows[part], file).to_parquet(file)
            print(part, {key: rows[part][-1][key] for key in ("n", "pair", "ratio")}, flush=True)
    if rows["pairs"]:
        print("\nProcessor seconds, one thread; ratio to grf pair by pair\n")
        print(table(pd.DataFrame(rows["pairs"]), MUST).to_markdown(index=False, floatfmt=".3g"))
    if asked.panels:
        of_panels(asked)
    if rows["cores"]:
        print("\nSeconds on the clock, one core and two\n")
        own = pd.DataFrame(rows["cores"])
        print(table(own, dict.fromkeys(own["n"], CORES_MUST)).to_markdown(index=False, floatfmt=".3g"))


if __name__ == "__main__":
    main()
