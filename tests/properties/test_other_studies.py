"""Adoptions, several arms and several outcomes told otherwise: what a study of one treatment promises holds of them too."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hte_bridge as hb
from tests.properties.doors import DOORS, identified
from tests.properties.profiles import count, examples
from tests.properties.relations import RELATIONS, Promise, Relation, Told, asked, check
from tests.properties.strategies import SEEDS, sound_frame

PROMISED: dict[str, Promise] = {"feols": "rounding"}
PERIODS = 5


def named_units(frame, roles, rng):
    """Units under other names, in another order."""
    labels = rng.permutation(int(frame["unit"].max()) + 1)
    return Told(frame.assign(unit=[f"unit {labels[k]}" for k in frame["unit"]]), roles)


def later_clock(frame, roles, rng):
    """The same periods, which begin elsewhere."""
    by = int(rng.integers(1, 3000))
    moved = {"t": frame["t"] + by, "first": frame["first"].where(frame["first"] == 0, frame["first"] + by)}

    def back(term):
        parts = [
            str(int(each) - by) if each.isdigit() and int(each) > by else each for each in term.split(", ")
        ]
        return ", ".join(parts)

    return Told(frame.assign(**moved), roles, rename=back)


def gaps_for_never(frame, roles, rng):
    """Never treated units have no first treated period, of one type or another."""
    first = frame["first"].where(frame["first"] > 0)
    return Told(frame.assign(first=first.astype(rng.choice(["float64", "Int64", "Int16"]))), roles)


COMMON = (
    "rows change places",
    "sorted by the outcome",
    "clusters renamed",
    "outcome scaled",
    "outcome moved",
    "covariate scaled",
    "unused columns",
)
TOLD = {name: RELATIONS[name] for name in COMMON}
OF_PANELS = TOLD | {
    "units renamed": Relation(named_units, "", PROMISED),
    "another clock": Relation(later_clock, "", PROMISED),
    "gaps for never": Relation(gaps_for_never, "", PROMISED),
}
ADOPTED = {
    "table": lambda t: t,
    "gate": lambda t: t.gate("town"),
    "gates": lambda t: t.gates(2),
    "projection": lambda t: t.projection("x + z"),
    "pretrends": lambda t: t.pretrends(),
    "bands": lambda t: t.bands(),
}
OF_ARMS = {
    "table": lambda t: t,
    "gate": lambda t: t.gate("town"),
    "differences": lambda t: t.differences(between="contrasts"),
    "adjusted": lambda t: t.adjusted(),
    "wild bootstrap": lambda t: t.wild_bootstrap(draws=99),
}


@st.composite
def adoption(draw):
    """A panel in which units adopt at different times, some never or first, and its roles."""
    rng = np.random.default_rng(draw(SEEDS))
    n = draw(st.integers(36, 60))
    unit, t = np.repeat(np.arange(n), PERIODS), np.tile(np.arange(1, PERIODS + 1), n)
    first = rng.choice([0, 3, 4], n)[unit]
    frame = pd.DataFrame({"unit": unit, "t": t, "first": first, "g": unit // 3})
    frame["x"], frame["z"] = rng.normal(size=n)[unit], rng.normal(size=n)[unit]
    frame["town"] = rng.choice(["a", "b"], n)[unit]
    effect = ((t >= first) & (first > 0)) * (1 + frame["x"])
    frame["y"] = effect + rng.normal(size=n)[unit] + 0.2 * t + rng.normal(size=len(unit))
    frame.index = pd.Index(rng.permutation(len(unit)) + 100)
    if draw(st.booleans()):
        frame = frame[rng.random(len(frame)) > 0.05]
    roles = {"outcome": "y", "unit": "unit", "period": "t", "first_treated": "first"}
    roles["covariates"] = draw(st.sampled_from([["x", "z"], ["x", "z", "town"]]))
    if draw(st.booleans()):
        roles["cluster"] = "g"
    return frame, roles | {"controls": draw(st.sampled_from(["not_yet", "never"]))}


def kept(way, frame, roles, told, make, verbs):
    """One relation of the rows that ``make`` makes a table of."""
    way = replace(way, promise=PROMISED)
    before, after = (
        asked(make(frame, roles), verbs),
        asked(make(told.frame, told.roles), verbs),
    )
    check(way, "feols", told, before, after)


def compared(frame, roles):
    study = hb.Study.from_frame(frame, **roles)
    estimands = None if "unit" in roles else ["ate", "ato"]
    return hb.compare(study, [hb.Feols()], seed=1, estimands=estimands, on_error="raise")


@examples(share=0.01, most=400)
@given(st.sampled_from(sorted(OF_PANELS)), adoption(), SEEDS)
def test_an_adoption_keeps_its_promise(relation, drawn, seed):
    frame, roles = drawn
    told = OF_PANELS[relation].tell(frame, roles, np.random.default_rng(seed))
    kept(OF_PANELS[relation], frame, roles, told, compared, ADOPTED)
    count("relations of adoptions: feols", "held")


@examples(share=0.01, most=300)
@given(st.sampled_from(sorted(TOLD)), sound_frame(panel=False), SEEDS)
def test_several_arms_keep_their_promise(relation, drawn, seed):
    frame, roles = drawn
    rng = np.random.default_rng(seed)
    frame = frame.assign(arm=rng.permutation(np.array(["a", "b", "c"])[np.arange(len(frame)) % 3]))
    roles = {key: each for key, each in roles.items() if key != "propensity"}
    roles |= {"treatment": "arm", "treatment_type": "arms", "control": "b"}
    told = TOLD[relation].tell(frame, roles, rng)
    kept(TOLD[relation], frame, roles, told, compared, OF_ARMS)
    count("relations of several arms: feols", "held")


@examples(share=0.01, most=300)
@given(st.sampled_from(sorted(TOLD)), sound_frame(), SEEDS)
def test_several_outcomes_keep_their_promise(relation, drawn, seed):
    frame, roles = drawn
    rng = np.random.default_rng(seed)
    frame = frame.assign(other=(frame["y"] + rng.normal(size=len(frame))).where(rng.random(len(frame)) > 0.1))
    told = TOLD[relation].tell(frame, roles, rng)
    told.frame["other"] *= told.factor

    def make(rows, named):
        study, names = hb.Study.from_frame(rows, **named), ["y", "other"]
        return hb.compare_outcomes(study, names, [hb.Feols()], seed=1, draws=199, on_error="raise")

    kept(TOLD[relation], frame, roles, told, make, {"table": lambda t: t})
    count("relations of several outcomes: feols", "held")


@pytest.mark.parametrize("door", ["nullable", "polars", "csv"])
@examples(share=0.01, most=30)
@given(adoption(), st.sampled_from(["text", "big"]))
def test_every_door_gives_the_same_adoption(door, tmp_path_factory, drawn, ids):
    frame, roles = drawn
    frame = identified(frame, ids).reset_index(drop=True)
    frame["first"] = frame["first"].where(frame["first"] > 0)
    other = DOORS[door](frame, tmp_path_factory.mktemp("door"))
    tables = [
        compared(each, roles | {"cluster": "g"}).to_frame().drop(columns="note") for each in (frame, other)
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    count(f"doors of adoptions: {door}", "held")
