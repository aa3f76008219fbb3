"""Fits as parts of a file: held-out predictions, what each engine needs to predict, and its ranking by earlier folds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.crossfit import PredictedFit
from hte_bridge.engine import Fit, HeldOut
from hte_bridge.engines.deep import Deep, DeepFit
from hte_bridge.engines.feols import Feols, FeolsFit
from hte_bridge.engines.forest import CausalForest, CausalForestFit
from hte_bridge.engines.forest.file import Stored
from hte_bridge.engines.forest.units import Units
from hte_bridge.engines.given import Lookup
from hte_bridge.engines.regressed import Regression
from hte_bridge.engines.stack import Combined
from hte_bridge.errors import HteBridgeError, InvalidNewData
from hte_bridge.estimands.sequential import keep, sequential
from hte_bridge.saved.archive import Archive
from hte_bridge.study import Folds, Study

Arrays = Mapping[str, npt.NDArray[Any]]
GIVEN = ("outcome_mean", "propensity")  # options of a forest that may be arrays


@dataclass
class Packed:
    """What is written: arrays by name, files by member, and plain values of each fit."""

    folder: Path
    arrays: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def room(self, at: str, ending: str) -> Path:
        """A path for a file of a fit."""
        name = f"{at.replace('/', '-')}{ending}"
        self.files[name] = self.folder / name
        return self.files[name]

    def put(self, at: str, record: Any, names: tuple[str, ...] = ()) -> dict[str, Any]:
        """Arrays of a dataclass under ``at``; its other fields as they are."""
        rest = {}
        for each in fields(record):
            value = getattr(record, each.name)
            if isinstance(value, np.ndarray):
                self.arrays[f"{at}/{each.name}"] = value
            elif not names or each.name in names:
                rest[each.name] = value
        return rest


def pack(fit: Fit, folds: Folds, at: str, into: Packed, rankings: bool = True) -> dict[str, Any]:
    """One fit under the name ``at``; what JSON holds of it."""
    about: dict[str, Any] = {"engine": fit.engine}
    if fit.heldout is not None:
        about["heldout"] = into.put(f"{at}/heldout", fit.heldout)
    if rankings:
        try:
            into.arrays[f"{at}/sequential"] = sequential(fit, folds).priority
        except HteBridgeError as error:
            about["unranked"] = str(error)
    if isinstance(fit, FeolsFit):
        return about | _pack_feols(fit, at, into)
    if isinstance(fit, CausalForestFit):
        return about | _pack_forest(fit, at, into)
    if isinstance(fit, DeepFit):
        fit.save(into.room(at, ".npz"))
        return about | {"kind": "deep", "file": f"{at.replace('/', '-')}.npz"}
    return about | _pack_predicted(fit, folds, at, into)


def _pack_feols(fit: FeolsFit, at: str, into: Packed) -> dict[str, Any]:
    kept = {
        key: into.put(f"{at}/regression/{k}", each) for k, (key, each) in enumerate(fit.regressions.items())
    }
    return {
        "kind": "feols",
        "options": asdict(fit.options),
        "regressions": kept,
        "reasons": dict(fit.reasons),
        "doubts": list(fit._doubts),
    }


def _pack_forest(fit: CausalForestFit, at: str, into: Packed) -> dict[str, Any]:
    fit.save(into.room(at, ".rds"))
    options = {each.name: getattr(fit.options, each.name) for each in fields(fit.options)}
    for name in GIVEN:
        if options[name] is not None:
            into.arrays[f"{at}/given/{name}"] = np.asarray(options.pop(name), dtype=np.float64)
    plain = {
        "options": options,
        "info": dict(fit.info),
        "units": asdict(fit.units),
        "unsettled": fit.unsettled,
    }
    return plain | {"kind": "forest", "file": f"{at.replace('/', '-')}.rds"}


def _pack_predicted(fit: Fit, folds: Folds, at: str, into: Packed) -> dict[str, Any]:
    """Held-out predictions, notes and reasons of any other fit; and how it predicts, where that is numbers."""
    said: dict[str, Any] = {
        "notes": list(fit.notes),
        "reasons": dict(fit.reasons),
        "info": dict(fit.info),
        "kind": "predicted",
    }
    predict = getattr(fit, "at_rows", None)
    if isinstance(predict, Lookup):
        into.arrays[f"{at}/lookup"] = np.column_stack([predict.cate, predict.std_error])
    if isinstance(predict, Combined):
        into.arrays[f"{at}/weights"] = predict.weights
        parts = enumerate(predict.fits)
        said["parts"] = [pack(each, folds, f"{at}/{k}", into, rankings=False) for k, each in parts]
    return said


@dataclass(frozen=True)
class NotKept:
    """How a fit predicts new rows whose learner no file can hold without code."""

    engine: str

    def __call__(self, frame: pd.DataFrame) -> Any:
        """Raise the sentence.

        Raises
        ------
        InvalidNewData
            Always.
        """
        raise InvalidNewData(
            f"Effects at new rows need the learner of `{self.engine}`. The file keeps its held-out predictions alone: a learner from "
            "elsewhere is code, and no code is read from files. Fit the study again, or ask another engine."
        )


@dataclass(eq=False)
class Inside(Stored):
    """A forest within a comparison's file: taken out when R reads it."""

    def make(self) -> dict[str, Any]:
        """Read the forest into R; its held-out columns."""
        inside = Archive(Path(self.options["archive"]), {})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "forest.rds")
            path.write_bytes(inside.member(self.options["member"]))
            outer, self.options = self.options, {"path": str(path)}
            try:
                return super().make()
            finally:
                self.options = outer


