"""A grown forest as a file: R's own serialisation, with what Python needs beside it as an attribute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.encode import Encoder
from hte_bridge.engine import HeldOut
from hte_bridge.engines.forest.options import Options
from hte_bridge.engines.forest.units import Units
from hte_bridge.errors import UnreadableFile
from hte_bridge.files import plain
from hte_bridge.rlink import rds
from hte_bridge.rlink.kept import Kept
from hte_bridge.sealed import OPEN, seal, sealed, whole_file
from hte_bridge.study import Names, Study

# since 2 with a checksum, and outcome and treatment may be in units of their own; since 3 also of studies with fixed effects; 4 has controls
VERSION = 4
KIND = "a forest written by `fit.save`"


@dataclass(frozen=True, eq=False)
class Grown:
    """A grown forest as it is written and read: the fields of ``CausalForestFit``.

    Of one that was read, ``options`` are values by name, of which ``given`` makes what ``CausalForest`` takes.
    """

    options: Options | Mapping[str, Any]
    study: Study
    heldout: HeldOut
    forest: Kept
    info: Mapping[str, Any]
    units: Units
    unsettled: str

    @property
    def given(self) -> dict[str, Any]:
        """Options by name, lists of JSON as tuples."""
        assert isinstance(self.options, Mapping)
        tuned = self.options["tune_parameters"]
        return {**self.options, "tune_parameters": tuple(tuned) if isinstance(tuned, list) else tuned}


@dataclass(eq=False)
class Stored(Kept):
    """A forest in a file: looked at each time before R reads it, which may be long after it was loaded."""

    def make(self) -> dict[str, Any]:
        """Read the forest into R; its held-out columns.

        Raises
        ------
        UnreadableFile
            If the file is damaged, foreign, or holds what R could run.
        """
        path = Path(self.options["path"])
        if not path.exists():
            raise UnreadableFile(f"The forest's file must exist. There is no `{path}`. Check the path.")
        if not sealed(path):
            raise UnreadableFile(
                f"`{path.name}` must be {KIND}, with the checksum that it has. It has none: it is truncated, of another kind, or "
                "of an older hte_bridge. Save the forest again."
            )
        rds.check(path)
        made = super().make()
        if "about" not in made:
            raise UnreadableFile(
                f"`{path.name}` must be {KIND}. It is an R file of something else. Save the forest again."
            )
        return made


def save(fit: Grown, path: Path) -> Path:
    """Write a fit; see ``CausalForestFit.save``."""
    controls = fit.study.controls
    about = json.dumps({"version": 3 if controls is None else VERSION, **_about(fit)}, default=plain)
    with whole_file(path) as temporary:
        held = {**_panel(fit), "controls": controls}
        fit.forest.call("forest_write", held, {"path": str(temporary.resolve()), "about": about})
        with temporary.open("ab") as file:  # R reads one object, and nothing behind it
            file.write(OPEN)
        seal(temporary)
    return path


def load(path: Path) -> Grown:
    """Read a fit; see ``CausalForestFit.load``."""
    forest = Stored("forest_read", {}, {"path": str(path.resolve())})
    made = forest.make()
    about = json.loads(made["about"])
    if about["version"] > VERSION:
        raise UnreadableFile(
            f"`{path.name}` must be of format {VERSION} or older. It is of format {about['version']}, written by a "
            "newer hte_bridge. Upgrade hte_bridge to read it."
        )
    units = Units(**about["units"])
    study = _study(about, made, units)
    held = _held_within(about, made) if study.fixed_effects.shape[1] else units.heldout(made)
    return Grown(about["options"], study, held, forest, about["info"], units, about.get("unsettled", ""))


def _panel(fit: Grown) -> dict[str, Any]:
    """Columns of a study with fixed effects that its forest does not hold: codes, and held-out columns in the study's own units."""
    study, held = fit.study, fit.heldout
    if not study.fixed_effects.shape[1]:
        return {}
    codes = {
        "effects": study.fixed_effects.astype(np.float64),
        "cluster_codes": study.cluster.astype(np.float64),
    }
    names = ("cate", "outcome_mean", "propensity", "treatment_variance", "plug_in")
    return codes | {f"held_{name}": getattr(held, name) for name in names}


def _held_within(about: dict[str, Any], made: dict[str, Any]) -> HeldOut:
    return HeldOut(
        np.asarray(made["held_cate"]),
        np.asarray(made["held_outcome_mean"]),
        np.asarray(made["held_propensity"]),
        np.asarray(made["held_treatment_variance"]),
        about["lost"],
        np.asarray(made["held_plug_in"]),
    )


def _about(fit: Grown) -> dict[str, Any]:
    """What R's forest does not hold, as plain values."""
    study = fit.study
    assert isinstance(fit.options, Options)
    options = {each.name: getattr(fit.options, each.name) for each in fields(fit.options)}
    return {
        "options": options | {"outcome_mean": None, "propensity": None},  # the forest holds what it was given
        "names": asdict(study.names),
        "encoder": study.encoder.to_json(),
        "control_encoder": study.control_encoder.to_json(),
        "cluster_levels": study.cluster_levels if study.clustered else None,
        "known_propensity": study.propensity is not None,
        "dropped": dict(study.dropped),
        "index": None if isinstance(study.index, pd.RangeIndex) else study.index.to_numpy(),
        "binary": study.binary,
        "units": asdict(fit.units),
        "info": dict(fit.info),
        "effect_levels": [levels.tolist() for levels in study.effect_levels],
        "unsettled": fit.unsettled,
        "lost": fit.heldout.lost,
    }


def _study(about: dict[str, Any], made: dict[str, Any], units: Units) -> Study:
    """The study that the forest was grown on; the frame it came from is not stored."""
    n = len(made["Y"])
    stored: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in about["names"].items()}
    names = Names(**stored)
    clustered, weighted = names.cluster is not None, names.weight is not None
    levels = about["cluster_levels"]
    panel = bool(about.get("effect_levels"))
    codes = made["cluster_codes"] if panel else made["clusters"]
    return Study(
        outcome=units.mean(made["Y"]),
        treatment=units.propensity(made["W"]),
        covariates=made["X"],
        fixed_effects=_codes(made["effects"]).reshape(n, -1) if panel else np.empty((n, 0), dtype=np.int64),
        cluster=_codes(codes) if clustered else np.arange(n),
        weight=made["sample.weights"] if weighted else np.ones(n),
        propensity=units.propensity(made["propensity"]) if about["known_propensity"] else None,
        names=names,
        encoder=Encoder.from_json(about["encoder"]),
        effect_levels=tuple(np.asarray(each) for each in about.get("effect_levels", [])),
        cluster_levels=np.asarray(levels) if clustered else np.arange(n),
        dropped=about["dropped"],
        index=pd.RangeIndex(n) if about["index"] is None else pd.Index(about["index"]),
        binary=about["binary"],
        controls=made.get("controls"),
        control_encoder=Encoder.from_json(about.get("control_encoder", [])),
    )


def _codes(clusters: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.asarray(clusters).astype(np.int64)  # grf stores them from 0 on, as the study does
