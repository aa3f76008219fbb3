"""Did an incentive bring people to learn their HIV result, and whom? The table in Python; compare.R makes it in R.

Usage: python examples/compare.py OUT.csv
"""

import sys

import hte_bridge as hb
from hte_bridge.demo import thornton_hiv

if __name__ == "__main__":
    data = thornton_hiv()
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