@dataclass(frozen=True)
class Unpacking:
    """Where fits are read from."""

    archive: Archive
    arrays: Arrays
    study: Study
    folds: Folds

    def unpack(self, about: Mapping[str, Any], at: str) -> Fit:
        """The fit that ``pack`` wrote under ``at``."""
        made: Fit = {
            "feols": self._feols,
            "forest": self._forest,
            "deep": self._deep,
            "predicted": self._predicted,
        }[about["kind"]](about, at)
        if f"{at}/sequential" in self.arrays:
            keep(made, self.folds, self.arrays[f"{at}/sequential"])
        return made

    def _under(self, at: str) -> dict[str, Any]:
        found = {k.removeprefix(f"{at}/"): v for k, v in self.arrays.items() if k.startswith(f"{at}/")}
        return {k: v for k, v in found.items() if "/" not in k}

    def _heldout(self, about: Mapping[str, Any], at: str) -> HeldOut | None:
        return HeldOut(**about["heldout"], **self._under(f"{at}/heldout")) if "heldout" in about else None

    def _feols(self, about: Mapping[str, Any], at: str) -> Fit:
        regressions = {
            key: Regression(**each, **self._under(f"{at}/regression/{k}"))
            for k, (key, each) in enumerate(about["regressions"].items())
        }
        fit = FeolsFit(Feols(**about["options"]), self.study, self.folds, regressions)
        kept = {
            "_learned": (self._heldout(about, at), about["reasons"].get("*", "")),
            "_doubts": tuple(about["doubts"]),
        }
        vars(fit).update(kept)  # what is worked out once is there
        return fit

    def _forest(self, about: Mapping[str, Any], at: str) -> Fit:
        options = dict(about["options"]) | self._under(f"{at}/given")
        if isinstance(options["tune_parameters"], list):
            options["tune_parameters"] = tuple(options["tune_parameters"])
        where = {"archive": str(self.archive.path.resolve()), "member": self.archive.room + about["file"]}
        held = self._heldout(about, at)
        assert held is not None
        return CausalForestFit(
            CausalForest(**options),
            self.study,
            held,
            Inside("forest_read", {}, where),
            about["info"],
            Units(**about["units"]),
            about["unsettled"],
        )

    def _deep(self, about: Mapping[str, Any], at: str) -> Fit:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "deep.npz")
            path.write_bytes(self.archive.member(about["file"]))
            fit = DeepFit.load(path)
        return replace(fit, study=self.study, folds=self.folds)

    def _predicted(self, about: Mapping[str, Any], at: str) -> Fit:
        found = self._under(at)
        predict: Any = NotKept(about["engine"])
        if "lookup" in found:
            cate, std_error = found["lookup"].T
            predict = Lookup(self.study.index, cate, std_error)
        if "weights" in found:
            parts = tuple(self.unpack(each, f"{at}/{k}") for k, each in enumerate(about["parts"]))
            predict = Combined(parts, found["weights"])
        held = self._heldout(about, at)
        said = (tuple(about["notes"]), about["reasons"], about["info"])
        return PredictedFit(about["engine"], self.study, held, predict, *said)


def options_kept(fit: Fit) -> bool:
    """Whether a fit that was read can be fitted again: its options are numbers and words."""
    return isinstance(getattr(fit, "options", None), Feols | CausalForest | Deep)
