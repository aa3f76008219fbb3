"""Cross-sections of docs/benchmarks.md: our error, coverage and length beside the anchors, on the same draws.

    python -m bench.cross_section --designs all --engines deep,grf,feols --draws 100 --jobs 2 --out bench/results/cross

Every draw is written as it finishes and is not run again, so a killed run continues; files of several machines in one folder merge. Draws run in
the order 0, 1, 2, ... over all designs, so that a run that is stopped has the same number for each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import joblib
import numpy as np
import pandas as pd

import hte_bridge.simulate as sim
from bench.metrics import NORMAL, judge, of_other_code, table
from hte_bridge import digest
from hte_bridge.simulate import CrossSection
from hte_bridge.simulate.edges import Survey

TEST_POINTS = 1_000
PROBES = ("probe_miss", "probe_error")  # by test point, in single precision: they are most of the file
EDGED_SIZES = (300, 700, 3_000, 10_000)
TEST_SEED = 1_000_003  # one set of test points for all draws of a design

Design = Callable[..., CrossSection]


def designs() -> dict[str, tuple[Design, int]]:
    """Name -> design and number of units."""
    found: dict[str, tuple[Design, int]] = {}
    for setup in "ABCD":
        for n in (500, 1_000):
            found[f"nie_wager_{setup}_{n}"] = (partial(sim.nie_wager, setup=setup), n)
    for n in (500, 250):
        for shape in (True, False):
            for varies in (True, False):
                name = f"hahn_{'nonlinear' if shape else 'linear'}_{'het' if varies else 'constant'}_{n}"
                found[name] = (partial(sim.hahn_murray_carvalho, nonlinear=shape, heterogeneous=varies), n)
    found["dense_500"] = (sim.dense, 500)
    found["dense_2000"] = (sim.dense, 2_000)
    found["dense_2400"] = (sim.dense, 2_400)
    found["wager_athey_28_500"] = (sim.wager_athey_28, 500)
    found["wager_athey_28_5000"] = (sim.wager_athey_28, 5_000)
    found["grf_table1_800"] = (sim.grf_table1, 800)
    found["grf_table1_wide_3200"] = (partial(sim.grf_table1, p=80), 3_200)
    found["grf_table3_additive_4000"] = (partial(sim.grf_table3, k=4, p=12), 4_000)
    found["farrell_nonlinear_10000"] = (partial(sim.farrell_liang_misra, d=100), 10_000)
    found["clustered_800"] = (sim.clustered, 800)
    found["grf_table1_zero_800"] = (partial(sim.grf_table1, heterogeneous=False), 800)
    found["dense_constant_500"] = (partial(sim.dense, constant=True), 500)
    found["clustered_constant_800"] = (partial(sim.clustered, constant=True), 800)
    found["villages_800"] = (sim.villages, 800)
    found["villages_4500"] = (partial(sim.villages, n_clusters=150), 4_500)
    for by in ("treatment", "covariate"):
        for n in (500, 4_000):
            found[f"uneven_{by}_{n}"] = (partial(sim.uneven_errors, by=by), n)
    for errors in ("few", "student"):
        found[f"long_tails_{errors}_500"] = (partial(sim.long_tails, errors=errors), 500)
    found["survey_500"] = (sim.survey, 500)
    for n in (500, 5_000):
        found[f"regions_{n}"] = (sim.regions, n)
        found[f"incomes_{n}"] = (sim.incomes, n)
    for outcome in ("rare", "common", "count", "amount"):
        for n in (500, 5_000):
            found[f"{outcome}_{n}"] = (partial(sim.limited, outcome=outcome), n)
    found["dose_500"] = (sim.dose, 500)
    found["doubleml_500"] = (sim.doubleml_heterogeneous, 500)
    found["athey_imbens_2_500"] = (partial(sim.athey_imbens, design=2), 500)
    return found | edged()


def edged() -> dict[str, tuple[Design, int]]:
    """Designs whose effect has edges, at four sizes."""
    makers: dict[str, Design] = {"steps": sim.steps, "one_step": sim.one_step}
    makers |= {f"trees_{each}": partial(sim.trees, survey=each) for each in get_args(Survey)}
    return {f"{name}_{n}": (make, n) for name, make in makers.items() for n in EDGED_SIZES}


SMALL = ("nie_wager_A_500", "nie_wager_B_500", "nie_wager_C_500", "nie_wager_D_500", "hahn_nonlinear_het_500")
SMALL += ("dense_500", "wager_athey_28_500", "grf_table1_800")


def engine(name: str, seed: int) -> Any:
    """An engine by its name in the table; anchors are imported when asked for."""
    import hte_bridge as hb

    if name == "deep":
        return hb.Deep(seed=seed)
    if name == "grf":
        return hb.CausalForest(num_trees=2_000, seed=seed)
    if name == "feols":
        return hb.Feols(seed=seed)
    from bench.anchors import anchor

    return anchor(name, seed)


def study_of(data: CrossSection) -> Any:
    """A draw as a study; the propensity of an experiment is known."""
    import hte_bridge as hb

    return hb.Study.from_frame(
        data.frame(),
        outcome="y",
        treatment="t",
        covariates=data.columns,
        cluster=None if data.cluster is None else "cluster",
        propensity=float(data.propensity[0]) if data.experiment else None,
    )


def run_draw(design: str, engine_name: str, draw: int) -> dict[str, Any]:
    """Fit one engine to one draw and judge it at the design's test points."""

    make, n = designs()[design]
    data, test = make(n, seed=draw), make(TEST_POINTS, seed=TEST_SEED)
    study = study_of(data)
    began, spent = time.perf_counter(), time.process_time()
    fit = engine(engine_name, draw).fit(study)
    surface = fit.cate(test.frame())
    seconds = time.perf_counter() - began
    found = judge(surface["estimate"].to_numpy(), surface["std_error"].to_numpy(), test.cate)
    found |= {"seconds": seconds, "cpu_seconds": time.process_time() - spent}
    if fit.heldout is not None:
        found |= average_rows(study, fit, data)
    if hasattr(fit, "branch"):
        own = fit.average(data.frame())
        found |= judged_average(
            "posterior_ate", own["estimate"].iloc[0], own["std_error"].iloc[0], NORMAL, data
        )
        found |= {"kind": fit.branch.kind, "effective_draws": fit.info.get("effective_draws", np.nan)}
        found |= {"forms": json.dumps(fit.info.get("forms", {}))}
    return found


