"""What R may ask: make a study, compare engines on it, and any verb that a table has."""

from __future__ import annotations

import inspect
import itertools
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from hte_bridge import __version__
from hte_bridge.arrays import Codes
from hte_bridge.comparing_arms import ArmsComparison, extended
from hte_bridge.comparison import Comparison
from hte_bridge.engine import Engine, Fit
from hte_bridge.engines.given import Given, Lookup
from hte_bridge.errors import HteBridgeError, InvalidNewData, InvalidOption, nearest
from hte_bridge.fitted_table import Answer
from hte_bridge.inference import joint_covariance
from hte_bridge.outcomes import OutcomesTable
from hte_bridge.serve.arguments import as_declared, check_arguments
from hte_bridge.serve.files import new_file, taken
from hte_bridge.serve.further import study_with_columns, with_columns
from hte_bridge.serve.studies import Made, about, kept, study_from_r
from hte_bridge.serve.values import Rows, decode, encode
from hte_bridge.serve.words import for_r
from hte_bridge.staggered.asked import refusal
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
LIVE = (Comparison, AdoptionComparison, ArmsComparison, OutcomesTable)  # tables that keep their fits
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
        self.held: dict[str, Made | Table] = {}
        self._numbers = itertools.count(1)
        self.requests: Mapping[str, Callable[..., Any]] = {
            "study": self.study,
            "study_of_files": self.study_of_files,
            "compare": self.compare,
            "compare_outcomes": self.compare_outcomes,
            "part": self.part,
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

    def hold(self, value: Made | Table) -> str:
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
        """``Study.from_frame`` or ``Study.from_formula``, and what R prints of it."""
        made = study_from_r(data, options, labels)
        return {"handle": self.hold(made), **about(made)}

    def study_of_files(self, path: str, options: dict[str, Any]) -> dict[str, Any]:
        """``Study.from_parquet``, and what R prints of it."""
        check_arguments(Study.from_parquet, options, "hte_study")
        made = Study.from_parquet(path, **as_declared(Study.from_parquet, options))
        return {"handle": self.hold(made), **about(made)}

    def compare(self, study: Study, engines: list[Engine | str], options: dict[str, Any]) -> Table:
        """``hte_bridge.compare``."""
        from hte_bridge.comparing import compare

        check_arguments(compare, options, "hte_compare")
        return compare(study, engines, **as_declared(compare, options))

    def compare_outcomes(
        self,
        study: Study,
        outcomes: list[str],
        engines: list[Engine | str],
        options: dict[str, Any],
        columns: Rows | None = None,
    ) -> Table:
        """``hte_bridge.compare_outcomes``; ``columns`` are the outcomes that the study was not made of."""
        from hte_bridge.outcomes import compare_outcomes

        check_arguments(compare_outcomes, options, "hte_compare_outcomes", partly=True)
        wider = study_with_columns(study, columns)
        return compare_outcomes(wider, outcomes, engines, **as_declared(compare_outcomes, options))

    def part(self, table: Table, name: str) -> dict[str, Any]:
        """The comparison of one arm with the control, or of one outcome, and which of R's rows it is about."""
        if not isinstance(table, ArmsComparison | OutcomesTable):
            raise InvalidOption(
                "A part is that of a table of several arms or several outcomes. This one has one of each. Ask it as it is."
            )
        own = table[name]
        return {"table": own, "kept": kept(own.study)}

    def add(self, table: Comparison | ArmsComparison, engine: Engine) -> Table:
        """The table with the rows of one more engine, on the same study and folds; nothing is fitted twice. Of several arms, in each contrast."""
        from hte_bridge.comparing import compared
        from hte_bridge.estimand import askable
        from hte_bridge.fitting import chosen_engines

        of_one = isinstance(engine, Given)  # its predictions are of one contrast's units
        if isinstance(table, ArmsComparison) and not of_one:
            return extended(table, lambda own: cast(Comparison, self.add(own, engine)))
        only_one(table, "hte_add()")
        one = cast(Comparison, table)
        estimands = [name for name in dict.fromkeys(row.estimand for row in one.rows) if name in askable()]
        engines = chosen_engines([*(Fitted(each) for each in one.fits.values()), engine], one.folds.seed)
        options: dict[str, Any] = {"folds": one.folds, "level": one.level, "on_error": one.on_error}
        return compared(one.study, engines, estimands=estimands, **options)

    def verb(self, table: Table, name: str, options: dict[str, Any], columns: Rows | None = None) -> Any:
        """Any public method of a table; ``columns`` are further ones of the study's data that the options name."""
        if isinstance(table, LIVE):
            at = cast(Any, getattr(table.study, "whole", table.study)).index
            if name == "cate" and isinstance(options.get("engine"), str):
                refuse_given(table, options["engine"])
            table = with_columns(table, columns)
            options = {key: each.on(at) if isinstance(each, Rows) else each for key, each in options.items()}
        verb = find_verb(table, name)
        if verb is None and isinstance(table, AdoptionComparison) and refusal(name):
            raise InvalidOption(refusal(name))
        if verb is None and find_verb(Comparison, name) is not None:
            only_one(table, f"{name}()")
        if verb is None:
            offer = nearest(name, self.verbs(table), kind="The verbs")
            raise InvalidOption(f"A verb must be one that a table has. `{name}` is not. {offer}")
        check_arguments(verb, options, name)
        answer = verb(**as_declared(verb, options))
        if name == "cate" and isinstance(table, ArmsComparison):
            return answer.reset_index(level="contrast")
        return for_r(answer) if name == "to_text" else answer

    def heldout(self, table: Comparison, engine: str) -> npt.NDArray[np.float64]:
        """Held-out CATE (n,) of an engine, comparable across folds."""
        only_one(table, "predict() and augment() without new data")
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
    """Cluster codes (n,) of the units that the rows of a request are about."""
    asked = getattr(arguments.get("table"), "study", None) or arguments.get("study")
    found: Codes | None = getattr(getattr(asked, "whole", asked), "cluster", None)
    return found


def only_one(table: Table, asked: str) -> None:
    """Refuse what is asked of one comparison where there are several, or none.

    Raises
    ------
    InvalidOption
        With the way to one of them.
    FitsAreGone
        If the table has no fits.
    """
    if isinstance(table, ArmsComparison | OutcomesTable):
        kind = "arm" if isinstance(table, ArmsComparison) else "outcome"
        raise InvalidOption(
            f'{asked} must be asked of one {kind}. The table has {len(table.tables)}. Write hte_part(table, "{next(iter(table.tables))}").'
        )
    if isinstance(table, AdoptionComparison):
        raise InvalidOption(
            f"{asked} must be asked of a treatment at one time. This table is of an adoption. hte_verbs(table) lists what it answers."
        )
    if not isinstance(table, Comparison):
        raise FitsAreGone()


def refuse_given(table: Any, engine: str) -> None:
    """Columns predicted elsewhere say nothing of new rows, and rows of a data frame of R's are always new.

    Raises
    ------
    InvalidNewData
        If the engine is one of these.
    """
    if isinstance(getattr(getattr(table, "fits", {}).get(engine), "at_rows", None), Lookup):
        raise InvalidNewData(
            f"Columns of hte_given() are known for the study's own rows alone. Effects of `{engine}` at new rows were "
            "asked for. Ask an engine that can predict, or hand the model over: hte_from_forest(forest)."
        )


def find_verb(table: Table | type[Table], name: str) -> Callable[..., Any] | None:
    """A verb of a table: its public method, or a function of ``between`` or ``report`` on it; None if there is none."""
    live = isinstance(table, LIVE) or table is Comparison
    adoption = isinstance(table, AdoptionComparison)  # has its own of these names, or none
    method = None if name.startswith("_") or name in HOUSEKEEPING else getattr(table, name, None)
    if callable(method):
        return cast(Callable[..., Any], method)
    if name not in BETWEEN or adoption or not (live or name == "report"):
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
