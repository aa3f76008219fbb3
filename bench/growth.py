"""How time and memory of one fit grow with the rows, from 1,000 to 10,000,000, beside grf where it is run.

    python -m bench.growth --sizes 1000,10000,100000,1000000,10000000 --engines deep,grf --draws 3

Cross-sections of up to 1,000,000 rows are set-up B of Nie and Wager (2021), fitted in memory; grf, with 2,000 trees and the
variances of its predictions, is run on up to 100,000. From 1,000,000 rows on `hb.Deep(...).fit_path` reads a panel from
Parquet files. A last part scores new rows with intervals. Every fit has a process of its own, so its peak memory is its own
(Python, libraries and data included; for grf R's process is added), and is written as it finishes and not run again.
Seconds are those of the fit alone: data, imports and the start of R come before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import psutil

from bench.cross_section import machine
from bench.metrics import of_other_code
from hte_bridge.errors import HteBridgeError

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
CROSS_MOST = 1_000_000  # rows of a cross-section, fitted in memory
PANEL_LEAST = 1_000_000  # rows from which a panel is fitted from files
GRF_MOST = 100_000
PIECE = 500_000  # rows of a panel that are made and written at once
SCORED_FITS = {"kernel": 500, "gram": 5_000}  # branch of the fit that scores -> its rows
MUST_SECONDS = 30.0  # to score 1,000,000 rows
SCORING_JOBS = 2  # cores that score
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
KEY = ["part", "n", "engine"]
QUICK = {
    "deep": {"n_folds": 2, "epochs": 3, "hidden": (16,), "draws": 4, "scale_rows": 60},
    "grf": {"num_trees": 50},
}
DASHES = {"cross-section": "-", "panel": (0, (4, 2))}


@dataclass(frozen=True)
class Job:
    """One measurement: part (``cross-section``, ``panel``, ``scoring``), rows fitted, engine, draw, rows scored."""

    part: str
    n: int
    engine: str
    draw: int
    scored: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def file(self, out: Path) -> Path:
        """Where its row is kept."""
        scored = f"-{self.scored}" if self.scored else ""
        return out / f"growth-{self.part}-{self.n}{scored}-{self.engine}-{self.draw}.parquet"


def cross_section(n: int, seed: int) -> tuple[pd.DataFrame, Sequence[str]]:
    """Rows of set-up B and the names of their covariates."""
    from hte_bridge.simulate import nie_wager

    made = nie_wager(n, seed=seed, setup="B")
    return made.frame(), made.columns


def study_of(n: int, seed: int) -> Any:
    """A cross-section as a study."""
    import hte_bridge as hb

    frame, covariates = cross_section(n, seed)
    return hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=covariates)


def fit_cross_section(job: Job) -> dict[str, Any]:
    """Seconds of one fit in memory."""
    study = study_of(job.n, job.draw)
    fit = {"deep": fit_deep, "grf": fit_grf}[job.engine](job)
    began = time.perf_counter()
    branch = fit(study)
    return {"seconds": time.perf_counter() - began, "branch": branch}


def fit_deep(job: Job) -> Callable[[Any], str]:
    """The deep engine, imported."""
    import hte_bridge as hb

    engine = hb.Deep(seed=job.draw, **job.options)

    def fit(study: Any) -> str:
        branch = engine.fit(study).branch
        _ = branch.full  # the posterior from all rows, which is else made at the first question
        return branch.kind

    return fit


def fit_grf(job: Job) -> Callable[[Any], str]:
    """grf, R started; the variance belongs to the fit, as deep's does."""
    import hte_bridge as hb
    from hte_bridge.rlink import client

    engine = hb.CausalForest(seed=job.draw, **({"num_trees": 2_000} | dict(job.options)))
    client.record("grf")

    def fit(study: Any) -> str:
        found = engine.fit(study)
        return "forest" if np.isfinite(found.variance).all() else "forest, no variance"

    return fit


