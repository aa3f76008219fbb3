"""Two policies that spread: minimum wages and teen employment, and the castle doctrine and homicide.

`mpdta`: 500 counties, 2003 to 2007, whose states raised their minimum wage in 2004, 2006, 2007 or not (Callaway and Sant'Anna, 2021,
Journal of Econometrics 225(2)). `castle`: 50 states, 2000 to 2010, of which 21 extended self-defence law (Cheng and Hoekstra, 2013,
Journal of Human Resources 48(3)).

    python examples/adoption.py [--quick]
"""

from __future__ import annotations

import sys
from pathlib import Path

import causaldata
import numpy as np
import pandas as pd

import hte_bridge as hb


def engines(quick: bool) -> list:
    """feols rebuilds R's did; grf and deep learn from all cohorts and periods at once."""
    return [hb.Feols()] if quick else [hb.Feols(), hb.CausalForest(seed=1), hb.Deep(seed=1)]


def wages(quick: bool) -> hb.AdoptionComparison:
    """Log teen employment of counties whose minimum wage rose, given their population."""
    frame = pd.read_csv(Path(__file__).parent / "mpdta.csv")
    population = frame.groupby("countyreal")["lpop"].transform("first")
    study = hb.Study.from_frame(
        frame.assign(large=np.where(population > population.median(), "yes", "no")),
        outcome="lemp",
        unit="countyreal",
        period="year",
        first_treated="first.treat",
        covariates=["lpop"],
    )
    return hb.compare(study, engines(quick), seed=1)


def castle(quick: bool) -> hb.AdoptionComparison:
    """Log homicides of states that adopted a castle doctrine law; the first treated year is the first full one under it."""
    frame = causaldata.castle.load_pandas().data
    start = frame.loc[frame["post"] > 0].groupby("sid")["year"].min()
    study = hb.Study.from_frame(
        frame.assign(adopted=frame["sid"].map(start)),
        outcome="l_homicide",
        unit="sid",
        period="year",
        first_treated="adopted",
    )
    return hb.compare(study, engines(quick)[:1], seed=1)


def row(table: hb.Table, estimand: str, term: str) -> hb.Estimate:
    """A row of feols."""
    return next(each for each in table.where(engine="feols", estimand=estimand).rows if each.term == term)


def without_interval(table: hb.AdoptionComparison) -> str:
    """Cohorts of so few adopters that their effects have no interval, and how many adopters each has."""
    cohorts = [each.term for each in table.where(estimand="att_group").rows if not each.std_error > 0]
    return ", ".join(f"{each} ({int((table.study.cohort == float(each)).sum())})" for each in cohorts)


def conclude(wage: hb.AdoptionComparison, law: hb.AdoptionComparison) -> str:
    """What an economist would write, from the numbers themselves."""
    now, later = (row(wage, "att_event", term) for term in ("0", "2"))
    trends, large = (
        row(wage.pretrends(), "pretrend", "leads"),
        row(wage.gate("large"), "gate", "large = yes - large = no"),
    )
    homicide, before = row(law, "att_simple", "overall"), row(law.pretrends(), "pretrend", "largest lead")
    seen_long = int((wage.study.cohort == 2004).sum())
    return f"""Conclusion
A higher minimum wage lowers teen employment little in its first year ({100 * now.estimate:.1f} %, s.e. {100 * now.std_error:.1f}) and by
{-100 * later.estimate:.0f} % two years on (s.e. {100 * later.std_error:.1f}), among the {seen_long} counties that are seen so long. Leads are not jointly different from zero
(p = {trends.p_value:.2f}). Large counties lose less than small ones by {100 * large.estimate:.1f} points (s.e. {100 * large.std_error:.1f}): no difference that the data can tell.
After a castle doctrine law homicides are {100 * homicide.estimate:.0f} % higher (s.e. {100 * homicide.std_error:.0f}), {"more than" if homicide.p_value < 0.05 else "within"} chance; the largest lead has p = {before.p_value:.2f}
(sup-t). Cohorts of one or two states have estimates and no interval, as the error of so few is not known: {without_interval(law)}.
The first is Florida, whose law of October 2005 is counted from 2006, its first full year.

What would change it: trends that would have parted anyway, given population; other laws that came with these; effects that
spill over to counties and states that serve as comparison."""


def main(quick: bool = False) -> pd.DataFrame:
    """Print both tables, the questions that follow, and the conclusion."""
    wage, law = wages(quick), castle(quick)
    print(f"\nMinimum wages and teen employment\n{wage}\n\nBy size of county\n{wage.gate('large')}")
    print(f"\nTrends before\n{wage.pretrends(by='large')}\n\nCastle doctrine and homicide\n{law}")
    print(f"\n{conclude(wage, law)}")
    return pd.concat([wage.to_frame(), law.to_frame()])


if __name__ == "__main__":
    main("--quick" in sys.argv)
