"""What holds of any sound study, whatever it holds: each takes a frame and its roles, and raises AssertionError where it does not."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge import digest
from hte_bridge.between.draws import Store
from hte_bridge.crossfit import PredictedFit
from hte_bridge.engine import HeldOut
from hte_bridge.errors import InvalidData, UnreadableFile
from hte_bridge.estimands.averages import ate
from hte_bridge.estimands.ranking import rate
from hte_bridge.scores import Scores
from hte_bridge.wild import wild_bootstrap
from tests.helpers.enumerated import exact
from tests.properties.relations import ENGINES

Drawn = tuple[pd.DataFrame, dict[str, Any]]


def table_of(drawn: Drawn, engine: str = "feols", **options: Any) -> hb.Comparison:
    frame, roles = drawn
    engines = [ENGINES[engine]()]
    return hb.compare(hb.Study.from_frame(frame, **roles), engines, seed=1, on_error="raise", **options)


def average(table: hb.Comparison) -> str:
    """The average effect that a study's table has."""
    return "ate" if table.study.binary and not table.study.fixed_effects.shape[1] else "ape"


def conditions_part(drawn: Drawn) -> None:
    """A condition, its complement and the unknown are all rows, each once; small integers do not overflow."""
    frame, roles = drawn
    frame = frame.assign(z=frame["z"].where(frame.index % 5 > 0))  # some are unknown
    frame["small"] = (frame["z"].fillna(0) * 40).round().clip(-128, 127).astype("int8")
    table = table_of((frame, roles), estimands=[average(table_of((frame, roles), estimands=["ape"]))])
    kept = table.study.frame
    assert kept is not None
    for where, mask in (
        ("z > 0", kept["z"] > 0),
        ("not (z > 0)", kept["z"] <= 0),
        ("isna(z)", kept["z"].isna()),
        ("small * 3 > 60", kept["small"].astype(float) * 3 > 60),
    ):
        if mask.any():
            row = table.average(average(table), where=where).rows[0]
            assert np.isnan(row.estimate) or row.n_obs == int(mask.sum()), (where, row)


def labels_lead(drawn: Drawn) -> None:
    """What is handed over beside a study goes by its labels: a Series may stand in any order."""
    table = table_of(drawn, estimands=[])
    kept = table.study.frame
    assert kept is not None
    turned = kept.sample(frac=1.0, random_state=1)
    for by_name, by_series in (
        (table.gate("town"), table.gate(turned["town"])),
        (
            table.average(average(table), where="town == 'a'"),
            table.average(average(table), where=turned["town"] == "a"),
        ),
    ):
        for row, other in zip(by_name.rows, by_series.rows, strict=True):
            assert repr((row.estimate, row.std_error)) == repr((other.estimate, other.std_error)), (
                row,
                other,
            )


def unknown_clusters_are_refused(drawn: Drawn) -> None:
    """A vcov by clusters some of which are missing is no vcov."""
    frame, roles = drawn
    table = table_of((frame.assign(v=frame["g"].where(frame.index % 5 > 0)), roles), estimands=[])
    if table.study.frame["v"].isna().any():
        with pytest.raises(InvalidData, match="must be known in every row"):
            table.with_vcov({"CRV1": "v"})


def signs_are_enumerated(drawn: Drawn) -> None:
    """The wild bootstrap of few clusters is the enumeration of all signs."""
    frame = drawn[0].dropna(subset=["y"])
    cluster = np.unique(frame["g"].to_numpy() % 7, return_inverse=True)[1]
    gamma, weight = frame["y"].to_numpy(), frame["w"].to_numpy() ** 3
    row = wild_bootstrap([ate(Scores(gamma, weight, cluster))], cluster, weight=weight)[0]
    assert abs(row.p_value - exact(gamma, weight, cluster)) < 1e-12


def leverage_one_has_no_error(drawn: Drawn) -> None:
    """A unit that alone tells a coefficient: no error, the same of the others in any order of rows."""
    frame, roles = drawn
    roles = {key: value for key, value in roles.items() if key not in ("fixed_effects", "cluster")}
    frame = frame.assign(d=frame.index % 2, lone=0.0).dropna(subset=["y"])
    frame.loc[frame.index[0], "lone"] = 1.0
    found = []
    for seed in range(3):
        turned = frame.sample(frac=1.0, random_state=seed)
        rows = table_of((turned, roles), estimands=[]).projection("x + lone").rows
        found.append([row.std_error for row in rows if row.term])
        assert np.isnan(next(row.std_error for row in rows if row.term == "lone"))
    assert np.allclose(found[0], found[1:], rtol=1e-6, atol=0, equal_nan=True), found


