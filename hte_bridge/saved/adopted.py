"""An adoption and its engines' fits as parts of a file, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy.typing as npt
import pandas as pd

from hte_bridge.adoption import Adoption
from hte_bridge.adoption.cells import Design
from hte_bridge.adoption.clock import Clock
from hte_bridge.adoption.study import AdoptionNames
from hte_bridge.estimate import Estimate
from hte_bridge.saved.archive import Archive
from hte_bridge.saved.fits import Arrays, Packed, Unpacking, pack
from hte_bridge.saved.studies import labels_in, labels_out
from hte_bridge.staggered.fits import AdoptionFit, Linear, Stacked
from hte_bridge.staggered.leverage import CellRow
from hte_bridge.staggered.stack import stack_of
from hte_bridge.study import Folds

OWN = ("outcome", "rows", "cohort", "own", "cluster", "key")  # arrays of numbers


def adoption_parts(study: Adoption, arrays: dict[str, Any]) -> dict[str, Any]:
    """What JSON holds of an adoption; its numbers are put among ``arrays``, by ``study/``."""
    numbers = {name: getattr(study, name) for name in OWN} | {"periods": study.periods}
    arrays |= {f"study/{name}": value for name, value in numbers.items() if value is not None}
    clock = study.clock.labels
    said = {
        "names": asdict(study.names),
        "design": asdict(study.design),
        "clock": None if clock is None else [[key, text] for key, text in clock.items()],
        "dropped": dict(study.dropped),
        "said": list(study.said),
    }
    levels = {name: labels_out(getattr(study, name)) for name in ("cluster_levels", "unit_levels")}
    return {"study": said | levels}


def adoption_of(arrays: Arrays, about: Mapping[str, Any], frame: pd.DataFrame) -> Adoption:
    """The adoption of what ``adoption_parts`` wrote."""
    said = about["study"]
    names: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in said["names"].items()}
    numbers: dict[str, npt.NDArray[Any]] = {
        k.removeprefix("study/"): v for k, v in arrays.items() if k.startswith("study/")
    }
    clock = None if said["clock"] is None else {float(key): str(text) for key, text in said["clock"]}
    return Adoption(
        clock=Clock(numbers.pop("periods"), clock),
        design=Design(**said["design"]),
        names=AdoptionNames(**names),
        frame=frame,
        dropped=said["dropped"],
        said=tuple(said["said"]),
        cluster_levels=labels_in(said["cluster_levels"]),
        unit_levels=labels_in(said["unit_levels"]),
        **numbers,
    )


def pack_adopted(fit: AdoptionFit, folds: Folds | None, at: str, into: Packed) -> dict[str, Any]:
    """One engine's fit of an adoption under the name ``at``; what JSON holds of it."""
    about: dict[str, Any] = {"engine": fit.engine, "notes": list(fit.notes), "info": dict(fit.info)}
    about["saturated"] = fit.saturated
    if isinstance(fit.scored, Linear):
        return about | {"method": fit.scored.method}
    assert fit.stack_fit is not None
    assert folds is not None
    return about | {"stack": pack(fit.stack_fit, folds, f"{at}/stack", into, rankings=False)}


def fits_of(archive: Archive, arrays: Arrays, study: Adoption, folds: Folds | None) -> dict[str, AdoptionFit]:
    """The fits that ``pack_adopted`` wrote, by engine."""
    kept = archive.about["fits"]
    learned = folds is not None and any("stack" in each for each in kept.values())
    reader = Unpacking(archive, arrays, stack_of(study), folds) if learned and folds is not None else None
    out = {}
    for k, (name, each) in enumerate(kept.items()):
        common = (tuple(each["notes"]), each["info"], each["saturated"])
        if "method" in each:
            out[name] = AdoptionFit(each["engine"], study, Linear(study, each["method"]), None, "", *common)
            continue
        assert reader is not None
        stack_fit = reader.unpack(each["stack"], f"fit{k}/stack")
        assert stack_fit.heldout is not None
        scored = Stacked(study, stack_fit.heldout)
        out[name] = AdoptionFit(each["engine"], study, scored, stack_fit, "", *common)
    return out


def cell_rows(rows: Sequence[Estimate], arrays: Arrays) -> tuple[Estimate, ...]:
    """The rows with what tests need beside their influence values, where the file has it."""
    out: list[Estimate] = []
    for k, row in enumerate(rows):
        if f"rows/{k}/wide" not in arrays:
            out.append(row)
            continue
        known = {each.name: getattr(row, each.name) for each in fields(Estimate)}
        out.append(CellRow(**known, wide=arrays[f"rows/{k}/wide"], free=float(arrays[f"rows/{k}/free"])))
    return tuple(out)
