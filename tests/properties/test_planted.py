"""The net is able to catch: each way in which numbers were wrong, planted again, breaks a property."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings

from hte_bridge.keys import mixed
from hte_bridge.table import Table
from tests.properties.profiles import QUIET
from tests.properties.relations import RELATIONS, VERBS, answers, check
from tests.properties.strategies import sound_frame
from tests.properties.test_words import level_kept

EXAMPLES = 25


def caught(holds, panel=None):
    """Whether one of some sound studies breaks the property."""
    broken = []

    @settings(max_examples=EXAMPLES, derandomize=True, phases=[Phase.generate], **QUIET)
    @given(sound_frame(panel=panel))
    def looked(drawn):
        if not broken:
            try:
                holds(drawn)
            except AssertionError as error:
                broken.append(error)

    looked()
    return bool(broken)


def relation(name, *verbs, engine="feols"):
    def holds(drawn):
        frame, roles = drawn
        way, rng = RELATIONS[name], np.random.default_rng(len(frame))
        told = way.tell(frame, roles, rng)
        asked = {verb: VERBS[verb] for verb in ("table", *verbs)}
        check(
            way,
            engine,
            told,
            answers(frame, roles, engine, asked),
            answers(told.frame, told.roles, engine, asked),
        )

    return holds


def by_place(index: pd.Index):
    return mixed(np.arange(len(index), dtype=np.uint64))


def in_order(priority):
    out = np.empty(len(priority), dtype=np.int64)
    out[np.argsort(-priority, kind="stable")] = np.arange(len(priority))
    return out


def no_bands(self, level):
    return Table(tuple(row.with_(level=level, interval=None) for row in self.rows), self.meta)


PLANTED = {
    "folds by the place of rows": ("hte_bridge.study.row_keys", by_place, relation("rows change places")),
    "ties by the order of rows, groups": (
        "hte_bridge.estimands.ties.steps",
        in_order,
        relation("sorted by the outcome", "gates"),
    ),
    "ties by the order of rows, ranks": (
        "hte_bridge.estimands.ranking.steps",
        in_order,
        relation("sorted by the outcome", "rate", "toc"),
    ),
    "bands lost at another level": (
        "hte_bridge.table.Table.at_level",
        no_bands,
        lambda drawn: level_kept(drawn, "gate"),
    ),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_is_caught(plant, monkeypatch):
    where, wrong, holds = PLANTED[plant]
    monkeypatch.setattr(where, wrong)
    assert caught(holds)
    monkeypatch.undo()
    assert not caught(holds)
