"""Sentences as a shell's user reads them: arguments of Python under the names of the shell's options."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from hte_bridge.free_memory import available

# arguments of Study.from_frame and compare -> options of `hte-bridge compare` (tests hold them against its signature)
OPTIONS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "outcome",
        "treatment",
        "covariates",
        "controls",
        "fixed_effects",
        "cluster",
        "weight",
        "propensity",
        "controls",
        "treatment_type",
        "control",
        "unit",
        "period",
        "first_treated",
        "anticipation",
        "index",
        "engines",
        "level",
        "seed",
    )
} | {"n_folds": "--folds"}
WRITTEN = {"treatment_type='continuous'": "--dose", 'treatment_type="continuous"': "--dose"}
COLUMNS = re.compile(
    r"(The (?:nearest|columns) (?:is|are) .*)", re.DOTALL
)  # names of the data, not of options
ASSIGNED = re.compile(r"`?\b(" + "|".join(OPTIONS) + r")=(\[[^\]]*\]|\([^)]*\)|'[^']*'|\"[^\"]*\"|[\w.]*)`?")


def in_shell(text: str, names: Collection[str] = ()) -> str:
    """A sentence with the shell's options in place of Python's arguments.

    Parameters
    ----------
    text : str
        Arguments stand in backticks, or are written out as `name=value`.
    names : collection of str
        What the user wrote on the line: a column may be called as an argument is, and is then left alone.

    Examples
    --------
    >>> in_shell("`covariates` must be at least one column. Give covariates=['age', 'sex'].")
    '`--covariates` must be at least one column. Give `--covariates age,sex`.'
    >>> in_shell("`weight` is not a column. The nearest is `cluster`.", ["weight"])
    '`weight` is not a column. The nearest is `cluster`.'
    """
    for python, shell in WRITTEN.items():
        text = text.replace(f"`{python}`", f"`{shell}`").replace(python, f"`{shell}`")
    text = ASSIGNED.sub(lambda found: f"`{OPTIONS[found[1]]}{_value(found[2])}`", text)
    head, *offered = COLUMNS.split(text, maxsplit=1)
    own = {name: option for name, option in OPTIONS.items() if name not in names}
    head = re.sub(r"`(\w+)`", lambda found: f"`{own[found[1]]}`" if found[1] in own else found[0], head)
    return "".join([head, *offered])


def _value(written: str) -> str:
    """A value as the shell takes it: names between commas, without Python's marks."""
    listed = [each.strip().strip("'\"") for each in written.strip("[]()").split(",")]
    engines = {"hb.Feols": "feols", "hb.CausalForest": "grf", "hb.Deep": "deep"}
    plain = ",".join(engines.get(each.partition("(")[0], each) for each in listed if each)
    return f" {plain}" if plain else ""


def read_whole(path: Path, named: Iterable[Any]) -> str:
    """What is said where several arms or an adoption of a large source are read into memory: how many rows, and what they take.

    Named columns as numbers, three times: as they are read, as a frame and as arrays.
    """
    import pyarrow.dataset as ds

    data = ds.dataset(path)
    listed = [each for given in named for each in (given if isinstance(given, list | tuple) else [given])]
    columns = {each for each in listed if isinstance(each, str)} & set(data.schema.names)
    rows = data.count_rows()
    return (
        f"Several arms and staggered adoptions are read into memory whole: {rows:,} rows of {len(columns)} columns, about "
        f"{3 * 8 * rows * len(columns) / 2**30:.2g} GB; {available() / 2**30:.2g} GB are free.\n"
    )
