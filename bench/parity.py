"""Our rows beside R's own: feols of pyfixest beside fixest, forest rows beside grf's estimators; docs/parity.md.

Usage: python bench/parity.py [OUT.md]

R needs grf, and fixest for the lines of feols (they say "not run" without it).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import hte_bridge as hb
from hte_bridge.estimands.averages import att
from hte_bridge.estimands.ranking import rate
from hte_bridge.table import Estimate

HERE = Path(__file__).parent
TOLERANCE = 1e-8  # the same formula in another order of sums; anything else is another formula
SEED, TREES = 7, 500
NOTES = {
    (
        "average_treatment_effect",
        "treated",
    ): 'our `att` with `heterogeneity="independent"`, as grf sums it; the table\'s '
    "row sums it by cluster: wider where CATEs of a cluster move together",
    ("rank_average_treatment_effect", "autoc"): "estimate only: grf's error is a bootstrap's",
    ("rank_average_treatment_effect", "qini"): "estimate only: grf's error is a bootstrap's",
}

WEIGHTS = (
    "Weights: a study divides them by their mean and rounds them to a share of 2^-32, so that their scale changes nothing. A weighted "
    "forest is grf's on these weights, bit for bit; on weights of another scale grf may split otherwise in the last digits."
)


@dataclass(frozen=True)
class Line:
    """One figure of ours beside R's."""

    what: str
    term: str
    ours: tuple[float, float]
    theirs: tuple[float, float] | None

    @property
    def gaps(self) -> tuple[float, float]:
        """Absolute gap of the estimate and of the standard error (NaN where R has none)."""
        assert self.theirs is not None
        return abs(self.ours[0] - self.theirs[0]), abs(self.ours[1] - self.theirs[1])

    @property
    def verdict(self) -> str:
        """``pass``, ``FAIL`` or ``not run``."""
        if self.theirs is None:
            return "not run"
        return "pass" if all(np.isnan(gap) or gap < TOLERANCE for gap in self.gaps) else "FAIL"


def cross_section(n: int = 600) -> pd.DataFrame:
    """A clustered experiment with weights, and a dose."""
    rng = np.random.default_rng(SEED)
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=["x1", "x2", "x3"])
    frame["g"] = np.arange(n) % 40 + 1
    shared = rng.normal(size=41)[frame["g"]]
    frame["d"] = rng.binomial(1, 1 / (1 + np.exp(-frame["x1"] / 2)))
    frame["w"] = rng.uniform(0.5, 2, n)
    frame["y"] = frame["d"] * (1 + frame["x1"]) + frame["x2"] + 0.5 * shared + rng.normal(size=n)
    frame["dose"] = frame["x1"] / 2 + rng.normal(size=n)
    frame["yd"] = frame["dose"] * (1 + frame["x2"]) + frame["x1"] + rng.normal(size=n)
    return frame


def panel(units: int = 80, years: int = 6) -> pd.DataFrame:
    """Units and years with effects of both."""
    rng = np.random.default_rng(SEED + 1)
    frame = pd.DataFrame(
        {"unit": np.repeat(np.arange(units), years), "year": np.tile(np.arange(years), units)}
    )
    frame["x1"] = rng.normal(size=len(frame))
    frame["d"] = rng.binomial(1, 0.4, len(frame))
    frame["y"] = (
        0.3 * frame["d"] + 0.2 * frame["x1"] + rng.normal(size=units)[frame["unit"]] + 0.1 * frame["year"]
    )
    frame["y"] += rng.normal(size=len(frame))
    return frame


def figures(row: Estimate) -> tuple[float, float]:
    """Estimate and standard error of a row."""
    return row.estimate, row.std_error


