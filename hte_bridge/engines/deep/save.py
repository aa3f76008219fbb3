"""A fit as one file: arrays (npz) and JSON, never code; what is read predicts the same numbers, bit for bit."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hte_bridge.encode import Encoder
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.contract import Branch, Whole
from hte_bridge.engines.deep.threads import threads
from hte_bridge.errors import UnreadableFile
from hte_bridge.files import plain
from hte_bridge.sealed import read_arrays, write_arrays
from hte_bridge.study import Folds, Names, Study

if TYPE_CHECKING:
    from hte_bridge.engines.deep.fit import DeepFit

FORMAT_VERSION = 4  # since 4 with a checksum, and a posterior that speaks of sorted, standardised covariates
STUDY = ("outcome", "treatment", "covariates", "fixed_effects", "cluster", "weight", "propensity")
HELDOUT = ("cate", "outcome_mean", "propensity", "treatment_variance", "lost")


def save(fit: DeepFit, path: Path) -> Path:
    """Write the fit; the file takes its name only when all is written. See ``DeepFit.save``."""
    posterior, values = fit.branch.posterior.state()
    arrays: dict[str, Any] = {f"posterior/{name}": value for name, value in posterior.items()}
    arrays |= {f"study/{name}": getattr(fit.study, name) for name in STUDY}
    arrays |= {f"heldout/{name}": getattr(fit.heldout, name) for name in HELDOUT}
    arrays |= {f"structure/{name}": value for name, value in fit.branch.structure.items()}
    arrays |= {"folds/fold": fit.folds.fold}
    options = {name: value for name, value in asdict(fit.options).items() if name != "checkpoint"}
    study = {
        "names": asdict(fit.study.names),
        "encoder": fit.study.encoder.to_json(),
        "effect_levels": [levels.tolist() for levels in fit.study.effect_levels],
        "cluster_levels": np.asarray(fit.study.cluster_levels).tolist(),
        "dropped": dict(fit.study.dropped),
        "binary": fit.study.binary,
        "index": fit.study.index.tolist(),
    }
    branch = {name: getattr(fit.branch, name) for name in ("kind", "notes", "converged")}
    branch["info"] = {**fit.branch.info, **fit.branch.whole.info}
    folds = {"n_folds": fit.folds.n_folds, "seed": fit.folds.seed}
    state = {"version": FORMAT_VERSION, "options": options, "study": study, "branch": branch, "folds": folds}
    text = json.dumps(state | {"posterior": values}, default=plain)
    write_arrays(path, {name: np.asarray(value) for name, value in arrays.items() if value is not None}, text)
    return path


def load(path: Path) -> DeepFit:
    """Read a fit; see ``DeepFit.load``.

    Raises
    ------
    UnreadableFile
        If the file is missing, truncated, of another kind, or of a newer version.
    """
    from hte_bridge.engines.deep import Deep
    from hte_bridge.engines.deep.fit import DeepFit

    arrays, state = read(path)
    options = state["options"] | {"hidden": tuple(state["options"]["hidden"])}
    held = HeldOut(**under(arrays, "heldout"))
    with threads(1):
        posterior = restored(state["branch"]["kind"], under(arrays, "posterior"), state["posterior"])
    whole = Whole(posterior, converged=state["branch"]["converged"], structure=under(arrays, "structure"))
    branch = Branch(
        state["branch"]["kind"], held, whole, tuple(state["branch"]["notes"]), state["branch"]["info"]
    )
    folds = Folds(arrays["folds/fold"], **state["folds"])
    return DeepFit(Deep(**options), study_of(under(arrays, "study"), state["study"]), folds, branch)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and JSON of a file, or a sentence on what is wrong with it."""
    if not path.exists():
        raise UnreadableFile(f"The fit's file must exist. There is no `{path}`. Check the path.")
    arrays, state = read_arrays(path, "a whole file written by `fit.save`")
    if state["version"] != FORMAT_VERSION:
        age = "a newer" if state["version"] > FORMAT_VERSION else "an older"
        raise UnreadableFile(
            f"`{path.name}` must be of format {FORMAT_VERSION}. It is of format {state['version']}, written by {age} "
            "hte_bridge. Read it with that version, or fit again."
        )
    return arrays, state


def under(arrays: dict[str, Any], folder: str) -> dict[str, Any]:
    """Arrays of one folder of the file, without its name.

    Examples
    --------
    >>> under({"a/x": 1, "b/x": 2}, "b")
    {'x': 2}
    """
    return {
        name.removeprefix(f"{folder}/"): value
        for name, value in arrays.items()
        if name.startswith(f"{folder}/")
    }


def restored(kind: str, arrays: dict[str, Any], values: dict[str, Any]) -> Any:
    """Posterior of the branch that wrote it."""
    if kind == "kernel":
        from hte_bridge.engines.deep.kernel_posterior import restore

        return restore(arrays, values)
    from hte_bridge.engines.deep.surface import Surface

    return Surface.restore(arrays, values)


def study_of(arrays: dict[str, Any], values: dict[str, Any]) -> Study:
    """The study without the frame that it came from."""
    names: dict[str, Any] = {
        name: tuple(each) if isinstance(each, list) else each for name, each in values["names"].items()
    }
    columns: dict[str, Any] = dict.fromkeys(STUDY) | arrays
    return Study(
        **columns,
        names=Names(**names),
        encoder=Encoder.from_json(values["encoder"]),
        effect_levels=tuple(np.asarray(levels) for levels in values["effect_levels"]),
        cluster_levels=np.asarray(values["cluster_levels"]),
        dropped=values["dropped"],
        index=pd.Index(values["index"]),
        binary=values["binary"],
    )
