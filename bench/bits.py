"""Whether a change of the code left every number as it was, to the last bit: python -m bench.bits --store FILE [--studies a,b] [--engines deep].

Some thirty small studies of every kind that engines know (three forms of the deep engine; binary, dose, events, counts; clusters, weights, gaps,
categories, long tails, outliers, given propensity) are fitted, and digests kept of the held-out predictions, of ``cate``, of recovered effects and of
every row of the table. The first run writes ``FILE``; a later one compares, says "same bits" or what moved, and exits with 1 where something did.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hte_bridge as hb
import hte_bridge.simulate as sim
from hte_bridge.digest import fingerprint
from hte_bridge.progress import steps
from hte_bridge.simulate.panel import adoption, panel

HELD = ("cate", "outcome_mean", "propensity", "treatment_variance", "lost")
NEW_ROWS = 40  # at which effects are asked for
QUICK: dict[str, Any] = {"seed": 1, "epochs": 4, "hidden": (8,), "draws": 8, "n_folds": 3}
GRAM = {"kernel_max_rows": 0}
LEFT_OUT = ("seconds", "posterior_seconds", "torch", "versions")  # of ``info``: no number of ours
Made = tuple[hb.Study, pd.DataFrame]


def of(draw: Any, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame, **roles: Any) -> Made:
    """A simulated cross-section as a study, and rows at which its effect is asked for."""
    frame = change(draw.frame())
    study = hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=draw.columns, **roles)
    return study, frame.head(NEW_ROWS)


def of_panel(draw: Any, **roles: Any) -> Made:
    """The same of a panel."""
    frame = draw.frame()
    study = hb.Study.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=list(draw.columns),
        fixed_effects=list(draw.labels),
        **roles,
    )
    return study, frame.head(NEW_ROWS)


def weighted(frame: pd.DataFrame) -> pd.DataFrame:
    """With weights from a half to three."""
    return frame.assign(w=np.random.default_rng(5).uniform(0.5, 3.0, len(frame)))


def with_gaps(frame: pd.DataFrame) -> pd.DataFrame:
    """With a tenth of two covariates missing."""
    gone = np.random.default_rng(6).random((len(frame), 2)) < 0.1
    return frame.assign(**{name: frame[name].mask(gone[:, j]) for j, name in enumerate(("x1", "x2"))})


def with_outliers(frame: pd.DataFrame) -> pd.DataFrame:
    """With two outcomes far from all others."""
    y = frame["y"].to_numpy().copy()
    y[[3, 30]] += 60.0 * y.std()
    return frame.assign(y=y)


def apart(frame: pd.DataFrame) -> pd.DataFrame:
    """With arms that have nothing in common."""
    bend = np.where(frame["t"] == 1, np.sin(4 * frame["x1"]), np.abs(frame["x2"]))
    return frame.assign(y=5 * bend + 0.1 * frame["y"])


def cases() -> dict[str, tuple[Callable[[], Made], dict[str, Any]]]:
    """Name -> what makes the study, and the deep engine's options beside the quick ones."""
    index = partial(sim.nie_wager, setup="B", d=5)
    few = partial(sim.limited, p=4)
    return {
        "kernel": (lambda: of(index(80, seed=1)), {}),
        "kernel 300": (lambda: of(sim.dense(300, seed=5, p=3)), {}),
        "subset": (lambda: of(sim.dense(170, seed=5, p=3)), {"scale_rows": 90}),
        "two folds": (lambda: of(index(80, seed=2)), {"n_folds": 2}),
        "arms": (lambda: of(sim.dense(120, seed=4, p=2), apart), {}),
        "dose": (lambda: of(sim.dose(80, seed=1, p=4)), {}),
        "rare": (lambda: of(few(150, seed=1, outcome="rare")), {}),
        "common": (lambda: of(few(80, seed=1, outcome="common")), {}),
        "count": (lambda: of(few(90, seed=1, outcome="count")), {}),
        "amount": (lambda: of(few(90, seed=1, outcome="amount")), {}),
        "clusters": (lambda: of(sim.clustered(100, seed=1), cluster="cluster"), {}),
        "weights": (lambda: of(index(80, seed=3), weighted, weight="w"), {}),
        "gaps": (lambda: of(index(80, seed=4), with_gaps), {}),
        "categories": (lambda: of(sim.regions(90, seed=1, n_levels=4)), {}),
        "long tails": (lambda: of(sim.incomes(80, seed=1)), {}),
        "outliers": (lambda: of(index(90, seed=5), with_outliers), {}),
        "propensity": (lambda: of(sim.wager_athey_28(80, seed=1, d=3), propensity=0.5), {}),
        "uneven": (lambda: of(sim.uneven_errors(150, seed=1, by="treatment")), {}),
        "gram": (lambda: of(sim.dense(400, seed=1, p=4)), GRAM),
        "gram clusters": (lambda: of(sim.clustered(400, seed=2), cluster="cluster"), GRAM),
        "gram count": (lambda: of(few(400, seed=2, outcome="count")), GRAM),
        "gram common": (lambda: of(few(400, seed=2, outcome="common")), GRAM),
        "gram dose": (lambda: of(sim.dose(400, seed=2, p=4), weighted, weight="w"), GRAM),
        "gram 4000": (lambda: of(sim.dense(4_000, seed=2, p=4)), {"n_folds": 2}),
        "panel": (lambda: of_panel(panel("nonlinear", n_rows=600, n_users=30, n_vendors=10, n_periods=6, seed=1)), {}),
        "panel wide": (lambda: of_panel(panel("nonlinear", n_rows=3_000, n_users=60, n_vendors=20, n_periods=8, seed=1)), {"n_folds": 2}),
        "panel clusters": (lambda: of_panel(adoption("staggered", n_units=80, n_periods=8, seed=1), cluster="user"), {}),
        "panel once": (lambda: of_panel(adoption("once", n_units=100, n_periods=2, seed=1)), {}),
    }  # fmt: skip


