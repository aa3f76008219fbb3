"""What R may ask: make a study, compare engines on it, and any verb that a table has."""

from __future__ import annotations

import inspect
import itertools
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge import __version__
from hte_bridge.adoption import Adoption
from hte_bridge.arrays import Codes
from hte_bridge.comparison import Comparison
from hte_bridge.engine import Engine, Fit
from hte_bridge.engines.given import Lookup
from hte_bridge.errors import HteBridgeError, InvalidNewData, InvalidOption, nearest
from hte_bridge.fitted_table import Answer
from hte_bridge.inference import joint_covariance
from hte_bridge.keys import row_keys
from hte_bridge.serve.files import new_file, taken
from hte_bridge.serve.values import Rows, decode, encode
from hte_bridge.serve.words import for_r
from hte_bridge.staggered.comparison import AdoptionComparison
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, Table

ENGINE_HOMES = {  # name in R -> where its class lives
    "feols": ("engines.feols", "Feols"),
    "causal_forest": ("engines.forest", "CausalForest"),
    "deep": ("engines.deep", "Deep"),
    "meta": ("engines.meta", "Meta"),
    "stack": ("engines.stack", "Stack"),
    "given": ("engines.given", "Given"),
    "forest": ("serve.grown", "GrownForest"),
}
BETWEEN = {  # verbs that are functions of a table
    "differences": "between.differences",
    "race": "between.race",
    "agreement": "between.agreement",
    "explain_gap": "between.explain_gap",
    "report": "report",
}
LIVE = (Comparison, AdoptionComparison)  # tables that keep their fits
HOUSEKEEPING = ("fit", "scores", "per_engine")  # methods that return what R cannot hold


class FitsAreGone(HteBridgeError, LookupError):
    """A table of a Python process that has ended, or that R has removed."""

    def __init__(self) -> None:
        super().__init__(
            "Further questions need the table's fits, which live in the Python process that made them. That process has "
            "ended, or the table that they belong to was removed; its rows are still here. Run hte_compare() again to "
            "ask more."
        )


class BadRequest(HteBridgeError, ValueError):
    """A message that asks for nothing this process knows."""


@dataclass(frozen=True)
class Fitted:
    """An engine that was fitted before."""

    found: Fit

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""
        return self.found.engine

    def fit(self, study: Study, folds: Folds | None = None) -> Fit:
        """The fit there is."""
        return self.found


