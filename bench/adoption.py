"""Staggered adoption: do intervals of effects by group, event time and point cover, and are tests of their right size?

    python -m bench.adoption --designs 100_6,300_6 --engines feols --draws 200 --out DIR

A design is units and periods; ``_flat`` at its end: one effect for all, so that differences and leads are zero; ``_flat_tests``: the tests
alone, on draws of their own, which take a tenth of the time. Every draw is a line of a
file as it finishes and is not run again; the table is printed from what is there, and kept as ``adoption.parquet``, from which ``python -m
bench.render`` writes its part of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hte_bridge as hb
from bench.drawn import lines
from hte_bridge.sweeping import within

DESIGNS = ("100_6", "300_6", "300_20", "2000_6", "2000_20", "100_6_flat", "300_6_flat", "300_20_flat")
GOES_ON, ALARM = 0.5, 0.05
ROLES = {
    "outcome": "y",
    "unit": "unit",
    "period": "period",
    "first_treated": "first",
    "covariates": ["x", "z"],
}
POINTS = pd.DataFrame({"x": np.tile(np.linspace(-1.2, 1.2, 5), 2), "z": np.repeat([0, 1], 5)})
MEASURES = {
    "event": "coverage, event times",
    "group": "coverage, groups",
    "point": "coverage, points",
    "band": "coverage, joint bands",
    "naive": "coverage, two-way",
    "groups_differ": "size, groups",
    "times_differ": "size, event times",
    "leads": "size, leads",
    "cells": "size, cells before",
    "largest": "size, largest lead",
}


def effect(design: str, exposure: Any, x: Any, z: Any) -> Any:
    """Of adopters after ``exposure`` periods: grows with exposure and covariates, or is one."""
    return 1.0 + 0.0 * x if design.endswith("flat") else 0.5 + 0.2 * exposure + 0.4 * x + 0.4 * z


def cohorts_of(design: str) -> tuple[float, ...]:
    """First treated periods; adopters come in three waves."""
    periods = int(design.split("_")[1])
    return (round(periods * 0.4) + 1.0, round(periods * 0.6) + 1.0, round(periods * 0.75) + 1.0)


def units(design: str, n: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Covariates x and z and cohort of n units: those with a larger x adopt more often and earlier."""
    x, z = rng.normal(size=n), rng.integers(0, 2, n)
    waves = cohorts_of(design)
    score = np.column_stack([0.6 * x - 0.8, 0.4 * x - 0.6, 0.2 * x - 0.6, 0 * x]) + rng.gumbel(size=(n, 4))
    return x, z, np.array([*waves, np.inf])[score.argmax(axis=1)]


def frame_of(design: str, seed: int) -> pd.DataFrame:
    """One panel: trends that are parallel given x, errors an AR(1) within units."""
    n, periods = map(int, design.split("_")[:2])
    rng = np.random.default_rng([seed, n, periods])
    x, z, first = units(design, n, rng)
    noise = rng.normal(size=(n, periods))
    for t in range(1, periods):
        noise[:, t] = GOES_ON * noise[:, t - 1] + (1 - GOES_ON**2) ** 0.5 * noise[:, t]
    unit, period = np.repeat(np.arange(n), periods), np.tile(np.arange(1.0, periods + 1), n)
    trend = period / periods * (1 + x[unit]) + np.sin(period)
    exposure = np.where(period >= first[unit], period - first[unit], np.nan)
    gain = np.where(np.isnan(exposure), 0.0, effect(design, np.nan_to_num(exposure), x[unit], z[unit]))
    y = rng.normal(size=n)[unit] + x[unit] + trend + gain + noise.ravel()
    return pd.DataFrame(
        {"unit": unit, "period": period, "first": first[unit], "x": x[unit], "z": z[unit], "y": y}
    )


@cache
def truths(design: str) -> dict[str, float]:
    """Effects of the population: by event time, by group and of all treated cells."""
    x, z, first = units(design, 1_000_000, np.random.default_rng(0))
    periods, out, parts = int(design.split("_")[1]), {}, []
    for wave in sorted(set(cohorts_of(design))):
        own = first == wave
        for exposure in range(int(periods - wave) + 1):
            gain = effect(design, exposure, x[own], z[own])
            sums = [(gain.sum(), own.sum())] + [
                (gain[z[own] == g].sum(), (z[own] == g).sum()) for g in (0, 1)
            ]
            parts.append((exposure, *sums))
    for exposure in {each[0] for each in parts}:
        found = np.sum([each[1] for each in parts if each[0] == exposure], axis=0)
        out[f"{exposure}"] = float(found[0] / found[1])
    for place, name in enumerate(("overall", "z = 0", "z = 1"), 1):
        found = np.sum([each[place] for each in parts], axis=0)
        out[name] = float(found[0] / found[1])
    return out


def covers(row: hb.Estimate, truth: float) -> bool:
    """Whether an interval holds the truth."""
    return bool(row.conf_low <= truth <= row.conf_high)