def levels(n: int) -> dict[str, int]:
    """Users, vendors and periods of a panel of n rows."""
    if n >= 10_000_000:
        return {"n_users": 10_000, "n_vendors": 2_000, "n_periods": 50}
    counts = {"n_users": (1_000, n // 20), "n_vendors": (200, n // 50), "n_periods": (20, n // 50)}
    return {name: max(2, min(pair)) for name, pair in counts.items()}


def write_panel(folder: Path, n: int, seed: int) -> None:
    """Write a panel in pieces, each the rows of one draw in another order and with fresh noise.

    Memory is that of a piece; users, vendors and periods, and what of them is seen together, are the same in each.
    """
    from hte_bridge.simulate.panel import panel

    made = panel("nonlinear", n_rows=min(n, PIECE), seed=seed, **levels(n))
    mean = made.beta * made.treatment + made.additive
    frame, rng = made.frame(), np.random.default_rng([seed, 1])
    for number, start in enumerate(range(0, n, PIECE)):
        order = rng.permutation(made.n)[: n - start]
        piece = frame.iloc[order].assign(y=mean[order] + rng.normal(0, 0.5, len(order)))
        piece.to_parquet(folder / f"{number:04d}.parquet", index=False)


def fit_panel(job: Job, folder: Path) -> dict[str, Any]:
    """Seconds of one fit from files."""
    import hte_bridge as hb
    from hte_bridge.engines.deep import route_files
    from hte_bridge.simulate.panel import COVARIATES

    began = time.perf_counter()
    fit = route_files.fit_path(
        hb.Deep(seed=job.draw, **job.options),
        folder,
        outcome="y",
        treatment="t",
        covariates=list(COVARIATES),
        fixed_effects=["user", "vendor", "period"],
    )
    seconds = time.perf_counter() - began
    if fit.info["rows"] != job.n:
        raise SystemExit(f"The fit must use all {job.n:,} rows. It used {fit.info['rows']:,}.")
    return {"seconds": seconds, "branch": "panel", "parts": json.dumps(fit.info["seconds"])}


def score(job: Job) -> dict[str, Any]:
    """Seconds to score new rows with intervals, and the peak memory before."""
    import hte_bridge as hb

    most = job.n if job.engine == "deep kernel" else 0
    fit = hb.Deep(seed=job.draw, kernel_max_rows=most, **job.options).fit(study_of(job.n, job.draw))
    new, _ = cross_section(job.scored, job.draw + 1_000_003)
    _ = fit.branch.full
    before = peak_gb()
    began = time.perf_counter()
    with joblib.parallel_config(n_jobs=SCORING_JOBS):
        found = fit.cate(new)
    seconds = time.perf_counter() - began
    if len(found) != job.scored or not np.isfinite(found.to_numpy()).all():
        raise SystemExit(f"Each of {job.scored:,} rows must get an interval. Some did not.")
    return {"seconds": seconds, "branch": fit.branch.kind, "memory_before_gb": before}


def peak_gb() -> float:
    """Peak memory of this process, and of R where it is running beside it, in GB (2^30 bytes)."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own = own / 1024 if sys.platform == "darwin" else own  # bytes there, KiB elsewhere
    return (own + sum(map(peak_kib, psutil.Process().children(recursive=True)))) / 1024**2


def peak_kib(process: psutil.Process) -> float:
    """Peak memory of a running process, which Linux tells; elsewhere what it holds now."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return process.memory_info().rss / 1024
    lines = status.read_text().splitlines()
    return float(next((line.split()[1] for line in lines if line.startswith("VmHWM")), 0))


def measure(job: Job, folder: Path | None = None) -> dict[str, Any]:
    """The row of a job, measured in this process."""
    if job.part == "panel":
        assert folder is not None
        found = fit_panel(job, folder)
    else:
        found = {"cross-section": fit_cross_section, "scoring": score}[job.part](job)
    row = {"part": job.part, "n": job.n, "engine": job.engine, "draw": job.draw, "scored": job.scored}
    row |= {
        "memory_gb": peak_gb(),
        "memory_before_gb": np.nan,
        "threads": int(os.environ.get("OMP_NUM_THREADS", 0)),
    }
    return row | found | {"options": json.dumps(dict(job.options))} | machine()


def alone(function: Callable[..., Any], *given: Any) -> Any:
    """Call a function in a new process and wait for what it returns."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def run(job: Job, out: Path) -> str:
    """Measure a job, write its row, say what was found."""
    with tempfile.TemporaryDirectory() as name:
        if job.part == "panel":
            alone(write_panel, Path(name), job.n, job.draw)  # its memory is not that of the fit
        row = alone(measure, job, Path(name))
    part = job.file(out).with_suffix(".part")
    pd.DataFrame([row]).to_parquet(part)
    part.rename(job.file(out))
    return f"{row['seconds']:.1f} s, {row['memory_gb']:.2f} GB"


def plan(asked: argparse.Namespace) -> Iterator[Job]:
    """Jobs from small to large, one draw of each after the other."""
    options = QUICK if asked.quick else {"deep": {}, "grf": {}}
    for n in sorted(asked.sizes):
        for draw in range(1, asked.draws + 1):
            for engine in asked.engines:
                if n <= (GRF_MOST if engine == "grf" else CROSS_MOST):
                    yield Job("cross-section", n, engine, draw, options=options[engine])
            if n >= asked.panel_from and "deep" in asked.engines:
                yield Job("panel", n, "deep", draw, options=options["deep"])
    for draw in range(1, asked.draws + 1):
        for branch, n in SCORED_FITS.items():
            if asked.score and "deep" in asked.engines:
                yield Job("scoring", n, f"deep {branch}", draw, asked.score, options["deep"])


def read(out: Path) -> pd.DataFrame:
    """Every row that is there."""
    files = sorted(out.glob("growth-*.parquet"))
    return (
        pd.concat([pd.read_parquet(file) for file in files], ignore_index=True) if files else pd.DataFrame()
    )


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over draws of each fit, and its seconds over grf's on the same cross-sections.

    Examples
    --------
    >>> rows = pd.DataFrame({"part": "cross-section", "n": 1000, "engine": ["deep", "grf"], "draw": 1,
    ...                      "seconds": [6.0, 2.0], "memory_gb": [1.0, 0.5]})
    >>> table(rows)["over_grf"].tolist()
    [3.0, 1.0]
    """
    fits = rows[rows["part"] != "scoring"]
    groups = fits.groupby(KEY)
    found = groups[["seconds", "memory_gb"]].mean()
    wide = fits.pivot_table(index=["part", "n", "draw"], columns="engine", values="seconds")
    if "grf" in wide:
        ratios = wide.div(wide["grf"], axis=0).stack().groupby(KEY).mean()
        found["over_grf"] = ratios.reindex(found.index)
    else:
        found["over_grf"] = np.nan
    found["draws"] = groups.size()
    return found.reset_index()


def scoring(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over draws of the scoring part, beside the seconds that 1,000,000 rows must not exceed."""
    scores = rows[rows["part"] == "scoring"]
    groups = scores.groupby(["engine", "n", "scored"])
    found = groups[["seconds", "memory_before_gb", "memory_gb"]].mean()
    found["draws"] = groups.size()
    found = found.reset_index()
    return found.assign(most_seconds=np.where(found["scored"] == 1_000_000, MUST_SECONDS, np.nan))


def draw_plot(found: pd.DataFrame, file: Path) -> None:
    """Seconds and memory against rows on log scales; the grey line doubles with the rows."""
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    from hte_bridge.plot.style import COLUMN, FONT, GREY, axes, label, looks

    figure, both = pyplot.subplots(1, 2, figsize=(2 * COLUMN[0], COLUMN[1]), layout="constrained", dpi=200)
    chosen = looks(["deep", "grf"])
    for ax, column, name in zip(both, ("seconds", "memory_gb"), ("seconds", "peak memory, GB"), strict=True):
        axes(ax)
        for (part, engine), own in found.groupby(["part", "engine"]):
            look = chosen[str(engine)]
            said = str(engine) if part == "cross-section" else f"{engine}, panel from files"
            style = {"linestyle": DASHES[str(part)], "color": look.colour, "marker": look.marker}
            ax.plot(own["n"], own[column], label=said, markersize=4, linewidth=1.2, **style)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())  # else few decades are written out in large type
        if column == "memory_gb":
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ends = np.array([found["n"].min(), found["n"].max()])
        if column == "seconds" and ends[0] < ends[1]:
            first = found.loc[found["n"] == ends[0], column].min()
            ax.plot(ends, first * ends / ends[0], color=GREY, linewidth=0.7, zorder=0, label="in proportion")
        label(ax, x="rows", y=name)
    both[0].legend(frameon=False, fontsize=FONT - 1, handlelength=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    pyplot.close(figure)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = lambda text: [int(each) for each in text.split(",") if each]
    names = lambda text: text.split(",")
    parser.add_argument("--sizes", type=numbers, default=list(SIZES), help="rows, with commas")
    parser.add_argument("--engines", type=names, default=["deep", "grf"], help="with commas: deep, grf")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no fit after this many minutes")
    parser.add_argument("--score", type=int, default=1_000_000, help="rows to score; 0 leaves the part out")
    parser.add_argument(
        "--panel-from", type=int, default=PANEL_LEAST, help="rows from which a panel is fitted"
    )
    parser.add_argument("--quick", action="store_true", help="small networks, few trees: to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    parser.add_argument("--plot", type=Path, default=Path("docs/growth.png"))
    asked = parser.parse_args(given)
    if not set(asked.engines) <= {"deep", "grf"}:
        parser.error(f"engines must be deep or grf. {','.join(asked.engines)} was given.")
    return asked


def main(given: Sequence[str] | None = None) -> None:
    """Run what is asked for and not there yet, print the tables, draw the picture."""
    asked = arguments(given)
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in THREADS:
        os.environ[name] = str(asked.threads)
    until = time.monotonic() + 60 * asked.minutes
    print(of_other_code(read(asked.out)), end="")
    for job in plan(asked):
        if job.file(asked.out).exists() or time.monotonic() > until:
            continue
        try:
            said = run(job, asked.out)
        except (
            HteBridgeError,
            BrokenProcessPool,
            MemoryError,
        ) as error:  # larger ones may still fit: other parts
            said = f"no row: {error or type(error).__name__}"
        print(f"{job.part}, {job.n:,} rows, {job.engine}, draw {job.draw}: {said}", flush=True)
    rows = read(asked.out)
    if rows.empty:
        return
    found, scored = table(rows), scoring(rows)
    with pd.option_context("display.width", 200, "display.max_columns", 20, "display.precision", 3):
        print(f"\nOne fit\n{found.to_string(index=False, na_rep='')}")
        if len(scored):
            print(f"\nNew rows scored with intervals\n{scored.to_string(index=False, na_rep='')}")
    if len(found):
        draw_plot(found, asked.plot)


if __name__ == "__main__":
    main()