class Session:
    """Studies and tables of one R session, by handle.

    Parameters
    ----------
    folder : Path
        R's temporary folder, for the columns of answers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: dict[str, Study | Adoption | Table] = {}
        self._numbers = itertools.count(1)
        self.requests: Mapping[str, Callable[..., Any]] = {
            "study": self.study,
            "compare": self.compare,
            "verb": self.verb,
            "verbs": self.verbs,
            "add": self.add,
            "heldout": self.heldout,
            "load": self.load,
            "doctor": self.doctor,
            "versions": self.versions,
        }

    def answer(self, request: Mapping[str, Any]) -> Any:
        """Do what a request asks; the answer as JSON.

        Raises
        ------
        BadRequest
            If it asks for nothing that is known, or its parts are of other types.
        """
        do, named, drop = request.get("do"), request.get("arguments", {}), request.get("drop") or []
        if not isinstance(do, str) or do not in self.requests:
            raise BadRequest(f"A request must be one of {', '.join(self.requests)}. {str(do)[:80]!r} is not.")
        if not isinstance(named, dict) or not isinstance(drop, list):
            raise BadRequest(
                "A request must have an object as `arguments` and a list as `drop`. This one does not."
            )
        for handle in drop:
            self.held.pop(str(handle), None)
        arguments = decode(named, self.folder, self._from_r)
        check_arguments(self.requests[do], arguments, do)
        cluster = cluster_of(arguments)
        return encode(self.requests[do](**arguments), self.folder, partial(self._to_r, cluster=cluster))

    def hold(self, value: Study | Adoption | Table) -> str:
        """Keep a value; its handle."""
        handle = f"{type(value).__name__.lower()}{next(self._numbers)}"
        self.held[handle] = value
        return handle

    def _from_r(self, mark: dict[str, Any]) -> Any:
        """Studies, tables and engines that R names."""
        if "$held" in mark:
            if mark["$held"] not in self.held:
                raise FitsAreGone()
            return self.held[mark["$held"]]
        if "$file" in mark:
            with taken(mark["$file"], self.folder) as file:
                return Table.load(file)
        if "$engine" in mark:
            return make_engine(mark["$engine"], decode(mark["options"], self.folder, self._from_r))
        return None

    def _to_r(self, value: Any, cluster: Codes | None) -> Any:
        if isinstance(value, Estimate):
            value = Table((value,))
        if isinstance(value, list) and value and all(isinstance(each, Estimate) for each in value):
            value = Table(tuple(value))
        return self._table(value, cluster) if isinstance(value, Table) else None

    def _table(self, table: Table, cluster: Codes | None) -> dict[str, Any]:
        """A table: its Parquet file, its printed text, a handle for further questions, and its rows' joint covariance."""
        file = new_file(self.folder)
        table.save(file)
        joint = encode(joint_covariance(table.rows, cluster), self.folder, lambda _: None)
        live = {"live": isinstance(table, (*LIVE, Answer)), "handle": self.hold(table)}
        notes = [for_r(row.note) for row in table.rows]
        warnings = [for_r(str(each)) for each in table.meta.get("warnings", ())]
        said = {"text": for_r(str(table)), "notes": notes, "warnings": warnings}
        return {"$table": file, **said, "joint": joint, **live}

    def study(self, data: Any, options: dict[str, Any], labels: Rows | None = None) -> dict[str, Any]:
        """``Study.from_frame``, and what R prints of it; ``labels`` are the data's row names where they are not 1 to n.

        R counts rows from 1 and Python from 0: chance belongs to the labels that the same data would have in Python.
        """
        check_arguments(Study.from_frame, options, "hte_study")
        if options.get("treatment_type") == "arms":
            raise InvalidOption(
                "Several arms are compared in Python. From R, `treatment_type` 'arms' was asked for. Make a study of each arm beside the control."
            )
        study = Study.from_frame(data, **as_declared(Study.from_frame, options))
        study = replace(study, key=python_keys(data.index, labels)[study.index - 1])
        named = {each.name: getattr(study.names, each.name) for each in fields(study.names)}
        about: dict[str, Any] = {
            "n": study.n,
            "n_clusters": study.n_clusters,
            "clustered": study.clustered,
            "binary": study.binary,
        }
        if study.dropped:
            about["kept"] = np.asarray(study.index, dtype=np.int64)  # which of R's rows, counted from 1
        return {"handle": self.hold(study), **about, "names": named, "dropped": dict(study.dropped)}

    def compare(self, study: Study, engines: list[Engine | str], options: dict[str, Any]) -> Table:
        """``hte_bridge.compare``."""
        from hte_bridge.comparing import compare

        check_arguments(compare, options, "hte_compare")
        return compare(study, engines, **as_declared(compare, options))

    def add(self, table: Comparison, engine: Engine) -> Table:
        """The table with the rows of one more engine, on the same study and folds; nothing is fitted twice."""
        from hte_bridge.comparing import compare
        from hte_bridge.estimands.registry import MAKERS

        if not isinstance(table, Comparison):
            raise FitsAreGone()
        fitted = [Fitted(each) for each in table.fits.values()]
        estimands = [name for name in dict.fromkeys(row.estimand for row in table.rows) if name in MAKERS]
        chance: dict[str, Any] = {"seed": table.folds.seed, "n_folds": table.folds.n_folds}
        return compare(table.study, [*fitted, engine], estimands=estimands, level=table.level, **chance)

    def verb(self, table: Table, name: str, options: dict[str, Any], columns: Rows | None = None) -> Any:
        """Any public method of a table; ``columns`` are further ones of the study's data that the options name."""
        if isinstance(table, Comparison | AdoptionComparison):
            at = table.study.index
            if name == "cate" and isinstance(options.get("engine"), str):
                refuse_given(table, options["engine"])
            table = with_columns(table, columns)
            options = {key: each.on(at) if isinstance(each, Rows) else each for key, each in options.items()}
        verb = find_verb(table, name)
        if verb is None and find_verb(Comparison, name) is not None:
            raise FitsAreGone()
        if verb is None:
            offer = nearest(name, self.verbs(table), kind="The verbs")
            raise InvalidOption(f"A verb must be one that a table has. `{name}` is not. {offer}")
        check_arguments(verb, options, name)
        answer = verb(**as_declared(verb, options))
        return for_r(answer) if name == "to_text" else answer

    def heldout(self, table: Comparison, engine: str) -> npt.NDArray[np.float64]:
        """Held-out CATE (n,) of an engine, comparable across folds."""
        if not isinstance(table, Comparison):
            raise FitsAreGone()
        return table.heldout_cate(engine)[0]

    def verbs(self, table: Table) -> dict[str, str]:
        """Every verb of a table and its arguments."""
        found = {name: find_verb(table, name) for name in sorted({*dir(table), *BETWEEN})}
        return {name: str(inspect.signature(verb)) for name, verb in found.items() if verb is not None}

    def doctor(self) -> dict[str, Any]:
        """What is installed on this side; R itself is looked at by R."""
        from hte_bridge import doctor

        parts = (doctor.python(), doctor.library("pyfixest"), doctor.library("torch"))
        return {part.name: {each.name: getattr(part, each.name) for each in fields(part)} for part in parts}

    def load(self, path: str) -> Table:
        """``hte_bridge.load``."""
        from hte_bridge.saved.read import load

        return load(path)

    def versions(self) -> dict[str, str]:
        """Versions of this side."""
        return {"hte_bridge": __version__, "python": platform.python_version()}


