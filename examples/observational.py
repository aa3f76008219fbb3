"""Observational data: does quitting smoking make people gain weight?

`nhefs_complete`: 1,566 smokers seen in 1971 and 1982 (Hernan and Robins, 2020, Causal Inference: What If, chapter 12).
Nobody randomised who quits: the covariates have to carry the comparison, and the last tables ask how well.

    python examples/observational.py [--quick]
"""

from __future__ import annotations

import sys

import pandas as pd
from causaldata import nhefs_complete

import hte_bridge as hb

COVARIATES = ["sex", "race", "age", "education", "smokeintensity", "smokeyrs", "exercise", "active", "wt71"]


def engines(quick: bool) -> list:
    """Three engines, or two small ones."""
    if quick:
        return [hb.Feols(), hb.CausalForest(seed=1, num_trees=100)]
    return [hb.Feols(), hb.CausalForest(seed=1), hb.Deep(seed=1)]


def study(quick: bool) -> hb.Study:
    """Weight gained between 1971 and 1982, in kg, on quitting in between."""
    frame = nhefs_complete.load_pandas().data
    frame = frame.sample(600, random_state=1) if quick else frame
    return hb.Study.from_frame(frame, outcome="wt82_71", treatment="qsmk", covariates=COVARIATES)


def conclude(table: hb.Table, sensitivity: hb.Table) -> str:
    """What an economist would write, from the numbers themselves."""
    adjusted = table.where(engine="feols", estimand="coefficient", term="qsmk").rows[0]
    raw = table.where(engine="feols", estimand="coefficient", term="qsmk, no covariates").rows[0]
    overlap = table.where(engine="feols", estimand="ato").rows[0]
    averages = [row.estimate for row in table.where(estimand="ate").rows if row.std_error > 0]
    low, high = table.meta["propensity"]["feols"]
    strong = [row for row in sensitivity.where(engine="feols").rows if "robustness" in row.term]
    hidden = (
        f"A hidden confounder must explain {strong[0].estimate:.0%} of what is left of both to undo it.\n"
        if strong
        else ""
    )
    return f"""Conclusion
Quitters gained {adjusted.estimate:.1f} kg (s.e. {adjusted.std_error:.2f}) more than comparable smokers, {raw.estimate:.1f} kg before comparing like
with like; the engines' averages lie within {max(averages) - min(averages):.1f} kg of one another. Propensities run from {low:.2f} to {high:.2f}, so
the overlap estimand ({overlap.estimate:.1f} kg, s.e. {overlap.std_error:.2f}), which leans least on those sure to quit or not, is read first.
{hidden}
What would change it: something that makes people both quit and gain, such as an illness before 1971 that is not among
the covariates; and those who died before 1982 are not in the data at all."""


def main(quick: bool = False) -> pd.DataFrame:
    """Print the table, why the forest differs from the regression, and how strong a confounder must be."""
    table = hb.compare(study(quick), engines(quick), seed=1)
    sensitivity = table.sensitivity()
    blocks = [("Weight gained by quitting", table)]
    if "grf" in table.fits:
        blocks.append(("Why forest and regression differ", table.explain_gap()))
    blocks.append(("How strong must a hidden confounder be?", sensitivity))
    for title, each in blocks:
        print(f"\n{title}\n{each}")
    print(f"\n{conclude(table, sensitivity)}")
    return pd.concat([each.to_frame() for _, each in blocks])


if __name__ == "__main__":
    main("--quick" in sys.argv)
