"""R beside Python, where rpy2 is not installed: the same calls with the same bits."""

import io

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.errors import RError
from hte_bridge.rlink import client, serial
from hte_bridge.rlink.transport import Column
from tests.helpers.numbers import NUMBERS

N = 120


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """A Python in which rpy2 does not load, as where it was built for another R."""
    (tmp_path / "rpy2").mkdir()
    (tmp_path / "rpy2" / "__init__.py").write_text("raise ImportError('libR.so: no such file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    client.shutdown()
    yield
    client.shutdown()


def forest():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(N, 3)), columns=["x", "naïve", "y"]).assign(t=np.arange(N) % 2)
    study = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["x", "naïve"])
    fit = hb.CausalForest(num_trees=50, seed=3, num_threads=1).fit(study)
    return fit, fit.cate(frame.head(5))


@pytest.mark.r
def test_a_forest_has_the_same_bits_and_says_how_r_was_reached(apart, monkeypatch):
    beside, beside_new = forest()
    assert client.worker().describe()["bridge"] == "Rscript"
    assert "rpy2" not in beside.info
    monkeypatch.delenv("PYTHONPATH")
    client.shutdown()
    inside, inside_new = forest()
    for name in ("cate", "outcome_mean", "propensity"):
        assert getattr(beside.heldout, name).tobytes() == getattr(inside.heldout, name).tobytes()
    pd.testing.assert_frame_equal(beside_new, inside_new, check_exact=True)


@pytest.mark.r
def test_values_cross_as_with_rpy2_and_what_r_says_is_kept(apart):
    for name, sent in NUMBERS.items():
        back = client.call("identity", {"x": sent})
        assert back.tobytes("F") == sent.astype(back.dtype).tobytes("F"), name
        assert back.shape == sent.shape
    options = {"a": 1, "b": 0.5, "c": "é ~ if", "d": True, "e": None, "f": {"g": ["x", "y"], "h": [1, "z"]}}
    assert client.call("list", options=options) == options
    with pytest.raises(RError, match=r"must return numbers.*a value of R type CLOSXP"):
        client.call("evaluate", options={"code": "mean"})
    with pytest.raises(RError, match="no such thing"):
        client.call("evaluate", options={"code": "stop('no such thing')"})
    assert client.call("evaluate", options={"code": "list(a = NA, b = c('x', NA), c = NULL)"}) == {
        "a": None,
        "b": ["x", None],
        "c": None,
    }


WIDE = 2**31  # items: more than the short form of a length holds


def test_what_is_written_is_read_back():
    numbers = np.asfortranarray([[1.5, -0.0, np.nan], [np.inf, 5e-324, -1.0]])
    sent = {
        "x": Column("d", (2, 3), memoryview(numbers.ravel(order="F"))),
        "s": ["a", "é"],
        "i": 3,
        "l": [1, "z"],
        "n": None,
    }
    file = io.BytesIO()
    serial.write(file, sent)
    columns: list[Column] = []
    back = serial.read(memoryview(file.getvalue()), columns)
    assert back == {"x": {"$column": 0}, "s": ["a", "é"], "i": 3, "l": [1, "z"], "n": None}
    assert (columns[0].kind, columns[0].shape) == ("d", (2, 3))
    assert bytes(columns[0].buffer) == numbers.tobytes("F")


def test_a_length_beyond_the_short_form_is_written_in_two_halves():
    file = io.BytesIO()
    serial.head(file, serial.DOUBLE, WIDE, False)
    reader = serial._Reader(memoryview(file.getvalue()), at=4)
    assert reader.length() == WIDE
