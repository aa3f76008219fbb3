"""An advertising panel: which users' clicks are worth buying, and how far does a budget reach?

Simulated (`hte_bridge.simulate.panel`), so that the truth is known: users, vendors and periods have effects of their own,
clicks go where sales are high anyway, and the effect of log(1 + clicks) differs by user and vendor. The question is the
return on buying 10 % more clicks, by segment of users, and what the next budget should buy.

    python examples/advertising.py [--quick]
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

import hte_bridge as hb
from hte_bridge.simulate.panel import COVARIATES, panel

MARGIN = 5.0  # what one unit of the outcome is worth
PRICE = 0.6  # what 10 % more clicks cost, per row
MORE = np.log(1.1)  # 10 % more clicks, in units of the treatment
SEGMENTS = 4
SHARE = 0.5  # of all rows that the budget can pay for


def draw(quick: bool) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with their segment (quarters of users by what is known of them), and the true effect (n,)."""
    sizes = (
        {"n_rows": 4_000, "n_users": 100, "n_vendors": 20, "n_periods": 8} if quick else {"n_rows": 60_000}
    )
    made = panel("linear", seed=1, **sizes)
    frame = made.frame()
    quarter = pd.qcut(frame["U0"], SEGMENTS, labels=False, duplicates="drop") + 1
    return frame.assign(segment="U0 quarter " + quarter.astype(str)), made.beta


def engines(quick: bool) -> list:
    """feols with linear interactions, and deep; grf would take minutes more on a panel of this size."""
    return [hb.Feols()] if quick else [hb.Feols(), hb.Deep(seed=1)]


def buy(returns: hb.Table, sizes: pd.Series) -> list[tuple[str, float]]:
    """Segments in order of their return, each with the share of it that the budget reaches; none that loses money."""
    rows = sorted(
        (row for row in returns.rows if row.term in sizes.index), key=lambda row: row.estimate, reverse=True
    )
    left, plan = SHARE * sizes.sum(), []
    for row in rows:
        if row.conf_low > 0 and left > 0:
            plan.append((row.term, min(1.0, left / sizes[row.term])))
            left -= sizes[row.term]
    return plan


def conclude(table: hb.Table, returns: hb.Table, frame: pd.DataFrame, truth: np.ndarray) -> str:
    """What an economist would write, from the numbers themselves, and how far from the truth it is."""
    engine = list(dict.fromkeys(row.engine for row in returns.rows))[-1]
    own = returns.where(engine=engine)
    true = frame.assign(gain=MARGIN * MORE * truth).groupby("segment")["gain"].mean() / PRICE - 1
    lines = [
        f"  {row.term:14} return {row.estimate:+.2f} (s.e. {row.std_error:.2f}), true {true[row.term]:+.2f}"
        for row in own.rows
        if row.term in true.index
    ]
    plan = buy(own, frame["segment"].value_counts())
    bought = ", ".join(f"{share:.0%} of {term}" for term, share in plan) or "nothing"
    slope = table.where(engine="feols", estimand="coefficient").rows[0]
    return f"""Conclusion
One average effect ({slope.estimate:.2f}, feols) would spread the money evenly. By segment the return on 10 % more clicks is, by {engine}:
{chr(10).join(lines)}
A budget for {SHARE:.0%} of the rows buys {bought}.

What would change it: clicks that react to a shock in the same week (effects take out what is constant in a user, a vendor
and a period, not that); prices that rise with what is bought; a margin below {MARGIN:g}, which scales every return."""


def main(quick: bool = False) -> pd.DataFrame:
    """Print the table, the return by segment, and what to buy."""
    frame, truth = draw(quick)
    study = hb.Study.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=list(COVARIATES),
        fixed_effects=["user", "vendor", "period"],
        cluster="user",
    )
    table = hb.compare(study, engines(quick), estimands=["ape"], seed=1)
    returns = table.roi(value=MARGIN, cost=PRICE, add=MORE, by="segment")
    print(f"\nEffect of log clicks on sales\n{table}\n\nReturn on 10 % more clicks\n{returns}")
    print(f"\n{conclude(table, returns, frame, truth)}")
    return pd.concat([table.to_frame(), returns.to_frame()])


if __name__ == "__main__":
    main("--quick" in sys.argv)
