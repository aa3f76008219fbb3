"""Did an incentive bring people to learn their HIV result, and whom? The table in Python; compare.R makes it in R.

Usage: python examples/compare.py OUT.csv
"""

import sys
from pathlib import Path

import pandas as pd

import hte_bridge as hb

if __name__ == "__main__":
    data = pd.read_csv(
        Path(__file__).parent / "thornton_hiv.csv", float_precision="round_trip"
    )  # to the last bit
    study = hb.Study.from_frame(
        data,
        outcome="got",
        treatment="any",
        covariates=["age", "distvct", "hiv2004"],
        cluster="villnum",
    )
    engines = [hb.Feols(), hb.CausalForest(num_trees=2000, seed=1), hb.Deep(seed=1)]
    table = hb.compare(study, engines, seed=1)
    print(table)
    table.save(sys.argv[1])
