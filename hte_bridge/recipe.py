"""The lines of Python that make a comparison again from the path of its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import numpy as np

from hte_bridge.engine import Engine
from hte_bridge.study import Study

PLACEHOLDER = "data.parquet"
PLAIN = (bool, int, float, str, type(None))


def recipe(study: Study, engines: Sequence[Engine], level: float, seed: int, n_folds: int) -> str:
    """Code that reads the data, makes the study, and compares; a comment where something is not known by a name.

    Parameters
    ----------
    study, engines, level, seed, n_folds
        As they were given to ``compare``.
    """
    names, frame = study.names, study.frame
    path = None if frame is None else frame.attrs.get("path")
    roles: dict[str, Any] = {"outcome": names.outcome, "treatment": names.treatment}
    roles["covariates"] = [str(each) for each in study.encoder.sources]
    for role in ("controls", "fixed_effects", "cluster", "weight", "propensity"):
        value = getattr(names, role, None)
        if value is not None and value != ():
            roles[role] = list(value) if isinstance(value, tuple) else value
    labels = getattr(frame, "named_labels", ())
    if labels:
        roles["index"] = list(labels)
    if roles.get("controls"):
        roles["covariates"] = [each for each in roles["covariates"] if each not in roles["controls"]]
    lines = ["import hte_bridge as hb", ""]
    lines += [] if path else [f"# {PLACEHOLDER} stands for the file of your data"]
    door = "from_frame" if study.stored is None else "from_parquet"
    lines += [f"study = hb.Study.{door}(", f"    {path or PLACEHOLDER!r},"]
    short = [f"{role}={value!r}," for role, value in roles.items() if not isinstance(value, list)]
    lines += [f"    {' '.join(short)}"]
    lines += [f"    {role}={value!r}," for role, value in roles.items() if isinstance(value, list)]
    if study.propensity is not None and names.propensity is None:
        known = set(np.unique(study.propensity).tolist())
        lines += [
            f"    propensity={known.pop()!r}," if len(known) == 1 else "    propensity=...,  # the known ones"
        ]
    if not study.binary and set(np.unique(study.treatment)) <= set(range(100)):
        lines += ["    treatment_type='continuous',"]
    lines += [")", "engines = [", *(f"    {call(engine)}," for engine in engines), "]"]
    lines += [f"table = hb.compare(study, engines, level={level!r}, seed={seed!r}, n_folds={n_folds!r})"]
    return "\n".join([*lines, "print(table)"])


def call(engine: Any) -> str:
    """An engine as it is written, without the options that are defaults.

    Examples
    --------
    >>> from hte_bridge import Feols
    >>> from hte_bridge.recipe import call
    >>> call(Feols()), call(Feols(label="second", seed=3))
    ('hb.Feols()', "hb.Feols(seed=3, label='second')")
    """
    if not is_dataclass(engine):
        return f"...,  # {type(engine).__name__}"
    said = []
    for each in fields(engine):
        value = getattr(engine, each.name)
        if not each.init or value is each.default or (_plain(value) and value == _default(each)):
            continue
        said.append(f"{each.name}={value!r}" if _plain(value) else f"{each.name}=...")
    return f"hb.{type(engine).__name__}({', '.join(said)})"


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _plain(value: Any) -> bool:
    """Whether a value is written as it is."""
    return isinstance(value, PLAIN) or (
        isinstance(value, list | tuple) and all(isinstance(each, PLAIN) for each in value)
    )
