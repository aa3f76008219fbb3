"""Two experiments: did job training raise earnings, and do black legislators answer letters that others leave?

`nsw_mixtape`: the National Supported Work experiment (LaLonde, 1986, AER 76(4); Dehejia and Wahba, 1999, JASA 94(448)).
`black_politicians`: an audit of 5,593 state legislators (Broockman, 2013, AJPS 57(3)); an e-mail from outside the
district, with an incentive to answer only for a legislator who cares about black citizens.

    python examples/experiment.py            # all trees and networks: minutes
    python examples/experiment.py --quick    # reduced, to see that it runs
"""

from __future__ import annotations

import sys

import pandas as pd
from causaldata import black_politicians, nsw_mixtape

import hte_bridge as hb

TRAINING = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]
DISTRICT = [
    "leg_black",
    "medianhhincom",
    "blackpercent",
    "urbanpercent",
    "leg_senator",
    "leg_democrat",
    "south",
]


def engines(quick: bool) -> list:
    """Three engines, or two small ones."""
    if quick:
        return [hb.Feols(), hb.CausalForest(seed=1, num_trees=100)]
    return [hb.Feols(), hb.CausalForest(seed=1), hb.Deep(seed=1)]


def training(quick: bool) -> hb.Comparison:
    """Earnings in 1978 on training: no cluster, so errors are heteroskedasticity-robust."""
    frame = nsw_mixtape.load_pandas().data
    study = hb.Study.from_frame(frame, outcome="re78", treatment="treat", covariates=TRAINING)
    return hb.compare(study, engines(quick), estimands=["ate", "att"], seed=1)


def letters(quick: bool) -> hb.Comparison:
    """Whether a legislator answered, on whether the writer lives outside the district."""
    frame = black_politicians.load_pandas().data
    frame = frame.sample(1500, random_state=1) if quick else frame
    study = hb.Study.from_frame(frame, outcome="responded", treatment="treat_out", covariates=DISTRICT)
    return hb.compare(study, engines(quick), estimands=["ate"], seed=1)


def row(table: hb.Table, engine: str, estimand: str, term: str = "") -> hb.Estimate:
    """One row of a table."""
    return table.where(engine=engine, estimand=estimand, term=term).rows[0]


def conclude(trained: hb.Comparison, answered: hb.Comparison, groups: hb.Table) -> str:
    """What an economist would write, from the numbers themselves."""
    raw = row(trained, "feols", "coefficient", "treat, no covariates")
    holding = [
        each.engine for each in trained.where(estimand="ate").rows if each.conf_low <= 0 <= each.conf_high
    ]
    doubt = (
        f"the adjusted interval of {', '.join(holding)} holds zero"
        if holding
        else "no engine's interval holds zero"
    )
    rows = {each.term: each for each in groups.where(engine="feols").rows}
    white, black, equal = rows["leg_black = 0"], rows["leg_black = 1"], rows["equal"]
    away = row(answered, "feols", "coefficient", "treat_out, no covariates")
    race = (
        "black legislators answer out of more than interest in votes"
        if equal.p_value < 0.05 and black.estimate > white.estimate
        else "this sample does not tell the two apart"
    )
    return f"""Conclusion
Training raised 1978 earnings by {raw.estimate:,.0f} dollars (s.e. {raw.std_error:,.0f}); {doubt}. 445
men are too few to say for whom, so no effect by group is read from them.
A letter from outside the district lowers the chance of an answer by {-away.estimate:.3f} (s.e. {away.std_error:.3f}): by {-white.estimate:.3f} for
other legislators and {-black.estimate:.3f} for black ones (p of equality {equal.p_value:.3f}), so {race}.

What would change it: training was offered to a hard-to-employ group in 1976, so another group; for the letters, a
covariate that moves with the legislator's race: race was not randomised, so the difference is one between groups."""


def main(quick: bool = False) -> pd.DataFrame:
    """Print both tables, the effect by race, and the conclusion."""
    trained, answered = training(quick), letters(quick)
    groups = answered.gate("leg_black")
    blocks = [("Training and earnings", trained), ("Answers to letters", answered)]
    blocks.append(("Answers, by race of the legislator", groups))
    if len(trained.fits) > 1:
        blocks.append(("Do the engines differ on training?", trained.differences()))
    for title, table in blocks:
        print(f"\n{title}\n{table}")
    print(f"\n{conclude(trained, answered, groups)}")
    return pd.concat([trained.to_frame(), answered.to_frame(), groups.to_frame()])


if __name__ == "__main__":
    main("--quick" in sys.argv)
