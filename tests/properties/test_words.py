"""What holds of any table whatever its study: levels, conditions, labels, clusters, and predictions that do not see their fold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.kept import level_kept, unseen
from tests.properties.profiles import count, examples
from tests.properties.promises import PROMISES
from tests.properties.strategies import SEEDS, sound_frame

BANDS = ("table", "gate", "gates", "toc", "rate", "projection")


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


@pytest.mark.parametrize(
    ("engine", "share", "most", "rows"), [("feols", 0.1, 100, 160), ("deep", 0.005, 8, 60)]
)
def test_predictions_do_not_see_the_outcomes_of_their_fold(engine, share, most, rows):
    @examples(share=share, most=most)
    @given(sound_frame(panel=False, most=rows), SEEDS)
    def holds(drawn, seed):
        unseen(drawn, engine, seed)

    holds()
