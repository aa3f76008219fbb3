"""The same study told otherwise: rows, names, order, units and doors, for every engine and every verb."""

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.properties.profiles import count, examples
from tests.properties.relations import REFITTED, RELATIONS, VERBS, answers, check
from tests.properties.strategies import SEEDS, sound_frame


def held(engine, relation, drawn, seed, verbs):
    """The promise of one relation, on one study, for some verbs besides the table."""
    frame, roles = drawn
    note(f"{relation}: {roles}")
    way = RELATIONS[relation]
    told = way.tell(frame, roles, np.random.default_rng(seed))
    asked = {name: VERBS[name] for name in ("table", *verbs)}
    check(
        way,
        engine,
        told,
        answers(frame, roles, engine, asked),
        answers(told.frame, told.roles, engine, asked),
    )
    count(f"{relation}: {engine}", "held")


relations = st.sampled_from(sorted(RELATIONS))
some_verbs = st.lists(st.sampled_from(sorted(VERBS)), max_size=5, unique=True)
no_refits = st.lists(st.sampled_from(sorted(set(VERBS) - set(REFITTED))), max_size=3, unique=True)


@pytest.mark.parametrize("relation", RELATIONS)
@examples(share=0.04, most=40)
@given(sound_frame(), SEEDS, some_verbs)
def test_feols_keeps_its_promise(relation, drawn, seed, verbs):
    held("feols", relation, drawn, seed, verbs)


@pytest.mark.r
@examples(share=0.2, most=300)
@given(relations, sound_frame(panel=False), SEEDS, some_verbs)
def test_a_forest_keeps_its_promise(relation, drawn, seed, verbs):
    held("grf", relation, drawn, seed, verbs)


@examples(share=0.01, most=40)
@given(relations, sound_frame(most=70), SEEDS, no_refits)
def test_the_deep_engine_keeps_its_promise(relation, drawn, seed, verbs):
    held("deep", relation, drawn, seed, verbs)


@pytest.mark.r
@pytest.mark.parametrize("relation", RELATIONS)
@examples(share=0.0006, most=12)
@given(sound_frame(panel=False), SEEDS, some_verbs)
def test_a_forest_keeps_each_promise(relation, drawn, seed, verbs):
    held("grf", relation, drawn, seed, verbs)


@pytest.mark.parametrize("relation", RELATIONS)
@examples(share=0.0004, most=8)
@given(sound_frame(most=70), SEEDS, no_refits)
def test_the_deep_engine_keeps_each_promise(relation, drawn, seed, verbs):
    held("deep", relation, drawn, seed, verbs)
