"""A table of `bench.scale` whose client, or one of its two workers, is killed at a random moment: are the numbers those of one that was left alone?

python -m bench.scale --kills 10 --worker-kills 10
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.cross_section import machine
from bench.scale import QUICK, child, once, watched, write

FEW = ["a", "b"]  # covariates: a table is made in seconds, by the same steps
STARTS = 4.0  # seconds in which a process imports what it needs, before its clock begins


def kills(asked: argparse.Namespace) -> None:
    """A client, or a worker of two, that is killed at a random moment costs time and no number: a row for each kill, and one for all of a kind."""
    with tempfile.TemporaryDirectory(dir=asked.work) as name:
        folder, out = Path(name), asked.out / f"scale-{os.getpid()}.row"
        (folder / "files").mkdir()
        write(folder / "files", asked.kill_rows, asked.seed)
        given = {"folder": str(folder / "files"), "n": asked.kill_rows, "seed": asked.seed, "feols": False}
        given |= {"options": QUICK, "out": str(out), "dask": 0, "covariates": FEW}
        code = machine()["code"][:8]  # numbers of other code are other numbers
        of_one = partial(once, out=asked.out)
        whole = of_one(f"killed-{code}-none", make=lambda: watched(given))
        for who, times in (("client", asked.kills), ("worker", asked.worker_kills)):
            lasted = whole
            if times and who == "worker":
                lasted = of_one(f"killed-{code}-none-of-two", make=lambda: watched(given | {"dask": 2}))
            make = partial(killed, who, given, whole["numbers"], lasted["seconds"], folder)
            rows = [of_one(f"killed-{code}-{who}-{k}", make=partial(make, k)) for k in range(1, times + 1)]
            if rows:
                sums = {name: int(sum(row[name] for row in rows)) for name in ("same", "lost")}
                found = {"of": times, "rows": asked.kill_rows} | sums | machine()
                (asked.out / f"scale-kills-{who}.json").write_text(json.dumps(found), encoding="utf8")
                print(f"{who} killed: the same numbers in {sums['same']} of {times}, {sums['lost']} at work")


def killed(
    who: str, given: dict[str, Any], numbers: str, lasts: float, folder: Path, k: int
) -> dict[str, Any]:
    """Kill the client, or one of two workers, once; whether numbers stayed, and whether what was killed was at work."""
    after = lasts * np.random.default_rng([given["seed"], k, ord(who[0])]).uniform(0.05, 0.95)
    if who == "client":
        again, lost = after_a_kill(given | {"checkpoint": str(folder / f"kept{k}")}, STARTS + after)
    else:
        again = watched(given | {"dask": 2, "lose_after": after})
        lost = again["workers_lost"] == 1
    return {"same": again["numbers"] == numbers, "lost": lost, "after": after, "whole": lasts}


def after_a_kill(asked: dict[str, Any], seconds: float) -> tuple[dict[str, Any], bool]:
    """The row of a client that was killed after some seconds and begun again, and whether it was still at work when it was killed."""
    process = child(asked)
    time.sleep(seconds)
    at_work = process.poll() is None
    every = psutil.Process(process.pid).children(recursive=True) if at_work else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(every, timeout=60)
    return watched(asked), at_work
