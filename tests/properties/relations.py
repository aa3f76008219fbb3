"""What must not move when data are told otherwise: the same study in other words, and how its rows then relate to the first.

`RELATIONS` holds the ways, each with the promise that every engine gives; docs/reliability.md prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

import hte_bridge as hb
from hte_bridge.errors import HteBridgeError
from hte_bridge.table import Estimate, Table

Promise = Literal["bits", "rounding", "law"]
PROMISES: dict[Promise, str] = {"bits": "same bits", "rounding": "rounding", "law": "in law"}
ROUNDING = 1e-6  # of a standard error: what sums in another order, and solves of another scale, may leave
LAW = 2.5  # standard errors that an average effect may move where folds or trees are drawn anew, in 60 to 160 rows

ENGINES: dict[str, Callable[[], Any]] = {
    "feols": lambda: hb.Feols(),
    "grf": lambda: hb.CausalForest(num_trees=50, seed=1, num_threads=1),
    "deep": lambda: hb.Deep(seed=1),
}
VERBS: dict[str, Callable[[hb.Comparison], Table]] = {
    "table": lambda t: t,
    "gate": lambda t: t.gate("town"),
    "gate of numbers": lambda t: t.gate("x"),
    "projection": lambda t: t.projection("x + town"),
    "average": lambda t: t.average("ate" if discrete(t) else "ape", where="x > 0"),
    "gates": lambda t: t.gates(3),
    "clan": lambda t: t.clan(3),
    "calibration": lambda t: t.calibration(),
    "rate": lambda t: t.rate(),
    "toc": lambda t: t.toc(),
    "policy": lambda t: t.policy(),
    "budget": lambda t: t.policy(budget=0.3),
    "nuisance": lambda t: t.nuisance(),
    "sensitivity": lambda t: t.sensitivity(),
    "counterfactual": lambda t: t.counterfactual(scale=1.0, by="town"),
    "dose": lambda t: t.dose(),
    "trimmed": lambda t: t.trimmed(),
    "wild bootstrap": lambda t: t.wild_bootstrap(draws=99),
    "adjusted": lambda t: t.adjusted(),
    "randomisation": lambda t: t.randomisation(draws=99),
    "placebo": lambda t: t.placebo(),
}
REFITTED = (
    "gates",
    "clan",
    "rate",
    "toc",
    "policy",
    "budget",
    "placebo",
)  # sequential rankings: fits of earlier folds
IN_OUTCOME_UNITS = [
    "ate",
    "att",
    "atc",
    "ato",
    "ape",
    "cate",
    "coefficient",
    "projection",
    "gate",
    "gates",
    "rate",
    "toc",
    "policy",
    "counterfactual",
    "dose",
    "trimmed",
    "placebo",
    *("att_gt", "att_simple", "att_group", "att_event", "att_calendar"),
]


def discrete(table: hb.Comparison) -> bool:
    """Whether average effects are those of two arms."""
    return table.study.binary and not table.study.fixed_effects.shape[1]


@dataclass(frozen=True)
class Told:
    """The same study in other words.

    Parameters
    ----------
    frame, roles : DataFrame, dict
    factor : float
        What estimates in units of the outcome are multiplied by.
    slope : mapping of str to float
        What the slope of a covariate is multiplied by besides.
    rename : function of str
        Name of a term there from its name here.
    """

    frame: pd.DataFrame
    roles: dict[str, Any]
    factor: float = 1.0
    slope: Mapping[str, float] = field(default_factory=dict)
    rename: Callable[[str], str] = lambda term: term
    estimands: tuple[str, ...] = ()  # these alone; all where empty
    same_errors: bool = True


Teller = Callable[[pd.DataFrame, dict[str, Any], np.random.Generator], Told]


@dataclass(frozen=True)
class Relation:
    """One way to tell a study otherwise, and what each engine promises of it."""

    tell: Teller
    says: str
    promise: Mapping[str, Promise]


def _permuted(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    return Told(frame.iloc[rng.permutation(len(frame))], roles)


def _sorted_by_outcome(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    return Told(frame.sort_values("y", ascending=bool(rng.integers(2))), roles)


def _index(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    return Told(frame.set_axis([f"row {k}" for k in rng.permutation(len(frame))]), roles)


def _columns(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    names = {
        "z": "z z",
        "y": "out",
        "d": "assigned",
        "w": "weights",
        "g": "village",
    }  # verbs ask for x and town by name
    new = {
        role: names.get(value, value) if isinstance(value, str) else value for role, value in roles.items()
    }
    new["covariates"] = [names.get(each, each) for each in roles["covariates"]]
    if "fixed_effects" in roles:
        new["fixed_effects"] = [names[each] for each in roles["fixed_effects"]]
    return Told(
        frame.rename(columns=names),
        new,
        rename=lambda term: term.replace("assigned", "d").replace("z z", "z"),
    )


def _clusters(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    labels = rng.permutation(int(frame["g"].max()) + 1)
    return Told(frame.assign(g=[f"village {labels[k]}" for k in frame["g"]]), roles)


def _levels(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    names = {"a": "Aix", "b": "Brest", "c": "Caen"}

    def back(term: str) -> str:
        for short, long in names.items():
            term = term.replace(long, short)
        return term

    return Told(frame.assign(town=frame["town"].map(names)), roles, rename=back)


def _outcome(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    factor = float(2.0 ** rng.integers(-40, 41))
    return Told(frame.assign(y=frame["y"] * factor), roles, factor=factor)


def _outcome_moved(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    return Told(frame.assign(y=frame["y"] + 64.0), roles)


def _covariates(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    factor = float(2.0 ** rng.integers(-40, 41))
    return Told(frame.assign(z=frame["z"] * factor), roles, slope={"z": 1 / factor})


def _covariates_moved(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    return Told(frame.assign(z=frame["z"] + 2048.0), roles, slope={"(Intercept)": np.nan, "z": 1.0})


def _places(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    return Told(frame, roles | {"covariates": rng.permutation(roles["covariates"]).tolist()})


def _arms(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    top = 1.0 if set(frame["d"]) <= {0, 1} else float(np.ceil(frame["d"].max()))
    return Told(
        frame.assign(d=top - frame["d"]), roles, factor=-1.0, estimands=("ate", "ape", "ato", "coefficient")
    )


def _twice(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    weight = frame["w"] / 2 if "weight" in roles else pd.Series(0.5, frame.index)
    twice = pd.concat([frame.assign(w=weight)] * 2)
    keeps = {"cluster": "g"} if "fixed_effects" not in roles else {}
    return Told(twice, roles | {"weight": "w"} | keeps, estimands=("coefficient",), same_errors=False)


def _weights(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    return Told(frame.assign(w=frame["w"] * 10.0 ** rng.integers(-12, 13)), roles)


def _others(frame: pd.DataFrame, roles: dict[str, Any], rng: np.random.Generator) -> Told:
    return Told(frame.assign(unused=[None, *frame["y"][1:]])[frame.columns[::-1].insert(0, "unused")], roles)


def _all(promise: Promise) -> dict[str, Promise]:
    return dict.fromkeys(ENGINES, promise)


RELATIONS: dict[str, Relation] = {
    "rows change places": Relation(
        _permuted,
        "rows in another order, each with its index label",
        {"feols": "rounding", "grf": "law", "deep": "rounding"},
    ),
    "sorted by the outcome": Relation(
        _sorted_by_outcome,
        "a file sorted by the outcome, either way",
        {"feols": "rounding", "grf": "law", "deep": "rounding"},
    ),
    "index renamed": Relation(_index, "other index labels: folds are drawn anew", _all("law")),
    "columns renamed": Relation(_columns, "other names of all columns", _all("bits")),
    "clusters renamed": Relation(
        _clusters,
        "other labels of clusters and fixed effects, in another order",
        {"feols": "rounding", "grf": "law", "deep": "rounding"},
    ),
    "levels renamed": Relation(
        _levels, "other names of a category's levels, in the same order", _all("bits")
    ),
    "outcome scaled": Relation(_outcome, "outcome times 2^-40 to 2^40", _all("rounding")),
    "outcome moved": Relation(
        _outcome_moved, "outcome plus 64", {"feols": "rounding", "grf": "law", "deep": "rounding"}
    ),
    "covariate scaled": Relation(
        _covariates,
        "a covariate times 2^-40 to 2^40",
        _all("rounding"),
    ),
    "covariate moved": Relation(
        _covariates_moved, "a covariate plus 2,048", {"feols": "rounding", "grf": "law", "deep": "rounding"}
    ),
    "covariates change places": Relation(
        _places, "covariates in another order", {"feols": "rounding", "grf": "law", "deep": "rounding"}
    ),
    "arms swapped": Relation(
        _arms, "treatment 1 - T: averages change sign", {"feols": "rounding", "grf": "law", "deep": "law"}
    ),
    "all rows twice": Relation(
        _twice,
        "every row twice with half the weight: the coefficient",
        {"feols": "rounding", "grf": "law", "deep": "law"},
    ),
    "weights scaled": Relation(_weights, "weights times 1e-12 to 1e12", _all("rounding")),
    "unused columns": Relation(_others, "columns without a role, columns in another order", _all("bits")),
}


def answers(
    frame: pd.DataFrame, roles: dict[str, Any], engine: str, verbs: Mapping[str, Callable[[Any], Table]]
) -> dict[tuple[str, ...], Estimate]:
    """Rows of an engine under (verb, estimand, term); a verb that refuses is a row of its own with the kind of the sentence."""
    table = hb.compare(hb.Study.from_frame(frame, **roles), [ENGINES[engine]()], seed=1, on_error="raise")
    found = asked(table, verbs)
    if "grf" not in table.fits or not table.study.fixed_effects.shape[1]:
        found |= _pointwise(table, frame, engine)
    return found


def asked(table: Any, verbs: Mapping[str, Callable[[Any], Table]]) -> dict[tuple[str, ...], Estimate]:
    """Rows of verbs under (verb, estimand, term)."""
    found: dict[tuple[str, ...], Estimate] = {}
    for name, verb in verbs.items():
        try:
            rows = verb(table).rows
        except HteBridgeError as error:
            rows = (Estimate.missing(error.kind, str(error)),)
        for row in rows:
            key = (name, row.estimand, row.term)
            assert key not in found, f"two rows of one name: {key}"
            found[key] = row
    return found


def _pointwise(table: hb.Comparison, frame: pd.DataFrame, engine: str) -> dict[tuple[str, ...], Estimate]:
    """Effects at the three rows with the least index labels, as rows of an estimand of their own."""
    new = frame.loc[sorted(frame.index.unique())[:3]]
    new = new[~new.index.duplicated()]
    made = table.cate(new, engine)
    return {
        ("cate", "cate", str(k)): Estimate("cate", row.estimate, row.std_error, note="pointwise")
        for k, row in enumerate(made.itertuples())
    }


def check(
    relation: Relation,
    engine: str,
    told: Told,
    before: dict[tuple[str, ...], Estimate],
    after: dict[tuple[str, ...], Estimate],
) -> None:
    """Raise AssertionError with the first row that breaks the engine's promise."""
    promise = relation.promise[engine]
    if promise == "law":
        pairs = [(before[key], after[key]) for key in before if key[:2] == ("table", "ate") and key in after]
        for one, other in pairs:
            gap = abs(other.estimate - told.factor * one.estimate)
            assert gap <= LAW * abs(told.factor) * one.std_error, (one, other)
        return
    renamed = {(verb, estimand, told.rename(term)): row for (verb, estimand, term), row in after.items()}
    wanted = {
        key: row
        for key, row in before.items()
        if not told.estimands or (key[0] == "table" and key[1] in told.estimands)
    }
    assert wanted.keys() <= renamed.keys(), sorted(wanted.keys() - renamed.keys())
    for key, row in wanted.items():
        _same(key, row, renamed[key], told, promise)


