"""What fits took in the benches, for the calculator of docs/cost.md: python -m website.cost writes docs/assets/cost-data.js, a script so that a page opened from a file
reads it too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "assets" / "cost-data.js"
KERNEL_ROWS = 3_000  # fits of deep up to here were measured anew, by bench.speed
ENGINES = {
    "deep": "deep",
    "grf": "grf",
    "feols": "feols",
    "feols_linear": "feols",
    "econml": "econml",
    "bcf": "bcf",
}


def cross_sections() -> pd.DataFrame:
    """Median seconds of each engine and design, one thread, no device; memory where it was measured."""
    from bench.cross_section import designs

    rows = pd.read_parquet(ROOT / "bench" / "results" / "cross" / "results.parquet")
    rows = rows[(rows["device"].fillna("") == "") & rows["engine"].isin(ENGINES) & (rows["seconds"] > 0)]
    wide = {name: make(n, seed=1).covariates.shape[1] for name, (make, n) in designs().items()}
    found = rows.groupby(["engine", "design", "n"], as_index=False)["seconds"].median()
    found = found[found["design"].isin(wide)]
    return found.assign(p=found["design"].map(wide), panel=False, memory_gb=float("nan"))


def growth() -> pd.DataFrame:
    """Fits of one size after another, with their peak memory."""
    from bench.growth import cross_section
    from hte_bridge.simulate.panel import COVARIATES

    wide = {"cross-section": len(cross_section(10, 1)[1]), "panel": len(COVARIATES)}
    files = sorted((ROOT / "bench" / "results").glob("growth-*.parquet"))
    rows = pd.concat([pd.read_parquet(file) for file in files])
    rows = rows[rows["part"].isin(["cross-section", "panel"])]
    found = rows.groupby(["engine", "part", "n"], as_index=False)[["seconds", "memory_gb"]].median()
    return found.assign(design="growth", p=found["part"].map(wide), panel=found["part"] == "panel")


def panels() -> pd.DataFrame:
    """Fits of panels with fixed effects; the simulated ones have as many covariates as those of the growth."""
    from hte_bridge.simulate.panel import COVARIATES

    rows = pd.read_parquet(ROOT / "bench" / "results" / "panels.parquet")
    rows = rows[(rows["device"].fillna("") == "") & rows["engine"].isin(ENGINES)]
    found = rows.groupby(["engine", "design"], as_index=False)[["rows", "seconds", "memory_gb"]].median()
    return found.assign(n=found["rows"].astype(int), p=len(COVARIATES), panel=True)


def speed() -> pd.DataFrame:
    """Processor seconds of a comparison and its effects, of deep and of grf, on the same draws."""
    from bench.speed import COVARIATES

    file = ROOT / "bench" / "results" / "speed-pairs.parquet"
    wide = pd.read_parquet(file).groupby("n")[["deep", "grf"]].median()
    found = wide.melt(ignore_index=False, var_name="engine", value_name="seconds").reset_index()
    return found.assign(design="speed", p=COVARIATES, panel=False, memory_gb=float("nan"))


def points() -> list[dict[str, Any]]:
    """One record for each engine and size that was measured."""
    every = pd.concat([cross_sections(), growth(), panels()])
    older = (every["engine"] == "deep") & ~every["panel"].astype(bool) & (every["n"] <= KERNEL_ROWS)
    every = pd.concat([every[~older], speed()])
    return [
        {
            "engine": ENGINES[row.engine],
            "design": row.design,
            "panel": bool(row.panel),
            "n": int(row.n),
            "p": int(row.p),
            "seconds": round(float(row.seconds), 3),
            "gb": None if pd.isna(row.memory_gb) else round(float(row.memory_gb), 3),
        }
        for row in every.sort_values(["engine", "panel", "n", "p", "design"]).itertuples()
    ]


def text() -> str:
    """The file's text, a record a line."""
    return "window.hteCost = [\n" + ",\n".join(json.dumps(each) for each in points()) + "\n];\n"


def main() -> None:
    """Write the file."""
    TARGET.write_text(text(), encoding="utf8")
    print(f"wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