def feols_figures(frame: pd.DataFrame, years: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """The coefficient of the treatment in each of the models that fixest runs."""
    roles = {"outcome": "y", "treatment": "d", "covariates": ["x1", "x2", "x3"]}
    effects = {"covariates": ["x1"], "fixed_effects": ["unit", "year"], "cluster": "unit"}
    studies = {
        "feols, clustered": hb.Study.from_frame(frame, **roles, cluster="g"),
        "feols, weighted": hb.Study.from_frame(frame, **roles, cluster="g", weight="w"),
        "feols, heteroskedastic": hb.Study.from_frame(frame, **roles),
        "feols, two-way effects": hb.Study.from_frame(years, **{**roles, **effects}),
    }
    return {(name, "d"): figures(hb.Feols().fit(study).rows(0.95)[0]) for name, study in studies.items()}


def forest_figures(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """Rows of the forest under the names of grf's functions."""
    roles = {"covariates": ["x1", "x2", "x3"], "cluster": "g"}
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", **roles)
    forest = hb.CausalForest(num_trees=TREES, seed=SEED, num_threads=1)
    table = hb.compare(study, [forest], seed=SEED)
    scores = table.scores("grf")
    average = {row.estimand: figures(row) for row in table.rows if not row.term}
    target, names = "average_treatment_effect", {"all": "ate", "overlap": "ato"}
    out = {(target, name): average[ours] for name, ours in names.items()}
    out[target, "treated"] = figures(att(scores, heterogeneity="independent"))
    for row in table.projection(vcov="HC3").rows:
        out["best_linear_projection", row.term] = figures(row)
    for row in table.calibration().rows:
        out["test_calibration", f"{row.term.split()[0]}.forest.prediction"] = figures(row)
    for name in ("autoc", "qini"):
        row = rate(scores, frame["x1"].to_numpy(), target=name)
        out["rank_average_treatment_effect", name] = (row.estimate, np.nan)
    dose = hb.Study.from_frame(frame, outcome="yd", treatment="dose", **roles)
    graded = hb.compare(dose, [forest], estimands=["ape"], seed=SEED)
    return {**out, (target, "dose"): figures(graded.rows[0])}


def r_figures(frame: pd.DataFrame, years: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """What R says of the same data."""
    library = Path(sys.prefix) / "r-library"
    paths = os.pathsep.join(filter(None, [str(library), os.environ.get("R_LIBS", "")]))
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("data.csv", "panel.csv", "out.csv")]
        frame.to_csv(files[0], index=False, float_format="%.17g")
        years.to_csv(files[1], index=False, float_format="%.17g")
        command = ["Rscript", "--vanilla", str(HERE / "parity.R"), *files]
        subprocess.run(command, check=True, env=os.environ | {"R_LIBS": paths})
        said = pd.read_csv(files[2], float_precision="round_trip")
    said = said.rename(columns={"std.error": "std_error"})
    return {(row.what, row.term): (row.estimate, row.std_error) for row in said.itertuples(index=False)}


def lines() -> list[Line]:
    """Every figure of ours beside R's."""
    frame, years = cross_section(), panel()
    theirs = r_figures(frame, years)
    ours = {**feols_figures(frame, years), **forest_figures(frame)}
    known = {key: value for key, value in ours.items() if key in theirs or key[0].startswith("feols")}
    return [Line(*key, value, theirs.get(key)) for key, value in known.items()]


def markdown(found: Sequence[Line]) -> str:
    """The page docs/parity.md."""
    out = [
        "# Parity with R",
        "",
        "Our rows beside R's own functions on the same simulated data and, for the forest, the same seed. "
        f"Pass: estimate and standard error within {TOLERANCE:g}. Written by `python bench/parity.py`.",
        "",
        WEIGHTS,
        "",
        "| R function | term | our estimate | gap | our std. error | gap | verdict | note |",
        "|---|---|---:|---:|---:|---:|---|---|",
    ]
    for line in found:
        gaps = (
            ["", ""] if line.theirs is None else ["" if np.isnan(gap) else f"{gap:.1e}" for gap in line.gaps]
        )
        error = "" if np.isnan(line.ours[1]) else f"{line.ours[1]:.6f}"
        note = NOTES.get((line.what, line.term), "")
        cells = [line.what, line.term, f"{line.ours[0]:.6f}", gaps[0], error, gaps[1], line.verdict, note]
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join([*out, ""])


if __name__ == "__main__":
    found = lines()
    for line in found:
        gaps = "" if line.theirs is None else "gap {:.1e}, {:.1e}".format(*line.gaps)
        print(f"{line.verdict:<8} {line.what:<32} {line.term:<34} {gaps}")
    (Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "docs" / "parity.md").write_text(
        markdown(found)
    )
    sys.exit(any(line.verdict == "FAIL" for line in found))
