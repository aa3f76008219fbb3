"""Whatever a frame holds, the outcome is a table or one of our sentences."""

import csv
import io
import warnings

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

import hte_bridge as hb
from hte_bridge.errors import HteBridgeError, RWarning
from hte_bridge.table import Table
from tests.properties.frames import random_frame
from tests.properties.profiles import count, examples
from tests.properties.strategies import SEEDS, any_frame

frames = st.one_of(any_frame(), SEEDS.map(random_frame))

UNANSWERED = "a row without numbers or without an error must say why"


def defended(table: Table) -> None:
    """Each row has a finite positive error or a note why not, and a name of its own."""
    seen = set()
    for row in table.rows:
        name = (row.engine, row.estimand, row.term)
        assert name not in seen, f"two rows of one name: {name}"
        seen.add(name)
        assert not np.isinf(row.estimate), row
        assert np.isnan(row.std_error) or 0 < row.std_error < np.inf, row
        if np.isnan(row.std_error) and row.test is None and row.interval is None:
            assert row.note, (UNANSWERED, row)


def sentence(error: HteBridgeError) -> None:
    """An error of ours says something, and ends as sentences do."""
    assert str(error).strip().endswith((".", "?", "!", ")")), str(error)


def printed(table: Table) -> None:
    """Every form prints."""
    assert str(table)
    assert table.to_markdown()
    assert table.to_latex()
    assert table._repr_html_()
    text = table.to_frame().to_csv(index=False)
    assert len(list(csv.reader(io.StringIO(text)))) == len(table.rows) + 1


VERBS = (
    lambda t: t.gates(3),
    lambda t: t.rate(),
    lambda t: t.toc(),
    lambda t: t.policy(budget=0.3),
    lambda t: t.calibration(),
    lambda t: t.clan(3),
    lambda t: t.nuisance(),
    lambda t: t.sensitivity(),
    lambda t: t.counterfactual(add=1.0),
    lambda t: t.wild_bootstrap(draws=19),
    lambda t: t.average("ate", where="x > 0"),
    lambda t: t.projection("x"),
    lambda t: t.gate("x"),
)


@examples()
@given(frames)
def test_a_table_or_a_sentence(drawn):
    frame, roles = drawn
    note(f"{roles}\n{frame.dtypes}")
    before = frame.copy(deep=True)
    try:
        study = hb.Study.from_frame(frame, **roles)
        table = hb.compare(study, [hb.Feols()], seed=1, on_error="raise")
    except HteBridgeError as error:
        sentence(error)
        count("frames: feols", "a sentence")
    else:
        defended(table)
        printed(table)
        count("frames: feols", "a table")
    assert frame.equals(before) or frame.isna().to_numpy().any()


@examples(share=0.12, most=1000)
@given(frames)
def test_every_verb_answers_or_says_why(drawn):
    frame, roles = drawn
    note(f"{roles}\n{frame.dtypes}")
    try:
        table = hb.compare(hb.Study.from_frame(frame, **roles), [hb.Feols()], seed=1, on_error="raise")
    except HteBridgeError:
        return
    for verb in VERBS:
        try:
            defended(verb(table))
            count("frames: verbs", "a table")
        except HteBridgeError as error:
            sentence(error)
            count("frames: verbs", "a sentence")


@pytest.mark.r
@examples(share=0.2, most=1000)
@given(frames)
def test_a_forest_too(drawn):
    frame, roles = drawn
    note(f"{roles}\n{frame.dtypes}")
    forest = hb.CausalForest(num_trees=20, seed=1, num_threads=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RWarning)  # grf's own words about odd data
            defended(hb.compare(hb.Study.from_frame(frame, **roles), [forest], seed=1, on_error="raise"))
            count("frames: grf", "a table")
    except HteBridgeError as error:
        sentence(error)
        count("frames: grf", "a sentence")


@examples(share=0.02, most=40)
@given(frames)
def test_the_deep_engine_too(drawn):
    frame, roles = drawn
    note(f"{roles}\n{frame.dtypes}")
    try:
        defended(hb.compare(hb.Study.from_frame(frame, **roles), [hb.Deep(seed=1)], seed=1, on_error="raise"))
        count("frames: deep", "a table")
    except HteBridgeError as error:
        sentence(error)
        count("frames: deep", "a sentence")
