"""What shares of the stacked outcome mean cost that have not seen the fold: python -m bench.nested [--draws 5] [--n 250].

On the same held-out predictions of the exact kernel, constant, line and network: squared error of E[Y | x] when shares are learned without the fold
(as the engine does), when they have seen all folds, and by the kernel alone. Its last table is in docs/method_details.md, Held-out predictions.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import pandas as pd

import hte_bridge as hb
import hte_bridge.simulate as sim
from hte_bridge.engines.deep.canonical import Seen
from hte_bridge.engines.deep.nuisance.crossfit import stack
from hte_bridge.engines.deep.route_gp import parts_held_out
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.progress import steps

DESIGNS = {
    "nie_wager A": partial(sim.nie_wager, setup="A"),
    "hahn nonlinear": partial(sim.hahn_murray_carvalho, nonlinear=True, heterogeneous=True),
    "count": partial(sim.limited, outcome="count"),
}


def errors(name: str, n: int, draw: int) -> dict[str, float]:
    """Mean squared error of E[Y | x] of one draw, by where the shares come from."""
    data = DESIGNS[name](n, seed=draw)
    study = hb.Study.from_frame(
        data.frame(),
        outcome="y",
        treatment="t",
        covariates=data.columns,
        propensity=float(data.propensity[0]) if data.experiment else None,
    )
    options = hb.Deep(seed=draw)
    folds = hb.Folds.make(study, options.n_folds, draw)
    with threads(1):
        seen = Seen.of(study, folds)
        _, _, mean = parts_held_out(seen.study, seen.order.folds(folds), options)
    columns = np.column_stack(list(mean.candidates.values()))
    found = {
        "without the fold": mean.prediction,
        "all folds": columns @ stack(columns, seen.study.outcome, seen.study.weight),
        "kernel alone": mean.candidates["kernel"],
    }
    truth = data.outcome_mean[seen.order.rows]
    return {shares: float(np.mean((each - truth) ** 2)) for shares, each in found.items()}


def main() -> None:
    """Print the mean over draws of each design."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--n", type=int, nargs="+", default=[250, 500])
    given = parser.parse_args()
    cells = [(name, n, draw) for n in given.n for draw in range(given.draws) for name in DESIGNS]
    rows = [{"design": name, "n": n, **errors(name, n, draw)} for name, n, draw in steps(cells, "draws")]
    table = pd.DataFrame(rows).groupby(["n", "design"], sort=False).mean().round(3)
    print(table.to_markdown())
    ratio = pd.DataFrame(rows)["without the fold"].mean() / pd.DataFrame(rows)["all folds"].mean()
    print(f"without the fold over all folds, over {len(rows)} draws: {ratio:.3f}")


if __name__ == "__main__":
    main()
