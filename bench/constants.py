"""What each number that decides in the deep engine is worth: halved and doubled, paired on the same draws.

    python -m bench.constants --out bench/results/constants [--stage 0] [--only gp.hmc.leap,gp.search.first_rows] [--rows 250]

Stage 0: whether a number acts at all: small studies of ``bench.bits`` are fitted with it doubled and halved until a bit moves. Fits are
deterministic, so that a number which never acts there leaves every bit as it is. Stage 1: two draws of three designs with 250 rows. Stage 2: ten draws
of six designs for those that moved anything in stage 1. Each cell is one line of a file, written as it is done and not done again; the last lines
print, for each number and change, by how much squared error, coverage, length and seconds move, with the Monte-Carlo error.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hte_bridge as hb
import hte_bridge.engines.deep as engine
import hte_bridge.simulate as sim
from bench import bits
from hte_bridge.digest import fingerprint
from hte_bridge.errors import HteBridgeError
from hte_bridge.progress import steps

DESIGNS = {
    "nie_wager_A": partial(sim.nie_wager, setup="A"),
    "count": partial(sim.limited, outcome="count"),
    "regions": sim.regions,
    "hahn": partial(sim.hahn_murray_carvalho, nonlinear=True, heterogeneous=True),
    "clustered": sim.clustered,
    "dense": sim.dense,
}
STAGES = {1: (3, 2), 2: (6, 10)}  # designs and draws
SPREAD = (
    "gram",
    "panel",
    "panel clusters",
    "gram clusters",
    "panel once",
    "gram common",
    "files",
    "gram count",
)
CLOSE = (
    "kernel",
    "rare",
    "uneven",
    "outliers",
    "count",
    "categories",
    "dose",
    "clusters",
    "subset",
    "long tails",
)
STUDIES = {"gp": CLOSE, "nuisance": ("kernel", "gram", "dose", "panel"), "": SPREAD}  # of bench.bits, by room
TEST_ROWS, TEST_SEED = 300, 1_000_003
FACTORS = {"halved": 0.5, "doubled": 2.0}
BASELINE = "as it is"
MOVED = ("error", "covered", "length", "seconds")


@dataclass(frozen=True, eq=False)
class Constant:
    """One field of a record next to the function that it steers."""

    name: str  # module and field, such as "gp.hmc.leap"
    record: Any
    field: str

    @property
    def value(self) -> Any:
        """What it is now."""
        return getattr(self.record, self.field)

    @contextmanager
    def at(self, factor: float) -> Iterator[None]:
        """Run the body with the number multiplied; it is what it was afterwards."""
        before = self.value
        object.__setattr__(self.record, self.field, times(before, factor))
        try:
            yield
        finally:
            object.__setattr__(self.record, self.field, before)


def times(value: Any, factor: float) -> Any:
    """A number, or each of a tuple, multiplied; whole numbers stay whole, and one or more.

    Examples
    --------
    >>> times(7, 0.5), times(1, 0.5), times(0.25, 2.0), times((0.5, 3), 2.0)
    (4, 1, 0.5, (1.0, 6))
    """
    if isinstance(value, tuple):
        return tuple(times(each, factor) for each in value)
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


def is_rule(thing: Any) -> bool:
    """Whether this is a record of numbers that decide: each of its fields says what it is unless told otherwise."""
    return is_dataclass(thing) and all(
        each.default is not MISSING or each.default_factory is not MISSING for each in fields(thing)
    )


def constants() -> list[Constant]:
    """Every field of every record of the deep engine, by the module in which it stands."""
    found = []
    for module in pkgutil.walk_packages(engine.__path__, f"{engine.__name__}."):
        there = importlib.import_module(module.name)
        for name, thing in vars(there).items():
            if name.isupper() and is_rule(thing) and type(thing).__module__ == module.name:
                numbers = [
                    each.name
                    for each in fields(thing)
                    if isinstance(getattr(thing, each.name), int | float | tuple)
                ]
                found += [
                    Constant(f"{module.name.removeprefix(engine.__name__ + '.')}.{own}", thing, own)
                    for own in numbers
                ]
    return sorted(found, key=lambda each: each.name)  # fmt: skip


def cell(design: str, draw: int, rows: int) -> dict[str, Any]:
    """One fit, judged at the design's test points."""
    data, test = DESIGNS[design](rows, seed=draw), DESIGNS[design](TEST_ROWS, seed=TEST_SEED)
    roles = {"cluster": "cluster"} if data.cluster is not None else {}
    study = hb.Study.from_frame(data.frame(), outcome="y", treatment="t", covariates=data.columns, **roles)
    began = time.perf_counter()
    fit = hb.Deep(seed=draw, n_folds=2, n_jobs=1).fit(study)
    surface = fit.cate(test.frame())
    seconds = time.perf_counter() - began
    low, high = surface["conf_low"].to_numpy(), surface["conf_high"].to_numpy()
    return {
        "bits": fingerprint(fit.heldout.cate, fit.heldout.outcome_mean, surface.to_numpy()),
        "error": float(np.mean((surface["estimate"] - test.cate) ** 2) / np.var(test.cate)),
        "covered": float(np.mean((low <= test.cate) & (test.cate <= high))),
        "length": float(np.mean(high - low) / np.std(test.cate)),
        "seconds": seconds,
    }


