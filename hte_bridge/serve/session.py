"""What R may ask: make a study, compare engines on it, and any verb that a table has."""

from __future__ import annotations

import inspect
import itertools
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from hte_bridge import __version__
from hte_bridge.comparison import Comparison
from hte_bridge.engine import Engine, Fit
from hte_bridge.errors import HteBridgeError, InvalidOption, nearest
from hte_bridge.serve.values import decode, encode
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, Table

ENGINE_HOMES = {  # name in R -> where its class lives
    "feols": ("engines.feols", "Feols"),
    "causal_forest": ("engines.causal_forest", "CausalForest"),
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
HOUSEKEEPING = ("fit", "scores", "per_engine")  # methods that return what R cannot hold


class FitsAreGone(HteBridgeError, LookupError):
    """A study or table of a Python process that has ended."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"Further questions need the {what}'s fits, which live in the Python process that made them. That process "
            "has ended; its rows are still here. Run hte_compare() again to ask more."
        )


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
        self.held: dict[str, Study | Table] = {}
        self._numbers = itertools.count(1)
        self.requests: Mapping[str, Callable[..., Any]] = {
            "study": self.study,
            "compare": self.compare,
            "verb": self.verb,
            "verbs": self.verbs,
            "add": self.add,
            "load": self.load,
            "doctor": self.doctor,
            "versions": self.versions,
        }

    def answer(self, request: Mapping[str, Any]) -> Any:
        """Do what a request asks; the answer as JSON."""
        for handle in request.get("drop") or ():
            self.held.pop(handle, None)
        arguments = {key: decode(value, self._from_r) for key, value in request["arguments"].items()}
        return encode(self.requests[request["do"]](**arguments), self.folder, self._to_r)

    def hold(self, value: Study | Table) -> str:
        """Keep a value; its handle."""
        handle = f"{type(value).__name__.lower()}{next(self._numbers)}"
        self.held[handle] = value
        return handle

    def _from_r(self, mark: dict[str, Any]) -> Any:
        """Studies, tables and engines that R names."""
        if "$held" in mark:
            if mark["$held"] not in self.held:
                raise FitsAreGone("table")
            return self.held[mark["$held"]]
        if "$file" in mark:
            return Table.load(mark["$file"])
        if "$engine" in mark:
            return make_engine(mark["$engine"], decode(mark["options"], self._from_r))
        return None

    def _to_r(self, value: Any) -> Any:
        if isinstance(value, Estimate):
            value = Table((value,))
        if isinstance(value, list) and value and all(isinstance(each, Estimate) for each in value):
            value = Table(tuple(value))
        return self._table(value) if isinstance(value, Table) else None

    def _table(self, table: Table) -> dict[str, Any]:
        """A table: its Parquet file, its printed text, and a handle for further questions."""
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".parquet", delete=False) as file:
            table.save(file.name)
        live = isinstance(table, Comparison)
        return {"$table": file.name, "text": str(table), "handle": self.hold(table), "live": live}

    def study(self, data: Any, options: dict[str, Any]) -> dict[str, Any]:
        """``Study.from_frame``, and what R prints of it."""
        check_arguments(Study.from_frame, options, "hte_study")
        study = Study.from_frame(data, **as_declared(Study.from_frame, options))
        named = {each.name: getattr(study.names, each.name) for each in fields(study.names)}
        about = {
            "n": study.n,
            "n_clusters": study.n_clusters,
            "clustered": study.clustered,
            "binary": study.binary,
        }
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
            raise FitsAreGone("table")
        fitted = [Fitted(each) for each in table.fits.values()]
        estimands = [name for name in dict.fromkeys(row.estimand for row in table.rows) if name in MAKERS]
        chance: dict[str, Any] = {"seed": table.folds.seed, "n_folds": table.folds.n_folds}
        return compare(table.study, [*fitted, engine], estimands=estimands, level=table.level, **chance)

    def verb(self, table: Table, name: str, options: dict[str, Any]) -> Any:
        """Any public method of a table."""
        verb = find_verb(table, name)
        if verb is None and find_verb(Comparison, name) is not None:
            raise FitsAreGone("table")
        if verb is None:
            offer = nearest(name, self.verbs(table)).replace("The columns are", "The verbs are")
            raise InvalidOption(f"A verb must be one that a table has. `{name}` is not. {offer}")
        check_arguments(verb, options, name)
        return verb(**as_declared(verb, options))

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
        """``Table.load``."""
        return Table.load(path)

    def versions(self) -> dict[str, str]:
        """Versions of this side."""
        return {"hte_bridge": __version__, "python": platform.python_version()}


def find_verb(table: Table | type[Table], name: str) -> Callable[..., Any] | None:
    """A verb of a table: its public method, or a function of ``between`` or ``report`` on it; None if there is none."""
    live = isinstance(table, Comparison) or table is Comparison
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
        offer = nearest(name, ENGINE_HOMES).replace("The columns are", "The engines are")
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
            offer = nearest(name, known).replace("The columns are", "They are")
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