def ties_keep_their_noise(drawn: Drawn) -> None:
    """With two priorities a RATE is a multiple of a difference of means, and so is its error, at least."""
    frame = drawn[0].dropna(subset=["y"])
    high, n = frame.index.to_numpy() % 2 == 0, len(frame)
    gamma = frame["y"].to_numpy()
    means = [gamma[high].mean(), gamma[~high].mean()]
    error = (gamma[high].var() / high.sum() + gamma[~high].var() / (n - high.sum())) ** 0.5
    row = rate(Scores(gamma), high.astype(float))
    factor = abs(row.estimate / (means[0] - means[1]))
    assert row.std_error > 0.7 * factor * error, (row, factor * error)


@dataclass(frozen=True)
class Offsets:
    """An engine whose effect differs between folds alone."""

    name: str = "offsets"

    def fit(self, study: hb.Study, folds: hb.Folds) -> PredictedFit:
        half = np.full(study.n, study.treatment.mean())
        held = HeldOut(folds.fold.astype(float), np.full(study.n, study.outcome.mean()), half)
        return PredictedFit("offsets", study, held, lambda frame: (np.zeros(len(frame)),) * 2, options=self)


def offsets_are_no_effects(drawn: Drawn) -> None:
    """What one fold's model predicts over another's ranks nobody and correlates with nothing."""
    frame, roles = drawn
    frame = frame.assign(d=frame.index % 2)
    roles = {key: value for key, value in roles.items() if key not in ("fixed_effects", "cluster")}
    study = hb.Study.from_frame(frame, **roles)
    table = hb.compare(study, [Offsets(), hb.Feols()], seed=1, estimands=["calibration"])
    held = [row for row in table.rows if row.engine == "offsets"]
    held += [row for row in table.agreement().rows if row.estimand in ("correlation", "top_fifth")]
    assert held
    assert all(np.isnan(row.estimate) for row in held), held


@dataclass(frozen=True)
class Broken:
    """An engine with a fault."""

    name: str = "broken"

    def fit(self, study: hb.Study, folds: hb.Folds) -> PredictedFit:
        raise ZeroDivisionError("nobody foresaw it")


def one_fault_takes_one_engine(drawn: Drawn) -> None:
    """Another engine's rows stand, and the fault is a sentence with its traceback kept."""
    frame, roles = drawn
    study = hb.Study.from_frame(frame, **roles)
    try:
        both = hb.compare(study, [Broken(), hb.Feols()], seed=1, estimands=[average(table_of(drawn))])
    except ZeroDivisionError as error:
        raise AssertionError("the fault of one engine ended all") from error
    alone = table_of(drawn, estimands=[average(both)])
    rows = [row for row in both.rows if row.engine == "feols"]
    assert [row.estimate for row in rows] == [row.estimate for row in alone.rows]
    assert "nobody foresaw it" in both.meta["engines"]["broken"]["traceback"]
    assert "nobody foresaw it" not in str(alone)


def files_know_their_options(drawn: Drawn) -> None:
    """Results that another call has kept are not taken up."""
    frame, _ = drawn
    options = {"num_trees": 100 + len(frame), "min_node_size": 5, "seed": int(frame["g"].sum())}
    for moved in options:
        marks = [
            {"engines": {"grf": {"digest": digest.fingerprint(each), "options": digest.described(each)}}}
            for each in (
                hb.CausalForest(**options),
                hb.CausalForest(**options | {moved: options[moved] + 1}),
            )
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "draws.parquet"
            Store(path, marks[0]).add([("grf", "none", 1, "error", 0.5)])
            assert len(Store(path, marks[0]).frame) == 1
            try:
                Store(path, marks[1])
            except UnreadableFile:
                continue
            raise AssertionError(f"draws with another {moved} were taken up")


PROMISES = {
    each.__name__.replace("_", " "): each
    for each in (
        conditions_part,
        labels_lead,
        unknown_clusters_are_refused,
        signs_are_enumerated,
        leverage_one_has_no_error,
        ties_keep_their_noise,
        offsets_are_no_effects,
        one_fault_takes_one_engine,
        files_know_their_options,
    )
}
