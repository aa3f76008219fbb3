"""Which verb works for which engine, and why not: python bench/support.py [--without deep grf]; writes docs/support.md.

Every verb of a comparison is asked of every engine on a small cross-section, a dose and a panel; the page holds what the
rows themselves say.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, Ridge

import hte_bridge as hb
from hte_bridge.comparison import Comparison
from hte_bridge.engine import Engine
from hte_bridge.errors import HteBridgeError
from hte_bridge.table import Estimate, Table

PAGE = Path(__file__).parent.parent / "docs" / "support.md"
ROLES = Path(__file__).with_name("support_roles.md")
N, COVARIATES = 300, ["x1", "x2", "x3"]
KINDS = ("binary", "dose", "panel")
NAMES = {"binary": "a binary treatment", "dose": "a dose", "panel": "fixed effects"}
Verb = Callable[[Comparison], Table]


def study_of(kind: str) -> hb.Study:
    """300 units: effect 1 + x1 of a binary treatment or a dose; the panel has 30 persons of 10 periods."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(N, 3)), columns=COVARIATES)
    frame["person"], frame["town"] = np.arange(N) % 30, np.where(frame["x2"] > 0, "north", "south")
    odds = 1 / (1 + np.exp(-0.25 * frame["x1"]))
    frame["d"] = (rng.random(N) < odds) * 1.0 if kind == "binary" else 0.5 * frame["x1"] + rng.normal(size=N)
    frame["y"] = frame["x2"] + (1 + frame["x1"]) * frame["d"] + rng.normal(size=N)
    panel = {"fixed_effects": "person", "cluster": "person"} if kind == "panel" else {}
    return hb.Study.from_frame(
        frame,
        outcome="y",
        treatment="d",
        covariates=COVARIATES,
        treatment_type=None if kind == "binary" else "continuous",
        **panel,
    )


def engines_of(study: hb.Study, without: Iterable[str]) -> list[Engine]:
    """feols, grf, deep, a meta-learner, a stack, and columns predicted elsewhere (by ridge, out of fold)."""
    found: list[Engine] = [
        hb.Feols(),
        hb.CausalForest(num_trees=200, seed=1),
        hb.Deep(seed=1, draws=8, epochs=10, scale_rows=200),  # what it answers, not how well
        hb.Meta("R", LinearRegression()),
        hb.Stack([hb.Feols(), hb.Meta("R", Ridge(10.0), label="ridge")], n_folds=2),
    ]
    source = hb.Feols() if study.fixed_effects.shape[1] else hb.Meta("R", Ridge(10.0))
    made = source.fit(study).heldout
    assert made is not None
    found.append(hb.Given(made, held_out=True))
    return [each for each in found if each.name not in set(without)]


def verbs(kind: str) -> dict[str, Verb]:
    """Each verb with options that make sense here."""
    own = "ate" if kind == "binary" else "ape"
    return {
        **{
            name: (lambda table, name=name: table.average(name))
            for name in ("ate", "att", "atc", "ato", "ape")
        },
        "gate": lambda table: table.gate("town"),
        "gates": lambda table: table.gates(3),
        "gates, ranking='heldout'": lambda table: table.gates(3, ranking="heldout"),
        "clan": lambda table: table.clan(3),
        "projection": lambda table: table.projection(),
        "calibration": lambda table: table.calibration(),
        "rate": lambda table: table.rate(),
        "toc": lambda table: table.toc(),
        "policy": lambda table: table.policy(cost=0.5),
        "counterfactual": lambda table: table.counterfactual(to=1.0),
        "roi": lambda table: table.roi(value=1.0, cost=1.0),
        "dose": lambda table: table.dose(),
        "nuisance": lambda table: table.nuisance(),
        "trimmed": lambda table: table.trimmed(),
        "sensitivity": lambda table: table.sensitivity(),
        "placebo": lambda table: table.placebo(),
        "differences": lambda table: table.differences().where(estimand=own),
        "race": lambda table: table.race(ranking="heldout").where(estimand="r_loss"),
        "agreement": lambda table: table.agreement().where(estimand="correlation"),
    }


