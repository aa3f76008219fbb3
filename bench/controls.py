"""Whether controls take confounding out of deep, and whether its intervals of the effect then cover: few draws, known truth.

    python -m bench.controls --draws 10 --n 300

The effect is 1 + x; treatment and outcome both follow z, and the outcome z2 too. Each draw is fitted with z and z2 as controls, as covariates and
left out. Printed: mean error of the average effect over its standard error, share of points of a new sample whose effect lies in its interval, root
mean squared error of the effect there.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

import hte_bridge as hb

POINTS = 200
ROLES = {
    "controls": {"covariates": ["x", "u"], "controls": ["z", "z2"]},
    "covariates": {"covariates": ["x", "u", "z", "z2"]},
    "left out": {"covariates": ["x", "u"]},
}


def sample(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows (n,) with known effects."""
    frame = pd.DataFrame(rng.normal(size=(n, 4)), columns=["x", "u", "z", "z2"])
    frame["d"] = (rng.random(n) < 1 / (1 + np.exp(-frame["z"]))).astype(int)
    noise = rng.normal(size=n)
    frame["y"] = frame["d"] * (1 + frame["x"]) + frame["z"] + 0.5 * frame["z2"] * frame["x"] + noise
    return frame


def draw(n: int, seed: int) -> list[dict[str, float | str | int]]:
    """One data set under each choice of roles."""
    rng = np.random.default_rng(seed)
    frame, new = sample(n, rng), sample(POINTS, rng)
    truth, rows = 1 + new["x"], []
    for name, roles in ROLES.items():
        study = hb.Study.from_frame(frame, outcome="y", treatment="d", **roles)
        table = hb.compare(study, [hb.Deep(seed=seed)], estimands=["ate"], seed=seed)
        (ate,) = table.rows
        found = table.cate(new, "deep")
        inside = (found["conf_low"] <= truth) & (truth <= found["conf_high"])
        miss = float(np.sqrt(((found["estimate"] - truth) ** 2).mean()))
        error = (ate.estimate - 1) / ate.std_error
        rows.append(
            {"seed": seed, "roles": name, "ate_z": error, "covered": float(inside.mean()), "rmse": miss}
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Draw, fit and print the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--n", type=int, default=300)
    given = parser.parse_args()
    rows = [row for seed in range(given.draws) for row in draw(given.n, seed)]
    print(pd.DataFrame(rows).groupby("roles")[["ate_z", "covered", "rmse"]].mean().round(3).to_string())


if __name__ == "__main__":
    main()
