"""bench.reliability at its smallest: every kind of trial ends as promised, and the page says so."""

from collections import Counter

import pytest

from bench.reliability import OURS, SAME, page, worker_kills, writer_kills
from tests.properties.relations import RELATIONS


@pytest.mark.r
def test_a_killed_worker_is_a_sentence_and_the_next_one_grows_the_same_forest():
    found = worker_kills(2)
    assert {ended for _, ended in found} <= {OURS, SAME}
    assert found["the forest after that, by a new worker", SAME] == 2


def test_a_killed_writer_leaves_a_whole_table():
    assert writer_kills(1) == {("Python killed while it writes a table", SAME): 1}


def test_the_page_names_every_relation_and_every_trial():
    found = Counter({("rows change places: feols", "held"): 14, ("a file cut short: table", OURS): 3})
    text = page(found, "a test")
    assert all(relation.says in text for relation in RELATIONS.values())
    assert "| a file cut short: table | refused with a sentence | 3 |" in text
    assert "rounding (14)" in text