def cell(rows: list[Estimate]) -> tuple[str, str]:
    """``yes``, ``no interval`` or ``no``, and the reason that the rows give."""
    if not rows:
        return "no", "it gives no row"
    sure = [row for row in rows if row.std_error > 0 or np.isfinite(row.conf_low) or np.isfinite(row.p_value)]
    there = [row for row in rows if np.isfinite(row.estimate)]
    if sure:
        return "yes", ""
    note = next((row.note for row in rows if row.note), "")
    return ("no interval", note) if there else ("no", note)


def answers(table: Comparison, verb: Verb, engines: list[str]) -> dict[str, tuple[str, str]]:
    """What each engine says to one verb."""
    try:
        rows = verb(table).rows
    except HteBridgeError as error:
        return dict.fromkeys(engines, ("no", str(error)))
    mute = {name: fit.reasons["*"] for name, fit in table.fits.items() if "*" in fit.reasons}
    said = {
        name: [row for row in rows if name in row.engine.replace(" & ", " - ").split(" - ")]
        for name in engines
    }
    return {name: cell(said[name]) if name not in mute else ("no", mute[name]) for name in engines}


def gap(table: Comparison, engines: list[str]) -> dict[str, tuple[str, str]]:
    """What each engine says to ``explain_gap``; feols is what it is explained against."""
    out = {}
    for name in engines:
        if name == "feols":
            out[name] = ("yes", "")
            continue
        try:
            out[name] = cell([row for row in table.explain_gap(name).rows if row.term == "total"])
        except HteBridgeError as error:
            out[name] = ("no", str(error))
    return out


def new_rows(table: Comparison, engines: list[str]) -> dict[str, tuple[str, str]]:
    """Whether an engine predicts rows that it was not given, with an interval."""
    out, new = {}, pd.DataFrame({name: [0.0] for name in COVARIATES}, index=[-1])
    for name in engines:
        try:
            made = table.cate(new, name)
        except HteBridgeError as error:
            out[name] = ("no", str(error))
            continue
        said = str(table.fits[name].info.get("cate_interval", ""))
        out[name] = ("yes", "") if made["std_error"].notna().all() else ("no interval", said)
    return out


def section(kind: str, without: Iterable[str], notes: list[str]) -> list[str]:
    """Heading and table of one kind of study; reasons are numbered in ``notes``."""
    study = study_of(kind)
    table = hb.compare(study, engines_of(study, without), seed=1, n_folds=3)
    engines = list(dict.fromkeys(row.engine for row in table.rows))
    found = {name: answers(table, verb, engines) for name, verb in verbs(kind).items()}
    found["explain_gap"] = gap(table, engines)
    found["cate of new rows"] = new_rows(table, [name for name in engines if name in table.fits])
    lines = [
        f"## With {NAMES[kind]}",
        "",
        f"| verb | {' | '.join(engines)} |",
        "|:--|" + ":--|" * len(engines),
    ]
    for verb, said in found.items():
        cells = []
        for name in engines:
            word, why = said.get(name, ("no", table.meta["notes"].get(name, "it could not run")))
            if why and why not in notes:
                notes.append(why)
            cells.append(f"{word} [{notes.index(why) + 1}]" if why else word)
        lines.append(f"| {verb} | {' | '.join(cells)} |")
    return [*lines, ""]


def page(kinds: Iterable[str], without: Iterable[str]) -> str:
    """All sections, and the reasons under them."""
    notes: list[str] = []
    lines = [
        "# Which verb works for which engine",
        "",
        "Made by `python bench/support.py` from the rows themselves. *yes*: rows with errors or tests; *no interval*: an",
        "estimate whose error cannot be defended; *no*: the reason is numbered below.",
        "",
    ]
    for kind in kinds:
        lines += section(kind, without, notes)
    lines += ROLES.read_text(encoding="utf8").splitlines()
    return "\n".join([*lines, *(f"[{i}] {note}\n" for i, note in enumerate(notes, 1))])


def main(arguments: list[str]) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--without", nargs="*", default=[], help="engines to leave out; nothing is written then"
    )
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    options = parser.parse_args(arguments)
    text = page(options.kinds, options.without)
    if options.without or len(options.kinds) < len(KINDS):
        print(text)
    else:
        PAGE.write_text(text, encoding="utf8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
