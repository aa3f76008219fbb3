"""300,000 rows of files by two workers of this machine: feols' numbers of the rows in memory, deep's average slope near the true one."""

from __future__ import annotations

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.simulate.panel import panel

ROLES = {"outcome": "y", "treatment": "t", "covariates": ["a"], "fixed_effects": ["user", "vendor"]}
SAME = 1e-8


@pytest.mark.slow
def test_a_table_of_300_000_rows_by_two_workers(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    made = panel("linear", n_rows=300_000, n_users=200, n_vendors=20, n_periods=5, seed=1)
    frame = made.frame()[["y", "t", "a", "user", "vendor"]]
    for number, rows in enumerate(np.array_split(np.arange(made.n), 3)):
        frame.iloc[rows].to_parquet(tmp_path / f"{number}.parquet", index=False)
    study = hb.Study.from_parquet(tmp_path, **ROLES, cluster="user")
    engines = [hb.Feols(), hb.Deep(epochs=1, hidden=(4,), n_folds=2, device="cpu")]
    table = hb.compare(study, engines, seed=1, n_folds=2, estimands=["ape"], on_error="raise")
    assert table.fits["deep"].branch.kind == "stream"
    assert table.study.stored.runner.count == 2
    memory = hb.Study.from_frame(frame, **ROLES, cluster="user")
    known = hb.compare(memory, engines[:1], seed=1, n_folds=2, estimands=["ape"]).rows[0]
    assert table.rows[0].estimate == pytest.approx(known.estimate, rel=SAME)
    assert table.rows[0].std_error == pytest.approx(known.std_error, rel=SAME)
    deep = next(row for row in table.rows if row.engine == "deep")
    assert abs(deep.estimate - made.beta.mean()) < 4 * deep.std_error
