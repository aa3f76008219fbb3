"""A statement about rows of a table, such as ``ate[grf] = ate[deep]``, tested by their joint influence and the delta method."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.crossed import NEGATIVE
from hte_bridge.crossed import covariance as by_both
from hte_bridge.errors import InvalidOption, NotIdentified
from hte_bridge.estimands.moments import covariance, row_from_influence
from hte_bridge.estimate import Estimate
from hte_bridge.language.grammar import Read, Token, read, tokens_of
from hte_bridge.language.values import Unfit
from hte_bridge.scores import Scores
from hte_bridge.study import Study

NAME = re.compile(r"[^\W\d]\w*")
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {  # and their derivatives
    "log": (np.log, lambda x: 1 / x),
    "exp": (np.exp, np.exp),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "abs": (np.abs, np.sign),
}
SAME = 1e-10  # of the rows' influence: what is left below it is rounding


@dataclass(frozen=True)
class Slot:
    """What a name in a statement stands for: an estimand and what its brackets say."""

    said: str
    estimand: str
    inside: tuple[str, ...]

    def fits(self, row: Estimate, engines: Sequence[str]) -> bool:
        """Whether a row is meant, by its estimand, its engine and its term or the label at the term's end."""
        named = [each for each in self.inside if each in engines]
        terms = [each for each in self.inside if each not in engines]
        if row.estimand != self.estimand or (named and row.engine not in named):
            return False
        return all(row.term == each or row.term.endswith(f"= {each}") for each in terms)


def hypothesis(
    rows: Sequence[Estimate], text: str, scores: Scores, *, level: float = 0.95, crossed: Study | None = None
) -> list[Estimate]:
    """Left side less right side of a statement, with its error; for each engine in turn where it names none.

    ``ate``, ``ate[grf]``, ``gate[new]``, ``gate[grf, region = new]`` and ``b3`` (the third row) name rows: in brackets an engine, a term, or the
    label at the end of one, in quotes where it holds a comma. Numbers, ``+ - * / **``, parentheses, log, exp, sqrt and abs; no ``=`` is
    ``= 0``. Nothing is run as code. The rows' covariance is that of their influence values, summed by cluster and scaled to their standard
    errors; of a statement that is no line, by the delta method (as marginaleffects' ``hypothesis`` does).

    Parameters
    ----------
    rows : sequence of Estimate
    text : str
    scores : Scores
        Clusters and weights of the study.
    level : float, default 0.95
    crossed : Study, optional
        Whose rows have errors by clusters two ways: then their covariance is by both.

    Returns
    -------
    list of Estimate
        Estimand ``hypothesis``, the statement as its term; Student's t with the fewest degrees of freedom of the rows.

    Raises
    ------
    InvalidOption
        If the statement cannot be read, or a name stands for no row, or for several.
    """
    slots: dict[str, Slot] = {}
    if not text.strip():
        raise InvalidOption(
            "A hypothesis must be a statement about rows, such as 'ate[grf] = ate[deep]'. The text is empty."
        )
    try:
        tree = _difference(text, slots)
    except Unfit as error:
        raise InvalidOption(
            f"A hypothesis must be a statement about rows, such as 'ate[grf] = ate[deep]'. {error.sentence(text)}"
        ) from error
    if not slots:
        raise InvalidOption(f"A hypothesis must name a row. `{text}` names none. {_offer(rows)}")
    engines = list(dict.fromkeys(row.engine for row in rows))
    found = {key: _meant(slot, rows, engines) for key, slot in slots.items()}
    return [_tested(text, tree, each, scores, level, crossed) for each in _by_engine(found, slots, engines)]


def _difference(text: str, slots: dict[str, Slot]) -> Read:
    """Left less right, names of rows replaced by those that the grammar reads."""
    sides = [_slotted(side, slots) for side in _sides(text)]
    if len(sides) > 2:
        raise Unfit("holds more than one `=`")
    return read(tokens_of("(" + ") - (".join(sides) + ")"))


def _sides(text: str) -> list[str]:
    """Parts around ``=`` outside of brackets and quotes."""
    sides, depth, quote = [""], 0, ""
    for each in text.replace("==", "="):
        quote = "" if quote == each else quote or (each if each in "\"'" and depth else "")
        depth += (each == "[") - (each == "]") if not quote else 0
        if each == "=" and not depth:
            sides.append("")
        else:
            sides[-1] += each
    return sides


def _slotted(side: str, slots: dict[str, Slot]) -> str:
    out, at = "", 0
    while at < len(side):
        match = NAME.match(side, at)
        if not match or (at and side[at - 1].isalnum()):
            out, at = out + side[at], at + 1
            continue
        end = match.end()
        inside: tuple[str, ...] = ()
        after = side[end:].lstrip()
        if after.startswith("["):
            begin = side.index("[", end)
            end, inside = _brackets(side, begin)
        if after.startswith("(") and match[0] in FUNCTIONS:
            out += match[0]
        else:
            key = f"slot{len(slots)}"
            slots[key] = Slot(side[at:end], match[0], inside)
            out += key
        at = end
    return out