def engines(name: str, options: dict[str, Any]) -> Any:
    """An engine by its name."""
    made: dict[str, Callable[[], Any]] = {
        "deep": lambda: hb.Deep(**QUICK | options),
        "feols": lambda: hb.Feols(seed=1),
        "grf": lambda: hb.CausalForest(num_trees=50, seed=1, num_threads=1),
        "meta": lambda: hb.Meta("R", seed=1),
    }
    return made[name]()


def digests(name: str, engine: str) -> dict[str, str]:
    """What one engine finds on one study, by part."""
    make, options = cases()[name]
    study, new = make()
    table = hb.compare(study, [engines(engine, options)], seed=1, n_folds=(QUICK | options)["n_folds"])
    (fit,) = table.fits.values()
    numeric = table.to_frame().select_dtypes("number")
    found: dict[str, Any] = {"rows": [numeric[column].to_numpy() for column in numeric]}
    found["notes"] = table.to_frame()["note"].tolist()
    if fit.heldout is not None:
        found["heldout"] = [getattr(fit.heldout, each) for each in HELD]
        found["cate"] = fit.cate(new).to_numpy()
    if engine == "deep":
        found |= asked(fit, new)
    return {part: fingerprint(each)[:16] for part, each in found.items()}


def asked(fit: Any, new: pd.DataFrame) -> dict[str, Any]:
    """The deep engine's further answers: effects, draws, averages, structure, diagnostics, and a fit that was saved and read."""
    found: dict[str, Any] = {"draws": fit.posterior(new, draws=7), "structure": fit.structure().to_numpy()}
    average = fit.average(new, groups=np.arange(len(new)) % 3)
    found["average"] = [average.to_numpy(), average.attrs["covariance"]]
    found["diagnostics"] = fit.diagnostics().to_numpy().tolist()
    found["info"] = json.dumps(
        {k: v for k, v in {**fit.info, **fit.posterior_info}.items() if k not in LEFT_OUT}, default=float
    )
    found["effects"] = [
        fit.effects(name).select_dtypes("number").to_numpy() for name in fit.study.names.fixed_effects
    ]
    with tempfile.TemporaryDirectory() as folder:
        back = hb.DeepFit.load(fit.save(Path(folder) / "fit.npz"))
        found["read"] = back.cate(new).to_numpy()
    return found


def of_files() -> dict[str, str]:
    """The fit of a panel that is read from files."""
    draw = panel("nonlinear", n_rows=800, n_users=30, n_vendors=10, n_periods=6, seed=2)
    frame = draw.frame()
    with tempfile.TemporaryDirectory() as folder:
        frame.to_parquet(path := Path(folder) / "panel.parquet")
        roles = {"covariates": list(draw.columns), "fixed_effects": list(draw.labels)}
        fit = hb.Deep(**QUICK).fit_path(path, outcome="y", treatment="t", **roles)
    found = {"cate": fit.cate(frame.head(NEW_ROWS)).to_numpy()}
    found["effects"] = fit.effects(draw.labels[0]).select_dtypes("number").to_numpy()
    return {part: fingerprint(each)[:16] for part, each in found.items()}


def run(names: list[str], chosen: list[str]) -> tuple[dict[str, dict[str, str]], dict[str, float]]:
    """Digests of each study and engine, and the seconds that each took."""
    found, seconds = {}, {}
    for name, engine in steps([(name, engine) for name in names for engine in chosen], "bits"):
        if name == "files" and engine != "deep":
            continue
        began = time.perf_counter()
        key = f"{name} | {engine}"
        found[key] = of_files() if name == "files" else digests(name, engine)
        seconds[key] = time.perf_counter() - began
    return found, seconds


def differences(before: dict[str, dict[str, str]], now: dict[str, dict[str, str]]) -> list[str]:
    """What moved, one line each.

    Examples
    --------
    >>> differences({"a | deep": {"rows": "1"}}, {"a | deep": {"rows": "2", "cate": "3"}})
    ['a | deep: rows moved', 'a | deep: cate is new']
    """
    said = []
    for key, parts in now.items():
        old = before.get(key, {})
        said += [
            f"{key}: {part} {'moved' if part in old else 'is new'}"
            for part in parts
            if old.get(part) != parts[part]
        ]
        said += [f"{key}: {part} is gone" for part in old if part not in parts]
    return said  # fmt: skip


def main() -> None:
    """Compare with the store, or write it."""
    every = [*cases(), "files"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--studies", default=",".join(every))
    parser.add_argument("--engines", default="deep")
    parser.add_argument("--seconds", action="store_true", help="say how long each took")
    given = parser.parse_args()
    found, seconds = run(given.studies.split(","), given.engines.split(","))
    before = json.loads(given.store.read_text()) if given.store.exists() else {}
    moved = differences(before, found)
    fresh = {key: parts for key, parts in found.items() if key not in before}
    if fresh:
        given.store.write_text(json.dumps(before | fresh, indent=1))
        moved = [each for each in moved if each.partition(":")[0] in before]
        print(f"{len(fresh)} stored")
    if given.seconds:
        print(pd.Series(seconds).round(1).sort_values().to_string())
    print("\n".join(moved) or f"same bits: {len(found) - len(fresh)} of {len(found)} compared")
    sys.exit(bool(moved))


if __name__ == "__main__":
    main()