def average_rows(study: Any, fit: Any, data: CrossSection) -> dict[str, float]:
    """The ATE row from doubly robust scores, and whether the joint test claims heterogeneity."""
    from hte_bridge.estimands.averages import ate
    from hte_bridge.estimands.projection import projection
    from hte_bridge.scores import scores

    gamma = scores(study, fit.heldout)
    row = ate(gamma)
    half = (row.conf_high - row.conf_low) / 2 / row.std_error
    rows = projection(gamma, study.filled, list(study.filled_names))
    joint = next(each for each in rows if each.term == "joint")
    error = float(np.mean((fit.heldout.cate - data.cate) ** 2))
    found = judged_average("ate", row.estimate, row.std_error, half, data)
    return found | {"joint_rejects": float(joint.p_value < 0.05), "heldout_mse": error}


def judged_average(
    name: str, estimate: float, std_error: float, multiple: float, data: CrossSection
) -> dict[str, float]:
    """Miss of an average effect, its coverage and length; the target is the sample's average effect."""
    miss = float(estimate - data.cate.mean())
    return {
        f"{name}_miss": miss,
        f"{name}_covered": float(abs(miss) <= multiple * std_error),
        f"{name}_length": float(2 * multiple * std_error),
    }


def machine() -> dict[str, str]:
    """Where a draw was run, in words that identify no network, and the CUDA device that torch, where it was at work, saw."""
    torch = sys.modules.get("torch")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else "",
        "python": platform.python_version(),
        "code": digest.code(),
    }


def run_and_write(design: str, engine_name: str, draw: int, out: Path) -> str:
    """Run one draw and write its row; a failure is a row too, with the sentence."""
    key = {"design": design, "n": designs()[design][1], "draw": draw, "engine": engine_name}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = key | run_draw(design, engine_name, draw) | machine()
    name = f"{design}__{engine_name}__{draw:04d}.parquet"
    temporary = out / f".{name}.{socket.gethostname()}.{os.getpid()}"
    pd.DataFrame([row]).to_parquet(temporary)
    temporary.replace(out / name)
    return f"{design} {engine_name} draw {draw}: {row['seconds']:.1f} s"


def merge(out: Path) -> pd.DataFrame:
    """All rows of a folder: single draws and files merged before, each draw once."""
    parts = [pd.read_parquet(path) for path in sorted(out.glob("*.parquet"))]
    if not parts:
        return pd.DataFrame()
    rows = pd.concat(parts, ignore_index=True)
    for name in PROBES:
        rows[name] = rows[name].map(partial(np.asarray, dtype=np.float32))
    return rows.drop_duplicates(["design", "draw", "engine"]).sort_values(
        ["design", "engine", "draw"], ignore_index=True
    )


def compact(out: Path) -> Path:
    """Turn the single-draw files of a folder into one, so that it can be kept."""
    rows = merge(out)
    rows.to_parquet(out / "merged.tmp", compression="zstd", compression_level=15)
    for path in out.glob("*__*.parquet"):
        path.unlink()
    return (out / "merged.tmp").replace(out / "results.parquet")


def main() -> None:
    """Read the command line, run what is missing, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--designs", default="all", help="names with commas, or: all, small")
    parser.add_argument("--engines", default="deep")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e6, help="start no draw after this many minutes")
    parser.add_argument("--out", type=Path, default=Path("bench/results/cross"))
    parser.add_argument("--compact", action="store_true", help="merge the draws into one file")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    names = {"all": list(designs()), "small": list(SMALL)}.get(asked.designs, asked.designs.split(","))
    done = merge(asked.out)
    print(of_other_code(done), end="")
    had = set() if done.empty else set(zip(done["design"], done["engine"], done["draw"], strict=True))
    draws = range(asked.first, asked.first + asked.draws)
    wanted = [
        (d, e, k) for k in draws for e in asked.engines.split(",") for d in names if (d, e, k) not in had
    ]
    until = time.monotonic() + 60 * asked.minutes
    jobs = (joblib.delayed(run_and_write)(*each, asked.out) for each in wanted if time.monotonic() < until)
    pool = joblib.Parallel(
        n_jobs=asked.jobs, return_as="generator_unordered", pre_dispatch="1*n_jobs", batch_size=1
    )
    for number, line in enumerate(pool(jobs), 1):
        print(f"[{number}/{len(wanted)}] {line}", flush=True)
    if asked.compact:
        compact(asked.out)
    rows = merge(asked.out)
    if not rows.empty:
        with pd.option_context("display.width", 250, "display.max_columns", 40, "display.precision", 3):
            print(table(rows).to_string(index=False))


if __name__ == "__main__":
    main()