def _brackets(side: str, begin: int) -> tuple[int, tuple[str, ...]]:
    """Place behind the bracket that closes the one at ``begin``, and the parts within, quotes taken away."""
    depth, quote, parts = 0, "", [""]
    for at in range(begin, len(side)):
        each = side[at]
        quote = "" if quote == each else quote or (each if each in "\"'" else "")
        depth += (each == "[") - (each == "]") if not quote else 0
        if not depth:
            parts[0] = parts[0][1:]
            return at + 1, tuple(_bare(part) for part in parts)
        if each == "," and depth == 1 and not quote:
            parts.append("")
        else:
            parts[-1] += each
    raise Unfit("has a bracket that does not close")


def _bare(part: str) -> str:
    part = part.strip()
    return part[1:-1] if len(part) > 1 and part[0] == part[-1] and part[0] in "\"'" else part


def _meant(slot: Slot, rows: Sequence[Estimate], engines: Sequence[str]) -> dict[str, Estimate]:
    """The row of each engine that a name stands for."""
    if re.fullmatch(r"b[1-9][0-9]*", slot.said) and not any(row.estimand == slot.said for row in rows):
        place = int(slot.said[1:]) - 1
        if place >= len(rows):
            raise InvalidOption(
                f"A hypothesis must name rows that there are. `{slot.said}` is none of {len(rows)}."
            )
        return {"": rows[place]}
    fitting = [row for row in rows if slot.fits(row, engines)]
    exact = [row for row in fitting if row.term in (*slot.inside, "")]
    exact = exact or [row for row in fitting if " - " not in row.term] or fitting
    found: dict[str, Estimate] = {}
    for row in exact:
        if row.engine in found:
            raise InvalidOption(
                f"Each name of a hypothesis must stand for one row of an engine. `{slot.said}` may be `{found[row.engine].term}` or "
                f"`{row.term}`. Write the term in brackets, such as {slot.estimand}[{row.term}]."
            )
        found[row.engine] = row
    if not found:
        raise InvalidOption(
            f"A hypothesis must name rows of the table. `{slot.said}` is none. {_offer(rows)}"
        )
    chosen = [each for each in slot.inside if each in engines]
    return {"": next(iter(found.values()))} if chosen else found


def _offer(rows: Sequence[Estimate]) -> str:
    named = dict.fromkeys(f"{row.estimand}[{row.term}]" if row.term else row.estimand for row in rows)
    shown = ", ".join(f"`{each}`" for each in list(named)[:6])
    engines = ", ".join(dict.fromkeys(row.engine for row in rows))
    return f"Rows are {shown}{' and more' if len(named) > 6 else ''}; engines {engines}."


def _by_engine(
    found: Mapping[str, Mapping[str, Estimate]], slots: Mapping[str, Slot], engines: Sequence[str]
) -> list[dict[str, Estimate]]:
    """What the names stand for, once for each engine that has all rows which name none."""
    open_ones = [each for each in found.values() if "" not in each]
    able = [name for name in engines if all(name in each for each in open_ones)]
    if not open_ones:
        able = [""]
    if not able:
        names = ", ".join(f"`{slot.said}`" for slot in slots.values())
        raise InvalidOption(
            f"Some engine must have every row of a hypothesis. None has {names}. Name the engine of each in brackets."
        )
    return [{key: each.get(name) or each[""] for key, each in found.items()} for name in able]


def _tested(
    text: str, tree: Read, meant: Mapping[str, Estimate], scores: Scores, level: float, crossed: Study | None
) -> Estimate:
    """The row of one choice of rows."""
    keys = list(meant)
    used = [meant[key] for key in keys]
    engine = ", ".join(dict.fromkeys(row.engine for row in used))
    size: dict[str, Any] = {
        "term": " ".join(text.split()),
        "engine": engine,
        "level": level,
        "n_obs": scores.n,
    }
    lacking = next((row for row in used if not np.isfinite(row.estimate)), None)
    if lacking is not None:
        return Estimate.missing(
            "hypothesis", f"no estimate by {lacking.engine}: {lacking.note or 'see its row'}", **size
        )
    try:
        value, slope = _Delta(
            tree, {key: k for k, key in enumerate(keys)}, np.array([row.estimate for row in used])
        ).of(tree.tree)
    except Unfit as error:
        raise InvalidOption(f"A hypothesis must be numbers and rows. {error.sentence(text)}") from error
    if not np.isfinite([value, *slope]).all():
        return Estimate.missing("hypothesis", "the statement has no finite value at these estimates", **size)
    return _row(used, value, slope, scores, size, crossed)


