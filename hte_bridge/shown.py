"""How studies, fits and what holds arrays read at a prompt: what they are, not every number that they hold; how any name reads."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from textwrap import wrap
from typing import Any

import numpy as np

WIDTH = 100
NAMED = 8  # columns that are named before "and 4 more"
LONGEST = 60  # characters of a name in a list of names
HIDDEN = (
    "Cc",
    "Cf",
    "Cs",
    "Zl",
    "Zp",
)  # controls, marks of direction, half characters, ends of lines and paragraphs
JOINERS = (
    "\u200c\u200d"  # belong between letters of Persian, Hindi and parts of an emoji; between ASCII they hide
)


class Fitted:
    """A fit whose ``repr`` is ``fit_text``."""

    def __repr__(self) -> str:
        return fit_text(self)


class Arrays:
    """A dataclass whose ``repr`` is ``arrays_text``."""

    def __repr__(self) -> str:
        return arrays_text(self)


def study_text(study: Any) -> str:
    """A ``Study`` in some lines: effect of what on what, covariates, effects, clusters, and what was dropped."""
    names = study.names
    lines = [f"Study of {study.n:,} units: effect of {_name(names.treatment)} on {_name(names.outcome)}"]
    lines += [f"  covariates: {first_names(names.covariates)}"]
    lines += [f"  controls: {first_names(names.controls)}"] if names.controls else []
    if names.fixed_effects:
        sizes = [
            f"{len(levels):,} of {_name(name)}"
            for name, levels in zip(names.fixed_effects, study.effect_levels, strict=True)
        ]
        lines += [f"  fixed effects: {first_names(sizes)}"]
    if study.clustered:
        lines += [f"  {study.n_clusters:,} clusters of {_name(names.cluster)}"]
    if study.second_cluster is not None:
        second = int(study.second_cluster.max()) + 1
        lines += [f"  {second:,} clusters of {_name(names.second_cluster)}, the other way"]
    if study.binary:
        lines += [f"  treated: {np.average(study.treatment, weights=study.weight):.1%}"]
    if study.weighted:
        lines += [f"  weights: {_name(names.weight)}"]
    if study.propensity is not None:
        lines += [f"  known propensity: {study.propensity.min():.3g} to {study.propensity.max():.3g}"]
    return "\n".join(
        [*lines, *(f"  dropped, {visible(reason)}: {rows:,} rows" for reason, rows in study.dropped.items())]
    )


def fit_text(fit: Any) -> str:
    """A fit in some lines: the call that made it, its study, quartiles of the held-out effects, its notes or reasons."""
    options, study = getattr(fit, "options", None), fit.study
    made = fit.engine if options is None else call_text(options)
    lines = [
        f"{made}, fitted to {study.n:,} units: effect of {_name(study.names.treatment)} on {_name(study.names.outcome)}"
    ]
    kind = fit.info.get("kind") if options is not None else None
    lines += [f"kind: {kind}"] if kind else []
    if fit.heldout is not None:
        quartiles = np.quantile(fit.heldout.cate, (0.25, 0.5, 0.75))
        lines += [
            f"held-out effects of the units: quartiles {', '.join(f'{each:.4g}' for each in quartiles)}"
        ]
    lines += [
        f"not for {estimand}: {why}" if estimand != "*" else why for estimand, why in fit.reasons.items()
    ]
    lines += [f"note: {each}" for each in fit.notes]
    lines = [visible(line) for line in lines]
    inner = [wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ") for line in lines[1:]]
    return "\n".join([lines[0], *(line for each in inner for line in each)])


def call_text(options: Any) -> str:
    """Options as the call that makes them, defaults left out.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Forest:
    ...     num_trees: int = 2_000
    ...     seed: int = 0
    >>> call_text(Forest(seed=1))
    'Forest(seed=1)'
    """
    given = [
        f"{each.name}={value_text(getattr(options, each.name))}"
        for each in fields(options)
        if each.init and value_text(getattr(options, each.name)) != value_text(_default(each))
    ]
    return f"{type(options).__name__}({', '.join(given)})"


def arrays_text(held: Any) -> str:
    """A dataclass with the shapes of its arrays in place of their numbers.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Draw:
    ...     y: np.ndarray
    ...     name: str
    >>> arrays_text(Draw(np.zeros(3), "dense"))
    "Draw(y=array (3,), name='dense')"
    """
    shown = [f"{each.name}={value_text(getattr(held, each.name))}" for each in fields(held) if each.repr]
    return f"{type(held).__name__}({', '.join(shown)})"


def value_text(value: Any) -> str:
    """A value, or the shape of one that is an array or a frame."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"array {tuple(value.shape)}"
    if hasattr(value, "shape") and hasattr(value, "columns"):
        return f"frame {tuple(value.shape)}"
    return repr(value)


def first_names(names: Sequence[str]) -> str:
    """Names with commas, the first ``NAMED`` where they are more.

    Examples
    --------
    >>> first_names("abcdefghijk")
    'a, b, c, d, e, f, g, h and 3 more'
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(_name, names[:NAMED])) + more


def spelled(label: object) -> str:
    """A row's label in a sentence: the parts of one of several levels without their types.

    Examples
    --------
    >>> import numpy as np
    >>> spelled((np.int64(3), "a")), spelled(np.float64(2.0))
    ('(3, a)', '2.0')
    """
    return f"({', '.join(map(spelled, label))})" if isinstance(label, tuple) else str(label)


def visible(text: object, *, lines: bool = False) -> str:
    r"""Text whose hidden characters are written out: a name may hold a line end, a terminal's command, a mark that turns the order.

    Parameters
    ----------
    text : object
        Its ``str()``.
    lines : bool, default False
        Line ends stay.

    Examples
    --------
    >>> print(visible("net\nincome\x1b[31m"), visible("größe 👩\u200d🌾"))
    net\nincome\x1b[31m größe 👩‍🌾
    """
    text = str(text)
    if text.isprintable():
        return text
    out = []
    for before, each in zip(f" {text}", text, strict=False):
        hidden = unicodedata.category(each) in HIDDEN
        kept = (each in JOINERS and not before.isascii()) or (lines and each == "\n")
        out.append(each.encode("unicode_escape").decode() if hidden and not kept else each)
    return "".join(out)


def shorten(text: str, width: int) -> str:
    """Text cut in its middle, so that names that differ at either end stay apart.

    Examples
    --------
    >>> shorten("income of the household", 12)
    'incom…sehold'
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def _name(name: object) -> str:
    return shorten(visible(name), LONGEST)


def _default(each: Field[Any]) -> Any:
    if each.default_factory is not MISSING:
        return each.default_factory()
    return None if each.default is MISSING else each.default