def cluster_of(arguments: Mapping[str, Any]) -> Codes | None:
    """Cluster codes (n,) of the study that a request is about."""
    asked = arguments.get("table")
    study = asked.study if isinstance(asked, Comparison) else arguments.get("study")
    return study.cluster if isinstance(study, Study) else None


def python_keys(index: pd.RangeIndex, labels: Rows | None) -> npt.NDArray[np.uint64]:
    """Keys (n,) of the rows of R's data, by which folds are dealt: whole row names are counted from 0."""
    known = index if labels is None else pd.Index(labels.frame.iloc[:, 0])
    return row_keys(known - 1 if pd.api.types.is_integer_dtype(known.dtype) else known)


def with_columns(table: Any, columns: Rows | None) -> Any:
    """The same table and fits, with further columns in the frame of its study."""
    if columns is None or table.study.frame is None:
        return table
    frame = table.study.frame.assign(**columns.on(table.study.index))
    return replace(table, study=replace(table.study, frame=frame))


def refuse_given(table: Comparison | AdoptionComparison, engine: str) -> None:
    """Columns predicted elsewhere say nothing of new rows, and rows of a data frame of R's are always new.

    Raises
    ------
    InvalidNewData
        If the engine is one of these.
    """
    if isinstance(getattr(table.fits.get(engine), "at_rows", None), Lookup):
        raise InvalidNewData(
            f"Columns of hte_given() are known for the study's own rows alone. Effects of `{engine}` at new rows were "
            "asked for. Ask an engine that can predict, or hand the model over: hte_from_forest(forest)."
        )


def find_verb(table: Table | type[Table], name: str) -> Callable[..., Any] | None:
    """A verb of a table: its public method, or a function of ``between`` or ``report`` on it; None if there is none."""
    live = isinstance(table, LIVE) or table is Comparison
    method = None if name.startswith("_") or name in HOUSEKEEPING else getattr(table, name, None)
    if callable(method):
        return cast(Callable[..., Any], method)
    if name not in BETWEEN or not (live or name == "report"):
        return None
    return partial(getattr(import_module(f"hte_bridge.{BETWEEN[name]}"), name), table)


def make_engine(name: str, options: Mapping[str, Any]) -> Engine:
    """The engine of a name with its options.

    Raises
    ------
    InvalidOption
        For an engine or an option that is not known, with the nearest.
    """
    if name not in ENGINE_HOMES:
        offer = nearest(name, ENGINE_HOMES, kind="The engines")
        raise InvalidOption(f"An engine must be one that hte_bridge has. `{name}` is not. {offer}")
    module, kind = ENGINE_HOMES[name]
    made = getattr(import_module(f"hte_bridge.{module}"), kind)
    check_arguments(made, options, f"hte_{name}")
    engine: Engine = made(**as_declared(made, options))
    return engine


def check_arguments(function: Callable[..., Any], options: Mapping[str, Any], called: str) -> None:
    """Every option is an argument of the function, and none that it needs is missing.

    Raises
    ------
    InvalidOption
        With the nearest name where one is not known.
    """
    known = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in known.values()):
        return
    for name in options:
        if name not in known:
            offer = nearest(name, known, kind="They")
            raise InvalidOption(
                f"`{called}()` must be given arguments that it has. `{name}` is not one. {offer}"
            )
    needed = [
        name
        for name, each in known.items()
        if each.default is each.empty and each.kind is not each.VAR_POSITIONAL
    ]
    missing = [name for name in needed if name not in options and name not in ("df", "study", "engines")]
    if missing:
        raise InvalidOption(
            f"`{called}()` needs `{missing[0]}`. It was not given. Add {missing[0]} = ... to the call."
        )


def as_declared(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with R's vectors of length one as the lists that the function declares, and whole numbers as int.

    Examples
    --------
    >>> def f(by: Sequence[str], seed: int) -> None: ...
    >>> as_declared(f, {"by": "age", "seed": 1.0})
    {'by': ['age'], 'seed': 1}
    """
    parameters = inspect.signature(function).parameters
    out = {}
    for name, value in options.items():
        declared = str(parameters[name].annotation) if name in parameters else ""
        if (
            isinstance(value, str)
            and declared.startswith(("Sequence[", "list[", "tuple["))
            and "| str" not in declared
        ):
            value = [value]
        if isinstance(value, float) and value.is_integer() and declared.startswith("int"):
            value = int(value)
        out[name] = value
    return out
