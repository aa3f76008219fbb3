"""What `bench.scale` found, as a section of docs/benchmarks.md: `bench.render` asks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.scale import LARGE, forecast

ONE, TEN = 1_000_000, 10_000_000
GROWTH_MUST, DASK_MUST, SHARED_CORES = 10.5, 0.65, 32  # eight workers of four cores
MUST = {"memory GB": "6", "seconds": "2,400", "error of beta, % of sd": ".6", "coverage": ".92 to .98"}
HEAD = """## Tables of files

A panel of users, vendors and periods in Parquet; the table is feols and deep with coefficient, average slope, projection, effects by tier of users
and differences, made by two processes (`python -m bench.scale --sizes 1000000,10000000`). Beyond 500,000 rows visits repeat with other errors, as in
`bench.growth`: each of ten million is seen twenty times, which saves sums that distinct rows would take. Memory is the peak of all processes together; without
pages of files, what has to fit in the machine.
"""


def page(folder: Path) -> str:
    """The section, or nothing where no table was made."""
    rows = {
        file.stem.removeprefix("scale-"): json.loads(file.read_text())
        for file in folder.glob("scale-*.json")
        if not file.stem.endswith("quick")
    }
    sizes = [rows[str(n)] for n in (ONE, TEN) if str(n) in rows]
    if not sizes:
        return ""
    table = pd.DataFrame([line(row) for row in sizes] + [{"rows": "target, at 10,000,000"} | MUST]).fillna("")
    parts = [HEAD, table.to_markdown(index=False, disable_numparse=True) + "\n"]
    if len(sizes) == 2:
        parts.append(grown(*sizes))
    parts += [dask(rows), averages(rows), kills(rows)]
    return "\n".join(part for part in parts if part)


def line(row: dict[str, Any]) -> dict[str, str]:
    """One table as a row of the page."""
    return {
        "rows": f"{row['n']:,}",
        "memory GB": f"{row['memory_gb']:.1f}",
        "without pages of files": f"{row['private_gb']:.1f}",
        "seconds": f"{row['seconds']:,.0f}",
        "processor seconds": f"{row['cpu_seconds']:,.0f}",
        "error of beta, % of sd": f"{row['beta_error']:.2f}",
        "coverage": f"{row['coverage']:.3f}",
        "z of the ape": f"{row['z']:.2f}",
        "load": f"{row['load']:.1f}",
    }


def grown(one: dict[str, Any], ten: dict[str, Any]) -> str:
    """Growth from one size to ten times it, and what it says of ten times more."""
    times, far = ten["seconds"] / one["seconds"], forecast(one, ten, LARGE, SHARED_CORES)
    return (
        f"Ten times the rows take {times:.1f} times the seconds (target {GROWTH_MUST}). For {LARGE:,} rows, forecast and not run: networks and models, "
        f"which grow with neither rows nor cores, {far['fixed']:,.0f} s; the rest {far['per_million']:,.0f} s a million rows on these two cores, from the "
        f"two sizes' difference over nine million. One machine as this: {far['fixed']:,.0f} + {LARGE // 10**6} x {far['per_million']:,.0f} = "
        f"{far['here']:,.0f} s. Eight workers of four cores, where the rest is shared by {SHARED_CORES} cores: {far['fixed']:,.0f} + "
        f"{LARGE // 10**6} x {far['per_million']:,.0f} x 2 / {SHARED_CORES} = {far['there']:,.0f} s, if the disk they share keeps up.\n"
    )


def dask(rows: dict[str, Any]) -> str:
    """Two workers of a Dask cluster over one, at each size that both made."""
    said = []
    for name, two in rows.items():
        one = rows.get(name.replace("-dask2", "-dask1")) if name.endswith("-dask2") else None
        if one:
            said.append(
                f"Two Dask workers over one at {two['n']:,} rows: {two['seconds']:,.0f} of {one['seconds']:,.0f} s, "
                f"{two['seconds'] / one['seconds']:.2f} (target {DASK_MUST}).\n"
            )
    return "\n".join(said)


def averages(rows: dict[str, Any]) -> str:
    """z of the average slope over draws."""
    z = np.array([row["z"] for name, row in rows.items() if name.startswith("ape-")])
    if len(z) < 2:
        return ""
    return (
        f"deep's average slope in {len(z)} draws (`--ape 100`): mean of z {z.mean():.2f}, sd {z.std(ddof=1):.2f} "
        f"(target .9 to 1.1; MC {z.std(ddof=1) / (2 * len(z)) ** 0.5:.2f}).\n"
    )


def kills(rows: dict[str, Any]) -> str:
    """How many runs that were killed and begun again gave the numbers of one that was not."""
    same = [(name.removeprefix("kills-"), row) for name, row in rows.items() if name.startswith("kills")]
    return "\n".join(
        f"Killed at a random moment ({name}) and begun again: the same numbers in {row['same']} of {row['of']}.\n"
        for name, row in same
    )