def run(chosen: list[Constant], stage: int, rows: int, file: Path) -> pd.DataFrame:
    """All cells of a stage, those of the file first."""
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    seen = {(each["constant"], each["change"], each["design"], each["draw"]) for each in done}
    n_designs, n_draws = STAGES[stage]
    places = [(design, draw) for draw in range(n_draws) for design in list(DESIGNS)[:n_designs]]
    todo: list[tuple[Constant | None, str, str, int]] = [(None, BASELINE, *place) for place in places]
    todo += [(each, change, *place) for each in chosen for change in FACTORS for place in places]
    todo = [each for each in todo if (each[0].name if each[0] else "", *each[1:]) not in seen]
    file.parent.mkdir(parents=True, exist_ok=True)
    for constant, change, design, draw in steps(todo, f"stage {stage}"):
        line: dict[str, Any] = {
            "constant": constant.name if constant else "",
            "change": change,
            "design": design,
            "draw": draw,
        }
        line |= attempt(constant, change, design, draw, rows)
        done.append(line)
        with file.open("a") as out:
            out.write(json.dumps(line) + "\n")
    return pd.DataFrame(done)  # fmt: skip


def attempt(constant: Constant | None, change: str, design: str, draw: int, rows: int) -> dict[str, Any]:
    """A cell, or why there is none: some numbers cannot be doubled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if constant is None:
                return cell(design, draw, rows)
            with constant.at(FACTORS[change]):
                return cell(design, draw, rows)
        except (HteBridgeError, ValueError, IndexError, RuntimeError, np.linalg.LinAlgError) as error:
            return {"refused": f"{type(error).__name__}: {error}"[:120]}


def digests(study: str) -> dict[str, str]:
    """Everything that the deep engine says of one study of ``bench.bits``."""
    return bits.of_files() if study == "files" else bits.digests(study, "deep")


def first_act(constant: Constant, as_they_are: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The first study of which a bit moves where the number is doubled or halved; ``as_they_are`` keeps what was found without.

    A change that cannot be fitted acts too.
    """
    room = constant.name.partition(".")[0]
    for study in STUDIES.get(room, STUDIES[""]):
        if study not in as_they_are:
            as_they_are[study] = digests(study)
        for change, factor in reversed(FACTORS.items()):
            try:
                with constant.at(factor):
                    moved = digests(study) != as_they_are[study]
            except (HteBridgeError, ValueError, IndexError, RuntimeError, np.linalg.LinAlgError):
                moved = True
            if moved:
                return {"constant": constant.name, "study": study, "change": change}
    return {"constant": constant.name, "study": None, "change": None}


