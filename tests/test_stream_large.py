"""300,000 rows of a panel in files, the passes made by two local workers of Dask: the main job at a size that shows what is slow or large."""

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.simulate.panel import panel

ROWS = 300_000
QUICK = {"n_folds": 2, "epochs": 1, "hidden": (4,), "n_nets": 1, "device": "cpu"}


@pytest.mark.slow
def test_two_workers_make_the_table_of_300_000_rows(tmp_path):
    distributed = pytest.importorskip(
        "distributed", reason='Dask is not installed: pip install "hte-bridge[cluster]"'
    )
    made = panel("linear", n_rows=ROWS, seed=1)
    frame = made.frame()
    for number, rows in enumerate(np.array_split(np.arange(ROWS), 3)):
        frame.iloc[rows].to_parquet(tmp_path / f"{number}.parquet", index=False)
    effects = ["user", "vendor", "period"]
    study = hb.Study.from_parquet(
        tmp_path,
        outcome="y",
        treatment="t",
        covariates=["a", "U0", "V0"],
        fixed_effects=effects,
        cluster="user",
    )
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        table = hb.compare(
            study, [hb.Feols(), hb.Deep(seed=1, **QUICK)], seed=1, n_folds=2, client=client, on_error="raise"
        )
        done = client.run(lambda dask_worker: len(dask_worker.data) + dask_worker.state.transition_counter)
    assert len(done) == 2
    assert min(done.values()) > 0
    for engine in ("feols", "deep"):
        row = next(row for row in table.rows if row.engine == engine and row.estimand == "ape")
        assert row.n_obs == ROWS
        assert abs(row.estimate - made.beta.mean()) < 4 * row.std_error
    assert table.fits["deep"].branch.kind == "stream"
    assert len(table.gate("period").rows) >= 2 * 20
