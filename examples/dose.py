"""A dose: how much less care do people use when they pay more of it themselves?

`randhie`: the RAND Health Insurance Experiment; families were assigned to coinsurance rates of 0, 25, 50 and 95 % (Manning
et al., 1987, AER 77(3)). Treatment is the share that the patient pays, in units of ten points, and the rate on the plans
with an individual deductible is left out (100 in the file stands for them).

    python examples/dose.py [--quick]
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import statsmodels.datasets

import hte_bridge as hb

RATES = (0.0, 25.0, 50.0, 95.0)
COVARIATES = ["site", "year", "xage", "female", "linc", "disea", "mhi", "num"]


def load(quick: bool) -> pd.DataFrame:
    """Person-years; all years of a person stay together."""
    frame = pd.read_csv(Path(statsmodels.datasets.__file__).parent / "randhie" / "src" / "randhie.csv")
    frame = frame[frame["coins"].isin(RATES)].assign(share=lambda each: each["coins"] / 10)
    if quick:
        people = pd.Series(frame["zper"].unique()).sample(600, random_state=1)
        frame = frame[frame["zper"].isin(people)]
    return frame.astype({"site": "category", "year": "category"})


def engines(quick: bool) -> list:
    """Three engines, or two small ones."""
    if quick:
        return [hb.Feols(), hb.CausalForest(seed=1, num_trees=100)]
    return [hb.Feols(), hb.CausalForest(seed=1, num_trees=1000), hb.Deep(seed=1)]


def step(frame: pd.DataFrame, rate: float, quick: bool) -> hb.Comparison:
    """One rate against free care, as a treatment of its own: no line is drawn through the rates."""
    kept = frame[frame["coins"].isin([0.0, rate])].assign(pays=lambda each: (each["coins"] > 0).astype(float))
    study = hb.Study.from_frame(
        kept, outcome="mdvis", treatment="pays", covariates=COVARIATES, cluster="zper"
    )
    return hb.compare(study, engines(quick)[: 1 if quick else 2], estimands=["ate"], seed=1)


def conclude(table: hb.Table, steps: dict[float, hb.Table]) -> str:
    """What an economist would write, from the numbers themselves."""
    slope = table.where(engine="feols", estimand="coefficient", term="share").rows[0]
    rows = {rate: each.where(engine="feols", estimand="ate").rows[0] for rate, each in steps.items()}
    listed = ", ".join(
        f"{row.estimate:.2f} ({row.std_error:.2f}) at {rate:.0f} %" for rate, row in rows.items()
    )
    first, whole = -rows[25.0].estimate / 2.5, -rows[95.0].estimate / 9.5
    shape = "more" if first > whole else "less"
    return f"""Conclusion
Visits a year change, against free care, by {listed}
(s.e. clustered by person). Along a line that is {slope.estimate:.3f} for each ten points (s.e. {slope.std_error:.3f}); the step to
25 % takes {shape} per ten points than the whole way ({first:.3f} against {whole:.3f}), so read the steps, not the slope,
before you set a rate.

What would change it: families drawn as a whole share their plan, so errors clustered by person are too small if family
members move together (the file has no family number); people who left plans that cost them more are missing later on."""


def main(quick: bool = False) -> pd.DataFrame:
    """Print the table of average slopes, the curve, and the conclusion."""
    frame = load(quick)
    study = hb.Study.from_frame(
        frame, outcome="mdvis", treatment="share", covariates=COVARIATES, cluster="zper"
    )
    table = hb.compare(study, engines(quick), estimands=["ape"], seed=1)
    steps = {rate: step(frame, rate, quick) for rate in RATES[1:]}
    print(f"\nVisits and the patient's share, per ten points\n{table}")
    for rate, each in steps.items():
        print(f"\n{rate:.0f} % against free care\n{each}")
    print(f"\n{conclude(table, steps)}")
    return pd.concat([table.to_frame(), *(each.to_frame() for each in steps.values())])


if __name__ == "__main__":
    main("--quick" in sys.argv)
