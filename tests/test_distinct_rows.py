"""Engine, estimand and term name a row: no verb gives two rows of one name, whatever the columns are called."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.estimand import askable
from hte_bridge.format import shortened, to_text
from hte_bridge.table import Estimate, Table


@pytest.fixture(scope="module")
def frame():
    rng, n = np.random.default_rng(0), 240
    made = pd.DataFrame({"x": rng.normal(size=n), "k": rng.integers(0, 3, n), "c": rng.choice(list("ab"), n)})
    made["d"], made["g"] = rng.integers(0, 2, n), np.arange(n) // 6
    made["dose"], made["cost"] = rng.normal(size=n) + made["x"], rng.uniform(1, 2, n)
    return made.assign(y=made["d"] * (1 + made["x"]) + rng.normal(size=n))


@pytest.fixture(scope="module")
def table(frame):
    roles = {"outcome": "y", "treatment": "d", "covariates": ["x", "k", "c"], "cluster": "g"}
    study = hb.Study.from_frame(frame, **roles)
    wanted = [name for name in askable() if name not in ("ape", "dose", "repeated")]
    return hb.compare(study, [hb.Feols(), hb.Feols(vcov="iid", label="second")], estimands=wanted)


def names(table):
    return [(row.engine, row.estimand, row.term) for row in table.rows]


VERBS = {
    "the table": lambda table: table,
    "gate": lambda table: table.gate("c"),
    "gate of numbers": lambda table: table.gate("x", bins=4),
    "gates": lambda table: table.gates(),
    "clan": lambda table: table.clan(),
    "projection": lambda table: table.projection(),
    "projection of a formula": lambda table: table.projection("x + c"),
    "calibration": lambda table: table.calibration("regression"),
    "rate": lambda table: table.rate(),
    "toc": lambda table: table.toc(),
    "policy": lambda table: table.policy(),
    "budget given twice": lambda table: table.policy(cost="cost", budget=[0.1, 0.2, 0.1]),
    "counterfactual": lambda table: table.counterfactual(to=1.0, by="c"),
    "roi": lambda table: table.roi(value=1.0, cost=0.5, by="c"),
    "nuisance": lambda table: table.nuisance(),
    "trimmed": lambda table: table.trimmed(),
    "sensitivity": lambda table: table.sensitivity(benchmarks=True),
    "placebo": lambda table: table.placebo(),
    "repeated": lambda table: table.repeated(n_splits=2),
    "with_vcov": lambda table: table.with_vcov("hetero"),
    "wild_bootstrap": lambda table: table.wild_bootstrap(draws=19),
    "randomisation": lambda table: table.randomisation(draws=19),
    "average": lambda table: table.average("ate", where="x > 0"),
    "differences": lambda table: table.differences(),
    "race": lambda table: table.race(),
    "agreement": lambda table: table.agreement(),
    "explain_gap": lambda table: table.explain_gap("second", "feols"),
}


@pytest.mark.parametrize("ask", VERBS.values(), ids=VERBS)
def test_no_verb_gives_two_rows_of_one_name(table, ask):
    found = names(ask(table))
    assert len(found) > 0
    assert len(set(found)) == len(found)


def test_two_curves_of_a_dose_have_one_name_each(frame):
    study = hb.Study.from_frame(frame, outcome="y", treatment="dose", covariates=["x"])
    table = hb.compare(study, [hb.Feols()])
    for asked in (table.dose(at=[0.0, 0.0, 1.0]), table.dose(slopes=True), table):
        assert len(set(names(asked))) == len(asked.rows)


def test_names_that_are_cut_in_print_stay_apart():
    terms = [
        f"household income before taxes of the year {k} in thousands of the local currency" for k in range(5)
    ]
    cut = shortened(terms, 20)
    assert len(set(cut.values())) == 5
    assert max(map(len, cut.values())) <= 20
    rows = tuple(
        Estimate("projection", 1.0, 0.1, term=term, engine="an engine of a long name") for term in terms
    )
    for width in (100, 85):
        lines = to_text(Table(rows), width=width).splitlines()
        at, end = lines[0].index("term"), lines[0].index("estimate")
        labels = " ".join(line[at : end - 2].strip() for line in lines[2:])
        assert all(term in " ".join(labels.split()) for term in terms)  # wrapped, and whole
