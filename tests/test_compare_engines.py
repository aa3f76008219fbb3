"""feols, the real grf and deep side by side on one study."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb

QUICK_DEEP = hb.Deep(seed=1, draws=6, scale_rows=150, epochs=20)


def frame(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    d = (rng.uniform(size=n) < 1 / (1 + np.exp(-0.5 * x))).astype(int)
    y = x + d * (1 + x) + rng.normal(size=30, scale=0.3)[np.arange(n) % 30] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "d": d, "x": x, "z": z, "c": np.arange(n) % 30})


@pytest.fixture(scope="module")
def table():
    study = hb.Study.from_frame(frame(), outcome="y", treatment="d", covariates=["x", "z"], cluster="c")
    return hb.compare(study, [hb.Feols(), hb.CausalForest(num_trees=200, seed=1), QUICK_DEEP], seed=1)


@pytest.mark.r
def test_each_engine_recovers_the_average_effect(table):
    rows = table.to_frame().query("estimand == 'ate'").set_index("engine")
    assert rows.index.tolist() == ["feols", "grf", "deep"]
    assert ((rows["estimate"] - 1).abs() < 4 * rows["std_error"]).all()
    assert (rows["df"] == 29).all()


@pytest.mark.r
def test_saved_fits_predict_the_same_numbers(table, tmp_path):
    new = frame(20, seed=5)
    table.save(tmp_path / "t.parquet", fits=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.deep.npz", "t.grf.rds", "t.parquet"]
    forest = hb.CausalForestFit.load(tmp_path / "t.grf.rds")
    deep = hb.DeepFit.load(tmp_path / "t.deep.npz")
    pd.testing.assert_frame_equal(forest.cate(new), table.cate(new, "grf"), check_exact=True)
    pd.testing.assert_frame_equal(deep.cate(new), table.cate(new, "deep"), check_exact=True)
    pd.testing.assert_frame_equal(hb.Table.load(tmp_path / "t.parquet").to_frame(), table.to_frame())


@pytest.mark.r
def test_an_engine_s_numbers_do_not_depend_on_its_neighbours(table):
    alone = hb.compare(table.study, [hb.CausalForest(num_trees=200, seed=1)], seed=1)
    pd.testing.assert_frame_equal(
        alone.to_frame(), table.where(engine="grf").to_frame().reset_index(drop=True), check_exact=True
    )
