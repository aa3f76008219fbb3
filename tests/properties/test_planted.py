"""The net is able to catch: each way in which numbers were wrong, planted again, breaks a property."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings

from hte_bridge.estimands.ranking import sort_by
from hte_bridge.keys import mixed
from hte_bridge.language.kleene import compute
from hte_bridge.language.values import Number, Truth
from hte_bridge.table import Table
from tests.properties import promises
from tests.properties.doors import identified
from tests.properties.kept import level_kept, same_rows, unseen
from tests.properties.profiles import QUIET
from tests.properties.relations import RELATIONS, VERBS, answers, check
from tests.properties.strategies import sound_frame

EXAMPLES = 25


def caught(holds, **kind):
    """Whether one of some sound studies, of a kind, breaks the property."""
    broken = []

    @settings(max_examples=EXAMPLES, derandomize=True, phases=[Phase.generate], **QUIET)
    @given(sound_frame(most=80, **kind))
    def looked(drawn):
        if not broken:
            try:
                holds(drawn)
            except (AssertionError, pytest.fail.Exception) as error:
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


def door(name, ids):
    def holds(drawn):
        frame, roles = drawn
        with tempfile.TemporaryDirectory() as folder:
            same_rows(identified(frame, ids).reset_index(drop=True), roles, name, Path(folder))

    return holds


def by_place(index: pd.Index):
    return mixed(np.arange(len(index), dtype=np.uint64))


def in_order(priority):
    out = np.empty(len(priority), dtype=np.int64)
    out[np.argsort(-priority, kind="stable")] = np.arange(len(priority))
    return out


def no_bands(self, level):
    return Table(tuple(row.with_(level=level, interval=None) for row in self.rows), self.meta)


def retyped(path, roles=None):
    return pa.Table.from_pandas(pd.read_csv(path), preserve_index=False)


def as_given(rows, weight):
    return np.ones(len(rows)) if weight is None else rows[weight].to_numpy(dtype=float)


def unscaled(cls, columns, weight=None, centred=True):
    return cls(*(fill(columns.shape[1]) for fill in (np.zeros, np.ones, np.zeros)))


def unknown_is_no(known, holds):
    held = known & np.asarray(holds, dtype=bool)
    return Truth(held, ~held)


def narrow(sign, left, right):
    """Arithmetic in the type of a column of small integers, as numpy does it."""
    wide = compute(sign, left, right).values
    small = left.values.ndim and (np.abs(left.values) <= 128).all()
    return Number(wide.astype(np.int64).astype(np.int8).astype(float) if small else wide)


def sees_all(self):
    for number in range(self.n_folds):
        yield np.arange(len(self.fold)), np.flatnonzero(self.fold == number)


def in_place(study, labels, what):
    return np.arange(len(study.index))


def noiseless(priority, scores):
    ranked = sort_by(priority, scores)
    object.__setattr__(ranked, "raw", ranked.gamma)
    return ranked


@contextlib.contextmanager
def no_guard(self, engine, what):
    yield


PLANTED = {
    "folds by the place of rows": ("hte_bridge.taking.row_keys", by_place, relation("rows change places")),
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
    "no noise within ties": (
        "hte_bridge.estimands.ranking.sort_by",
        noiseless,
        promises.ties_keep_their_noise,
    ),
    "offsets between folds": (
        "hte_bridge.estimands.ties.within_folds",
        lambda values, fold, weight: values - np.average(values, weights=weight),
        promises.offsets_are_no_effects,
    ),
    "bands lost at another level": (
        "hte_bridge.table.Table.at_level",
        no_bands,
        lambda drawn: level_kept(drawn, "gate"),
    ),
    "ids retyped, a CSV file": ("hte_bridge.frames.read_csv", retyped, door("csv", "text")),
    "ids retyped, gaps": ("hte_bridge.frames.NULLABLE", {}, door("polars", "gaps")),
    "weights as given": (
        "hte_bridge.columns.weight_values",
        as_given,
        relation("weights scaled", engine="grf"),
    ),
    "absolute units": ("hte_bridge.scaling.Standard.of", classmethod(unscaled), relation("covariate scaled")),
    "unknown is no": ("hte_bridge.language.kleene._answer", unknown_is_no, promises.conditions_part),
    "small integers overflow": ("hte_bridge.language.expression.compute", narrow, promises.conditions_part),
    "a leak into held-out predictions": (
        "hte_bridge.study.Folds.__iter__",
        sees_all,
        lambda drawn: unseen(drawn, "feols", 1),
    ),
    "labels ignored": ("hte_bridge.alignment.places", in_place, promises.labels_lead),
    "one more cluster, of the missing": (
        "hte_bridge.inference._known",
        lambda column, name: pd.factorize(column)[0],
        promises.unknown_clusters_are_refused,
    ),
    "lots by the place of rows": (
        "hte_bridge.comparison.lots",
        lambda cluster, keys: cluster,
        relation("rows change places", "adjusted"),
    ),
    "signs turned by rows": (
        "hte_bridge.wild._share",
        lambda row, weight: np.full(len(weight), 1 / len(weight)),
        promises.signs_are_enumerated,
    ),
    "leverage one": ("hte_bridge.estimands.regression.ALONE", 0.0, promises.leverage_one_has_no_error),
    "stale files": (
        "hte_bridge.between.draws.unlike",
        lambda found, wanted: "",
        promises.files_know_their_options,
    ),
    "a fault that escapes": (
        "hte_bridge.faults.Guard.__call__",
        no_guard,
        promises.one_fault_takes_one_engine,
    ),
}
KINDS = {  # of studies, where only some can show it
    "weights as given": {"panel": False},
    "a leak into held-out predictions": {"panel": False},
    "lots by the place of rows": {"panel": False},
    "ties by the order of rows, groups": {"panel": False, "ties": True},
    "ties by the order of rows, ranks": {"panel": False, "ties": True},
}


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_is_caught(plant, monkeypatch):
    where, wrong, holds = PLANTED[plant]
    monkeypatch.setattr(where, wrong)
    assert caught(holds, **KINDS.get(plant, {}))
