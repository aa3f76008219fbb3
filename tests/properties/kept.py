"""What several tests ask: that doors give the same rows, levels come back, and no prediction sees its fold."""

import numpy as np
import pandas as pd

import hte_bridge as hb
from tests.properties.doors import DOORS
from tests.properties.profiles import count
from tests.properties.promises import table_of
from tests.properties.relations import ENGINES, VERBS


def rows_of(data, roles):
    table = hb.compare(hb.Study.from_frame(data, **roles), [hb.Feols()], seed=1, on_error="raise")
    gates, where = (
        table.gate("town"),
        table.average("ape" if roles.get("fixed_effects") else "ate", where="x > 0"),
    )
    study = table.study
    counted = [study.n_clusters, study.dropped, [len(each) for each in study.effect_levels]]
    return [each.to_frame().drop(columns="note") for each in (table, gates, where)], counted


def same_rows(frame, roles, door, folder):
    """A study read through a door has the rows of the pandas frame."""
    if len(set(frame["d"])) > 2 and "fixed_effects" not in roles:
        frame = frame.assign(d=(frame["d"] > np.median(frame["d"])).astype(int))
    tables, counted = rows_of(frame, roles)
    others, also = rows_of(DOORS[door](frame, folder), roles)
    assert counted == also
    for one, other in zip(tables, others, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    count(f"doors: {door}", "held")


def level_kept(drawn, verb):
    """A table at its own level is itself; at another and back again too."""
    table = VERBS[verb](table_of(drawn))
    for again in (table.at_level(0.95), table.at_level(0.8).at_level(0.95)):
        for row, other in zip(table.rows, again.rows, strict=True):
            ends = np.array([[row.conf_low, row.conf_high], [other.conf_low, other.conf_high]])
            assert np.allclose(*ends, rtol=1e-9, atol=0, equal_nan=True), (row, other)


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
