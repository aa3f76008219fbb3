"""What was tried against the package, and how it ended: python -m bench.reliability [--profile long] [--flips 300] [--kills 20] [--add FOLDER].

Frames, relations and doors are the property suite's (tests/properties), counted; flips change single bits of every kind of file that we
write; kills end R's worker, and a Python that is writing, at a random moment. A long profile can be run in pieces, each with
``HTE_BRIDGE_COUNTS=FOLDER``; ``--add FOLDER`` then runs nothing and puts its counts in place of those of the same name in the results. Writes
bench/results/reliability.json and docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hte_bridge as hb
from bench.flips import flips
from hte_bridge.errors import HteBridgeError
from hte_bridge.progress import steps

ROOT = Path(__file__).parent.parent
RESULTS, PAGE = ROOT / "bench" / "results" / "reliability.json", ROOT / "docs" / "reliability.md"
Counts = Counter[tuple[str, str]]
OURS = "refused with a sentence"
SAME = "same numbers"
WRONG = "OTHER NUMBERS, SILENTLY"
RAW = "RAW ERROR"
FLIPPED = {"harmless": SAME, "refused": OURS, "wrong": WRONG}


def properties(profile: str) -> Counts:
    """Examples of tests/properties by what they tried and how they ended; raises where a test fails."""
    with tempfile.TemporaryDirectory() as folder:
        call = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "tests/properties",
            f"--hypothesis-profile={profile}",
            "-n",
            "2",
        ]
        environment = os.environ | {"HTE_BRIDGE_COUNTS": folder, "OMP_NUM_THREADS": "1"}
        subprocess.run([*call, "-o", "timeout=0"], cwd=ROOT, env=environment, check=True)
        return counted(Path(folder))


def counted(folder: Path) -> Counts:
    """Counts that processes left in a folder, summed."""
    found: Counts = Counter()
    for file in folder.glob("*.json"):
        for what, ended, number in json.loads(file.read_text()):
            found[what, ended] += number
    return found


def with_pieces(folder: Path) -> Counts:
    """The results so far, with the counts of a folder in place of those of the same name where these are fewer."""
    known = Counter({(what, ended): number for what, ended, number in json.loads(RESULTS.read_text())})
    more = counted(folder)
    for what in {what for what, _ in more}:
        had, has = (sum(n for (each, _), n in of.items() if each == what) for of in (known, more))
        if has > had:
            known = Counter({key: n for key, n in known.items() if key[0] != what})
            known += Counter({key: n for key, n in more.items() if key[0] == what})
    return known


def experiment(n: int = 120) -> hb.Study:
    """A small study, the same each time."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n), "d": rng.integers(0, 2, n)})
    frame["y"] = frame["d"] * (1 + frame["x"]) + rng.normal(size=n)
    return hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x", "z"])


def damage(number: int, seed: int = 1) -> Counts:
    """Single bits flipped in every kind of file; see ``bench.flips``."""
    found: Counts = Counter()
    for kind, counts in flips(seed, number).items():
        for ended, times in counts.items():
            found[f"one bit of a file flipped: {kind}", FLIPPED.get(ended, RAW)] += times
    return found


def _ended(read: Callable[[Any], Any], given: Any, right: Any) -> str:
    try:
        return SAME if read(given) == right else WRONG
    except HteBridgeError:
        return OURS
    except Exception:  # whatever else a damaged file may raise is what is counted here
        return RAW


WRITER = """
import sys, hte_bridge as hb
from bench.reliability import experiment
table = hb.compare(experiment(), [hb.Feols()], seed=1)
print("ready", flush=True)
while True:
    table.save(sys.argv[1])
"""


def worker_kills(number: int, seed: int = 1) -> Counts:
    """R's worker killed at a random moment of a forest, and the forest grown again after it."""
    from hte_bridge.rlink import client

    rng, found = np.random.default_rng(seed), Counter()
    study, forest = experiment(2000), hb.CausalForest(num_trees=500, seed=1, num_threads=1)
    cate = lambda engine: engine.fit(study).heldout.cate.tolist()
    began = time.perf_counter()
    right = cate(forest)
    took = time.perf_counter() - began
    for _ in steps(range(number), "kills: R's worker", total=number):
        worker = client.worker().process.pid
        timer = threading.Timer(float(rng.uniform(0, took)), os.kill, (worker, signal.SIGKILL))
        timer.start()
        found["R's worker killed at a random moment of a forest", _ended(cate, forest, right)] += 1
        timer.join()
        found["the forest after that, by a new worker", _ended(cate, forest, right)] += 1
    return found


def writer_kills(number: int, seed: int = 1) -> Counts:
    """A Python killed while it writes a table over an older one."""
    rng, found = np.random.default_rng(seed), Counter()
    read = lambda file: hb.Table.load(file).to_frame().to_csv()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        right = read(hb.compare(experiment(), [hb.Feols()], seed=1).save(path))
        call = [sys.executable, "-c", WRITER, str(path)]
        here = os.environ | {"PYTHONPATH": str(ROOT)}
        for _ in steps(range(number), "kills: a writer", total=number):
            with subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, env=here) as writer:
                assert writer.stdout is not None
                writer.stdout.readline()
                time.sleep(float(rng.uniform(0, 0.3)))
                writer.kill()
            found["Python killed while it writes a table", _ended(read, path, right)] += 1
    return found


def page(found: Counts, made: str) -> str:
    """docs/reliability.md."""
    from tests.properties.relations import PROMISES, RELATIONS

    head = (ROOT / "bench" / "reliability_head.md").read_text()
    lines = ["| the same study told otherwise | feols | grf | deep |", "|---|---|---|---|"]
    for name, relation in RELATIONS.items():
        cells = [
            f"{PROMISES[relation.promise[engine]]} ({found[f'{name}: {engine}', 'held']:,})"
            for engine in ("feols", "grf", "deep")
        ]
        lines.append(f"| {relation.says} | {' | '.join(cells)} |")
    tried = ["| tried | how it ended | times |", "|---|---|---|"]
    for (what, ended), number in sorted(found.items()):
        if what.split(":")[0] not in RELATIONS:
            tried.append(f"| {what} | {ended} | {number:,} |")
    return head.format(made=f"Made by {made}.\n\n", relations="\n".join(lines), tried="\n".join(tried))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="suite", choices=["suite", "long"])
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--add", type=Path, help="counts of a profile that was run in pieces")
    asked = parser.parse_args()
    found = (
        with_pieces(asked.add)
        if asked.add
        else properties(asked.profile)
        + damage(asked.flips)
        + worker_kills(asked.kills)
        + writer_kills(asked.kills)
    )
    RESULTS.write_text(json.dumps([[*key, number] for key, number in sorted(found.items())], indent=0))
    command = "`python -m bench.reliability"
    made = (
        f"{command} --add`, from the suite's profile and pieces of the long one"
        if asked.add
        else f"{command} --profile {asked.profile}`"
    )
    PAGE.write_text(page(found, made))
    bad = {key: number for key, number in found.items() if key[1] in (WRONG, RAW)}
    sys.exit(f"Not as promised: {bad}" if bad else 0)


if __name__ == "__main__":
    main()
