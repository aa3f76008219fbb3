"""What an installed wheel must do where there is no R: run by scripts/wheel.sh outside the checkout, with its own environment."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import hte_bridge as hb

N = 80


def shell(*arguments: str) -> tuple[int, str]:
    run = subprocess.run(["hte-bridge", *arguments], capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr


def study() -> hb.Study:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(N, 2)), columns=["age", "y"]).assign(t=np.arange(N) % 2)
    return hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["age"])


def main() -> None:
    """Each line is a promise of the README."""
    assert Path(hb.__file__).is_relative_to(sys.prefix), hb.__file__
    assert shell("--version") == (0, f"hte-bridge {hb.__version__}\n")
    table = hb.compare(study(), ["feols"], seed=1)
    assert "torch" not in sys.modules, "a feols table loads torch"
    table = hb.compare(study(), [hb.Feols(), hb.CausalForest(num_trees=50), hb.Deep(seed=1)], seed=1)
    print(table)
    frame = table.to_frame()
    with_error = {engine for engine, rows in frame.groupby("engine") if rows["std_error"].notna().any()}
    assert with_error == {"feols", "deep"}, with_error
    notes = " ".join(frame.loc[frame["engine"] == "grf", "note"])
    assert "R must be installed" in notes, notes
    assert "`hte-bridge setup`" in notes, notes
    status, said = shell("doctor")
    assert status == 1, said
    assert "engines: feols runs, grf does not run, deep runs" in said, said
    status, said = shell("setup", "--dry-run")
    assert status == 2, said
    assert "R must be there" in said, said
    print("the wheel installs and runs without R: feols, deep, and grf's rows that say what is missing")


if __name__ == "__main__":
    main()
