"""Coverage of errors by cluster where few clusters are treated: python -m bench.few_clusters [--draws 400] [--scores].

A panel of units whose treatment comes halfway and stays, errors an AR(1) of .5, no effect: how often the 95 % interval of the feols
coefficient (CRV1, t with one df less than units) holds zero, beside ``Study.effective_clusters``. It is what ``rows.UNDEFENDED`` and ``rows.SHORT``
rest on. ``--scores`` measures the average effect from held-out scores in small panels instead, by units, folds and effects. Either keeps the
other's table as it is. Writes bench/results/few_clusters*.parquet and docs/few_clusters.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import hte_bridge as hb
from hte_bridge.estimands.averages import ape
from hte_bridge.progress import steps
from hte_bridge.scores import scores
from hte_bridge.study import SHORT, UNDEFENDED

ROOT = Path(__file__).parent.parent
PARQUET, PAGE = ROOT / "bench" / "results" / "few_clusters.parquet", ROOT / "docs" / "few_clusters.md"
CELLS = [
    *((20, treated) for treated in (1, 2, 3, 5, 10)),
    *((50, treated) for treated in (1, 2, 4, 8, 12, 25)),
    *((150, treated) for treated in (2, 4, 8, 16)),
]
FOLDED = [  # units, folds, effects, whether clusters are named
    *((units, 5, 2, True) for units in (20, 40, 100)),
    *((units, 5, 3, True) for units in (20, 40, 100)),
    *((units, 5, 2, False) for units in (20, 40, 100)),
    (20, 2, 2, True),
]
SCORED = PARQUET.with_name("few_clusters_scores.parquet")
PERIODS, GOES_ON = 6, 0.5
HEAD = f"""# Few treated clusters

Made by `python -m bench.few_clusters`. An error by cluster is estimated from the clusters' own residuals, and those of the few that are treated are
fitted almost exactly: with two treated units the interval of a difference in differences covers some two times in three, however many
untreated units there are. What counts is not the number of clusters but how evenly they hold the treatment's variation, net of the fixed
effects: `study.effective_clusters` (Carter, Schnepel and Steigerwald 2017; MacKinnon and Webb 2018). Below {UNDEFENDED:g} a comparison reports estimates
without intervals and says why; below {SHORT:g} it warns. Without fixed effects `table.randomisation()` does not need the
residuals; a panel's estimate can be set against placebo treatments of untreated units (Conley and Taber 2011).

Panels of {PERIODS} periods, treatment from the middle on, errors an AR(1) of {GOES_ON:g}, no effect; the coefficient of `feols` with CRV1 errors.

"""


def draw(
    units: int, treated: int, rng: np.random.Generator, effects: int = 2, named: bool = True
) -> hb.Study:
    """One panel in which nothing happens; errors of a unit go on where clusters are named, a third effect is of four levels by lot."""
    error = rng.normal(size=(units, PERIODS))
    for t in range(1, PERIODS) if named else ():
        error[:, t] = GOES_ON * error[:, t - 1] + (1 - GOES_ON**2) ** 0.5 * error[:, t]
    unit, period = np.repeat(np.arange(units), PERIODS), np.tile(np.arange(PERIODS), units)
    columns = {
        "y": error.ravel(),
        "d": (unit < treated) & (period >= PERIODS // 2),
        "x": rng.normal(size=len(unit)),
    }
    more = {"unit": unit, "period": period} | (
        {"third": rng.integers(0, 4, len(unit))} if effects > 2 else {}
    )
    return hb.Study.from_frame(
        pd.DataFrame(columns | more),
        outcome="y",
        treatment="d",
        covariates=["x"],
        fixed_effects=[*more],
        cluster="unit" if named else None,
    )


def measure(units: int, treated: int, draws: int, seed: int) -> dict[str, float]:
    """Coverage of one cell."""
    rng = np.random.default_rng([seed, units, treated])
    hits = []
    for _ in range(draws):
        study = draw(units, treated, rng)
        row = hb.Feols(plain=False).fit(study).rows(0.95)[0]
        hits.append(row.conf_low <= 0 <= row.conf_high)
    share = float(np.mean(hits))
    cell = {"units": units, "treated": treated, "effective": study.effective_clusters, "draws": draws}
    return cell | {"coverage": share, "mc": (share * (1 - share) / draws) ** 0.5}


def scored(units: int, n_folds: int, effects: int, named: bool, draws: int, seed: int) -> dict[str, float]:
    """Coverage of the average effect from held-out scores where half of the units are treated, and the spread of its z."""
    rng = np.random.default_rng([seed, units, n_folds, effects, named])
    z, hits = [], []
    for number in range(draws):
        study = draw(units, units // 2, rng, effects, named)
        fit = hb.Feols(plain=False).fit(study, hb.Folds.make(study, n_folds, seed=number))
        assert fit.heldout is not None
        row = ape(scores(study, fit.heldout))
        z.append(row.estimate / row.std_error)
        hits.append(row.conf_low <= 0 <= row.conf_high)
    share = float(np.mean(hits))
    cell = {"units": units, "folds": n_folds, "effects": effects, "named": named, "draws": draws}
    return cell | {"spread": float(np.std(z)), "coverage": share, "mc": (share * (1 - share) / draws) ** 0.5}


SCORES_HEAD = """
## Few units in a fold

The average effect (`ape`) from held-out scores, of `feols`, half of the units treated, else as above; where no clusters are named errors are
independent. A panel's effects are swept out of all held-out rows together: out of each fold's four units alone they left errors that were a
third too small, and intervals that covered .85. The spread of (estimate - truth) / error is one where errors are right.

| units | folds | effects | clusters named | spread | coverage of 95 % intervals (Monte-Carlo error) | draws |
|---|---|---|---|---|---|---|
"""


def scored_page(rows: pd.DataFrame) -> str:
    """The part on folds."""
    lines = [
        f"| {row.units} | {row.folds} | {row.effects} | {'yes' if row.named else 'no'} | {row.spread:.2f} | "
        f"{row.coverage:.3f} ({row.mc:.3f}) | {row.draws} |"
        for row in rows.itertuples()
    ]
    return SCORES_HEAD + "\n".join(lines) + "\n"


def page(rows: pd.DataFrame) -> str:
    """The page, fewest effective clusters first."""
    lines = [
        "| effective clusters | units | treated | coverage of 95 % intervals (Monte-Carlo error) | draws | a comparison |"
    ]
    lines.append("|---" * 6 + "|")
    for row in rows.sort_values("effective").itertuples():
        does = "no interval" if row.effective < UNDEFENDED else "warns" if row.effective < SHORT else ""
        lines.append(
            f"| {row.effective:.1f} | {row.units} | {row.treated} | {row.coverage:.3f} ({row.mc:.3f}) | {row.draws} | {does} |"
        )
    return HEAD + "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scores", action="store_true", help="the part on folds instead")
    asked = parser.parse_args(arguments)
    make, cells, path = (scored, FOLDED, SCORED) if asked.scores else (measure, CELLS, PARQUET)
    rows = pd.DataFrame([make(*cell, asked.draws, asked.seed) for cell in steps(cells, "few clusters")])
    PARQUET.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(path)
    text = page(pd.read_parquet(PARQUET)) + (scored_page(pd.read_parquet(SCORED)) if SCORED.exists() else "")
    PAGE.write_text(text, encoding="utf8")
    print(text)


if __name__ == "__main__":
    main()
