"""What holds of any table whatever its study: levels, conditions, labels, clusters, and predictions that do not see their fold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hte_bridge as hb
from tests.properties.profiles import count, examples
from tests.properties.promises import PROMISES, table_of
from tests.properties.relations import ENGINES, VERBS
from tests.properties.strategies import SEEDS, sound_frame

BANDS = ("table", "gate", "gates", "toc", "rate", "projection")


def level_kept(drawn, verb):
    """A table at its own level is itself; at another and back again too."""
    table = VERBS[verb](table_of(drawn))
    for again in (table.at_level(0.95), table.at_level(0.8).at_level(0.95)):
        for row, other in zip(table.rows, again.rows, strict=True):
            ends = np.array([[row.conf_low, row.conf_high], [other.conf_low, other.conf_high]])
            assert np.allclose(*ends, rtol=1e-9, atol=0, equal_nan=True), (row, other)


@examples(share=0.1, most=100)
@given(sound_frame(), st.sampled_from(BANDS))
def test_a_table_at_its_own_level_is_itself(drawn, verb):
    level_kept(drawn, verb)
    count("levels", "held")


@pytest.mark.parametrize("promise", PROMISES)
@examples(share=0.04, most=40)
@given(sound_frame())
def test_what_any_study_is_promised(promise, drawn):
    PROMISES[promise](drawn)
    count(promise, "held")


def unseen(drawn, engine, seed):
    """Outcomes of one fold move nothing that is predicted for it."""
    frame, roles = drawn
    study = hb.Study.from_frame(frame, **roles)
    folds = hb.Folds.make(study, 3, seed=1)
    rng, fold = np.random.default_rng(seed), folds.fold == 0
    before = ENGINES[engine]().fit(study, folds).heldout
    changed = (rng.normal(size=study.n), np.round(np.abs(study.outcome)), study.outcome * -7.0)
    for values in changed if engine == "feols" else changed[:1]:
        other = study.with_(outcome=np.where(fold, values, study.outcome))
        after = ENGINES[engine]().fit(other, folds).heldout
        for name in ("cate", "outcome_mean", "propensity"):
            one, two = getattr(before, name)[fold], getattr(after, name)[fold]
            assert np.array_equal(one, two), (name, np.abs(one - two).max())
    count(f"outcomes of a fold changed: {engine}", "held")


@pytest.mark.parametrize(
    ("engine", "share", "most", "rows"), [("feols", 0.1, 100, 160), ("deep", 0.005, 8, 60)]
)
def test_predictions_do_not_see_the_outcomes_of_their_fold(engine, share, most, rows):
    @examples(share=share, most=most)
    @given(sound_frame(panel=False, most=rows), SEEDS)
    def holds(drawn, seed):
        unseen(drawn, engine, seed)

    holds()