def stage_of_acts(chosen: list[Constant], file: Path) -> Mapping[str, Any]:
    """Stage 0: a line for each number in the file, those that stand there already left alone."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    seen, as_they_are = {line["constant"] for line in lines}, dict[str, dict[str, str]]()
    file.parent.mkdir(parents=True, exist_ok=True)
    for constant in steps([each for each in chosen if each.name not in seen], "stage 0"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lines.append(first_act(constant, as_they_are))
        with file.open("a") as out:
            out.write(json.dumps(lines[-1]) + "\n")
    idle = [line["constant"] for line in lines if line["study"] is None]
    print(f"{len(lines) - len(idle)} of {len(lines)} act; moved no bit: {', '.join(idle) or 'none'}")
    return {"lines": lines, "still": idle}


def effects(cells: pd.DataFrame) -> pd.DataFrame:
    """By constant and change: share of cells whose bits moved, and the mean change of each measure with its Monte-Carlo error.

    Examples
    --------
    >>> base = {"constant": "", "change": "as it is", "design": "a", "error": 1.0, "covered": 0.9, "length": 2.0, "seconds": 1.0}
    >>> other = base | {"constant": "gp.hmc.leap", "change": "halved", "error": 1.5}
    >>> cells = [{**each, "draw": draw, "bits": each["change"]} for each in (base, other) for draw in range(2)]
    >>> effects(pd.DataFrame(cells))[["moved", "error", "error_mc"]].to_numpy().tolist()
    [[1.0, 0.5, 0.0]]
    """
    base = cells[cells["change"] == BASELINE].set_index(["design", "draw"])
    rows = []
    for (name, change), own in cells[cells["change"] != BASELINE].groupby(["constant", "change"], sort=False):
        own = own.set_index(["design", "draw"])
        there = own[own["bits"].notna()]
        both = base.loc[there.index]
        row: dict[str, Any] = {
            "constant": name,
            "change": change,
            "cells": len(own),
            "refused": len(own) - len(there),
        }
        row["moved"] = float((there["bits"] != both["bits"]).mean()) if len(there) else np.nan
        for measure in MOVED:
            off = there[measure] - both[measure]
            row |= {
                measure: float(off.mean()),
                f"{measure}_mc": float(off.std(ddof=1) / max(len(off), 1) ** 0.5),
            }
        rows.append(row)
    return pd.DataFrame(rows)  # fmt: skip


def still(table: pd.DataFrame) -> list[str]:
    """Constants that moved no bit, whichever way."""
    return [
        str(name)
        for name, own in table.groupby("constant")
        if (own["moved"] == 0).all() and not own["refused"].any()
    ]


def main(given: list[str] | None = None) -> Mapping[str, Any]:
    """Run a stage and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stage", type=int, choices=(0, 1, 2), default=1)
    parser.add_argument(
        "--only", default="", help="names, with commas; else all, or in stage 2 those that moved in stage 1"
    )
    parser.add_argument("--rows", type=int, default=250)
    asked = parser.parse_args(given)
    chosen = constants()
    if asked.only:
        chosen = [each for each in chosen if each.name in asked.only.split(",")]
    elif asked.stage == 2:
        first = effects(pd.read_json(asked.out / "stage1.jsonl", lines=True))
        chosen = [each for each in chosen if each.name not in still(first)]
    if asked.stage == 0:
        return stage_of_acts(chosen, asked.out / "acts.jsonl")
    table = effects(run(chosen, asked.stage, asked.rows, asked.out / f"stage{asked.stage}.jsonl"))
    print(table.round(4).to_markdown(index=False))
    print(f"moved no bit: {', '.join(still(table)) or 'none'}")
    return {"table": table, "still": still(table)}


if __name__ == "__main__":
    main(sys.argv[1:])
