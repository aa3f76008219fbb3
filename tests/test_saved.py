"""A saved comparison answers again: the same numbers without a refit, no code in the file, and a file that was touched is refused."""

import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import hte_bridge as hb
from hte_bridge.errors import HteBridgeError, InvalidNewData, InvalidOption, UnreadableFile


@pytest.fixture(scope="module")
def frame():
    rng, n = np.random.default_rng(3), 120
    made = pd.DataFrame({"x": rng.normal(size=n), "town": rng.choice(list("abc"), n), "g": np.arange(n) // 4})
    made["d"], made["income"] = rng.integers(0, 2, n), rng.uniform(size=n)
    made.loc[:5, "x"] = np.nan
    made["y"] = made["d"] * (1 + made["x"].fillna(0)) + rng.normal(size=n)
    made["phone"] = [f"0{k}" for k in range(n)]
    return made.set_index(pd.Index([f"p{k}" for k in range(n)], name="id"))


@pytest.fixture(scope="module")
def table(frame):
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x", "town"], cluster="g")
    ols, second = hb.Feols(), hb.Meta("T", LinearRegression(), label="meta")
    held = ols.fit(study, hb.Folds.make(study, 3, 0)).heldout
    given = hb.Given(held, name="elsewhere", held_out=True)
    return hb.compare(
        study, [ols, second, given, hb.Stack([hb.Feols(), hb.Feols(vcov="iid", label="b")])], n_folds=3
    )


@pytest.fixture(scope="module")
def path(table, tmp_path_factory):
    return table.save(tmp_path_factory.mktemp("saved") / "t.hte")


@pytest.fixture
def again(path, monkeypatch):
    def refit(*_, **__):
        raise AssertionError("fitted again")

    for engine in (hb.Feols, hb.Meta, hb.Stack):
        monkeypatch.setattr(engine, "fit", refit)
    return hb.load(path)


ASKED = {
    "the table": lambda table: table,
    "gates": lambda table: table.gates(),
    "gate": lambda table: table.gate("town"),
    "average": lambda table: table.average("ate", "x > 0 & town == 'a'"),
    "projection": lambda table: table.projection("g"),
    "differences": lambda table: table.differences(),
    "rate": lambda table: table.rate(),
    "sensitivity": lambda table: table.sensitivity(),
    "with_vcov": lambda table: table.with_vcov("hetero"),
    "race": lambda table: table.race(ranking="heldout"),
    "agreement": lambda table: table.agreement(),
    "explain_gap": lambda table: table.explain_gap("meta", "feols"),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_every_question_has_the_same_answer_without_a_refit(table, again, ask):
    pd.testing.assert_frame_equal(ask(again).to_frame(), ask(table).to_frame(), check_exact=True)


def test_effects_at_new_rows_are_the_same(table, again, frame):
    new = frame[["x", "town"]].head(7)
    for engine in ("feols", "stack", "elsewhere"):
        pd.testing.assert_frame_equal(again.cate(new, engine), table.cate(new, engine))
    with pytest.raises(InvalidNewData, match="keeps its held-out predictions alone"):
        again.cate(new, "meta")


def test_the_file_holds_the_columns_of_the_study_and_no_others(table, again, path, tmp_path):
    assert list(again.study.frame.columns) == ["x", "town", "g", "d", "y"]
    assert b"phone" not in path.read_bytes()
    with pytest.raises(HteBridgeError, match="income"):
        again.gate("income", bins=2)
    more = hb.load(table.save(tmp_path / "more.hte", columns=["income"], rankings=False))
    assert len(more.gate("income", bins=2).rows) == len(table.gate("income", bins=2).rows)
    with pytest.raises(InvalidOption, match="must name columns of the data"):
        table.save(tmp_path / "more.hte", columns=["incom"])


def test_the_file_holds_no_code_and_says_when_it_was_touched(path, tmp_path):
    with zipfile.ZipFile(path) as made:
        assert {each.compress_type for each in made.infolist()} == {zipfile.ZIP_STORED}
        names = made.namelist()
    assert {"about.json", "arrays.npz", "table.parquet", "frame.parquet"} <= set(names)
    content = path.read_bytes()
    assert b"sklearn" not in content.replace(b"sklearn.", b"") or b"cnumpy" not in content
    for changed in (content[:-40], content[:3000] + b"X" + content[3001:], b"no archive", b""):
        (tmp_path / "t.hte").write_bytes(changed)
        with pytest.raises(UnreadableFile, match=r"t\.hte"):
            hb.load(tmp_path / "t.hte")
    with pytest.raises(UnreadableFile, match="must exist"):
        hb.load(tmp_path / "none.hte")


def test_an_archive_without_its_checksum_is_refused(path, tmp_path):
    with zipfile.ZipFile(path) as made, zipfile.ZipFile(tmp_path / "t.hte", "w") as other:
        for name in made.namelist():
            other.writestr(name, made.read(name))
    with pytest.raises(UnreadableFile, match="checksum"):
        hb.load(tmp_path / "t.hte")


def test_rows_alone_are_loaded_as_a_table(table, tmp_path):
    loaded = hb.load(table.save(tmp_path / "t.parquet"))
    assert type(loaded) is hb.Table
    assert len(loaded) == len(table)
    with pytest.raises(InvalidOption, match="no fits"):
        loaded.save(tmp_path / "t.hte")


def test_panels_odd_labels_and_known_propensities_come_back(tmp_path):
    rng, n = np.random.default_rng(0), 160
    made = pd.DataFrame({"x": rng.normal(size=n), "d": rng.integers(0, 2, n), "when": np.arange(n) % 8})
    made["who"] = pd.Series([("a", k // 8) for k in range(n)], dtype=object)
    made["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(made["when"], unit="D")
    made["y"] = made["d"] + rng.normal(size=n)
    panel = hb.Study.from_frame(
        made, outcome="y", treatment="d", covariates=["x"], fixed_effects=["who", "day"], cluster="who"
    )
    trial = hb.Study.from_frame(made, outcome="y", treatment="d", covariates=["x"], propensity=0.5)
    for study in (panel, trial):
        table = hb.compare(study, [hb.Feols()])
        loaded = hb.load(table.save(tmp_path / "t.hte"))
        pd.testing.assert_frame_equal(loaded.gates(2).to_frame(), table.gates(2).to_frame())
        for each, other in zip(loaded.study.effect_levels, study.effect_levels, strict=True):
            assert list(each) == list(other)
        assert loaded.study.dropped == study.dropped
    assert loaded.study.propensity[0] == 0.5


@pytest.mark.r
def test_a_forest_comes_back_without_starting_r_and_predicts_the_same(tmp_path):
    rng, n = np.random.default_rng(0), 120
    made = pd.DataFrame({"x": rng.normal(size=n), "d": rng.integers(0, 2, n)})
    made["y"] = made["d"] * made["x"] + rng.normal(size=n)
    study = hb.Study.from_frame(made, outcome="y", treatment="d", covariates=["x"])
    table = hb.compare(study, [hb.CausalForest(num_trees=50, seed=1)], n_folds=2)
    loaded = hb.load(table.save(tmp_path / "t.hte"))
    assert loaded.fits["grf"].forest._handle is None  # not read into R before it is asked
    new = pd.DataFrame({"x": [0.0, 1.0]})
    pd.testing.assert_frame_equal(loaded.cate(new, "grf"), table.cate(new, "grf"))
    pd.testing.assert_frame_equal(loaded.gates(2).to_frame(), table.gates(2).to_frame())


def test_the_deep_engine_comes_back_and_predicts_the_same(tmp_path):
    rng, n = np.random.default_rng(0), 60
    made = pd.DataFrame({"x": rng.normal(size=n), "d": rng.integers(0, 2, n)})
    made["y"] = made["d"] * made["x"] + rng.normal(size=n)
    study = hb.Study.from_frame(made, outcome="y", treatment="d", covariates=["x"])
    table = hb.compare(study, [hb.Deep(seed=1, epochs=2, draws=2)], n_folds=2)
    loaded = hb.load(table.save(tmp_path / "t.hte"))
    new = pd.DataFrame({"x": [0.0, 1.0]})
    pd.testing.assert_frame_equal(loaded.cate(new, "deep"), table.cate(new, "deep"))
    pd.testing.assert_frame_equal(loaded.gates(2).to_frame(), table.gates(2).to_frame())
