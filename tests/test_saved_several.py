"""Tables of several arms, several outcomes and an adoption as one file: they answer again, without a refit."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.errors import InvalidOption, UnreadableFile


@pytest.fixture(scope="module")
def frame():
    rng, n = np.random.default_rng(3), 150
    made = pd.DataFrame({"x": rng.normal(size=n), "town": rng.choice(list("abc"), n), "g": np.arange(n) // 3})
    made["arm"] = rng.choice(["none", "cash", "letter"], n)
    made["d"] = rng.integers(0, 2, n)
    made["y"] = (made["arm"] == "cash") * (1 + made["x"]) + rng.normal(size=n)
    made["y2"] = np.where(np.arange(n) % 9, rng.normal(size=n), np.nan)
    return made.set_index(pd.Index([f"p{k}" for k in range(n)], name="id"))


@pytest.fixture(scope="module")
def arms(frame):
    roles = {"outcome": "y", "treatment": "arm", "covariates": ["x"], "cluster": "g", "control": "none"}
    study = hb.Study.from_frame(frame, **roles, treatment_type="arms")
    return hb.compare(study, [hb.Feols(), hb.Feols(vcov="iid", label="iid")], n_folds=3)


@pytest.fixture(scope="module")
def outcomes(frame):
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x", "town"])
    return hb.compare_outcomes(study, ["y", "y2"], [hb.Feols()], n_folds=3, draws=199)


def panel(n=60):
    rng = np.random.default_rng(1)
    unit, period = np.repeat(np.arange(n), 4), np.tile(pd.date_range("2020-01-01", periods=4), n)
    first = np.array([None, period[2], period[3]], dtype="datetime64[ns]")[unit % 3]
    made = pd.DataFrame(
        {"id": unit, "t": period, "first": first, "old": unit % 2, "x": rng.normal(size=4 * n)}
    )
    made["x"] = made.groupby("id")["x"].transform("first")
    made["y"] = (period >= first) * (1 + made["old"]) + rng.normal(size=4 * n)
    return made.assign(region=unit % 20)


@pytest.fixture(scope="module")
def adoption():
    roles = {"outcome": "y", "unit": "id", "period": "t", "first_treated": "first", "covariates": ["x"]}
    study = hb.Study.from_frame(panel(), **roles, cluster="region")
    learner = hb.Stack([hb.Feols(), hb.Feols(vcov="iid", label="b")])  # learns from the stack of cells
    return hb.compare(study, [hb.Feols(), learner], n_folds=3)


def refit(*_, **__):
    raise AssertionError("fitted again")


@pytest.fixture
def again(tmp_path, monkeypatch):
    def read(table, **options):
        path = table.save(tmp_path / "t.hte", **options)
        for engine in (hb.Feols, hb.Stack):
            monkeypatch.setattr(engine, "fit", refit)
        return hb.load(path)

    return read


def same(one, other):
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame(), check_exact=True)


def test_several_arms_answer_again(arms, again, frame):
    found = again(arms, columns="town")
    same(found, arms)
    assert str(found.study) == str(arms.study)
    for ask in (
        lambda table: table.differences(),
        lambda table: table.differences("engines"),
        lambda table: table.gates(3),
        lambda table: table.gate("town"),
        lambda table: table["letter"].gate("town"),
        lambda table: table.adjusted(table.where(estimand="ate")),
        lambda table: table.hypothesis("ate[cash - none] = ate[letter - none]", table.where(engine="feols")),
        lambda table: table.average("ate", frame.loc[table.study.whole.index, "x"] > 0),
    ):
        same(ask(found), ask(arms))
    new = pd.DataFrame({"x": [-1.0, 1.0]})
    pd.testing.assert_frame_equal(found.cate(new, "feols"), arms.cate(new, "feols"))


def test_several_outcomes_answer_again(outcomes, again):
    found = again(outcomes)
    same(found, outcomes)
    assert list(found.tables) == ["y", "y2"]
    assert found["y2"].study.n == outcomes["y2"].study.n < outcomes["y"].study.n
    same(found["y2"].gate("town"), outcomes["y2"].gate("town"))
    same(found["y"].gates(3), outcomes["y"].gates(3))
    with pytest.raises(InvalidOption, match="`y3` is none"):
        found["y3"]


def test_an_adoption_answers_again(adoption, again):
    found = again(adoption, columns=["old"])
    same(found, adoption)
    assert str(found.study) == str(adoption.study)
    assert found.study.notes == adoption.study.notes
    for ask in (
        lambda table: table.bands(),
        lambda table: table.gate("old"),
        lambda table: table.gate("x", bins=2, of="att_event"),
        lambda table: table.projection(),
        lambda table: table.pretrends(),
        lambda table: table.differences(),
        lambda table: table.differences("cohorts"),
    ):
        same(ask(found), ask(adoption))
    new = pd.DataFrame({"x": [-1.0, 1.0]})
    for engine in ("feols", "stack"):
        pd.testing.assert_frame_equal(found.cate(new, engine, 0), adoption.cate(new, engine, 0))
    assert found.gates(2).where(engine="stack").rows[0].term == "G1 (lowest)"


def test_a_file_of_several_that_was_touched_is_refused(arms, tmp_path):
    path = arms.save(tmp_path / "t.hte", rankings=False)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableFile):
        hb.load(path)
    arms.save(tmp_path / "t.parquet")
    same(hb.load(tmp_path / "t.parquet"), arms)