def measured(design: str, seed: int, engine: str) -> dict[str, Any]:
    """Shares of intervals that hold, and of tests that reject, of one draw."""
    if design.endswith("_tests"):
        return {"design": design, "draw": seed, "engine": engine} | rejections(
            design.removesuffix("_tests"), seed
        )
    frame = frame_of(design, seed)
    frame["w"] = np.random.default_rng([seed, 7]).integers(0, 2, frame["unit"].nunique())[frame["unit"]]
    study = hb.Study.from_frame(frame, **ROLES)
    made = {
        "feols": hb.Feols(),
        "grf": hb.CausalForest(num_trees=500, seed=seed),
        "deep": hb.Deep(seed=seed),
    }[engine]
    table = hb.compare(study, [made], estimands=["att_event", "att_simple"], seed=seed)
    truth = truths(design)
    event = [
        row
        for row in table.where(estimand="att_event").rows
        if row.term != "overall" and float(row.term) >= 0 and row.std_error > 0
    ]
    bands = [row for row in table.bands("att_event").rows if row.term != "overall" and row.std_error > 0]
    groups = [row for row in table.gate("z", joint=False).rows if row.term in truth and row.std_error > 0]
    points = table.cate(POINTS, engine, event_time=1)
    at = effect(design, 1, POINTS["x"], POINTS["z"])
    tests = {row.term: row.p_value for row in table.pretrends().rows}
    out = {
        "design": design,
        "draw": seed,
        "engine": engine,
        "event": float(np.mean([covers(row, truth[row.term]) for row in event])),
        "group": float(np.mean([covers(row, truth[row.term]) for row in groups])),
        "point": float(((points["conf_low"] <= at) & (at <= points["conf_high"])).mean()),
        "band": all(covers(row, truth.get(row.term, 0.0)) for row in bands),
        "leads": tests["leads"] < ALARM,
        "cells": tests["cells"] < ALARM if np.isfinite(tests["cells"]) else None,
        "largest": tests["largest lead"] < ALARM,
        "groups_differ": next(row.p_value for row in table.differences("groups", by="w").rows) < ALARM,
    }
    if design.endswith("flat"):
        out["times_differ"] = (
            next(row.p_value for row in table.differences("event_times").rows if row.term == "equal") < ALARM
        )
    return out | ({"naive": naive(frame, truth["overall"])} if engine == "feols" else {})


def rejections(design: str, seed: int) -> dict[str, bool]:
    """Which 5 % tests of feols reject where all effects are one."""
    frame = frame_of(design, 10_000 + seed)
    frame["w"] = np.random.default_rng([seed, 7]).integers(0, 2, frame["unit"].nunique())[frame["unit"]]
    study = hb.Study.from_frame(frame, **ROLES)
    table = hb.compare(study, [hb.Feols()], estimands=["att_simple"], seed=1)
    p = {row.term: row.p_value for row in table.pretrends().rows}
    p |= {
        "times": table.differences("event_times").rows[-1].p_value,
        "groups": table.gate("w").rows[-1].p_value,
    }
    names = {"times_differ": "times", "groups_differ": "groups", "leads": "leads", "cells": "cells"}
    return {key: bool(p[name] < ALARM) for key, name in (names | {"largest": "largest lead"}).items()}


def naive(frame: pd.DataFrame, truth: float) -> bool:
    """Whether the interval of a two-way regression on a dummy (errors by unit) holds the average effect."""
    columns = np.column_stack([frame["y"], frame["period"] >= frame["first"]]).astype(float)
    effects = np.column_stack([frame["unit"], frame["period"].astype(int) - 1])
    y, d = within(columns, effects, np.ones(len(frame))).T
    slope = (d @ y) / (d @ d)
    error = np.linalg.norm(np.bincount(effects[:, 0], weights=d * (y - slope * d))) / (d @ d)
    return bool(abs(slope - truth) <= 1.96 * error)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """By engine and design: draws and each share with its Monte-Carlo error."""
    rows = []
    for (engine, design), part in found.groupby(["engine", "design"]):
        row: dict[str, Any] = {"engine": engine, "design": design, "draws": len(part)}
        for key, name in MEASURES.items():
            values = part[key].dropna().astype(float) if key in part else part["draw"][:0]
            row[name] = (
                f"{values.mean():.3f} ({values.std() / max(len(values), 1) ** 0.5:.3f})"
                if len(values)
                else ""
            )
        rows.append(row)
    return pd.DataFrame(rows)


PAGE = """### Staggered adoption

    python -m bench.adoption --designs ... --engines ... --draws ...

Three waves of adopters (two where they round to one period), trends parallel given a covariate, effects that grow with exposure and with two
covariates, errors an AR(1) of .5 within units; `flat`: one effect for all. Designs are units and periods. Shares of 95 % intervals that hold, and of
5 % tests that reject where nothing differs, with their Monte-Carlo errors; `joint bands` hold all event times and leads at once; `two-way` is a
regression on one dummy with effects of unit and period. `tests`: the tests alone, on more draws.
"""


def page(found: pd.DataFrame) -> str:
    """The part of docs/benchmarks.md: a table for each engine, a row for each design."""
    made = table(found)
    parts = [PAGE]
    for engine, own in made.groupby("engine", sort=False):
        own = own.loc[:, (own != "").any()].drop(columns="engine")
        own.columns = [name.replace("coverage, ", "") for name in own.columns]
        parts.append(f"`{engine}`:\n\n{own.to_markdown(index=False)}\n")
    return "\n".join(parts)


def main() -> None:
    """Run what is asked for and not there yet, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--designs", default=",".join(DESIGNS))
    parser.add_argument("--engines", default="feols")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "adoption.jsonl"
    had = {(row["engine"], row["design"], row["draw"]) for row in lines(path)}
    with path.open("a") as file:
        for seed in range(1, options.draws + 1):
            for engine in options.engines.split(","):
                for design in options.designs.split(","):
                    if (engine, design, seed) not in had:
                        print(json.dumps(measured(design, seed, engine)), file=file, flush=True)
    found = pd.DataFrame([*lines(path)])
    found.to_parquet(path.with_suffix(".parquet"))
    print(table(found).to_markdown(index=False))


if __name__ == "__main__":
    main()
