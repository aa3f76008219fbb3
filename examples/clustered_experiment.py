"""A clustered experiment: does a small payment make people fetch their HIV result, and for whom is it worth paying?

`thornton_hiv`: Malawi, 2004; vouchers were drawn at random, the draw was done village by village (Thornton, 2008,
AER 98(5)). `tinc`, the size of the voucher, is part of the treatment and never a covariate.

    python examples/clustered_experiment.py [--quick]
"""

from __future__ import annotations

import sys

import pandas as pd
from causaldata import thornton_hiv

import hte_bridge as hb

COLUMNS = ["got", "any", "age", "distvct", "hiv2004", "villnum"]
COST = 0.25  # what a voucher costs, in units of one person who learns the result


def engines(quick: bool) -> list:
    """Three engines, or two small ones."""
    if quick:
        return [hb.Feols(), hb.CausalForest(seed=1, num_trees=100)]
    return [hb.Feols(), hb.CausalForest(seed=1), hb.Deep(seed=1)]


def study(cluster: str | None) -> hb.Study:
    """The complete rows."""
    frame = thornton_hiv.load_pandas().data[COLUMNS].dropna()
    covariates = ["age", "distvct", "hiv2004"]
    return hb.Study.from_frame(frame, outcome="got", treatment="any", covariates=covariates, cluster=cluster)


def conclude(table: hb.Table, alone: hb.Table, policy: hb.Table) -> str:
    """What an economist would write, from the numbers themselves."""
    clustered = table.where(engine="feols", estimand="coefficient", term="any").rows[0]
    naive = alone.where(engine="feols", estimand="coefficient", term="any").rows[0]
    joint = table.where(engine="feols", estimand="projection", term="joint").rows[0]
    found = "moves" if joint.p_value < 0.05 else "does not visibly move"
    everybody = next((each for each in policy.where(engine="feols").rows if each.term == "treat all"), None)
    worth = (
        f"Paying everybody is worth {everybody.estimate:.3f} per head net of a cost of {COST:g} "
        f"(s.e. {everybody.std_error:.3f}).\n"
        if everybody
        else ""
    )
    return f"""Conclusion
Any voucher raises the share that fetches its result by {clustered.estimate:.3f}; the error clustered by village is
{clustered.std_error:.4f}, and {naive.std_error:.4f} without clusters. The effect {found} with age, distance and the result itself
(joint test p = {joint.p_value:.2f}), and engines agree on the average: one number will do.
{worth}
What would change it: villages that talk to one another (119 clusters is what the error leans on), or a cost per voucher
near the effect, where a rule that pays only some would start to matter."""


def main(quick: bool = False) -> pd.DataFrame:
    """Print the table, the same without clusters, and what paying is worth."""
    table = hb.compare(study("villnum"), engines(quick), seed=1)
    alone = hb.compare(study(None), [hb.Feols()], estimands=["ate"], seed=1)
    policy = table.policy(cost=COST)
    for title, each in (
        ("Clustered by village", table),
        ("As if villages did not matter", alone),
        ("Whom to pay", policy),
    ):
        print(f"\n{title}\n{each}")
    print(f"\n{conclude(table, alone, policy)}")
    return pd.concat([table.to_frame(), policy.to_frame()])


if __name__ == "__main__":
    main("--quick" in sys.argv)
