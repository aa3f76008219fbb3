"""Files of Stata and SPSS: values of a column whose every value has a label are levels of a category, others stay numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hte_bridge.errors import PackageUnavailable
from hte_bridge.shown import first_names

NOTE = "hte_bridge_taken"  # of ``frame.attrs``: what a reader should know of how a file was read


def told(frame: pd.DataFrame, said: str) -> pd.DataFrame:
    """The frame with a sentence on how its file was read."""
    frame.attrs[NOTE] = said
    return frame


def read_stata(path: Path) -> pd.DataFrame:
    """A ``.dta`` file: labels as unordered categories, labels of variables in ``attrs["labels"]``.

    Raises
    ------
    ValueError, OSError
        If it is no such file.
    """
    with pd.read_stata(path, iterator=True) as reader:
        variables, labels = reader.variable_labels(), reader.value_labels()
        raw = reader.read(convert_categoricals=False)  # type: ignore[attr-defined]
        named = dict(zip(raw.columns, reader._lbllist, strict=True))  # type: ignore[attr-defined]
    return labelled(path, raw, {name: labels[of] for name, of in named.items() if of in labels}, variables)


def read_spss(path: Path) -> pd.DataFrame:
    """A ``.sav`` file by pyreadstat: labels as unordered categories, user-missing values as missing.

    Raises
    ------
    PackageUnavailable
        If pyreadstat is not installed.
    ValueError
        If it is no such file.
    """
    try:
        import pyreadstat
    except ImportError as error:
        raise PackageUnavailable(
            f"SPSS files are read by the package pyreadstat. `{path.name}` is one, and pyreadstat is not installed. Install it (pip install "
            "'hte-bridge[spss]'), or save the data as CSV or Parquet."
        ) from error
    try:
        raw, about = pyreadstat.read_sav(str(path))
    except pyreadstat.ReadstatError as error:
        raise ValueError(str(error)) from error
    return labelled(path, raw, about.variable_value_labels, about.column_names_to_labels)


def labelled(
    path: Path, raw: pd.DataFrame, labels: Mapping[str, Mapping[Any, str]], variables: Mapping[str, Any]
) -> pd.DataFrame:
    """Numbers as their labels, where every value of a column has one; two values of one label keep their numbers beside it.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathlib import Path
    >>> from hte_bridge.labelled import labelled
    >>> raw = pd.DataFrame({"sex": [1.0, 2.0], "income": [-9.0, 1200.0]})
    >>> found = labelled(Path("a.dta"), raw, {"sex": {1: "man", 2: "woman"}, "income": {-9: "refused"}}, {})
    >>> found["sex"].tolist(), found["income"].tolist()
    (['man', 'woman'], [-9.0, 1200.0])
    """
    frame, partly = raw.copy(deep=False), []
    for name, of in labels.items():
        values = raw[name].dropna().unique()
        if not len(of) or not len(values):
            continue
        if not all(value in of for value in values):
            partly.append(
                f"{name} ({first_names([f'{value:g} = {label}' if isinstance(value, int | float) else f'{value} = {label}' for value, label in of.items()])})"
            )
            continue
        twice = {label for label in of.values() if list(of.values()).count(label) > 1}
        shown = {value: f"{label} ({value:g})" if label in twice else label for value, label in of.items()}
        kept = pd.Index([shown[value] for value in sorted(of) if value in values])
        frame[name] = pd.Categorical(raw[name].map(shown), categories=kept)
    frame.attrs["labels"] = {name: text for name, text in variables.items() if text}
    if partly:
        said = f"`{path.name}` has labels for some values only of {first_names(partly)}: these columns stay numbers, labelled values with them"
        return told(frame, said)
    return frame
