"""What stands first under a table: warnings of a comparison, and of several comparisons in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hte_bridge.engine import HeldOut
from hte_bridge.rows import too_few
from hte_bridge.scores import Weak, by_lot, overlap_warning, weak_overlap
from hte_bridge.study import Study


def warned(study: Study, held: Mapping[str, HeldOut]) -> dict[str, Any]:
    """``warnings`` of a comparison, and under ``weak`` the overlap of the engines that they tell of.

    Parameters
    ----------
    study : Study
    held : mapping of str to HeldOut
        By engine.
    """
    discrete = study.binary and not study.fixed_effects.shape[1]
    weak = {name: found for name, each in held.items() if (found := weak_overlap(each, discrete))}
    lots = (f"{name}: {lot}" for name, each in held.items() if (lot := by_lot(study, each)))
    few = "" if study.undefended else too_few(study)
    said = [
        *(f"data: {each}" for each in study.notes),
        f"all engines: {few}" if few else "",
        overlap_warning(weak),
        next(lots, ""),  # the advice is the same whichever engine shows it
    ]
    return {
        "warnings": [each for each in said if each],
        "weak": {name: list(each) for name, each in weak.items()},
    }


def of_several(metas: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Warnings of several comparisons, by the name of each: what all say once, their overlap in one sentence, and the rest by name.

    Examples
    --------
    >>> weak = {"feols": [0.01, 0.6, 0.2]}
    >>> one = {"warnings": ["data: few rows", overlap_warning(weak)], "weak": weak}
    >>> of_several({"low": one, "high": {"warnings": ["data: few rows", "grf: few trees"]}})[0::2]
    ['data: few rows', 'high, grf: few trees']
    """
    rest = {
        name: [each for each in meta["warnings"] if each != overlap_warning(_weak(meta))]
        for name, meta in metas.items()
    }
    shared = [each for each in next(iter(rest.values())) if all(each in said for said in rest.values())]
    weak = {
        f"{name}, {engine}": found for name, meta in metas.items() for engine, found in _weak(meta).items()
    }
    own = [f"{name}, {each}" for name, said in rest.items() for each in said if each not in shared]
    return [each for each in (*shared, overlap_warning(weak), *own) if each]


def _weak(meta: Mapping[str, Any]) -> dict[str, Weak]:
    return {name: (low, high, far) for name, (low, high, far) in (meta.get("weak") or {}).items()}
