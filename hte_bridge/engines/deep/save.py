"""A fit as one file: arrays (npz) and JSON, never code; what is read predicts the same numbers, bit for bit."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.encode import Encoder
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.basis.posterior import EffectPosterior
from hte_bridge.engines.deep.gp import inducing
from hte_bridge.engines.deep.gp import posterior as gp
from hte_bridge.engines.deep.mixture import Mixture
from hte_bridge.engines.deep.options import Options
from hte_bridge.engines.deep.result import Branch, FullFit
from hte_bridge.engines.deep.store.arrays import under
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.errors import UnreadableFile
from hte_bridge.files import plain
from hte_bridge.sealed import read_arrays, write_arrays
from hte_bridge.study import Folds, Names, Study

# since 4 with a checksum, and a posterior that speaks of sorted, standardised covariates; since 5 what the posterior says of itself stands apart; since 6
# a posterior may be by points, or a mixture of two; since 7 its surfaces may jump; since 8 their slopes are tied to lengths
FORMAT_VERSION, OLDEST = 8, 4
STUDY = ("outcome", "treatment", "covariates", "fixed_effects", "cluster", "weight", "propensity", "controls")
HELDOUT = ("cate", "outcome_mean", "propensity", "treatment_variance", "lost")


def write(options: Options, study: Study, folds: Folds, branch: Branch, path: Path) -> Path:
    """Write the fit; the file takes its name only when all is written. See ``DeepFit.save``."""
    posterior, values = branch.posterior.state()
    arrays: dict[str, Any] = {f"posterior/{name}": value for name, value in posterior.items()}
    arrays |= {f"study/{name}": getattr(study, name) for name in STUDY}
    arrays |= {f"heldout/{name}": getattr(branch.heldout, name) for name in HELDOUT}
    arrays |= {f"structure/{name}": value for name, value in branch.structure.items()}
    arrays |= {"folds/fold": folds.fold}
    given = {name: value for name, value in asdict(options).items() if name != "checkpoint"}
    about = {
        "names": asdict(study.names),
        "encoder": study.encoder.to_json(),
        "control_encoder": study.control_encoder.to_json(),
        "effect_levels": [levels.tolist() for levels in study.effect_levels],
        "cluster_levels": np.asarray(study.cluster_levels).tolist(),
        "dropped": dict(study.dropped),
        "binary": study.binary,
        "index": study.index.tolist(),
    }
    said = {name: getattr(branch, name) for name in ("kind", "notes", "converged")}
    said |= {"info": dict(branch.info), "posterior": dict(branch.full.info)}
    dealt = {"n_folds": folds.n_folds, "seed": folds.seed}
    state = {"version": FORMAT_VERSION, "options": given, "study": about, "branch": said, "folds": dealt}
    text = json.dumps(state | {"posterior": values}, default=plain)
    write_arrays(path, {name: np.asarray(value) for name, value in arrays.items() if value is not None}, text)
    return path


def read(path: Path) -> tuple[dict[str, Any], Study, Folds, Branch]:
    """Read a fit, its options by name; see ``DeepFit.load``.

    Raises
    ------
    UnreadableFile
        If the file is missing, truncated, of another kind, or of a newer version.
    """
    arrays, state = checked(path)
    held = HeldOut(**under(arrays, "heldout"))
    with threads(1):
        posterior = restored(state["branch"]["kind"], under(arrays, "posterior"), state["posterior"])
    said, given = state["branch"], state["options"]
    full = FullFit(posterior, said.get("posterior", {}), said["converged"], under(arrays, "structure"))
    branch = Branch(said["kind"], held, full, tuple(said["notes"]), said["info"])
    study = study_of(under(arrays, "study"), state["study"])
    options = given | {"hidden": tuple(given["hidden"])}
    return options, study, Folds(arrays["folds/fold"], **state["folds"]), branch


def checked(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and JSON of a file, or a sentence on what is wrong with it."""
    if not path.exists():
        raise UnreadableFile(f"The fit's file must exist. There is no `{path}`. Check the path.")
    arrays, state = read_arrays(path, "a whole file written by `fit.save`")
    if not OLDEST <= state["version"] <= FORMAT_VERSION:
        age = "a newer" if state["version"] > FORMAT_VERSION else "an older"
        raise UnreadableFile(
            f"`{path.name}` must be of format {FORMAT_VERSION}. It is of format {state['version']}, written by {age} "
            "hte_bridge. Read it with that version, or fit again."
        )
    return arrays, state


def restored(kind: str, arrays: dict[str, Any], values: dict[str, Any]) -> Any:
    """Posterior of the branch that wrote it; of many rows it may be by points, or a mixture of two accounts."""
    if "accounts" in values:
        each = enumerate(values["accounts"])
        accounts = tuple(restored(kind, under(arrays, str(k)), own) for k, own in each)
        return Mixture(accounts, arrays["shares"])
    if "root0" in arrays:
        return inducing.restore(arrays, values)
    return gp.restore(arrays, values) if kind == "kernel" else EffectPosterior.restore(arrays, values)


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
        control_encoder=Encoder.from_json(values.get("control_encoder", [])),
        effect_levels=tuple(np.asarray(levels) for levels in values["effect_levels"]),
        cluster_levels=np.asarray(values["cluster_levels"]),
        dropped=values["dropped"],
        index=pd.Index(values["index"]),
        binary=values["binary"],
    )
