"""Intervals at another level: by the law they were made by, or refused; no error of zero."""

import pickle

import numpy as np
import pandas as pd
import pytest

from hte_bridge import Feols, Study, Table, compare
from hte_bridge.errors import InvalidOption
from hte_bridge.estimands.averages import ate
from hte_bridge.estimands.groups import gate
from hte_bridge.estimate import STILL, UNSAID, Estimate
from hte_bridge.scores import Scores


def made(level):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=400), "d": rng.integers(0, 2, 400), "k": rng.choice(list("abcde"), 400)}
    )
    frame["g"], frame["y"] = rng.integers(0, 9, 400), frame.d * (1 + frame.x) + rng.normal(size=400)
    study = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"], propensity=0.5, cluster="g")
    table = compare(study, [Feols(plain=False)], seed=1, level=level)
    return {
        "gate": table.gate("k"),
        "toc": table.toc(),
        "gates": table.gates(3, monotone=True),
        "wild": table.wild_bootstrap(),
        "policy": table.policy(cost=1.0, budget=[0.2, 0.5]),
        "repeated": table.repeated("gates", n_splits=3),
        "named": table.what_if(frame.head(2), 1.0),
        "plain": Table(table.rows, table.meta),
    }


@pytest.fixture(scope="module")
def tables():
    return made(0.95), made(0.8)


def ends(table):
    return np.array([[row.conf_low, row.conf_high, row.p_value, row.level] for row in table.rows])


@pytest.mark.parametrize("verb", ["gate", "toc", "gates", "wild", "policy", "repeated", "named", "plain"])
def test_another_level_is_what_the_verb_gives_at_that_level(tables, verb):
    high, low = (each[verb] for each in tables)
    np.testing.assert_allclose(ends(high.at_level(0.8)), ends(low), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(ends(high.at_level(0.95)), ends(high))
    np.testing.assert_allclose(
        ends(Table(tuple(row.with_(level=0.8) for row in high.rows))), ends(low), rtol=1e-9, atol=1e-9
    )


def test_a_band_read_from_a_file_is_refused_at_another_level(tables, tmp_path):
    table = tables[0]["gate"]
    read = Table.load(table.save(tmp_path / "t.parquet"))
    np.testing.assert_array_equal(ends(read.at_level(0.95)), ends(table))
    with pytest.raises(InvalidOption, match=r"compare\(\.\.\., level=0\.9\)"):
        read.at_level(0.9)
    plain = Table.load(tables[0]["plain"].save(tmp_path / "p.parquet")).at_level(0.8)
    np.testing.assert_allclose(ends(plain), ends(tables[1]["plain"]), rtol=1e-9)


def test_a_band_survives_pickling(tables):
    row = pickle.loads(pickle.dumps(tables[0]["gate"].rows[0]))
    assert row.at_level(0.8).interval == tables[0]["gate"].rows[0].at_level(0.8).interval


def test_no_error_is_zero_or_endless_and_a_row_without_one_says_so():
    for error in (0.0, np.inf, np.nan):
        row = Estimate("ate", 1.0, error)
        assert np.isnan([row.std_error, row.p_value, row.conf_low]).all()
        assert row.note
    assert Estimate("ate", 1.0, 0.0).note == STILL
    assert Estimate("ate", 1.0).note == UNSAID
    assert Estimate("ate", 1.0, 0.0, note="why").note == "why"
    assert Estimate("ate", 0.0, 5e-324).std_error > 0


def test_what_is_one_number_has_no_error_of_rounding():
    weight = np.random.default_rng(0).exponential(size=7)
    for value in (0.1, 1e-200, -3e150):
        scores = Scores(np.full(7, value), weight)
        for row in (ate(scores), *gate(scores, list("aabbbaa"))[:2]):
            assert row.estimate == pytest.approx(value, rel=1e-12)
            assert np.isnan([row.std_error, row.p_value]).all()
            assert row.note
