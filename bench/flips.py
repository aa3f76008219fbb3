"""What damage to files does: single bits flipped in each kind of file that we write, and read again.

``flips(seed, n)`` counts, by kind, how often a damaged file was refused with a sentence, read to equal numbers
(``harmless``), read to other numbers (``wrong``) or raised an error that is not ours (``raw``). The last two must be 0.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hte_bridge as hb
from hte_bridge.between.coverage import Store
from hte_bridge.engines.deep.store import checkpoint
from hte_bridge.engines.forest import CausalForestFit
from hte_bridge.errors import HteBridgeError

N = 80


def study(seed: int = 0) -> hb.Study:
    """A small study."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=N), "d": np.arange(N) % 2})
    frame["y"] = frame["d"] * (1 + frame["x"]) + rng.normal(size=N)
    return hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])


def table(path: Path) -> Callable[[Path], Any]:
    """A table in a file; how it is read."""
    hb.compare(study(), [hb.Feols()], estimands=["ate", "projection"], seed=1).save(path)

    def read(path: Path) -> Any:
        back = hb.Table.load(path)
        return back.to_frame().to_dict("list"), back.meta

    return read


def forest(path: Path) -> Callable[[Path], Any]:
    """A forest in a file."""
    hb.CausalForest(num_trees=20, seed=1, num_threads=1).fit(study()).save(path)

    def read(path: Path) -> Any:
        back = CausalForestFit.load(path)
        return back.cate(pd.DataFrame({"x": [-1.0, 0.0, 1.0]})).to_dict("list"), back.heldout.cate.tolist()

    return read


def fitted(path: Path) -> Callable[[Path], Any]:
    """A deep fit in a file."""
    hb.Deep(seed=1, n_folds=2, draws=4).fit(study()).save(path)

    def read(path: Path) -> Any:
        back = hb.DeepFit.load(path)
        return back.cate(pd.DataFrame({"x": [-1.0, 0.0, 1.0]})).to_dict("list"), back.heldout.cate.tolist()

    return read


def comparison(path: Path) -> Callable[[Path], Any]:
    """A comparison in a file, which answers again."""
    hb.compare(study(), [hb.Feols()], estimands=["ate"], seed=1).save(path)

    def read(path: Path) -> Any:
        back = hb.load(path)
        return back.to_frame().to_dict("list"), back.gate("x > 0").to_frame().to_dict("list")

    return read


def draws(path: Path) -> Callable[[Path], Any]:
    """Draws of ``coverage`` in a file."""
    marks = {"study": "a"}
    lines = [("feols", "none", draw, "error", draw / 7) for draw in range(200)]
    Store(path, marks).add(lines)
    return lambda path: Store(path, marks).frame.to_dict("list")


def work(path: Path) -> Callable[[Path], Any]:
    """A unit of work of a long fit; a damaged one is made anew, which counts as refused."""
    ours = checkpoint.Checkpoint(path.parent, "key")
    form = checkpoint.Format(lambda made: ({"made": made}, {}), lambda arrays, _: arrays["made"])
    ours.write("unit", form, np.random.default_rng(0).normal(size=500))
    ours.path("unit").rename(path)

    def read(path: Path) -> Any:
        path.rename(ours.path("unit"))
        try:
            back = ours.read("unit", form)
        finally:
            ours.path("unit").rename(path)
        if back is None:
            raise HteBridgeError("made anew")
        return back.tolist()

    return read


KINDS: Mapping[str, tuple[str, Callable[[Path], Callable[[Path], Any]]]] = {
    "table": ("t.parquet", table),
    "comparison": ("t.hte", comparison),
    "forest": ("f.rds", forest),
    "deep": ("d.npz", fitted),
    "coverage": ("c.parquet", draws),
    "checkpoint": ("w.npz", work),
}


def flips(seed: int, n: int, kinds: Mapping[str, Any] = KINDS) -> dict[str, Counter[str]]:
    """Counts by kind of what ``n`` single flipped bits each did."""
    rng, found = np.random.default_rng(seed), {}
    for kind, (name, make) in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            read = make(path)
            whole, truth = path.read_bytes(), repr(read(path))
            places = rng.integers(0, 8 * len(whole), n)
            found[kind] = Counter(outcome(path, read, flipped(whole, int(place)), truth) for place in places)
    return found


def flipped(content: bytes, place: int) -> bytes:
    """The bytes with one bit turned."""
    at, bit = divmod(place, 8)
    return content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]


def outcome(path: Path, read: Callable[[Path], Any], content: bytes, truth: str) -> str:
    """What reading damaged bytes came to."""
    path.write_bytes(content)
    try:
        return "harmless" if repr(read(path)) == truth else "wrong"
    except HteBridgeError:
        return "refused"
    except Exception as error:  # what is counted here
        return f"raw {type(error).__name__}"
