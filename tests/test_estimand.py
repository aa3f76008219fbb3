"""An estimand is one row: `compare`, a verb in Python and in R, the report and pictures follow from it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.errors import InvalidOption
from hte_bridge.estimand import ESTIMANDS, Estimand, askable, averages
from hte_bridge.estimands.moments import mean_of, row_from_influence
from hte_bridge.plot.ladder import unit
from hte_bridge.report import citations, reading
from hte_bridge.report.methods import methods
from hte_bridge.scores import Scores
from hte_bridge.serve.session import Session

PAGE = (Path(__file__).parents[1] / "docs" / "estimands.md").read_text(encoding="utf8")


@pytest.fixture(scope="module")
def study():
    rng, n = np.random.default_rng(0), 200
    made = pd.DataFrame({"x": rng.normal(size=n), "d": rng.integers(0, 2, n)})
    made = made.assign(y=made["d"] * (1 + made["x"]) + rng.normal(size=n))
    return hb.Study.from_frame(made, outcome="y", treatment="d", covariates=["x"])


def half(scores: Scores, level: float):
    """Half the average effect."""
    share = 0.5 * scores.weight / scores.weight.sum()
    return row_from_influence("half", *mean_of(scores.gamma, share), scores, level=level)


ROW = Estimand(
    "half",
    half,
    "half of the average effect",
    reads="average",
    whom=" by halves",
    cites="overlap",
    scored=True,
)


def test_a_further_estimand_is_one_row(study, monkeypatch, tmp_path):
    monkeypatch.setitem(ESTIMANDS, "half", ROW)
    table = hb.compare(study, [hb.Feols()], estimands=["ate", "half"], seed=1)
    whole, part = (next(row for row in table.rows if row.estimand == name) for name in ("ate", "half"))
    assert part.estimate == pytest.approx(whole.estimate / 2)
    assert table.half().rows[0].estimate == part.estimate
    assert table.half("x > 0").rows[0].term == "x > 0"
    assert table.estimand("half").rows[0].estimate == part.estimate
    assert "half" in dir(table)
    (own,) = [each for each in reading.blocks(table) if each.title == "Half"]
    assert own.means == (("half", "half of the average effect."),)
    assert own.reading[0].startswith("half: d raises y by ")
    assert " by halves; " in own.reading[0]
    assert citations.WORKS["overlap"] in citations.works(table)
    assert "one doubly robust score" in methods(table)
    assert unit(part) == "effect"
    session = Session(tmp_path)  # what R talks to
    assert session.verbs(table)["half"].startswith("(where")
    assert session.verb(table, "half", {"where": "x > 0"}).rows[0].term == "x > 0"
    assert "half" in table.report(tmp_path / "page.html").read_text(encoding="utf8")


def test_what_is_no_estimand_is_no_verb(study):
    table = hb.compare(study, [hb.Feols()], estimands=["ate"], seed=1)
    with pytest.raises(AttributeError, match="no attribute 'half'"):
        _ = table.half
    with pytest.raises(AttributeError, match="no attribute 'coefficient'"):
        _ = table.coefficient  # rows of an engine, which nothing makes from scores
    with pytest.raises(InvalidOption, match="`half` is not one"):
        table.estimand("half")


def test_every_name_that_compare_takes_has_a_verb_and_stands_on_the_page(study):
    table = hb.compare(study, [hb.Feols()], estimands=["ate"], seed=1)
    listed = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE))))
    for name in askable():
        assert callable(getattr(table, name)), name
        assert name in listed, name
    assert averages()[0] == "coefficient"
