"""What holds of any table whatever its study: levels, conditions, and predictions that do not see their fold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hte_bridge as hb
from tests.properties.profiles import count, examples
from tests.properties.relations import ENGINES, VERBS
from tests.properties.strategies import SEEDS, sound_frame

BANDS = ("table", "gate", "gates", "toc", "rate", "projection")


def table_of(drawn, engine="feols"):
    frame, roles = drawn
    return hb.compare(hb.Study.from_frame(frame, **roles), [ENGINES[engine]()], seed=1, on_error="raise")


def level_kept(drawn, verb):
    """A table at its own level is itself; at another and back again too."""
    table = VERBS[verb](table_of(drawn))
    for again in (table.at_level(0.95), table.at_level(0.8).at_level(0.95)):
        for row, other in zip(table.rows, again.rows, strict=True):
            ends = np.array([[row.conf_low, row.conf_high], [other.conf_low, other.conf_high]])
            assert np.allclose(*ends, rtol=1e-9, atol=0, equal_nan=True), (row, other)
    count("levels", "held")


@examples(share=0.2)
@given(sound_frame(), st.sampled_from(BANDS))
def test_a_table_at_its_own_level_is_itself(drawn, verb):
    level_kept(drawn, verb)


def parted(drawn):
    """A condition, its complement and the unknown are all rows, each once."""
    table = table_of(drawn)
    estimand = "ate" if table.study.binary and not table.study.fixed_effects.shape[1] else "ape"
    sizes = [
        table.average(estimand, where=where).rows[0].n_obs for where in ("z > 0", "not (z > 0)", "isna(z)")
    ]
    unknown = int(table.study.frame["z"].isna().sum())
    assert sizes[:2] == [int((table.study.frame["z"] > 0).sum()), int((table.study.frame["z"] <= 0).sum())]
    assert sum(sizes[:2]) + unknown == table.study.n
    count("conditions", "held")


@examples(share=0.2)
@given(sound_frame())
def test_a_condition_and_its_complement_leave_out_the_unknown(drawn):
    frame, roles = drawn
    frame = frame.assign(z=frame["z"].where(frame.index % 5 > 0))  # some are unknown
    parted((frame, roles))


def unseen(drawn, engine, seed):
    """Outcomes of one fold move nothing that is predicted for it."""
    frame, roles = drawn
    study = hb.Study.from_frame(frame, **roles)
    folds = hb.Folds.make(study, 3, seed=1)
    rng, fold = np.random.default_rng(seed), folds.fold == 0
    before = ENGINES[engine]().fit(study, folds).heldout
    for values in (rng.normal(size=study.n), np.round(np.abs(study.outcome)), study.outcome * -7.0):
        other = study.with_(outcome=np.where(fold, values, study.outcome))
        after = ENGINES[engine]().fit(other, folds).heldout
        for name in ("cate", "outcome_mean", "propensity"):
            one, two = getattr(before, name)[fold], getattr(after, name)[fold]
            assert np.array_equal(one, two), (name, np.abs(one - two).max())
    count(f"outcomes of a fold changed: {engine}", "held")


@pytest.mark.parametrize(("engine", "share"), [("feols", 0.2)])
def test_predictions_do_not_see_the_outcomes_of_their_fold(engine, share):
    @examples(share=share)
    @given(sound_frame(panel=False), SEEDS)
    def holds(drawn, seed):
        unseen(drawn, engine, seed)

    holds()