def _same(key: tuple[str, ...], row: Estimate, other: Estimate, told: Told, promise: Promise) -> None:
    factor = told.factor if row.estimand in IN_OUTCOME_UNITS and "share" not in row.term else 1.0
    place = row.term.rpartition(": ")[2]  # of several outcomes behind the name of one
    factor *= told.slope.get(place, 1.0) if row.estimand == "projection" else 1.0
    own_unit = row.estimand == "clan" and any(row.term.startswith(f"{name}:") for name in told.slope)
    if np.isnan(factor) or own_unit or (row.estimand == "sensitivity" and told.factor != 1.0):
        return
    if key[0] == "adjusted" and np.isnan(list(told.slope.values())).any():
        return  # another row is in the family
    if promise == "bits":
        assert _numbers(row) == _numbers(other), (key, row, other)
        return
    unit = row.std_error if row.std_error > 0 else max(abs(row.estimate), 1e-300)
    tolerance = ROUNDING * unit * abs(factor)
    assert np.isnan(row.estimate) == np.isnan(other.estimate), (key, row, other)
    if not np.isnan(row.estimate):
        assert abs(other.estimate - factor * row.estimate) <= tolerance, (key, row, other)
    if not told.same_errors:
        return
    assert np.isnan(row.std_error) == np.isnan(other.std_error), (key, row, other)
    if row.std_error > 0:
        assert abs(other.std_error - abs(factor) * row.std_error) <= tolerance, (key, row, other)
    if not np.isnan(row.p_value):
        assert abs(row.p_value - other.p_value) <= ROUNDING, (key, row, other)


def _numbers(row: Estimate) -> list[str]:
    return [
        repr(getattr(row, name))
        for name in ("estimate", "std_error", "p_value", "conf_low", "conf_high", "df")
    ]