def _row(
    used: Sequence[Estimate],
    value: float,
    slope: Array,
    scores: Scores,
    size: Mapping[str, Any],
    crossed: Study | None,
) -> Estimate:
    bare = next(
        (
            row
            for row in used
            if row.influence is None or len(row.influence) != scores.n or not row.std_error > 0
        ),
        None,
    )
    if bare is not None:
        name = f"{bare.estimand}{f' ({bare.term})' if bare.term else ''} of {bare.engine}"
        why = f"no error: {name} has no influence values, so how it moves with the others is not known"
        return Estimate("hypothesis", value, note=why, **size)
    influence = np.column_stack([np.asarray(row.influence) for row in used])
    live = (influence != 0).any(axis=1)  # a subset counts its own clusters
    inside = scores.where(live)
    joint = covariance(influence[live], inside) if crossed is None else by_both(influence, crossed)
    factor = np.array([row.std_error for row in used]) / np.sqrt(
        np.diag(joint)
    )  # HC3, and what else a row's error has
    square = float(slope @ (joint * np.outer(factor, factor)) @ slope)
    error = max(square, 0.0) ** 0.5
    combined = influence @ (slope * factor)
    if not error > SAME * float(np.abs(slope) @ [row.std_error for row in used]):
        value = (
            value
            if abs(value) > SAME * float(np.abs(slope) @ np.abs([row.estimate for row in used]))
            else 0.0
        )
        same = not np.linalg.norm(combined) > SAME * float(
            np.abs(slope * factor) @ np.linalg.norm(influence, axis=0)
        )
        why = "no error: the rows are the same up to rounding" if crossed is None or same else NEGATIVE
        return Estimate("hypothesis", value, note=why, **size)
    try:
        made = row_from_influence(
            "hypothesis", value, combined[live], inside, level=size["level"], std_error=error
        )
    except NotIdentified as refused:
        return Estimate.missing("hypothesis", str(refused), **size)
    return made.with_(
        std_error=error,
        influence=combined,
        df=min([made.df, *(row.df for row in used)]),
        n_clusters=min([made.n_clusters, *(row.n_clusters for row in used if row.n_clusters)]),
        vcov=", ".join(dict.fromkeys(row.vcov for row in used if row.vcov)),
        term=size["term"],
        engine=size["engine"],
    )


@dataclass(frozen=True, eq=False)
class _Delta:
    """Value and gradient of a tree in the rows that it names."""

    text: Read
    place: Mapping[str, int]
    values: Array

    def of(self, node: ast.expr) -> tuple[float, Array]:
        """Value and gradient (k,) of a node."""
        none = np.zeros(len(self.values))
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value), none
        if isinstance(node, ast.Name) and self._said(node) in self.place:
            at = self.place[self._said(node)]
            return float(self.values[at]), np.eye(len(self.values))[at]
        with np.errstate(all="ignore"):
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
                value, slope = self.of(node.operand)
                return (-value, -slope) if isinstance(node.op, ast.USub) else (value, slope)
            if isinstance(node, ast.BinOp):
                return self._both(node)
            if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
                return self._applied(node)
        raise Unfit("is no part of a hypothesis: rows, numbers, + - * / **, log, exp, sqrt and abs are")

    def _said(self, node: ast.expr) -> str:
        token: Token | None = self.text.meant.get(node.id) if isinstance(node, ast.Name) else None
        return "" if token is None or token.kind == "text" else token.said

    def _both(self, node: ast.BinOp) -> tuple[float, Array]:
        (left, by_left), (right, by_right) = self.of(node.left), self.of(node.right)
        if isinstance(node.op, ast.Add):
            return left + right, by_left + by_right
        if isinstance(node.op, ast.Sub):
            return left - right, by_left - by_right
        if isinstance(node.op, ast.Mult):
            return left * right, left * by_right + right * by_left
        if isinstance(node.op, ast.Div):
            value = float(np.divide(left, right))
            return value, (by_left - value * by_right) / np.float64(right)
        if isinstance(node.op, ast.Pow) and not by_right.any():
            return float(np.float64(left) ** right), right * np.float64(left) ** (right - 1) * by_left
        raise Unfit("is no part of a hypothesis: rows, numbers, + - * / **, log, exp, sqrt and abs are")

    def _applied(self, node: ast.Call) -> tuple[float, Array]:
        name = self._said(node.func)
        if name not in FUNCTIONS:
            raise Unfit("is no function of a hypothesis: log, exp, sqrt and abs are")
        function, derivative = FUNCTIONS[name]
        value, slope = self.of(node.args[0])
        return float(function(np.float64(value))), derivative(np.float64(value)) * slope
